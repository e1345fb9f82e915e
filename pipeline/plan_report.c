/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_plan_report.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/sea_clip.h"
#include "engine/sea_lm.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_stage_body.h"
#include "pipeline/sea_suite.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define IDS_PER_WORD 1.4        /* words of a tokenizer per word of text */
#define TEMPLATE_IDS 45         /* of the system sentence and the speakers of a dialogue */
#define ANSWER_IDS 6            /* generated per question, on average of short answers */
#define PRODUCT_ROWS 1024       /* of the measured product */
#define MEASURE_S 0.25
/* Share of a plain product's rate that whole steps reach: norms, attention, optimiser and
 * small products take the rest. Measured on the demo; decoding runs one row at a time. */
#define STEP_SHARE 0.7
#define DECODE_SHARE 0.3

struct planning {
    const struct sea_node *config;
    struct sea_arena *arena;
    struct sea_plan_report *report;
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    struct sea_dataset pretrain, instruct;
    double caption_ids, dialogue_ids;   /* per row, on average */
    int64_t pretrain_images, instruct_images;
};

static int64_t
whole(const struct planning *p, const char *key)
{
    return sea_node_int(sea_node_path(p->config, key), 0);
}

static double
real(const struct planning *p, const char *key)
{
    return sea_node_real(sea_node_path(p->config, key), 0);
}

static const char *
text(const struct planning *p, const char *key)
{
    return sea_node_text(sea_node_path(p->config, key), "");
}

/* ---- sizes of models ---- */

static enum sea_status
load_config(const char *dir, struct sea_arena *arena, struct sea_node **config,
            struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, "config.json", err);

    return status ? status : sea_json_load(path, CONFIG_BYTES_MAX, arena, config, err);
}

static void
foundation_clip(struct planning *p)
{
    int64_t D = whole(p, "stages.foundation.clip.width");
    int64_t Dt = whole(p, "stages.foundation.clip.text_width");

    p->clip = (struct sea_clip_desc){
        .vision = { .D = D, .layers = whole(p, "stages.foundation.clip.layers"),
                    .heads = whole(p, "stages.foundation.clip.heads"), .F = 4 * D,
                    .image = whole(p, "stages.foundation.clip.image"),
                    .patch = whole(p, "stages.foundation.clip.patch"), .channels = 3 },
        .text = { .D = Dt, .layers = whole(p, "stages.foundation.clip.text_layers"),
                  .F = 4 * Dt, .vocab = whole(p, "stages.foundation.clip.vocab"),
                  .positions = whole(p, "stages.foundation.clip.positions") },
        .joint = whole(p, "stages.foundation.clip.joint") };
}

static void
foundation_lm(struct planning *p)
{
    p->lm = sea_lm_defaults();
    p->lm.vocab = whole(p, "stages.foundation.language.vocab");
    p->lm.D = whole(p, "stages.foundation.language.width");
    p->lm.F = whole(p, "stages.foundation.language.ffn");
    p->lm.layers = whole(p, "stages.foundation.language.layers");
    p->lm.H = p->lm.K = whole(p, "stages.foundation.language.heads");
    p->lm.E = p->lm.D / p->lm.H;
    p->lm.max_positions = whole(p, "stages.foundation.language.positions");
}

static enum sea_status
load_models(struct planning *p, struct sea_err *err)
{
    const char *whole_model = text(p, "model.path"), *vision, *language;
    struct sea_node *config;
    enum sea_status status = SEA_OK;

    vision = whole_model[0] ? whole_model : text(p, "model.vision.path");
    language = whole_model[0] ? whole_model : text(p, "model.language.path");
    if (vision[0] == '@') {
        foundation_clip(p);
    } else if (vision[0]) {
        status = load_config(vision, p->arena, &config, err);
        if (!status)
            status = sea_clip_desc_parse(&p->clip, config, vision, err);
        if (!status)
            status = sea_clip_desc_size(&p->clip, vision, err);
    }
    if (status)
        return status;
    if (language[0] == '@') {
        foundation_lm(p);
    } else if (language[0]) {
        const struct sea_node *inner;

        status = load_config(language, p->arena, &config, err);
        if (status)
            return status;
        inner = sea_node_get(config, "text_config");
        status = sea_lm_desc_parse(&p->lm, inner ? inner : config, language, err);
    }
    return status;
}

/* ---- sizes of data ---- */

static double
count_words(const char *at)
{
    double words = 0;

    while (*at) {
        at += strspn(at, " \n\t");
        words += *at != 0;
        at += strcspn(at, " \n\t");
    }
    return words;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int64_t
count_images(const struct sea_dataset *data)
{
    const char **names = sea_xcalloc((size_t)data->count + 1, sizeof(*names));
    int64_t i, n = 0, distinct = 0;

    for (i = 0; i < data->count; i++)
        if (data->rows[i].image)
            names[n++] = data->rows[i].image;
    qsort(names, (size_t)n, sizeof(*names), compare_names);
    for (i = 0; i < n; i++)
        distinct += i == 0 || strcmp(names[i], names[i - 1]) != 0;
    free(names);
    return distinct;
}

static double
mean_ids(const struct sea_dataset *data, bool captions)
{
    double words = 0;
    int64_t i;
    size_t t;

    for (i = 0; i < data->count; i++)
        for (t = 0; t < data->rows[i].turns_count; t++)
            if (!captions || strcmp(data->rows[i].turns[t].from, "gpt") == 0)
                words += count_words(data->rows[i].turns[t].value);
    return data->count ? words / (double)data->count * IDS_PER_WORD + (captions ? 2 : TEMPLATE_IDS)
                       : 0;
}

static enum sea_status
load_data(struct planning *p, unsigned stages, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (stages & (SEA_BIT_FOUNDATION | SEA_BIT_LABEL | SEA_BIT_ALIGN))
        status = sea_dataset_load(&p->pretrain, SEA_DATASET_PRETRAIN,
                                  text(p, "data.pretrain.json"), text(p, "data.pretrain.images"),
                                  p->arena, err);
    if (!status && stages & SEA_BIT_TUNE)
        status = sea_dataset_load(&p->instruct, SEA_DATASET_INSTRUCT,
                                  text(p, "data.instruct.json"), text(p, "data.instruct.images"),
                                  p->arena, err);
    if (status)
        return status;
    p->caption_ids = mean_ids(&p->pretrain, true);
    p->dialogue_ids = mean_ids(&p->instruct, false);
    p->pretrain_images = count_images(&p->pretrain);
    p->instruct_images = count_images(&p->instruct);
    return SEA_OK;
}

/* ---- flops and bytes of parts ---- */

/* One row through one block forward, with keys rows to look at. */
static double
block_flops(double D, double HE, double KE, double F, bool gated, double keys)
{
    return 2 * (D * (HE + 2 * KE) + HE * D + (gated ? 3 : 2) * D * F + 2 * HE * keys);
}

static double
vision_flops(const struct planning *p)  /* a picture forward, patches embedded */
{
    const struct sea_clip_vision_desc *v = &p->clip.vision;
    double rows = (double)(sea_clip_patch_count(&p->clip) + sea_clip_class_rows(&p->clip));

    return rows * ((double)v->layers * block_flops((double)v->D, (double)v->D, (double)v->D,
                                                   (double)v->F, false, rows) +
                   2.0 * 3 * (double)(v->patch * v->patch) * (double)v->D);
}

static double
clip_text_flops(const struct planning *p, double ids)
{
    const struct sea_clip_text_desc *t = &p->clip.text;

    return ids * (double)t->layers * block_flops((double)t->D, (double)t->D, (double)t->D,
                                                 (double)t->F, false, ids / 2);
}

/* A sequence of rows forward, of which some go through the head. */
static double
lm_flops(const struct planning *p, double rows, double supervised)
{
    const struct sea_lm_desc *lm = &p->lm;

    return rows * (double)lm->layers * block_flops((double)lm->D, (double)(lm->H * lm->E),
                                                   (double)(lm->K * lm->E), (double)lm->F, true,
                                                   rows / 2) +
           2 * supervised * (double)lm->D * (double)lm->vocab;
}

static double
adapter_floats(const struct planning *p)
{
    double D = (double)p->lm.D;

    return D * ((double)p->clip.vision.D + D + 2);
}

static double
clip_floats(const struct planning *p)
{
    const struct sea_clip_vision_desc *v = &p->clip.vision;
    const struct sea_clip_text_desc *t = &p->clip.text;
    double D = (double)v->D, Dt = (double)t->D;

    return (double)v->layers * (4 * D * D + 2 * D * (double)v->F) +
           (double)t->layers * (4 * Dt * Dt + 2 * Dt * (double)t->F) +
           (double)t->vocab * Dt + D * 3 * (double)(v->patch * v->patch);
}

/* ---- storage ---- */

/* Bytes of one matrix element of a frozen part. */
static double
frozen_bytes(const struct planning *p)
{
    return strcmp(text(p, "model.precision"), "bf16") == 0 ? 2 : 4;
}

/* The same of a trained part: master, gradient and two moments, and the copy that runs. */
static double
trained_bytes(const struct planning *p)
{
    return strcmp(text(p, "model.precision"), "bf16") == 0 ? 18 : 16;
}

/* Low-rank adapters on every linear layer of the blocks. */
static double
lora_floats(const struct planning *p)
{
    const struct sea_lm_desc *lm = &p->lm;
    double D = (double)lm->D, HE = (double)(lm->H * lm->E), KE = (double)(lm->K * lm->E);
    double F = (double)lm->F, rank = (double)whole(p, "stages.tune.lora.rank");

    return rank * (double)lm->layers * (3 * D + HE + 2 * KE + HE + D + 3 * (D + F));
}

/* What a backward needs of one row: per block x, h, q, k, v, attention and the activation. */
static double
kept_bytes(double layers, double D, double HE, double KE, double F, bool gated)
{
    return 4 * layers * (2 * D + 2 * HE + 2 * KE + (gated ? 2 : 1) * F);
}

/* What the work of a language model takes that has a backward, by the plan it is made with. */
static double
lm_work_bytes(const struct planning *p, double rows)
{
    const struct sea_lm_limits limits = { .rows = (int64_t)ceil(rows), .trained = true };

    return limits.rows > 0 ? (double)sea_lm_desc_work_bytes(&p->lm, &limits) : 0;
}

/* ---- stages ---- */

static struct sea_plan_stage *
add_stage(struct planning *p, const char *name, const char *unit)
{
    struct sea_plan_stage *stage = &p->report->stages[p->report->count++];

    stage->name = name;
    stage->unit = unit;
    return stage;
}

static void
plan_foundation(struct planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "foundation", "pictures and texts");
    double clip_rows = (double)(whole(p, "stages.foundation.clip.steps") *
                                whole(p, "stages.foundation.clip.batch"));
    double text_rows = (double)(whole(p, "stages.foundation.language.steps") *
                                whole(p, "stages.foundation.language.batch"));
    double ids = p->caption_ids + TEMPLATE_IDS + 60, rows, vision, language;

    stage->items = (int64_t)(clip_rows + text_rows);
    stage->steps = whole(p, "stages.foundation.clip.steps") +
                   whole(p, "stages.foundation.language.steps");
    stage->flops = 3 * clip_rows * (vision_flops(p) + clip_text_flops(p, p->caption_ids)) +
                   3 * text_rows * lm_flops(p, ids, ids);
    rows = (double)whole(p, "stages.foundation.clip.batch") *
           ((double)(sea_clip_patch_count(&p->clip) + sea_clip_class_rows(&p->clip)));
    vision = 16 * clip_floats(p) +
             rows * kept_bytes((double)p->clip.vision.layers, (double)p->clip.vision.D,
                               (double)p->clip.vision.D, (double)p->clip.vision.D,
                               (double)p->clip.vision.F, false);
    language = 16.0 * (double)sea_lm_desc_floats(&p->lm) +
               lm_work_bytes(p, ids * (double)whole(p, "stages.foundation.language.batch"));
    stage->device_bytes = vision > language ? vision : language;
}

static void
plan_label(struct planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "label", "pictures");
    double m = (double)sea_clip_patch_count(&p->clip), words = 1000, sample;
    double scoring = 2 * m * (double)p->clip.joint * words;

    sample = (double)whole(p, "stages.label.sample");
    if (sample > (double)p->pretrain_images)
        sample = (double)p->pretrain_images;
    if (strcmp(text(p, "stages.label.variant"), "auto") == 0)
        sample *= 4;
    stage->items = p->pretrain_images;
    stage->flops = ((double)p->pretrain_images + sample) * (1.5 * vision_flops(p) + scoring);
    stage->device_bytes = 4 * clip_floats(p) +
                          (double)whole(p, "stages.label.batch") * (m + 1) *
                              (double)p->clip.vision.D * 4 * 12;
}

/* Steps of align or tune, and the rows that pass through. */
static double
run_rows(const struct planning *p, const char *name, int64_t count, int64_t *steps)
{
    char key[64];
    double batch, given, epochs, rows;

    snprintf(key, sizeof(key), "stages.%s.batch", name);
    batch = (double)whole(p, key);
    snprintf(key, sizeof(key), "stages.%s.steps", name);
    given = (double)whole(p, key);
    snprintf(key, sizeof(key), "stages.%s.epochs", name);
    epochs = real(p, key);
    rows = given > 0 ? given * batch : epochs * (double)count;
    *steps = (int64_t)ceil(rows / batch);
    return rows;
}

static void
plan_align(struct planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "align", "rows");
    double m = (double)sea_clip_patch_count(&p->clip), group, seen;
    double rows = run_rows(p, "align", p->pretrain.count, &stage->steps);

    group = (double)whole(p, "stages.align.group_images");
    if (group > (double)whole(p, "stages.align.batch"))
        group = (double)whole(p, "stages.align.batch");
    seen = rows < (double)p->pretrain_images ? rows : (double)p->pretrain_images;
    stage->items = (int64_t)rows;
    /* frozen language model: no products for weight gradients */
    stage->flops = seen * vision_flops(p) +
                   rows * (2 * lm_flops(p, m + p->caption_ids, p->caption_ids) +
                           6 * m * adapter_floats(p));
    stage->device_bytes = frozen_bytes(p) * ((double)sea_lm_desc_floats(&p->lm) +
                                             clip_floats(p)) +
                          trained_bytes(p) * adapter_floats(p) +
                          lm_work_bytes(p, group * (m + p->caption_ids)) +
                          group * m * 4 * (2 * (double)p->clip.vision.D + 5 * (double)p->lm.D);
}

static void
plan_tune(struct planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "tune", "rows");
    const char *mode = text(p, "stages.tune.mode");
    bool full = strcmp(mode, "full") == 0, lora = strcmp(mode, "lora") == 0;
    bool tower = real(p, "stages.tune.tower_lr") > 0;
    bool redo = sea_node_bool(sea_node_path(p->config, "stages.tune.recompute"), false);
    double m = (double)sea_clip_patch_count(&p->clip), seen, language;
    double rows = run_rows(p, "tune", p->instruct.count, &stage->steps);
    struct sea_lm_limits limits = { .rows = whole(p, "stages.tune.micro_rows"),
                                    .trained = true, .recompute = redo };

    seen = rows < (double)p->instruct_images ? rows : (double)p->instruct_images;
    if (tower)                  /* in every step again, and backward */
        seen = 3 * rows;
    stage->items = (int64_t)rows;
    language = lm_flops(p, m + p->dialogue_ids, p->dialogue_ids / 4);
    stage->flops = seen * vision_flops(p) + 6 * rows * m * adapter_floats(p) +
                   rows * language * (full ? 3 : 2) + (redo ? rows * language : 0);
    if (lora)
        stage->flops += 6 * rows * (m + p->dialogue_ids) * lora_floats(p);
    stage->device_bytes =
        (full ? trained_bytes(p) : frozen_bytes(p)) * (double)sea_lm_desc_floats(&p->lm) +
        trained_bytes(p) * adapter_floats(p) +
        (tower ? trained_bytes(p) : frozen_bytes(p)) * clip_floats(p) +
        (lora ? 16 * lora_floats(p) : 0) +
        (double)sea_lm_desc_work_bytes(&p->lm, &limits);
}

static enum sea_status
plan_eval(struct planning *p, double *decode, struct sea_err *err)
{
    struct sea_plan_stage *stage = add_stage(p, "eval", "questions");
    const struct sea_node *controls = sea_node_path(p->config, "stages.eval.controls");
    double m = (double)sea_clip_patch_count(&p->clip), asked = 0;
    struct sea_suite suite;
    enum sea_status status = sea_suite_load(&suite, p->config, p->arena, err);
    size_t i;

    for (i = 0; i < suite.count && !status; i++) {
        struct sea_bench_questions questions;

        status = sea_bench_questions_load(suite.items[i].bench, suite.items[i].questions,
                                          whole(p, "stages.eval.limit"), p->arena, &questions,
                                          err);
        asked += status ? 0 : (double)questions.count;
    }
    if (controls)
        asked *= 1 + (double)controls->count;
    stage->items = (int64_t)asked;
    stage->flops = asked * (vision_flops(p) / 4 + lm_flops(p, m + TEMPLATE_IDS + 20, 1));
    *decode = asked * ANSWER_IDS * lm_flops(p, 1, 1);
    stage->device_bytes = frozen_bytes(p) * ((double)sea_lm_desc_floats(&p->lm) +
                                             clip_floats(p) + adapter_floats(p)) +
                          (double)whole(p, "stages.eval.batch") * (m + 300) *
                              (double)(p->lm.layers * p->lm.K * p->lm.E) * 8;
    return status;
}

/* ---- the device's rate ---- */

static enum sea_status
measure(const struct planning *p, const char *name, double *rate, const char **about,
        struct sea_err *err)
{
    struct sea_device device;
    int64_t D = p->lm.D ? p->lm.D : p->clip.vision.D, F = p->lm.F ? p->lm.F : 4 * D;
    size_t bytes = (size_t)(PRODUCT_ROWS * D + D * F + PRODUCT_ROWS * F) * sizeof(float);
    double start, took = 0, times = 0;
    void *mem = NULL;
    enum sea_status status = sea_device_open(&device, name, err);

    if (status)
        return status;
    *about = sea_arena_strdup(p->arena, sea_device_text(&device));
    status = sea_device_alloc(&device, bytes, &mem, err);
    start = sea_clock_seconds();
    while (!status && (took < MEASURE_S || times < 2)) {
        float *a = mem, *b = a + PRODUCT_ROWS * D, *c = b + D * F;
        struct sea_op_gemm gemm = { .a = a, .b = b, .c = c, .M = PRODUCT_ROWS, .N = F, .K = D,
                                    .lda = D, .ldb = F, .ldc = F, .alpha = 1 };

        status = sea_run(&device, err, gemm, &gemm);
        if (!status)
            status = sea_device_status(&device, device.ops->wait(device.dev), "wait", err);
        times++;
        took = sea_clock_seconds() - start;
        if (times == 1) {       /* the first one warms up */
            start = sea_clock_seconds();
            took = 0;
        }
    }
    if (!status)
        *rate = (times - 1) * 2.0 * PRODUCT_ROWS * (double)D * (double)F / took;
    sea_device_free(&device, mem);
    sea_device_close(&device);
    return status;
}

enum sea_status
sea_plan_report_make(const struct sea_node *config, const char *device, struct sea_arena *arena,
                     struct sea_plan_report *out, struct sea_err *err)
{
    struct planning p = { .config = config, .arena = arena, .report = out };
    unsigned stages = sea_experiment_stages(config);
    double decode = 0;
    enum sea_status status;
    size_t i;

    memset(out, 0, sizeof(*out));
    out->name = sea_node_text(sea_node_get(config, "name"), "");
    out->device = "";
    status = load_models(&p, err);
    if (!status)
        status = load_data(&p, stages, err);
    if (status)
        return status;
    out->pictures = p.pretrain_images ? p.pretrain_images : p.instruct_images;
    out->patches = p.clip.vision.D ? sea_clip_patch_count(&p.clip) : 0;
    if (stages & SEA_BIT_FOUNDATION)
        plan_foundation(&p);
    if (stages & SEA_BIT_LABEL)
        plan_label(&p);
    if (stages & SEA_BIT_ALIGN)
        plan_align(&p);
    if (stages & SEA_BIT_TUNE)
        plan_tune(&p);
    if (stages & SEA_BIT_EVAL)
        status = plan_eval(&p, &decode, err);
    if (!status && device)
        status = measure(&p, device, &out->rate, &out->device, err);
    for (i = 0; i < out->count && !status; i++) {
        struct sea_plan_stage *stage = &out->stages[i];

        if (out->rate > 0)
            stage->seconds = stage->flops / (STEP_SHARE * out->rate);
        if (out->rate > 0 && strcmp(stage->name, "eval") == 0)
            stage->seconds += decode / (DECODE_SHARE * out->rate);
        if (strcmp(stage->name, "eval") == 0)
            stage->flops += decode;
        out->flops += stage->flops;
        out->seconds += stage->seconds;
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
    }
    sea_node_put_real(arena, root, "flops", report->flops);
    sea_node_put_real(arena, root, "seconds", report->seconds);
    return root;
}
