/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer_int.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct sea_block_names sea_names_llama = {
    .norm1 = "model.layers.%d.input_layernorm",
    .norm2 = "model.layers.%d.post_attention_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const struct sea_block_names sea_names_clip = {
    .norm1 = "encoder.layers.%d.layer_norm1",
    .norm2 = "encoder.layers.%d.layer_norm2",
    .q = "encoder.layers.%d.self_attn.q_proj",
    .k = "encoder.layers.%d.self_attn.k_proj",
    .v = "encoder.layers.%d.self_attn.v_proj",
    .o = "encoder.layers.%d.self_attn.out_proj",
    .up = "encoder.layers.%d.mlp.fc1",
    .down = "encoder.layers.%d.mlp.fc2",
};

/* Adding the tensors of a block. */
struct adder {
    struct sea_stack *stack;
    const char *prefix;
    int64_t layer;
};

/* join: right behind the tensor before, so that one GEMM reads both. */
static int64_t
add_tensor(const struct adder *to, const char *pattern, const char *ending, int64_t rows,
           int64_t cols, enum sea_init init, bool join)
{
    struct sea_params *params = to->stack->params;
    const char *hole = strstr(pattern, "%d");
    const char *name;
    int64_t shape[2] = { rows, cols };

    assert(hole);
    name = sea_arena_printf(params->arena, "%s%.*s%lld%s%s", to->prefix,
                            (int)(hole - pattern), pattern, (long long)to->layer, hole + 2,
                            ending);
    return (join ? sea_params_join : sea_params_add)(params, name, cols ? 2 : 1, shape, init,
                                                     to->stack->desc.init_scale);
}

static int64_t
add_gamma(const struct adder *to, const char *pattern, int64_t width)
{
    return add_tensor(to, pattern, ".weight", width, 0,
                      to->stack->desc.norm_add == 0.0f ? SEA_INIT_ONE : SEA_INIT_ZERO, false);
}

static void
add_norm(const struct adder *to, const char *pattern, int64_t *weight, int64_t *bias)
{
    const struct sea_block_desc *desc = &to->stack->desc;

    *weight = add_gamma(to, pattern, desc->D);
    if (desc->norm == SEA_NORM_LAYER)
        *bias = add_tensor(to, pattern, ".bias", desc->D, 0, SEA_INIT_ZERO, false);
}

/* Up to three matrices (rows[i], D), one behind the other, and their biases. */
static void
add_rows(const struct adder *to, const char *const *patterns, const int64_t *rows,
         bool has_bias, int64_t *weight, int64_t *bias)
{
    int64_t place;

    for (int i = 0; i < 3 && patterns[i]; i++) {
        place = add_tensor(to, patterns[i], ".weight", rows[i], to->stack->desc.D,
                           SEA_INIT_NORMAL, i > 0);
        *weight = i ? *weight : place;
    }
    for (int i = 0; i < 3 && patterns[i] && has_bias; i++) {
        place = add_tensor(to, patterns[i], ".bias", rows[i], 0, SEA_INIT_ZERO, i > 0);
        *bias = i ? *bias : place;
    }
}

static void
add_attention(const struct adder *to, const struct sea_block_names *names)
{
    const struct sea_block_desc *desc = &to->stack->desc;
    struct sea_block_offsets *at = &to->stack->blocks[to->layer];
    int64_t q = sea_block_heads(desc), kv = sea_block_keys(desc);

    if (names->qkv)
        add_rows(to, (const char *const[3]){ names->qkv }, (const int64_t[1]){ q + 2 * kv },
                 desc->qkv_bias, &at->qkv, &at->qkv_bias);
    else
        add_rows(to, (const char *const[3]){ names->q, names->k, names->v },
                 (const int64_t[3]){ q, kv, kv }, desc->qkv_bias, &at->qkv, &at->qkv_bias);
    if (desc->head_norms) {
        at->q_norm = add_gamma(to, names->q_norm, desc->E);
        at->k_norm = add_gamma(to, names->k_norm, desc->E);
    }
    at->o = add_tensor(to, names->o, ".weight", desc->D, q, SEA_INIT_NORMAL, false);
    if (desc->out_bias)
        at->o_bias = add_tensor(to, names->o, ".bias", desc->D, 0, SEA_INIT_ZERO, false);
    if (desc->post_norms)
        add_norm(to, names->post1, &at->post1, &at->post1_bias);
    if (desc->gains)
        at->gain1 = add_tensor(to, names->gain1, "", desc->D, 0, SEA_INIT_ONE, false);
}

static void
add_block(const struct adder *to, const struct sea_block_names *names)
{
    const struct sea_block_desc *desc = &to->stack->desc;
    struct sea_block_offsets *at = &to->stack->blocks[to->layer];
    int64_t D = desc->D, F = desc->F;

    memset(at, 0xff, sizeof(*at));              /* -1: none */
    add_norm(to, names->norm1, &at->norm1, &at->norm1_bias);
    add_attention(to, names);
    if (!desc->parallel)
        add_norm(to, names->norm2, &at->norm2, &at->norm2_bias);
    if (names->gate_up)
        add_rows(to, (const char *const[3]){ names->gate_up }, (const int64_t[1]){ 2 * F },
                 desc->ffn_bias, &at->up, &at->up_bias);
    else if (desc->gated)
        add_rows(to, (const char *const[3]){ names->gate, names->up },
                 (const int64_t[2]){ F, F }, desc->ffn_bias, &at->up, &at->up_bias);
    else
        add_rows(to, (const char *const[3]){ names->up }, (const int64_t[1]){ F },
                 desc->ffn_bias, &at->up, &at->up_bias);
    at->down = add_tensor(to, names->down, ".weight", D, F, SEA_INIT_NORMAL, false);
    if (desc->ffn_bias)
        at->down_bias = add_tensor(to, names->down, ".bias", D, 0, SEA_INIT_ZERO, false);
    if (desc->post_norms)
        add_norm(to, names->post2, &at->post2, &at->post2_bias);
    if (desc->gains)
        at->gain2 = add_tensor(to, names->gain2, "", D, 0, SEA_INIT_ONE, false);
}

static enum sea_status
check_desc(const struct sea_block_desc *desc, struct sea_err *err)
{
    const int64_t most = 1 << 20;
    const struct {
        const char *name;
        int64_t value, least, most;
    } sizes[] = {
        { "layers", desc->layers, 1, SEA_LAYERS_MAX },
        { "hidden size", desc->D, 1, most },
        { "number of heads", desc->H, 1, 4096 },
        { "number of key heads", desc->K, 1, desc->H },
        { "head size", desc->E, 1, 4096 },
        { "feed-forward size", desc->F, 1, most },
        { "number of positions", desc->rope_theta > 0 ? desc->max_positions : 1, 1, 1 << 24 },
        { "rotated numbers per head", desc->rope_theta > 0 ? desc->rope_dims : 1,
          1, desc->E },
    };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            return sea_fail(err, SEA_E_CONFIG, "the %s is %lld, must be %lld to %lld",
                            sizes[i].name, (long long)sizes[i].value,
                            (long long)sizes[i].least, (long long)sizes[i].most);
    if (desc->H % desc->K)
        return sea_fail(err, SEA_E_CONFIG, "%lld heads cannot share %lld key heads evenly",
                        (long long)desc->H, (long long)desc->K);
    if (desc->rope_theta > 0 && desc->rope_dims % 2)
        return sea_fail(err, SEA_E_CONFIG, "rotated numbers per head are %lld, must be even",
                        (long long)desc->rope_dims);
    if (desc->parallel + desc->post_norms + desc->gains > 1)
        return sea_fail(err, SEA_E_CONFIG, "a block is parallel, has post norms or has gains, "
                        "not two of them");
    if (!(desc->eps > 0.0f) || !isfinite(desc->eps))
        return sea_fail(err, SEA_E_CONFIG, "the norm's epsilon is %g, must be above 0",
                        (double)desc->eps);
    return SEA_OK;
}

enum sea_status
sea_stack_init(struct sea_stack *stack, const struct sea_block_desc *desc,
               const struct sea_block_names *names, const char *prefix,
               struct sea_params *params, struct sea_err *err)
{
    struct adder to = { .stack = stack, .prefix = prefix };
    enum sea_status status;

    memset(stack, 0, sizeof(*stack));
    status = check_desc(desc, err);
    if (status)
        return status;
    stack->desc = *desc;
    stack->params = params;
    stack->blocks = sea_arena_alloc(params->arena, (size_t)desc->layers,
                                    sizeof(*stack->blocks));
    for (to.layer = 0; to.layer < desc->layers; to.layer++)
        add_block(&to, names);
    return SEA_OK;
}

/* How much a position turns pair i of `rot / 2`, in float32 as the published models computed
 * it: rounding of a frequency, times a large position, is an angle that one can see. */
static float
frequency_of(const struct sea_block_desc *desc, int64_t i)
{
    const struct sea_rope_scaling *scaling = &desc->rope_scaling;
    float plain = 1.0f / powf((float)desc->rope_theta, (float)(2 * i) / (float)desc->rope_dims);
    float factor = (float)scaling->factor, wave, blend, divided;

    if (scaling->kind == SEA_ROPE_PLAIN)
        return plain;
    if (scaling->kind == SEA_ROPE_LONG)
        return 1.0f / (scaling->short_factor[i] *
                       powf((float)desc->rope_theta, (float)(2 * i) / (float)desc->rope_dims));
    divided = plain / factor;
    if (scaling->kind == SEA_ROPE_LINEAR)
        return divided;
    wave = (float)(2 * acos(-1.0)) / plain;
    if (wave < (float)((double)scaling->original / scaling->high))
        return plain;
    if (wave > (float)((double)scaling->original / scaling->low))
        return divided;
    blend = ((float)scaling->original / wave - (float)scaling->low) /
            (float)(scaling->high - scaling->low);
    return (1.0f - blend) * plain / factor + blend * plain;
}

enum sea_status
sea_stack_reserve(struct sea_stack *stack, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_device *device = stack->params->device;
    int64_t rot = desc->rope_dims, half = rot / 2;
    enum sea_status status;
    float frequency, angle, grows = 1.0f, *host;
    size_t bytes;
    void *mem;

    if (desc->rope_scaling.kind == SEA_ROPE_LONG)
        grows = (float)desc->rope_scaling.factor;
    if (desc->rope_theta <= 0)
        return SEA_OK;
    bytes = (size_t)(desc->max_positions * rot) * sizeof(float);
    status = sea_device_alloc(device, bytes, &mem, err);
    if (status)
        return status;
    stack->cos_sin = mem;
    host = sea_xcalloc((size_t)(desc->max_positions * rot), sizeof(*host));
    for (int64_t i = 0; i < half; i++) {
        frequency = frequency_of(desc, i);
        for (int64_t p = 0; p < desc->max_positions; p++) {
            angle = (float)p * frequency;
            host[p * rot + i] = (float)cos((double)angle) * grows;
            host[p * rot + half + i] = (float)sin((double)angle) * grows;
        }
    }
    status = sea_device_put(device, stack->cos_sin, host, bytes, err);
    free(host);
    return status;
}

void
sea_stack_release(struct sea_stack *stack)
{
    if (stack->params)
        sea_device_free(stack->params->device, stack->cos_sin);
    memset(stack, 0, sizeof(*stack));
}

/* Memory of a work: laid out twice, first to count, then with a base. */
struct layout {
    struct sea_plan plan;
    char *base;
    int64_t rows;
};

static void *
take(struct layout *layout, int64_t per_row, size_t size)
{
    size_t at = sea_plan_add(&layout->plan, (size_t)(layout->rows * per_row), size);

    return layout->base ? layout->base + at : NULL;
}

static float *
take_floats(struct layout *layout, int64_t per_row)
{
    return take(layout, per_row, sizeof(float));
}

static void
lay_out_kept(struct sea_kept *kept, struct layout *layout, const struct sea_block_desc *desc,
             bool trained)
{
    const bool has[SEA_BLOCK_NORMS] = { true, !desc->parallel, desc->post_norms,
                                        desc->post_norms };
    bool parts = desc->post_norms || desc->gains;

    memset(kept, 0, sizeof(*kept));
    kept->qkv = take_floats(layout, sea_block_qkv(desc));
    kept->att = take_floats(layout, sea_block_heads(desc));
    kept->pre = take_floats(layout, sea_block_up(desc));
    if (parts)
        kept->part1 = kept->part2 = take_floats(layout, desc->D);
    if (!trained)
        return;
    kept->x = take_floats(layout, desc->D);
    if (!desc->parallel)
        kept->h = take_floats(layout, desc->D);
    if (parts)
        kept->part2 = take_floats(layout, desc->D);
    if (desc->head_norms) {
        kept->raw = take_floats(layout, sea_block_qkv(desc));
        kept->q_rstd = take_floats(layout, desc->H);
        kept->k_rstd = take_floats(layout, desc->K);
    }
    kept->lse = take_floats(layout, desc->H);
    for (int i = 0; i < SEA_BLOCK_NORMS; i++) {
        if (has[i])
            kept->rstd[i] = take_floats(layout, 1);
        if (has[i] && desc->norm == SEA_NORM_LAYER)
            kept->mean[i] = take_floats(layout, 1);
    }
}

static void
lay_out(struct sea_stack_work *work, struct layout *layout, enum sea_keep keep)
{
    const struct sea_block_desc *desc = &work->stack->desc;
    int64_t heads = sea_block_heads(desc), qkv = sea_block_qkv(desc), up = sea_block_up(desc);
    int64_t mid = desc->F > heads ? desc->F : heads;
    struct sea_kept ignored, *kept;

    for (int64_t l = 0; l < desc->layers; l++) {
        kept = work->kept ? &work->kept[l] : &ignored;
        if (l && keep != SEA_KEEP_ALL) {
            if (work->kept)
                *kept = work->kept[0];
            if (keep == SEA_KEEP_INPUTS)
                kept->x = take_floats(layout, desc->D);
            continue;
        }
        lay_out_kept(kept, layout, desc, work->trained);
    }
    if (keep == SEA_KEEP_INPUTS)
        work->redo = take_floats(layout, desc->D);
    work->norm = take_floats(layout, desc->D);
    work->act = take_floats(layout, mid);
    work->att_live = take_floats(layout, heads);
    work->index = take(layout, 1, sizeof(int32_t));
    work->pos = take(layout, 1, sizeof(int32_t));
    work->k_device = take(layout, 2, sizeof(int32_t));
    if (work->trained) {
        work->dnorm = take_floats(layout, desc->D);
        if (desc->post_norms || desc->gains)
            work->dpart = take_floats(layout, desc->D);
        if (desc->parallel)
            work->dshared = take_floats(layout, desc->D);
        work->mid = take_floats(layout, mid);
        work->wide = take_floats(layout, up > qkv ? up : qkv);
        work->delta = take_floats(layout, desc->H);
    }
}

size_t
sea_stack_work_bytes(const struct sea_stack *stack, int64_t max_rows, enum sea_keep keep)
{
    struct sea_stack_work work = { .stack = stack, .trained = keep != SEA_KEEP_NONE };
    struct layout layout = { .rows = max_rows };

    lay_out(&work, &layout, keep);
    return layout.plan.bytes;
}

enum sea_status
sea_stack_work_create(struct sea_stack_work **out, const struct sea_stack *stack,
                      int64_t max_rows, enum sea_keep keep, struct sea_err *err)
{
    struct sea_stack_work *work;
    struct layout layout = { .rows = max_rows };
    size_t rows = (size_t)max_rows;

    *out = NULL;
    assert(max_rows > 0 && sea_params_is_reserved(stack->params));
    work = sea_xcalloc(1, sizeof(*work));
    work->stack = stack;
    work->max_rows = max_rows;
    work->trained = keep != SEA_KEEP_NONE;
    work->rounded = work->trained && sea_params_rounds(stack->params);
    work->plan.bytes = sea_stack_work_bytes(stack, max_rows, keep);
    if (sea_plan_reserve(&work->plan, stack->params->device, err)) {
        sea_context(err, "while reserving activations of %lld rows", (long long)max_rows);
        sea_stack_work_destroy(work);
        return err->status;
    }
    layout.base = work->plan.base;
    work->kept = sea_xcalloc((size_t)stack->desc.layers, sizeof(*work->kept));
    lay_out(work, &layout, keep);
    work->k_start = sea_xcalloc(rows, sizeof(int32_t));
    work->k_len = sea_xcalloc(rows, sizeof(int32_t));
    work->k_host = sea_xcalloc(2 * rows, sizeof(int32_t));
    work->index_host = sea_xcalloc(rows, sizeof(int32_t));
    work->pos_host = sea_xcalloc(rows, sizeof(int32_t));
    *out = work;
    return SEA_OK;
}

void
sea_stack_work_destroy(struct sea_stack_work *work)
{
    if (!work)
        return;
    sea_plan_release(&work->plan);
    free(work->kept);
    free(work->k_start);
    free(work->k_len);
    free(work->k_host);
    free(work->index_host);
    free(work->pos_host);
    free(work);
}

enum sea_status
sea_work_check(const struct sea_stack_work *work, const struct sea_segments *segments,
               struct sea_err *err)
{
    if (segments->rows > work->max_rows || segments->count > work->max_rows ||
        segments->live_count > segments->rows)
        return sea_fail(err, SEA_E_INTERNAL, "a batch of %lld rows in %lld segments does not "
                        "fit the activations of %lld rows", (long long)segments->rows,
                        (long long)segments->count, (long long)work->max_rows);
    return SEA_OK;
}
