/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_collector.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"

#define AGAIN_MS 300000         /* a condemned blob that somebody left is taken up after this */
#define HOLD_MS 1000            /* from the lock's answer to the unlink, at most */
#define ROUND 500               /* blobs per transaction of the first phase */
#define LIST_BYTES_MAX ((size_t)1 << 20)

struct collector {
    struct sea_db *db;
    const struct sea_store *store;
    const struct sea_collector_options *options;
    struct sea_collector_counts *out;
    struct sea_buf list;        /* [[sha256, bytes], ...] of files that are looked up together */
    size_t listed;
    char asked[96];             /* checkpoint of a bucket that was asked about last */
};

/* ---- one blob ---- */

/* Removes the file and the row of a condemned blob; one that became another's is left alone. */
static enum sea_status
remove_blob(struct collector *c, const char *sha256, int64_t bytes, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_err ignored = { 0 };
    enum sea_status status = sea_db_script(c->db, "collect_begin", err);
    int64_t sent_ms = sea_clock_ms();
    bool mine = false;

    if (status)
        return status;
    status = sea_db_query_one(c->db, "collect_hold", SEA_PARAMS(SEA_P_TEXT(sha256)), &rows, err);
    if (!status) {
        mine = sea_rows_bool(rows, 0, "mine", err);
        status = err->status;
    }
    sea_rows_close(rows);
    if (!status && mine && sea_clock_ms() - sent_ms <= HOLD_MS) {
        status = sea_store_remove(c->store, sha256, err);
        if (!status)
            status = sea_db_query(c->db, "collect_forget", SEA_PARAMS(SEA_P_TEXT(sha256)), NULL,
                                  err);
        if (!status)
            status = sea_db_script(c->db, "collect_commit", err);
        if (!status) {
            c->out->blobs++;
            c->out->bytes += bytes;
            return SEA_OK;
        }
    }
    if (!sea_db_is_lost(c->db) && sea_db_script(c->db, "collect_rollback", &ignored))
        sea_log_err(SEA_LOG_WARN, &ignored);
    return status;
}

/* Blobs with a row that nothing refers to. */
static enum sea_status
collect_known(struct collector *c, struct sea_err *err)
{
    enum sea_status status;
    size_t count, i;

    do {
        struct sea_rows *rows = NULL;

        status = sea_db_query(c->db, "collect_condemn",
                              SEA_PARAMS(SEA_P_INT(c->options->grace_ms), SEA_P_INT(AGAIN_MS),
                                         SEA_P_INT(ROUND)), &rows, err);
        count = sea_rows_count(rows);
        for (i = 0; i < count && !status; i++) {
            const char *sha256 = sea_rows_text(rows, i, "sha256", err);
            int64_t bytes = sea_rows_int(rows, i, "bytes", err);

            status = err->status ? err->status : remove_blob(c, sha256, bytes, err);
        }
        sea_rows_close(rows);
    } while (!status && count == ROUND);
    return status;
}

/* ---- what lies in the folders ---- */

/* Links and renames change the ctime: it tells since when the name can have been there. */
static bool
is_old(const char *path, int64_t ms)
{
    struct timespec now;
    struct stat st;

    clock_gettime(CLOCK_REALTIME, &now);
    return lstat(path, &st) == 0 &&
           (int64_t)(now.tv_sec - st.st_ctim.tv_sec) * 1000 +
           (now.tv_nsec - st.st_ctim.tv_nsec) / 1000000 >= ms;
}

/* Asks which of the listed files have no row, and removes those. */
static enum sea_status
flush_list(struct collector *c, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t i;

    if (!c->listed)
        return SEA_OK;
    sea_buf_puts(&c->list, "]");
    status = sea_db_query(c->db, c->options->look_only ? "collect_unknown_preview"
                                                       : "collect_unknown",
                          SEA_PARAMS(SEA_P_TEXT(c->list.data)), &rows, err);
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        const char *sha256 = sea_rows_text(rows, i, "sha256", err);

        status = err->status;
        if (!status && c->options->look_only)
            c->out->blobs++;
        else if (!status)
            status = remove_blob(c, sha256, 0, err);
    }
    sea_rows_close(rows);
    sea_buf_clear(&c->list);
    c->listed = 0;
    return status;
}

static enum sea_status
look_at_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct collector *c = arg;
    const char *name = strrchr(relative, '/');
    char path[SEA_PATH_MAX];
    enum sea_status status;

    if (!name || strncmp(relative, "checkpoint/", 11) == 0)
        return SEA_OK;
    name++;
    status = sea_path_join(path, c->store->root, relative, err);
    if (status || !is_old(path, c->options->grace_ms))
        return status;
    if (strlen(name) > 64 && strncmp(name + 64, ".tmp.", 5) == 0) {
        if (!is_old(path, c->options->unfinished_ms))
            return SEA_OK;
        c->out->leftovers++;
        if (!c->options->look_only && unlink(path) && errno != ENOENT)
            return sea_fail_errno(err, "could not remove \"%s\"", path);
        return SEA_OK;
    }
    if (strlen(name) != 64 || strspn(name, "0123456789abcdef") != 64)
        return SEA_OK;          /* not ours: somebody put it there */
    sea_buf_addf(&c->list, "%s[\"%s\",%llu]", c->listed ? "," : "[", name,
                 (unsigned long long)bytes);
    return ++c->listed < ROUND ? SEA_OK : flush_list(c, err);
}

/* ---- checkpoints ---- */

/* Removes one that nobody needs. What follows STAGE.EPOCH in a name is the step, or what an
 * unfinished copy is called. */
static enum sea_status
ask_checkpoint(struct collector *c, const char *name, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    char path[SEA_PATH_MAX], relative[300], *end;
    int64_t stage_id = strtoll(name, &end, 10);
    int64_t epoch = *end == '.' ? strtoll(end + 1, &end, 10) : 0;
    enum sea_status status;
    bool needed = true;

    if (stage_id <= 0 || epoch <= 0 || *end != '.')
        return SEA_OK;
    status = sea_db_query_one(c->db, "collect_checkpoint_needed",
                              SEA_PARAMS(SEA_P_TEXT(name), SEA_P_INT(stage_id), SEA_P_INT(epoch)),
                              &rows, err);
    if (!status) {
        needed = sea_rows_bool(rows, 0, "needed", err);
        status = err->status;
    }
    sea_rows_close(rows);
    if (status || needed)
        return status;
    c->out->leftovers++;
    if (c->options->look_only)
        return SEA_OK;
    if (strspn(name, "0123456789.") == strlen(name))
        return sea_store_checkpoint_remove(c->store, name, err);
    snprintf(relative, sizeof(relative), "checkpoint/%.280s", name);
    status = sea_path_join(path, c->store->root, relative, err);
    return status ? status : sea_dir_remove(path, err);
}

static enum sea_status
look_at_checkpoint(struct collector *c, const char *name, struct sea_err *err)
{
    char path[SEA_PATH_MAX], relative[300];
    enum sea_status status;

    snprintf(relative, sizeof(relative), "checkpoint/%.280s", name);
    status = sea_path_join(path, c->store->root, relative, err);
    return status || !is_old(path, c->options->grace_ms) ? status : ask_checkpoint(c, name, err);
}

/* What lies in a bucket: the same questions, with ages by its clock. */
static enum sea_status
look_at_object(void *arg, const char *key, uint64_t bytes, int64_t age_ms, struct sea_err *err)
{
    struct collector *c = arg;
    const char *name = strrchr(key, '/');
    size_t len;

    if (age_ms < c->options->grace_ms || !name)
        return SEA_OK;
    if (strncmp(key, "checkpoint/", 11) == 0) {
        key += 11;
        len = strcspn(key, "/");
        /* Its objects come one after another: asked once. */
        if (len >= sizeof(c->asked) || (strlen(c->asked) == len && strncmp(key, c->asked, len) == 0))
            return SEA_OK;
        snprintf(c->asked, sizeof(c->asked), "%.*s", (int)len, key);
        return ask_checkpoint(c, c->asked, err);
    }
    if (strlen(name + 1) != 64 || strspn(name + 1, "0123456789abcdef") != 64)
        return SEA_OK;          /* not ours: somebody put it there */
    sea_buf_addf(&c->list, "%s[\"%s\",%llu]", c->listed ? "," : "[", name + 1,
                 (unsigned long long)bytes);
    return ++c->listed < ROUND ? SEA_OK : flush_list(c, err);
}

static enum sea_status
collect_checkpoints(struct collector *c, struct sea_err *err)
{
    char folder[SEA_PATH_MAX];
    struct dirent *entry;
    enum sea_status status;
    DIR *list;

    status = sea_path_join(folder, c->store->root, "checkpoint", err);
    if (!status && !c->options->look_only)
        status = sea_db_query(c->db, "collect_checkpoints", SEA_PARAMS(SEA_P_INT(
                              c->options->keep_ms)), NULL, err);
    list = status ? NULL : opendir(folder);
    if (!list)
        return status || errno == ENOENT ? status
                                         : sea_fail_errno(err, "could not read \"%s\"", folder);
    while (!status && (entry = readdir(list)))
        status = look_at_checkpoint(c, entry->d_name, err);
    closedir(list);
    return status;
}

/* ---- folders of attempts ---- */

/* DATA/tmp/STAGE.EPOCH of an attempt whose worker was killed: nobody else removes it. Whoever may
 * not (another user of the system) leaves it and says so. */
static enum sea_status
look_at_attempt(struct collector *c, const char *folder, const char *name, struct sea_err *err)
{
    int64_t quiet_ms = c->options->grace_ms > c->options->unfinished_ms
                           ? c->options->grace_ms : c->options->unfinished_ms;
    struct sea_rows *rows = NULL;
    struct sea_err mine = { 0 };
    char path[SEA_PATH_MAX], *end;
    int64_t stage_id = strtoll(name, &end, 10);
    int64_t epoch = *end == '.' ? strtoll(end + 1, &end, 10) : 0;
    enum sea_status status;
    bool over = false;

    if (stage_id <= 0 || epoch <= 0 || *end)
        return SEA_OK;
    status = sea_db_query_one(c->db, "collect_attempt_over",
                              SEA_PARAMS(SEA_P_INT(stage_id), SEA_P_INT(epoch),
                                         SEA_P_INT(quiet_ms)), &rows, err);
    if (!status) {
        over = sea_rows_bool(rows, 0, "over", err);
        status = err->status;
    }
    sea_rows_close(rows);
    if (status || !over)
        return status;
    c->out->leftovers++;
    if (c->options->look_only)
        return SEA_OK;
    status = sea_path_join(path, folder, name, err);
    if (!status && sea_dir_remove(path, &mine))
        sea_log_err(SEA_LOG_WARN, &mine);
    return status;
}

static enum sea_status
collect_attempts(struct collector *c, struct sea_err *err)
{
    char folder[SEA_PATH_MAX], *last;
    struct dirent *entry;
    enum sea_status status = SEA_OK;
    DIR *list;

    snprintf(folder, sizeof(folder), "%s", c->store->root);
    last = strrchr(folder, '/');
    if (!last || strcmp(last, "/store") != 0)
        return SEA_OK;          /* no data folder around it */
    memcpy(last, "/tmp", sizeof("/tmp"));
    list = opendir(folder);
    if (!list)
        return errno == ENOENT ? SEA_OK : sea_fail_errno(err, "could not read \"%s\"", folder);
    while (!status && (entry = readdir(list)))
        status = look_at_attempt(c, folder, entry->d_name, err);
    closedir(list);
    return status;
}

enum sea_status
sea_collector_run(struct sea_db *db, const struct sea_store *store,
                  const struct sea_collector_options *options,
                  struct sea_collector_counts *out, struct sea_err *err)
{
    struct collector c = { .db = db, .store = store, .options = options, .out = out };
    struct sea_rows *rows = NULL;
    enum sea_status status = SEA_OK;

    *out = (struct sea_collector_counts){ 0 };
    sea_buf_init(&c.list, LIST_BYTES_MAX);
    if (options->look_only) {
        status = sea_db_query_one(db, "collect_preview", SEA_PARAMS(SEA_P_INT(options->grace_ms)),
                                  &rows, err);
        if (!status) {
            out->blobs = sea_rows_int(rows, 0, "files", err);
            out->bytes = sea_rows_int(rows, 0, "bytes", err);
            status = err->status;
        }
        sea_rows_close(rows);
    } else {
        status = collect_known(&c, err);
    }
    if (!status)
        status = sea_dir_walk(store->root, look_at_file, &c, err);
    if (!status)
        status = sea_store_walk(store, look_at_object, &c, err);
    if (!status)
        status = flush_list(&c, err);
    if (!status)
        status = collect_checkpoints(&c, err);
    if (!status)
        status = collect_attempts(&c, err);
    sea_buf_release(&c.list);
    if (status)
        sea_context(err, "while collecting what nothing refers to in \"%s\"", store->root);
    return status;
}
