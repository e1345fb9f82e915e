/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text tower: x = token row + position row, blocks, and one row of each text to the
 * joint space. CLIP's texts are causal, packed one after another without padding and read at
 * their end token; SigLIP's see both ways, have all positions and are read at the last one.
 * The last block runs on the rows that are read only.
 */
#include <stdlib.h>

#include "engine/clip_int.h"

/* Place of the end token in a text, -1 when there is none. */
/* Rows of a text of this length. */
static int64_t
rows_of(const struct sea_clip *clip, int64_t len)
{
    return clip->desc.tower == SEA_TOWER_SIGLIP ? clip->desc.text.positions : len;
}

static int64_t
find_end(const struct sea_clip_text_desc *desc, const int32_t *ids, int64_t count)
{
    int64_t i, best = 0;

    if (desc->eos_is_largest) {
        for (i = 1; i < count; i++)
            if (ids[i] > ids[best])
                best = i;
        return best;
    }
    for (i = 0; i < count; i++)
        if (ids[i] == desc->eos)
            return i;
    return -1;
}

static enum sea_status
check_text(const struct sea_clip *clip, const int32_t *ids, int64_t count, int64_t number,
           struct sea_err *err)
{
    const struct sea_clip_text_desc *desc = &clip->desc.text;
    int64_t i;

    if (count < 1 || count > desc->positions) {
        sea_fail(err, SEA_E_FORMAT, "text %lld has %lld ids, need 1 to %lld",
                 (long long)number, (long long)count, (long long)desc->positions);
        sea_hint(err, "Cut the text before its end token; the model has no more positions.");
        return err->status;
    }
    for (i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= desc->vocab)
            return sea_fail(err, SEA_E_FORMAT, "text %lld holds id %d, need 0 to %lld",
                            (long long)number, ids[i], (long long)desc->vocab - 1);
    if (clip->desc.tower == SEA_TOWER_CLIP && find_end(desc, ids, count) < 0) {
        sea_fail(err, SEA_E_FORMAT, "text %lld holds no end token %d", (long long)number,
                 desc->eos);
        sea_hint(err, "Give the tokenizer that belongs to the model.");
    }
    return err->status;
}

static int
compare_keys(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* order: rows sorted by (value, row), as the scatter wants them. */
static void
sort_rows(struct sea_clip_reader *reader, const int32_t *value, int32_t *order, int64_t rows)
{
    int64_t r;

    for (r = 0; r < rows; r++)
        reader->sorted[r] = (int64_t)value[r] << 32 | r;
    qsort(reader->sorted, (size_t)rows, sizeof(*reader->sorted), compare_keys);
    for (r = 0; r < rows; r++)
        order[r] = (int32_t)(reader->sorted[r] & 0x7fffffff);
}

/* Checks the texts and puts their rows, `rows` of them, on the device. */
static enum sea_status
put_rows(const struct sea_clip *clip, struct sea_clip_work *work, const int32_t *ids,
         const int64_t *start, int64_t count, int64_t rows, int64_t first, struct sea_err *err)
{
    struct sea_clip_reader *reader = &work->reader;
    int64_t room = work->limits.text_rows, at = 0, t, i;
    int32_t *host = reader->host, *pos = host + room, *place = pos + room;
    int32_t *id_order = place + room, *pos_order = id_order + room;
    int32_t *ends = pos_order + room;
    const struct {
        int32_t *to, *from;
        int64_t count;
    } copies[] = {
        { reader->ids, host, rows }, { reader->pos, pos, rows },
        { reader->end_place, place, rows }, { reader->end_rows, ends, count },
        { reader->id_order, id_order, rows }, { reader->pos_order, pos_order, rows },
    };
    size_t c, wanted = work->limits.trained ? 6 : 4;
    enum sea_status status = SEA_OK;

    for (t = 0; !status && t < count; t++) {
        const int32_t *text = ids + start[t];
        int64_t len = start[t + 1] - start[t], all = rows_of(clip, len), end = all - 1;

        status = check_text(clip, text, len, first + t, err);
        if (status)
            return status;
        if (clip->desc.tower == SEA_TOWER_CLIP)
            end = find_end(&clip->desc.text, text, len);
        reader->start[t] = (int32_t)at;
        ends[t] = (int32_t)(at + end);
        for (i = 0; i < all; i++) {
            host[at + i] = i < len ? text[i] : clip->desc.text.pad;
            pos[at + i] = (int32_t)i;
            place[at + i] = i == end ? (int32_t)t : -1;
        }
        at += all;
    }
    reader->start[count] = (int32_t)rows;
    if (work->limits.trained) {
        sort_rows(reader, host, id_order, rows);
        sort_rows(reader, pos, pos_order, rows);
    }
    for (c = 0; !status && c < wanted; c++)
        status = sea_device_put(clip->device, copies[c].to, copies[c].from,
                                (size_t)copies[c].count * sizeof(*host), err);
    return status;
}

static struct sea_segments
segments_of(const struct sea_clip_reader *reader, int64_t rows, int64_t count)
{
    struct sea_segments segments = {
        .count = count, .rows = rows, .start = reader->start, .live_count = count,
        .live = reader->end_rows, .live_of = reader->end_place,
    };

    return segments;
}

enum sea_status
sea_clip_read(const struct sea_clip *clip, struct sea_clip_work *work, const int32_t *ids,
              const int64_t *start, int64_t count, int64_t first, struct sea_err *err)
{
    struct sea_clip_reader *reader = &work->reader;
    int64_t rows = 0, D = clip->desc.text.D, t;
    struct sea_segments segments;
    enum sea_status status;

    for (t = 0; t < count; t++)
        rows += rows_of(clip, start[t + 1] - start[t]);
    if (rows > work->limits.text_rows || count > work->limits.texts)
        return sea_fail(err, SEA_E_INTERNAL, "%lld texts of %lld ids do not fit into room for "
                        "%lld of %lld", (long long)count, (long long)rows,
                        (long long)work->limits.texts, (long long)work->limits.text_rows);
    status = put_rows(clip, work, ids, start, count, rows, first, err);
    if (status)
        return status;
    segments = segments_of(reader, rows, count);
    status = sea_clip_lookup(clip->device, sea_params_matrix(&clip->text, clip->at.token),
                             reader->ids, reader->x, rows, D, false, err);
    if (!status)
        status = sea_clip_lookup(clip->device,
                                 sea_params_matrix(&clip->text, clip->at.text_pos),
                                 reader->pos, reader->x, rows, D, true, err);
    if (!status)
        status = sea_stack_forward(&clip->text_stack, reader->stack, &segments, 0, reader->x,
                                   err);
    if (!status)
        status = sea_clip_exit_forward(clip->device, &reader->exit, reader->x, count,
                                       work->limits.trained, err);
    return status;
}

enum sea_status
sea_clip_read_backward(const struct sea_clip *clip, struct sea_clip_work *work,
                       float *djoint, int64_t rows, int64_t count, struct sea_err *err)
{
    struct sea_clip_reader *reader = &work->reader;
    struct sea_segments segments = segments_of(reader, rows, count);
    int64_t D = clip->desc.text.D;
    struct sea_op_scatter tokens = {
        .inp = reader->dx, .idx = reader->ids, .order = reader->id_order, .R = rows, .C = D,
        .ld_inp = D, .ld_out = D, .add = 1,
    };
    struct sea_op_scatter positions = tokens;
    enum sea_status status;

    status = sea_clip_exit_backward(clip->device, &reader->exit, reader->x, djoint,
                                    reader->dx, count, err);
    if (!status)
        status = sea_stack_backward(&clip->text_stack, reader->stack, &segments, 0,
                                    reader->dx, err);
    if (status || !clip->text.grad)
        return status;
    tokens.out = clip->text.grad + clip->at.token;
    positions.idx = reader->pos;
    positions.order = reader->pos_order;
    positions.out = clip->text.grad + clip->at.text_pos;
    status = sea_run(clip->device, err, scatter, &tokens);
    if (!status)
        status = sea_run(clip->device, err, scatter, &positions);
    return status;
}

enum sea_status
sea_clip_texts(const struct sea_clip *clip, struct sea_clip_work *work, const int32_t *ids,
               const int64_t *start, int64_t count, struct sea_clip_out out,
               struct sea_err *err)
{
    int64_t J = clip->desc.joint, from, n, rows;
    enum sea_status status = SEA_OK;

    if (work->limits.texts < 1)
        return sea_fail(err, SEA_E_INTERNAL, "this work was made without texts");
    for (from = 0; !status && from < count; from += n) {
        /* As many as fit; always one, so that a text that is too long is named. */
        rows = rows_of(clip, start[from + 1] - start[from]);
        for (n = 1; from + n < count && n < work->limits.texts; n++) {
            rows += rows_of(clip, start[from + n + 1] - start[from + n]);
            if (rows > work->limits.text_rows)
                break;
        }
        status = check_text(clip, ids + start[from], start[from + 1] - start[from], from, err);
        if (!status)
            status = sea_clip_read(clip, work, ids, start + from, n, from, err);
        if (!status)
            status = sea_clip_give(clip->device, work->reader.exit.joint, n * J, out,
                                   from * J, err);
    }
    return status;
}
