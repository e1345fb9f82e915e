/* SPDX-License-Identifier: Apache-2.0 */
/* plan_sizes.c - how large an experiment's models and data are */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/sea_mllm.h"
#include "pipeline/plan_report_int.h"
#include "pipeline/sea_experiment.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define IDS_PER_WORD 1.4        /* words of a tokenizer per word of text */

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
foundation_clip(struct sea_planning *p)
{
    int64_t D = sea_planning_int(p, "stages.foundation.clip.width");
    int64_t Dt = sea_planning_int(p, "stages.foundation.clip.text_width");

    p->clip = (struct sea_clip_desc){
        .vision = { .D = D, .layers = sea_planning_int(p, "stages.foundation.clip.layers"),
                    .heads = sea_planning_int(p, "stages.foundation.clip.heads"), .F = 4 * D,
                    .image = sea_planning_int(p, "stages.foundation.clip.image"),
                    .patch = sea_planning_int(p, "stages.foundation.clip.patch"), .channels = 3 },
        .text = { .D = Dt, .layers = sea_planning_int(p, "stages.foundation.clip.text_layers"),
                  .F = 4 * Dt, .vocab = sea_planning_int(p, "stages.foundation.clip.vocab"),
                  .positions = sea_planning_int(p, "stages.foundation.clip.positions") },
        .joint = sea_planning_int(p, "stages.foundation.clip.joint") };
}

static void
foundation_lm(struct sea_planning *p)
{
    p->lm = sea_lm_defaults();
    p->lm.vocab = sea_planning_int(p, "stages.foundation.language.vocab");
    p->lm.D = sea_planning_int(p, "stages.foundation.language.width");
    p->lm.F = sea_planning_int(p, "stages.foundation.language.ffn");
    p->lm.layers = sea_planning_int(p, "stages.foundation.language.layers");
    p->lm.H = p->lm.K = sea_planning_int(p, "stages.foundation.language.heads");
    p->lm.E = p->lm.D / p->lm.H;
    p->lm.max_positions = sea_planning_int(p, "stages.foundation.language.positions");
}

/* The stage would tell it behind the labels. */
static enum sea_status
check_layer(const struct sea_planning *p, struct sea_err *err)
{
    int64_t layer = sea_planning_int(p, "model.vision.layer"), layers = p->clip.vision.layers;

    if (layer >= -layers - 1 && layer <= layers)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "model.vision.layer is %lld, this tower has %lld to %lld",
             (long long)layer, (long long)-layers - 1, (long long)layers);
    sea_hint(err, "LLaVA reads layer -2.");
    return SEA_E_CONFIG;
}

enum sea_status
sea_planning_load_models(struct sea_planning *p, struct sea_err *err)
{
    const char *whole_model = sea_planning_text(p, "model.path");
    const char *vision = sea_planning_text(p, "model.vision.path");
    const char *language = sea_planning_text(p, "model.language.path");
    struct sea_node *config;
    enum sea_status status = SEA_OK;

    if (whole_model[0]) {
        struct sea_mllm_about about;

        status = sea_mllm_describe(&about, whole_model, NULL, err);
        if (!status) {
            p->clip = about.clip;
            p->lm = about.lm;
        }
        return status;
    }
    if (vision[0] == '@') {
        foundation_clip(p);
    } else if (vision[0]) {
        status = load_config(vision, p->arena, &config, err);
        if (!status)
            status = sea_clip_desc_parse(&p->clip, config, vision, err);
        if (!status)
            status = sea_clip_desc_size(&p->clip, vision, err);
    }
    if (!status && vision[0])
        status = check_layer(p, err);
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
    double words = 0, more = captions ? 2 : SEA_PLAN_TEMPLATE_IDS;
    int64_t i;
    size_t t;

    for (i = 0; i < data->count; i++)
        for (t = 0; t < data->rows[i].turns_count; t++)
            if (!captions || strcmp(data->rows[i].turns[t].from, "gpt") == 0)
                words += count_words(data->rows[i].turns[t].value);
    return data->count ? words / (double)data->count * IDS_PER_WORD + more : 0;
}

enum sea_status
sea_planning_load_data(struct sea_planning *p, unsigned stages, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (stages & (SEA_BIT_FOUNDATION | SEA_BIT_LABEL | SEA_BIT_ALIGN))
        status = sea_dataset_load(&p->pretrain, SEA_DATASET_PRETRAIN,
                                  sea_planning_text(p, "data.pretrain.json"),
                                  sea_planning_text(p, "data.pretrain.images"),
                                  p->arena, err);
    if (!status && stages & SEA_BIT_TUNE)
        status = sea_dataset_load(&p->instruct, SEA_DATASET_INSTRUCT,
                                  sea_planning_text(p, "data.instruct.json"),
                                  sea_planning_text(p, "data.instruct.images"),
                                  p->arena, err);
    if (status)
        return status;
    p->caption_ids = mean_ids(&p->pretrain, true);
    p->dialogue_ids = mean_ids(&p->instruct, false);
    p->pretrain_images = count_images(&p->pretrain);
    p->instruct_images = count_images(&p->instruct);
    return SEA_OK;
}
