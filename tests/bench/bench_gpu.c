/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_gpu - one measurement on one device, as one line of JSON; tests/bench/gpu.sh runs all
 *
 * usage: bench_gpu JOB [--model M] [--device D] [--seconds S] [--layers N] [--rows N]
 *                  [--samples N] [--gemm FLOPS] [--bandwidth B] [--spec FLOPS]
 *        bench_gpu table REPORT.json         the report as Markdown
 *   JOB    limits, align, tune, lora, prefill, decode1, decode64, label
 *   MODEL  tiny, 0.5b (Qwen2.5), 2b (Gemma), 7b (Vicuna); CLIP ViT-L/14-336 in front
 *   --gemm, --bandwidth, --spec: what "limits" gave; shares of it are left out without
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "tests/bench/gpu.h"

#define WINDOWS 64
#define WINDOWS_LEAST 3
#define JSON_MAX ((size_t)1 << 24)

static const struct {
    const char *name;
    enum sea_status (*run)(struct gpu_job *job, struct sea_err *err);
} jobs[] = {
    { "limits", gpu_job_limits }, { "align", gpu_job_train }, { "tune", gpu_job_train },
    { "lora", gpu_job_train }, { "prefill", gpu_job_answer }, { "decode1", gpu_job_decode },
    { "decode64", gpu_job_decode }, { "label", gpu_job_label },
};

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

enum sea_status
gpu_measure(const struct gpu_job *job, gpu_step *step, void *arg, struct gpu_timing *timing,
            struct sea_err *err)
{
    double seconds[WINDOWS], start = sea_clock_seconds(), until, waited = 0, sum = 0;
    enum sea_status status;
    int n = 0;

    memset(timing, 0, sizeof(*timing));
    status = step(arg, &waited, err);
    timing->first = sea_clock_seconds() - start;
    if (!status)
        status = step(arg, &waited, err);       /* plans and rooms are settled now */
    waited = 0;
    until = sea_clock_seconds() + job->seconds;
    while (!status && n < WINDOWS && (n < WINDOWS_LEAST || sea_clock_seconds() < until)) {
        start = sea_clock_seconds();
        status = step(arg, &waited, err);
        seconds[n] = sea_clock_seconds() - start;
        sum += seconds[n++];
    }
    if (status)
        return status;
    qsort(seconds, (size_t)n, sizeof(*seconds), by_value);
    timing->median = seconds[n / 2];
    timing->waited = waited / sum;
    timing->windows = n;
    return SEA_OK;
}

void
gpu_put_timing(const struct gpu_job *job, const struct gpu_timing *timing, double flops,
               double t_lim, double traced)
{
    struct sea_node *out = job->out;
    double t = timing->median;

    sea_node_put_real(job->arena, out, "seconds", t);
    sea_node_put_real(job->arena, out, "first_seconds", timing->first);
    sea_node_put_int(job->arena, out, "windows", timing->windows);
    sea_node_put_real(job->arena, out, "data_wait", timing->waited);
    sea_node_put_real(job->arena, out, "tflop", 1e-12 * flops);
    sea_node_put_real(job->arena, out, "tflops", 1e-12 * flops / t);
    if (job->limits.spec > 0)
        sea_node_put_real(job->arena, out, "mfu", flops / t / job->limits.spec);
    if (job->limits.gemm > 0) {
        sea_node_put_real(job->arena, out, "gemm_mfu", flops / t / job->limits.gemm);
        sea_node_put_real(job->arena, out, "predicted_seconds", t_lim);
        sea_node_put_real(job->arena, out, "roofline", t_lim / t);
    }
    /* Operators one by one, each waited for: more than a step means that the device was never
     * idle in it, less is time between launches. */
    sea_node_put_real(job->arena, out, "traced_seconds", traced);
    sea_node_put_real(job->arena, out, "launch_gap", traced < t ? 1.0 - traced / t : 0.0);
}

static enum sea_status
print(struct gpu_job *job, struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, JSON_MAX);
    status = sea_json_write(job->out, SEA_JSON_COMPACT, &text, err);
    if (!status)
        printf("%s\n", text.data);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
run(struct gpu_job *job, struct sea_err *err)
{
    enum sea_status status = SEA_E_CONFIG;

    job->arena = sea_arena_create(NULL, "bench_gpu");
    job->out = sea_node_put(job->arena, NULL, NULL, SEA_NODE_MAP);
    sea_node_put_text(job->arena, job->out, "job", job->name);
    sea_node_put_text(job->arena, job->out, "model", job->model);
    sea_node_put_text(job->arena, job->out, "by", "sea");
    if (!gpu_model_find(job->model)) {
        status = sea_fail(err, SEA_E_CONFIG, "there is no model \"%s\"", job->model);
        goto out;
    }
    status = sea_device_open(&job->dev, job->device, err);
    if (status)
        goto out;
    sea_node_put_text(job->arena, job->out, "device", sea_device_text(&job->dev));
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
        if (!strcmp(jobs[i].name, job->name)) {
            status = jobs[i].run(job, err);
            goto out;
        }
    status = sea_fail(err, SEA_E_CONFIG, "there is no job \"%s\"", job->name);
out:
    if (!status && strstr(sea_device_text(&job->dev), "refused by it"))
        sea_node_put_text(job->arena, job->out, "refused", sea_device_text(&job->dev));
    if (!status)
        status = print(job, err);
    if (job->dev.ops)
        sea_device_close(&job->dev);
    sea_arena_destroy(job->arena);
    return status;
}

/* ---- the table ---- */

static double
real_at(const struct sea_node *row, const char *key)
{
    return sea_node_real(sea_node_get(row, key), NAN);
}

static const char *
share(char *out, size_t room, double x)
{
    if (isnan(x))
        snprintf(out, room, "-");
    else
        snprintf(out, room, "%.1f %%", 100.0 * x);
    return out;
}

static void
table_row(const struct sea_node *row)
{
    static const char *const rates[] = { "samples_per_s", "images_per_s", "tokens_per_s" };
    const char *skipped = sea_node_text(sea_node_get(row, "skipped"), NULL);
    char a[4][32], rate[64] = "-";

    for (size_t i = sizeof(rates) / sizeof(rates[0]); i-- > 0;)
        if (!isnan(real_at(row, rates[i])))
            snprintf(rate, sizeof(rate), "%.1f %s", real_at(row, rates[i]), rates[i]);
    printf("| %s | %s | %s ", sea_node_text(sea_node_get(row, "job"), ""),
           sea_node_text(sea_node_get(row, "model"), ""),
           sea_node_text(sea_node_get(row, "by"), ""));
    if (skipped)
        printf("| skipped: %s | | | | | |\n", skipped);
    else
        printf("| %s | %.4g | %s | %s | %s | %s |\n", rate, real_at(row, "seconds"),
               share(a[0], 32, real_at(row, isnan(real_at(row, "mbu")) ? "mfu" : "mbu")),
               share(a[1], 32, real_at(row, "roofline")),
               share(a[2], 32, real_at(row, "data_wait")),
               share(a[3], 32, real_at(row, "launch_gap")));
}

static void
table_parts(const struct sea_node *row)
{
    const struct sea_node *part, *list = sea_node_get(row, "parts");

    if (!list || sea_node_get(row, "skipped"))
        return;
    printf("\n### %s %s: predicted and actual\n\n| part | calls | predicted ms | actual ms | "
           "predicted / actual |\n|---|---|---|---|---|\n",
           sea_node_text(sea_node_get(row, "job"), ""),
           sea_node_text(sea_node_get(row, "model"), ""));
    for (part = list->first; part; part = part->next)
        printf("| %s | %.0f | %.3f | %.3f | %.2f |\n",
               sea_node_text(sea_node_get(part, "op"), ""), real_at(part, "calls"),
               1e3 * real_at(part, "predicted"), 1e3 * real_at(part, "seconds"),
               real_at(part, "predicted") / real_at(part, "seconds"));
    list = sea_node_get(row, "products");
    printf("\n| product | calls | ms | TFLOP/s |\n|---|---|---|---|\n");
    for (part = list ? list->first : NULL; part; part = part->next)
        printf("| %s | %.0f | %.3f | %.1f |\n", sea_node_text(sea_node_get(part, "shape"), ""),
               real_at(part, "calls"), 1e3 * real_at(part, "seconds"), real_at(part, "tflops"));
}

/* Our own kernel for few rows beside the library's. */
static void
table_few(const struct sea_node *limits, double bandwidth)
{
    const struct sea_node *list = sea_node_get(limits, "few_rows"), *row;
    char a[2][32];

    if (!list)
        return;
    printf("\n## Few rows times weights: share of the bandwidth\n\n| weights | rows | own | "
           "library |\n|---|---|---|---|\n");
    for (row = list->first; row; row = row->next)
        printf("| %s | %.0f | %s | %s |\n", sea_node_text(sea_node_get(row, "shape"), ""),
               real_at(row, "rows"), share(a[0], 32, real_at(row, "own") / bandwidth),
               share(a[1], 32, real_at(row, "library") / bandwidth));
}

static double
rate_of(const struct sea_node *row)
{
    double samples = real_at(row, "samples_per_s"), images = real_at(row, "images_per_s");

    return !isnan(samples) ? samples : !isnan(images) ? images : real_at(row, "tokens_per_s");
}

static void
table_peers(const struct sea_node *rows)
{
    const struct sea_node *peer, *ours;

    printf("\n## Beside transformers' LLaVA on the same card, in the same run\n\n"
           "| job | model | blocks | ours/s | theirs/s | ours / theirs |\n"
           "|---|---|---|---|---|---|\n");
    for (peer = rows ? rows->first : NULL; peer; peer = peer->next) {
        if (!strcmp(sea_node_text(sea_node_get(peer, "by"), ""), "sea") || isnan(rate_of(peer)))
            continue;
        for (ours = rows->first; ours; ours = ours->next)
            if (!strcmp(sea_node_text(sea_node_get(ours, "by"), ""), "sea") &&
                !strcmp(sea_node_text(sea_node_get(ours, "job"), ""),
                        sea_node_text(sea_node_get(peer, "job"), "")) &&
                !strcmp(sea_node_text(sea_node_get(ours, "model"), ""),
                        sea_node_text(sea_node_get(peer, "model"), "")))
                printf("| %s | %s | %.0f | %.2f | %.2f | %.2f |\n",
                       sea_node_text(sea_node_get(peer, "job"), ""),
                       sea_node_text(sea_node_get(peer, "model"), ""), real_at(peer, "layers"),
                       rate_of(ours), rate_of(peer), rate_of(ours) / rate_of(peer));
    }
}

static enum sea_status
table(const char *path, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "table");
    struct sea_node *root, *row, *rows;
    enum sea_status status = sea_json_load(path, JSON_MAX, arena, &root, err);

    if (status)
        goto out;
    rows = sea_node_get(root, "rows");
    printf("# %s\n\n%s, commit %s. MFU: model FLOPs over the data sheet's %.1f TFLOP/s; decode: "
           "MBU over the measured %.2f TB/s. Roofline: least time of the operators over the "
           "step's. FLOPs: tests/bench/gpu.h.\n\n", sea_node_text(sea_node_get(root, "card"), ""),
           sea_node_text(sea_node_get(root, "date"), ""),
           sea_node_text(sea_node_get(root, "commit"), ""), 1e-12 * real_at(root, "spec_flops"),
           1e-12 * real_at(root, "bandwidth"));
    printf("| job | model | by | rate | step s | MFU or MBU | roofline | data wait | launch gap "
           "|\n|---|---|---|---|---|---|---|---|---|\n");
    for (row = rows ? rows->first : NULL; row; row = row->next)
        table_row(row);
    table_peers(rows);
    table_few(sea_node_get(root, "limits"), real_at(root, "bandwidth"));
    printf("\n## Parts\n");
    for (row = rows ? rows->first : NULL; row; row = row->next)
        table_parts(row);
out:
    sea_arena_destroy(arena);
    return status;
}

int
main(int argc, char **argv)
{
    struct gpu_job job = { .model = "tiny", .device = "auto", .seconds = 5 };
    struct sea_err err = { 0 };
    enum sea_status status;

    if (argc > 2 && !strcmp(argv[1], "table")) {
        status = table(argv[2], &err);
    } else {
        job.name = argc > 1 ? argv[1] : "";
        for (int i = 2; i + 1 < argc; i += 2) {
            const char *key = argv[i], *value = argv[i + 1];

            if (!strcmp(key, "--model"))
                job.model = value;
            else if (!strcmp(key, "--device"))
                job.device = value;
            else if (!strcmp(key, "--seconds"))
                job.seconds = strtod(value, NULL);
            else if (!strcmp(key, "--layers"))
                job.layers = strtol(value, NULL, 10);
            else if (!strcmp(key, "--rows"))
                job.rows = strtol(value, NULL, 10);
            else if (!strcmp(key, "--samples"))
                job.samples = strtol(value, NULL, 10);
            else if (!strcmp(key, "--gemm"))
                job.limits.gemm = strtod(value, NULL);
            else if (!strcmp(key, "--bandwidth"))
                job.limits.bandwidth = strtod(value, NULL);
            else if (!strcmp(key, "--spec"))
                job.limits.spec = strtod(value, NULL);
        }
        status = run(&job, &err);
    }
    if (status)
        sea_err_print(&err, "bench_gpu", stderr);
    return sea_status_exit(status);
}
