/* SPDX-License-Identifier: Apache-2.0 */
/* sea get: the files of an experiment's stages, listed, or written out as a folder of the caller's
 * own. Outputs that came from the cache are there like computed ones. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_stage.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_store.h"
#include "scheduler/sea_table.h"

static enum sea_status
no_files(struct sea_db *db, int64_t id, const char *stage, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, "cli_experiment", SEA_PARAMS(SEA_P_INT(id)), &rows,
                                          err);

    if (!status && sea_rows_count(rows) == 0) {
        status = sea_fail(err, SEA_E_CONFIG, "there is no experiment %lld", (long long)id);
        sea_hint(err, "`sea status` lists experiments.");
    }
    sea_rows_close(rows);
    if (status)
        return status;
    sea_fail(err, SEA_E_CONFIG, "experiment %lld has no files%s%s", (long long)id,
             stage ? " of stage " : "", stage ? stage : "");
    sea_hint(err, "`sea status %lld` tells which stages are done.", (long long)id);
    return SEA_E_CONFIG;
}

static enum sea_status
read_files(const struct sea_rows *rows, struct sea_arena *arena, struct sea_artifacts *files,
           struct sea_err *err)
{
    size_t i;

    files->count = sea_rows_count(rows);
    files->at = sea_arena_alloc(arena, files->count + 1, sizeof(*files->at));
    for (i = 0; i < files->count && !err->status; i++) {
        files->at[i].path = sea_arena_strdup(arena, sea_rows_text(rows, i, "path", err));
        files->at[i].bytes = (uint64_t)sea_rows_int(rows, i, "bytes", err);
        snprintf(files->at[i].sha256, sizeof(files->at[i].sha256), "%s",
                 sea_rows_text(rows, i, "sha256", err));
    }
    return err->status;
}

/* The store hands out second names of its own files: whoever changes one would change the store,
 * so the caller gets the bytes in a file of their own. */
static enum sea_status
own(const char *path, struct sea_err *err)
{
    struct sea_file_writer writer = { 0 };
    struct sea_file_map map = { 0 };
    enum sea_status status = sea_file_map_open(&map, path, err);

    if (!status)
        status = sea_file_writer_open(&writer, path, err);
    if (!status)
        status = sea_file_writer_add(&writer, map.data, map.bytes, err);
    if (!status)
        status = sea_file_writer_commit(&writer, err);
    sea_file_writer_close(&writer);
    sea_file_map_close(&map);
    return status;
}

/* Asked before the work, which may be gigabytes; rename asks again. */
static enum sea_status
check_empty(const char *out, struct sea_err *err)
{
    DIR *dir = opendir(out);
    const struct dirent *entry;
    bool any = false;

    if (!dir && !sea_file_exists(out))
        return SEA_OK;
    while (dir && !any && (entry = readdir(dir)))
        any = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    if (dir && !any)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "\"%s\" is there already", out);
    sea_hint(err, "Name a folder that is not there yet, or is empty.");
    return SEA_E_CONFIG;
}

/* All of them or none: out appears when it is whole. */
static enum sea_status
write_out(const struct sea_store *store, const struct sea_artifacts *files, const char *out,
          struct sea_err *err)
{
    char part[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_err ignored = { 0 };
    enum sea_status status;
    size_t i, n = strlen(out);

    while (n > 1 && out[n - 1] == '/')
        n--;
    if (snprintf(part, sizeof(part), "%.*s.part-%d", (int)n, out, (int)getpid()) >=
        (int)sizeof(part))
        return sea_fail(err, SEA_E_CONFIG, "--out is longer than %d bytes", SEA_PATH_MAX);
    status = sea_store_materialise(store, files, part, err);
    for (i = 0; i < files->count && !status; i++) {
        status = sea_path_join(path, part, files->at[i].path, err);
        if (!status)
            status = own(path, err);
    }
    if (!status && rename(part, out))
        status = sea_fail_errno(err, "could not make folder \"%s\"", out);
    if (status && sea_dir_remove(part, &ignored))
        sea_context(err, "\"%s\" is left behind", part);
    return status;
}

static enum sea_status
get(const struct sea_home_command *command, int64_t id, const char *stage, const char *out,
    bool json, const struct sea_call *call, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_artifacts files = { 0 };
    struct sea_store store;
    char path[SEA_PATH_MAX];
    uint64_t bytes = 0;
    enum sea_status status;
    size_t i;

    status = sea_db_query(command->db, "cli_files",
                          SEA_PARAMS(SEA_P_INT(id), stage ? SEA_P_TEXT(stage) : SEA_P_NULL),
                          &rows, err);
    if (!status && sea_rows_count(rows) == 0)
        status = no_files(command->db, id, stage, err);
    if (!status && !out)
        sea_table_print(rows, json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE, "", stdout);
    if (!status && out)
        status = read_files(rows, call->arena, &files, err);
    sea_rows_close(rows);
    if (status || !out)
        return status;
    status = sea_path_join(path, command->home.dir, "store", err);
    if (!status)
        status = sea_store_open(&store, path, err);
    if (!status)
        status = write_out(&store, &files, out, err);
    if (status)
        return status;
    for (i = 0; i < files.count; i++)
        bytes += files.at[i].bytes;
    if (json)
        printf("{\"files\":%zu,\"bytes\":%llu}\n", files.count, (unsigned long long)bytes);
    else
        printf("%s: %zu files, %.1f MiB\n", out, files.count, (double)bytes / (1 << 20));
    return SEA_OK;
}

enum sea_status
sea_cmd_get(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL, *out = NULL, *stage = NULL;
    bool json = false;
    int64_t id = 0;
    const struct sea_arg table[] = {
        { "--out", SEA_ARG_TEXT, &out, "DIR", "write the stage's files there; without it they are "
                                              "listed" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 3, .min = 1, .max = 2,
                                        .data = &data, .role = "sea get" };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    status = sea_args_id(command.rest.at[0], "an experiment", &id, err);
    if (!status && command.rest.count > 1)
        stage = command.rest.at[1];
    if (!status && stage && !sea_stage_find(stage))
        status = sea_fail(err, SEA_E_CONFIG, "there is no stage \"%s\", know: foundation, label, "
                          "align, tune, eval", stage);
    if (!status && out)
        status = check_empty(out, err);
    if (!status && out && !stage) {
        status = sea_fail(err, SEA_E_CONFIG, "--out needs a stage");
        sea_hint(err, "For example: sea get %lld tune --out my-model", (long long)id);
    }
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    if (!status)
        status = get(&command, id, stage, out, json, call, err);
    sea_db_close(command.db);
    return status;
}
