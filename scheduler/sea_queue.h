/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_queue.h - the calls of one worker's attempt, typed
 *
 * Each function is one call of a function of schema sea, hence one transaction. Everything
 * that writes shows (stage run, epoch, secret); SEA_E_LEASE says that the attempt is over
 * for this process. States and transitions: sql/README.md.
 */
#ifndef SEA_QUEUE_H
#define SEA_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_store.h"

#define SEA_SECRET_TEXT 37      /* a UUID's text and its end */

struct sea_fence {              /* who may write for an attempt */
    int64_t stage_id, epoch;
    char secret[40];
};

struct sea_claim_input {
    const char *name;           /* KEY of --in KEY=DIR */
    const char *digest;         /* of the parent's output */
    struct sea_artifacts files;
};

struct sea_claim {              /* texts live in the arena given to sea_queue_claim */
    struct sea_fence fence;
    int64_t experiment_id;
    const char *stage;          /* "label" */
    const char *key;            /* the stage key */
    const char *config;         /* the resolved experiment, JSON */
    int64_t timeout_ms;         /* longest life of the stage's process; 0: no limit */
    int *gpus;                  /* numbers of those that it holds (sea_queue_claim_gpus) */
    size_t gpus_count;
    struct sea_claim_input *inputs;
    size_t inputs_count;
    struct {                    /* newest committed one; name NULL: none */
        const char *name;       /* of the store */
        int64_t stage_id, epoch, step;
        struct sea_artifacts files;
    } checkpoint;
};

/* ---- worker ---- */

SEA_MUST_CHECK enum sea_status
sea_queue_register(struct sea_db *db, const char *host, int64_t pid, const char *device,
                   const char *queue, int64_t ttl_ms, int64_t *worker_id, struct sea_err *err);
/* A worker with GPUs, "{0,1}": its claims take what a stage needs of them. */
SEA_MUST_CHECK enum sea_status
sea_queue_register_gpus(struct sea_db *db, const char *host, int64_t pid, const char *device,
                        const char *queue, int64_t ttl_ms, const char *gpus, int64_t *worker_id,
                        struct sea_err *err);
/* "draining" (no more claims), "gone". */
SEA_MUST_CHECK enum sea_status
sea_queue_worker_state(struct sea_db *db, int64_t worker_id, const char *state,
                       struct sea_err *err);
/* Why a worker that lives claims nothing, for who asks why nothing runs; NULL: it claims. */
SEA_MUST_CHECK enum sea_status
sea_queue_worker_trouble(struct sea_db *db, int64_t worker_id, const char *trouble,
                         struct sea_err *err);
/* An operator's wish that a worker leaves: after its stage, or after a checkpoint of it. */
enum sea_drain { SEA_DRAIN_NO, SEA_DRAIN_FINISH, SEA_DRAIN_CHECKPOINT };
/* Says that an idle worker lives. SEA_E_LEASE: it was given up; register again. */
SEA_MUST_CHECK enum sea_status
sea_queue_worker_beat(struct sea_db *db, int64_t worker_id, enum sea_drain *drain,
                      struct sea_err *err);

/* Takes the first ready stage run: *claimed is false when there is none. */
SEA_MUST_CHECK enum sea_status
sea_queue_claim(struct sea_db *db, int64_t worker_id, const char *queue, int64_t ttl_ms,
                struct sea_arena *arena, struct sea_claim *out, bool *claimed,
                struct sea_err *err);

/* Who names the secret of a lease finds it again when the answer to the claim was lost: the
 * claim may have happened. */
struct sea_claimant {
    int64_t worker_id;
    const char *queue;
    int64_t ttl_ms;
    char secret[SEA_SECRET_TEXT];
};
/* A new secret: 16 bytes of the system's randomness, as a UUID. */
void sea_queue_secret(char out[SEA_SECRET_TEXT]);
/* The claim alone, without inputs and checkpoint. */
SEA_MUST_CHECK enum sea_status
sea_queue_claim_bare(struct sea_db *db, const struct sea_claimant *who, struct sea_arena *arena,
                     struct sea_claim *out, bool *claimed, struct sea_err *err);
/* What a claim with this secret gave whose answer was lost, without inputs and checkpoint. */
SEA_MUST_CHECK enum sea_status
sea_queue_claimed(struct sea_db *db, const struct sea_claimant *who, struct sea_arena *arena,
                  struct sea_claim *out, bool *claimed, struct sea_err *err);

/* The rest of a claim, also of one that was made in another way (sea_backend_job.h): inputs
 * and the newest checkpoint. */
SEA_MUST_CHECK enum sea_status
sea_queue_claim_files(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
                      struct sea_err *err);
/* Which GPUs the claim of a worker that has any took, however the worker learned of the claim. */
SEA_MUST_CHECK enum sea_status
sea_queue_claim_gpus(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
                     struct sea_err *err);

/* ---- attempt ---- */

SEA_MUST_CHECK enum sea_status
sea_queue_start(struct sea_db *db, const struct sea_fence *fence, int64_t pid, bool resumed,
                const struct sea_claim *claim, struct sea_err *err);
/* Moves the lease's end to now + ttl on the database's clock. */
SEA_MUST_CHECK enum sea_status
sea_queue_heartbeat(struct sea_db *db, const struct sea_fence *fence, int64_t ttl_ms,
                    bool *cancel, enum sea_drain *drain, struct sea_err *err);
/* payload: {"metrics":[[name,step,value],...],"logs":[[level,text],...],
 * "progress":[done,total,unit]}, each optional. The same batch number again changes nothing. */
SEA_MUST_CHECK enum sea_status
sea_queue_relay(struct sea_db *db, const struct sea_fence *fence, int64_t batch,
                const char *payload, struct sea_err *err);
/* Records a kept checkpoint; *replaced gets the store names that nothing refers to any more
 * (a JSON list, in the arena). */
SEA_MUST_CHECK enum sea_status
sea_queue_checkpoint(struct sea_db *db, const struct sea_fence *fence, int64_t step,
                     const char *name, const struct sea_artifacts *files,
                     struct sea_arena *arena, const char **replaced, struct sea_err *err);
/* Before files are published: pins the blobs, names the benchmarks that the commit will refer
 * to. *condemned blobs are just being removed: call again, after a pause, until it is 0. */
SEA_MUST_CHECK enum sea_status
sea_queue_prepare(struct sea_db *db, const struct sea_fence *fence,
                  const struct sea_artifacts *files, const char *benchmarks,
                  int64_t *condemned, struct sea_err *err);
/* rows: a JSON list of answers, numbered from first. */
SEA_MUST_CHECK enum sea_status
sea_queue_answers(struct sea_db *db, const struct sea_fence *fence, const char *benchmark,
                  const char *split, bool control, int64_t first, const char *rows,
                  struct sea_err *err);
/* The end of a stage run, exactly once. scores: a JSON list; metrics: the last ones,
 * [[name,step,value],...], or NULL. *checkpoints gets the store names to remove. After
 * SEA_E_SERVICE the outcome is open: sea_queue_outcome. */
SEA_MUST_CHECK enum sea_status
sea_queue_commit(struct sea_db *db, const struct sea_fence *fence,
                 const struct sea_artifacts *files, const char *digest, const char *scores,
                 const char *metrics, struct sea_arena *arena, const char **checkpoints,
                 struct sea_err *err);
/* A commit that carries the last batch, as sea_queue_relay takes it (NULL: none): it counts once,
 * whichever way it came. With next, the same transaction claims: *claimed and *out as
 * sea_queue_claim_bare, and nothing that goes wrong with the claim undoes the commit. After
 * SEA_E_SERVICE both are open: sea_queue_outcome, then sea_queue_claimed. */
struct sea_commit {
    const struct sea_artifacts *files;
    const char *digest, *scores;
    int64_t last_number;
    const char *last;
};
SEA_MUST_CHECK enum sea_status
sea_queue_commit_last(struct sea_db *db, const struct sea_fence *fence,
                      const struct sea_commit *what, struct sea_arena *arena,
                      const char **checkpoints, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_queue_commit_next(struct sea_db *db, const struct sea_fence *fence,
                      const struct sea_commit *what, const struct sea_claimant *next,
                      struct sea_arena *arena, const char **checkpoints,
                      struct sea_arena *next_arena, struct sea_claim *out, bool *claimed,
                      struct sea_err *err);
/* Waits for a commit that may still be under way, then tells what became of the attempt. */
enum sea_outcome { SEA_OUTCOME_OPEN, SEA_OUTCOME_COMMITTED, SEA_OUTCOME_LOST };
SEA_MUST_CHECK enum sea_status
sea_queue_outcome(struct sea_db *db, const struct sea_fence *fence, enum sea_outcome *out,
                  struct sea_err *err);

/* class: "invalid" (never again), "error", "oom", "timeout", "infra", "preempted". *state gets
 * the new state of the stage run: "backoff", "failed", "quarantined" or "cancelled". */
SEA_MUST_CHECK enum sea_status
sea_queue_fail(struct sea_db *db, const struct sea_fence *fence, const char *class,
               int exit_status, const struct sea_err *why, char state[16],
               struct sea_err *err);
/* Gives the stage run back at no cost; it is ready again after delay_ms. */
SEA_MUST_CHECK enum sea_status
sea_queue_release(struct sea_db *db, const struct sea_fence *fence, const char *reason,
                  int64_t delay_ms, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_queue_cancelled(struct sea_db *db, const struct sea_fence *fence, struct sea_err *err);

/* ---- experiments ---- */

/* key may be NULL. The same key and config again give the same id. */
SEA_MUST_CHECK enum sea_status
sea_queue_submit(struct sea_db *db, const char *config, const char *key,
                 int64_t *experiment_id, struct sea_err *err);

#endif
