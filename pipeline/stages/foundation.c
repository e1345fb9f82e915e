/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foundation.c - a small CLIP and a small language model, so that nothing is downloaded
 *
 * Phases (kept in the folder's marker, so that a killed run knows which training its
 * checkpoints belong to):
 *     0  CLIP trains; checkpoints are CLIP's
 *     1  OUT/vision is complete; checkpoints, if any, are still CLIP's: removed
 *     2  the language model trains; checkpoints are its own
 */
#include <string.h>

#include "engine/sea_checkpoint.h"
#include "pipeline/stages/foundation_int.h"

#define FIGURES_BYTES_MAX ((size_t)1 << 20)

static enum sea_status
load_figures(struct sea_stage *stage, struct sea_node **figures, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(stage, "figures.json", path, err);

    *figures = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    if (!status && stage->phase > 0 && sea_file_exists(path))
        status = sea_json_load(path, FIGURES_BYTES_MAX, stage->arena, figures, err);
    return status;
}

enum sea_status
sea_stage_foundation(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_dataset data, heldout = { 0 };
    struct sea_text_set texts;
    struct sea_node *figures;
    const char *json = sea_stage_text(stage, "data.heldout.json");
    enum sea_status status;

    status = sea_dataset_load(&data, SEA_DATASET_PRETRAIN,
                              sea_stage_text(stage, "data.pretrain.json"),
                              sea_stage_text(stage, "data.pretrain.images"), stage->arena, err);
    if (!status && json[0])
        status = sea_dataset_load(&heldout, SEA_DATASET_PRETRAIN, json,
                                  sea_stage_text(stage, "data.heldout.images"), stage->arena,
                                  err);
    if (!status)
        status = sea_text_load(&texts, sea_stage_text(stage, "data.text.file"), stage->arena,
                               err);
    if (!status)
        status = load_figures(stage, &figures, err);
    if (!status && stage->phase == 0) {
        status = sea_foundation_clip(stage, &data, &heldout, figures, err);
        if (!status)
            status = sea_stage_write_json(stage, "figures.json", figures, err);
        if (!status)
            status = sea_stage_set_phase(stage, 1, err);
    }
    if (!status && stage->phase == 1) {
        status = sea_checkpoint_remove(stage->out, err);
        if (!status)
            status = sea_stage_set_phase(stage, 2, err);
    }
    if (!status)
        status = sea_foundation_text(stage, &texts, &data, figures, err);
    return status ? status : sea_stage_write_json(stage, "figures.json", figures, err);
}
