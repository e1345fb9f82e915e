/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_conversation.h - dialogues and captions as ids and labels
 *
 * Templates of LLaVA:
 *
 *   plain   [BOS] <image> caption "\n"                       loss on caption and "\n"
 *   v1      [BOS] system " USER: " q1 " ASSISTANT:" " a1" EOS "USER: " q2 " ASSISTANT:" ...
 *                                                            loss on " a1" EOS, " a2" EOS
 *   tiny-*  v1 with the end word that TinyLLaVA gives each family, whatever the tokenizer's
 *           EOS: tiny-llama </s>, tiny-gemma <eos>, tiny-phi and tiny-qwen2 <|endoftext|>,
 *           tiny-qwen2-instruct <|im_end|>
 *
 * and the families' own: llama-3, phi-3, gemma, qwen2 (ChatML). Each is
 *
 *   [BOS] system, then per round: USER q CLOSE ANSWER a END AFTER   loss on a END
 *
 * where the words in capitals are the rows of a table in conversation_styles.c. A template
 * whose special words the tokenizer does not have is SEA_E_FORMAT.
 *
 * Ids are built from pieces that are tokenised on their own, with known spans; labels are
 * therefore exact. v1's pieces end at: the image; each ASSISTANT ":" (the blank after it
 * belongs to the answer's first word); each answer's end; EOS, which is put in as an id. What
 * starts the text or follows the image is a FIRST piece (LLaVA tokenises around the image),
 * what follows EOS is AFTER_SPECIAL, an answer CONTINUES (sea_tokenizer.h). No word of a
 * tokenizer spans ":" and a blank, so the ids are those of the whole text. The pieces of the
 * families' templates end at the image, before each answer and after each END; a special word
 * that takes the blanks behind it takes those of the next piece, too.
 *
 * A picture stands as one SEA_IMAGE_ID; whoever runs the ids (pipeline/stages/samples.c,
 * sea_generate.h) puts as many rows there as the picture has patches.
 */
#ifndef SEA_CONVERSATION_H
#define SEA_CONVERSATION_H

#include "engine/sea_tokenizer.h"

#define SEA_IMAGE_ID (-200)     /* an id: here is the picture */
#define SEA_LABEL_NONE (-100)   /* a label: no loss here */
#define SEA_IMAGE_TAG "<image>"

enum sea_template {
    SEA_TEMPLATE_PLAIN, SEA_TEMPLATE_V1, SEA_TEMPLATE_TINY_LLAMA, SEA_TEMPLATE_TINY_GEMMA,
    SEA_TEMPLATE_TINY_PHI, SEA_TEMPLATE_TINY_QWEN2, SEA_TEMPLATE_TINY_QWEN2_INSTRUCT,
    SEA_TEMPLATE_LLAMA3, SEA_TEMPLATE_PHI3, SEA_TEMPLATE_GEMMA, SEA_TEMPLATE_QWEN2
};
/* "plain", "v1", "tiny-llama", ... as above. SEA_E_CONFIG for another name. */
SEA_MUST_CHECK enum sea_status
sea_template_parse(enum sea_template *out, const char *name, struct sea_err *err);
const char *sea_template_name(enum sea_template kind);

struct sea_turn {
    const char *from;           /* "human", "gpt" */
    const char *value;
    size_t len;                 /* of value; 0 and value not empty: strlen */
};

struct sea_conversation {       /* how turns become text; all zero is LLaVA's v1 */
    enum sea_template kind;
    const char *system;         /* NULL: the template's own; "": none */
    int32_t eos;                /* v1: id that ends an answer; 0 or less: the tokenizer's */
    bool compares;              /* fill llava_skips: about twice the time */
};
/* kind with the other fields as they should be for this tokenizer. */
struct sea_conversation sea_conversation_defaults(enum sea_template kind);
/* The id after which an answer is over: where generation stops. -1: the tokenizer has none. */
int32_t sea_conversation_end(const struct sea_conversation *conversation,
                             const struct sea_tokenizer *tokenizer);

struct sea_sample {             /* all zero is empty; read freely; reuse it with clear */
    struct sea_ids ids, labels; /* of equal length; labels[t] is ids[t] or SEA_LABEL_NONE */
    int images;                 /* 0 or 1 */
    size_t supervised;          /* labels that are not SEA_LABEL_NONE */
    bool llava_skips;           /* with compares, v1 and tiny-*: LLaVA finds the answers by
                                   counting words, and here its count does not come out: it
                                   would learn nothing of the sample */
};
void sea_sample_clear(struct sea_sample *sample);
void sea_sample_release(struct sea_sample *sample);     /* accepts NULL and all-zero */

/*
 * A data row as ids and labels. has_image: the row names a picture, so the tag must stand in
 * one turn (plain: the tag's turn is discarded but for the tag). LLaVA's rules: a first turn
 * that is not human is dropped; in the turn with the tag the tag moves to the front, followed
 * by "\n"; without a picture a tag is plain text. Broken rows are SEA_E_FORMAT: turns that do
 * not alternate, a picture without a tag, tags in two turns, an unknown speaker, no turns.
 */
SEA_MUST_CHECK enum sea_status
sea_conversation_encode(const struct sea_conversation *conversation,
                        struct sea_tokenizer *tokenizer, const struct sea_turn *turns,
                        size_t count, bool has_image, struct sea_sample *sample,
                        struct sea_err *err);
/* The ids of an evaluation prompt, up to "ASSISTANT:"; question is put behind "<image>\n"
 * when has_image. Turns before it are not part of any benchmark here. */
SEA_MUST_CHECK enum sea_status
sea_conversation_prompt(const struct sea_conversation *conversation,
                        struct sea_tokenizer *tokenizer, const char *question,
                        bool has_image, struct sea_ids *ids, struct sea_err *err);
/* The same for a text that is already whole: its tag, if any, becomes SEA_IMAGE_ID and the
 * pieces around it are tokenised on their own, BOS once. */
SEA_MUST_CHECK enum sea_status
sea_conversation_encode_text(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                             struct sea_ids *ids, struct sea_err *err);

#endif
