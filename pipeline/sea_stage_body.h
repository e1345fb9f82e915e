/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_stage_body.h - what the runtime gives to the bodies in stages/
 *
 * A body is one function: it reads stage->config and its inputs, writes below stage->out,
 * and returns. Everything of a run lives in stage->arena or is released by the body.
 */
#ifndef SEA_STAGE_BODY_H
#define SEA_STAGE_BODY_H

#include "engine/base/sea_file.h"
#include "engine/sea_comm.h"
#include "engine/sea_device.h"
#include "engine/sea_optim.h"
#include "engine/sea_params.h"
#include "pipeline/sea_events.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_stage.h"

struct sea_stage {
    const struct sea_stage_def *def;
    const struct sea_node *config;      /* resolved */
    struct sea_arena *arena;
    struct sea_events *events;  /* NULL on ranks other than 0 */
    struct sea_device device;
    struct sea_comm *comm;      /* ranks that work on this stage together; NULL: one */
    const char *out;
    char key[SEA_SHA256_TEXT];
    struct sea_stage_input *inputs;     /* key, digest, dir: all filled */
    size_t inputs_count;
    int64_t phase;              /* kept in the marker; see sea_stage_set_phase */
};

typedef enum sea_status sea_stage_fn(struct sea_stage *stage, struct sea_err *err);
sea_stage_fn sea_stage_foundation, sea_stage_label, sea_stage_align, sea_stage_tune,
    sea_stage_eval;

/* Values of the resolved config, which always has them. "lambda" means the key
 * "stages.NAME.lambda"; a path with "model.", "data." or at the root as it stands. */
const char *sea_stage_text(const struct sea_stage *stage, const char *key);    /* "" if none */
int64_t sea_stage_int(const struct sea_stage *stage, const char *key);
double sea_stage_real(const struct sea_stage *stage, const char *key);
bool sea_stage_bool(const struct sea_stage *stage, const char *key);

/* A "warn" line of what loading these weights found (sea_params.warning), if anything. */
void sea_stage_warn(const struct sea_stage *stage, const struct sea_params *weights);

/* Folder of the input that a stage made; NULL when it was not given. */
const char *sea_stage_input_dir(const struct sea_stage *stage, const char *key);
/* A model's folder: "@foundation/vision" inside that input, or the path itself. */
SEA_MUST_CHECK enum sea_status
sea_stage_model(const struct sea_stage *stage, const char *key, char out[SEA_PATH_MAX],
                struct sea_err *err);
/* "OUT/name". */
SEA_MUST_CHECK enum sea_status
sea_stage_path(const struct sea_stage *stage, const char *name, char out[SEA_PATH_MAX],
               struct sea_err *err);
/* Writes a tree as pretty JSON to OUT/name. */
SEA_MUST_CHECK enum sea_status
sea_stage_write_json(const struct sea_stage *stage, const char *name,
                     const struct sea_node *node, struct sea_err *err);

/* True once SIGTERM or SIGINT has come. */
bool sea_stage_is_stopped(void);
/* Rank 0 writes files and events, and goes on alone behind the training: with comm set to
 * NULL, so that what it calls does not wait for the others. */
static inline bool
sea_stage_is_first(const struct sea_stage *stage)
{
    return sea_comm_rank(stage->comm) == 0;
}
/* SEA_E_STOPPED with its message. */
enum sea_status sea_stage_stop(const struct sea_stage *stage, struct sea_err *err);

/* Stages of several trainings: remembers durably that phase n has begun. */
SEA_MUST_CHECK enum sea_status
sea_stage_set_phase(struct sea_stage *stage, int64_t phase, struct sea_err *err);

/*
 * The training loop (stage_train.c): loads the newest checkpoint, runs step(arg, t) for
 * t = first .. steps - 1, and after each step looks for signals and for the time to save.
 * step computes gradients and updates; nothing else may carry state from step to step.
 */
struct sea_train {
    struct sea_adamw *adamw;
    int64_t steps, every;       /* steps between checkpoints */
    int64_t before;             /* steps of the stage that came before: events count on */
    enum sea_status (*step)(void *arg, int64_t t, struct sea_err *err);
    void *arg;
    const char *what;           /* in log lines: "the adapter" */
};
SEA_MUST_CHECK enum sea_status
sea_stage_train(struct sea_stage *stage, const struct sea_train *train, struct sea_err *err);

/* stage_digest.c: contents of data as one SHA-256 each. */
SEA_MUST_CHECK enum sea_status
sea_digest_file(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_digest_folder(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_digest_model(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err);
/* The folder of the vision tower of a model in LLaVA's own layout, which counts as a part of it;
 * false and "" for other models, and where it is not found. */
bool sea_digest_tower(const char *path, char tower[SEA_PATH_MAX]);

#endif
