/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lora_uneven.c - PEFT's "rank_pattern", "alpha_pattern" and adapters of some layers only
 *
 * All layers run with one rank here. A smaller one is filled up: A with rows of 0, B with
 * columns of 0, which add nothing. Scales go into B, in double, rounded once.
 */
#include "engine/lora_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sea_pattern.h"
#include "engine/sea_safetensors.h"

#define BEFORE "base_model.model."      /* of a module's own name, in the file */

static bool
has_members(const struct sea_node *node)
{
    return node && (node->kind == SEA_NODE_MAP || node->kind == SEA_NODE_LIST) && node->count;
}

/* Adapters of some layers: told by numbers, by an expression, or by whole names. */
static bool
picks_layers(const struct sea_node *config)
{
    const struct sea_node *targets = sea_node_get(config, "target_modules"), *item;
    const struct sea_node *layers = sea_node_get(config, "layers_to_transform");
    const struct sea_node *left_out = sea_node_get(config, "exclude_modules");

    if ((layers && layers->kind != SEA_NODE_NULL) ||
        (left_out && left_out->kind != SEA_NODE_NULL) || sea_node_text(targets, NULL))
        return true;
    for (item = has_members(targets) ? targets->first : NULL; item; item = item->next)
        if (strchr(sea_node_text(item, ""), '.'))
            return true;
    return false;
}

bool
sea_lora_is_even(const struct sea_node *config, bool misses)
{
    return !has_members(sea_node_get(config, "rank_pattern")) &&
           !has_members(sea_node_get(config, "alpha_pattern")) &&
           !(misses && picks_layers(config));
}

void
sea_lora_widen(struct sea_lora_desc *desc, const struct sea_tensors *tensors)
{
    desc->rank = 1;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sea_tensor *tensor = &tensors->list[i];

        if (strstr(tensor->name, ".lora_A.") && tensor->rank == 2 &&
            tensor->shape[0] > desc->rank)
            desc->rank = tensor->shape[0];
    }
    desc->alpha = (double)desc->rank;
}

/* ---- scales ---- */

/* "q_proj" of a layer of the file: base_model.model.MODULE.lora_A.weight. */
static enum sea_status
find_scale(const struct sea_node *config, const char *name, int64_t rank, double *scale,
           struct sea_err *err)
{
    const struct sea_node *patterns = sea_node_get(config, "alpha_pattern"), *item;
    double alpha = sea_node_real(sea_node_get(config, "lora_alpha"), 0);
    struct sea_arena *arena = sea_arena_create(NULL, "name of a module");
    enum sea_status status = SEA_OK;
    const char *module, *end;
    bool found = false;

    name += strncmp(name, BEFORE, strlen(BEFORE)) ? 0 : strlen(BEFORE);
    end = strstr(name, ".lora_");
    module = sea_arena_printf(arena, "%.*s", (int)(end ? end - name : 0), name);
    for (item = has_members(patterns) ? patterns->first : NULL; item && !found && !status;
         item = item->next) {
        status = sea_pattern_fits_end(item->key, module, &found, err);
        if (found)
            alpha = sea_node_real(item, NAN);
    }
    if (status)
        sea_context(err, "while looking for a layer in \"alpha_pattern\"");
    else if (!isfinite(alpha))
        status = sea_fail(err, SEA_E_FORMAT, "\"alpha_pattern\" of an adapter has a value for "
                          "layer \"%s\" that is no number", module);
    *scale = alpha / (sea_node_bool(sea_node_get(config, "use_rslora"), false)
                      ? sqrt((double)rank) : (double)rank);
    sea_arena_destroy(arena);
    return status;
}

/* ---- matrices ---- */

/* One matrix of the file, times scale, into the upper left corner of a wider one. */
static enum sea_status
put_matrix(struct sea_lora *lora, int64_t offset, const struct sea_tensor *tensor,
           double scale, struct sea_err *err)
{
    const struct sea_param *param = sea_params_at(&lora->params, offset);
    int64_t rows = tensor->shape[0], cols = tensor->shape[1];
    float *host = sea_xcalloc((size_t)param->count, sizeof(*host));
    float *row = sea_xcalloc((size_t)cols + 1, sizeof(*row));
    enum sea_status status = SEA_OK;
    bool finite = true;

    for (int64_t r = 0; r < rows && !status; r++) {
        status = sea_tensor_read_f32(tensor, r * cols, cols, row, err);
        for (int64_t c = 0; c < cols && !status; c++) {
            finite = finite && isfinite(row[c]);
            host[r * param->cols + c] = (float)((double)row[c] * scale);
        }
    }
    if (!status)
        status = sea_params_put(&lora->params, param, 0, param->count, host, err);
    if (!finite && !lora->params.warning)
        lora->params.warning = sea_arena_printf(lora->arena, "%s: tensor \"%s\" is the first that "
                                                "holds numbers which are not finite",
                                                tensor->path, tensor->name);
    free(host);
    free(row);
    return status;
}

static enum sea_status
load_pair(struct sea_lora *lora, const struct sea_lora_pair *pair, const char *name_a,
          const char *name_b, const struct sea_tensors *tensors, const struct sea_node *config,
          struct sea_err *err)
{
    const struct sea_tensor *a = sea_tensors_find(tensors, name_a), *b;
    bool patterns = has_members(sea_node_get(config, "rank_pattern"));
    int64_t rank = patterns && a && a->rank == 2 ? a->shape[0]
                                                 : sea_node_int(sea_node_get(config, "r"), 1);
    const int64_t shape_a[2] = { rank, pair->base->cols }, shape_b[2] = { pair->base->rows, rank };
    double scale = 1;
    enum sea_status status;

    if (!a && !sea_tensors_find(tensors, name_b))
        return SEA_OK;
    status = sea_tensors_need(tensors, name_a, 2, shape_a, &a, err);
    if (!status)
        status = sea_tensors_need(tensors, name_b, 2, shape_b, &b, err);
    if (!status)
        status = find_scale(config, name_a, rank, &scale, err);
    if (!status)
        status = put_matrix(lora, pair->a, a, 1, err);
    return status ? status : put_matrix(lora, pair->b, b, scale, err);
}

enum sea_status
sea_lora_load_uneven(struct sea_lora *lora, struct sea_params *names,
                     const struct sea_tensors *tensors, const struct sea_node *config,
                     struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    for (int64_t i = 0; i < lora->count && !status; i++) {
        const struct sea_lora_pair *pair = &lora->pairs[i];
        int64_t a = sea_params_at(&lora->params, pair->a) - lora->params.list;
        int64_t b = sea_params_at(&lora->params, pair->b) - lora->params.list;

        status = load_pair(lora, pair, names->list[a].name, names->list[b].name, tensors, config,
                           err);
    }
    names->warning = lora->params.warning;
    return status;
}
