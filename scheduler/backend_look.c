/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's second half: one look at the cluster, and what follows. See
 * sea_backend_driver.h. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_backend_driver.h"

#define TOKENS_BYTES_MAX ((size_t)64 << 20)

struct job {                    /* a row of job_look; texts are borrowed */
    int64_t stage_id, epoch, over_ms;
    const char *token, *state, *id, *cluster_state, *reason, *node, *message;
    bool is_absent, is_cancelled;
};

struct look {
    struct sea_backend_work *work;
    struct sea_backend_counts *out;
    struct sea_arena *arena;
    struct sea_backend_sights sights;
    const char *at;             /* when it began, by the database's clock */
};

static bool
has_started(const struct job *job)
{
    return strcmp(job->state, "started") == 0;
}

/* ---- what is written ---- */

static enum sea_status
lose(struct look *look, const struct job *job, const char *class, const char *why,
     struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    const char *state;
    enum sea_status status;

    status = sea_db_query_one(look->work->db, "job_lost",
                              SEA_PARAMS(SEA_P_INT(job->stage_id), SEA_P_INT(job->epoch),
                                         SEA_P_BOOL(has_started(job)), SEA_P_TEXT(class),
                                         SEA_P_TEXT(why)), &rows, err);
    state = status ? NULL : sea_rows_text_or(rows, 0, "state", NULL, err);
    if (state) {
        look->out->lost++;
        sea_log(SEA_LOG_WARN, "job lost stage=%lld epoch=%lld name=%s class=%s state=%s why=\"%s\"",
                (long long)job->stage_id, (long long)job->epoch, job->token, class, state, why);
    }
    sea_rows_close(rows);
    return status ? status : err->status;
}

static bool
is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Written only when something is new: thousands of jobs may wait for hours. */
static enum sea_status
note(struct look *look, const struct job *job, const struct sea_backend_sight *sight,
     struct sea_err *err)
{
    bool is_over = sight->phase == SEA_BACKEND_OVER;
    bool is_open = strcmp(job->state, "intent") == 0 || strcmp(job->state, "unknown") == 0;

    if (!is_open && !job->is_absent && is_over == (job->over_ms >= 0) &&
        (has_started(job) || is_same(job->id, sight->id)) &&
        is_same(job->cluster_state, sight->state) && is_same(job->reason, sight->reason) &&
        (!sight->node || is_same(job->node, sight->node)))
        return SEA_OK;
    return sea_db_query(look->work->db, "job_found",
                        SEA_PARAMS(SEA_P_INT(job->stage_id), SEA_P_INT(job->epoch),
                                   SEA_P_TEXT(look->at), SEA_P_TEXT(sight->id),
                                   SEA_P_TEXT(sight->state), SEA_P_TEXT(sight->reason),
                                   SEA_P_TEXT(sight->node), SEA_P_BOOL(is_over)), NULL, err);
}

/* A cancel that fails is tried again by the next look. */
static void
cancel(struct look *look, const char *token, const char *id, const char *why)
{
    struct sea_err mine = { 0 };

    if (look->work->backend->cancel(look->work->settings, token, id, look->work->stop, &mine)) {
        sea_log_err(SEA_LOG_WARN, &mine);
        return;
    }
    sea_log(SEA_LOG_INFO, "job cancelled name=%s id=%s why=\"%s\"", token, id ? id : "any", why);
    look->out->cancelled++;
}

/* ---- decisions ---- */

/* The books about a job that looks do not show any more. */
static enum sea_status
close_absent(struct look *look, const struct job *job, struct sea_err *err)
{
    struct sea_backend_sights books;
    const struct sea_backend_sight *last = NULL;
    struct sea_err mine = { 0 };
    char why[700];
    size_t i;

    if (look->work->backend->find(look->work->settings, job->token, look->arena, &books,
                                  look->work->stop, &mine)) {
        sea_log_err(SEA_LOG_WARN, &mine);       /* no answer is no proof */
        return SEA_OK;
    }
    for (i = 0; i < books.count; i++) {
        if (books.at[i].phase != SEA_BACKEND_OVER)
            return SEA_OK;      /* the books think it lives: a later look tells */
        last = &books.at[i];
    }
    if (last && !last->was_refused) {
        snprintf(why, sizeof(why), "job %s ended as %s before it started the stage", last->id,
                 last->state);
        return lose(look, job, strcmp(last->class, "error") == 0 ? "infra" : last->class, why, err);
    }
    snprintf(why, sizeof(why), "the cluster has no job \"%s\"%s%s", job->token,
             job->message ? "; when it was submitted it said: " : "",
             job->message ? job->message : "");
    return lose(look, job, "infra", why, err);
}

static enum sea_status
handle_absent(struct look *look, const struct job *job, struct sea_err *err)
{
    const struct sea_backend_settings *s = look->work->settings;
    struct sea_rows *rows = NULL;
    bool gone = false;
    enum sea_status status;

    /* While a submission is under way nothing can be missed; a started one has its lease. */
    if (has_started(job) || strcmp(job->state, "intent") == 0)
        return SEA_OK;
    status = sea_db_query_one(look->work->db, "job_absent",
                              SEA_PARAMS(SEA_P_INT(job->stage_id), SEA_P_INT(job->epoch),
                                         SEA_P_TEXT(look->at), SEA_P_INT(s->settle_ms),
                                         SEA_P_INT(s->grace_ms)), &rows, err);
    if (!status)
        gone = sea_rows_bool(rows, 0, "is_gone", err);
    sea_rows_close(rows);
    if (status || err->status)
        return status ? status : err->status;
    return gone ? close_absent(look, job, err) : SEA_OK;
}

static enum sea_status
handle_over(struct look *look, const struct job *job, const struct sea_backend_sight *sight,
            struct sea_err *err)
{
    char why[400];

    snprintf(why, sizeof(why), "job %s ended as %s%s%s%s", sight->id, sight->state,
             sight->node ? " on " : "", sight->node ? sight->node : "",
             has_started(job) ? "" : " before it started the stage");
    /* Its process may still be at its checkpoint, or at its last words: they are fenced, and
     * heard while the grace lasts. */
    if (has_started(job)) {
        if (job->over_ms < look->work->settings->grace_ms)
            return SEA_OK;
        return lose(look, job, strcmp(sight->class, "invalid") == 0 ? "preempted" : sight->class,
                    why, err);
    }
    /* The stage had no part in it: a node, or the submission, was at fault. */
    return lose(look, job, strcmp(sight->class, "error") == 0 ? "infra" : sight->class, why, err);
}

/* One of several jobs with one token: the one that started, else one that runs, else one that
 * waits, else one that ended; of equals the oldest. */
static const struct sea_backend_sight *
choose(const struct job *job, const struct sea_backend_sight *sights, size_t count)
{
    static const int rank[] = { [SEA_BACKEND_RUNS] = 3, [SEA_BACKEND_WAITS] = 2,
                                [SEA_BACKEND_OVER] = 1 };
    const struct sea_backend_sight *best = NULL;
    size_t i;

    for (i = 0; i < count; i++) {
        if (sights[i].was_refused)
            continue;
        if (has_started(job) && is_same(job->id, sights[i].id))
            return &sights[i];
        if (!best || rank[sights[i].phase] > rank[best->phase])
            best = &sights[i];
    }
    return has_started(job) ? NULL : best;
}

static enum sea_status
handle(struct look *look, const struct job *job, struct sea_err *err)
{
    size_t count, i;
    const struct sea_backend_sight *sights = sea_backend_look_up(&look->sights, job->token,
                                                                 &count);
    const struct sea_backend_sight *best = choose(job, sights, count);
    enum sea_status status;

    for (i = 0; i < count; i++)
        if (&sights[i] != best && sights[i].phase != SEA_BACKEND_OVER)
            cancel(look, job->token, sights[i].id, "another job has its token");
    if (job->is_cancelled && !has_started(job))
        cancel(look, job->token, best ? best->id : NULL, "its stage was cancelled");
    if (!best)
        return handle_absent(look, job, err);
    status = note(look, job, best, err);
    if (!status && best->phase == SEA_BACKEND_OVER)
        status = handle_over(look, job, best, err);
    return status;
}

/* ---- what is left over ---- */

/* Of a list of tokens those of ours whose attempts are over. */
static enum sea_status
ask_ghosts(struct look *look, const struct sea_buf *tokens, struct sea_rows **rows,
           struct sea_err *err)
{
    return sea_db_query(look->work->db, "job_ghosts", SEA_PARAMS(SEA_P_TEXT(tokens->data)), rows,
                        err);
}

static enum sea_status
cancel_ghosts(struct look *look, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_buf tokens;
    enum sea_status status;
    size_t i, k, count, listed = 0;

    sea_buf_init(&tokens, TOKENS_BYTES_MAX);
    sea_buf_puts(&tokens, "[");
    for (i = 0; i < look->sights.count; i++) {
        const struct sea_backend_sight *one = &look->sights.at[i];

        if (one->phase == SEA_BACKEND_OVER)
            continue;
        sea_buf_puts(&tokens, listed++ ? "," : "");
        sea_json_quote(&tokens, one->token, strlen(one->token));
    }
    sea_buf_puts(&tokens, "]");
    status = listed ? ask_ghosts(look, &tokens, &rows, err) : SEA_OK;
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        const char *token = sea_rows_text(rows, i, "token", err);
        const struct sea_backend_sight *at = sea_backend_look_up(&look->sights, token, &count);

        status = err->status;
        for (k = 0; k < count && !status; k++)
            if (at[k].phase != SEA_BACKEND_OVER) {
                cancel(look, token, at[k].id, "its attempt is over");
                look->out->ghosts++;
            }
    }
    sea_rows_close(rows);
    sea_buf_release(&tokens);
    return status;
}

/* Folders of attempts that are over: the secrets in them are worth nothing any more. */
static enum sea_status
remove_folders(struct look *look, struct sea_err *err)
{
    char root[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_rows *rows = NULL;
    struct sea_buf tokens;
    struct dirent *entry;
    enum sea_status status;
    size_t i, listed = 0;
    DIR *folder;

    status = sea_path_join(root, look->work->settings->dir, "slurm", err);
    folder = status ? NULL : opendir(root);
    if (!folder)
        return status;
    sea_buf_init(&tokens, TOKENS_BYTES_MAX);
    sea_buf_puts(&tokens, "[");
    while ((entry = readdir(folder)))
        if (strncmp(entry->d_name, SEA_BACKEND_PREFIX, strlen(SEA_BACKEND_PREFIX)) == 0) {
            sea_buf_puts(&tokens, listed++ ? "," : "");
            sea_json_quote(&tokens, entry->d_name, strlen(entry->d_name));
        }
    closedir(folder);
    sea_buf_puts(&tokens, "]");
    status = listed ? ask_ghosts(look, &tokens, &rows, err) : SEA_OK;
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        status = sea_path_join(path, root, sea_rows_text(rows, i, "token", err), err);
        if (!status)
            status = sea_dir_remove(path, err);
    }
    sea_rows_close(rows);
    sea_buf_release(&tokens);
    return status;
}

/* ---- the step ---- */

static enum sea_status
read_job(const struct sea_rows *rows, size_t row, struct job *out, struct sea_err *err)
{
    *out = (struct job){
        .stage_id = sea_rows_int(rows, row, "stage_id", err),
        .epoch = sea_rows_int(rows, row, "epoch", err),
        .over_ms = sea_rows_int(rows, row, "over_ms", err),
        .token = sea_rows_text(rows, row, "token", err),
        .state = sea_rows_text(rows, row, "state", err),
        .id = sea_rows_text_or(rows, row, "job_id", NULL, err),
        .cluster_state = sea_rows_text_or(rows, row, "cluster_state", NULL, err),
        .reason = sea_rows_text_or(rows, row, "cluster_reason", NULL, err),
        .node = sea_rows_text_or(rows, row, "node", NULL, err),
        .message = sea_rows_text_or(rows, row, "message", NULL, err),
        .is_absent = sea_rows_bool(rows, row, "is_absent", err),
        .is_cancelled = sea_rows_bool(rows, row, "is_cancelled", err) };
    return err->status;
}

/* Says how the look went, once per change. */
static enum sea_status
tell_look(struct look *look, const struct sea_err *why, struct sea_err *err)
{
    const char *name = look->work->backend->name;
    struct sea_rows *rows = NULL;
    enum sea_status status;
    int64_t before;

    status = sea_db_query_one(look->work->db, "job_looked",
                              SEA_PARAMS(SEA_P_TEXT(name),
                                         SEA_P_TEXT(why->status ? why->message : NULL)), &rows,
                              err);
    before = status ? 0 : sea_rows_int(rows, 0, "failures", err);
    sea_rows_close(rows);
    if (why->status && !before)
        sea_log(SEA_LOG_WARN, "cluster is suspect name=%s why=\"%s\"; nothing is moved by that",
                name, why->message);
    if (!why->status && before)
        sea_log(SEA_LOG_INFO, "cluster answers again name=%s after=%lld", name, (long long)before);
    return status ? status : err->status;
}

static enum sea_status
look_at(struct look *look, const struct sea_rows *rows, struct sea_err *err)
{
    struct sea_err mine = { 0 };
    enum sea_status status;
    struct job job;
    size_t i;

    if (look->work->backend->poll(look->work->settings, look->arena, &look->sights,
                                  look->work->stop, &mine)) {
        look->out->is_suspect = true;
        return tell_look(look, &mine, err);     /* suspicion is no proof: nothing moves */
    }
    status = tell_look(look, &mine, err);
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        if (!sea_rows_text_or(rows, i, "stage_id", NULL, err))
            continue;           /* no job is alive: the row holds the time alone */
        status = read_job(rows, i, &job, err);
        if (!status)
            status = handle(look, &job, err);
    }
    if (!status)
        status = cancel_ghosts(look, err);
    return status ? status : remove_folders(look, err);
}

enum sea_status
sea_backend_driver_look(struct sea_backend_work *work, struct sea_backend_counts *out,
                        struct sea_err *err)
{
    struct look look = { .work = work, .out = out, .arena = sea_arena_create(NULL, "look") };
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *out = (struct sea_backend_counts){ 0 };
    /* Twice what a submission may take: its own driver speaks first, if it lives. */
    status = sea_db_query(work->db, "job_overdue", SEA_PARAMS(SEA_P_INT(2 * work->settings->submit_ms)),
                          NULL, err);
    /* The list is older than the look: what was claimed in between is not missed. */
    if (!status)
        status = sea_db_query(work->db, "job_look", SEA_NO_PARAMS, &rows, err);
    if (!status) {
        look.at = sea_rows_text(rows, 0, "looked_at", err);
        status = err->status ? err->status : look_at(&look, rows, err);
    }
    sea_rows_close(rows);
    sea_arena_destroy(look.arena);
    return status;
}
