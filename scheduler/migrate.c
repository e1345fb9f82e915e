/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_migrate.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_hash.h"
#include "scheduler/sea_sql_text.h"

#define PREFIX "migration/"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define DOWN_PREFIX "migration_down/"
#define NAME_MAX_LEN 120
#define APPLIED_MAX 1000        /* migrations that a database may have */
#define HARMLESS "\n-- Breaking: no"

/* What the database has seen. */
struct seen {
    int64_t versions[APPLIED_MAX];
    size_t count;
    char newest[NAME_MAX_LEN];  /* name of the highest */
};

static bool
is_migration(const char *name)
{
    return strncmp(name, PREFIX, PREFIX_LEN) == 0;
}

static int64_t
version_of(const char *name)
{
    return strtoll(name + PREFIX_LEN, NULL, 10);
}

static int64_t
newest_version(void)
{
    int64_t newest = 0;
    size_t i;

    for (i = 0; i < sea_sql_count(); i++)
        if (is_migration(sea_sql_name(i)) && version_of(sea_sql_name(i)) > newest)
            newest = version_of(sea_sql_name(i));
    return newest;
}

/* The embedded migration of a version, NULL when this program has none. */
static const char *
find_version(int64_t version)
{
    size_t i;

    for (i = 0; i < sea_sql_count(); i++)
        if (is_migration(sea_sql_name(i)) && version_of(sea_sql_name(i)) == version)
            return sea_sql_name(i);
    return NULL;
}

static bool
has_seen(const struct seen *seen, int64_t version)
{
    size_t i;

    for (i = 0; i < seen->count; i++)
        if (seen->versions[i] == version)
            return true;
    return false;
}

/* Compares one recorded migration with this program's. */
static enum sea_status
check_one(int64_t version, const char *name, const char *sha256, bool breaking,
          struct sea_err *err)
{
    const char *known = find_version(version), *text;
    char mine[SEA_SHA256_TEXT];

    if (!known && !breaking)
        return SEA_OK;
    if (!known) {
        sea_fail(err, SEA_E_CONFIG,
                 "the database has migration \"%s\", which is newer than this program", name);
        sea_hint(err, "Update the program.");
        return SEA_E_CONFIG;
    }
    text = sea_sql_text(known);
    sea_hash_bytes(text, strlen(text), mine);
    if (strcmp(mine, sha256) == 0)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "migration \"%s\" of the database differs from this program's",
             name);
    sea_hint(err, "A released migration never changes: use the program that made this "
                  "database, or a new database.");
    return SEA_E_CONFIG;
}

/* Reads sea.migration and compares. out->version is the highest applied. */
static enum sea_status
read_state(struct sea_db *db, struct sea_migration_state *out, struct seen *seen,
           struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    bool exists;
    size_t i;

    out->version = 0;
    out->newest = newest_version();
    seen->count = 0;
    status = sea_db_query_one(db, "migration_exists", SEA_NO_PARAMS, &rows, err);
    if (status)
        return status;
    exists = sea_rows_bool(rows, 0, "yes", err);
    sea_rows_close(rows);
    if (err->status || !exists)
        return err->status;
    status = sea_db_query(db, "migration_list", SEA_NO_PARAMS, &rows, err);
    for (i = 0; i < sea_rows_count(rows) && i < APPLIED_MAX && !status; i++) {
        const char *name = sea_rows_text(rows, i, "name", err);

        out->version = seen->versions[i] = sea_rows_int(rows, i, "version", err);
        seen->count = i + 1;
        snprintf(seen->newest, sizeof(seen->newest), "%s", name);
        status = check_one(out->version, name, sea_rows_text(rows, i, "sha256", err),
                           sea_rows_bool(rows, i, "breaking", err), err);
    }
    sea_rows_close(rows);
    return status ? status : err->status;
}

static enum sea_status
apply(struct sea_db *db, const char *name, struct sea_err *err)
{
    const char *text = sea_sql_text(name);
    char sha256[SEA_SHA256_TEXT];
    enum sea_status status;

    sea_hash_bytes(text, strlen(text), sha256);
    status = sea_db_script(db, name, err);
    if (!status)
        status = sea_db_query(db, "migration_record",
                              SEA_PARAMS(SEA_P_INT(version_of(name)),
                                         SEA_P_TEXT(name + PREFIX_LEN), SEA_P_TEXT(sha256),
                                         SEA_P_BOOL(!strstr(text, HARMLESS))), NULL, err);
    if (status)
        sea_context(err, "while applying migration \"%s\"", name + PREFIX_LEN);
    return status;
}

/* Takes the highest migration back. */
static enum sea_status
take_back(struct sea_db *db, int64_t version, const struct seen *seen, bool lose_data,
          struct sea_err *err)
{
    char down[sizeof(DOWN_PREFIX) + NAME_MAX_LEN];
    enum sea_status status;

    snprintf(down, sizeof(down), "%s%s", DOWN_PREFIX, seen->newest);
    if (!find_version(version) || !sea_sql_text(down)) {
        sea_fail(err, SEA_E_CONFIG, "this program knows no way down from migration \"%s\"",
                 seen->newest);
        sea_hint(err, "Use the program that applied it.");
        return SEA_E_CONFIG;
    }
    status = sea_db_script(db, "migration_down_begin_script", err);
    if (!status)
        status = sea_db_query(db, "migration_lose_data",
                              SEA_PARAMS(SEA_P_TEXT(lose_data ? "true" : "false")), NULL, err);
    if (!status)
        status = sea_db_script(db, down, err);
    if (!status)
        status = sea_db_script(db, "migration_down_end_script", err);
    if (!status)
        status = sea_db_query(db, "migration_forget", SEA_PARAMS(SEA_P_INT(version)), NULL, err);
    if (status)
        sea_context(err, "while taking migration \"%s\" back", seen->newest);
    return status;
}

/* At most one migration, up or down; *more when there was one to do. */
static enum sea_status
move_once(struct sea_db *db, const struct sea_migration_options *options,
          struct sea_migration_state *out, bool *more, struct sea_err *err)
{
    int64_t to = options->to == SEA_MIGRATE_NEWEST ? newest_version() : options->to;
    struct seen seen;
    enum sea_status status = read_state(db, out, &seen, err);
    size_t i;

    if (status)
        return status;
    if (options->to != SEA_MIGRATE_NEWEST && out->version > to) {
        status = take_back(db, out->version, &seen, options->lose_data, err);
        if (!status) {
            out->version = seen.count > 1 ? seen.versions[seen.count - 2] : 0;
            out->removed++;
            *more = true;
        }
        return status;
    }
    for (i = 0; i < sea_sql_count(); i++) {
        const char *name = sea_sql_name(i);

        if (!is_migration(name) || version_of(name) > to || has_seen(&seen, version_of(name)))
            continue;
        status = apply(db, name, err);
        if (!status) {
            if (out->version < version_of(name))
                out->version = version_of(name);
            out->applied++;
            *more = true;
        }
        return status;
    }
    return SEA_OK;
}

/* One transaction: the lock, a look, at most one migration. *more when it did one. */
static enum sea_status
step(struct sea_db *db, const struct sea_migration_options *options,
     struct sea_migration_state *out, bool *more, struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    struct sea_migration_state now = *out;
    enum sea_status status;

    *more = false;
    status = sea_db_query(db, "migration_begin", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = sea_db_query(db, "migration_lock", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = sea_db_query(db, "migration_patience", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = sea_db_script(db, "migration_table", err);
    if (!status)
        status = move_once(db, options, &now, more, err);
    if (!status)
        status = sea_db_query(db, "migration_commit", SEA_NO_PARAMS, NULL, err);
    else if (sea_db_query(db, "migration_rollback", SEA_NO_PARAMS, NULL, &ignored))
        sea_context(err, "and the transaction could not be rolled back");
    if (!status)
        *out = now;
    return status;
}

/* The step again and again while others hold what it needs. */
static enum sea_status
step_patiently(struct sea_db *db, const struct sea_migration_options *options,
               struct sea_migration_state *out, bool *more, struct sea_err *err)
{
    int64_t until = sea_clock_ms() + options->patience_ms, pause = 100;

    for (;;) {
        struct sea_err mine = { 0 };
        enum sea_status status = step(db, options, out, more, &mine);

        if (!status)
            return SEA_OK;
        if (strcmp(mine.cause, "sqlstate 55P03") != 0 || sea_clock_ms() + pause > until) {
            if (strcmp(mine.cause, "sqlstate 55P03") == 0)
                sea_hint(&mine, "Somebody holds a table of schema sea: look at pg_stat_activity "
                                "and pg_locks, or be more patient with --patience.");
            *err = mine;
            return status;
        }
        out->waits++;
        sea_clock_sleep_ms(pause);
        pause = pause < 2000 ? 2 * pause : pause;
    }
}

enum sea_status
sea_migrate_to(struct sea_db *db, const struct sea_migration_options *options,
               struct sea_migration_state *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    bool more = true;

    *out = (struct sea_migration_state){ .newest = newest_version() };
    if (options->to != SEA_MIGRATE_NEWEST && (options->to < 0 || options->to > out->newest)) {
        status = sea_fail(err, SEA_E_CONFIG, "there is no schema version %lld, versions are 0 to "
                          "%lld", (long long)options->to, (long long)out->newest);
        return status;
    }
    while (!status && more)
        status = step_patiently(db, options, out, &more, err);
    return status;
}

enum sea_status
sea_migrate(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err)
{
    const struct sea_migration_options options = { .to = SEA_MIGRATE_NEWEST,
                                                   .patience_ms = SEA_MIGRATE_PATIENCE_MS };

    return sea_migrate_to(db, &options, out, err);
}

enum sea_status
sea_migrate_check(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err)
{
    enum sea_status status;
    struct seen seen;
    size_t i;

    *out = (struct sea_migration_state){ 0 };
    status = read_state(db, out, &seen, err);
    if (status)
        return status;
    if (out->version < out->newest)
        sea_fail(err, SEA_E_CONFIG, "the database's schema has version %lld, need %lld",
                 (long long)out->version, (long long)out->newest);
    for (i = 0; i < sea_sql_count() && !err->status; i++)
        if (is_migration(sea_sql_name(i)) && !has_seen(&seen, version_of(sea_sql_name(i))))
            sea_fail(err, SEA_E_CONFIG, "the database's schema lacks migration \"%s\"",
                     sea_sql_name(i) + PREFIX_LEN);
    if (err->status)
        sea_hint(err, "Run `sea migrate`.");
    return err->status;
}
