/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_notifier.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "engine/base/sea_node.h"
#include "scheduler/sea_secret.h"

#define SETTINGS_BYTES_MAX ((size_t)1 << 20)
#define TIMEOUT_MS 10000
#define TIMEOUT_MAX_MS 60000
#define LOOK_MS 1000

/* ---- settings ---- */

static enum sea_status
read_webhook(const struct sea_node *map, const char *path, struct sea_arena *arena,
             struct sea_webhook *out, struct sea_err *err)
{
    static const char *const known[] = { "url", "secret_file", "timeout_ms" };
    const struct sea_node *node;
    const char *secret;
    size_t i;

    for (node = map->first; node; node = node->next) {
        for (i = 0; i < 3 && strcmp(known[i], node->key) != 0; i++)
            ;
        if (i == 3)
            return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: webhook has no key \"%s\", know: "
                            "url, secret_file, timeout_ms", path, node->line, node->key);
    }
    out->url = sea_node_text(sea_node_get(map, "url"), NULL);
    out->timeout_ms = sea_node_int(sea_node_get(map, "timeout_ms"), TIMEOUT_MS);
    if (!out->url || (strncmp(out->url, "http://", 7) != 0
                      && strncmp(out->url, "https://", 8) != 0))
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: webhook.url is not an http or https "
                        "address", path, map->line);
    if (out->timeout_ms < 100 || out->timeout_ms > TIMEOUT_MAX_MS)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: webhook.timeout_ms %lld is not in "
                        "100..%d", path, map->line, (long long)out->timeout_ms, TIMEOUT_MAX_MS);
    secret = sea_node_text(sea_node_get(map, "secret_file"), NULL);
    return secret ? sea_secret_text(secret, "the webhook's secret", arena, &out->secret, err)
                  : SEA_OK;
}

enum sea_status
sea_notifier_settings(const char *dir, struct sea_arena *arena, struct sea_webhook *out,
                      struct sea_err *err)
{
    struct sea_webhook found = { .url = NULL };
    struct sea_node *file;
    const struct sea_node *node;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    *out = (struct sea_webhook){ .url = NULL };
    status = sea_path_join(path, dir, "sea.yaml", err);
    if (status || !sea_file_exists(path))
        return status;
    status = sea_yaml_load(path, SETTINGS_BYTES_MAX, arena, &file, err);
    if (!status && file->kind == SEA_NODE_NULL)
        return SEA_OK;
    if (!status && file->kind != SEA_NODE_MAP)
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" is not a map of settings", path);
    for (node = status ? NULL : file->first; node && !status; node = node->next) {
        /* Their readers are backend.c and store.c. */
        if (strcmp(node->key, "slurm") == 0 || strcmp(node->key, "store") == 0)
            continue;
        if (strcmp(node->key, "webhook") != 0)
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: there is no setting \"%s\", "
                              "know: webhook, slurm, store", path, node->line, node->key);
        else if (node->kind != SEA_NODE_MAP)
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: webhook is not a map", path,
                              node->line);
        else
            status = read_webhook(node, path, arena, &found, err);
    }
    if (!status)
        *out = found;
    return status;
}

/* ---- delivery ---- */

static enum sea_status
deliver_one(struct sea_db *db, const struct sea_webhook *to, const volatile sig_atomic_t *stop,
            const struct sea_rows *rows, size_t *sent, struct sea_err *err)
{
    int64_t id = sea_rows_int(rows, 0, "id", err);
    const char *body = sea_rows_text(rows, 0, "body", err);
    struct sea_err why = { 0 };
    enum sea_status status = err->status;

    if (status)
        return status;
    if (sea_webhook_post(to, id, body, stop, &why))
        sea_log_err(SEA_LOG_WARN, &why);
    else
        ++*sent;
    return sea_db_query(db, "end_notice",
                        SEA_PARAMS(SEA_P_INT(id), SEA_P_TEXT(why.status ? why.message : NULL)),
                        NULL, err);
}

enum sea_status
sea_notifier_deliver(struct sea_db *db, const struct sea_webhook *to,
                     const volatile sig_atomic_t *stop, size_t *sent, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    bool more = true;

    *sent = 0;
    while (more && !status && !(stop && *stop)) {
        struct sea_rows *rows = NULL;

        status = sea_db_query(db, "claim_notice", SEA_NO_PARAMS, &rows, err);
        more = sea_rows_count(rows) > 0;
        if (!status && more)
            status = deliver_one(db, to, stop, rows, sent, err);
        sea_rows_close(rows);
    }
    return status;
}

/* ---- the thread ---- */

struct sea_notifier {
    struct sea_arena *arena;
    struct sea_webhook to;
    struct sea_db *db;
    volatile sig_atomic_t stop;
    pthread_t thread;
};

static void *
notifier_run(void *arg)
{
    struct sea_notifier *self = arg;
    bool told = false;          /* of a trouble that lasts: once */
    size_t sent;

    while (!self->stop) {
        struct sea_err err = { 0 };
        enum sea_status status = SEA_OK;

        if (sea_db_is_lost(self->db))
            status = sea_db_reconnect(self->db, &err);
        if (!status)
            status = sea_notifier_deliver(self->db, &self->to, &self->stop, &sent, &err);
        if (status && !told)
            sea_log_err(SEA_LOG_WARN, &err);
        told = status != SEA_OK;
        sea_db_wait(self->db, LOOK_MS);
    }
    return NULL;
}

enum sea_status
sea_notifier_start(const char *dir, const char *url, struct sea_notifier **out,
                   struct sea_err *err)
{
    struct sea_db_options how = { .url = url, .role = "sea notifier" };
    struct sea_notifier *self;
    struct sea_webhook to;
    struct sea_arena *arena = sea_arena_create(NULL, "notifier");
    sigset_t all, before;
    enum sea_status status;
    int rc;

    *out = NULL;
    status = sea_notifier_settings(dir, arena, &to, err);
    if (status || !to.url) {
        sea_arena_destroy(arena);
        return status;
    }
    self = sea_arena_alloc(arena, 1, sizeof(*self));
    self->arena = arena;
    self->to = to;
    status = sea_webhook_init(err);
    if (!status)
        status = sea_db_open(&how, &self->db, err);
    if (!status)
        status = sea_db_listen(self->db, "sea_nightly", err);
    if (!status) {
        sigfillset(&all);       /* signals are for the caller's thread */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(&self->thread, NULL, notifier_run, self);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (rc) {
            errno = rc;
            status = sea_fail_errno(err, "could not start the thread that sends notices");
        }
    }
    if (status) {
        sea_db_close(self->db);
        sea_arena_destroy(arena);
        return status;
    }
    *out = self;
    return SEA_OK;
}

void
sea_notifier_stop(struct sea_notifier *notifier)
{
    if (!notifier)
        return;
    notifier->stop = 1;
    pthread_join(notifier->thread, NULL);
    sea_db_close(notifier->db);
    sea_arena_destroy(notifier->arena);
}
