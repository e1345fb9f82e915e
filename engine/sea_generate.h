/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_generate.h - answers for a batch of prompts
 *
 * Prompts about one picture share their beginning (system text, picture): it runs once and
 * its keys and values are copied. Decoding runs all unfinished answers together; a finished
 * one makes room for the next prompt.
 *
 * Invariants: (1) an answer's bits do not depend on the other prompts, their order, the
 *                 number of slots, nor on whether beginnings are shared;
 *             (2) ties go to the lowest word; sampled words are a function of (seed, prompt
 *                 id, position) and the logits;
 *             (3) after create nothing allocates device memory, but for the graphs that a
 *                 device keeps: one per number of answers that are decoded together, with the
 *                 bits of the operators it was made of.
 */
#ifndef SEA_GENERATE_H
#define SEA_GENERATE_H

#include "engine/sea_mllm.h"

struct sea_buf;                 /* engine/base/sea_buf.h */
struct sea_tokenizer;           /* engine/sea_tokenizer.h */

struct sea_prompt {             /* host arrays, borrowed during the call */
    const int32_t *ids;         // (count) words; SEA_LM_GIVEN once for a whole picture
    int64_t count;
    int64_t image;              /* number of its picture, -1: none */
    int64_t id;                 /* keys random numbers; any number that stays the same */
};

struct sea_answer {
    int32_t *ids;               /* room for max_new words; caller's memory */
    int64_t count;              /* words, the end word not included */
    bool ended;                 /* an end word was reached */
    bool stopped;               /* a stop text was reached: the last words spell it */
};

struct sea_generate_desc {
    int64_t slots;              /* answers decoded together */
    int64_t room;               /* rows per sequence at most: prompt, picture, answer */
    int64_t batch_rows;         /* rows of one prefill at most; 0: max(room, 1024) */
    bool share;                 /* false: run every prompt whole (for tests) */
    bool plain;                 /* true: every step is launched operator by operator, also where
                                   the device keeps graphs (for tests) */
};

struct sea_sampling {
    int64_t max_new;
    const int32_t *eos;         /* NULL: those of the model's config */
    int eos_count;
    /* Sampling: logits over temperature, then the top_k best words, then the best of these
     * until top_p of their weight is reached; among these one is drawn. */
    double temperature;         /* 0: greedy */
    int64_t top_k;              /* 0: all words */
    double top_p;               /* 0 or 1: all of them */
    uint64_t seed;
    /* Texts that end an answer, looked for in what all its words spell together: a stop may
     * begin and end within words. Empty ones are not looked for. */
    const char *const *stop;
    int stop_count;             /* 0: none; else tokenizer is needed */
    const struct sea_tokenizer *tokenizer;
};

struct sea_generator;
/* mllm->adapter may be NULL: prompts without pictures. mllm is borrowed. */
SEA_MUST_CHECK enum sea_status
sea_generator_create(struct sea_generator **out, const struct sea_mllm *mllm,
                     const struct sea_generate_desc *desc, struct sea_err *err);
void sea_generator_destroy(struct sea_generator *generator);    /* accepts NULL */

/* features (host, (m, Dv) per picture): picture i at features + i * m * Dv.
 * A prompt that does not fit (room, max_positions) is SEA_E_FORMAT and named by its id, as
 * are one without words and one whose picture is missing. An answer ends early when room is
 * used up. */
SEA_MUST_CHECK enum sea_status
sea_generate(struct sea_generator *generator, const struct sea_prompt *prompts, int64_t count,
             const float *features, int64_t images, const struct sea_sampling *sampling,
             struct sea_answer *answers, struct sea_err *err);

/* Logits (count, V) of the word after each prompt, to the host: for letter likelihoods. */
SEA_MUST_CHECK enum sea_status
sea_generate_logits(struct sea_generator *generator, const struct sea_prompt *prompts,
                    int64_t count, const float *features, int64_t images, float *out,
                    struct sea_err *err);

/* Appends the text of an answer: without special words, and up to its stop text. */
SEA_MUST_CHECK enum sea_status
sea_answer_text(const struct sea_answer *answer, const struct sea_sampling *sampling,
                const struct sea_tokenizer *tokenizer, struct sea_buf *out,
                struct sea_err *err);

#endif
