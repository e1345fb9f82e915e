/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_queue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_node.h"

#define JSON_BYTES_MAX ((size_t)256 << 20)

#define FENCE(f) SEA_P_INT((f)->stage_id), SEA_P_INT((f)->epoch), SEA_P_TEXT((f)->secret)

/* ---- one value of a one-row answer ---- */

static enum sea_status
query_int(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
          const char *column, int64_t *out, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *out = 0;
    status = sea_db_query_one(db, name, params, count, &rows, err);
    if (!status) {
        *out = sea_rows_int(rows, 0, column, err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* Copied into the arena; NULL is "". */
static enum sea_status
query_text(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
           const char *column, struct sea_arena *arena, const char **out, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *out = NULL;
    status = sea_db_query_one(db, name, params, count, &rows, err);
    if (!status) {
        *out = sea_arena_strdup(arena, sea_rows_text_or(rows, 0, column, "", err));
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* A short word, cut at room. */
static enum sea_status
query_word(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
           const char *column, char *out, size_t room, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    out[0] = 0;
    status = sea_db_query_one(db, name, params, count, &rows, err);
    if (!status) {
        snprintf(out, room, "%s", sea_rows_text_or(rows, 0, column, "", err));
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* ---- worker ---- */

static enum sea_drain
drain_of(const char *word)
{
    return strcmp(word, "finish") == 0       ? SEA_DRAIN_FINISH
         : strcmp(word, "checkpoint") == 0   ? SEA_DRAIN_CHECKPOINT
                                             : SEA_DRAIN_NO;
}

enum sea_status
sea_queue_register(struct sea_db *db, const char *host, int64_t pid, const char *device,
                   const char *queue, int64_t ttl_ms, int64_t *worker_id, struct sea_err *err)
{
    return query_int(db, "worker_register",
                     SEA_PARAMS(SEA_P_TEXT(host), SEA_P_INT(pid), SEA_P_TEXT(device),
                                SEA_P_TEXT(queue), SEA_P_INT(ttl_ms)), "worker_id", worker_id,
                     err);
}

enum sea_status
sea_queue_register_gpus(struct sea_db *db, const char *host, int64_t pid, const char *device,
                        const char *queue, int64_t ttl_ms, const char *gpus, int64_t *worker_id,
                        struct sea_err *err)
{
    return query_int(db, "worker_register_gpus",
                     SEA_PARAMS(SEA_P_TEXT(host), SEA_P_INT(pid), SEA_P_TEXT(device),
                                SEA_P_TEXT(queue), SEA_P_INT(ttl_ms), SEA_P_TEXT(gpus)),
                     "worker_id", worker_id, err);
}

enum sea_status
sea_queue_worker_state(struct sea_db *db, int64_t worker_id, const char *state,
                       struct sea_err *err)
{
    return sea_db_query(db, "worker_state", SEA_PARAMS(SEA_P_INT(worker_id), SEA_P_TEXT(state)),
                        NULL, err);
}

enum sea_status
sea_queue_worker_trouble(struct sea_db *db, int64_t worker_id, const char *trouble,
                         struct sea_err *err)
{
    return sea_db_query(db, "worker_trouble",
                        SEA_PARAMS(SEA_P_INT(worker_id), SEA_P_TEXT(trouble)), NULL, err);
}

enum sea_status
sea_queue_worker_beat(struct sea_db *db, int64_t worker_id, enum sea_drain *drain,
                      struct sea_err *err)
{
    char word[16];
    enum sea_status status = query_word(db, "worker_beat", SEA_PARAMS(SEA_P_INT(worker_id)),
                                        "drain", word, sizeof(word), err);

    *drain = drain_of(word);
    return status;
}

/* ---- claim ---- */

static struct sea_artifact
read_file(const struct sea_rows *rows, size_t row, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_artifact file = { .bytes = (uint64_t)sea_rows_int(rows, row, "bytes", err) };

    file.path = sea_arena_strdup(arena, sea_rows_text(rows, row, "path", err));
    snprintf(file.sha256, sizeof(file.sha256), "%s", sea_rows_text(rows, row, "sha256", err));
    return file;
}

static enum sea_status
read_inputs(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
            struct sea_err *err)
{
    struct sea_claim_input *input = NULL;
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t count, i;

    status = sea_db_query(db, "claim_inputs", SEA_PARAMS(SEA_P_INT(claim->fence.stage_id)), &rows,
                          err);
    count = sea_rows_count(rows);
    if (!status)
        claim->inputs = sea_arena_alloc(arena, count + 1, sizeof(*claim->inputs));
    for (i = 0; i < count && !status; i++) {
        const char *name = sea_rows_text(rows, i, "name", err);

        if (!input || strcmp(input->name, name) != 0) {
            input = &claim->inputs[claim->inputs_count++];
            input->name = sea_arena_strdup(arena, name);
            input->digest = sea_arena_strdup(arena, sea_rows_text(rows, i, "digest", err));
            input->files.at = sea_arena_alloc(arena, count - i, sizeof(*input->files.at));
        }
        input->files.at[input->files.count++] = read_file(rows, i, arena, err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

static enum sea_status
read_checkpoint(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
                struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t count, i;

    status = sea_db_query(db, "claim_checkpoint", SEA_PARAMS(SEA_P_INT(claim->fence.stage_id)),
                          &rows, err);
    count = sea_rows_count(rows);
    if (!status && count) {
        claim->checkpoint.name = sea_arena_strdup(arena, sea_rows_text(rows, 0, "name", err));
        claim->checkpoint.stage_id = sea_rows_int(rows, 0, "stage_id", err);
        claim->checkpoint.epoch = sea_rows_int(rows, 0, "epoch", err);
        claim->checkpoint.step = sea_rows_int(rows, 0, "step", err);
        claim->checkpoint.files.at = sea_arena_alloc(arena, count, sizeof(struct sea_artifact));
        claim->checkpoint.files.count = count;
        for (i = 0; i < count; i++)
            claim->checkpoint.files.at[i] = read_file(rows, i, arena, err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

void
sea_queue_secret(char out[SEA_SECRET_TEXT])
{
    unsigned char bytes[16];
    size_t i, at = 0;

    /* Cannot fail for so few bytes once the system is up. */
    while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        ;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    for (i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        snprintf(out + at, SEA_SECRET_TEXT - at, "%02x", bytes[i]);
        at += 2;
    }
}

static enum sea_status
read_claim(const struct sea_rows *rows, struct sea_arena *arena, struct sea_claim *out,
           struct sea_err *err)
{
    out->fence.stage_id = sea_rows_int(rows, 0, "stage_id", err);
    out->fence.epoch = sea_rows_int(rows, 0, "epoch", err);
    snprintf(out->fence.secret, sizeof(out->fence.secret), "%s",
             sea_rows_text(rows, 0, "secret", err));
    out->experiment_id = sea_rows_int(rows, 0, "experiment_id", err);
    out->stage = sea_arena_strdup(arena, sea_rows_text(rows, 0, "stage", err));
    out->key = sea_arena_strdup(arena, sea_rows_text(rows, 0, "key", err));
    out->config = sea_arena_strdup(arena, sea_rows_text(rows, 0, "config", err));
    out->timeout_ms = sea_rows_int_or(rows, 0, "timeout_ms", 0, err);
    return err->status;
}

static enum sea_status
query_claim(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
            struct sea_arena *arena, struct sea_claim *out, bool *claimed, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *claimed = false;
    *out = (struct sea_claim){ 0 };
    status = sea_db_query(db, name, params, count, &rows, err);
    if (!status && sea_rows_count(rows)) {
        status = read_claim(rows, arena, out, err);
        *claimed = !status;
    }
    sea_rows_close(rows);
    return status;
}

enum sea_status
sea_queue_claim_bare(struct sea_db *db, const struct sea_claimant *who, struct sea_arena *arena,
                     struct sea_claim *out, bool *claimed, struct sea_err *err)
{
    return query_claim(db, "claim",
                       SEA_PARAMS(SEA_P_INT(who->worker_id), SEA_P_TEXT(who->queue),
                                  SEA_P_INT(who->ttl_ms), SEA_P_TEXT(who->secret)), arena, out,
                       claimed, err);
}

enum sea_status
sea_queue_claimed(struct sea_db *db, const struct sea_claimant *who, struct sea_arena *arena,
                  struct sea_claim *out, bool *claimed, struct sea_err *err)
{
    return query_claim(db, "claimed", SEA_PARAMS(SEA_P_INT(who->worker_id),
                                                 SEA_P_TEXT(who->secret)), arena, out, claimed,
                       err);
}

enum sea_status
sea_queue_claim_files(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
                      struct sea_err *err)
{
    enum sea_status status;

    claim->inputs_count = 0;
    status = read_inputs(db, arena, claim, err);
    return status ? status : read_checkpoint(db, arena, claim, err);
}

enum sea_status
sea_queue_claim_gpus(struct sea_db *db, struct sea_arena *arena, struct sea_claim *claim,
                     struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t i;

    claim->gpus_count = 0;
    status = sea_db_query(db, "claim_gpus", SEA_PARAMS(SEA_P_INT(claim->fence.stage_id),
                                                       SEA_P_INT(claim->fence.epoch)), &rows, err);
    if (!status)
        claim->gpus = sea_arena_alloc(arena, sea_rows_count(rows) + 1, sizeof(*claim->gpus));
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        claim->gpus[claim->gpus_count++] = (int)sea_rows_int(rows, i, "gpu", err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

enum sea_status
sea_queue_claim(struct sea_db *db, int64_t worker_id, const char *queue, int64_t ttl_ms,
                struct sea_arena *arena, struct sea_claim *out, bool *claimed,
                struct sea_err *err)
{
    struct sea_claimant who = { .worker_id = worker_id, .queue = queue, .ttl_ms = ttl_ms };
    enum sea_status status;

    sea_queue_secret(who.secret);
    status = sea_queue_claim_bare(db, &who, arena, out, claimed, err);
    if (status || !*claimed)
        return status;
    status = sea_queue_claim_files(db, arena, out, err);
    *claimed = !status;
    return status;
}

/* ---- attempt ---- */

enum sea_status
sea_queue_start(struct sea_db *db, const struct sea_fence *fence, int64_t pid, bool resumed,
                const struct sea_claim *claim, struct sea_err *err)
{
    return sea_db_query(db, "attempt_start",
                        SEA_PARAMS(FENCE(fence), SEA_P_INT(pid),
                                   resumed ? SEA_P_INT(claim->checkpoint.stage_id) : SEA_P_NULL,
                                   resumed ? SEA_P_INT(claim->checkpoint.epoch) : SEA_P_NULL,
                                   resumed ? SEA_P_INT(claim->checkpoint.step) : SEA_P_NULL),
                        NULL, err);
}

enum sea_status
sea_queue_heartbeat(struct sea_db *db, const struct sea_fence *fence, int64_t ttl_ms,
                    bool *cancel, enum sea_drain *drain, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    status = sea_db_query_one(db, "heartbeat", SEA_PARAMS(FENCE(fence), SEA_P_INT(ttl_ms)), &rows,
                              err);
    if (!status) {
        *cancel = sea_rows_bool(rows, 0, "cancel", err);
        *drain = drain_of(sea_rows_text_or(rows, 0, "drain", "", err));
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

enum sea_status
sea_queue_relay(struct sea_db *db, const struct sea_fence *fence, int64_t batch,
                const char *payload, struct sea_err *err)
{
    return sea_db_query(db, "relay", SEA_PARAMS(FENCE(fence), SEA_P_INT(batch),
                                                SEA_P_TEXT(payload)), NULL, err);
}

/* [[path, sha256, bytes], ...], caller releases with free(). */
static char *
files_json(const struct sea_artifacts *files)
{
    struct sea_buf text;
    size_t i;

    sea_buf_init(&text, JSON_BYTES_MAX);
    sea_buf_puts(&text, "[");
    for (i = 0; i < files->count; i++) {
        sea_buf_puts(&text, i ? ",[" : "[");
        sea_json_quote(&text, files->at[i].path, strlen(files->at[i].path));
        sea_buf_addf(&text, ",\"%s\",%llu]", files->at[i].sha256,
                     (unsigned long long)files->at[i].bytes);
    }
    sea_buf_puts(&text, "]");
    return sea_buf_take(&text);
}

enum sea_status
sea_queue_checkpoint(struct sea_db *db, const struct sea_fence *fence, int64_t step,
                     const char *name, const struct sea_artifacts *files,
                     struct sea_arena *arena, const char **replaced, struct sea_err *err)
{
    char *list = files_json(files);
    enum sea_status status;

    status = query_text(db, "checkpoint_add",
                        SEA_PARAMS(FENCE(fence), SEA_P_INT(step), SEA_P_TEXT(name),
                                   SEA_P_TEXT(list)), "replaced", arena, replaced, err);
    free(list);
    return status;
}

enum sea_status
sea_queue_prepare(struct sea_db *db, const struct sea_fence *fence,
                  const struct sea_artifacts *files, const char *benchmarks,
                  int64_t *condemned, struct sea_err *err)
{
    char *list = files_json(files);
    enum sea_status status;

    status = query_int(db, "commit_prepare", SEA_PARAMS(FENCE(fence), SEA_P_TEXT(list),
                                                        SEA_P_TEXT(benchmarks)), "condemned",
                       condemned, err);
    free(list);
    return status;
}

enum sea_status
sea_queue_answers(struct sea_db *db, const struct sea_fence *fence, const char *benchmark,
                  const char *split, bool control, int64_t first, const char *rows,
                  struct sea_err *err)
{
    return sea_db_query(db, "answers_add",
                        SEA_PARAMS(FENCE(fence), SEA_P_TEXT(benchmark), SEA_P_TEXT(split),
                                   SEA_P_BOOL(control), SEA_P_INT(first), SEA_P_TEXT(rows)),
                        NULL, err);
}

static enum sea_status
commit(struct sea_db *db, const struct sea_fence *fence, const struct sea_commit *what,
       const char *metrics, struct sea_arena *arena, const char **checkpoints, struct sea_err *err)
{
    char *list = files_json(what->files);
    enum sea_status status;

    status = query_text(db, "commit",
                        SEA_PARAMS(FENCE(fence), SEA_P_TEXT(list), SEA_P_TEXT(what->digest),
                                   SEA_P_TEXT(what->scores), SEA_P_TEXT(metrics),
                                   SEA_P_INT(what->last_number), SEA_P_TEXT(what->last)),
                        "checkpoints", arena, checkpoints, err);
    free(list);
    return status;
}

enum sea_status
sea_queue_commit(struct sea_db *db, const struct sea_fence *fence,
                 const struct sea_artifacts *files, const char *digest, const char *scores,
                 const char *metrics, struct sea_arena *arena, const char **checkpoints,
                 struct sea_err *err)
{
    return commit(db, fence, &(struct sea_commit){ .files = files, .digest = digest,
                                                   .scores = scores }, metrics, arena,
                  checkpoints, err);
}

enum sea_status
sea_queue_commit_last(struct sea_db *db, const struct sea_fence *fence,
                      const struct sea_commit *what, struct sea_arena *arena,
                      const char **checkpoints, struct sea_err *err)
{
    return commit(db, fence, what, NULL, arena, checkpoints, err);
}

enum sea_status
sea_queue_commit_next(struct sea_db *db, const struct sea_fence *fence,
                      const struct sea_commit *what, const struct sea_claimant *next,
                      struct sea_arena *arena, const char **checkpoints,
                      struct sea_arena *next_arena, struct sea_claim *out, bool *claimed,
                      struct sea_err *err)
{
    char *list = files_json(what->files);
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *claimed = false;
    *checkpoints = NULL;
    *out = (struct sea_claim){ 0 };
    status = sea_db_query_one(db, "commit_next",
                              SEA_PARAMS(FENCE(fence), SEA_P_TEXT(list), SEA_P_TEXT(what->digest),
                                         SEA_P_TEXT(what->scores), SEA_P_INT(what->last_number),
                                         SEA_P_TEXT(what->last), SEA_P_INT(next->worker_id),
                                         SEA_P_TEXT(next->queue), SEA_P_INT(next->ttl_ms),
                                         SEA_P_TEXT(next->secret)), &rows, err);
    free(list);
    if (status)
        return status;
    *checkpoints = sea_arena_strdup(arena, sea_rows_text_or(rows, 0, "checkpoints", "", err));
    if (!err->status && sea_rows_int_or(rows, 0, "stage_id", 0, err)) {
        status = read_claim(rows, next_arena, out, err);
        *claimed = !status;
    }
    sea_rows_close(rows);
    return err->status;
}

enum sea_status
sea_queue_outcome(struct sea_db *db, const struct sea_fence *fence, enum sea_outcome *out,
                  struct sea_err *err)
{
    char word[16];
    enum sea_status status = query_word(db, "commit_outcome", SEA_PARAMS(FENCE(fence)), "outcome",
                                        word, sizeof(word), err);

    *out = strcmp(word, "committed") == 0 ? SEA_OUTCOME_COMMITTED
         : strcmp(word, "lost") == 0      ? SEA_OUTCOME_LOST
                                          : SEA_OUTCOME_OPEN;
    return status;
}

enum sea_status
sea_queue_fail(struct sea_db *db, const struct sea_fence *fence, const char *class,
               int exit_status, const struct sea_err *why, char state[16],
               struct sea_err *err)
{
    return query_word(db, "attempt_fail",
                      SEA_PARAMS(FENCE(fence), SEA_P_TEXT(class), SEA_P_INT(exit_status),
                                 SEA_P_TEXT(why->message), SEA_P_TEXT(why->hint),
                                 SEA_P_TEXT(why->context), SEA_P_TEXT(why->cause)), "state",
                      state, 16, err);
}

enum sea_status
sea_queue_release(struct sea_db *db, const struct sea_fence *fence, const char *reason,
                  int64_t delay_ms, struct sea_err *err)
{
    return sea_db_query(db, "attempt_release", SEA_PARAMS(FENCE(fence), SEA_P_TEXT(reason),
                                                          SEA_P_INT(delay_ms)), NULL, err);
}

enum sea_status
sea_queue_cancelled(struct sea_db *db, const struct sea_fence *fence, struct sea_err *err)
{
    return sea_db_query(db, "attempt_cancelled", SEA_PARAMS(FENCE(fence)), NULL, err);
}

/* ---- experiments ---- */

enum sea_status
sea_queue_submit(struct sea_db *db, const char *config, const char *key,
                 int64_t *experiment_id, struct sea_err *err)
{
    return query_int(db, "submit", SEA_PARAMS(SEA_P_TEXT(config), SEA_P_TEXT(key)),
                     "experiment_id", experiment_id, err);
}
