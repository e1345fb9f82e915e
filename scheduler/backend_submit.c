/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's first half: claim, write down, submit. See sea_backend_driver.h. */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_backend_driver.h"

#define ENV_BYTES_MAX ((size_t)64 << 10)
#define SPARE_MINUTES 10        /* of a job beyond the stage's own limit */

struct claim {                  /* texts are borrowed from rows */
    struct sea_rows *rows;
    int64_t stage_id, epoch, timeout_ms;
    const char *stage, *secret, *token;
    const struct sea_node *config;
    struct sea_arena *arena;
    char folder[SEA_PATH_MAX], script[SEA_PATH_MAX], env[SEA_PATH_MAX], log[SEA_PATH_MAX];
};

/* ---- what the job is given ---- */

/* Mode 0600 from the first byte on: the file is made with it. */
static enum sea_status
write_private(const char *path, const struct sea_buf *text, mode_t mode, struct sea_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    enum sea_status status = SEA_OK;

    if (fd < 0)
        return sea_fail_errno(err, "could not create \"%s\"", path);
    if (write(fd, text->data, text->len) != (ssize_t)text->len || fsync(fd))
        status = sea_fail_errno(err, "could not write \"%s\"", path);
    close(fd);
    return status;
}

static void
put_variables(struct sea_buf *text)
{
    static const char *const names[] = {
        "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE",
        "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY",
        "PGCHANNELBINDING",
        /* of a store in a bucket */
        "SEA_STORE", "SEA_STORE_ENDPOINT", "SEA_STORE_REGION", "SEA_STORE_CACHE_GB",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        /* of the model that grades answers */
        "SEA_JUDGE_KEY" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);

        if (value && value[0] && !strchr(value, '\n'))
            sea_buf_addf(text, "%s=%s\n", names[i], value);
    }
}

static enum sea_status
write_env(const struct sea_backend_work *work, const struct claim *claim, struct sea_err *err)
{
    const char *url = work->settings->url ? work->settings->url : work->url;
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, ENV_BYTES_MAX);
    sea_buf_addf(&text, "SEA_JOB_STAGE=%lld\nSEA_JOB_EPOCH=%lld\nSEA_JOB_SECRET=%s\n"
                 "SEA_JOB_TTL_MS=%lld\nSEA_JOB_GRACE_MS=%lld\n", (long long)claim->stage_id,
                 (long long)claim->epoch, claim->secret, (long long)work->settings->ttl_ms,
                 (long long)work->settings->kill_ms);
    if (url)
        sea_buf_addf(&text, "SEA_DATABASE_URL=%s\n", url);
    put_variables(&text);
    status = write_private(claim->env, &text, 0600, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
write_script(const struct sea_backend_work *work, const struct claim *claim, struct sea_err *err)
{
    const struct sea_backend_settings *s = work->settings;
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, ENV_BYTES_MAX);
    sea_buf_addf(&text, "#!/bin/sh\n# Stage run %lld, attempt %lld: %s. Secrets are in job.env.\n"
                 "trap '' USR1\nexec '%s' worker --data '%s' --job '%s/slurm/%s/job.env'\n",
                 (long long)claim->stage_id, (long long)claim->epoch, claim->stage, s->program,
                 s->data, s->data, claim->token);
    status = write_private(claim->script, &text, 0700, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
make_paths(const struct sea_backend_work *work, struct claim *claim, struct sea_err *err)
{
    char name[SEA_PATH_MAX];
    enum sea_status status;

    snprintf(name, sizeof(name), "slurm/%s", claim->token);
    status = sea_path_join(claim->folder, work->settings->dir, name, err);
    if (!status)
        status = sea_path_join(claim->script, claim->folder, "job.sh", err);
    if (!status)
        status = sea_path_join(claim->env, claim->folder, "job.env", err);
    if (!status)
        status = sea_path_join(name, work->settings->dir, "log/slurm", err);
    if (!status)
        status = sea_dir_create(name, err);
    snprintf(name, sizeof(name), "log/slurm/%s.log", claim->token);
    if (!status)
        status = sea_path_join(claim->log, work->settings->data, name, err);
    if (!status)
        status = sea_dir_create(claim->folder, err);
    if (!status && chmod(claim->folder, 0700))
        status = sea_fail_errno(err, "could not protect \"%s\"", claim->folder);
    if (!status)
        status = write_env(work, claim, err);
    return status ? status : write_script(work, claim, err);
}

/* ---- what is asked for ---- */

/* A value of the experiment as one word of the command line; *out stays when it says nothing. */
static enum sea_status
take_word(const struct claim *claim, const char *key, const char **out, struct sea_err *err)
{
    const char *value = sea_node_text(sea_node_path(claim->config, key), ""), *at;

    for (at = value; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._-,:+@&|*()[]/=", *at))
            return sea_fail(err, SEA_E_CONFIG, "%s is \"%s\": no word for the command line of "
                            "Slurm", key, value);
    if (value[0])
        *out = value;
    return SEA_OK;
}

static enum sea_status
make_order(const struct sea_backend_work *work, const struct claim *claim,
           struct sea_backend_order *out, struct sea_err *err)
{
    const struct sea_backend_settings *s = work->settings;
    const char *device = sea_node_text(sea_node_path(claim->config, "resources.device"), "auto");
    enum sea_status status;

    *out = (struct sea_backend_order){
        .token = claim->token, .script = claim->script, .log = claim->log,
        .partition = s->partition, .account = s->account, .qos = s->qos,
        .constraint = s->constraint,
        .gpus = sea_node_int(sea_node_path(claim->config, "resources.gpus"), 0),
        .cpus = sea_node_int(sea_node_path(claim->config, "resources.cpus"), 0),
        .minutes = sea_node_int(sea_node_path(claim->config, "resources.time"), 0) };
    /* What is told to use the CPU needs no GPU, whatever the default says. */
    if (strncmp(device, "cpu", 3) == 0)
        out->gpus = 0;
    if (!out->minutes && claim->timeout_ms)
        out->minutes = (claim->timeout_ms + 59999) / 60000 + SPARE_MINUTES;
    if (!out->minutes)
        out->minutes = s->time_minutes;
    status = take_word(claim, "resources.partition", &out->partition, err);
    if (!status)
        status = take_word(claim, "resources.account", &out->account, err);
    if (!status)
        status = take_word(claim, "resources.qos", &out->qos, err);
    if (!status)
        status = take_word(claim, "resources.constraint", &out->constraint, err);
    return status ? status : take_word(claim, "resources.memory", &out->memory, err);
}

/* ---- one job ---- */

/* The job was never submitted: nothing has to be looked for. */
static enum sea_status
give_up(struct sea_backend_work *work, const struct claim *claim, const struct sea_err *why,
        struct sea_err *err)
{
    sea_log_err(SEA_LOG_WARN, why);
    return sea_db_query(work->db, "job_lost",
                        SEA_PARAMS(SEA_P_INT(claim->stage_id), SEA_P_INT(claim->epoch),
                                   SEA_P_BOOL(false),
                                   SEA_P_TEXT(why->status == SEA_E_CONFIG ? "invalid" : "infra"),
                                   SEA_P_TEXT(why->message)), NULL, err);
}

static enum sea_status
submit_one(struct sea_backend_work *work, struct claim *claim, struct sea_backend_counts *out,
           struct sea_err *err)
{
    char id[SEA_BACKEND_ID_MAX] = "", said[600];
    struct sea_backend_order order;
    struct sea_err why = { 0 };

    if (make_order(work, claim, &order, &why) || make_paths(work, claim, &why)) {
        out->failed++;
        return give_up(work, claim, &why, err);
    }
    if (work->backend->submit(work->settings, &order, id, work->stop, &why) == SEA_OK) {
        out->submitted++;
        sea_log(SEA_LOG_INFO, "job submitted stage=%lld epoch=%lld id=%s name=%s",
                (long long)claim->stage_id, (long long)claim->epoch, id, claim->token);
        return sea_db_query(work->db, "job_submitted",
                            SEA_PARAMS(SEA_P_INT(claim->stage_id), SEA_P_INT(claim->epoch),
                                       SEA_P_TEXT(id)), NULL, err);
    }
    /* Whatever was said: the job may be there. */
    out->unknown++;
    snprintf(said, sizeof(said), "%s", why.message);
    sea_log_redact(said);
    sea_log(SEA_LOG_WARN, "job unknown stage=%lld epoch=%lld name=%s said=\"%s\"",
            (long long)claim->stage_id, (long long)claim->epoch, claim->token, said);
    return sea_db_query(work->db, "job_unknown",
                        SEA_PARAMS(SEA_P_INT(claim->stage_id), SEA_P_INT(claim->epoch),
                                   SEA_P_TEXT(said)), NULL, err);
}

/* *claimed: there was one. */
static enum sea_status
claim_one(struct sea_backend_work *work, const char *queue, bool *claimed,
          struct sea_backend_counts *out, struct sea_err *err)
{
    struct claim claim = { .arena = sea_arena_create(NULL, "job") };
    struct sea_node *config = NULL;
    const char *text;
    enum sea_status status;

    status = sea_db_query(work->db, "job_claim", SEA_PARAMS(SEA_P_INT(work->driver_id),
                                                            SEA_P_TEXT(queue)), &claim.rows, err);
    *claimed = !status && sea_rows_count(claim.rows) > 0;
    if (*claimed) {
        claim.stage_id = sea_rows_int(claim.rows, 0, "stage_id", err);
        claim.epoch = sea_rows_int(claim.rows, 0, "epoch", err);
        claim.timeout_ms = sea_rows_int_or(claim.rows, 0, "timeout_ms", 0, err);
        claim.stage = sea_rows_text(claim.rows, 0, "stage", err);
        claim.secret = sea_rows_text(claim.rows, 0, "secret", err);
        claim.token = sea_rows_text(claim.rows, 0, "token", err);
        text = sea_rows_text(claim.rows, 0, "config", err);
        status = err->status;
        if (!status)
            status = sea_json_parse(text, strlen(text), "config", claim.arena, &config, err);
        claim.config = config;
        if (!status)
            status = submit_one(work, &claim, out, err);
    }
    sea_rows_close(claim.rows);
    sea_arena_destroy(claim.arena);
    return status;
}

/* ---- the step ---- */

/* To the queue a driver is a worker: it registers, and is given up when it falls silent. */
static enum sea_status
beat(struct sea_backend_work *work, struct sea_err *err)
{
    int64_t now = sea_clock_ms();
    struct sea_rows *rows = NULL;
    char host[256] = "unknown";
    enum sea_status status = SEA_OK;

    if (work->driver_id && now - work->beat_ms < work->settings->ttl_ms / 3)
        return SEA_OK;
    if (work->driver_id)
        status = sea_db_query(work->db, "worker_beat", SEA_PARAMS(SEA_P_INT(work->driver_id)),
                              NULL, err);
    if (status == SEA_E_LEASE) {
        sea_err_clear(err);
        work->driver_id = 0;
        status = SEA_OK;
    }
    if (!status && !work->driver_id) {
        (void)gethostname(host, sizeof(host) - 1);
        snprintf(host + strlen(host), sizeof(host) - strlen(host), " (scheduler)");
        status = sea_db_query_one(work->db, "worker_register",
                                  SEA_PARAMS(SEA_P_TEXT(host), SEA_P_INT(getpid()),
                                             SEA_P_TEXT(work->backend->name),
                                             SEA_P_TEXT("slurm/default"),
                                             SEA_P_INT(work->settings->ttl_ms)), &rows, err);
        if (!status)
            work->driver_id = sea_rows_int(rows, 0, "worker_id", err);
        sea_rows_close(rows);
    }
    work->beat_ms = now;
    return status ? status : err->status;
}

static enum sea_status
room_left(struct sea_backend_work *work, int64_t *out, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query_one(work->db, "job_count", SEA_NO_PARAMS, &rows, err);

    *out = status ? 0 : work->settings->jobs_max - sea_rows_int(rows, 0, "alive", err);
    sea_rows_close(rows);
    return status ? status : err->status;
}

static enum sea_status
claim_all(struct sea_backend_work *work, const char *queue, int64_t *room,
          struct sea_backend_counts *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    bool claimed = true;

    while (!status && claimed && *room > 0 && !(work->stop && *work->stop)) {
        status = beat(work, err);
        if (!status)
            status = claim_one(work, queue, &claimed, out, err);
        *room -= claimed;
    }
    return status;
}

enum sea_status
sea_backend_driver_submit(struct sea_backend_work *work, struct sea_backend_counts *out,
                          struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    int64_t room = 0;
    size_t i;

    *out = (struct sea_backend_counts){ 0 };
    status = beat(work, err);
    if (!status)
        status = room_left(work, &room, err);
    for (i = 0; i < work->settings->queues_count && !status; i++)
        status = claim_all(work, work->settings->queues[i], &room, out, err);
    if (!status)
        status = sea_db_query(work->db, "job_queues", SEA_PARAMS(SEA_P_TEXT("slurm/")), &rows,
                              err);
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        const char *queue = sea_rows_text(rows, i, "queue", err);

        status = err->status ? err->status : claim_all(work, queue, &room, out, err);
    }
    sea_rows_close(rows);
    return status;
}
