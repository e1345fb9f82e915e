/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/stages_int.h"

/* ---- samples ---- */

void
sea_samples_release(struct sea_samples *samples)
{
    free(samples->ids);
    free(samples->on);
    free(samples->start);
    memset(samples, 0, sizeof(*samples));
}

void
sea_samples_add(struct sea_samples *samples, const struct sea_sample *sample, int64_t patches,
                int64_t max_length)
{
    int64_t len = (int64_t)sample->ids.len, keep = 0, rows = 0, supervised = 0, at;

    while (keep < len) {        /* cut after expansion, as LLaVA does */
        rows += sample->ids.data[keep] == SEA_IMAGE_ID ? patches : 1;
        if (rows > max_length)
            break;
        keep++;
    }
    if (samples->count + 2 > samples->room) {
        samples->room = samples->room ? 2 * samples->room : 1024;
        samples->start = sea_xrealloc(samples->start, (size_t)samples->room, sizeof(int64_t));
        if (samples->count == 0)
            samples->start[0] = 0;
    }
    at = samples->start[samples->count];
    if (at + keep > samples->ids_room) {
        samples->ids_room = 2 * (at + keep) + 65536;
        samples->ids = sea_xrealloc(samples->ids, (size_t)samples->ids_room, sizeof(int32_t));
        samples->on = sea_xrealloc(samples->on, (size_t)samples->ids_room, 1);
    }
    for (int64_t i = 0; i < keep; i++) {
        samples->ids[at + i] = sample->ids.data[i];
        samples->on[at + i] = sample->labels.data[i] != SEA_LABEL_NONE;
        supervised += i > 0 && samples->on[at + i];
    }
    samples->start[++samples->count] = at + keep;
    samples->cut += keep < len;
    samples->silent += supervised == 0;
    samples->masked += sample->llava_skips && len < max_length; /* it does not count longer ones */
}

enum sea_status
sea_samples_encode(struct sea_samples *samples, struct sea_stage *stage,
                   const struct sea_dataset *data, struct sea_tokenizer *tokenizer,
                   enum sea_template kind, int64_t patches, int64_t max_length,
                   struct sea_err *err)
{
    struct sea_conversation conversation = sea_conversation_defaults(kind);
    struct sea_sample sample = { 0 };
    enum sea_status status = SEA_OK;
    int64_t i;

    conversation.compares = true;
    for (i = 0; i < data->count && !status; i++) {
        const struct sea_row *row = &data->rows[i];

        if (i % 4096 == 0)
            sea_events_progress(stage->events, i, data->count, "rows");
        sea_sample_clear(&sample);
        status = sea_conversation_encode(&conversation, tokenizer, row->turns, row->turns_count,
                                         row->image != NULL, &sample, err);
        if (status)
            sea_context(err, "in row %lld (id \"%s\") of \"%s\"", (long long)row->index, row->id,
                        data->json);
        else
            sea_samples_add(samples, &sample, patches, max_length);
        if (!status && i % 4096 == 0 && sea_stage_is_stopped())
            status = sea_stage_stop(stage, err);
    }
    sea_sample_release(&sample);
    if (!status && samples->count == samples->silent) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" holds no row with words to learn", data->json);
        sea_hint(err, "max_length of the stage must leave room for a picture's %lld rows and the "
                      "text.", (long long)patches);
    }
    if (!status && samples->silent)
        sea_events_log(stage->events, "warn", "%lld of %lld rows have no words to learn",
                       (long long)samples->silent, (long long)samples->count);
    if (!status && samples->masked)
        sea_events_log(stage->events, "info", "%lld of %lld rows are learnt that LLaVA would leave "
                       "out: its count of their words does not come out",
                       (long long)samples->masked, (long long)samples->count);
    if (!status && samples->cut)
        sea_events_log(stage->events, "info", "%lld of %lld rows are cut to %lld words",
                       (long long)samples->cut, (long long)samples->count,
                       (long long)max_length);
    return status;
}

int64_t
sea_stage_max_length(const struct sea_stage *stage, const struct sea_lm *lm)
{
    int64_t wanted = sea_stage_int(stage, "max_length");

    return wanted < lm->desc.max_positions ? wanted : lm->desc.max_positions;
}

int64_t
sea_samples_rows(const struct sea_samples *samples, int64_t i, int64_t patches)
{
    int64_t at, rows = 0;

    for (at = samples->start[i]; at < samples->start[i + 1]; at++)
        rows += samples->ids[at] == SEA_IMAGE_ID ? patches : 1;
    return rows;
}

static int
compare_down(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

int64_t
sea_samples_most(const struct sea_samples *samples, int64_t n, int64_t patches)
{
    int64_t *rows = sea_xcalloc((size_t)samples->count + 1, sizeof(*rows)), i, most = 0;

    for (i = 0; i < samples->count; i++)
        rows[i] = sea_samples_rows(samples, i, patches);
    qsort(rows, (size_t)samples->count, sizeof(*rows), compare_down);
    /* A run over few samples meets one twice in a batch: count it again. */
    for (i = 0; i < n; i++)
        most += rows[i < samples->count ? i : i % samples->count];
    free(rows);
    return most;
}

/* ---- packed batches ---- */

void
sea_packed_init(struct sea_packed *packed, int64_t rows_room)
{
    memset(packed, 0, sizeof(*packed));
    packed->rows_room = rows_room;
    packed->start = sea_xcalloc((size_t)rows_room + 2, sizeof(int32_t));
    packed->ids = sea_xcalloc((size_t)rows_room + 1, sizeof(int32_t));
    packed->labels = sea_xcalloc((size_t)rows_room + 1, sizeof(int32_t));
}

void
sea_packed_release(struct sea_packed *packed)
{
    free(packed->start);
    free(packed->ids);
    free(packed->labels);
    memset(packed, 0, sizeof(*packed));
}

void
sea_packed_clear(struct sea_packed *packed)
{
    packed->rows = packed->segments = packed->images = packed->supervised = 0;
    packed->start[0] = 0;
}

void
sea_packed_add(struct sea_packed *packed, const struct sea_samples *samples, int64_t i,
               int64_t patches)
{
    int64_t at, first = packed->rows, k;

    assert(packed->rows + sea_samples_rows(samples, i, patches) <= packed->rows_room);
    for (at = samples->start[i]; at < samples->start[i + 1]; at++) {
        if (samples->ids[at] == SEA_IMAGE_ID) {
            for (k = 0; k < patches; k++) {
                packed->ids[packed->rows] = SEA_LM_GIVEN;
                packed->labels[packed->rows++] = SEA_LM_IGNORE;
            }
            packed->images++;
            continue;
        }
        packed->supervised += samples->on[at] && packed->rows > first;
        packed->ids[packed->rows] = samples->ids[at];
        packed->labels[packed->rows++] = samples->on[at] ? samples->ids[at] : SEA_LM_IGNORE;
    }
    packed->start[++packed->segments] = (int32_t)packed->rows;
}

struct sea_lm_batch
sea_packed_batch(const struct sea_packed *packed)
{
    return (struct sea_lm_batch){ .rows = packed->rows, .segments = packed->segments,
                                  .start = packed->start, .ids = packed->ids,
                                  .labels = packed->labels };
}

/* ---- figures ---- */

void
sea_figure(struct sea_stage *stage, struct sea_node *figures, const char *name, double value)
{
    char full[128];

    snprintf(full, sizeof(full), "%s.%s", stage->def->name, name);
    sea_node_put_real(stage->arena, figures, name, value);
    sea_events_metric(stage->events, full, 0, value);
}
