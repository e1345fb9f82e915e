/* SPDX-License-Identifier: Apache-2.0 */
/* plan_costs.c - the multiplications and the memory of every stage */
#include <math.h>
#include <string.h>

#include "engine/sea_labels.h"
#include "pipeline/plan_report_int.h"
#include "pipeline/sea_suite.h"

#define STATE_BYTES 12.0        /* of a trained number in a checkpoint: itself and two moments */
#define LABEL_BYTES 8.0         /* a word and its score */
#define ANSWER_BYTES 1000.0     /* of a question, on average: ids, question, answer, score */
#define ANSWER_IDS 6            /* generated per question, on average of short answers */

/* ---- flops and bytes of parts ---- */

/* One row through one block forward, with keys rows to look at. */
static double
block_flops(double D, double HE, double KE, double F, bool gated, double keys)
{
    return 2 * (D * (HE + 2 * KE) + HE * D + (gated ? 3 : 2) * D * F + 2 * HE * keys);
}

static double
vision_flops(const struct sea_planning *p)  /* a picture forward, patches embedded */
{
    const struct sea_clip_vision_desc *v = &p->clip.vision;
    double rows = (double)(sea_clip_patch_count(&p->clip) + sea_clip_class_rows(&p->clip));

    return rows * ((double)v->layers * block_flops((double)v->D, (double)v->D, (double)v->D,
                                                   (double)v->F, false, rows) +
                   2.0 * 3 * (double)(v->patch * v->patch) * (double)v->D);
}

static double
clip_text_flops(const struct sea_planning *p, double ids)
{
    const struct sea_clip_text_desc *t = &p->clip.text;

    return ids * (double)t->layers * block_flops((double)t->D, (double)t->D, (double)t->D,
                                                 (double)t->F, false, ids / 2);
}

/* A sequence of rows forward, of which some go through the head. */
static double
lm_flops(const struct sea_planning *p, double rows, double supervised)
{
    const struct sea_lm_desc *lm = &p->lm;

    return rows * (double)lm->layers * block_flops((double)lm->D, (double)(lm->H * lm->E),
                                                   (double)(lm->K * lm->E), (double)lm->F, true,
                                                   rows / 2) +
           2 * supervised * (double)lm->D * (double)lm->vocab;
}

static double
adapter_floats(const struct sea_planning *p)
{
    double D = (double)p->lm.D;

    return D * ((double)p->clip.vision.D + D + 2);
}

static double
clip_floats(const struct sea_planning *p)
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
frozen_bytes(const struct sea_planning *p)
{
    return strcmp(sea_planning_text(p, "model.precision"), "bf16") == 0 ? 2 : 4;
}

/* The same of a trained part: master, gradient and two moments, and the copy that runs. */
static double
trained_bytes(const struct sea_planning *p)
{
    return strcmp(sea_planning_text(p, "model.precision"), "bf16") == 0 ? 18 : 16;
}

/* Low-rank adapters on every linear layer of the blocks. */
static double
lora_floats(const struct sea_planning *p)
{
    const struct sea_lm_desc *lm = &p->lm;
    double D = (double)lm->D, HE = (double)(lm->H * lm->E), KE = (double)(lm->K * lm->E);
    double F = (double)lm->F, rank = (double)sea_planning_int(p, "stages.tune.lora.rank");

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
lm_work_bytes(const struct sea_planning *p, double rows)
{
    const struct sea_lm_limits limits = { .rows = (int64_t)ceil(rows), .trained = true };

    return limits.rows > 0 ? (double)sea_lm_desc_work_bytes(&p->lm, &limits) : 0;
}

/* What a card takes beside that for rows of a language model that learns: logits in pieces of up to
 * 1 GiB (engine/head.c), and the copies of its widest activations that products round. */
static double
card_bytes(const struct sea_planning *p, double rows, bool rounded)
{
    double logits = 4.0 * rows * (double)p->lm.vocab, most = (double)((int64_t)1 << 30);

    return fmin(logits, most) + (rounded ? 6.0 * rows * 2.0 * (double)p->lm.F * 2.0 : 0.0);
}

/* ---- stages ---- */

static struct sea_plan_stage *
add_stage(struct sea_planning *p, const char *name, const char *unit)
{
    struct sea_plan_stage *stage = &p->report->stages[p->report->count++];

    stage->name = name;
    stage->unit = unit;
    return stage;
}

void
sea_planning_foundation(struct sea_planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "foundation", "pictures and texts");
    double clip_rows = (double)(sea_planning_int(p, "stages.foundation.clip.steps") *
                                sea_planning_int(p, "stages.foundation.clip.batch"));
    double text_rows = (double)(sea_planning_int(p, "stages.foundation.language.steps") *
                                sea_planning_int(p, "stages.foundation.language.batch"));
    double ids = p->caption_ids + SEA_PLAN_TEMPLATE_IDS + 60, rows, vision, language;

    stage->exact = true;
    stage->items = (int64_t)(clip_rows + text_rows);
    stage->steps = sea_planning_int(p, "stages.foundation.clip.steps") +
                   sea_planning_int(p, "stages.foundation.language.steps");
    stage->flops = 3 * clip_rows * (vision_flops(p) + clip_text_flops(p, p->caption_ids)) +
                   3 * text_rows * lm_flops(p, ids, ids);
    rows = (double)sea_planning_int(p, "stages.foundation.clip.batch") *
           ((double)(sea_clip_patch_count(&p->clip) + sea_clip_class_rows(&p->clip)));
    vision = 16 * clip_floats(p) +
             rows * kept_bytes((double)p->clip.vision.layers, (double)p->clip.vision.D,
                               (double)p->clip.vision.D, (double)p->clip.vision.D,
                               (double)p->clip.vision.F, false);
    language = 16.0 * (double)sea_lm_desc_floats(&p->lm) +
               lm_work_bytes(p, ids * (double)sea_planning_int(
                                          p, "stages.foundation.language.batch"));
    stage->device_bytes = vision > language ? vision : language;
    stage->disk_bytes = 4 * (clip_floats(p) + (double)sea_lm_desc_floats(&p->lm));
    stage->checkpoint_bytes = STATE_BYTES * fmax(clip_floats(p),
                                                 (double)sea_lm_desc_floats(&p->lm));
    stage->card_bytes = card_bytes(p, ids * (double)sea_planning_int(
                                                p, "stages.foundation.language.batch"), false);
}

void
sea_planning_label(struct sea_planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "label", "pictures");
    /* The list is not built yet: LLaVA's 558 thousand captions give about 100 thousand words. */
    double words = fmax(1000, (double)p->pretrain_images / 5), sample;
    double m = (double)sea_clip_patch_count(&p->clip);
    bool rounded = strcmp(sea_planning_text(p, "stages.label.precision"), "bf16") == 0;
    double scoring = 2 * m * (double)p->clip.joint * words;

    sample = (double)sea_planning_int(p, "stages.label.sample");
    if (sample > (double)p->pretrain_images)
        sample = (double)p->pretrain_images;
    if (strcmp(sea_planning_text(p, "stages.label.variant"), "auto") == 0)
        sample *= 4;
    stage->disk_bytes = (double)p->pretrain_images * m * LABEL_BYTES *
                        (double)sea_planning_int(p, "stages.label.top");
    stage->checkpoint_bytes = fmin(stage->disk_bytes, SEA_LABELS_SHARD * m * LABEL_BYTES *
                                   (double)sea_planning_int(p, "stages.label.top"));
    stage->exact = !rounded;
    stage->items = p->pretrain_images;
    stage->flops = ((double)p->pretrain_images + sample) * (1.5 * vision_flops(p) + scoring);
    stage->device_bytes = (rounded ? 2 : 4) * clip_floats(p) +
                          (double)sea_planning_int(p, "stages.label.batch") * (m + 1) *
                              (double)p->clip.vision.D * 4 * 12;
}

/* Steps of align or tune, and the rows that pass through. */
static double
run_rows(const struct sea_planning *p, const char *name, int64_t count, int64_t *steps)
{
    char key[64];
    double batch, given, epochs, rows;

    snprintf(key, sizeof(key), "stages.%s.batch", name);
    batch = (double)sea_planning_int(p, key);
    snprintf(key, sizeof(key), "stages.%s.steps", name);
    given = (double)sea_planning_int(p, key);
    snprintf(key, sizeof(key), "stages.%s.epochs", name);
    epochs = sea_planning_real(p, key);
    rows = given > 0 ? given * batch : epochs * (double)count;
    *steps = (int64_t)ceil(rows / batch);
    return rows;
}

void
sea_planning_align(struct sea_planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "align", "rows");
    double m = (double)sea_clip_patch_count(&p->clip), group, seen;
    double rows = run_rows(p, "align", p->pretrain.count, &stage->steps);

    group = (double)sea_planning_int(p, "stages.align.group_images");
    if (group > (double)sea_planning_int(p, "stages.align.batch"))
        group = (double)sea_planning_int(p, "stages.align.batch");
    seen = rows < (double)p->pretrain_images ? rows : (double)p->pretrain_images;
    stage->items = (int64_t)rows;
    stage->disk_bytes = 4 * adapter_floats(p);
    stage->checkpoint_bytes = STATE_BYTES * adapter_floats(p);
    /* frozen language model: no products for weight gradients */
    stage->flops = seen * vision_flops(p) +
                   rows * (2 * lm_flops(p, m + p->caption_ids, p->caption_ids) +
                           6 * m * adapter_floats(p));
    stage->device_bytes = frozen_bytes(p) * ((double)sea_lm_desc_floats(&p->lm) +
                                             clip_floats(p)) +
                          trained_bytes(p) * adapter_floats(p) +
                          lm_work_bytes(p, group * (m + p->caption_ids)) +
                          group * m * 4 * (2 * (double)p->clip.vision.D + 5 * (double)p->lm.D);
    stage->card_bytes = card_bytes(p, group * (m + p->caption_ids), frozen_bytes(p) < 4);
}

void
sea_planning_tune(struct sea_planning *p)
{
    struct sea_plan_stage *stage = add_stage(p, "tune", "rows");
    const char *mode = sea_planning_text(p, "stages.tune.mode");
    bool full = strcmp(mode, "full") == 0, lora = strcmp(mode, "lora") == 0;
    bool tower = sea_planning_real(p, "stages.tune.tower_lr") > 0;
    bool redo = sea_node_bool(sea_node_path(p->config, "stages.tune.recompute"), false);
    double m = (double)sea_clip_patch_count(&p->clip), seen, language;
    double rows = run_rows(p, "tune", p->instruct.count, &stage->steps);
    struct sea_lm_limits limits = { .rows = sea_planning_int(p, "stages.tune.micro_rows"),
                                    .trained = true, .recompute = redo };

    seen = rows < (double)p->instruct_images ? rows : (double)p->instruct_images;
    if (tower)                  /* in every step again, and backward */
        seen = 3 * rows;
    stage->items = (int64_t)rows;
    /* A whole model, also beside the matrices of LoRA. */
    stage->disk_bytes = frozen_bytes(p) * ((double)sea_lm_desc_floats(&p->lm) + clip_floats(p) +
                                           adapter_floats(p)) + (lora ? 4 * lora_floats(p) : 0);
    stage->checkpoint_bytes = STATE_BYTES * (adapter_floats(p) + (lora ? lora_floats(p) : 0) +
                                             (full ? (double)sea_lm_desc_floats(&p->lm) : 0) +
                                             (tower ? clip_floats(p) : 0));
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
    stage->card_bytes = card_bytes(p, (double)limits.rows, frozen_bytes(p) < 4);
}

enum sea_status
sea_planning_eval(struct sea_planning *p, double *decode, struct sea_err *err)
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
                                          sea_planning_int(p, "stages.eval.limit"), p->arena,
                                          &questions, err);
        if (!status)
            status = sea_bench_images_check(&questions, suite.items[i].images, err);
        asked += status ? 0 : (double)questions.count;
    }
    if (controls)
        asked *= 1 + (double)controls->count;
    stage->items = (int64_t)asked;
    stage->disk_bytes = asked * ANSWER_BYTES;
    stage->flops = asked * (vision_flops(p) / 4 + lm_flops(p, m + SEA_PLAN_TEMPLATE_IDS + 20, 1));
    *decode = asked * ANSWER_IDS * lm_flops(p, 1, 1);
    stage->device_bytes = frozen_bytes(p) * ((double)sea_lm_desc_floats(&p->lm) +
                                             clip_floats(p) + adapter_floats(p)) +
                          (double)sea_planning_int(p, "stages.eval.batch") * (m + 300) *
                              (double)(p->lm.layers * p->lm.K * p->lm.E) * 8;
    return status;
}
