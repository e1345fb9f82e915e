/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json: model, added words and template; tokenizer_config.json and
 * special_tokens_map.json: which words begin, end and fill a text. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define VOCAB_MAX ((int64_t)1 << 22)

struct reader {
    struct sea_tokenizer *tokenizer;
    const char *path;
    struct sea_err *err;
};

#define BAD(reader, ...) sea_fail((reader)->err, SEA_E_FORMAT, __VA_ARGS__)

static bool
is_absent(const struct sea_node *node)
{
    return !node || node->kind == SEA_NODE_NULL;
}

/* ---- the model ---- */

static enum sea_status
read_vocab(struct reader *reader, const struct sea_node *node)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const struct sea_node *item;
    size_t len;

    if (!node || node->kind != SEA_NODE_MAP || !node->count)
        return BAD(reader, "\"%s\": the model has no \"vocab\"", reader->path);
    for (item = node->first; item; item = item->next) {
        if (item->kind != SEA_NODE_INT || item->integer < 0 || item->integer >= VOCAB_MAX)
            return BAD(reader, "\"%s\": word \"%.100s\" needs an id in 0 .. %lld", reader->path,
                       item->key, (long long)VOCAB_MAX - 1);
        len = strlen(item->key);
        if (!sea_vocab_add(&tokenizer->vocab, sea_arena_strndup(tokenizer->arena, item->key, len),
                           len, (int32_t)item->integer))
            return BAD(reader, "\"%s\": id %lld belongs to two words, one is \"%.100s\"",
                       reader->path, (long long)item->integer, item->key);
    }
    return SEA_OK;
}

struct piece {
    const char *text;
    size_t len;
};

/* "LEFT RIGHT" or ["LEFT", "RIGHT"] */
static bool
split_merge(const struct sea_node *item, struct piece *left, struct piece *right)
{
    const char *space;

    if (item->kind == SEA_NODE_LIST && item->count == 2 &&
        item->first->kind == SEA_NODE_STRING && item->last->kind == SEA_NODE_STRING) {
        *left = (struct piece){ item->first->text, item->first->text_len };
        *right = (struct piece){ item->last->text, item->last->text_len };
        return true;
    }
    if (item->kind != SEA_NODE_STRING || !(space = memchr(item->text, ' ', item->text_len)))
        return false;
    *left = (struct piece){ item->text, (size_t)(space - item->text) };
    *right = (struct piece){ space + 1, item->text_len - left->len - 1 };
    return !memchr(right->text, ' ', right->len);
}

static enum sea_status
read_merges(struct reader *reader, const struct sea_node *list)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const struct sea_vocab *vocab = &tokenizer->vocab;
    struct piece left = { 0 }, right = { 0 };
    const struct sea_node *item;
    struct sea_buf whole;
    uint32_t rank = 0;
    int32_t ids[3];

    if (!list || list->kind != SEA_NODE_LIST)
        return BAD(reader, "\"%s\": the model has no list \"merges\"", reader->path);
    sea_bpe_reserve(&tokenizer->bpe, list->count);
    sea_buf_init(&whole, SIZE_MAX / 2);
    for (item = list->first; item; item = item->next, rank++) {
        if (!split_merge(item, &left, &right)) {
            BAD(reader, "\"%s\": merge %u is no pair of words", reader->path, rank);
            break;
        }
        sea_buf_clear(&whole);
        sea_buf_add(&whole, left.text, left.len);
        sea_buf_add(&whole, right.text, right.len);
        ids[0] = sea_vocab_find(vocab, left.text, left.len);
        ids[1] = sea_vocab_find(vocab, right.text, right.len);
        ids[2] = sea_vocab_find(vocab, whole.data, whole.len);
        if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0) {
            BAD(reader, "\"%s\": merge %u, \"%.80s\" with \"%.80s\", names a word that is not in "
                        "the vocabulary", reader->path, rank, left.text, right.text);
            break;
        }
        sea_bpe_add(&tokenizer->bpe, ids[0], ids[1], ids[2], rank);
    }
    sea_buf_release(&whole);
    return item ? reader->err->status : SEA_OK;
}

static enum sea_status
read_options(struct reader *reader, const struct sea_node *model)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const char *type = sea_node_text(sea_node_get(model, "type"), "BPE");
    const char *prefix = sea_node_text(sea_node_get(model, "continuing_subword_prefix"), "");
    const char *suffix = sea_node_text(sea_node_get(model, "end_of_word_suffix"), "");
    const char *unk = sea_node_text(sea_node_get(model, "unk_token"), NULL);

    if (strcmp(type, "BPE") != 0) {
        BAD(reader, "\"%s\": tokenizer model \"%s\" is not supported, need BPE", reader->path,
            type);
        sea_hint(reader->err, "Use a model with a BPE tokenizer, such as those of the Llama, Qwen, "
                              "Gemma and CLIP families.");
        return reader->err->status;
    }
    if (*prefix)
        return BAD(reader, "\"%s\": continuing_subword_prefix \"%s\" is not supported",
                   reader->path, prefix);
    if (strlen(suffix) > 32)
        return BAD(reader, "\"%s\": end_of_word_suffix is longer than 32 bytes", reader->path);
    if (sea_node_real(sea_node_get(model, "dropout"), 0) > 0)
        return BAD(reader, "\"%s\": BPE with \"dropout\" is not supported", reader->path);
    tokenizer->bpe.suffix = sea_arena_strdup(tokenizer->arena, suffix);
    tokenizer->bpe.fuse_unk = sea_node_bool(sea_node_get(model, "fuse_unk"), false);
    tokenizer->bpe.byte_fallback = sea_node_bool(sea_node_get(model, "byte_fallback"), false);
    tokenizer->bpe.ignore_merges = sea_node_bool(sea_node_get(model, "ignore_merges"), false);
    tokenizer->bpe.unk = unk ? sea_vocab_find(&tokenizer->vocab, unk, strlen(unk)) : -1;
    return SEA_OK;
}

static void
find_bytes(struct sea_tokenizer *tokenizer)
{
    char name[8];
    size_t n;

    for (unsigned int b = 0; b < 256; b++) {
        if (tokenizer->bpe.byte_level)
            n = sea_utf8_put(name, sea_byte_char((unsigned char)b));
        else
            n = (size_t)snprintf(name, sizeof(name), "<0x%02X>", b);
        tokenizer->bpe.bytes[b] = sea_vocab_find(&tokenizer->vocab, name, n);
    }
}

static enum sea_status
read_model(struct reader *reader, const struct sea_node *model)
{
    enum sea_status status;

    if (!model || model->kind != SEA_NODE_MAP)
        return BAD(reader, "\"%s\" has no \"model\"", reader->path);
    reader->tokenizer->bpe.vocab = &reader->tokenizer->vocab;
    reader->tokenizer->bpe.suffix = "";
    if (!strcmp(sea_node_text(sea_node_get(model, "type"), "BPE"), "BPE")) {
        status = read_vocab(reader, sea_node_get(model, "vocab"));
        if (status)
            return status;
    }
    status = read_options(reader, model);
    if (!status)
        status = read_merges(reader, sea_node_get(model, "merges"));
    if (!status)
        find_bytes(reader->tokenizer);
    return status;
}

/* ---- added words ---- */

static enum sea_status
read_added_one(struct reader *reader, const struct sea_node *item, struct sea_added *added)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const struct sea_node *content = sea_node_get(item, "content");
    int64_t id = sea_node_int(sea_node_get(item, "id"), -1);

    if (!content || content->kind != SEA_NODE_STRING || !content->text_len || id < 0 ||
        id >= VOCAB_MAX)
        return BAD(reader, "\"%s\": an added word needs a content and an id in 0 .. %lld",
                   reader->path, (long long)VOCAB_MAX - 1);
    added->content = sea_arena_strndup(tokenizer->arena, content->text, content->text_len);
    added->match = added->content;
    added->match_len = content->text_len;
    added->id = (int32_t)id;
    added->special = sea_node_bool(sea_node_get(item, "special"), false);
    added->normalized = sea_node_bool(sea_node_get(item, "normalized"), !added->special);
    added->lstrip = sea_node_bool(sea_node_get(item, "lstrip"), false);
    added->rstrip = sea_node_bool(sea_node_get(item, "rstrip"), false);
    added->single_word = sea_node_bool(sea_node_get(item, "single_word"), false);
    if (!sea_vocab_add(&tokenizer->vocab, added->content, content->text_len, added->id))
        return BAD(reader, "\"%s\": added word \"%.100s\" has id %lld, the vocabulary says otherwise",
                   reader->path, added->content, (long long)id);
    return SEA_OK;
}

/* What is looked for in normalized text is the normalized word. */
static enum sea_status
normalize_added(struct reader *reader, struct sea_work *work)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < tokenizer->added_count && !status; i++) {
        struct sea_added *added = &tokenizer->added[i];

        if (!added->normalized)
            continue;
        status = sea_text_normalize(tokenizer, added->content, added->match_len, SEA_PIECE_FIRST,
                                    work, reader->err);
        added->match = sea_arena_strndup(tokenizer->arena, work->text.data, work->text.len);
        added->match_len = work->text.len;
    }
    return status;
}

static enum sea_status
read_added(struct reader *reader, const struct sea_node *list)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    enum sea_status status = SEA_OK;
    const struct sea_node *item;
    struct sea_work work;

    tokenizer->added = sea_arena_alloc(tokenizer->arena, (list ? list->count : 0) + 1,
                                       sizeof(*tokenizer->added));
    for (item = list ? list->first : NULL; item && !status; item = item->next)
        status = read_added_one(reader, item, &tokenizer->added[tokenizer->added_count++]);
    if (status)
        return status;
    sea_work_init(&work);
    status = normalize_added(reader, &work);
    sea_work_release(&work);
    sea_added_set_init(&tokenizer->raw, tokenizer->added, tokenizer->added_count, false,
                       tokenizer->arena);
    sea_added_set_init(&tokenizer->normal, tokenizer->added, tokenizer->added_count, true,
                       tokenizer->arena);
    tokenizer->special = sea_arena_alloc(tokenizer->arena, (size_t)tokenizer->vocab.count + 1,
                                         sizeof(*tokenizer->special));
    for (size_t i = 0; i < tokenizer->added_count; i++)
        tokenizer->special[tokenizer->added[i].id] = tokenizer->added[i].special;
    return status;
}

/* ---- the template ---- */

static enum sea_status
add_template_word(struct reader *reader, const struct sea_node *specials, const char *name,
                  struct sea_ids *to)
{
    const struct sea_node *ids = sea_node_get(sea_node_get(specials, name), "ids"), *item;

    if (!ids || ids->kind != SEA_NODE_LIST || !ids->count)
        return BAD(reader, "\"%s\": the template's word \"%s\" has no ids", reader->path, name);
    for (item = ids->first; item; item = item->next) {
        if (item->kind != SEA_NODE_INT || item->integer < 0 ||
            item->integer >= reader->tokenizer->vocab.count)
            return BAD(reader, "\"%s\": the template's word \"%s\" has an id outside the vocabulary",
                       reader->path, name);
        sea_ids_add(to, (int32_t)item->integer);
    }
    return SEA_OK;
}

static enum sea_status
read_template(struct reader *reader, const struct sea_node *node)
{
    const struct sea_node *specials = sea_node_get(node, "special_tokens");
    const struct sea_node *list = sea_node_get(node, "single"), *item, *word;
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    struct sea_ids *to = &tokenizer->prefix;
    enum sea_status status = SEA_OK;

    for (item = list ? list->first : NULL; item && !status; item = item->next) {
        word = sea_node_get(item, "SpecialToken");
        if (sea_node_get(item, "Sequence"))
            to = &tokenizer->suffix;
        else if (word)
            status = add_template_word(reader, specials,
                                       sea_node_text(sea_node_get(word, "id"), ""), to);
        else
            status = BAD(reader, "\"%s\": the template has a part of an unknown kind", reader->path);
    }
    if (!status && to == &tokenizer->prefix)
        status = BAD(reader, "\"%s\": the template has no place for the text", reader->path);
    return status;
}

/* ["WORD", id] */
static enum sea_status
add_pair(struct reader *reader, const struct sea_node *pair, struct sea_ids *to)
{
    if (!pair || pair->kind != SEA_NODE_LIST || pair->count != 2 ||
        pair->last->kind != SEA_NODE_INT || pair->last->integer < 0 ||
        pair->last->integer >= reader->tokenizer->vocab.count)
        return BAD(reader, "\"%s\": the post-processor's \"sep\" and \"cls\" need a word and its id",
                   reader->path);
    sea_ids_add(to, (int32_t)pair->last->integer);
    return SEA_OK;
}

static enum sea_status
read_post(struct reader *reader, const struct sea_node *node)
{
    const char *type = sea_node_text(sea_node_get(node, "type"), "(none)");
    const struct sea_node *list = sea_node_get(node, "processors"), *item;
    enum sea_status status = SEA_OK;

    if (is_absent(node) || !strcmp(type, "ByteLevel"))  /* it only moves offsets */
        return SEA_OK;
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(reader, node);
    if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing")) {
        status = add_pair(reader, sea_node_get(node, "cls"), &reader->tokenizer->prefix);
        return status ? status
                      : add_pair(reader, sea_node_get(node, "sep"), &reader->tokenizer->suffix);
    }
    if (strcmp(type, "Sequence") != 0)
        return BAD(reader, "\"%s\": post-processor \"%s\" is not supported", reader->path, type);
    for (item = list ? list->first : NULL; item && !status; item = item->next)
        status = read_post(reader, item);
    return status;
}

/* ---- the other two files ---- */

/* "</s>" or {"content": "</s>", ...} under key; -1: not there. */
static int32_t
special_id(const struct sea_tokenizer *tokenizer, const struct sea_node *root, const char *key)
{
    const struct sea_node *node = sea_node_get(root, key);
    const char *word = sea_node_text(node, NULL);

    if (!word)
        word = sea_node_text(sea_node_get(node, "content"), NULL);
    return word ? sea_tokenizer_find(tokenizer, word) : -1;
}

static void
read_special_ids(struct sea_tokenizer *tokenizer, const struct sea_node *root)
{
    struct sea_tokenizer_special *ids = &tokenizer->ids;

    ids->bos = ids->bos < 0 ? special_id(tokenizer, root, "bos_token") : ids->bos;
    ids->eos = ids->eos < 0 ? special_id(tokenizer, root, "eos_token") : ids->eos;
    ids->unk = ids->unk < 0 ? special_id(tokenizer, root, "unk_token") : ids->unk;
    ids->pad = ids->pad < 0 ? special_id(tokenizer, root, "pad_token") : ids->pad;
}

/* transformers builds the template of these classes from two switches. */
static void
apply_switches(struct sea_tokenizer *tokenizer, const struct sea_node *root)
{
    const char *class = sea_node_text(sea_node_get(root, "tokenizer_class"), "");
    const struct sea_node *bos = sea_node_get(root, "add_bos_token");
    const struct sea_node *eos = sea_node_get(root, "add_eos_token");
    const struct sea_tokenizer_special *ids = &tokenizer->ids;

    if (strncmp(class, "Llama", 5) != 0 && strncmp(class, "Gemma", 5) != 0)
        return;
    if (!is_absent(bos)) {
        sea_ids_clear(&tokenizer->prefix);
        if (sea_node_bool(bos, false) && ids->bos >= 0)
            sea_ids_add(&tokenizer->prefix, ids->bos);
    }
    if (!is_absent(eos)) {
        sea_ids_clear(&tokenizer->suffix);
        if (sea_node_bool(eos, false) && ids->eos >= 0)
            sea_ids_add(&tokenizer->suffix, ids->eos);
    }
}

static enum sea_status
read_configs(struct reader *reader, const char *dir, struct sea_arena *arena)
{
    static const char *const names[] = { "tokenizer_config.json", "special_tokens_map.json" };
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    struct sea_tokenizer_special *ids = &tokenizer->ids;
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];
    struct sea_node *root;

    *ids = (struct sea_tokenizer_special){ .bos = -1, .eos = -1, .unk = -1, .pad = -1 };
    for (size_t i = 0; dir && i < 2 && !status; i++) {
        status = sea_path_join(path, dir, names[i], reader->err);
        if (status || !sea_file_exists(path))
            continue;
        status = sea_json_load(path, FILE_BYTES_MAX, arena, &root, reader->err);
        if (status)
            continue;
        read_special_ids(tokenizer, root);
        if (i == 0)
            apply_switches(tokenizer, root);
    }
    if (ids->bos < 0 && tokenizer->prefix.len)
        ids->bos = tokenizer->prefix.data[0];
    if (ids->eos < 0 && tokenizer->suffix.len)
        ids->eos = tokenizer->suffix.data[tokenizer->suffix.len - 1];
    if (ids->unk < 0)
        ids->unk = tokenizer->bpe.unk;
    ids->adds_bos = tokenizer->prefix.len > 0;
    ids->adds_eos = tokenizer->suffix.len > 0;
    for (size_t i = 0; i < tokenizer->norm_count; i++)
        ids->marks_start |= tokenizer->norms[i].kind == SEA_NORM_PREPEND;
    for (size_t i = 0; i < tokenizer->pre_count; i++)
        ids->marks_start |= tokenizer->pres[i].prepend != SEA_PREPEND_NEVER;
    return status;
}

enum sea_status
sea_tokenizer_parse(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
                    struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "tokenizer.json");
    struct reader reader = { tokenizer, path, err };
    size_t len = strlen(path);
    bool is_spm = len > 6 && strcmp(path + len - 6, ".model") == 0;
    struct sea_node *root = NULL;
    enum sea_status status;

    status = is_spm ? sea_spm_read(tokenizer, path, dir, arena, &root, err)
                    : sea_json_load(path, FILE_BYTES_MAX, arena, &root, err);
    if (!status)
        status = sea_steps_parse(tokenizer, root, path, err);
    if (!status && is_spm)
        find_bytes(tokenizer);
    else if (!status)
        status = read_model(&reader, sea_node_get(root, "model"));
    if (!status)
        status = read_added(&reader, sea_node_get(root, "added_tokens"));
    if (!status)
        status = read_post(&reader, sea_node_get(root, "post_processor"));
    if (!status)
        status = read_configs(&reader, dir, arena);
    sea_arena_destroy(arena);
    return status;
}
