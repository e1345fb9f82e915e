/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LLaVA cuts a dialogue's text at its end words into rounds, tokenises each alone, and adds up
 * their lengths; when the sum is not the length of the whole, it learns nothing of the sample.
 * Our labels come from known spans and are right then, too; this says what LLaVA would do.
 */
#include "engine/conversation_int.h"

#include <stdlib.h>
#include <string.h>

struct counter {
    struct sea_tokenizer *tokenizer;
    bool has_image;
    struct sea_ids ids;
    struct sea_err *err;
};

/* The dialogue as one text, tags in it. */
static enum sea_status
put_text(const struct sea_conversation *conversation, const char *end, const struct sea_turn *turns,
         size_t count, size_t image_turn, struct sea_buf *out, struct sea_err *err)
{
    const char *system = conversation->system ? conversation->system : SEA_V1_SYSTEM;
    enum sea_status status = sea_buf_printf(out, err, "%s%s", system, *system ? " " : "");

    for (size_t i = 0; i < count && !status; i++) {
        size_t len = sea_turn_len(&turns[i]);
        char *clean = i == image_turn ? sea_turn_without_tags(&turns[i], &len) : NULL;

        if (!sea_turn_len(&turns[i])) {
            status = sea_buf_printf(out, err, "%s:", i % 2 ? "ASSISTANT" : "USER");
        } else {
            status = sea_buf_printf(out, err, "%s: %s", i % 2 ? "ASSISTANT" : "USER",
                                    !clean ? "" : len ? SEA_IMAGE_TAG "\n" : SEA_IMAGE_TAG);
            if (!status)
                status = sea_buf_append(out, clean ? clean : turns[i].value, len, err);
            if (!status)
                status = sea_buf_printf(out, err, "%s", i % 2 ? end : " ");
        }
        free(clean);
    }
    return status;
}

/* Ids of a text without BOS; the tag is one, and what is around it is tokenised alone. */
static enum sea_status
count_ids(struct counter *counter, const char *text, size_t len, size_t *out)
{
    const size_t tag = strlen(SEA_IMAGE_TAG);
    enum sea_status status = SEA_OK;
    size_t from = 0, at = 0;

    sea_ids_clear(&counter->ids);
    *out = 0;
    for (; counter->has_image && at + tag <= len && !status; at++) {
        if (memcmp(text + at, SEA_IMAGE_TAG, tag) != 0)
            continue;
        status = sea_tokenizer_encode_piece(counter->tokenizer, text + from, at - from,
                                            SEA_PIECE_FIRST, &counter->ids, counter->err);
        ++*out;
        from = at + tag;
        at += tag - 1;
    }
    if (!status)
        status = sea_tokenizer_encode_piece(counter->tokenizer, text + from, len - from,
                                            SEA_PIECE_FIRST, &counter->ids, counter->err);
    *out += counter->ids.len;
    return status;
}

static const char *
find(const char *text, size_t len, const char *what)
{
    size_t n = strlen(what);

    for (size_t at = 0; at + n <= len; at++)
        if (text[at] == *what && !memcmp(text + at, what, n))
            return text + at;
    return NULL;
}

/* Must a round hold exactly one " ASSISTANT: "? Yes, or counting stops. */
static bool
is_round(const char *text, size_t len)
{
    const char *mark = " ASSISTANT: ", *at = find(text, len, mark);

    return at && !find(at + strlen(mark), len - (size_t)(at - text) - strlen(mark), mark);
}

static enum sea_status
count_rounds(struct counter *counter, const char *text, size_t len, const char *end,
             bool takes_one, size_t *sum)
{
    enum sea_status status = SEA_OK;
    size_t ids;

    for (size_t round = 0; len && !status; round++) {
        const char *stop = find(text, len, end);
        size_t n = stop ? (size_t)(stop - text) : len;

        if (!n || !is_round(text, n))
            break;
        status = count_ids(counter, text, n, &ids);
        *sum += ids + 1 - (round && takes_one);
        n += stop ? strlen(end) : 0;
        text += n;
        len -= n;
    }
    return status;
}

enum sea_status
sea_llava_skips(const struct sea_conversation *conversation, struct sea_tokenizer *tokenizer,
                const struct sea_turn *turns, size_t count, size_t image_turn,
                struct sea_sample *sample, struct sea_err *err)
{
    const struct sea_tokenizer_special *special = sea_tokenizer_special(tokenizer);
    const char *end = sea_tokenizer_word(tokenizer, sea_conversation_end(conversation, tokenizer));
    struct counter counter = { .tokenizer = tokenizer, .err = err };
    bool is_v1 = conversation->kind == SEA_TEMPLATE_V1;
    int32_t pad = special->unk >= 0 ? special->unk : special->pad;
    size_t sum = special->adds_bos && special->bos >= 0, whole = 0;
    enum sea_status status;
    struct sea_buf text;

    counter.has_image = image_turn < count;
    sea_buf_init(&text, 4 * SEA_TOKENIZER_TEXT_MAX);
    status = put_text(conversation, end, turns, count, image_turn, &text, err);
    if (!status)
        status = count_rounds(&counter, text.data, text.len, end, is_v1 && !special->is_legacy,
                              &sum);
    for (size_t i = 0; i < sample->ids.len; i++)
        whole += sample->ids.data[i] != pad || pad < 0;
    sample->llava_skips = sum != whole;
    sea_buf_release(&text);
    sea_ids_release(&counter.ids);
    return status;
}
