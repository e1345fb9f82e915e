/* SPDX-License-Identifier: Apache-2.0 */
/* sea score: an existing answer file, no model and no database. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_judge.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

#define TEXT_BYTES_MAX ((size_t)1 << 30)

static void
list_benchmarks(void)
{
    const struct sea_bench *bench;
    size_t i, v;

    for (i = 0; (bench = sea_bench_at(i)); i++) {
        printf("%-14s %s\n", bench->name, bench->about);
        printf("%-14s   %s%s%s%s\n", "", bench->questions_path,
               bench->annotations_path ? ", " : "",
               bench->annotations_path ? bench->annotations_path : "",
               bench->export_name ? ", can be exported" : "");
        if (bench->variants)
            printf("%-14s   variants:", "");
        for (v = 0; bench->variants && bench->variants[v]; v++)
            printf(" %s", bench->variants[v]);
        if (bench->variants)
            printf("\n");
        if (bench->needs_judge)
            printf("%-14s   needs a judge\n", "");
        printf("%-14s   licence of the data: %s\n", "", bench->licence);
    }
}

static void
print_ids(const struct sea_node *judge, const char *name, const char *words)
{
    const struct sea_node *list = sea_node_get(judge, name), *id;

    if (!list || list->count == 0)
        return;
    printf("  %zu %s:", list->count, words);
    for (id = list->first; id; id = id->next)
        printf(" %s", sea_node_text(id, ""));
    printf("\n");
}

static void
print_judge(const struct sea_node *judge)
{
    const struct sea_node *cost = sea_node_get(judge, "cost");
    const char *served = sea_node_text(sea_node_get(judge, "served"), "");

    if (!judge)
        return;
    if (sea_node_get(judge, "model")) {
        printf("  judge %s", sea_node_text(sea_node_get(judge, "model"), ""));
        printf("%s%s%s", served[0] ? " (served by " : "", served, served[0] ? ")" : "");
        printf(", prompts %.8s, %lld calls, %lld from the cache, %lld + %lld tokens",
               sea_node_text(sea_node_get(judge, "prompts_sha256"), ""),
               (long long)sea_node_int(sea_node_get(judge, "calls"), 0),
               (long long)sea_node_int(sea_node_get(judge, "cached"), 0),
               (long long)sea_node_int(sea_node_get(judge, "tokens_in"), 0),
               (long long)sea_node_int(sea_node_get(judge, "tokens_out"), 0));
        if (cost && cost->kind == SEA_NODE_REAL)
            printf(", cost %.4f", cost->real);
        printf("\n");
    }
    print_ids(judge, "invalid", "replies could not be parsed");
    print_ids(judge, "unanswered", "got no reply");
}

static void
print_metrics(const struct sea_bench_result *result)
{
    size_t i;

    printf("%s (%s, %s)%s\n", result->bench->name, result->variant, result->bench->prompt,
           result->complete ? "" : ", incomplete");
    for (i = 0; i < result->metrics_count; i++) {
        const struct sea_bench_metric *m = &result->metrics[i];

        if (isnan(m->value)) {
            printf("  %-32s not defined  n=%lld\n", m->name, (long long)m->n);
            continue;
        }
        printf("  %-32s %8.2f", m->name, m->value * m->scale);
        if (!isnan(m->low))
            printf("  [%.2f, %.2f]", m->low * m->scale, m->high * m->scale);
        printf("  n=%lld\n", (long long)m->n);
    }
    if (result->missing || result->failed)
        printf("  %lld answers missing, %lld could not be parsed\n", (long long)result->missing,
               (long long)result->failed);
    print_judge(result->judge);
}

/* Text to a file, or to stdout when path is NULL. */
static enum sea_status
deliver(const struct sea_buf *text, const char *path, struct sea_err *err)
{
    if (path)
        return sea_file_replace(path, text->data, text->len, err);
    fwrite(text->data, 1, text->len, stdout);
    return SEA_OK;
}

struct score_options {
    const char *name, *questions, *answers, *rows_path, *export_path, *lmms_path;
    struct sea_texts annotations;
    struct sea_bench_options bench;
    struct sea_judge_options judge;
    bool json, no_score;        /* no_score: export, gold answers are not public */
};

static enum sea_status
export_answers(const struct score_options *options, struct sea_err *err)
{
    return sea_bench_export_to(options->name, options->questions, options->answers,
                               options->annotations.at, options->annotations.count,
                               &options->bench, options->export_path, err);
}

static enum sea_status
run_score(const struct score_options *options, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_bench_result result;
    struct sea_buf text;
    enum sea_status status;

    if (options->no_score)
        return export_answers(options, err);
    sea_buf_init(&text, TEXT_BYTES_MAX);
    status = sea_bench_score(options->name, options->questions, options->answers,
                             options->annotations.at, options->annotations.count,
                             &options->bench, arena, &result, err);
    if (!status && options->rows_path) {
        sea_bench_rows_write(&result, &text);
        status = deliver(&text, options->rows_path, err);
        sea_buf_clear(&text);
    }
    if (!status && options->export_path)
        status = export_answers(options, err);
    if (!status && options->lmms_path) {
        status = sea_json_write(sea_bench_lmms_node(&result, arena), SEA_JSON_PRETTY, &text, err);
        if (!status)
            status = deliver(&text, options->lmms_path, err);
        sea_buf_clear(&text);
    }
    if (!status && options->json) {
        status = sea_json_write(sea_bench_result_node(&result, arena), SEA_JSON_PRETTY, &text,
                                err);
        if (!status)
            status = deliver(&text, NULL, err);
    } else if (!status) {
        print_metrics(&result);
    }
    sea_buf_release(&text);
    return status;
}

static enum sea_status
check_options(const struct sea_call *call, const struct score_options *options,
              struct sea_err *err)
{
    enum sea_status status = sea_args_need(options->questions, "--questions", call->usage, err);

    if (!status)
        status = sea_args_need(options->answers, "--answers", call->usage, err);
    if (!status && options->no_score && !options->export_path) {
        status = sea_fail(err, SEA_E_CONFIG, "--no-score without --export does nothing");
        sea_hint(err, "Usage: sea %s", call->usage);
    }
    return status;
}

enum sea_status
sea_cmd_score(const struct sea_call *call, struct sea_err *err)
{
    struct score_options options = { .name = NULL };
    struct sea_texts rest;
    enum sea_status status;
    const struct sea_bench *known;
    bool helped, list = false;
    const struct sea_arg table[] = {
        { "--questions", SEA_ARG_TEXT, &options.questions, "F", "question file" },
        { "--answers", SEA_ARG_TEXT, &options.answers, "F",
          "answers: LLaVA's lines, spreadsheets, outputs of other scripts" },
        { "--annotations", SEA_ARG_LIST, &options.annotations, "F",
          "label files or folders (repeat)" },
        { "--variant", SEA_ARG_TEXT, &options.bench.variant, "V", "scorer variant" },
        { "--limit", SEA_ARG_INT, &options.bench.limit, "N", "the first N questions" },
        { "--allow-missing", SEA_ARG_FLAG, &options.bench.allow_missing, NULL,
          "missing answers count as empty" },
        { "--rows", SEA_ARG_TEXT, &options.rows_path, "F", "write a JSON line per question" },
        { "--export", SEA_ARG_TEXT, &options.export_path, "F",
          "write the form that the official scorer or server takes" },
        { "--no-score", SEA_ARG_FLAG, &options.no_score, NULL,
          "only export: the server has the answers" },
        { "--export-lmms", SEA_ARG_TEXT, &options.lmms_path, "F",
          "write the scores as lmms-eval writes its results" },
        { "--prompt", SEA_ARG_TEXT, &options.bench.prompt, "NAME",
          "how it was asked, when not as the benchmark does" },
        { "--judge", SEA_ARG_TEXT, &options.judge.url, "URL",
          "a model that grades, OpenAI-compatible; key in " SEA_JUDGE_KEY },
        { "--judge-model", SEA_ARG_TEXT, &options.judge.model, "M", "its name" },
        { "--judge-prompts", SEA_ARG_TEXT, &options.judge.prompts, "DIR",
          "the official grading prompts" },
        { "--judge-cache", SEA_ARG_TEXT, &options.judge.cache, "DIR", "keeps its replies" },
        { "--judge-offline", SEA_ARG_FLAG, &options.judge.offline, NULL,
          "replies from the cache alone" },
        { "--judge-runs", SEA_ARG_INT, &options.judge.runs, "N", "gradings of each answer (1)" },
        { "--judge-tokens", SEA_ARG_INT, &options.judge.max_tokens, "N",
          "of a reply, when not as the benchmark asks" },
        { "--judge-parallel", SEA_ARG_INT, &options.judge.parallel, "N",
          "requests at a time (4)" },
        { "--judge-rate", SEA_ARG_INT, &options.judge.per_minute, "N",
          "requests per minute at most" },
        { "--judge-timeout", SEA_ARG_INT, &options.judge.timeout_ms, "MS",
          "of one request (120000)" },
        { "--judge-tries", SEA_ARG_INT, &options.judge.tries, "N", "of one request (6)" },
        { "--judge-price-in", SEA_ARG_REAL, &options.judge.price_in, "X",
          "of a million tokens sent" },
        { "--judge-price-out", SEA_ARG_REAL, &options.judge.price_out, "X",
          "of a million tokens received" },
        { "--reviews", SEA_ARG_TEXT, &options.bench.reviews, "F",
          "gradings made earlier, in the place of a judge" },
        { "--list", SEA_ARG_FLAG, &list, NULL, "the benchmarks it knows" },
        { "--json", SEA_ARG_FLAG, &options.json, NULL, "as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    if (list) {
        list_benchmarks();
        return SEA_OK;
    }
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status)
        status = sea_bench_find(rest.at[0], &known, err);
    if (!status)
        status = check_options(call, &options, err);
    if (status)
        return status;
    options.name = rest.at[0];
    if (options.judge.url || options.judge.model || options.judge.offline)
        status = sea_judge_create(&options.bench.judge, &options.judge, err);
    if (!status)
        status = run_score(&options, call->arena, err);
    sea_judge_destroy(options.bench.judge);
    return status;
}
