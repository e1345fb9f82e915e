/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c - rounds of prompts, ends of answers */
#include "engine/generate_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"

#define BATCH_ROWS 1024
#define LISTS 5                 /* as in generate_prefill.c */

/* ---- memory ---- */

struct places {
    size_t x, given, hidden, features, images, index;
};

static struct sea_generate_desc
complete(const struct sea_generate_desc *given)
{
    struct sea_generate_desc desc = *given;

    if (!desc.batch_rows)
        desc.batch_rows = BATCH_ROWS;
    if (desc.batch_rows < desc.room)
        desc.batch_rows = desc.room;
    if (desc.batch_rows < desc.slots)
        desc.batch_rows = desc.slots;
    return desc;
}

static void
plan_generator(struct sea_plan *plan, struct places *at, const struct sea_mllm *mllm,
               const struct sea_generate_desc *desc)
{
    size_t rows = (size_t)desc->batch_rows, slots = (size_t)desc->slots;
    size_t D = (size_t)mllm->lm->desc.D, m = (size_t)mllm->patches;

    sea_plan_init(plan);
    memset(at, 0, sizeof(*at));
    at->x = sea_plan_add(plan, rows * D, sizeof(float));
    at->hidden = sea_plan_add(plan, slots * D, sizeof(float));
    at->index = sea_plan_add(plan, LISTS * rows, sizeof(int32_t));
    if (!mllm->adapter)
        return;
    at->given = sea_plan_add(plan, rows * D, sizeof(float));
    at->features = sea_plan_add(plan, m * (size_t)mllm->adapter->Dv, sizeof(float));
    at->images = sea_plan_add(plan, slots * m * D, sizeof(float));
}

static enum sea_status
reserve(struct sea_generator *generator, struct sea_err *err)
{
    const struct sea_mllm *mllm = generator->mllm;
    const struct sea_generate_desc *desc = &generator->desc;
    const struct sea_lm *lm = mllm->lm;
    struct places at;
    enum sea_status status;

    plan_generator(&generator->plan, &at, mllm, desc);
    status = sea_plan_reserve(&generator->plan, lm->device, err);
    if (!status)
        status = sea_cache_create(&generator->cache, &lm->stack, desc->slots, desc->room, err);
    if (!status)
        status = sea_stack_work_create(&generator->stack, &lm->stack, desc->batch_rows, false,
                                       err);
    if (!status)
        status = sea_head_init(&generator->head, lm->device, desc->slots, lm->desc.D,
                               lm->desc.vocab, err);
    if (!status && mllm->adapter)
        status = sea_adapter_work_init(&generator->adapter, mllm->adapter, mllm->patches,
                                       false, err);
    if (status)
        return status;
    generator->x = sea_plan_at(&generator->plan, at.x);
    generator->hidden = sea_plan_at(&generator->plan, at.hidden);
    generator->index = sea_plan_at(&generator->plan, at.index);
    if (mllm->adapter) {
        generator->given = sea_plan_at(&generator->plan, at.given);
        generator->features = sea_plan_at(&generator->plan, at.features);
        generator->images = sea_plan_at(&generator->plan, at.images);
    }
    return SEA_OK;
}

enum sea_status
sea_generator_create(struct sea_generator **out, const struct sea_mllm *mllm,
                     const struct sea_generate_desc *desc, struct sea_err *err)
{
    struct sea_generator *generator = sea_xcalloc(1, sizeof(*generator));
    size_t slots = (size_t)desc->slots, room = (size_t)desc->room;

    *out = NULL;
    assert(desc->slots > 0 && desc->room > 0 && (!mllm->adapter || mllm->patches > 0));
    generator->mllm = mllm;
    generator->desc = complete(desc);
    if (reserve(generator, err)) {
        sea_context(err, "while reserving the generation of %lld answers together",
                    (long long)desc->slots);
        sea_generator_destroy(generator);
        return err->status;
    }
    generator->index_host = sea_xcalloc(LISTS * (size_t)generator->desc.batch_rows,
                                        sizeof(int32_t));
    generator->slots = sea_xcalloc(slots, sizeof(*generator->slots));
    generator->slot_ids = sea_xcalloc(slots * room, sizeof(int32_t));
    for (size_t s = 0; s < slots; s++) {
        generator->slots[s].prompt = -1;
        generator->slots[s].ids = generator->slot_ids + s * room;
    }
    generator->starts = sea_xcalloc(slots + 1, sizeof(int32_t));
    generator->run_slots = sea_xcalloc(slots, sizeof(int32_t));
    generator->picked = sea_xcalloc(slots, sizeof(int32_t));
    generator->best = sea_xcalloc(slots * SEA_HEAD_BEST, sizeof(int32_t));
    generator->value = sea_xcalloc(slots * SEA_HEAD_BEST, sizeof(float));
    generator->random = sea_xcalloc(slots, sizeof(double));
    generator->words = sea_xcalloc(slots, sizeof(int32_t));
    generator->graphs = sea_xcalloc(slots + 1, sizeof(*generator->graphs));
    generator->plain = desc->plain;
    *out = generator;
    return SEA_OK;
}

void
sea_generator_destroy(struct sea_generator *generator)
{
    const struct sea_device *device = generator ? generator->mllm->lm->device : NULL;

    if (!generator)
        return;
    for (int64_t n = 0; generator->graphs && n <= generator->desc.slots; n++)
        if (generator->graphs[n].graph)
            device->ops->graph_free(device->dev, generator->graphs[n].graph);
    free(generator->graphs);
    sea_cache_destroy(generator->cache);
    sea_stack_work_destroy(generator->stack);
    sea_head_release(&generator->head);
    sea_adapter_work_release(&generator->adapter);
    sea_plan_release(&generator->plan);
    free(generator->index_host);
    free(generator->slots);
    free(generator->slot_ids);
    free(generator->starts);
    free(generator->run_slots);
    free(generator->picked);
    free(generator->best);
    free(generator->value);
    free(generator->random);
    free(generator->words);
    free(generator);
}

/* ---- answers ---- */

struct call {
    struct sea_generator *generator;
    const struct sea_prompts *prompts;
    const struct sea_sampling *sampling;
    const int32_t *eos;
    int eos_count;
    struct sea_answer *answers;
    float *logits;              // (count, V) host: sea_generate_logits only
};

/* Where the random number of an answer's next word comes from: its prompt and its place,
 * whatever runs beside it. */
static double
random_of(const struct call *call, int64_t prompt)
{
    uint64_t stream = sea_rng_stream("sample", (uint64_t)call->prompts->list[prompt].id, 0);

    return sea_rng_uniform_at(call->sampling->seed, stream,
                              (uint64_t)call->answers[prompt].count);
}

/* Adds a word to the answer of a slot, which becomes free when that was the last. */
static enum sea_status
take_word(struct call *call, int32_t at, int32_t word, struct sea_err *err)
{
    struct sea_generator *generator = call->generator;
    struct sea_slot *slot = &generator->slots[at];
    struct sea_answer *answer = &call->answers[slot->prompt];
    int64_t rows = generator->cache->len[at];
    enum sea_status status = SEA_OK;

    if (word < 0)
        return sea_fail(err, SEA_E_INTERNAL, "the logits of prompt %lld are not numbers",
                        (long long)call->prompts->list[slot->prompt].id);
    for (int e = 0; e < call->eos_count; e++)
        answer->ended |= word == call->eos[e];
    if (!answer->ended) {
        answer->ids[answer->count++] = word;
        status = sea_generate_check_stop(call->sampling, answer, err);
    }
    slot->last = word;
    if (answer->ended || answer->stopped || answer->count >= call->sampling->max_new ||
        rows >= generator->desc.room || rows >= generator->mllm->lm->desc.max_positions)
        slot->prompt = -1;
    return status;
}

/* Takes the words that `hidden` leads to in n slots. */
static enum sea_status
take_words(void *arg, const int32_t *slots, int64_t n, struct sea_err *err)
{
    struct call *call = arg;
    struct sea_generator *generator = call->generator;
    enum sea_status status;

    for (int64_t i = 0; i < n; i++)
        generator->random[i] = random_of(call, generator->slots[slots[i]].prompt);
    status = sea_generate_pick(generator, call->sampling, n, generator->random,
                               generator->words, err);
    for (int64_t i = 0; i < n && !status; i++)
        status = take_word(call, slots[i], generator->words[i], err);
    return status;
}

/* The last word's logits of n slots, which become free. */
static enum sea_status
take_logits(void *arg, const int32_t *slots, int64_t n, struct sea_err *err)
{
    struct call *call = arg;
    struct sea_generator *generator = call->generator;
    const struct sea_lm *lm = generator->mllm->lm;
    const struct sea_head_words words = sea_lm_words(lm);
    enum sea_status status = SEA_OK;

    for (int64_t i = 0; i < n && !status; i++) {
        struct sea_slot *slot = &generator->slots[slots[i]];

        status = sea_head_logits(&generator->head, generator->hidden + i * lm->desc.D,
                                 &words, 1, call->logits + slot->prompt * lm->desc.vocab,
                                 err);
        slot->prompt = -1;
    }
    return status;
}

/* Slots that are free (or not), listed in picked; returns how many. */
static int64_t
list_slots(struct sea_generator *generator, bool is_free)
{
    int64_t n = 0;

    for (int32_t s = 0; s < (int32_t)generator->desc.slots; s++)
        if ((generator->slots[s].prompt < 0) == is_free)
            generator->picked[n++] = s;
    return n;
}

/* Prompts by picture, so that those of one picture meet in one round. */
struct ranked {
    int64_t image, prompt;
};

static int
by_image(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;

    if (a->image != b->image)
        return a->image < b->image ? -1 : 1;
    return (a->prompt > b->prompt) - (a->prompt < b->prompt);
}

static int64_t *
order_prompts(const struct sea_prompts *prompts)
{
    struct ranked *ranked = sea_xcalloc((size_t)prompts->count + 1, sizeof(*ranked));
    int64_t *order = sea_xcalloc((size_t)prompts->count + 1, sizeof(*order));

    for (int64_t i = 0; i < prompts->count; i++)
        ranked[i] = (struct ranked){ prompts->list[i].image, i };
    if (prompts->count)
        qsort(ranked, (size_t)prompts->count, sizeof(*ranked), by_image);
    for (int64_t i = 0; i < prompts->count; i++)
        order[i] = ranked[i].prompt;
    free(ranked);
    return order;
}

/* New prompts come in when half of the slots are free: then pictures are still shared. */
static enum sea_status
run_call(struct call *call, sea_prefill_done *done, struct sea_err *err)
{
    struct sea_generator *generator = call->generator;
    const struct sea_prompts *prompts = call->prompts;
    int64_t next = 0, live = 0, room, *order;
    enum sea_status status = SEA_OK;

    for (int64_t s = 0; s < generator->desc.slots; s++)
        generator->slots[s].prompt = -1;
    for (int64_t i = 0; i < prompts->count && !status; i++)
        status = sea_prompt_check(generator, prompts, &prompts->list[i], err);
    if (status)
        return status;
    order = order_prompts(prompts);
    while (!status && (next < prompts->count || live)) {
        room = list_slots(generator, true);
        if (next < prompts->count && 2 * room >= generator->desc.slots) {
            room = prompts->count - next < room ? prompts->count - next : room;
            status = sea_prefill_prepare(generator, prompts, order + next, generator->picked,
                                         room, err);
            if (!status)
                status = sea_prefill_run(generator, generator->picked, room, done, call, err);
            next += room;
        } else {
            live = list_slots(generator, false);
            status = sea_decode_run(generator, generator->picked, live, err);
            if (!status)
                status = done(call, generator->picked, live, err);
        }
        live = generator->desc.slots - list_slots(generator, true);
    }
    free(order);
    return status;
}

enum sea_status
sea_generate(struct sea_generator *generator, const struct sea_prompt *prompts, int64_t count,
             const float *features, int64_t images, const struct sea_sampling *sampling,
             struct sea_answer *answers, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &generator->mllm->lm->desc;
    const struct sea_prompts list = { prompts, count, features, images };
    struct call call = {
        .generator = generator, .prompts = &list, .sampling = sampling, .answers = answers,
        .eos = sampling->eos ? sampling->eos : desc->eos,
        .eos_count = sampling->eos ? sampling->eos_count : desc->eos_count,
    };

    assert(!sampling->stop_count || sampling->tokenizer);
    for (int64_t i = 0; i < count; i++) {
        answers[i].count = 0;
        answers[i].ended = answers[i].stopped = false;
    }
    if (sampling->max_new < 1)
        return SEA_OK;
    return run_call(&call, take_words, err);
}

enum sea_status
sea_generate_logits(struct sea_generator *generator, const struct sea_prompt *prompts,
                    int64_t count, const float *features, int64_t images, float *out,
                    struct sea_err *err)
{
    const struct sea_prompts list = { prompts, count, features, images };
    struct call call = { .generator = generator, .prompts = &list, .logits = out };

    return run_call(&call, take_logits, err);
}
