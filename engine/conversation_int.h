/* SPDX-License-Identifier: Apache-2.0 */
/* conversation_int.h - what conversation.c (pieces, v1), conversation_styles.c (templates of
 * the families) and conversation_count.c (LLaVA's way to find the answers) share */
#ifndef SEA_CONVERSATION_INT_H
#define SEA_CONVERSATION_INT_H

#include "engine/sea_conversation.h"

/* The sentence that LLaVA-1.5's weights were trained with: part of the format. */
#define SEA_V1_SYSTEM                                                                     \
    "A chat between a curious user and an artificial intelligence assistant. "            \
    "The assistant gives helpful, detailed, and polite answers to the user's questions."

/* Pieces of one sample, in order; each says how it is tokenised and whether it is learnt. */
struct sea_builder {
    struct sea_tokenizer *tokenizer;
    struct sea_sample *sample;
    struct sea_err *err;
    struct sea_buf text;        /* of the piece at hand */
    struct sea_ids ids;
    enum sea_piece next;        /* what stands before the next piece */
    bool skips_blanks;          /* a special word before it takes the blanks at its start */
};
SEA_MUST_CHECK enum sea_status
sea_builder_put_text(struct sea_builder *builder, const char *text, size_t len);
/* Ends the piece at hand; other text may follow it. */
SEA_MUST_CHECK enum sea_status
sea_builder_end_piece(struct sea_builder *builder, bool supervised);
SEA_MUST_CHECK enum sea_status
sea_builder_put_image(struct sea_builder *builder);
/* The value of one turn; in the turn with the tag the image comes first, then a line end. */
SEA_MUST_CHECK enum sea_status
sea_builder_put_value(struct sea_builder *builder, const struct sea_turn *turn, bool has_tag);
size_t sea_turn_len(const struct sea_turn *turn);
/* The turn's text without its tags and without blanks around, as a new text. */
char *sea_turn_without_tags(const struct sea_turn *turn, size_t *len);

/* ---- conversation_styles.c ---- */

struct sea_style;
/* NULL for plain, v1 and tiny-*. */
const struct sea_style *sea_conversation_style(enum sea_template kind);
/* The words of the template must be in the vocabulary. */
SEA_MUST_CHECK enum sea_status
sea_conversation_check(const struct sea_conversation *conversation,
                       const struct sea_tokenizer *tokenizer, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_style_encode(struct sea_builder *builder, const struct sea_conversation *conversation,
                 const struct sea_turn *turns, size_t count, size_t image_turn);
SEA_MUST_CHECK enum sea_status
sea_style_prompt(struct sea_builder *builder, const struct sea_conversation *conversation,
                 const char *question, bool has_image);

/* ---- conversation_count.c ---- */

/* Sets sample->llava_skips of an encoded sample. */
SEA_MUST_CHECK enum sea_status
sea_llava_skips(const struct sea_conversation *conversation, struct sea_tokenizer *tokenizer,
                const struct sea_turn *turns, size_t count, size_t image_turn,
                struct sea_sample *sample, struct sea_err *err);

#endif
