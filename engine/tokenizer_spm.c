/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.model: the SentencePiece file that older Llama folders (Vicuna) have instead of
 * tokenizer.json. It is a protocol buffer, of which these fields are read:
 *
 *   1  piece, repeated: 1 text, 2 score (float), 3 kind (1 normal, 2 unknown, 3 control,
 *      4 user-defined, 5 unused, 6 byte)
 *   2  trainer: 3 model (2 is BPE), 35 byte_fallback, 40 unk_id, 41 bos_id, 42 eos_id
 *   3  normalizer: 2 table of characters, 3 add_dummy_prefix, 4 remove_extra_whitespaces
 *
 * Its BPE merges the pair whose union has the highest score. That is the same as merges in
 * order of score, one for each way to make a piece out of two, so that the rest of the
 * tokenizer is that of a tokenizer.json with byte fallback.
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"

#define MODEL_BYTES_MAX ((size_t)64 << 20)
#define PIECES_MAX ((size_t)1 << 22)

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

enum kind { KIND_NORMAL = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER, KIND_UNUSED, KIND_BYTE };

struct piece {
    const char *text;           /* in the tokenizer's arena */
    size_t len;
    float score;
    enum kind kind;
    int32_t id;
};

struct model {
    struct sea_tokenizer *tokenizer;
    const char *path;
    struct piece *pieces;
    size_t count, room;
    int64_t type, bos, unk;
    bool byte_fallback, add_prefix, strips, has_table;
};

static enum sea_status
add_piece(struct model *model, struct proto proto, struct sea_err *err)
{
    struct piece piece = { .kind = KIND_NORMAL, .id = (int32_t)model->count };
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
            piece.kind = (enum kind)field.value;
        }
    }
    if (proto.is_bad || !piece.text || sea_utf8_check(piece.text, piece.len) != piece.len ||
        model->count == PIECES_MAX)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": piece %zu is damaged", model->path,
                        model->count);
    if (piece.kind == KIND_USER) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\": user-defined piece \"%.60s\" is not supported",
                 model->path, piece.text);
        sea_hint(err, "Save the tokenizer with transformers, which writes tokenizer.json.");
        return err->status;
    }
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
        else if (field.number == 35)
            model->byte_fallback = field.value != 0;
        else if (field.number == 40)
            model->unk = (int32_t)field.value;
        else if (field.number == 41)
            model->bos = (int32_t)field.value;
    }
}

static void
read_normalizer(struct model *model, struct proto proto)
{
    struct field field;

    while (next_field(&proto, &field)) {
        if (field.number == 2)
            model->has_table = field.bytes.at != field.bytes.end;
        else if (field.number == 3)
            model->add_prefix = field.value != 0;
        else if (field.number == 4)
            model->strips = field.value != 0;
    }
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
    }
    if (status)
        return status;
    if (proto.is_bad || !model->count)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is no SentencePiece model, or is cut off",
                        model->path);
    if (model->type != 2 || model->has_table || model->strips) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\" is a SentencePiece model with %s, which is not supported",
                 model->path, model->type != 2 ? "another algorithm than BPE"
                              : model->has_table ? "a table of characters" : "blanks removed");
        sea_hint(err, "Save the tokenizer with transformers, which writes tokenizer.json.");
        return err->status;
    }
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

/* Adds the merges that make a piece, or with rank < 0 only counts them. */
static size_t
merges_of(struct model *model, const struct piece *piece, int64_t rank)
{
    const struct sea_vocab *vocab = &model->tokenizer->vocab;
    size_t count = 0, at = 0;
    int32_t left, right;
    uint32_t code;

    while (piece->kind == KIND_NORMAL &&
           (at += sea_utf8_next(piece->text + at, piece->len - at, &code)) < piece->len) {
        left = sea_vocab_find(vocab, piece->text, at);
        right = sea_vocab_find(vocab, piece->text + at, piece->len - at);
        if (left < 0 || right < 0)
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
    size_t count = 0;

    qsort(model->pieces, model->count, sizeof(*model->pieces), by_score);
    for (size_t i = 0; i < model->count; i++)
        count += model->pieces[i].len ? merges_of(model, &model->pieces[i], -1) : 0;
    sea_bpe_reserve(&model->tokenizer->bpe, count);
    for (size_t i = 0; i < model->count; i++)
        if (model->pieces[i].len)
            merges_of(model, &model->pieces[i], (int64_t)i);
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

static const char steps_json[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s{\"type\":\"Replace\",\"pattern\":"
    "{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}]},\"decoder\":{\"type\":\"Sequence\","
    "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},"
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}%s]}}";

static enum sea_status
describe(struct model *model, const char *dir, struct sea_arena *arena, struct sea_node **out,
         struct sea_err *err)
{
    const char *text = sea_arena_printf(
        arena, steps_json,
        model->add_prefix ? "{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}," : "",
        model->add_prefix ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" : "");
    enum sea_status status = sea_json_parse(text, strlen(text), model->path, arena, out, err);
    struct sea_node *list;

    if (status)
        return status;
    list = sea_node_put(arena, *out, "added_tokens", SEA_NODE_LIST);
    for (size_t i = 0; i < model->count; i++)
        if (model->pieces[i].len && (model->pieces[i].kind == KIND_CONTROL ||
                                     model->pieces[i].kind == KIND_UNKNOWN))
            put_added(arena, list, model->pieces[i].text, model->pieces[i].id);
    return put_more(model, dir, arena, list, err);
}

enum sea_status
sea_spm_read(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
             struct sea_arena *arena, struct sea_node **out, struct sea_err *err)
{
    struct model model = { .tokenizer = tokenizer, .path = path, .type = 1, .bos = 1,
                           .add_prefix = true, .strips = true };
    enum sea_status status;
    struct sea_buf bytes;
    struct proto proto;

    sea_buf_init(&bytes, MODEL_BYTES_MAX);
    status = sea_file_read(path, &bytes, err);
    if (status)
        goto out;
    proto = (struct proto){ .at = (const unsigned char *)bytes.data };
    proto.end = proto.at + bytes.len;
    status = read_model(&model, proto, err);
    if (status)
        goto out;
    tokenizer->bpe.vocab = &tokenizer->vocab;
    tokenizer->bpe.suffix = "";
    tokenizer->bpe.fuse_unk = true;
    tokenizer->bpe.byte_fallback = model.byte_fallback;
    tokenizer->bpe.unk = model.unk >= 0 && model.unk < (int64_t)model.count ? (int32_t)model.unk
                                                                            : -1;
    make_merges(&model);
    status = describe(&model, dir, arena, out, err);
    if (!status && model.bos >= 0 && model.bos < (int64_t)model.count)
        sea_ids_add(&tokenizer->prefix, (int32_t)model.bos);
out:
    free(model.pieces);
    sea_buf_release(&bytes);
    return status;
}
