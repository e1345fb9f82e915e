/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate_int.h - slots and prefills, shared by generate*.c
 *
 * A slot is a place in the cache with the sequence that it serves. A round admits prompts
 * into free slots, in the order of their pictures:
 *   1. prompts of one picture that begin alike: the common rows run once, in the first one's
 *      slot, and are copied to the others;
 *   2. what is left of each prompt runs, packed; each last row gives the first word.
 */
#ifndef SEA_GENERATE_INT_H
#define SEA_GENERATE_INT_H

#include "engine/sea_generate.h"

struct sea_slot {
    int64_t prompt;             /* its number in the call, -1: free */
    int64_t image;              /* place in this round's pictures, -1: none */
    int32_t *ids;               // (room) the prompt with its picture's rows, expanded
    int64_t length;             /* of ids */
    int64_t image_at;           /* first row of the picture, -1: none */
    int64_t shared;             /* leading rows that come from the group's first slot */
    int64_t leader;             /* slot that ran them; its own number: itself */
    int32_t last;               /* the newest word, to be run next */
};

struct sea_decode_graph;

struct sea_generator {
    const struct sea_mllm *mllm;
    struct sea_generate_desc desc;
    struct sea_plan plan;
    struct sea_cache *cache;
    struct sea_stack_work *stack;
    struct sea_head head;
    struct sea_adapter_work adapter;
    float *x;                   // (batch_rows, D)
    float *given;               // (batch_rows, D) picture rows of one packed run
    float *hidden;              // (slots, D) last rows after the final norm
    float *features;            // (m, Dv) one picture at a time
    float *images;              // (slots * m, D) adapter outputs of a round
    int32_t *index;             // (5, batch_rows) device: see index_host
    int32_t *index_host;        /* ids, given rows, their sources, live, live_of */
    struct sea_slot *slots;     // (slots)
    int32_t *slot_ids;          // (slots, room)
    int32_t *starts;            // (slots + 1) of one packed run
    int32_t *run_slots;         // (slots) which slot each segment continues
    int32_t *best;              // (slots, SEA_HEAD_BEST)
    float *value;               // (slots, SEA_HEAD_BEST)
    double *random;             // (slots) one number of [0, 1) per word of the step
    int32_t *words;             // (slots) the words of the step
    int32_t *picked;            // (slots) slots of the round or of the step
    struct sea_decode_graph *graphs;    // (slots + 1) by the number of answers of a step
    bool plain;                 /* none are wanted, or the device could not keep one */
    int64_t launched;           /* steps that were one launch */
};

/* A decoding step as the device keeps it: how often steps of its size ran before, for all that
 * they take must be there; graph NULL: not kept yet. */
struct sea_decode_graph {
    void *graph;
    bool ran;
};

/* The prompts of a call. */
struct sea_prompts {
    const struct sea_prompt *list;
    int64_t count;
    const float *features;      /* host */
    int64_t images;
};

/* Prepares the slots of `count` prompts, numbers order[0..count): expands them, groups them
 * and runs their pictures through the adapter. picked lists as many free slots. */
SEA_MUST_CHECK enum sea_status
sea_prefill_prepare(struct sea_generator *generator, const struct sea_prompts *prompts,
                    const int64_t *order, const int32_t *picked, int64_t count,
                    struct sea_err *err);
/* Runs the prepared slots. done(arg, slots, n) is called for each packed run, when
 * generator->hidden holds the normed last row of each of its n slots. */
typedef enum sea_status
sea_prefill_done(void *arg, const int32_t *slots, int64_t n, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_prefill_run(struct sea_generator *generator, const int32_t *picked, int64_t count,
                sea_prefill_done *done, void *arg, struct sea_err *err);
/* One row per slot, its `last` word; hidden as above. */
SEA_MUST_CHECK enum sea_status
sea_decode_run(struct sea_generator *generator, const int32_t *slots, int64_t n,
               struct sea_err *err);
/* SEA_E_FORMAT, named by its id, when a prompt cannot be run. */
SEA_MUST_CHECK enum sea_status
sea_prompt_check(const struct sea_generator *generator, const struct sea_prompts *prompts,
                 const struct sea_prompt *prompt, struct sea_err *err);

/* The words that the first n rows of generator->hidden lead to, -1 where logits are not
 * numbers; u: a random number of [0, 1) for each. */
SEA_MUST_CHECK enum sea_status
sea_generate_pick(struct sea_generator *generator, const struct sea_sampling *sampling,
                  int64_t n, const double *u, int32_t *words, struct sea_err *err);
/* Sets answer->stopped when its words spell a stop text. */
SEA_MUST_CHECK enum sea_status
sea_generate_check_stop(const struct sea_sampling *sampling, struct sea_answer *answer,
                        struct sea_err *err);

#endif
