/* SPDX-License-Identifier: Apache-2.0 */
/* Templates by name, and those of the families' chat models. */
#include "engine/conversation_int.h"

#include <stdio.h>
#include <string.h>

#define NEEDS 4

struct sea_style {              /* texts may hold special words */
    const char *system_open, *system, *system_close;    /* open NULL: there is no system part */
    const char *user, *close;   /* around a question */
    const char *answer;         /* before an answer */
    const char *end;            /* after it, learnt */
    const char *after;          /* then, not learnt */
    const char *needs[NEEDS];   /* special words */
};

static const struct sea_style llama3 = {
    .system_open = "<|start_header_id|>system<|end_header_id|>\n\n", .system = SEA_V1_SYSTEM,
    .system_close = "<|eot_id|>", .user = "<|start_header_id|>user<|end_header_id|>\n\n",
    .close = "<|eot_id|>", .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n",
    .end = "<|eot_id|>", .after = "",
    .needs = { "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>" },
};
static const struct sea_style phi3 = {
    .system_open = "<|system|>\n", .system = "You are a helpful AI assistant.",
    .system_close = "<|end|>\n", .user = "<|user|>\n", .close = "<|end|>\n",
    .answer = "<|assistant|>\n", .end = "<|end|>", .after = "\n",
    .needs = { "<|system|>", "<|user|>", "<|assistant|>", "<|end|>" },
};
static const struct sea_style gemma = {
    .user = "<start_of_turn>user\n", .close = "<end_of_turn>\n",
    .answer = "<start_of_turn>model\n", .end = "<end_of_turn>\n<eos>", .after = "",
    .needs = { "<start_of_turn>", "<end_of_turn>", "<eos>" },
};
static const struct sea_style qwen2 = {
    .system_open = "<|im_start|>system\n", .system = "You are a helpful assistant.",
    .system_close = "<|im_end|>\n", .user = "<|im_start|>user\n", .close = "<|im_end|>\n",
    .answer = "<|im_start|>assistant\n", .end = "<|im_end|>", .after = "\n",
    .needs = { "<|im_start|>", "<|im_end|>" },
};

static const struct {
    const char *name;
    const char *end;            /* the word that ends an answer; NULL: the tokenizer's EOS */
    const struct sea_style *style;
} templates[] = {
    [SEA_TEMPLATE_PLAIN] = { "plain", NULL, NULL },
    [SEA_TEMPLATE_V1] = { "v1", NULL, NULL },
    [SEA_TEMPLATE_TINY_LLAMA] = { "tiny-llama", "</s>", NULL },
    [SEA_TEMPLATE_TINY_GEMMA] = { "tiny-gemma", "<eos>", NULL },
    [SEA_TEMPLATE_TINY_PHI] = { "tiny-phi", "<|endoftext|>", NULL },
    [SEA_TEMPLATE_TINY_QWEN2] = { "tiny-qwen2", "<|endoftext|>", NULL },
    [SEA_TEMPLATE_TINY_QWEN2_INSTRUCT] = { "tiny-qwen2-instruct", "<|im_end|>", NULL },
    [SEA_TEMPLATE_LLAMA3] = { "llama-3", "<|eot_id|>", &llama3 },
    [SEA_TEMPLATE_PHI3] = { "phi-3", "<|end|>", &phi3 },
    [SEA_TEMPLATE_GEMMA] = { "gemma", "<end_of_turn>", &gemma },
    [SEA_TEMPLATE_QWEN2] = { "qwen2", "<|im_end|>", &qwen2 },
};
#define TEMPLATES (sizeof(templates) / sizeof(templates[0]))

enum sea_status
sea_template_parse(enum sea_template *out, const char *name, struct sea_err *err)
{
    for (size_t i = 0; i < TEMPLATES; i++)
        if (!strcmp(name, templates[i].name)) {
            *out = (enum sea_template)i;
            return SEA_OK;
        }
    sea_fail(err, SEA_E_CONFIG, "template \"%s\" is not known", name);
    sea_hint(err, "Known templates are plain, v1, tiny-llama, tiny-gemma, tiny-phi, tiny-qwen2, "
                  "tiny-qwen2-instruct, llama-3, phi-3, gemma and qwen2.");
    return err->status;
}

const char *
sea_template_name(enum sea_template kind)
{
    return templates[kind].name;
}

const struct sea_style *
sea_conversation_style(enum sea_template kind)
{
    return templates[kind].style;
}

struct sea_conversation
sea_conversation_defaults(enum sea_template kind)
{
    return (struct sea_conversation){ .kind = kind, .system = NULL, .eos = -1 };
}

int32_t
sea_conversation_end(const struct sea_conversation *conversation,
                     const struct sea_tokenizer *tokenizer)
{
    const char *end = templates[conversation->kind].end;

    if (end)
        return sea_tokenizer_find(tokenizer, end);
    return conversation->eos > 0 ? conversation->eos : sea_tokenizer_special(tokenizer)->eos;
}

enum sea_status
sea_conversation_check(const struct sea_conversation *conversation,
                       const struct sea_tokenizer *tokenizer, struct sea_err *err)
{
    const struct sea_style *style = templates[conversation->kind].style;
    const char *name = templates[conversation->kind].name;

    for (size_t i = 0; style && i < NEEDS && style->needs[i]; i++)
        if (sea_tokenizer_find(tokenizer, style->needs[i]) < 0)
            return sea_fail(err, SEA_E_FORMAT,
                            "template %s needs the word \"%s\", the tokenizer has none", name,
                            style->needs[i]);
    if (conversation->kind == SEA_TEMPLATE_PLAIN ||
        sea_conversation_end(conversation, tokenizer) >= 0)
        return SEA_OK;
    if (templates[conversation->kind].end)
        return sea_fail(err, SEA_E_FORMAT,
                        "template %s ends answers with \"%s\", the tokenizer has no such word",
                        name, templates[conversation->kind].end);
    return sea_fail(err, SEA_E_FORMAT,
                    "template %s ends answers with the tokenizer's eos_token, it has none", name);
}

/* ---- a family's template ---- */

/* Does the last special word of this text take the blanks that follow? */
static enum sea_status
takes_blanks(struct sea_builder *builder, const char *text, bool *out)
{
    struct sea_ids plain = { 0 }, blank = { 0 };
    enum sea_status status;
    char with[128];
    int n;

    n = snprintf(with, sizeof(with), "%sx", text);
    status = sea_tokenizer_encode_piece(builder->tokenizer, with, (size_t)n,
                                        SEA_PIECE_AFTER_SPECIAL, &plain, builder->err);
    n = snprintf(with, sizeof(with), "%s \nx", text);
    if (!status)
        status = sea_tokenizer_encode_piece(builder->tokenizer, with, (size_t)n,
                                            SEA_PIECE_AFTER_SPECIAL, &blank, builder->err);
    *out = !status && plain.len == blank.len &&
           !memcmp(plain.data, blank.data, plain.len * sizeof(*plain.data));
    sea_ids_release(&plain);
    sea_ids_release(&blank);
    return status;
}

static enum sea_status
put(struct sea_builder *builder, const char *text)
{
    return sea_builder_put_text(builder, text, strlen(text));
}

/* Ends a piece that ends with `text`, where special words matter. */
static enum sea_status
end_with(struct sea_builder *builder, const char *text, bool supervised, bool is_word)
{
    bool blanks = false;
    enum sea_status status = put(builder, text);

    if (!status)
        status = takes_blanks(builder, text, &blanks);
    if (!status)
        status = sea_builder_end_piece(builder, supervised);
    builder->skips_blanks = blanks;
    if (blanks || is_word)
        builder->next = SEA_PIECE_AFTER_SPECIAL;
    return status;
}

static enum sea_status
put_system(struct sea_builder *builder, const struct sea_conversation *conversation)
{
    const struct sea_style *style = sea_conversation_style(conversation->kind);
    const char *system = conversation->system ? conversation->system : style->system;
    enum sea_status status;

    if (!style->system_open || !*system)
        return SEA_OK;
    status = put(builder, style->system_open);
    if (!status)
        status = put(builder, system);
    return status ? status : put(builder, style->system_close);
}

/* An answer that is not there is neither ended nor learnt. */
static enum sea_status
put_answer(struct sea_builder *builder, const struct sea_style *style, const struct sea_turn *turn,
           bool has_tag)
{
    enum sea_status status = end_with(builder, style->answer, false, false);

    if (status || !sea_turn_len(turn))
        return status;
    status = sea_builder_put_value(builder, turn, has_tag);
    if (!status)
        status = end_with(builder, style->end, true, true);
    return status ? status : put(builder, style->after);
}

enum sea_status
sea_style_encode(struct sea_builder *builder, const struct sea_conversation *conversation,
                 const struct sea_turn *turns, size_t count, size_t image_turn)
{
    const struct sea_style *style = sea_conversation_style(conversation->kind);
    enum sea_status status = put_system(builder, conversation);

    for (size_t i = 0; i < count && !status; i++) {
        if (i % 2) {
            status = put_answer(builder, style, &turns[i], i == image_turn);
            continue;
        }
        status = put(builder, style->user);
        if (!status)
            status = sea_builder_put_value(builder, &turns[i], i == image_turn);
        if (!status)
            status = put(builder, style->close);
    }
    return status ? status : sea_builder_end_piece(builder, false);
}

enum sea_status
sea_style_prompt(struct sea_builder *builder, const struct sea_conversation *conversation,
                 const char *question, bool has_image)
{
    const struct sea_style *style = sea_conversation_style(conversation->kind);
    enum sea_status status = put_system(builder, conversation);

    if (!status)
        status = put(builder, style->user);
    if (!status && has_image)
        status = sea_builder_put_image(builder);
    if (!status && has_image)
        status = put(builder, "\n");
    if (!status)
        status = put(builder, question);
    if (!status)
        status = put(builder, style->close);
    return status ? status : put(builder, style->answer);
}
