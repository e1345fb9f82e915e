/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/conversation_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"

/* ---- samples ---- */

void
sea_sample_clear(struct sea_sample *sample)
{
    sea_ids_clear(&sample->ids);
    sea_ids_clear(&sample->labels);
    sample->images = 0;
    sample->supervised = 0;
    sample->llava_skips = false;
}

void
sea_sample_release(struct sea_sample *sample)
{
    if (!sample)
        return;
    sea_ids_release(&sample->ids);
    sea_ids_release(&sample->labels);
    *sample = (struct sea_sample){ 0 };
}

static void
add_id(struct sea_sample *sample, int32_t id, bool supervised)
{
    sea_ids_add(&sample->ids, id);
    sea_ids_add(&sample->labels, supervised ? id : SEA_LABEL_NONE);
    sample->supervised += supervised;
    sample->images += id == SEA_IMAGE_ID;
}

/* ---- pieces ---- */

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
builder_init(struct sea_builder *builder, struct sea_tokenizer *tokenizer,
             struct sea_sample *sample, struct sea_err *err)
{
    const struct sea_tokenizer_special *special = sea_tokenizer_special(tokenizer);

    *builder = (struct sea_builder){ .tokenizer = tokenizer, .sample = sample, .err = err };
    sea_buf_init(&builder->text, 2 * SEA_TOKENIZER_TEXT_MAX);
    builder->next = SEA_PIECE_FIRST;
    if (special->adds_bos && special->bos >= 0)
        add_id(sample, special->bos, false);
}

static void
builder_release(struct sea_builder *builder)
{
    sea_buf_release(&builder->text);
    sea_ids_release(&builder->ids);
}

enum sea_status
sea_builder_put_text(struct sea_builder *builder, const char *text, size_t len)
{
    while (builder->skips_blanks && len && is_blank(*text)) {
        text++;
        len--;
    }
    if (len)
        builder->skips_blanks = false;
    return sea_buf_append(&builder->text, text, len, builder->err);
}

/* Ends the piece at hand; other text may follow it. */
enum sea_status
sea_builder_end_piece(struct sea_builder *builder, bool supervised)
{
    enum sea_status status;

    if (!builder->text.len)
        return SEA_OK;
    sea_ids_clear(&builder->ids);
    status = sea_tokenizer_encode_piece(builder->tokenizer, builder->text.data,
                                        builder->text.len, builder->next, &builder->ids,
                                        builder->err);
    for (size_t i = 0; i < builder->ids.len && !status; i++)
        add_id(builder->sample, builder->ids.data[i], supervised);
    sea_buf_clear(&builder->text);
    builder->next = SEA_PIECE_CONTINUES;
    return status;
}

enum sea_status
sea_builder_put_image(struct sea_builder *builder)
{
    enum sea_status status = sea_builder_end_piece(builder, false);

    add_id(builder->sample, SEA_IMAGE_ID, false);
    builder->skips_blanks = false;
    builder->next = SEA_PIECE_FIRST;    /* LLaVA tokenises around the image */
    return status;
}

/* ---- turns ---- */

size_t
sea_turn_len(const struct sea_turn *turn)
{
    return turn->len ? turn->len : strlen(turn->value);
}

static const char *
find_tag(const char *text, size_t len)
{
    const size_t n = strlen(SEA_IMAGE_TAG);

    for (size_t at = 0; at + n <= len; at++)
        if (text[at] == '<' && memcmp(text + at, SEA_IMAGE_TAG, n) == 0)
            return text + at;
    return NULL;
}

static bool
is_human(const struct sea_turn *turn)
{
    return strcmp(turn->from, "human") == 0;
}

/* Drops a first turn that is not human; then speakers must alternate and, with a picture,
 * exactly one turn must hold the tag. *image_turn is its index, or count. */
static enum sea_status
check_turns(const struct sea_turn **turns, size_t *count, bool has_image, size_t *image_turn,
            struct sea_err *err)
{
    size_t tags = 0;

    for (size_t i = 0; i < *count; i++)
        if (!is_human(&(*turns)[i]) && strcmp((*turns)[i].from, "gpt") != 0)
            return sea_fail(err, SEA_E_FORMAT, "turn %zu is from \"%.40s\", need human or gpt", i,
                            (*turns)[i].from);
    if (*count && !is_human(&(*turns)[0])) {
        ++*turns;
        --*count;
    }
    if (!*count)
        return sea_fail(err, SEA_E_FORMAT, "the conversation has no turn of a human");
    *image_turn = *count;       /* none */
    for (size_t i = 0; i < *count; i++) {
        if (is_human(&(*turns)[i]) != (i % 2 == 0))
            return sea_fail(err, SEA_E_FORMAT, "turns %zu and %zu are both from \"%s\", must be "
                            "of human and gpt in turn", i - 1, i, (*turns)[i].from);
        if (has_image && find_tag((*turns)[i].value, sea_turn_len(&(*turns)[i]))) {
            *image_turn = i;
            tags++;
        }
    }
    if (has_image && tags != 1) {
        sea_fail(err, SEA_E_FORMAT, "the row has a picture, and %zu turns hold the tag %s", tags,
                 SEA_IMAGE_TAG);
        sea_hint(err, "Exactly one turn must say where the picture stands.");
        return err->status;
    }
    return SEA_OK;
}

char *
sea_turn_without_tags(const struct sea_turn *turn, size_t *len)
{
    size_t from = 0, left = sea_turn_len(turn), n = strlen(SEA_IMAGE_TAG), used = 0;
    char *text = sea_xcalloc(left + 1, 1);
    const char *rest = turn->value, *tag;

    while ((tag = find_tag(rest, left))) {
        memcpy(text + used, rest, (size_t)(tag - rest));
        used += (size_t)(tag - rest);
        left -= (size_t)(tag - rest) + n;
        rest = tag + n;
    }
    memcpy(text + used, rest, left);
    used += left;
    while (used && is_blank(text[used - 1]))
        used--;
    while (from < used && is_blank(text[from]))
        from++;
    memmove(text, text + from, used - from);
    text[used - from] = 0;
    *len = used - from;
    return text;
}

/* The value of one turn; in the turn with the tag the image comes first, then a line end. */
enum sea_status
sea_builder_put_value(struct sea_builder *builder, const struct sea_turn *turn, bool has_tag)
{
    enum sea_status status;
    char *text;
    size_t len;

    if (!has_tag)
        return sea_builder_put_text(builder, turn->value, sea_turn_len(turn));
    text = sea_turn_without_tags(turn, &len);
    status = sea_builder_put_image(builder);
    if (!status && len)
        status = sea_builder_put_text(builder, "\n", 1);
    if (!status)
        status = sea_builder_put_text(builder, text, len);
    free(text);
    return status;
}

static enum sea_status
encode_plain(struct sea_builder *builder, const struct sea_turn *turns, size_t count,
             size_t image_turn)
{
    enum sea_status status;

    if (count != 2 || image_turn != 0)
        return sea_fail(builder->err, SEA_E_FORMAT,
                        "template plain needs a picture and 2 turns with the tag in the first, "
                        "the row has %zu turns", count);
    status = sea_builder_put_image(builder);
    if (!status)
        status = sea_builder_put_text(builder, turns[1].value, sea_turn_len(&turns[1]));
    if (!status)
        status = sea_builder_put_text(builder, "\n", 1);
    return status ? status : sea_builder_end_piece(builder, true);
}

static enum sea_status
put_answer(struct sea_builder *builder, const struct sea_turn *turn, bool has_tag, int32_t eos)
{
    enum sea_status status = sea_builder_put_text(builder, "ASSISTANT:", 10);

    if (!sea_turn_len(turn))        /* LLaVA writes neither a blank nor an end then */
        return status;
    if (has_tag)                /* the blank goes before the image, and is not learnt */
        status = status ? status : sea_builder_put_text(builder, " ", 1);
    if (!status)
        status = sea_builder_end_piece(builder, false);
    if (!status && !has_tag)
        status = sea_builder_put_text(builder, " ", 1);
    if (!status)
        status = sea_builder_put_value(builder, turn, has_tag);
    if (!status)
        status = sea_builder_end_piece(builder, true);
    add_id(builder->sample, eos, true);
    builder->next = SEA_PIECE_AFTER_SPECIAL;
    return status;
}

static enum sea_status
put_question(struct sea_builder *builder, const struct sea_turn *turn, bool has_tag)
{
    enum sea_status status = sea_builder_put_text(builder, "USER:", 5);

    if (!sea_turn_len(turn))
        return status;
    if (!status)
        status = sea_builder_put_text(builder, " ", 1);
    if (!status)
        status = sea_builder_put_value(builder, turn, has_tag);
    return status ? status : sea_builder_put_text(builder, " ", 1);
}

static enum sea_status
put_system(struct sea_builder *builder, const struct sea_conversation *conversation)
{
    const char *system = conversation->system ? conversation->system : SEA_V1_SYSTEM;
    enum sea_status status = SEA_OK;

    if (*system)
        status = sea_builder_put_text(builder, system, strlen(system));
    return status || !*system ? status : sea_builder_put_text(builder, " ", 1);
}

static enum sea_status
encode_v1(struct sea_builder *builder, const struct sea_conversation *conversation,
          const struct sea_turn *turns, size_t count, size_t image_turn)
{
    int32_t eos = sea_conversation_end(conversation, builder->tokenizer);
    enum sea_status status;

    status = put_system(builder, conversation);
    for (size_t i = 0; i < count && !status; i++)
        status = i % 2 ? put_answer(builder, &turns[i], i == image_turn, eos)
                       : put_question(builder, &turns[i], i == image_turn);
    return status ? status : sea_builder_end_piece(builder, false);
}

enum sea_status
sea_conversation_encode(const struct sea_conversation *conversation,
                        struct sea_tokenizer *tokenizer, const struct sea_turn *turns,
                        size_t count, bool has_image, struct sea_sample *sample,
                        struct sea_err *err)
{
    struct sea_builder builder;
    enum sea_status status;
    size_t image_turn = 0;

    sea_sample_clear(sample);
    status = check_turns(&turns, &count, has_image, &image_turn, err);
    if (status)
        return status;
    status = sea_conversation_check(conversation, tokenizer, err);
    if (status)
        return status;
    builder_init(&builder, tokenizer, sample, err);
    if (conversation->kind == SEA_TEMPLATE_PLAIN)
        status = encode_plain(&builder, turns, count, image_turn);
    else if (sea_conversation_style(conversation->kind))
        status = sea_style_encode(&builder, conversation, turns, count, image_turn);
    else
        status = encode_v1(&builder, conversation, turns, count, image_turn);
    builder_release(&builder);
    if (!status && conversation->compares && conversation->kind != SEA_TEMPLATE_PLAIN &&
        !sea_conversation_style(conversation->kind))
        status = sea_llava_skips(conversation, tokenizer, turns, count, image_turn, sample, err);
    return status;
}

/* Ends the last piece, adds the sample's ids to the caller's, and releases both. */
static enum sea_status
finish_ids(struct sea_builder *builder, enum sea_status status, struct sea_ids *ids)
{
    struct sea_sample *sample = builder->sample;

    if (!status)
        status = sea_builder_end_piece(builder, false);
    for (size_t i = 0; i < sample->ids.len && !status; i++)
        sea_ids_add(ids, sample->ids.data[i]);
    builder_release(builder);
    sea_sample_release(sample);
    return status;
}

enum sea_status
sea_conversation_prompt(const struct sea_conversation *conversation,
                        struct sea_tokenizer *tokenizer, const char *question,
                        bool has_image, struct sea_ids *ids, struct sea_err *err)
{
    struct sea_sample sample = { 0 };
    struct sea_builder builder;
    enum sea_status status;

    status = sea_conversation_check(conversation, tokenizer, err);
    if (status)
        return status;
    builder_init(&builder, tokenizer, &sample, err);
    if (sea_conversation_style(conversation->kind)) {
        status = sea_style_prompt(&builder, conversation, question, has_image);
    } else {
        bool is_plain = conversation->kind == SEA_TEMPLATE_PLAIN;

        status = is_plain ? SEA_OK : put_system(&builder, conversation);
        if (!status && !is_plain)
            status = sea_builder_put_text(&builder, "USER: ", 6);
        if (!status && has_image)
            status = sea_builder_put_image(&builder);
        if (!status && has_image && !is_plain)
            status = sea_builder_put_text(&builder, "\n", 1);
        if (!status)
            status = sea_builder_put_text(&builder, question, strlen(question));
        if (!status && !is_plain)
            status = sea_builder_put_text(&builder, " ASSISTANT:", 11);
    }
    return finish_ids(&builder, status, ids);
}

enum sea_status
sea_conversation_encode_text(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                             struct sea_ids *ids, struct sea_err *err)
{
    struct sea_sample sample = { 0 };
    const char *tag = find_tag(text, len);
    size_t before = tag ? (size_t)(tag - text) : len, n = strlen(SEA_IMAGE_TAG);
    struct sea_builder builder;
    enum sea_status status;

    if (tag && find_tag(tag + n, len - before - n))
        return sea_fail(err, SEA_E_FORMAT, "the text holds the tag %s more than once",
                        SEA_IMAGE_TAG);
    builder_init(&builder, tokenizer, &sample, err);
    status = sea_builder_put_text(&builder, text, before);
    if (tag && !status)
        status = sea_builder_put_image(&builder);
    if (tag && !status)
        status = sea_builder_put_text(&builder, tag + n, len - before - n);
    return finish_ids(&builder, status, ids);
}
