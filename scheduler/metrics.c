/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "engine/base/sea_version.h"

#define LABELS_MAX 3

struct family {
    const char *name;           /* without "sea_" */
    const char *type;
    const char *labels[LABELS_MAX];     /* of the columns a, b, c */
    const char *help;
};

/* clang-format off */
static const struct family families[] = {
    { "stage_runs", "gauge", { "state", "queue" }, "Stage runs that have not ended." },
    { "oldest_pending_seconds", "gauge", { "state", "queue" }, "Age of the stage run that has been in this state longest; since its submission, for ready ones since they became ready." },
    { "experiments_open", "gauge", { "state" }, "Experiments that have not ended." },
    { "leases", "gauge", { NULL }, "Leases: attempts that run." },
    { "leases_expired", "gauge", { NULL }, "Leases that have run out and were not taken back yet. Above 0 for long: no scheduler runs." },
    { "slots", "gauge", { "kind", "name", "state" }, "Places behind the limits of queues and users." },
    { "workers", "gauge", { "state", "queue" }, "Workers that have not left. A suspect one has been silent for the life of a lease." },
    { "attempts_total", "counter", { "outcome", "class" }, "Attempts that ended, by how, and by the class of their failure." },
    { "stage_runs_ended_total", "counter", { "stage", "state" }, "Stage runs that reached a final state." },
    { "experiments_ended_total", "counter", { "state" }, "Experiments that reached a final state." },
    { "claim_wait_seconds", "gauge", { "quantile" }, "From ready to claimed, of the attempts of the last 15 minutes." },
    { "start_wait_seconds", "gauge", { "quantile" }, "From claimed to the start of the process, of the attempts of the last 15 minutes." },
    { "broken_invariants", "gauge", { "invariant" }, "Rows of sea.broken_invariant. Above 0: a defect of the service." },
    { "oldest_xmin_transactions", "gauge", { "kind", "owner", "name" }, "Transactions since the oldest snapshot that holds back vacuum, and whose it is: session, prepared transaction, replication slot or standby." },
    { "oldest_xmin_seconds", "gauge", { "kind", "owner", "name" }, "For how long that transaction has been open." },
    { "table_rows", "gauge", { "table" }, "Live rows of a hot table, as the statistics estimate them." },
    { "table_dead_rows", "gauge", { "table" }, "Dead rows of a hot table that vacuum has not removed." },
    { "table_bytes", "gauge", { "table" }, "Size of a hot table with its indexes." },
    { "table_updates_total", "counter", { "table", "kind" }, "Updates of a hot table: hot ones touch no index." },
    { "metric_points_total", "counter", { NULL }, "Points of curves that arrived." },
    { "metric_partitions", "gauge", { NULL }, "Partitions of sea.metric." },
    { "notification_queue_ratio", "gauge", { NULL }, "Share of PostgreSQL's queue of notifications that is in use." },
    { "store_bytes", "gauge", { "state" }, "Bytes of the files that the database knows of; condemned ones are about to be removed." },
    { "store_files", "gauge", { "state" }, "Files that the database knows of." },
    { "regressions", "gauge", { "state" }, "Regressions that are not resolved." },
    { "notices", "gauge", { "state" }, "Notices for the webhook that were not delivered." },
    { "oldest_notice_seconds", "gauge", { NULL }, "Age of the oldest notice that waits for the webhook; 0: none waits." },
    { "gpus", "gauge", { "host", "state" }, "GPUs that workers may use: held by a stage, kept for one that needs several at once, or free." },
    { "schedule_overdue_seconds", "gauge", { "schedule" }, "For how long the next slot of a schedule has been due. Above 0 for long: no scheduler runs." },
    { "schema_version", "gauge", { NULL }, "Migrations that the database has seen." },
};
/* clang-format on */
#define FAMILIES_COUNT (sizeof(families) / sizeof(families[0]))

struct group {
    const char *query;
    int64_t every_ms;           /* not asked more often than this */
    int64_t rest;               /* nor before so many times what it took has passed */
    struct sea_rows *rows;      /* NULL: not known */
    int64_t at_ms, took_ms;
    bool asked;
};

enum { GROUPS = 2 };

struct sea_metrics {
    struct group groups[GROUPS];
    char *data;
};

struct sea_metrics *
sea_metrics_create(const char *data)
{
    struct sea_metrics *metrics = sea_xcalloc(1, sizeof(*metrics));

    metrics->groups[0] = (struct group){ .query = "metrics_now", .every_ms = 1000, .rest = 4 };
    metrics->groups[1] = (struct group){ .query = "metrics_history", .every_ms = 15000,
                                         .rest = 50 };
    metrics->data = data ? sea_xstrdup(data) : NULL;
    return metrics;
}

void
sea_metrics_destroy(struct sea_metrics *metrics)
{
    size_t i;

    if (!metrics)
        return;
    for (i = 0; i < GROUPS; i++)
        sea_rows_close(metrics->groups[i].rows);
    free(metrics->data);
    free(metrics);
}

/* Asks unless the last answer is still fresh. */
static enum sea_status
refresh(struct group *group, struct sea_db *db, struct sea_err *err)
{
    int64_t now = sea_clock_ms();
    int64_t pause = group->took_ms * group->rest;
    enum sea_status status = SEA_OK;

    if (pause < group->every_ms)
        pause = group->every_ms;
    if (group->asked && now - group->at_ms < pause)
        return SEA_OK;
    sea_rows_close(group->rows);
    group->rows = NULL;
    if (sea_db_is_lost(db))
        status = sea_db_reconnect(db, err);
    if (!status)
        status = sea_db_query(db, group->query, SEA_NO_PARAMS, &group->rows, err);
    group->asked = status == SEA_OK;    /* what failed is asked again at once */
    group->at_ms = sea_clock_ms();
    group->took_ms = group->at_ms - now;
    return status;
}

/* Backslash, quote and newline are escaped in a label's value; errors hold no other control
 * characters, and what the database gives is UTF-8. */
static void
write_label(const char *name, const char *value, bool first, FILE *to)
{
    fprintf(to, "%s%s=\"", first ? "{" : ",", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            fprintf(to, "\\%c", *value);
        else if (*value == '\n')
            fputs("\\n", to);
        else
            fputc(*value, to);
    }
    fputc('"', to);
}

static void
write_head(const char *name, const char *type, const char *help, FILE *to)
{
    fprintf(to, "# HELP sea_%s %s\n# TYPE sea_%s %s\n", name, help, name, type);
}

/* The samples of one family in one group; the first one of all brings the head. */
static void
write_samples(const struct family *family, const struct sea_rows *rows, bool *headed, FILE *to)
{
    size_t r, c;

    for (r = 0; r < sea_rows_count(rows); r++) {
        const char *name = sea_rows_cell(rows, r, 0);
        const char *value = sea_rows_cell(rows, r, LABELS_MAX + 1);

        if (!name || !value || strcmp(name, family->name) != 0)
            continue;
        if (!*headed)
            write_head(family->name, family->type, family->help, to);
        *headed = true;
        fprintf(to, "sea_%s", family->name);
        for (c = 0; c < LABELS_MAX && family->labels[c]; c++) {
            const char *cell = sea_rows_cell(rows, r, c + 1);

            write_label(family->labels[c], cell ? cell : "", c == 0, to);
        }
        fprintf(to, "%s %s\n", c ? "}" : "", value);
    }
}

static void
write_own(const struct sea_metrics *metrics, bool up, int64_t took_ms, FILE *to)
{
    char nearest[SEA_PATH_MAX];
    struct statvfs fs;

    write_head("build_info", "gauge", "Version of the program, and of the arithmetic that stage "
               "keys hold.", to);
    fprintf(to, "sea_build_info{version=\"%s\",numerics=\"%s\"} 1\n", SEA_VERSION, SEA_NUMERICS);
    write_head("database_up", "gauge", "1 when the database answered.", to);
    fprintf(to, "sea_database_up %d\n", up);
    write_head("scrape_duration_seconds", "gauge", "How long the database took for this page.",
               to);
    fprintf(to, "sea_scrape_duration_seconds %.3f\n", (double)took_ms / 1000);
    if (!metrics->data)
        return;
    sea_dir_nearest(metrics->data, nearest);    /* the folder may be still to be made */
    if (statvfs(nearest, &fs))
        return;
    write_head("data_free_bytes", "gauge", "Room that is left in the data folder.", to);
    fprintf(to, "sea_data_free_bytes %.0f\n", (double)fs.f_bavail * (double)fs.f_frsize);
}

void
sea_metrics_write(struct sea_metrics *metrics, struct sea_db *db, FILE *to)
{
    int64_t start = sea_clock_ms();
    bool up = true;
    size_t f, g;

    for (g = 0; g < GROUPS; g++) {
        struct sea_err err = { 0 };

        if (refresh(&metrics->groups[g], db, &err)) {
            sea_log_err(SEA_LOG_WARN, &err);
            up = false;
        }
    }
    write_own(metrics, up, sea_clock_ms() - start, to);
    for (f = 0; f < FAMILIES_COUNT; f++) {
        bool headed = false;

        for (g = 0; g < GROUPS; g++)
            write_samples(&families[f], metrics->groups[g].rows, &headed, to);
    }
}
