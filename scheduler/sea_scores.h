/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_scores.h - what an evaluation left behind, as rows
 *
 * scores.json: {"benchmarks": [{"name", "split", "control", "metrics": [{"name", "value",
 * "scale", "n", "se", "low", "high"}], "rows": "rows/NAME.jsonl"}]}; each line of a rows file
 * is one answer {"id", "cluster", "prompt", "text", "parsed", "gold", "score"}.
 * Answers are sent ahead in batches, under the fence; the scores go with the commit.
 */
#ifndef SEA_SCORES_H
#define SEA_SCORES_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_queue.h"

struct sea_scores {
    struct sea_node *root;      /* NULL: the stage has no scores */
    char *benchmarks;           /* JSON [[name, split], ...] for sea_queue_prepare */
    char *rows;                 /* JSON list for sea_queue_commit */
};

/* Reads OUT/scores.json; a stage without one has no scores. Everything lives in the arena. */
SEA_MUST_CHECK enum sea_status
sea_scores_load(const char *out, struct sea_arena *arena, struct sea_scores *scores,
                struct sea_err *err);
/* Sends all answers. Can be sent again from the start. */
SEA_MUST_CHECK enum sea_status
sea_scores_send(const struct sea_scores *scores, const char *out, struct sea_db *db,
                const struct sea_fence *fence, struct sea_err *err);

#endif
