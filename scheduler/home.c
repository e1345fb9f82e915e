/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_home.h"

#include <stdlib.h>
#include <unistd.h>

#include "scheduler/sea_migrate.h"

#define HOME_FOLDER ".sea"

static bool
is_set(const char *name)
{
    const char *value = getenv(name);

    return value && value[0];
}

enum sea_status
sea_home_open(struct sea_home *home, const char *data, struct sea_err *err)
{
    char cwd[SEA_PATH_MAX];
    enum sea_status status;

    *home = (struct sea_home){ .url = NULL };
    if (!data)
        data = is_set("SEA_DATA") ? getenv("SEA_DATA") : HOME_FOLDER;
    if (!getcwd(cwd, sizeof(cwd)))
        return sea_fail_errno(err, "could not tell the current folder");
    status = sea_path_join(home->dir, cwd, data, err);
    if (status)
        return status;
    if (is_set("SEA_DATABASE_URL")) {
        home->url = getenv("SEA_DATABASE_URL");
        return SEA_OK;
    }
    if (is_set("PGHOST") || is_set("PGSERVICE") || is_set("PGDATABASE"))
        return SEA_OK;
    home->is_private = true;
    status = sea_cluster_open(&home->cluster, home->dir, err);
    home->url = home->cluster.url;
    return status;
}

enum sea_status
sea_home_connect(const struct sea_home *home, const char *role, struct sea_db **db,
                 struct sea_err *err)
{
    struct sea_db_options options = { .url = home->url, .role = role };
    struct sea_migration_state state;
    enum sea_status status;

    *db = NULL;
    status = sea_db_open(&options, db, err);
    if (status) {
        if (home->is_private)
            sea_hint(err, "Start the service with `sea up`; name its data folder with SEA_DATA or "
                          "--data when it is another, or a server in SEA_DATABASE_URL.");
        else
            sea_hint(err, "Check SEA_DATABASE_URL or the PG* variables, and that the server "
                          "runs.");
        return status;
    }
    status = sea_migrate_check(*db, &state, err);
    if (status) {
        sea_db_close(*db);
        *db = NULL;
    }
    return status;
}

enum sea_status
sea_home_prepare(const struct sea_call *call, struct sea_home_command *command,
                 struct sea_err *err)
{
    enum sea_status status;

    command->db = NULL;
    status = sea_args_parse(call->argc, call->argv, call->usage, command->table,
                            command->table_count, &command->rest, &command->helped, err);
    if (status || command->helped)
        return status;
    status = sea_args_count(&command->rest, command->min, command->max, call->usage, err);
    return status ? status : sea_home_open(&command->home, *command->data, err);
}

enum sea_status
sea_home_begin(const struct sea_call *call, struct sea_home_command *command,
               struct sea_err *err)
{
    enum sea_status status = sea_home_prepare(call, command, err);

    if (status || command->helped)
        return status;
    return sea_home_connect(&command->home, command->role, &command->db, err);
}
