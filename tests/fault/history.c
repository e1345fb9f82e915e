/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/history.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TELL_MAX 40             /* violations shown */

enum what { CLAIMED, GIVEN, SENT, ACKNOWLEDGED, BEGAN, ALIVE };

struct line {
    int64_t stage_id, epoch, at_ms;
    int64_t after;              /* GIVEN: the stage run whose commit claimed this one */
    enum what what;
    long pid;
};

struct check {
    struct sea_db *db;
    struct line *lines;
    size_t count, room;
    int64_t bad;
    struct history_report *out;
};

static void
tell(struct check *c, int64_t *counter, const char *what, const char *detail)
{
    if (c->bad++ < TELL_MAX)
        printf("VIOLATION %s: %s\n", what, detail);
    if (counter)
        ++*counter;
}

static void
add(struct check *c, struct line line)
{
    if (c->count == c->room) {
        c->room = c->room ? 2 * c->room : 4096;
        c->lines = realloc(c->lines, c->room * sizeof(*c->lines));
        if (!c->lines)
            abort();
    }
    c->lines[c->count++] = line;
}

static int64_t
after(const char *text, const char *word)
{
    const char *at = strstr(text, word);

    return at ? strtoll(at + strlen(word), NULL, 10) : -1;
}

static void
read_file(struct check *c, const char *path, int is_stages)
{
    FILE *from = fopen(path, "r");
    char text[4096], word[16];

    while (from && fgets(text, sizeof(text), from)) {
        struct line line = { 0 };
        long long a, b, t;

        if (is_stages) {
            if (sscanf(text, "%15s %lld %lld %lld %ld", word, &a, &b, &t, &line.pid) != 5)
                continue;
            line.stage_id = a;
            line.epoch = b;
            line.at_ms = t;
            line.what = strcmp(word, "begin") == 0 ? BEGAN : ALIVE;
        } else {
            line.stage_id = after(text, " id=");
            line.epoch = after(text, " epoch=");
            if (strstr(text, "] stage claimed "))
                line.what = CLAIMED;
            else if (strstr(text, "] commit claimed ")) {
                line.what = GIVEN;
                line.after = after(text, " after=");
            } else if (strstr(text, "] commit sent "))
                line.what = SENT;
            else if (strstr(text, "] stage done "))
                line.what = ACKNOWLEDGED;
            else
                continue;
        }
        if (line.stage_id > 0 && line.epoch > 0)
            add(c, line);
    }
    if (from)
        fclose(from);
}

static void
read_folder(struct check *c, const char *folder)
{
    DIR *list = opendir(folder);
    struct dirent *entry;

    while (list && (entry = readdir(list))) {
        char path[SEA_PATH_MAX];

        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (strncmp(entry->d_name, "worker-", 7) == 0 || strcmp(entry->d_name, "stages.log") == 0)
            read_file(c, path, entry->d_name[0] == 's');
    }
    if (list)
        closedir(list);
}

static int
by_attempt(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->stage_id != y->stage_id)
        return x->stage_id < y->stage_id ? -1 : 1;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return (int)x->what - (int)y->what;
}

static struct sea_rows *
ask(struct check *c, const char *sql)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };

    if (sea_db_query_text(c->db, sql, &rows, &err))
        tell(c, &c->out->broken, "the database cannot be asked", err.message);
    return rows;
}

/* A question whose answer must be empty: one text per violation. */
static void
none(struct check *c, int64_t *counter, const char *what, const char *sql)
{
    struct sea_rows *rows = ask(c, sql);
    size_t i;

    for (i = 0; i < sea_rows_count(rows); i++)
        tell(c, counter, what, sea_rows_cell(rows, i, 0) ? sea_rows_cell(rows, i, 0) : "?");
    sea_rows_close(rows);
}

/* ---- the database by itself, by rules that its functions do not use ---- */

static void
check_rows(struct check *c)
{
    struct history_report *out = c->out;

    none(c, &out->broken, "broken invariant", "SELECT stage_id || ': ' || what FROM"
         " sea.broken_invariant");
    none(c, &out->lost_stages, "a stage run did not end",
         "SELECT id || ' is ' || state FROM sea.stage_run WHERE ended_at IS NULL");
    none(c, &out->lost_stages, "an experiment did not end as it should",
         "SELECT id || ' is ' || state FROM sea.experiment WHERE ended_at IS NULL OR (state <>"
         " 'succeeded' AND cancel_requested_at IS NULL)");
    none(c, &out->double_commits, "committed more than once",
         "SELECT stage_id::text FROM sea.attempt WHERE state = 'committed' GROUP BY stage_id"
         " HAVING count(*) > 1");
    none(c, &out->double_commits, "files of more than one attempt",
         "SELECT stage_id::text FROM sea.manifest GROUP BY stage_id"
         " HAVING count(DISTINCT epoch) > 1");
    none(c, &out->broken, "epochs are not 1, 2, 3, ...",
         "SELECT s.id::text FROM sea.stage_run s LEFT JOIN sea.attempt a ON a.stage_id = s.id"
         " GROUP BY s.id HAVING count(a.epoch) <> s.last_epoch OR max(a.epoch) <> s.last_epoch");
    none(c, &out->broken, "claimed before a parent had its output",
         "SELECT a.stage_id::text FROM sea.attempt a JOIN sea.stage_dep d ON d.child_id ="
         " a.stage_id JOIN sea.stage_run p ON p.id = d.parent_id WHERE p.ended_at > a.claimed_at");
    none(c, &out->broken, "one attempt began before the one before it ended",
         "SELECT b.stage_id || '.' || b.epoch FROM sea.attempt a JOIN sea.attempt b ON b.stage_id"
         " = a.stage_id AND b.epoch = a.epoch + 1 WHERE a.ended_at IS NULL OR b.claimed_at <"
         " a.ended_at");
    none(c, &out->wrong_results, "the result is another one",
         "SELECT s.id::text FROM sea.stage_run s JOIN sea.experiment e ON e.id = s.experiment_id"
         " LEFT JOIN sea.manifest m ON m.stage_id = s.output_stage_id AND m.epoch ="
         " s.output_epoch AND m.path = 'result.txt' WHERE s.state IN ('done', 'cached')"
         " AND m.sha256 IS DISTINCT FROM encode(sha256(convert_to(s.stage || ' ' ||"
         " (e.config->>'seed') || ' ' || (e.config->>'steps')::int *"
         " ((e.config->>'steps')::int + 1) / 2 || chr(10), 'UTF8')), 'hex')");
    none(c, &out->wrong_results, "two outputs for one key",
         "SELECT key FROM sea.stage_run WHERE state IN ('done', 'cached') GROUP BY key"
         " HAVING count(DISTINCT output_digest) > 1");
    none(c, &out->wrong_results, "the curve is not each step once",
         "SELECT s.id || ': ' || count(m.step) FROM sea.stage_run s JOIN sea.experiment e ON e.id"
         " = s.experiment_id LEFT JOIN sea.metric_series m ON m.stage_id = s.id WHERE s.state ="
         " 'done' GROUP BY s.id, e.config HAVING count(m.step) <> (e.config->>'steps')::int OR"
         " count(DISTINCT m.step) <> count(m.step) OR NOT bool_and(m.value = m.step *"
         " (m.step + 1) / 2)");
    none(c, &out->broken, "left behind",
         "SELECT 'leases ' || count(*) FROM sea.lease HAVING count(*) > 0 UNION ALL"
         " SELECT 'pins ' || count(*) FROM sea.pin HAVING count(*) > 0 UNION ALL"
         " SELECT 'batches ' || count(*) FROM sea.batch HAVING count(*) > 0 UNION ALL"
         " SELECT 'flights ' || count(*) FROM sea.flight HAVING count(*) > 0 UNION ALL"
         " SELECT 'slots ' || count(*) FROM sea.slot WHERE stage_id IS NOT NULL"
         " HAVING count(*) > 0");
}

/* The number of running attempts as it went up and down. */
static void
check_limit(struct check *c, int limit)
{
    char sql[600];

    if (!limit)
        return;
    snprintf(sql, sizeof(sql),
             "SELECT n || ' at ' || at FROM (SELECT at, sum(d) OVER (ORDER BY at, d) AS n FROM"
             " (SELECT claimed_at AS at, 1 AS d FROM sea.attempt UNION ALL SELECT ended_at, -1"
             " FROM sea.attempt) x) y WHERE n > %d LIMIT 5", limit);
    none(c, &c->out->broken, "more at once than the limit", sql);
}

static void
check_files(struct check *c, const struct sea_store *store)
{
    struct sea_rows *rows = ask(c, "SELECT DISTINCT sha256 FROM sea.manifest");
    struct sea_err err = { 0 };
    size_t i, checked, bad;
    char path[SEA_PATH_MAX + 80];

    for (i = 0; i < sea_rows_count(rows); i++) {
        const char *sha256 = sea_rows_cell(rows, i, 0);

        snprintf(path, sizeof(path), "%s/%.2s/%s", store->root, sha256, sha256);
        if (access(path, R_OK))
            tell(c, &c->out->wrong_results, "a file of a manifest is not in the store", sha256);
    }
    sea_rows_close(rows);
    if (sea_store_check(store, &checked, &bad, &err))
        tell(c, &c->out->broken, "the store cannot be read", err.message);
    else if (bad)
        tell(c, &c->out->wrong_results, "files do not hash to their names", store->root);
}

/* ---- the files of the processes against the database ---- */

/* What a worker heard of a commit that claimed: both are in the tables, by one worker, the commit
 * not after the claim. */
static void
check_given(struct check *c, const struct line *at)
{
    struct sea_rows *rows;
    char sql[512];

    c->out->chained++;
    snprintf(sql, sizeof(sql),
             "SELECT 1 FROM sea.stage_run s JOIN sea.attempt d ON d.stage_id = s.id AND d.epoch ="
             " s.done_epoch JOIN sea.attempt a ON a.worker_id = d.worker_id AND a.claimed_at >="
             " d.ended_at WHERE s.id = %lld AND s.state = 'done' AND a.stage_id = %lld AND a.epoch ="
             " %lld", (long long)at->after, (long long)at->stage_id, (long long)at->epoch);
    rows = ask(c, sql);
    if (sea_rows_count(rows) != 1) {
        snprintf(sql, sizeof(sql), "stage run %lld, attempt %lld, after %lld",
                 (long long)at->stage_id, (long long)at->epoch, (long long)at->after);
        tell(c, &c->out->broken, "a commit claimed what is not there", sql);
    }
    sea_rows_close(rows);
}

/* All lines of one stage run, lines[0..n), against its row. */
static void
check_stage(struct check *c, const struct line *lines, size_t n, int64_t done_epoch,
            int64_t last_epoch)
{
    int64_t began = 0, alive = 0, epoch = 0, sent_won = 0;
    char text[128];
    size_t i;

    for (i = 0; i < n; i++) {
        const struct line *at = &lines[i];

        snprintf(text, sizeof(text), "stage run %lld, attempt %lld, done by %lld",
                 (long long)at->stage_id, (long long)at->epoch, (long long)done_epoch);
        if (at->epoch > last_epoch)
            tell(c, &c->out->broken, "an attempt that the database does not know", text);
        if (at->what == CLAIMED && i && lines[i - 1].what == CLAIMED &&
            lines[i - 1].epoch == at->epoch)
            tell(c, &c->out->broken, "one attempt was given to two workers", text);
        if (at->what == ACKNOWLEDGED && at->epoch != done_epoch)
            tell(c, &c->out->double_commits, "a commit was acknowledged that is not there", text);
        if (at->what == GIVEN)
            check_given(c, at);
        c->out->late_commits += at->what == SENT && at->epoch != done_epoch;
        sent_won += at->what == SENT && at->epoch == done_epoch;
        if (at->what == BEGAN || at->what == ALIVE) {
            if (at->epoch != epoch && alive && at->at_ms < alive) {
                c->out->overlaps++;
                if (alive - at->at_ms > c->out->overlap_ms_max)
                    c->out->overlap_ms_max = alive - at->at_ms;
            }
            if (at->epoch != epoch)
                began = alive = 0;
            epoch = at->epoch;
            began = began ? began : at->at_ms;
            alive = at->at_ms > alive ? at->at_ms : alive;
        }
    }
    snprintf(text, sizeof(text), "stage run %lld", (long long)lines[0].stage_id);
    if (done_epoch && !sent_won)
        tell(c, &c->out->broken, "done, and nobody sent that commit", text);
}

static void
check_history(struct check *c)
{
    struct sea_rows *rows = ask(c, "SELECT id, coalesce(done_epoch, 0) AS done, last_epoch"
                                   " FROM sea.stage_run ORDER BY id");
    struct sea_err err = { 0 };
    size_t i, at = 0, end;

    qsort(c->lines, c->count, sizeof(*c->lines), by_attempt);
    for (i = 0; i < sea_rows_count(rows); i++) {
        int64_t id = sea_rows_int(rows, i, "id", &err), done = sea_rows_int(rows, i, "done", &err);
        int64_t last = sea_rows_int(rows, i, "last_epoch", &err);

        while (at < c->count && c->lines[at].stage_id < id)
            at++;
        for (end = at; end < c->count && c->lines[end].stage_id == id; end++)
            ;
        c->out->stages++;
        c->out->attempts += last;
        c->out->commits += done > 0;
        if (end > at)
            check_stage(c, c->lines + at, end - at, done, last);
        else if (done)
            tell(c, &c->out->broken, "done without any line about it", "no history");
        at = end;
    }
    sea_rows_close(rows);
}

int64_t
history_check(struct sea_db *db, const struct sea_store *store, const char *folder, int limit,
              struct history_report *out)
{
    struct check c = { .db = db, .out = out };

    *out = (struct history_report){ 0 };
    read_folder(&c, folder);
    sea_rows_close(ask(&c, "ANALYZE"));
    check_rows(&c);
    check_limit(&c, limit);
    check_files(&c, store);
    check_history(&c);
    free(c.lines);
    return c.bad;
}
