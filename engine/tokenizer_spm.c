/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.model: the SentencePiece file that older Llama folders (Vicuna) have instead of
 * tokenizer.json. It is a protocol buffer, of which these fields are read:
 *
 *   1  piece, repeated: 1 text, 2 score (float), 3 kind (enum sea_word_kind)
 *   2  trainer: 3 model (1 unigram, 2 BPE), 24 treat_whitespace_as_suffix, 35 byte_fallback,
 *      40 unk_id, 41 bos_id, 42 eos_id, 44 unk_surface
 *   3  normalizer: 2 table of characters, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
 *      5 escape_whitespaces
 *   5  denormalizer: 2 table of characters (refused)
 *
 * Its BPE merges the pair whose union has the highest score. That is the same as merges in
 * order of score, one for each way to make a piece out of two.
 */
#include "engine/tokenizer_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"

#define MODEL_BYTES_MAX ((size_t)64 << 20)
#define PIECES_MAX ((size_t)1 << 22)
#define PIECE_BYTES_MAX ((size_t)2048)  /* a trainer makes 512 characters at most */

/* A part of the file that is read field by field. */
struct proto {
    const unsigned char *at, *end;
    bool is_bad;
};

struct field {
    uint64_t number, value;     /* value of a varint or of 4 or 8 bytes */
    struct proto bytes;         /* of a text or a message */
    int wire;
};

static uint64_t
next_varint(struct proto *proto)
{
    uint64_t value = 0;

    for (int shift = 0; shift < 64 && proto->at < proto->end; shift += 7) {
        unsigned char byte = *proto->at++;

        value |= (uint64_t)(byte & 0x7Fu) << shift;
        if (!(byte & 0x80u))
            return value;
    }
    proto->is_bad = true;
    return 0;
}

/* False at the end, and when the file is damaged (proto->is_bad). */
static bool
next_field(struct proto *proto, struct field *field)
{
    uint64_t tag, n;

    if (proto->at == proto->end || proto->is_bad)
        return false;
    tag = next_varint(proto);
    *field = (struct field){ .number = tag >> 3, .wire = (int)(tag & 7) };
    if (field->wire == 0) {
        field->value = next_varint(proto);
        return !proto->is_bad;
    }
    n = field->wire == 1 ? 8 : field->wire == 5 ? 4 : next_varint(proto);
    if ((field->wire != 1 && field->wire != 2 && field->wire != 5) || proto->is_bad ||
        n > (uint64_t)(proto->end - proto->at)) {
        proto->is_bad = true;
        return false;
    }
    field->bytes = (struct proto){ .at = proto->at, .end = proto->at + n };
    for (uint64_t i = 0; field->wire != 2 && i < n; i++)
        field->value |= (uint64_t)proto->at[i] << (8 * i);
    proto->at += n;
    return true;
}

struct piece {
    const char *text;           /* in the tokenizer's arena */
    size_t len;
    float score;
    enum sea_word_kind kind;
    int32_t id;
};

struct model {
    struct sea_tokenizer *tokenizer;
    const char *path;
    struct piece *pieces;
    size_t count, room;
    int64_t type, bos, eos, unk;
    bool byte_fallback;
    struct sea_spm_text text;
    struct proto table;         /* of characters */
    bool has_normalizer, has_denormalizer;
    const char *unk_surface;
};

/* "<0xNN>" */
static bool
is_byte_text(const char *text, size_t len)
{
    return len == 6 && !memcmp(text, "<0x", 3) && text[5] == '>' && sea_hex_digit(text[3]) >= 0 &&
           sea_hex_digit(text[4]) >= 0;
}

static enum sea_status
check_piece(const struct model *model, const struct piece *piece, struct sea_err *err)
{
    const char *why = !piece->text || !piece->len ? "it has no text"
                      : piece->len > PIECE_BYTES_MAX ? "its text is too long"
                      : sea_utf8_check(piece->text, piece->len) != piece->len 
                          ? "its text is no UTF-8"
                      : memchr(piece->text, 0, piece->len) ? "its text holds a 0 byte"
                      : !isfinite(piece->score) ? "its score is no number"
                      : piece->kind < SEA_WORD_NORMAL || piece->kind > SEA_WORD_BYTE
                          ? "its kind is unknown"
                      : piece->kind == SEA_WORD_BYTE && !is_byte_text(piece->text, piece->len)
                          ? "it is a byte, but not spelled <0xNN>"
                      : model->count == PIECES_MAX ? "there are too many" : NULL;

    return why ? sea_fail(err, SEA_E_FORMAT, "\"%s\": piece %zu is damaged: %s", model->path,
                          model->count, why)
               : SEA_OK;
}

static enum sea_status
add_piece(struct model *model, struct proto proto, struct sea_err *err)
{
    struct piece piece = { .kind = SEA_WORD_NORMAL, .id = (int32_t)model->count };
    struct field field;
    uint32_t bits;

    while (next_field(&proto, &field)) {
        if (field.number == 1 && field.wire == 2) {
            piece.len = (size_t)(field.bytes.end - field.bytes.at);
            piece.text = sea_arena_strndup(model->tokenizer->arena, (const char *)field.bytes.at,
                                           piece.len);
        } else if (field.number == 2 && field.wire == 5) {
            bits = (uint32_t)field.value;
            memcpy(&piece.score, &bits, sizeof(bits));
        } else if (field.number == 3) {
            piece.kind = field.value > SEA_WORD_BYTE ? (enum sea_word_kind)0
                                                     : (enum sea_word_kind)field.value;
        }
    }
    if (proto.is_bad)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": piece %zu is cut off", model->path,
                        model->count);
    if (check_piece(model, &piece, err))
        return err->status;
    if (!sea_vocab_add(&model->tokenizer->vocab, piece.text, piece.len, piece.id))
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": piece \"%.60s\" is there twice", model->path,
                        piece.text);
    if (model->count == model->room) {
        model->room = model->room ? 2 * model->room : 4096;
        model->pieces = sea_xrealloc(model->pieces, model->room, sizeof(*model->pieces));
    }
    model->pieces[model->count++] = piece;
    return SEA_OK;
}

static void
read_trainer(struct model *model, struct proto proto)
{
    struct field field;

    while (next_field(&proto, &field)) {
        if (field.number == 3)
            model->type = (int64_t)field.value;
        else if (field.number == 24)
            model->text.suffix_mode = field.value != 0;
        else if (field.number == 35)
            model->byte_fallback = field.value != 0;
        else if (field.number == 41)
            model->bos = (int32_t)field.value;
        else if (field.number == 42)
            model->eos = (int32_t)field.value;
        else if (field.number == 44 && field.wire == 2)
            model->unk_surface = sea_arena_strndup(model->tokenizer->arena,
                                                   (const char *)field.bytes.at,
                                                   (size_t)(field.bytes.end - field.bytes.at));
    }
}

static void
read_normalizer(struct model *model, struct proto proto)
{
    struct field field;

    model->has_normalizer = true;
    while (next_field(&proto, &field)) {
        if (field.number == 2 && field.wire == 2)
            model->table = field.bytes;
        else if (field.number == 3)
            model->text.add_prefix = field.value != 0;
        else if (field.number == 4)
            model->text.strips = field.value != 0;
        else if (field.number == 5)
            model->text.escapes = field.value != 0;
    }
}

static void
read_denormalizer(struct model *model, struct proto proto)
{
    struct field field;

    while (next_field(&proto, &field))
        if (field.number == 2 && field.wire == 2 && field.bytes.end > field.bytes.at)
            model->has_denormalizer = true;
}

static enum sea_status
read_model(struct model *model, struct proto proto, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct field field;

    while (!status && next_field(&proto, &field)) {
        if (field.number == 1 && field.wire == 2)
            status = add_piece(model, field.bytes, err);
        else if (field.number == 2 && field.wire == 2)
            read_trainer(model, field.bytes);
        else if (field.number == 3 && field.wire == 2)
            read_normalizer(model, field.bytes);
        else if (field.number == 5 && field.wire == 2)
            read_denormalizer(model, field.bytes);
    }
    if (status)
        return status;
    if (proto.is_bad || !model->count || !model->has_normalizer)        /* stands last */
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is no SentencePiece model, or is cut off",
                        model->path);
    model->unk = -1;
    for (size_t i = 0; i < model->count && model->unk < 0; i++)
        if (model->pieces[i].kind == SEA_WORD_UNKNOWN)
            model->unk = (int64_t)i;
    if ((model->type != 1 && model->type != 2) || model->has_denormalizer) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\" is a SentencePiece model with %s, which is not "
                 "supported", model->path, model->has_denormalizer ? "a table for decoding"
                              : model->type == 3 ? "the algorithm \"word\""
                              : model->type == 4 ? "the algorithm \"char\""
                                                 : "an unknown algorithm");
        sea_hint(err, "Supported are the algorithms unigram and BPE.");
        return err->status;
    }
    if (model->unk < 0)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": there is no piece for unknown words",
                        model->path);
    return SEA_OK;
}

/* ---- merges ---- */

static int
by_score(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool
is_mergeable(enum sea_word_kind kind)
{
    return kind == SEA_WORD_NORMAL || kind == SEA_WORD_UNUSED;
}

/* A symbol behind the vocabulary. */
static void
add_symbol(struct sea_bpe *bpe, struct sea_trie *trie, size_t *count, struct sea_bpe_symbol symbol)
{
    int32_t id;

    if (sea_trie_longest(trie, symbol.text, symbol.len, &id) == symbol.len)
        return;
    if (*count % 1024 == 0)
        bpe->symbols = sea_xrealloc(bpe->symbols, *count + 1024, sizeof(*bpe->symbols));
    bpe->symbols[*count] = symbol;
    sea_trie_add(trie, symbol.text, symbol.len, bpe->own_count + (int32_t)(*count)++);
}

/* The symbols that a text begins as: users' pieces, and all characters of pieces; those that
 * are pieces go by their id. */
static void
make_symbols(struct model *model)
{
    struct sea_bpe *bpe = &model->tokenizer->bpe;
    size_t count = 0, n;
    uint32_t code;

    bpe->own_count = (int32_t)model->count;
    bpe->symbols = sea_xcalloc(1, sizeof(*bpe->symbols));
    bpe->unused = sea_xcalloc(model->count, sizeof(*bpe->unused));
    for (size_t i = 0; i < model->count; i++) {
        const struct piece *piece = &model->pieces[i];

        bpe->unused[i] = piece->kind == SEA_WORD_UNUSED;
        if (piece->kind == SEA_WORD_USER)
            add_symbol(bpe, &bpe->users, &count,
                       (struct sea_bpe_symbol){ piece->text, piece->len, piece->id });
        if (sea_utf8_next(piece->text, piece->len, &code) == piece->len)
            sea_trie_add(&bpe->characters, piece->text, piece->len, piece->id);
    }
    for (size_t i = 0; i < model->count; i++) {
        const struct piece *piece = &model->pieces[i];

        for (size_t at = 0; is_mergeable(piece->kind) && at < piece->len; at += n) {
            n = sea_utf8_next(piece->text + at, piece->len - at, &code);
            add_symbol(bpe, &bpe->characters, &count,
                       (struct sea_bpe_symbol){ piece->text + at, n, -1 });
        }
    }
}

/* The symbol that this part of a piece can be, -1: none. */
static int32_t
part_id(const struct model *model, const char *text, size_t len)
{
    const struct sea_bpe *bpe = &model->tokenizer->bpe;
    int32_t id;
    uint32_t code;

    if (sea_utf8_next(text, len, &code) == len)
        return sea_trie_longest(&bpe->characters, text, len, &id) == len ? id : -1;
    id = sea_vocab_find(bpe->vocab, text, len);
    return id >= 0 && is_mergeable(model->pieces[id].kind) ? id : -1;
}

/* Adds the merges that make a piece, or with rank < 0 only counts them. */
static size_t
merges_of(struct model *model, const struct piece *piece, int64_t rank)
{
    size_t count = 0, at = 0;
    int32_t left, right;
    uint32_t code;

    while (is_mergeable(piece->kind) &&
           (at += sea_utf8_next(piece->text + at, piece->len - at, &code)) < piece->len) {
        left = part_id(model, piece->text, at);
        right = left < 0 ? -1 : part_id(model, piece->text + at, piece->len - at);
        if (right < 0)
            continue;
        count++;
        if (rank >= 0)
            sea_bpe_add(&model->tokenizer->bpe, left, right, piece->id, (uint32_t)rank);
    }
    return count;
}

static void
make_merges(struct model *model)
{
    struct piece *sorted = sea_xcalloc(model->count, sizeof(*sorted));
    int64_t rank = 0;
    size_t count = 0;

    memcpy(sorted, model->pieces, model->count * sizeof(*sorted));
    qsort(sorted, model->count, sizeof(*sorted), by_score);
    for (size_t i = 0; i < model->count; i++)
        count += merges_of(model, &sorted[i], -1);
    sea_bpe_reserve(&model->tokenizer->bpe, count);
    for (size_t i = 0; i < model->count; i++) {
        rank += i && sorted[i].score != sorted[i - 1].score;    /* equals: the leftmost first */
        merges_of(model, &sorted[i], rank);
    }
    free(sorted);
}

/* Can a text be cut before each U+2581 that follows another character? As in
 * tokenizer_model.c; here no piece of the user may hold one, either. */
static bool
cuts_at_mark(const struct model *model)
{
    int32_t mark = sea_vocab_find(&model->tokenizer->vocab, SEA_SPM_MARK, 3);

    if (mark < 0 || model->pieces[mark].kind != SEA_WORD_NORMAL)
        return false;
    for (size_t i = 0; i < model->count; i++) {
        const char *text = model->pieces[i].text;

        for (const char *at = text; (at = strstr(at, SEA_SPM_MARK)); at += 3)
            if (model->pieces[i].kind == SEA_WORD_USER ||
                (at > text && (at < text + 3 || memcmp(at - 3, SEA_SPM_MARK, 3) != 0)))
                return false;
    }
    return true;
}

/* ---- the rest, as tokenizer.json would say it ---- */

static void
put_added(struct sea_arena *arena, struct sea_node *list, const char *content, int64_t id)
{
    struct sea_node *item = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

    sea_node_put_int(arena, item, "id", id);
    sea_node_put_text(arena, item, "content", content);
    sea_node_put_bool(arena, item, "special", true);
    sea_node_put_bool(arena, item, "normalized", false);
}

/* {"WORD": id, ...}, where the folder has words that the model does not know. */
static enum sea_status
put_more(struct model *model, const char *dir, struct sea_arena *arena, struct sea_node *list,
         struct sea_err *err)
{
    struct sea_node *root = NULL, *item;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    if (!dir)
        return SEA_OK;
    status = sea_path_join(path, dir, "added_tokens.json", err);
    if (!status && sea_file_exists(path))
        status = sea_json_load(path, MODEL_BYTES_MAX, arena, &root, err);
    for (item = root ? root->first : NULL; item && !status; item = item->next)
        if (item->integer >= (int64_t)model->count)
            put_added(arena, list, item->key, item->integer);
    return status;
}

/* The words that are looked for in a text before anything else: transformers does so, for
 * SentencePiece itself "<s>" is plain text. */
static enum sea_status
describe(struct model *model, const char *dir, struct sea_arena *arena, struct sea_node **out,
         struct sea_err *err)
{
    struct sea_node *list;

    *out = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    list = sea_node_put(arena, *out, "added_tokens", SEA_NODE_LIST);
    for (size_t i = 0; i < model->count; i++)
        if (model->pieces[i].kind == SEA_WORD_CONTROL || model->pieces[i].kind == SEA_WORD_UNKNOWN)
            put_added(arena, list, model->pieces[i].text, model->pieces[i].id);
    return put_more(model, dir, arena, list, err);
}

/* ---- the tokenizer ---- */

static enum sea_status
make_text(struct model *model, struct sea_err *err)
{
    struct sea_tokenizer *tokenizer = model->tokenizer;
    struct sea_spm_text *spm = &tokenizer->spm;
    size_t table = (size_t)(model->table.end - model->table.at);
    unsigned char *kinds = sea_arena_alloc(tokenizer->arena, model->count, 1);

    *spm = model->text;
    spm->is_legacy = true;
    spm->unk = (int32_t)model->unk;
    spm->unk_surface = model->unk_surface ? model->unk_surface : " \xE2\x81\x87 ";
    spm->kinds = kinds;
    spm->count = (int32_t)model->count;
    for (size_t i = 0; i < model->count; i++) {
        kinds[i] = (unsigned char)model->pieces[i].kind;
        if (model->pieces[i].kind == SEA_WORD_USER)
            sea_trie_add(&spm->users, model->pieces[i].text, model->pieces[i].len, (int32_t)i);
    }
    tokenizer->is_spm = true;
    tokenizer->norms[0] = (struct sea_norm){ .kind = SEA_NORM_SPM };
    tokenizer->norm_count = 1;
    if (table && sea_charsmap_read(&spm->map, model->table.at, table, tokenizer->arena,
                                   model->path, err))
        return err->status;
    sea_spm_ready(spm);
    return SEA_OK;
}

static enum sea_status
make_model(struct model *model, struct sea_err *err)
{
    struct sea_tokenizer *tokenizer = model->tokenizer;
    struct sea_unigram *unigram = &tokenizer->unigram;
    struct sea_bpe *bpe = &tokenizer->bpe;

    tokenizer->kind = model->type == 2 ? SEA_MODEL_BPE : SEA_MODEL_UNIGRAM;
    bpe->vocab = unigram->vocab = &tokenizer->vocab;
    bpe->suffix = "";
    bpe->unk = unigram->unk = (int32_t)model->unk;
    bpe->byte_fallback = unigram->byte_fallback = model->byte_fallback;
    sea_model_find_bytes(&tokenizer->vocab, false, bpe->bytes);
    for (int b = 0; b < 256 && model->byte_fallback; b++)
        if (bpe->bytes[b] < 0)
            return sea_fail(err, SEA_E_FORMAT,
                            "\"%s\": byte_fallback is set, the piece <0x%02X> is missing",
                            model->path, (unsigned int)b);
    if (model->type == 2) {
        make_symbols(model);
        make_merges(model);
        bpe->cuts_at_mark = cuts_at_mark(model);
        return SEA_OK;
    }
    memcpy(unigram->bytes, bpe->bytes, sizeof(bpe->bytes));
    unigram->count = (int32_t)model->count;
    unigram->is_float = true;
    unigram->scores = sea_xcalloc(model->count, sizeof(*unigram->scores));
    unigram->kinds = sea_xcalloc(model->count, 1);
    for (size_t i = 0; i < model->count; i++) {
        unigram->scores[i] = (double)model->pieces[i].score;
        unigram->kinds[i] = (unsigned char)model->pieces[i].kind;
    }
    sea_unigram_ready(unigram);
    return SEA_OK;
}

enum sea_status
sea_spm_read(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
             struct sea_arena *arena, struct sea_node **out, struct sea_err *err)
{
    struct model model = { .tokenizer = tokenizer, .path = path, .type = 1, .bos = 1, .eos = 2 };
    enum sea_status status;
    struct sea_buf bytes;
    struct proto proto;

    model.text = (struct sea_spm_text){ .add_prefix = true, .strips = true, .escapes = true };
    sea_buf_init(&bytes, MODEL_BYTES_MAX);
    status = sea_file_read(path, &bytes, err);
    if (status)
        goto out;
    proto = (struct proto){ .at = (const unsigned char *)bytes.data };
    proto.end = proto.at + bytes.len;
    status = read_model(&model, proto, err);
    if (!status)
        status = make_text(&model, err);
    if (!status)
        status = make_model(&model, err);
    if (!status)
        status = describe(&model, dir, arena, out, err);
    if (!status && model.bos >= 0 && model.bos < (int64_t)model.count)
        sea_ids_add(&tokenizer->prefix, (int32_t)model.bos);
    if (!status && model.eos >= 0 && model.eos < (int64_t)model.count)
        tokenizer->ids.eos = (int32_t)model.eos;
out:
    free(model.pieces);
    sea_buf_release(&bytes);
    return status;
}
