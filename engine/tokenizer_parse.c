/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json: added words and template; tokenizer_config.json and special_tokens_map.json:
 * which words begin, end and fill a text. */
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
    if (added->id < tokenizer->bpe.own_count && !tokenizer->vocab.words[added->id]) {
        if (!tokenizer->bpe.hidden)
            tokenizer->bpe.hidden = sea_xcalloc((size_t)tokenizer->bpe.own_count, 1);
        tokenizer->bpe.hidden[added->id] = true;
    }
    if (!sea_vocab_add(&tokenizer->vocab, added->content, content->text_len, added->id))
        return BAD(reader,
                   "\"%s\": added word \"%.100s\" has id %lld, the vocabulary says otherwise",
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
        if (status)
            break;
        added->match = sea_arena_strndup(tokenizer->arena, work->text.data, work->text.len);
        added->match_len = work->text.len;
        if (!added->match_len) {
            status = BAD(reader, "\"%s\": the normalizer makes nothing of added word \"%.60s\"",
                         reader->path, added->content);
            sea_hint(reader->err, "Set \"normalized\" of this word to false.");
        }
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
    tokenizer->shown = sea_arena_alloc(tokenizer->arena, (size_t)tokenizer->vocab.count + 1,
                                       sizeof(*tokenizer->shown));
    for (int32_t id = 0; id < tokenizer->vocab.count; id++)
        tokenizer->shown[id] = (struct sea_text){ tokenizer->vocab.words[id],
                                                  tokenizer->vocab.lens[id] };
    for (size_t i = 0; i < tokenizer->added_count; i++)
        tokenizer->shown[tokenizer->added[i].id] =
            (struct sea_text){ tokenizer->added[i].match, tokenizer->added[i].match_len };
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
            return BAD(reader,
                       "\"%s\": the template's word \"%s\" has an id outside the vocabulary",
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
            status = BAD(reader, "\"%s\": the template has a part of an unknown kind",
                         reader->path);
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
        return BAD(reader,
                   "\"%s\": the post-processor's \"sep\" and \"cls\" need a word and its id",
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

/* What stands before or behind a text: nothing, or the word id; where no file says which word
 * that is (-1), what stands there already. */
static void
set_around(struct sea_ids *ids, bool on, int32_t id)
{
    if (on && id < 0)
        return;
    sea_ids_clear(ids);
    if (on)
        sea_ids_add(ids, id);
}

/* transformers builds the template of these classes from two switches; SentencePiece's file
 * says nothing about it, and what the class does without switches is known for these. */
static void
apply_switches(struct sea_tokenizer *tokenizer, const struct sea_node *root)
{
    const char *class = sea_node_text(sea_node_get(root, "tokenizer_class"), "");
    const struct sea_node *bos = sea_node_get(root, "add_bos_token");
    const struct sea_node *eos = sea_node_get(root, "add_eos_token");
    const struct sea_tokenizer_special *ids = &tokenizer->ids;
    bool ends = !strncmp(class, "T5", 2) || !strncmp(class, "Siglip", 6);

    tokenizer->ids.is_legacy = sea_node_bool(sea_node_get(root, "legacy"), true);
    tokenizer->spm.is_legacy = tokenizer->ids.is_legacy;
    if (strncmp(class, "Llama", 5) != 0 && strncmp(class, "Gemma", 5) != 0 && !tokenizer->is_spm)
        return;
    if (!is_absent(bos) || (tokenizer->is_spm && ends))
        set_around(&tokenizer->prefix, sea_node_bool(bos, false), ids->bos);
    if (!is_absent(eos) || (tokenizer->is_spm && ends))
        set_around(&tokenizer->suffix, sea_node_bool(eos, ends), ids->eos);
}

static enum sea_status
load_files(struct reader *reader, const char *dir, struct sea_arena *arena,
           struct sea_token_files *files)
{
    const struct {
        const char *name;
        struct sea_node **to;
    } all[] = { { "tokenizer_config.json", &files->config },
                { "special_tokens_map.json", &files->map },
                { "added_tokens.json", &files->more } };
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];

    for (size_t i = 0; dir && i < sizeof(all) / sizeof(all[0]) && !status; i++) {
        status = sea_path_join(path, dir, all[i].name, reader->err);
        if (!status && sea_file_exists(path))
            status = sea_json_load(path, FILE_BYTES_MAX, arena, all[i].to, reader->err);
    }
    return status;
}

static void
read_configs(struct reader *reader, const struct sea_token_files *files)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    struct sea_tokenizer_special *ids = &tokenizer->ids;
    int32_t eos = ids->eos;     /* of tokenizer.model */

    ids->eos = -1;
    read_special_ids(tokenizer, files->config);
    read_special_ids(tokenizer, files->map);
    if (ids->eos < 0 && tokenizer->is_spm)
        ids->eos = eos;
    if (files->config)
        apply_switches(tokenizer, files->config);
    if (ids->bos < 0 && tokenizer->prefix.len)
        ids->bos = tokenizer->prefix.data[0];
    if (ids->eos < 0 && tokenizer->suffix.len)
        ids->eos = tokenizer->suffix.data[tokenizer->suffix.len - 1];
    if (ids->eos < 0)
        ids->eos = eos;
    if (ids->unk < 0)
        ids->unk = tokenizer->kind == SEA_MODEL_UNIGRAM ? tokenizer->unigram.unk
                                                        : tokenizer->bpe.unk;
    ids->adds_bos = tokenizer->prefix.len > 0;
    ids->adds_eos = tokenizer->suffix.len > 0;
    for (size_t i = 0; i < tokenizer->norm_count; i++)
        ids->marks_start |= tokenizer->norms[i].kind == SEA_NORM_PREPEND;
    ids->marks_start |= tokenizer->is_spm && tokenizer->spm.add_prefix &&
                        !tokenizer->spm.suffix_mode;
    for (size_t i = 0; i < tokenizer->pre_count; i++)
        ids->marks_start |= tokenizer->pres[i].prepend != SEA_PREPEND_NEVER;
}

enum sea_status
sea_tokenizer_parse(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
                    struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "tokenizer.json");
    struct reader reader = { tokenizer, path, err };
    size_t len = strlen(path);
    bool is_spm = len > 6 && strcmp(path + len - 6, ".model") == 0;
    struct sea_token_files files = { NULL, NULL, NULL };
    struct sea_node *root = NULL;
    enum sea_status status;

    tokenizer->words = sea_seen_create();
    tokenizer->ids = (struct sea_tokenizer_special){ .bos = -1, .eos = -1, .unk = -1, .pad = -1,
                                                     .is_legacy = true };
    status = is_spm ? sea_spm_read(tokenizer, path, dir, arena, &root, err)
                    : sea_json_load(path, FILE_BYTES_MAX, arena, &root, err);
    if (!status)
        status = sea_steps_parse(tokenizer, root, path, err);
    if (!status && !is_spm)
        status = sea_model_parse(tokenizer, sea_node_get(root, "model"), path, err);
    if (!status)
        status = load_files(&reader, dir, arena, &files);
    if (!status)
        sea_added_complete(tokenizer, root, &files, arena);
    if (!status)
        status = read_added(&reader, sea_node_get(root, "added_tokens"));
    if (!status)
        status = read_post(&reader, sea_node_get(root, "post_processor"));
    if (!status)
        read_configs(&reader, &files);
    sea_arena_destroy(arena);
    return status;
}
