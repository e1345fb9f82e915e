/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_backend_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_attempt.h"
#include "scheduler/sea_backend.h"
#include "scheduler/sea_secret.h"

#define ENV_BYTES_MAX ((size_t)64 << 10)
#define PATIENCE_MS 120000      /* for a database that is away when the job starts */
#define PAUSE_MS 500

struct job {
    const struct sea_backend_job_options *options;
    struct sea_fence fence;     /* as the file says, then as the start gave it */
    char nonce[128];            /* names this process: a start that was heard twice is one */
    char host[200];
    const char *id;             /* in the cluster */
    bool is_again;              /* the cluster started it before */
    int64_t ttl_ms, grace_ms, worker_id, asked_ms;
    struct sea_db *db;
    struct sea_arena *arena;
    struct sea_claim claim;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* ---- what the scheduler wrote ---- */

static enum sea_status
set_one(struct job *job, const char *key, const char *value, struct sea_err *err)
{
    if (strcmp(key, "SEA_JOB_STAGE") == 0)
        job->fence.stage_id = strtoll(value, NULL, 10);
    else if (strcmp(key, "SEA_JOB_EPOCH") == 0)
        job->fence.epoch = strtoll(value, NULL, 10);
    else if (strcmp(key, "SEA_JOB_SECRET") == 0)
        snprintf(job->fence.secret, sizeof(job->fence.secret), "%s", value);
    else if (strcmp(key, "SEA_JOB_TTL_MS") == 0)
        job->ttl_ms = strtoll(value, NULL, 10);
    else if (strcmp(key, "SEA_JOB_GRACE_MS") == 0)
        job->grace_ms = strtoll(value, NULL, 10);
    else if (strncmp(key, "SEA_", 4) != 0 && strncmp(key, "PG", 2) != 0 &&
             strncmp(key, "AWS_", 4) != 0)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\" sets \"%s\", which is not for a job",
                        job->options->file, key);
    else if (setenv(key, value, 1))
        return sea_fail_errno(err, "could not set %s", key);
    return SEA_OK;
}

static enum sea_status
read_file(struct job *job, struct sea_err *err)
{
    const char *path = job->options->file;
    char *line, *end, *equals;
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, ENV_BYTES_MAX);
    status = sea_secret_read(path, "the job's settings", &text, err);
    for (line = text.data; !status && line && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = 0;
        status = set_one(job, line, equals + 1, err);
    }
    sea_buf_release(&text);
    if (!status && (job->fence.stage_id <= 0 || job->fence.epoch <= 0 || !job->fence.secret[0] ||
                    job->ttl_ms <= 0 || job->grace_ms <= 0))
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" names no attempt of a stage", path);
    return status;
}

/* The same file with the epoch and secret of now, for another start of this job. */
static enum sea_status
write_file(const struct job *job, struct sea_err *err)
{
    char temp[SEA_PATH_MAX];
    struct sea_buf old, text;
    const char *line, *end;
    enum sea_status status;
    int fd = -1;

    sea_buf_init(&old, ENV_BYTES_MAX);
    sea_buf_init(&text, 2 * ENV_BYTES_MAX);
    snprintf(temp, sizeof(temp), "%.*s.new", SEA_PATH_MAX - 5, job->options->file);
    status = sea_file_read(job->options->file, &old, err);
    sea_buf_addf(&text, "SEA_JOB_EPOCH=%lld\nSEA_JOB_SECRET=%s\n", (long long)job->fence.epoch,
                 job->fence.secret);
    for (line = old.data; !status && line && (end = strchr(line, '\n')); line = end + 1)
        if (strncmp(line, "SEA_JOB_EPOCH=", 14) != 0 && strncmp(line, "SEA_JOB_SECRET=", 15) != 0)
            sea_buf_add(&text, line, (size_t)(end + 1 - line));
    unlink(temp);
    if (!status)
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!status && (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fsync(fd) ||
                    rename(temp, job->options->file)))
        status = sea_fail_errno(err, "could not write \"%s\"", job->options->file);
    if (fd >= 0)
        close(fd);
    sea_buf_release(&old);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
name_process(struct job *job, struct sea_err *err)
{
    const char *count = getenv("SLURM_RESTART_COUNT"), *id = getenv("SLURM_JOB_ID");
    unsigned char bytes[8];
    size_t at, i;

    if (!id || !id[0] || strlen(id) >= SEA_BACKEND_ID_MAX) {
        sea_fail(err, SEA_E_CONFIG, "this is no job of Slurm: SLURM_JOB_ID is not set");
        sea_hint(err, "`sea worker --job` is called by the scripts that the scheduler submits.");
        return SEA_E_CONFIG;
    }
    job->id = id;
    job->is_again = count && strtol(count, NULL, 10) > 0;
    snprintf(job->host, sizeof(job->host), "unknown");
    (void)gethostname(job->host, sizeof(job->host) - 1);
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return sea_fail_errno(err, "could not get random bytes");
    snprintf(job->nonce, sizeof(job->nonce), "%.60s.%ld.", job->host, (long)getpid());
    for (i = 0, at = strlen(job->nonce); i < sizeof(bytes); i++, at += 2)
        snprintf(job->nonce + at, sizeof(job->nonce) - at, "%02x", bytes[i]);
    return SEA_OK;
}

/* ---- the start ---- */

/* *accepted is false when there is nothing to start: cancelled, or lost too often. */
static enum sea_status
show(struct job *job, const char *query, bool *accepted, struct sea_err *err)
{
    const char *device = job->options->device ? job->options->device : "auto";
    struct sea_rows *rows = NULL;
    enum sea_status status;

    *accepted = false;
    job->asked_ms = sea_clock_ms();     /* the self-fence counts from before it was sent */
    status = sea_db_query(job->db, query,
                          SEA_PARAMS(SEA_P_INT(job->fence.stage_id), SEA_P_INT(job->fence.epoch),
                                     SEA_P_TEXT(job->fence.secret), SEA_P_TEXT(job->nonce),
                                     SEA_P_TEXT(job->id), SEA_P_TEXT(job->host),
                                     SEA_P_INT(getpid()), SEA_P_TEXT(device),
                                     SEA_P_INT(job->ttl_ms)), &rows, err);
    if (!status && sea_rows_count(rows)) {
        struct sea_claim *claim = &job->claim;

        claim->fence.stage_id = sea_rows_int(rows, 0, "stage_id", err);
        claim->fence.epoch = sea_rows_int(rows, 0, "epoch", err);
        snprintf(claim->fence.secret, sizeof(claim->fence.secret), "%s",
                 sea_rows_text(rows, 0, "secret", err));
        claim->experiment_id = sea_rows_int(rows, 0, "experiment_id", err);
        claim->stage = sea_arena_strdup(job->arena, sea_rows_text(rows, 0, "stage", err));
        claim->key = sea_arena_strdup(job->arena, sea_rows_text(rows, 0, "key", err));
        claim->config = sea_arena_strdup(job->arena, sea_rows_text(rows, 0, "config", err));
        claim->timeout_ms = sea_rows_int_or(rows, 0, "timeout_ms", 0, err);
        job->worker_id = sea_rows_int(rows, 0, "worker_id", err);
        job->fence = claim->fence;
        *accepted = true;
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* Until the database has said something, or for as long as it may be away. */
static enum sea_status
show_patiently(struct job *job, const char *query, bool *accepted, struct sea_err *err)
{
    int64_t until = sea_clock_ms() + PATIENCE_MS;
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = SEA_OK;
        if (!job->db)
            status = sea_db_open(&(struct sea_db_options){ .url = getenv("SEA_DATABASE_URL"),
                                                           .role = "sea job" }, &job->db, &mine);
        else if (sea_db_is_lost(job->db))
            status = sea_db_reconnect(job->db, &mine);
        if (!status)
            status = show(job, query, accepted, &mine);
        if (status != SEA_E_SERVICE || sea_clock_ms() > until || stopped) {
            if (status)
                *err = mine;
            return status;
        }
        sea_clock_sleep_ms(PAUSE_MS);
    }
}

static enum sea_status
start(struct job *job, bool *accepted, struct sea_err *err)
{
    enum sea_status status = show_patiently(job, "job_start", accepted, err);
    struct sea_err mine = { 0 };

    if (status == SEA_E_LEASE && job->is_again) {
        sea_err_clear(err);
        status = show_patiently(job, "job_restart", accepted, err);
        if (!status && *accepted && write_file(job, &mine))
            sea_log_err(SEA_LOG_WARN, &mine);   /* costs a restart of the restart, no more */
    }
    if (status != SEA_E_LEASE)
        return status;
    /* A late ghost, or the second job with one token: there is nothing for it to do. */
    sea_log(SEA_LOG_INFO, "start refused job=%s why=\"%s\"", job->id, err->message);
    sea_err_clear(err);
    return SEA_OK;
}

/* ---- the work ---- */

static enum sea_status
work(struct job *job, struct sea_err *err)
{
    struct sea_worker_options worker = {
        .url = getenv("SEA_DATABASE_URL"), .data = job->options->data,
        .stage_program = job->options->program, .device = job->options->device,
        .ttl_ms = job->ttl_ms, .grace_ms = job->grace_ms, .stop = &stopped };
    char path[SEA_PATH_MAX], tmp[SEA_PATH_MAX];
    struct sea_err ignored = { 0 };
    struct sea_store store;
    enum sea_status status;

    status = sea_path_join(path, job->options->data, "store", err);
    if (!status)
        status = sea_store_open(&store, path, err);
    if (!status)
        status = sea_path_join(tmp, job->options->data, "tmp", err);
    if (!status)
        status = sea_dir_create(tmp, err);
    if (!status)
        status = sea_queue_claim_files(job->db, job->arena, &job->claim, err);
    if (!status)
        sea_attempt_run(&(struct sea_attempt_options){
            .worker = &worker, .db = job->db, .store = &store, .tmp = tmp, .arena = job->arena,
            .claim = &job->claim, .worker_id = job->worker_id, .claimed_ms = job->asked_ms });
    if (sea_queue_worker_state(job->db, job->worker_id, "gone", &ignored))
        sea_log_err(SEA_LOG_DEBUG, &ignored);
    return status;
}

enum sea_status
sea_backend_job_run(const struct sea_backend_job_options *options, struct sea_err *err)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct job job = { .options = options };
    enum sea_status status;
    bool accepted = false;

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    job.arena = sea_arena_create(NULL, "job");
    status = read_file(&job, err);
    if (status == SEA_E_MISSING) {
        status = SEA_OK;
        /* It goes with its attempt: whoever comes now has nothing to do. */
        sea_log(SEA_LOG_INFO, "start refused file=\"%s\" why=\"its attempt is over\"",
                options->file);
        sea_err_clear(err);
        goto out;
    }
    if (!status)
        status = name_process(&job, err);
    if (!status)
        status = start(&job, &accepted, err);
    if (!status && accepted) {
        sea_log(SEA_LOG_INFO, "job started id=%s stage=%lld epoch=%lld", job.id,
                (long long)job.fence.stage_id, (long long)job.fence.epoch);
        status = work(&job, err);
    }
out:
    sea_db_close(job.db);
    sea_arena_destroy(job.arena);
    return status;
}
