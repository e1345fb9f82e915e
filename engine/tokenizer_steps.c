/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of tokenizer.json: normalizers, pre-tokenizers and decoders. A sequence inside a
 * sequence is written out; what is not known is refused by name. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_base64.h"

struct reader {
    struct sea_tokenizer *tokenizer;
    const char *path;
    struct sea_err *err;
};

static enum sea_status
refuse(struct reader *reader, const char *what, const char *name)
{
    sea_fail(reader->err, SEA_E_FORMAT, "\"%s\": %s \"%s\" is not supported", reader->path, what,
             name);
    sea_hint(reader->err, "Supported is what byte-level BPE (GPT-2, Llama 3, Qwen, CLIP), BPE with "
                          "byte fallback (Llama 2, Gemma) and Unigram (T5, SigLIP) need.");
    return reader->err->status;
}

static void
drop_regex(void *regex)
{
    sea_regex_destroy(regex);
}

static enum sea_status
make_regex(struct reader *reader, const char *pattern, size_t len, bool literal,
           struct sea_regex **out)
{
    enum sea_status status = sea_regex_create(out, pattern, len, literal, reader->err);

    if (status)
        sea_context(reader->err, "while reading \"%s\"", reader->path);
    else
        sea_arena_on_reset(reader->tokenizer->arena, drop_regex, *out);
    return status;
}

/* {"String": TEXT} or {"Regex": TEXT} */
static enum sea_status
read_pattern(struct reader *reader, const struct sea_node *node, struct sea_regex **out)
{
    const struct sea_node *plain = sea_node_get(node, "String");
    const struct sea_node *regex = sea_node_get(node, "Regex");
    const struct sea_node *use = plain ? plain : regex;

    if (!use || use->kind != SEA_NODE_STRING || !use->text_len)
        return sea_fail(reader->err, SEA_E_FORMAT,
                        "\"%s\": a pattern must be {\"String\": text} or {\"Regex\": text}",
                        reader->path);
    return make_regex(reader, use->text, use->text_len, plain != NULL, out);
}

static const char *
type_of(const struct sea_node *node)
{
    return sea_node_text(sea_node_get(node, "type"), "(none)");
}

static const char *
keep_text(struct reader *reader, const struct sea_node *node, const char *fallback, size_t *len)
{
    *len = node && node->kind == SEA_NODE_STRING ? node->text_len : strlen(fallback);
    return sea_arena_strndup(reader->tokenizer->arena, sea_node_text(node, fallback), *len);
}

/* Calls read for the parts of a Sequence, whose list may have one of two names. */
static enum sea_status
read_list(struct reader *reader, const struct sea_node *node, const char *key,
          enum sea_status (*read)(struct reader *, const struct sea_node *))
{
    const struct sea_node *list = sea_node_get(node, key), *item;
    enum sea_status status = SEA_OK;

    for (item = list ? list->first : NULL; item && !status; item = item->next)
        status = read(reader, item);
    return status;
}

/* ---- normalizers ---- */

static enum sea_status
read_charsmap(struct reader *reader, const struct sea_node *node, struct sea_norm *norm)
{
    const struct sea_node *text = sea_node_get(node, "precompiled_charsmap");
    unsigned char *bytes;
    size_t len;

    if (!text || text->kind != SEA_NODE_STRING)
        return sea_fail(reader->err, SEA_E_FORMAT, "\"%s\": the normalizer \"Precompiled\" has no "
                                                   "\"precompiled_charsmap\"", reader->path);
    bytes = sea_arena_alloc(reader->tokenizer->arena, sea_base64_room(text->text_len), 1);
    if (sea_base64_read(bytes, &len, text->text, text->text_len) != text->text_len)
        return sea_fail(reader->err, SEA_E_FORMAT, "\"%s\": \"precompiled_charsmap\" is no base64",
                        reader->path);
    norm->kind = SEA_NORM_CHARSMAP;
    return sea_charsmap_read(&norm->map, bytes, len, reader->tokenizer->arena, reader->path,
                             reader->err);
}

static enum sea_status
read_norm(struct reader *reader, const struct sea_node *node)
{
    static const char *const forms[] = { [SEA_FORM_NFC] = "NFC", [SEA_FORM_NFD] = "NFD",
                                         [SEA_FORM_NFKC] = "NFKC", [SEA_FORM_NFKD] = "NFKD" };
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const char *type = type_of(node);
    struct sea_norm norm = { 0 };

    if (!strcmp(type, "Sequence"))
        return read_list(reader, node, "normalizers", read_norm);
    if (tokenizer->norm_count == SEA_TOKENIZER_STEPS)
        return refuse(reader, "more steps than 32, normalizer", type);
    if (!strcmp(type, "Lowercase")) {
        norm.kind = SEA_NORM_LOWER;
    } else if (!strcmp(type, "Strip")) {
        norm.kind = SEA_NORM_STRIP;
        norm.left = sea_node_bool(sea_node_get(node, "strip_left"), true);
        norm.right = sea_node_bool(sea_node_get(node, "strip_right"), true);
    } else if (!strcmp(type, "Prepend")) {
        norm.kind = SEA_NORM_PREPEND;
        norm.text = keep_text(reader, sea_node_get(node, "prepend"), "", &norm.len);
    } else if (!strcmp(type, "Replace")) {
        norm.kind = SEA_NORM_REPLACE;
        norm.text = keep_text(reader, sea_node_get(node, "content"), "", &norm.len);
        if (read_pattern(reader, sea_node_get(node, "pattern"), &norm.regex))
            return reader->err->status;
    } else if (!strcmp(type, "StripAccents")) {
        norm.kind = SEA_NORM_ACCENTS;
    } else if (!strcmp(type, "Nmt")) {
        norm.kind = SEA_NORM_NMT;
    } else if (!strcmp(type, "Precompiled")) {
        if (read_charsmap(reader, node, &norm))
            return reader->err->status;
    } else {
        norm.kind = SEA_NORM_FORM;
        while (norm.form <= SEA_FORM_NFKD && strcmp(type, forms[norm.form]) != 0)
            norm.form++;
        if (norm.form > SEA_FORM_NFKD)
            return refuse(reader, "normalizer", type);
    }
    tokenizer->norms[tokenizer->norm_count++] = norm;
    return SEA_OK;
}

/* ---- pre-tokenizers ---- */

static enum sea_status
add_pre(struct reader *reader, struct sea_pre pre)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;

    if (tokenizer->pre_count == SEA_TOKENIZER_STEPS)
        return refuse(reader, "more steps than 32, pre-tokenizer", "Sequence");
    if (tokenizer->bpe.byte_level)
        return refuse(reader, "a pre-tokenizer after", "ByteLevel");
    tokenizer->pres[tokenizer->pre_count++] = pre;
    return SEA_OK;
}

static enum sea_status
add_split(struct reader *reader, const char *pattern, bool literal,
          enum sea_split_behavior behavior, bool invert)
{
    struct sea_pre pre = { .kind = SEA_PRE_SPLIT, .behavior = behavior, .invert = invert };
    enum sea_status status = make_regex(reader, pattern, strlen(pattern), literal, &pre.regex);

    return status ? status : add_pre(reader, pre);
}

static enum sea_status
add_hand(struct reader *reader, enum sea_hand hand, enum sea_split_behavior behavior, bool invert)
{
    struct sea_pre pre = { .kind = SEA_PRE_SPLIT, .behavior = behavior, .invert = invert };

    pre.regex = sea_regex_by_hand(hand);
    sea_arena_on_reset(reader->tokenizer->arena, drop_regex, pre.regex);
    return add_pre(reader, pre);
}

static enum sea_status
read_behavior(struct reader *reader, const struct sea_node *node, const char *fallback,
              enum sea_split_behavior *out)
{
    static const char *const names[] = {
        [SEA_SPLIT_REMOVED] = "Removed", [SEA_SPLIT_ISOLATED] = "Isolated",
        [SEA_SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
        [SEA_SPLIT_WITH_NEXT] = "MergedWithNext", [SEA_SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const char *behavior = sea_node_text(sea_node_get(node, "behavior"), fallback);
    int at = 0;

    while (at <= SEA_SPLIT_CONTIGUOUS && strcmp(behavior, names[at]) != 0)
        at++;
    *out = (enum sea_split_behavior)at;
    return at > SEA_SPLIT_CONTIGUOUS ? refuse(reader, "behavior of Split,", behavior) : SEA_OK;
}

static enum sea_status
read_split(struct reader *reader, const struct sea_node *node)
{
    struct sea_pre pre = { .kind = SEA_PRE_SPLIT };
    enum sea_status status = read_behavior(reader, node, "(none)", &pre.behavior);

    pre.invert = sea_node_bool(sea_node_get(node, "invert"), false);
    if (!status)
        status = read_pattern(reader, sea_node_get(node, "pattern"), &pre.regex);
    return status ? status : add_pre(reader, pre);
}

static enum sea_status
read_punctuation(struct reader *reader, const struct sea_node *node)
{
    enum sea_split_behavior behavior;
    enum sea_status status = read_behavior(reader, node, "Isolated", &behavior);

    return status ? status : add_hand(reader, SEA_HAND_PUNCTUATION, behavior, false);
}

static enum sea_status
read_byte_level(struct reader *reader, const struct sea_node *node)
{
    struct sea_pre space = { .kind = SEA_PRE_PREFIX_SPACE, .prepend = SEA_PREPEND_ALWAYS };
    enum sea_status status = SEA_OK;

    if (sea_node_bool(sea_node_get(node, "add_prefix_space"), true))
        status = add_pre(reader, space);
    if (!status && sea_node_bool(sea_node_get(node, "use_regex"), true))
        status = add_split(reader, SEA_REGEX_GPT2, false, SEA_SPLIT_ISOLATED, false);
    reader->tokenizer->bpe.byte_level = true;
    return status;
}

/* When Metaspace puts its mark in front; older files say it with add_prefix_space. */
static enum sea_status
read_scheme(struct reader *reader, const struct sea_node *node, enum sea_prepend *out)
{
    static const char *const names[] = { [SEA_PREPEND_NEVER] = "never",
                                         [SEA_PREPEND_FIRST] = "first",
                                         [SEA_PREPEND_ALWAYS] = "always" };
    const char *scheme = sea_node_text(sea_node_get(node, "prepend_scheme"), NULL);
    int at = SEA_PREPEND_NEVER;

    if (!scheme)
        scheme = sea_node_bool(sea_node_get(node, "add_prefix_space"), true) ? "always" : "never";
    while (at <= SEA_PREPEND_ALWAYS && strcmp(scheme, names[at]) != 0)
        at++;
    if (at > SEA_PREPEND_ALWAYS)
        return refuse(reader, "prepend_scheme", scheme);
    *out = (enum sea_prepend)at;
    return SEA_OK;
}

static enum sea_status
read_metaspace(struct reader *reader, const struct sea_node *node)
{
    struct sea_pre pre = { .kind = SEA_PRE_METASPACE };
    enum sea_status status;
    size_t len;

    pre.mark = keep_text(reader, sea_node_get(node, "replacement"), "\xE2\x96\x81", &len);
    status = read_scheme(reader, node, &pre.prepend);
    if (!status)
        status = add_pre(reader, pre);
    if (!status && sea_node_bool(sea_node_get(node, "split"), true))
        status = add_split(reader, pre.mark, true, SEA_SPLIT_WITH_NEXT, false);
    return status;
}

static enum sea_status
read_pre(struct reader *reader, const struct sea_node *node)
{
    const char *type = type_of(node);

    if (!strcmp(type, "Sequence"))
        return read_list(reader, node, "pretokenizers", read_pre);
    if (!strcmp(type, "ByteLevel"))
        return read_byte_level(reader, node);
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(reader, node);
    if (!strcmp(type, "Split"))
        return read_split(reader, node);
    if (!strcmp(type, "Digits"))
        return add_hand(reader, SEA_HAND_DIGIT,
                        sea_node_bool(sea_node_get(node, "individual_digits"), false)
                            ? SEA_SPLIT_ISOLATED : SEA_SPLIT_CONTIGUOUS, false);
    if (!strcmp(type, "Whitespace"))
        return add_hand(reader, SEA_HAND_WORDS, SEA_SPLIT_REMOVED, true);
    if (!strcmp(type, "WhitespaceSplit"))
        return add_hand(reader, SEA_HAND_SPACE, SEA_SPLIT_REMOVED, false);
    if (!strcmp(type, "Punctuation"))
        return read_punctuation(reader, node);
    if (!strcmp(type, "CharDelimiterSplit") &&
        *sea_node_text(sea_node_get(node, "delimiter"), ""))
        return add_split(reader, sea_node_text(sea_node_get(node, "delimiter"), ""), true,
                         SEA_SPLIT_REMOVED, false);
    return refuse(reader, "pre-tokenizer", type);
}

/* ---- decoders ---- */

static enum sea_status
read_dec(struct reader *reader, const struct sea_node *node)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const char *type = type_of(node);
    struct sea_dec dec = { 0 };
    enum sea_prepend prepend = SEA_PREPEND_NEVER;
    enum sea_status status = SEA_OK;

    if (!strcmp(type, "Sequence"))
        return read_list(reader, node, "decoders", read_dec);
    if (tokenizer->dec_count == SEA_TOKENIZER_STEPS)
        return refuse(reader, "more steps than 32, decoder", type);
    if (!strcmp(type, "ByteLevel")) {
        dec.kind = SEA_DEC_BYTE_LEVEL;
    } else if (!strcmp(type, "ByteFallback")) {
        dec.kind = SEA_DEC_BYTE_FALLBACK;
    } else if (!strcmp(type, "Fuse")) {
        dec.kind = SEA_DEC_FUSE;
    } else if (!strcmp(type, "Replace")) {
        dec.kind = SEA_DEC_REPLACE;
        dec.text = keep_text(reader, sea_node_get(node, "content"), "", &dec.len);
        status = read_pattern(reader, sea_node_get(node, "pattern"), &dec.regex);
    } else if (!strcmp(type, "Strip")) {
        dec.kind = SEA_DEC_STRIP;
        dec.text = keep_text(reader, sea_node_get(node, "content"), " ", &dec.len);
        dec.start = dec.len ? sea_node_int(sea_node_get(node, "start"), 0) : 0;
        dec.stop = dec.len ? sea_node_int(sea_node_get(node, "stop"), 0) : 0;
    } else if (!strcmp(type, "Metaspace")) {
        dec.kind = SEA_DEC_METASPACE;
        dec.text = keep_text(reader, sea_node_get(node, "replacement"), "\xE2\x96\x81", &dec.len);
        status = read_scheme(reader, node, &prepend);
        dec.drops_first = prepend != SEA_PREPEND_NEVER;
    } else if (!strcmp(type, "BPEDecoder")) {
        dec.kind = SEA_DEC_SUFFIX;
        dec.text = keep_text(reader, sea_node_get(node, "suffix"), "</w>", &dec.len);
    } else if (!strcmp(type, "WordPiece")) {
        dec.kind = SEA_DEC_WORDPIECE;
        dec.text = keep_text(reader, sea_node_get(node, "prefix"), "##", &dec.len);
        dec.cleans = sea_node_bool(sea_node_get(node, "cleanup"), true);
    } else {
        return refuse(reader, "decoder", type);
    }
    tokenizer->decs[tokenizer->dec_count++] = dec;
    return status;
}

enum sea_status
sea_steps_parse(struct sea_tokenizer *tokenizer, const struct sea_node *root, const char *path,
                struct sea_err *err)
{
    struct reader reader = { tokenizer, path, err };
    const struct sea_node *norm = sea_node_get(root, "normalizer");
    const struct sea_node *pre = sea_node_get(root, "pre_tokenizer");
    const struct sea_node *dec = sea_node_get(root, "decoder");
    enum sea_status status = SEA_OK;

    if (norm && norm->kind != SEA_NODE_NULL)
        status = read_norm(&reader, norm);
    if (!status && pre && pre->kind != SEA_NODE_NULL)
        status = read_pre(&reader, pre);
    if (!status && dec && dec->kind != SEA_NODE_NULL)
        status = read_dec(&reader, dec);
    return status;
}
