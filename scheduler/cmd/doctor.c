/* SPDX-License-Identifier: Apache-2.0 */
/* sea doctor: what is installed, which devices, what is wrong and how to mend it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_doctor.h"
#include "pipeline/sea_plan_report.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_store.h"

#define DISK_BYTES_WANTED ((double)(1 << 30))
#define PLANS_MAX 8             /* of what is queued: a plan reads the rows of its data */
#define STORE_MS 600000         /* for the list of all files that outputs refer to */

enum finding { FINE, NOTE, BAD };

struct report {
    bool json, any;
    int bad;
};

static void
tell(struct report *report, enum finding what, const char *topic, const char *text,
     const char *mend)
{
    static const char *const words[] = { "ok", "note", "bad" };

    report->bad += what == BAD;
    if (report->json) {
        struct sea_buf line;

        sea_buf_init(&line, 65536);
        sea_buf_addf(&line, "%s\n {\"topic\":\"%s\",\"state\":\"%s\",\"text\":",
                     report->any ? "," : "[", topic, words[what]);
        sea_json_quote(&line, text, strlen(text));
        sea_buf_puts(&line, ",\"mend\":");
        sea_json_quote(&line, mend, strlen(mend));
        sea_buf_puts(&line, "}");
        fputs(line.data, stdout);
        sea_buf_release(&line);
    } else {
        printf("%-5s %-12s %s\n", words[what], topic, text);
        if (mend[0])
            printf("%19s%s\n", "", mend);
    }
    report->any = true;
}

static void
tell_err(struct report *report, const char *topic, struct sea_err *err)
{
    tell(report, BAD, topic, err->message, err->hint);
    sea_err_clear(err);
}

static void
check_devices(struct report *report)
{
    char text[512];
    struct sea_err err = { 0 };

    if (sea_doctor_device("cpu", text, sizeof(text), &err))
        tell_err(report, "cpu", &err);
    else
        tell(report, FINE, "cpu", text, "");
    if (sea_doctor_device("cuda:0", text, sizeof(text), &err))
        tell(report, NOTE, "gpu", err.message, "Stages run on the CPU; nothing needs a GPU.");
    else
        tell(report, FINE, "gpu", text, "");
}

static void
check_files(struct report *report)
{
    size_t count, i;
    const struct sea_doctor_file *files = sea_doctor_files(&count);
    char mend[160];

    for (i = 0; i < count; i++) {
        snprintf(mend, sizeof(mend), "apt-get install %s (or `make deps`)", files[i].package);
        if (sea_file_exists(files[i].path))
            tell(report, FINE, files[i].topic, files[i].path, "");
        else
            tell(report, BAD, files[i].topic, "is not installed", mend);
    }
}

/* *room: free bytes where dir is, or will be. */
static void
check_disk(struct report *report, const char *dir, bool is_private, double *room)
{
    struct statvfs fs;
    struct stat info;
    char text[SEA_PATH_MAX + 64], nearest[SEA_PATH_MAX];

    *room = 0;
    if (stat(dir, &info) == 0 && !S_ISDIR(info.st_mode)) {
        snprintf(text, sizeof(text), "\"%s\" is no folder", dir);
        tell(report, BAD, "disk", text, "Name the data folder with SEA_DATA or --data.");
        return;
    }
    sea_dir_nearest(dir, nearest);      /* nobody need have made it yet */
    if (statvfs(nearest, &fs)) {
        tell(report, BAD, "disk", "the data folder cannot be looked at", "Check its permissions.");
        return;
    }
    if (access(nearest, W_OK | X_OK)) {
        snprintf(text, sizeof(text), "nothing can be written to \"%s\": %s", dir,
                 strerror(errno));
        tell(report, is_private ? BAD : NOTE, "disk", text, "Name another data folder with SEA_DATA "
             "or --data, or check the permissions of this one.");
    }
    *room = (double)fs.f_bavail * (double)fs.f_frsize;
    snprintf(text, sizeof(text), "%.1f GiB free for \"%s\"", *room / (1 << 30), dir);
    tell(report, *room < DISK_BYTES_WANTED ? BAD : FINE, "disk", text,
         *room < DISK_BYTES_WANTED ? "Free some space, or move the folder with SEA_DATA." : "");
}

static void
check_roles(struct report *report, const char *dir)
{
    char text[64], name[32];
    int64_t pid = sea_role_pid(dir, "scheduler");
    int i, workers = 0;

    if (pid > 0)
        snprintf(text, sizeof(text), "runs, process %lld", (long long)pid);
    else
        snprintf(text, sizeof(text), "%s", pid ? "runs on another machine" : "does not run here");
    tell(report, pid ? FINE : NOTE, "scheduler", text, pid ? "" : "`sea up` starts it.");
    for (i = 1; i <= 64; i++) {
        snprintf(name, sizeof(name), "worker-%d", i);
        workers += sea_role_pid(dir, name) != 0;
    }
    snprintf(text, sizeof(text), "%d run here", workers);
    tell(report, workers ? FINE : NOTE, "workers", text, workers ? "" : "`sea up` starts one.");
}

/* *found is false where nobody has made one: opening it would, and doctors look only. */
static enum sea_status
open_store(const char *dir, struct sea_store *store, bool *found, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, "store", err);

    *found = sea_dir_exists(dir) || getenv("SEA_STORE");
    return status || !*found ? status : sea_store_open(store, path, err);
}

/* Hashes every file of the store: takes as long as reading it. */
static void
check_store(struct report *report, const char *dir)
{
    struct sea_err err = { 0 };
    size_t checked = 0, bad = 0;
    struct sea_store store;
    char text[160];
    bool found;
    enum sea_status status = open_store(dir, &store, &found, &err);

    if (!status && !found) {
        tell(report, NOTE, "store", "there is no data folder yet", "`sea up` makes it.");
        return;
    }
    if (!status)
        status = sea_store_check(&store, &checked, &bad, &err);
    if (status) {
        tell_err(report, "store", &err);
        return;
    }
    snprintf(text, sizeof(text), "%zu files hashed, %zu do not match their names", checked, bad);
    tell(report, bad ? BAD : FINE, "store", text,
         bad ? "The log lines above name them: remove each, then docs/operations.md, Files that are "
               "lost." : "");
}

/* What the webhook was not told. */
static void
check_notices(struct report *report, struct sea_db *db)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    char text[700];
    int64_t waiting, refused, given_up;

    if (sea_db_query_one(db, "doctor_notices", SEA_NO_PARAMS, &rows, &err)) {
        tell_err(report, "webhook", &err);
        return;
    }
    waiting = sea_rows_int(rows, 0, "waiting", &err);
    refused = sea_rows_int(rows, 0, "refused", &err);
    given_up = sea_rows_int(rows, 0, "given_up", &err);
    snprintf(text, sizeof(text), "%lld notices wait, the oldest for %lld min; %lld were given up in "
             "the last 30 days%s%s", (long long)waiting,
             (long long)sea_rows_int(rows, 0, "seconds", &err) / 60, (long long)given_up,
             refused + given_up ? ": " : "",
             refused + given_up ? sea_rows_text(rows, 0, "error", &err) : "");
    if (err.status)
        tell_err(report, "webhook", &err);
    else if (refused || given_up)
        tell(report, BAD, "webhook", text, "See why the receiver does not take them; each is sent "
             "again for three days. `sea nightly report` shows what they tell.");
    else if (waiting)
        tell(report, NOTE, "webhook", text, "They are sent once sea.yaml names a webhook and a "
             "scheduler runs.");
    sea_rows_close(rows);
}

/* Whether name is one of the words of text. */
static bool
is_word(const char *text, const char *name)
{
    size_t n = strlen(name), len;

    for (; *text; text += len + (text[len] == ' ')) {
        len = strcspn(text, " ");
        if (len == n && memcmp(text, name, n) == 0)
            return true;
    }
    return false;
}

/* What the stages that have not ended will write, and two checkpoints of the largest. */
static enum sea_status
left_bytes(const char *config, const char *open, double *bytes, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "plan of what is queued");
    struct sea_plan_report plan = { .count = 0 };
    double checkpoints = 0;
    struct sea_node *node;
    enum sea_status status = sea_json_parse(config, strlen(config), "config", arena, &node, err);
    size_t i;

    *bytes = 0;
    if (!status)
        status = sea_plan_report_make(node, NULL, arena, &plan, err);
    for (i = 0; i < plan.count && !status; i++)
        if (is_word(open, plan.stages[i].name)) {
            *bytes += plan.stages[i].disk_bytes;
            if (checkpoints < 2 * plan.stages[i].checkpoint_bytes)
                checkpoints = 2 * plan.stages[i].checkpoint_bytes;
        }
    *bytes += checkpoints;
    sea_arena_destroy(arena);
    return status;
}

/* Whether the largest experiment that is queued finds room: a full disk is told before it is one. */
static void
check_queue(struct report *report, struct sea_db *db, double room)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 }, away = { 0 };
    double most = -1, bytes;
    int64_t id, largest = 0;
    char text[400];
    size_t i, unknown = 0;

    if (sea_db_query(db, "doctor_queue", SEA_PARAMS(SEA_P_INT(PLANS_MAX)), &rows, &err)) {
        tell_err(report, "queue", &err);
        return;
    }
    for (i = 0; i < sea_rows_count(rows) && !err.status; i++) {
        id = sea_rows_int(rows, i, "id", &err);
        if (left_bytes(sea_rows_text(rows, i, "config", &err), sea_rows_text(rows, i, "open", &err),
                       &bytes, &away)) {
            snprintf(text, sizeof(text), "what experiment %lld needs is not known here: %.256s",
                     (long long)id, away.message);
            if (!unknown++)
                tell(report, NOTE, "queue", text, "Its workers may see other files.");
            sea_err_clear(&away);
        } else if (bytes > most) {
            most = bytes;
            largest = id;
        }
    }
    sea_rows_close(rows);
    snprintf(text, sizeof(text), "experiment %lld, the largest that is queued, will take up to %.1f "
             "%s of disk", (long long)largest, most / (most < 1 << 30 ? 1 << 20 : 1 << 30),
             most < 1 << 30 ? "MiB" : "GiB");
    if (err.status)
        tell_err(report, "queue", &err);
    else if (most >= 0)
        tell(report, most > room ? BAD : FINE, "queue", text,
             most > room ? "Free space, or cancel it; `sea plan FILE` tells what takes it, `sea gc` "
                           "what can go." : "");
}

static void
check_database(struct report *report, struct sea_home *home, double room)
{
    struct sea_db_options options = { .url = home->url, .role = "sea doctor" };
    struct sea_migration_state state;
    struct sea_err err = { 0 };
    struct sea_db *db = NULL;
    char text[128];

    /* A private server that was never started, or was stopped, is no fault. */
    if (home->is_private && !sea_cluster_is_running(&home->cluster)) {
        tell(report, NOTE, "postgresql", "the private server does not run", "`sea up` starts it.");
        return;
    }
    if (sea_db_open(&options, &db, &err)) {
        if (home->is_private)
            sea_hint(&err, "\"%s\" holds what the server says.", home->cluster.log);
        else
            sea_hint(&err, "Check SEA_DATABASE_URL or the PG* variables, and that the server "
                           "runs.");
        tell_err(report, "postgresql", &err);
        return;
    }
    tell(report, FINE, "postgresql", home->is_private ? "private server runs" : "reachable", "");
    if (sea_migrate_check(db, &state, &err)) {
        tell_err(report, "schema", &err);
    } else {
        snprintf(text, sizeof(text), "version %d", (int)state.version);
        tell(report, FINE, "schema", text, "");
        check_notices(report, db);
        check_queue(report, db, room);
    }
    sea_db_close(db);
}

/* Whether the blob is there with its size. */
static bool
is_stored(const struct sea_store *store, const char *sha256, int64_t bytes, struct sea_err *err)
{
    uint64_t found = 0;
    bool has = false;

    return !sea_store_has(store, sha256, &has, &found, err) && has && found == (uint64_t)bytes;
}

/* What committed outputs refer to: after a restore, the question is whether all of it came. */
static void
check_references(struct report *report, const struct sea_home *home)
{
    struct sea_db_options options = { .url = home->url, .role = "sea doctor",
                                      .statement_ms = STORE_MS };
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    struct sea_db *db = NULL;
    char text[256], first[SEA_SHA256_TEXT] = "";
    struct sea_store store;
    size_t i, missing = 0;
    bool found;
    enum sea_status status = open_store(home->dir, &store, &found, &err);

    if (!status)
        status = sea_db_open(&options, &db, &err);
    if (!status)
        status = sea_db_query(db, "store_expected", SEA_NO_PARAMS, &rows, &err);
    for (i = 0; i < sea_rows_count(rows) && !err.status; i++) {
        const char *sha256 = sea_rows_text(rows, i, "sha256", &err);
        int64_t bytes = sea_rows_int(rows, i, "bytes", &err);

        if (!(found && is_stored(&store, sha256, bytes, &err)) && !missing++)
            snprintf(first, sizeof(first), "%s", sha256);
    }
    if (status || err.status) {
        tell_err(report, "references", &err);
    } else {
        snprintf(text, sizeof(text), "%zu files of outputs, %zu are not in the store%s%.64s",
                 sea_rows_count(rows), missing, missing ? ", such as " : "", first);
        tell(report, missing ? BAD : FINE, "references", text,
             missing ? "Whatever reads them fails until then: docs/operations.md, Files that are "
                       "lost."
                     : "");
    }
    sea_rows_close(rows);
    sea_db_close(db);
}

enum sea_status
sea_cmd_doctor(const struct sea_call *call, struct sea_err *err)
{
    struct report report = { 0 };
    const char *data = NULL;
    struct sea_err why = { 0 };
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped, store = false;
    double room;
    const struct sea_arg table[] = {
        { "--json", SEA_ARG_FLAG, &report.json, NULL, "as JSON" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--store", SEA_ARG_FLAG, &store, NULL, "hash every file of the store, look for lost ones" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 3, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (status)
        return status;
    check_devices(&report);
    check_files(&report);
    if (sea_home_open(&home, data, &why)) {
        tell_err(&report, "service", &why);
    } else {
        check_disk(&report, home.dir, home.is_private, &room);
        check_database(&report, &home, room);
        check_roles(&report, home.dir);
        if (store)
            check_store(&report, home.dir);
        if (store && (!home.is_private || sea_cluster_is_running(&home.cluster)))
            check_references(&report, &home);
    }
    if (report.json)
        printf("\n]\n");
    else
        printf("%s\n", report.bad ? "some things need mending" : "everything needed is there");
    if (report.bad)
        return sea_fail(err, SEA_E_SERVICE, "%d finding%s mending", report.bad,
                        report.bad == 1 ? " needs" : "s need");
    return SEA_OK;
}
