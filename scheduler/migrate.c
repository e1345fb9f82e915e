/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_migrate.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_hash.h"
#include "scheduler/sea_sql_text.h"

#define PREFIX "migration/"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

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

/* Compares one recorded migration with this program's. */
static enum sea_status
check_one(int64_t version, const char *name, const char *sha256, struct sea_err *err)
{
    char mine[SEA_SHA256_TEXT];
    size_t i;

    for (i = 0; i < sea_sql_count(); i++) {
        const char *known = sea_sql_name(i), *text;

        if (!is_migration(known) || version_of(known) != version)
            continue;
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
    sea_fail(err, SEA_E_CONFIG,
             "the database has migration \"%s\", which is newer than this program", name);
    sea_hint(err, "Update the program.");
    return SEA_E_CONFIG;
}

/* Reads sea.migration and compares. out->version is the highest applied. */
static enum sea_status
read_state(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    bool exists;
    size_t i;

    out->version = 0;
    out->newest = newest_version();
    status = sea_db_query_one(db, "migration_exists", SEA_NO_PARAMS, &rows, err);
    if (status)
        return status;
    exists = sea_rows_bool(rows, 0, "yes", err);
    sea_rows_close(rows);
    if (err->status || !exists)
        return err->status;
    status = sea_db_query(db, "migration_list", SEA_NO_PARAMS, &rows, err);
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        out->version = sea_rows_int(rows, i, "version", err);
        status = check_one(out->version, sea_rows_text(rows, i, "name", err),
                           sea_rows_text(rows, i, "sha256", err), err);
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
                                         SEA_P_TEXT(name + PREFIX_LEN), SEA_P_TEXT(sha256)),
                              NULL, err);
    if (status)
        sea_context(err, "while applying migration \"%s\"", name + PREFIX_LEN);
    return status;
}

/* One transaction: the lock, a look, at most one migration. *more when it applied one. */
static enum sea_status
step(struct sea_db *db, struct sea_migration_state *out, bool *more, struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    enum sea_status status;
    size_t i;

    *more = false;
    status = sea_db_query(db, "migration_begin", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = sea_db_query(db, "migration_lock", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = sea_db_script(db, "migration_table", err);
    if (!status)
        status = read_state(db, out, err);
    for (i = 0; i < sea_sql_count() && !status && !*more; i++) {
        const char *name = sea_sql_name(i);

        if (!is_migration(name) || version_of(name) <= out->version)
            continue;
        status = apply(db, name, err);
        if (!status) {
            out->version = version_of(name);
            out->applied++;
            *more = true;
        }
    }
    if (!status)
        status = sea_db_query(db, "migration_commit", SEA_NO_PARAMS, NULL, err);
    else if (sea_db_query(db, "migration_rollback", SEA_NO_PARAMS, NULL, &ignored))
        sea_context(err, "and the transaction could not be rolled back");
    return status;
}

enum sea_status
sea_migrate(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err)
{
    enum sea_status status;
    bool more = true;

    *out = (struct sea_migration_state){ 0 };
    do
        status = step(db, out, &more, err);
    while (!status && more);
    return status;
}

enum sea_status
sea_migrate_check(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err)
{
    enum sea_status status;

    *out = (struct sea_migration_state){ 0 };
    status = read_state(db, out, err);
    if (!status && out->version < out->newest) {
        status = sea_fail(err, SEA_E_CONFIG, "the database's schema has version %lld, need %lld",
                          (long long)out->version, (long long)out->newest);
        sea_hint(err, "Run `sea migrate`.");
    }
    return status;
}
