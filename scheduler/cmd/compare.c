/* SPDX-License-Identifier: Apache-2.0 */
/* sea compare: two experiments on the same questions, paired and clustered by picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/sea_stats.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"

#define LEVEL 0.95

struct pairs {                  /* the questions of one benchmark that both answered */
    double *a, *b;
    const char **cluster;
    int64_t *number;
    size_t n;
};

static void
print_header(void)
{
    printf("%-24s %6s %8s %8s %8s %8s  %-18s %8s %8s\n", "benchmark", "n", "pictures", "A", "B",
           "B - A", "95% interval", "p", "verdict");
}

static const char *
verdict(const struct sea_paired *test)
{
    if (isnan(test->clustered_p))
        return "equal";
    if (test->clustered_p >= 1 - LEVEL)
        return "not distinguishable";
    return test->difference > 0 ? "B better" : "A better";
}

static void
print_number(const char *key, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.10g", key, value);
    else
        printf(",\"%s\":null", key);
}

/* One line, or one JSON object, about rows first..first+n-1 of one benchmark. */
static void
print_test(const char *benchmark, const char *split, const struct pairs *pairs, bool json,
           bool first)
{
    struct sea_paired test = sea_stats_paired(pairs->b, pairs->a, pairs->number, pairs->n, LEVEL);
    struct sea_mean a = sea_stats_mean(pairs->a, pairs->number, pairs->n);
    struct sea_mean b = sea_stats_mean(pairs->b, pairs->number, pairs->n);
    double detectable = (sea_stats_normal_quantile(0.5 + LEVEL / 2)
                         + sea_stats_normal_quantile(0.8)) * test.clustered_se;
    char name[128], interval[64];

    if (json) {
        printf("%s\n {\"benchmark\":\"%s\",\"split\":\"%s\",\"n\":%lld,\"clusters\":%lld",
               first ? "" : ",", benchmark, split, (long long)test.n, (long long)test.clusters);
        print_number("a", a.mean);
        print_number("b", b.mean);
        print_number("difference", test.difference);
        print_number("clustered_se", test.clustered_se);
        print_number("low", test.low);
        print_number("high", test.high);
        print_number("p", test.clustered_p);
        print_number("mcnemar_p", test.mcnemar_p);
        print_number("detectable", detectable);
        printf(",\"only_b\":%lld,\"only_a\":%lld,\"verdict\":\"%s\"}", (long long)test.only_a,
               (long long)test.only_b, verdict(&test));
        return;
    }
    snprintf(name, sizeof(name), "%s%s%s", benchmark, split[0] ? "/" : "", split);
    snprintf(interval, sizeof(interval), "[%+.2f, %+.2f]", 100 * test.low, 100 * test.high);
    printf("%-24s %6lld %8lld %8.2f %8.2f %+8.2f  %-18s %8.3g %s (detectable %.1f)\n", name,
           (long long)test.n, (long long)test.clusters, 100 * a.mean, 100 * b.mean,
           100 * test.difference, interval, test.clustered_p, verdict(&test), 100 * detectable);
}

/* rows are ordered by benchmark and split: one test per run of equal names. */
static enum sea_status
test_all(const struct sea_rows *rows, struct sea_arena *arena, bool json, struct sea_err *err)
{
    size_t count = sea_rows_count(rows), at, end;
    struct pairs pairs = {
        .a = sea_arena_alloc(arena, count + 1, sizeof(double)),
        .b = sea_arena_alloc(arena, count + 1, sizeof(double)),
        .cluster = sea_arena_alloc(arena, count + 1, sizeof(char *)),
        .number = sea_arena_alloc(arena, count + 1, sizeof(int64_t)) };

    if (json)
        printf("[");
    else
        print_header();
    for (at = 0; at < count; at = end) {
        const char *benchmark = sea_rows_text(rows, at, "benchmark", err);
        const char *split = sea_rows_text(rows, at, "split", err);

        pairs.n = 0;
        for (end = at; end < count; end++) {
            if (strcmp(sea_rows_text(rows, end, "benchmark", err), benchmark) != 0
                || strcmp(sea_rows_text(rows, end, "split", err), split) != 0)
                break;
            pairs.a[pairs.n] = sea_rows_real(rows, end, "a", err);
            pairs.b[pairs.n] = sea_rows_real(rows, end, "b", err);
            pairs.cluster[pairs.n++] = sea_rows_text(rows, end, "cluster", err);
        }
        sea_stats_number(pairs.cluster, pairs.n, pairs.number);
        if (err->status)
            break;
        print_test(benchmark, split, &pairs, json, at == 0);
    }
    if (json)
        printf("\n]\n");
    return err->status;
}

/* Both evaluated the same questions with the same gold answers, or the pair is refused. */
static enum sea_status
check_comparable(struct sea_db *db, int64_t a, int64_t b, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    status = sea_db_query(db, "cli_compare_check", SEA_PARAMS(SEA_P_INT(a), SEA_P_INT(b)), &rows,
                          err);
    if (!status && sea_rows_count(rows)) {
        status = sea_fail(err, SEA_E_CONFIG,
                          "experiments %lld and %lld are not comparable on %s: %lld questions "
                          "against %lld, not the same ones", (long long)a, (long long)b,
                          sea_rows_text(rows, 0, "benchmark", err),
                          (long long)sea_rows_int(rows, 0, "n_a", err),
                          (long long)sea_rows_int(rows, 0, "n_b", err));
        sea_hint(err, "Evaluate both with the same suite and the same benchmark files.");
    }
    sea_rows_close(rows);
    return status;
}

/* The two newest experiments with scores: what --last compares, older one first. */
static enum sea_status
newest_two(struct sea_db *db, int64_t *a, int64_t *b, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, "cli_newest_scored", SEA_NO_PARAMS, &rows, err);

    if (!status && sea_rows_count(rows) < 2) {
        status = sea_fail(err, SEA_E_CONFIG, "%s has scores, --last needs two",
                          sea_rows_count(rows) ? "one experiment" : "no experiment");
        sea_hint(err, "`sea status` lists experiments.");
    } else if (!status) {
        *b = sea_rows_int(rows, 0, "experiment_id", err);
        *a = sea_rows_int(rows, 1, "experiment_id", err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* SEA_E_CONFIG when one of them does not exist. */
static enum sea_status
check_names(struct sea_db *db, int64_t a, int64_t b, bool print, struct sea_err *err)
{
    const int64_t ids[] = { a, b };
    enum sea_status status = SEA_OK;
    int i;

    for (i = 0; i < 2 && !status; i++) {
        struct sea_rows *rows = NULL;

        status = sea_db_query(db, "cli_experiment", SEA_PARAMS(SEA_P_INT(ids[i])), &rows, err);
        if (!status && sea_rows_count(rows) == 0) {
            status = sea_fail(err, SEA_E_CONFIG, "there is no experiment %lld",
                              (long long)ids[i]);
            sea_hint(err, "`sea status` lists experiments.");
        }
        if (!status && print)
            printf("%c = experiment %lld, %s\n", "AB"[i], (long long)ids[i],
                   sea_rows_text(rows, 0, "name", err));
        sea_rows_close(rows);
    }
    return status;
}

enum sea_status
sea_cmd_compare(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    bool json = false, last = false, control = false, helped;
    struct sea_rows *rows = NULL;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    int64_t a = 0, b = 0;
    const struct sea_arg table[] = {
        { "--last", SEA_ARG_FLAG, &last, NULL, "the two newest experiments with scores" },
        { "--control", SEA_ARG_FLAG, &control, NULL, "their answers to shuffled pictures" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 4, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, last ? 0 : 2, last ? 0 : 2, call->usage, err);
    if (!status && !last)
        status = sea_args_id(rest.at[0], "experiment", &a, err);
    if (!status && !last)
        status = sea_args_id(rest.at[1], "experiment", &b, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = sea_home_connect(&home, "sea compare", &db, err);
    if (!status && last)
        status = newest_two(db, &a, &b, err);
    if (!status)
        status = check_names(db, a, b, false, err);
    if (!status)
        status = check_comparable(db, a, b, err);
    if (!status && !json)
        status = check_names(db, a, b, true, err);
    if (!status)
        status = sea_db_query(db, "cli_pairs",
                              SEA_PARAMS(SEA_P_INT(a), SEA_P_INT(b), SEA_P_BOOL(control)), &rows,
                              err);
    if (!status && sea_rows_count(rows) == 0) {
        status = sea_fail(err, SEA_E_CONFIG, "experiments %lld and %lld share no scored question",
                          (long long)a, (long long)b);
        sea_hint(err, "`sea status ID` tells whether their eval stages are done.");
    }
    if (!status)
        status = test_all(rows, call->arena, json, err);
    sea_rows_close(rows);
    sea_db_close(db);
    return status;
}
