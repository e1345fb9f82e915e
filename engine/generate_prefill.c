/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/generate_int.h"

#include <assert.h>
#include <string.h>

#include "engine/lm_int.h"

enum { IDS, GIVEN, SOURCE, LIVE, LIVE_OF, LISTS };

/* One packed run under construction. */
struct packed {
    int64_t rows, segments, given, live;
    bool step;                  /* of decoding: one row of each answer */
};

static int32_t *
host_list(struct sea_generator *generator, int list)
{
    return generator->index_host + list * generator->desc.batch_rows;
}

static const int32_t *
device_list(const struct sea_generator *generator, int list)
{
    return generator->index + list * generator->desc.batch_rows;
}

/* ---- prompts into slots ---- */

static int64_t
expanded_length(const struct sea_generator *generator, const struct sea_prompt *prompt)
{
    int64_t length = prompt->count;

    for (int64_t i = 0; i < prompt->count; i++)
        if (prompt->ids[i] == SEA_LM_GIVEN)
            length += generator->mllm->patches - 1;
    return length;
}

enum sea_status
sea_prompt_check(const struct sea_generator *generator, const struct sea_prompts *prompts,
                 const struct sea_prompt *prompt, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &generator->mllm->lm->desc;
    int64_t pictures = 0, length, most = generator->desc.room;

    for (int64_t i = 0; i < prompt->count; i++) {
        pictures += prompt->ids[i] == SEA_LM_GIVEN;
        if (prompt->ids[i] != SEA_LM_GIVEN &&
            (prompt->ids[i] < 0 || prompt->ids[i] >= desc->vocab))
            return sea_fail(err, SEA_E_FORMAT, "prompt %lld holds word %d, the model has 0 to "
                            "%lld", (long long)prompt->id, prompt->ids[i],
                            (long long)desc->vocab - 1);
    }
    if (prompt->count < 1)
        return sea_fail(err, SEA_E_FORMAT, "prompt %lld holds no words, need 1 or more",
                        (long long)prompt->id);
    if (pictures != (prompt->image >= 0) || prompt->image >= prompts->images)
        return sea_fail(err, SEA_E_FORMAT, "prompt %lld asks for %lld pictures and names "
                        "picture %lld of %lld", (long long)prompt->id, (long long)pictures,
                        (long long)prompt->image, (long long)prompts->images);
    if (pictures && !generator->mllm->adapter)
        return sea_fail(err, SEA_E_FORMAT, "prompt %lld holds a picture, the model reads none",
                        (long long)prompt->id);
    length = expanded_length(generator, prompt);
    if (length > most || length > desc->max_positions) {
        most = most < desc->max_positions ? most : desc->max_positions;
        sea_fail(err, SEA_E_FORMAT, "prompt %lld has %lld rows, there is room for %lld",
                 (long long)prompt->id, (long long)length, (long long)most);
        sea_hint(err, "Shorten the prompt, or use a model with more positions.");
        return err->status;
    }
    return SEA_OK;
}

static void
expand(const struct sea_generator *generator, const struct sea_prompt *prompt,
       struct sea_slot *slot)
{
    slot->length = 0;
    slot->image_at = -1;
    for (int64_t i = 0; i < prompt->count; i++) {
        if (prompt->ids[i] != SEA_LM_GIVEN) {
            slot->ids[slot->length++] = prompt->ids[i];
            continue;
        }
        slot->image_at = slot->length;
        for (int64_t j = 0; j < generator->mllm->patches; j++)
            slot->ids[slot->length++] = SEA_LM_GIVEN;
    }
}

/* Rows that all of picked[from..to) begin with; every prompt keeps one row to run. */
static int64_t
common_rows(const struct sea_generator *generator, const int32_t *picked, int64_t from,
            int64_t to)
{
    const struct sea_slot *first = &generator->slots[picked[from]], *other;
    int64_t rows = first->length - 1, at;

    for (int64_t i = from + 1; i < to; i++) {
        other = &generator->slots[picked[i]];
        rows = other->length - 1 < rows ? other->length - 1 : rows;
        for (at = 0; at < rows && other->ids[at] == first->ids[at]; at++)
            ;
        rows = at;
    }
    return rows;
}

static enum sea_status
run_adapter(struct sea_generator *generator, const struct sea_prompts *prompts, int64_t image,
            int64_t place, struct sea_err *err)
{
    const struct sea_mllm *mllm = generator->mllm;
    int64_t m = mllm->patches, Dv = mllm->adapter->Dv;
    enum sea_status status;

    status = sea_device_put(mllm->lm->device, generator->features,
                            prompts->features + image * m * Dv,
                            (size_t)(m * Dv) * sizeof(float), err);
    if (!status)
        status = sea_adapter_forward(mllm->adapter, &generator->adapter, generator->features,
                                     m, generator->images + place * m * mllm->adapter->D,
                                     err);
    return status;
}

enum sea_status
sea_prefill_prepare(struct sea_generator *generator, const struct sea_prompts *prompts,
                    const int64_t *order, const int32_t *picked, int64_t count,
                    struct sea_err *err)
{
    int64_t pictures = 0, to, rows;
    const struct sea_prompt *prompt;
    enum sea_status status = SEA_OK;
    struct sea_slot *slot;

    for (int64_t i = 0; i < count; i++) {
        slot = &generator->slots[picked[i]];
        slot->prompt = order[i];
        expand(generator, &prompts->list[order[i]], slot);
        generator->cache->len[picked[i]] = 0;
    }
    for (int64_t i = 0; i < count && !status; i = to) {
        prompt = &prompts->list[order[i]];
        for (to = i + 1; to < count && prompts->list[order[to]].image == prompt->image; to++)
            ;
        rows = generator->desc.share && to > i + 1 ? common_rows(generator, picked, i, to) : 0;
        for (int64_t j = i; j < to; j++) {
            slot = &generator->slots[picked[j]];
            slot->shared = rows;
            slot->leader = picked[i];
            slot->image = prompt->image < 0 ? -1 : pictures;
        }
        if (prompt->image >= 0)
            status = run_adapter(generator, prompts, prompt->image, pictures++, err);
    }
    return status;
}

/* ---- packed runs ---- */

/* Adds rows from..to-1 of a slot's prompt as a segment; last: its last row is wanted. */
static void
pack_rows(struct sea_generator *generator, struct packed *packed, int32_t at, int64_t from,
          int64_t to, bool last)
{
    const struct sea_slot *slot = &generator->slots[at];
    int64_t row = packed->rows, m = generator->mllm->patches;

    for (int64_t i = from; i < to; i++, row++) {
        host_list(generator, IDS)[row] = slot->ids[i];
        host_list(generator, LIVE_OF)[row] = -1;
        if (slot->ids[i] != SEA_LM_GIVEN)
            continue;
        host_list(generator, GIVEN)[packed->given] = (int32_t)row;
        host_list(generator, SOURCE)[packed->given++] =
            (int32_t)(slot->image * m + i - slot->image_at);
    }
    if (last) {
        host_list(generator, LIVE_OF)[row - 1] = (int32_t)packed->live;
        host_list(generator, LIVE)[packed->live++] = (int32_t)row - 1;
    }
    generator->run_slots[packed->segments++] = at;
    generator->starts[packed->segments] = (int32_t)row;
    packed->rows = row;
}

static struct sea_segments
segments_of(const struct sea_generator *generator, const struct packed *packed)
{
    return (struct sea_segments){
        .count = packed->segments, .rows = packed->rows, .start = generator->starts,
        .live_count = packed->live, .live = device_list(generator, LIVE),
        .live_of = device_list(generator, LIVE_OF), .few = packed->step,
    };
}

/* What the packed rows are, to the device. */
static enum sea_status
place_packed(struct sea_generator *generator, const struct packed *packed, struct sea_err *err)
{
    const struct sea_segments segments = segments_of(generator, packed);
    enum sea_status status;

    generator->starts[0] = 0;
    status = sea_device_put(generator->mllm->lm->device, generator->index,
                            generator->index_host,
                            LISTS * (size_t)generator->desc.batch_rows * sizeof(int32_t),
                            err);
    return status ? status : sea_extend_place(generator->stack, generator->cache,
                                              generator->run_slots, &segments, err);
}

/* The packed rows through the stack; wanted rows to hidden. Operators whose arguments depend on
 * what `packed` counts and on nothing else. */
static enum sea_status
enqueue_packed(struct sea_generator *generator, const struct packed *packed,
               struct sea_err *err)
{
    const struct sea_segments segments = segments_of(generator, packed);
    const struct sea_lm *lm = generator->mllm->lm;
    enum sea_status status = sea_lm_embed(lm, device_list(generator, IDS), packed->rows,
                                          generator->x, err);

    if (!status && packed->given)
        status = sea_lm_give(lm, generator->images, device_list(generator, SOURCE),
                             generator->given, device_list(generator, GIVEN), packed->given,
                             generator->x, err);
    if (!status)
        status = sea_extend_run(generator->stack, generator->cache, &segments, generator->x,
                                err);
    if (!status && packed->live)
        status = sea_lm_norm(lm, generator->x, generator->hidden, NULL, NULL, packed->live,
                             err);
    return status;
}

static void
count_packed(struct sea_generator *generator, const struct packed *packed)
{
    const struct sea_segments segments = segments_of(generator, packed);

    sea_extend_count(generator->cache, generator->run_slots, &segments);
}

static enum sea_status
run_packed(struct sea_generator *generator, const struct packed *packed, struct sea_err *err)
{
    enum sea_status status = place_packed(generator, packed, err);

    if (!status)
        status = enqueue_packed(generator, packed, err);
    if (!status)
        count_packed(generator, packed);
    return status;
}

/* Runs the common rows of each group in its leader's slot, and copies them. */
static enum sea_status
run_shared(struct sea_generator *generator, const int32_t *picked, int64_t count,
           struct sea_err *err)
{
    struct packed packed = { 0 };
    const struct sea_slot *slot;
    enum sea_status status = SEA_OK;

    for (int64_t i = 0; i < count && !status; i++) {
        slot = &generator->slots[picked[i]];
        if (!slot->shared || slot->leader != picked[i])
            continue;
        if (packed.rows + slot->shared > generator->desc.batch_rows) {
            status = run_packed(generator, &packed, err);
            memset(&packed, 0, sizeof(packed));
        }
        pack_rows(generator, &packed, picked[i], 0, slot->shared, false);
    }
    if (!status && packed.rows)
        status = run_packed(generator, &packed, err);
    for (int64_t i = 0; i < count && !status; i++) {
        slot = &generator->slots[picked[i]];
        if (slot->shared && slot->leader != picked[i])
            status = sea_cache_copy(generator->cache, slot->leader, picked[i], slot->shared,
                                    err);
    }
    return status;
}

enum sea_status
sea_prefill_run(struct sea_generator *generator, const int32_t *picked, int64_t count,
                sea_prefill_done *done, void *arg, struct sea_err *err)
{
    struct packed packed = { 0 };
    const struct sea_slot *slot;
    int64_t first = 0;
    enum sea_status status = run_shared(generator, picked, count, err);

    for (int64_t i = 0; i < count && !status; i++) {
        slot = &generator->slots[picked[i]];
        if (packed.rows + slot->length - slot->shared > generator->desc.batch_rows) {
            status = run_packed(generator, &packed, err);
            if (!status)
                status = done(arg, picked + first, i - first, err);
            memset(&packed, 0, sizeof(packed));
            first = i;
        }
        if (!status)
            pack_rows(generator, &packed, picked[i], slot->shared, slot->length, true);
    }
    if (!status)
        status = run_packed(generator, &packed, err);
    if (!status)
        status = done(arg, picked + first, count - first, err);
    return status;
}

/* Keeps a step of n answers as a graph. A device that cannot is not asked again: steps go on
 * operator by operator. */
static void
keep_graph(struct sea_generator *generator, const struct packed *packed,
           struct sea_decode_graph *kept)
{
    const struct sea_device *device = generator->mllm->lm->device;
    struct sea_err ignored = { 0 };
    bool failed;

    if (device->ops->graph_begin(device->dev)) {
        generator->plain = true;
        return;
    }
    failed = enqueue_packed(generator, packed, &ignored) != SEA_OK;
    if (device->ops->graph_end(device->dev, &kept->graph) || failed) {
        device->ops->graph_free(device->dev, kept->graph);
        kept->graph = NULL;
        generator->plain = true;
    }
}

enum sea_status
sea_decode_run(struct sea_generator *generator, const int32_t *slots, int64_t n,
               struct sea_err *err)
{
    const struct sea_device *device = generator->mllm->lm->device;
    struct packed packed = { .rows = n, .segments = n, .live = n, .step = true };
    struct sea_decode_graph *kept = &generator->graphs[n];
    bool graphs = !generator->plain && device->ops->graph_begin;
    enum sea_status status;

    assert(n <= generator->desc.batch_rows);
    for (int32_t i = 0; i < (int32_t)n; i++) {
        host_list(generator, IDS)[i] = generator->slots[slots[i]].last;
        host_list(generator, LIVE)[i] = i;
        host_list(generator, LIVE_OF)[i] = i;
        generator->run_slots[i] = slots[i];
        generator->starts[i + 1] = i + 1;
    }
    status = place_packed(generator, &packed, err);
    if (!status && graphs && kept->ran && !kept->graph)
        keep_graph(generator, &packed, kept);
    graphs = graphs && kept->graph;
    if (!status && graphs)
        status = sea_device_status(device, device->ops->graph_launch(device->dev, kept->graph),
                                   "graph_launch", err);
    else if (!status)
        status = enqueue_packed(generator, &packed, err);
    if (status)
        return status;
    generator->launched += graphs;
    kept->ran = true;
    count_packed(generator, &packed);
    return SEA_OK;
}
