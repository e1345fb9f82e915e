/* SPDX-License-Identifier: Apache-2.0 */
/* plan_report.c - a plan put together: the device's rate, the sums, and showing it */
#include <math.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "pipeline/plan_report_int.h"
#include "pipeline/sea_stage_body.h"

#define PRODUCT_ROWS 1024       /* of the measured product */
#define MEASURE_S 0.25
/* Share of a plain product's rate that whole steps reach: norms, attention, optimiser and
 * small products take the rest. Measured on the demo; decoding runs one row at a time. */
#define STEP_SHARE 0.7
#define DECODE_SHARE 0.3

/* ---- the device's rate ---- */

/* FLOP/s of a product of the model's own width. */
static enum sea_status
measure_product(const struct sea_planning *p, const struct sea_device *device, bool rounded,
                double *rate, struct sea_err *err)
{
    int64_t D = p->lm.D ? p->lm.D : p->clip.vision.D, F = p->lm.F ? p->lm.F : 4 * D;
    size_t bytes = (size_t)(PRODUCT_ROWS * D + D * F + PRODUCT_ROWS * F) * sizeof(float);
    double start, took = 0, times = 0;
    void *mem = NULL;
    enum sea_status status = sea_device_alloc(device, bytes, &mem, err);

    start = sea_clock_seconds();
    while (!status && (took < MEASURE_S || times < 2)) {
        float *a = mem, *b = a + PRODUCT_ROWS * D, *c = b + D * F;
        struct sea_op_gemm gemm = { .a = a, .b = b, .c = c, .M = PRODUCT_ROWS, .N = F, .K = D,
                                    .lda = D, .ldb = F, .ldc = F, .alpha = 1, .rounded = rounded,
                                    .b_type = rounded ? SEA_STORE_BF16 : SEA_STORE_F32 };

        status = sea_run(device, err, gemm, &gemm);
        if (!status)
            status = sea_device_status(device, device->ops->wait(device->dev), "wait", err);
        times++;
        took = sea_clock_seconds() - start;
        if (times == 1) {       /* the first one warms up */
            start = sea_clock_seconds();
            took = 0;
        }
    }
    if (!status)
        *rate = (times - 1) * 2.0 * PRODUCT_ROWS * (double)D * (double)F / took;
    sea_device_free(device, mem);
    return status;
}

/* A card multiplies rounded numbers many times faster; a processor does not (docs/performance.md).
 * *is_card: the device is none of the processor's. */
static enum sea_status
measure(const struct sea_planning *p, const char *name, struct sea_plan_report *out, bool *is_card,
        struct sea_err *err)
{
    bool rounds = strcmp(sea_planning_text(p, "model.precision"), "bf16") == 0;
    struct sea_device device;
    enum sea_status status = sea_device_open(&device, name, err);

    if (status)
        return status;
    out->device = sea_arena_strdup(p->arena, sea_device_text(&device));
    *is_card = strcmp(device.ops->name, "cpu") != 0;
    status = measure_product(p, &device, false, &out->exact_rate, err);
    out->rate = out->exact_rate;
    if (!status && rounds && *is_card)
        status = measure_product(p, &device, true, &out->rate, err);
    sea_device_close(&device);
    return status;
}

enum sea_status
sea_plan_report_make(const struct sea_node *config, const char *device, struct sea_arena *arena,
                     struct sea_plan_report *out, struct sea_err *err)
{
    struct sea_planning p = { .config = config, .arena = arena, .report = out };
    unsigned stages = sea_experiment_stages(config);
    double decode = 0;
    bool is_card = false;
    enum sea_status status;
    size_t i;

    memset(out, 0, sizeof(*out));
    out->name = sea_node_text(sea_node_get(config, "name"), "");
    out->device = "";
    status = sea_planning_load_models(&p, err);
    if (!status)
        status = sea_planning_load_data(&p, stages, err);
    if (status)
        return status;
    out->pictures = p.pretrain_images ? p.pretrain_images : p.instruct_images;
    out->patches = p.clip.vision.D ? sea_clip_patch_count(&p.clip) : 0;
    if (stages & SEA_BIT_FOUNDATION)
        sea_planning_foundation(&p);
    if (stages & SEA_BIT_LABEL)
        sea_planning_label(&p);
    if (stages & SEA_BIT_ALIGN)
        sea_planning_align(&p);
    if (stages & SEA_BIT_TUNE)
        sea_planning_tune(&p);
    if (stages & SEA_BIT_EVAL)
        status = sea_planning_eval(&p, &decode, err);
    if (!status && device)
        status = measure(&p, device, out, &is_card, err);
    for (i = 0; i < out->count && !status; i++) {
        struct sea_plan_stage *stage = &out->stages[i];

        if (is_card)
            stage->device_bytes += stage->card_bytes;
        if (out->rate > 0)
            stage->seconds = stage->flops /
                             (STEP_SHARE * (stage->exact ? out->exact_rate : out->rate));
        if (out->rate > 0 && strcmp(stage->name, "eval") == 0)
            stage->seconds += decode / (DECODE_SHARE * out->rate);
        if (strcmp(stage->name, "eval") == 0)
            stage->flops += decode;
        out->flops += stage->flops;
        out->seconds += stage->seconds;
        out->disk_bytes += stage->disk_bytes;
        out->checkpoints_bytes = fmax(out->checkpoints_bytes, 2 * stage->checkpoint_bytes);
    }
    return status;
}

/* ---- showing it ---- */

static void
show_seconds(char out[32], double s)
{
    if (s <= 0)
        snprintf(out, 32, "-");
    else if (s < 120)
        snprintf(out, 32, "%.0f s", ceil(s));
    else if (s < 7200)
        snprintf(out, 32, "%.0f min", s / 60);
    else
        snprintf(out, 32, "%.1f h", s / 3600);
}

static void
show_bytes(char out[32], double bytes)
{
    if (bytes < 1048576.0 * 1024)
        snprintf(out, 32, "%.0f MiB", ceil(bytes / 1048576));
    else
        snprintf(out, 32, "%.1f GiB", bytes / 1073741824.0);
}

void
sea_plan_report_print(const struct sea_plan_report *report, FILE *to)
{
    char took[32], memory[32];
    size_t i;

    fprintf(to, "%s: %lld pictures of %lld patches\n", report->name, (long long)report->pictures,
            (long long)report->patches);
    if (report->rate > 0)
        fprintf(to, "device: %s, %.3g GFLOP/s in a plain product\n", report->device,
                report->rate / 1e9);
    fprintf(to, "%-11s %10s %-19s %8s %12s %11s %9s\n", "stage", "items", "", "steps",
            "FLOPs", "memory", "time");
    for (i = 0; i < report->count; i++) {
        const struct sea_plan_stage *stage = &report->stages[i];

        show_seconds(took, stage->seconds);
        show_bytes(memory, stage->device_bytes);
        fprintf(to, "%-11s %10lld %-19s %8lld %12.3g %11s %9s\n", stage->name,
                (long long)stage->items, stage->unit, (long long)stage->steps, stage->flops,
                memory, took);
    }
    show_seconds(took, report->seconds);
    fprintf(to, "%-11s %10s %-19s %8s %12.3g %11s %9s\n", "all", "", "", "", report->flops, "",
            took);
    show_bytes(took, report->disk_bytes);
    show_bytes(memory, report->checkpoints_bytes);
    fprintf(to, "disk: %s of outputs, which stay; and up to %s of checkpoints\n", took, memory);
}

struct sea_node *
sea_plan_report_node(const struct sea_plan_report *report, struct sea_arena *arena)
{
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list, *map;
    size_t i;

    sea_node_put_text(arena, root, "name", report->name);
    sea_node_put_text(arena, root, "device", report->device);
    sea_node_put_real(arena, root, "product_flops_per_second", report->rate);
    sea_node_put_int(arena, root, "pictures", report->pictures);
    sea_node_put_int(arena, root, "patches", report->patches);
    list = sea_node_put(arena, root, "stages", SEA_NODE_LIST);
    for (i = 0; i < report->count; i++) {
        const struct sea_plan_stage *stage = &report->stages[i];

        map = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
        sea_node_put_text(arena, map, "name", stage->name);
        sea_node_put_int(arena, map, "items", stage->items);
        sea_node_put_text(arena, map, "unit", stage->unit);
        sea_node_put_int(arena, map, "steps", stage->steps);
        sea_node_put_real(arena, map, "flops", stage->flops);
        sea_node_put_real(arena, map, "device_bytes", stage->device_bytes);
        sea_node_put_real(arena, map, "seconds", stage->seconds);
        sea_node_put_real(arena, map, "disk_bytes", stage->disk_bytes);
        sea_node_put_real(arena, map, "checkpoint_bytes", stage->checkpoint_bytes);
    }
    sea_node_put_real(arena, root, "flops", report->flops);
    sea_node_put_real(arena, root, "seconds", report->seconds);
    sea_node_put_real(arena, root, "disk_bytes", report->disk_bytes);
    sea_node_put_real(arena, root, "checkpoints_bytes", report->checkpoints_bytes);
    return root;
}
