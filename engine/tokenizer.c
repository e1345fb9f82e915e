/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"

/* ---- ids ---- */

void
sea_ids_add(struct sea_ids *ids, int32_t id)
{
    if (ids->len == ids->room) {
        ids->room = ids->room ? 2 * ids->room : 64;
        ids->data = sea_xrealloc(ids->data, ids->room, sizeof(*ids->data));
    }
    ids->data[ids->len++] = id;
}

void
sea_ids_clear(struct sea_ids *ids)
{
    ids->len = 0;
}

void
sea_ids_release(struct sea_ids *ids)
{
    if (!ids)
        return;
    free(ids->data);
    *ids = (struct sea_ids){ 0 };
}

/* ---- loading ---- */

void
sea_tokenizer_destroy(struct sea_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    sea_bpe_release(&tokenizer->bpe);
    sea_unigram_release(&tokenizer->unigram);
    sea_trie_release(&tokenizer->spm.users);
    sea_seen_destroy(tokenizer->words);
    sea_vocab_release(&tokenizer->vocab);
    sea_ids_release(&tokenizer->prefix);
    sea_ids_release(&tokenizer->suffix);
    sea_arena_destroy(tokenizer->arena);
    free(tokenizer);
}

enum sea_status
sea_tokenizer_load(struct sea_tokenizer **out, const char *dir, struct sea_err *err)
{
    struct sea_tokenizer *tokenizer = sea_xcalloc(1, sizeof(*tokenizer));
    bool is_dir = sea_dir_exists(dir);
    char path[SEA_PATH_MAX], other[SEA_PATH_MAX] = "";
    enum sea_status status;

    *out = NULL;
    tokenizer->arena = sea_arena_create(NULL, "tokenizer");
    status = sea_path_join(path, is_dir ? dir : "", is_dir ? "tokenizer.json" : dir, err);
    if (!status && is_dir)
        status = sea_path_join(other, dir, "tokenizer.model", err);
    if (!status && !sea_file_exists(path) && sea_file_exists(other))
        memcpy(path, other, sizeof(path));
    if (!status && !sea_file_exists(path)) {
        status = sea_fail(err, SEA_E_MISSING, "tokenizer file \"%s\" is missing", path);
        sea_hint(err, "Save the tokenizer with transformers (a fast one writes tokenizer.json), or "
                      "copy it from a model of the same family.");
    }
    if (!status)
        status = sea_tokenizer_parse(tokenizer, path, is_dir ? dir : NULL, err);
    if (status) {
        sea_context(err, "while loading the tokenizer of \"%s\"", dir);
        sea_tokenizer_destroy(tokenizer);
        return status;
    }
    *out = tokenizer;
    return SEA_OK;
}

enum sea_status
sea_tokenizer_copy(const char *from_dir, const char *to_dir, struct sea_err *err)
{
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model",
        "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    };
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX];
    enum sea_status status;
    struct sea_buf bytes;
    bool has_model;

    status = sea_path_join(from, from_dir, "tokenizer.model", err);
    if (status)
        return status;
    has_model = sea_file_exists(from);

    sea_buf_init(&bytes, (size_t)1 << 30);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !status; i++) {
        status = sea_path_join(from, from_dir, names[i], err);
        if (!status)
            status = sea_path_join(to, to_dir, names[i], err);
        if (status || ((i || has_model) && !sea_file_exists(from)))
            continue;
        sea_buf_clear(&bytes);
        status = sea_file_read(from, &bytes, err);
        if (!status)
            status = sea_file_replace(to, bytes.data, bytes.len, err);
    }
    if (status)
        sea_context(err, "while copying the tokenizer of \"%s\"", from_dir);
    sea_buf_release(&bytes);
    return status;
}

/* ---- encoding ---- */

struct encoding {
    struct sea_tokenizer *tokenizer;
    struct sea_work work;
    struct sea_ids *ids;
    struct sea_err *err;
};

/* One word. A long one (a whole text, where no pre-tokenizer cuts) in the parts that cannot
 * be merged with each other. */
static enum sea_status
encode_word(struct encoding *encoding, const char *word, size_t len)
{
    struct sea_tokenizer *tokenizer = encoding->tokenizer;
    enum sea_status status = SEA_OK;
    size_t from = 0, at = 3;

    if (!tokenizer->bpe.cuts_at_mark || tokenizer->bpe.ignore_merges)
        at = len;
    for (; at + 3 <= len && !status; at++) {
        if (word[at] != SEA_SPM_MARK[0] || memcmp(word + at, SEA_SPM_MARK, 3) != 0 ||
            (at >= from + 3 && memcmp(word + at - 3, SEA_SPM_MARK, 3) == 0))
            continue;
        status = sea_word_encode(tokenizer, word + from, at - from, encoding->ids, encoding->err);
        from = at;
        at += 2;
    }
    return status ? status : sea_word_encode(tokenizer, word + from, len - from, encoding->ids,
                                             encoding->err);
}

/* Normalized text between added words, which lies in work.text. */
static enum sea_status
encode_words(struct encoding *encoding, enum sea_piece piece)
{
    struct sea_work *work = &encoding->work;
    enum sea_status status;

    work->words.count = 0;
    if (!work->text.len)
        return SEA_OK;
    sea_spans_add(&work->words, 0, work->text.len);
    status = sea_text_split(encoding->tokenizer, work, piece, encoding->err);
    for (size_t i = 0; i < work->words.count && !status; i++) {
        struct sea_span word = work->words.list[i];

        if (word.end > word.at)
            status = encode_word(encoding, work->text.data + word.at, word.end - word.at);
    }
    return status;
}

/* Normalized text in work.text, with the added words that are looked for in it. */
static enum sea_status
encode_normal(struct encoding *encoding, enum sea_piece piece)
{
    const struct sea_added_set *set = &encoding->tokenizer->normal;
    struct sea_work *work = &encoding->work;
    struct sea_added_scan scan = { 0 };
    const struct sea_added *added = NULL;
    enum sea_status status = SEA_OK;
    struct sea_span span;
    struct sea_buf text;
    size_t from = 0;

    if (set->count)
        added = sea_added_next(set, work->text.data, work->text.len, &scan, &span);
    if (!added)
        return encode_words(encoding, piece);
    sea_buf_init(&text, work->text.max);
    sea_buf_add(&text, work->text.data, work->text.len);
    while (!status) {
        size_t end = added ? span.at : text.len;

        sea_buf_clear(&work->text);
        if (end > from)
            sea_buf_add(&work->text, text.data + from, end - from);
        status = encode_words(encoding, from ? SEA_PIECE_AFTER_SPECIAL : piece);
        if (!added || status)
            break;
        sea_ids_add(encoding->ids, added->id);
        from = scan.done;
        added = sea_added_next(set, text.data, text.len, &scan, &span);
    }
    sea_buf_release(&text);
    return status;
}

static enum sea_status
encode_text(struct encoding *encoding, const char *text, size_t len, enum sea_piece piece)
{
    struct sea_tokenizer *tokenizer = encoding->tokenizer;
    struct sea_added_scan scan = { 0 };
    const struct sea_added *added;
    enum sea_status status = SEA_OK;
    struct sea_span span;

    for (size_t from = 0; !status; from = scan.done) {
        enum sea_piece here = from ? SEA_PIECE_AFTER_SPECIAL : piece;
        size_t end;

        added = sea_added_next(&tokenizer->raw, text, len, &scan, &span);
        end = added ? span.at : len;
        if (end > from)
            status = sea_text_normalize(tokenizer, text + from, end - from, here, &encoding->work,
                                        encoding->err);
        if (!status && end > from)
            status = encode_normal(encoding, here);
        if (!added || status)
            break;
        sea_ids_add(encoding->ids, added->id);
    }
    return status;
}

enum sea_status
sea_tokenizer_encode_piece(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                           enum sea_piece piece, struct sea_ids *ids, struct sea_err *err)
{
    struct encoding encoding = { .tokenizer = tokenizer, .ids = ids, .err = err };
    size_t good = sea_utf8_check(text, len), before = ids->len;
    enum sea_status status;

    if (good < len)
        return sea_fail(err, SEA_E_FORMAT, "text is no UTF-8: byte %zu is 0x%02x", good,
                        (unsigned char)text[good]);
    if (len > SEA_TOKENIZER_TEXT_MAX)
        return sea_fail(err, SEA_E_FORMAT, "text has %zu bytes, at most %zu are tokenised at once",
                        len, SEA_TOKENIZER_TEXT_MAX);
    sea_work_init(&encoding.work);
    status = encode_text(&encoding, text, len, piece);
    if (status)
        ids->len = before;
    sea_work_release(&encoding.work);
    return status;
}

static void
add_all(struct sea_ids *to, const struct sea_ids *from)
{
    for (size_t i = 0; i < from->len; i++)
        sea_ids_add(to, from->data[i]);
}

enum sea_status
sea_tokenizer_encode(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                     bool add_special, struct sea_ids *ids, struct sea_err *err)
{
    size_t before = ids->len;
    enum sea_status status;

    if (add_special)
        add_all(ids, &tokenizer->prefix);
    status = sea_tokenizer_encode_piece(tokenizer, text, len, SEA_PIECE_FIRST, ids, err);
    if (status)
        ids->len = before;
    else if (add_special)
        add_all(ids, &tokenizer->suffix);
    return status;
}

enum sea_status
sea_tokenizer_encode_max(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                         size_t max, struct sea_ids *ids, struct sea_err *err)
{
    size_t before = ids->len, around = tokenizer->prefix.len + tokenizer->suffix.len, room;
    enum sea_status status;

    if (max < around)
        return sea_fail(err, SEA_E_CONFIG, "%zu positions are fewer than the %zu special words of "
                                           "the template", max, around);
    status = sea_tokenizer_encode(tokenizer, text, len, false, ids, err);
    if (status)
        return status;
    room = max - around;
    if (ids->len - before > room)
        ids->len = before + room;
    for (size_t i = 0; i < around; i++)
        sea_ids_add(ids, 0);
    memmove(ids->data + before + tokenizer->prefix.len, ids->data + before,
            (ids->len - around - before) * sizeof(*ids->data));
    for (size_t i = 0; i < tokenizer->prefix.len; i++)
        ids->data[before + i] = tokenizer->prefix.data[i];
    for (size_t i = 0; i < tokenizer->suffix.len; i++)
        ids->data[ids->len - tokenizer->suffix.len + i] = tokenizer->suffix.data[i];
    return SEA_OK;
}

/* ---- the vocabulary ---- */

int32_t
sea_tokenizer_count(const struct sea_tokenizer *tokenizer)
{
    return tokenizer->vocab.count;
}

int32_t
sea_tokenizer_find(const struct sea_tokenizer *tokenizer, const char *word)
{
    return sea_vocab_find(&tokenizer->vocab, word, strlen(word));
}

const char *
sea_tokenizer_word(const struct sea_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->vocab.count ? tokenizer->vocab.words[id] : NULL;
}

const struct sea_tokenizer_special *
sea_tokenizer_special(const struct sea_tokenizer *tokenizer)
{
    return &tokenizer->ids;
}
