/* SPDX-License-Identifier: Apache-2.0 */
/* The block stack: values and gradients against a plain double twin; packing, live rows and
 * the key/value cache change no bit of a row. */
#include "engine/sea_transformer.h"
#include "tests/engine/model_twin.h"

#define ROWS 41
#define SEGMENTS 4

static const int32_t starts[SEGMENTS + 1] = { 0, 7, 8, 27, ROWS };
static struct sea_device device;

struct rig {
    struct sea_arena *arena;
    struct sea_params params;
    struct sea_stack stack;
    struct sea_stack_work *work;
    struct sea_segments segments;
    int32_t pos[ROWS], live[ROWS], live_of[ROWS];
    float *x, *dx;              // (ROWS, D)
};

static struct sea_block_desc
llama_like(void)
{
    const struct sea_block_desc desc = {
        .layers = 3, .D = 16, .H = 4, .K = 2, .E = 8, .F = 24, .norm = SEA_NORM_RMS,
        .eps = 1e-5f, .act = SEA_ACT_SILU, .gated = true, .causal = true,
        .rope_theta = 100.0, .rope_dims = 8, .max_positions = 64, .init_scale = 0.3f,
    };

    return desc;
}

static struct sea_block_desc
clip_like(void)
{
    const struct sea_block_desc desc = {
        .layers = 2, .D = 16, .H = 4, .K = 4, .E = 4, .F = 40, .norm = SEA_NORM_LAYER,
        .eps = 1e-5f, .act = SEA_ACT_QUICK_GELU, .qkv_bias = true, .out_bias = true,
        .ffn_bias = true, .init_scale = 0.3f,
    };

    return desc;
}

/* What language models and towers have beyond these two. */
static const struct sea_block_names names_all = {
    .norm1 = "%d.norm1", .norm2 = "%d.norm2", .post1 = "%d.post1", .post2 = "%d.post2",
    .gain1 = "%d.gain1", .gain2 = "%d.gain2", .q_norm = "%d.q_norm", .k_norm = "%d.k_norm",
    .qkv = "%d.qkv", .o = "%d.o", .gate_up = "%d.gate_up", .up = "%d.up", .down = "%d.down",
};

struct variant {
    const char *name;
    struct sea_block_desc desc;
};
#define VARIANTS 7

static void
list_variants(struct variant *list)
{
    list[0] = (struct variant){ "llama", llama_like() };
    list[1] = (struct variant){ "windows", llama_like() };
    list[1].desc.windows.size = 6;
    sea_windows_set(&list[1].desc.windows, 0);
    sea_windows_set(&list[1].desc.windows, 2);
    list[2] = (struct variant){ "head norms", llama_like() };
    list[2].desc.head_norms = true;
    list[3] = (struct variant){ "post norms and caps", llama_like() };
    list[3].desc.post_norms = true;
    list[3].desc.norm_add = 1.0f;
    list[3].desc.score_cap = 1.2f;
    list[3].desc.score_scale = 0.7f;
    list[4] = (struct variant){ "parallel", llama_like() };
    list[4].desc.norm = SEA_NORM_LAYER;
    list[4].desc.parallel = list[4].desc.qkv_bias = list[4].desc.ffn_bias = true;
    list[4].desc.out_bias = true;
    list[4].desc.rope_dims = 6;
    list[5] = (struct variant){ "gains", clip_like() };
    list[5].desc.gains = list[5].desc.causal = true;
    list[6] = (struct variant){ "all windows, parallel, head norms", llama_like() };
    list[6].desc.parallel = list[6].desc.head_norms = true;
    list[6].desc.windows.size = 3;
    for (int l = 0; l < 3; l++)
        sea_windows_set(&list[6].desc.windows, l);
}

static const struct sea_block_names *
names_of(const struct sea_block_desc *desc)
{
    static struct sea_block_names ungated;

    if (!desc->parallel && !desc->head_norms && !desc->post_norms && !desc->gains)
        return desc->gated ? &sea_names_llama : &sea_names_clip;
    ungated = names_all;
    ungated.gate_up = NULL;
    return desc->gated ? &names_all : &ungated;
}

static void
rig_open(struct rig *rig, struct sea_block_desc desc, bool trained)
{
    struct sea_err err = { 0 };
    int64_t n = ROWS * desc.D;

    memset(rig, 0, sizeof(*rig));
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    rig->arena = sea_arena_create(NULL, "test");
    sea_params_init(&rig->params, rig->arena);
    CHECK_OK(sea_stack_init(&rig->stack, &desc, names_of(&desc), "", &rig->params, &err), err);
    CHECK_OK(sea_params_reserve(&rig->params, &device, trained, &err), err);
    CHECK_OK(sea_params_fill(&rig->params, 3, "test", &err), err);
    for (int64_t i = 0; i < rig->params.floats; i++)    /* norms and biases, too */
        if (!rig->params.list[0].decay)
            rig->params.data[i] += 0.1f * (float)sea_rng_normal_at(5, 5, (uint64_t)i);
    CHECK_OK(sea_stack_reserve(&rig->stack, &err), err);
    CHECK_OK(sea_stack_work_create(&rig->work, &rig->stack, ROWS, trained, &err), err);
    rig->x = calloc((size_t)n, sizeof(float));
    rig->dx = calloc((size_t)n, sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        rig->x[i] = (float)sea_rng_normal_at(1, 1, (uint64_t)i);
        rig->dx[i] = (float)sea_rng_normal_at(1, 2, (uint64_t)i);
    }
    for (int s = 0; s < SEGMENTS; s++)
        for (int32_t t = starts[s]; t < starts[s + 1]; t++)
            rig->pos[t] = t - starts[s];
    rig->segments = (struct sea_segments){
        .count = SEGMENTS, .rows = ROWS, .start = starts, .pos = rig->pos,
    };
}

static void
rig_close(struct rig *rig)
{
    sea_stack_work_destroy(rig->work);
    sea_stack_release(&rig->stack);
    sea_params_release(&rig->params);
    sea_arena_destroy(rig->arena);
    free(rig->x);
    free(rig->dx);
}

/* What a loss <dx, result> needs in double. */
struct twin_case {
    const struct rig *rig;
    const float *x, *dx;
};

static double
stack_loss(const void *arg, const double *w)
{
    const struct twin_case *c = arg;
    int64_t D = c->rig->stack.desc.D;
    double x[ROWS * 16], loss = 0.0;

    for (int64_t i = 0; i < ROWS * D; i++)
        x[i] = (double)c->x[i];
    for (int s = 0; s < SEGMENTS; s++)
        twin_segment(&c->rig->stack, w, 0, x + starts[s] * D, starts[s + 1] - starts[s]);
    for (int64_t i = 0; i < ROWS * D; i++)
        loss += x[i] * (double)c->dx[i];
    return loss;
}

static void
check_against_twin(struct sea_block_desc desc, const char *what)
{
    struct rig rig;
    struct sea_err err = { 0 };
    int64_t n = ROWS * desc.D;
    float *x0, *dy;
    double *w, *x, worst = 0.0, most = 0.0;
    struct twin_case twin;

    rig_open(&rig, desc, true);
    x0 = twin_host(&device, rig.x, n);
    dy = twin_host(&device, rig.dx, n);
    x = calloc((size_t)n, sizeof(*x));
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)x0[i];
    w = twin_weights(&rig.params);
    for (int s = 0; s < SEGMENTS; s++)
        twin_segment(&rig.stack, w, 0, x + starts[s] * desc.D, starts[s + 1] - starts[s]);
    CHECK_OK(sea_stack_forward(&rig.stack, rig.work, &rig.segments, 0, rig.x, &err), err);
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(x[i] - (double)rig.x[i]));
        most = fmax(most, fabs(x[i]));
    }
    printf("%s: forward off by %.2g of %.3g (bound 1e-5 of it)\n", what, worst, most);
    CHECK(worst <= 1e-5 * most);
    CHECK_OK(sea_stack_backward(&rig.stack, rig.work, &rig.segments, 0, rig.dx, &err), err);
    twin = (struct twin_case){ &rig, x0, dy };
    twin_check_gradients(what, &rig.params, rig.params.grad, 3, 2e-5, stack_loss, &twin);
    most = 0.0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)rig.dx[i]));
    worst = 0.0;
    for (int k = 0; k < 12; k++) {
        int64_t i = (int64_t)(sea_rng_uniform_at(9, 9, (uint64_t)k) * (double)n);
        float old = x0[i];
        double up, down;

        x0[i] = old + 0.0009765625f;
        up = stack_loss(&twin, w);
        x0[i] = old - 0.0009765625f;
        down = stack_loss(&twin, w);
        x0[i] = old;
        worst = fmax(worst, fabs((up - down) / 0.001953125 - (double)rig.dx[i]));
    }
    printf("%s: dx off by %.2g of %.3g\n", what, worst, most);
    CHECK(worst <= 1e-4 * most);
    free(w);
    free(x);
    free(x0);
    free(dy);
    rig_close(&rig);
}

static void
llama_blocks_follow_the_twin(void)
{
    struct sea_block_desc desc = llama_like();

    check_against_twin(desc, "llama blocks");
    desc.qkv_bias = true;
    desc.norm_add = 1.0f;
    desc.act = SEA_ACT_GELU_TANH;
    desc.K = 4;
    check_against_twin(desc, "gemma blocks with biases");
}

static void
clip_blocks_follow_the_twin(void)
{
    struct sea_block_desc desc = clip_like();

    check_against_twin(desc, "clip vision blocks");
    desc.causal = true;
    desc.act = SEA_ACT_GELU;
    desc.H = desc.K = 1;
    desc.E = 5;                                 /* sizes that fit no vector */
    desc.F = 13;
    check_against_twin(desc, "clip text blocks");
}

static void
all_blocks_follow_the_twin(void)
{
    struct variant list[VARIANTS];

    list_variants(list);
    for (int i = 1; i < VARIANTS; i++)
        check_against_twin(list[i].desc, list[i].name);
}

static void
packing_changes_no_bit(void)
{
    struct sea_block_desc descs[2] = { llama_like(), clip_like() };

    for (int d = 0; d < 2; d++) {
        struct rig packed, alone;
        struct sea_err err = { 0 };
        int64_t D = descs[d].D;

        rig_open(&packed, descs[d], true);
        rig_open(&alone, descs[d], false);
        CHECK_OK(sea_stack_forward(&packed.stack, packed.work, &packed.segments, 0, packed.x,
                                   &err), err);
        for (int s = 0; s < SEGMENTS; s++) {
            const int32_t one[2] = { 0, starts[s + 1] - starts[s] };
            const struct sea_segments segment = {
                .count = 1, .rows = one[1], .start = one, .pos = alone.pos + starts[s],
            };

            CHECK_OK(sea_stack_forward(&alone.stack, alone.work, &segment, 0,
                                       alone.x + starts[s] * D, &err), err);
        }
        CHECK(!memcmp(packed.x, alone.x, ROWS * (size_t)D * sizeof(float)));
        rig_close(&packed);
        rig_close(&alone);
    }
}

static void
check_live_rows(const char *name, const struct sea_block_desc *desc)
{
    struct rig full, live;
    struct sea_err err = { 0 };
    int64_t D = desc->D;
    double worst = 0.0, most = 0.0;
    int64_t n = 0;

    rig_open(&full, *desc, true);
    rig_open(&live, *desc, true);
    for (int32_t t = 0; t < ROWS; t++) {
        live.live_of[t] = t % 3 ? -1 : (int32_t)n;
        if (t % 3 == 0)
            live.live[n++] = t;
        else
            memset(full.dx + t * D, 0, (size_t)D * sizeof(float));
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(live.dx + i * D, full.dx + live.live[i] * D, (size_t)D * sizeof(float));
    live.segments.live = live.live;
    live.segments.live_of = live.live_of;
    live.segments.live_count = n;
    CHECK_OK(sea_stack_forward(&full.stack, full.work, &full.segments, 0, full.x, &err), err);
    CHECK_OK(sea_stack_forward(&live.stack, live.work, &live.segments, 0, live.x, &err), err);
    for (int64_t i = 0; i < n; i++)
        CHECK(!memcmp(live.x + i * D, full.x + live.live[i] * D, (size_t)D * sizeof(float)));
    CHECK_OK(sea_stack_backward(&full.stack, full.work, &full.segments, 0, full.dx, &err), err);
    CHECK_OK(sea_stack_backward(&live.stack, live.work, &live.segments, 0, live.dx, &err), err);
    CHECK(!memcmp(live.dx, full.dx, ROWS * (size_t)D * sizeof(float)));
    for (int64_t i = 0; i < full.params.floats; i++) {
        worst = fmax(worst, fabs((double)(full.params.grad[i] - live.params.grad[i])));
        most = fmax(most, fabs((double)full.params.grad[i]));
    }
    printf("%s, live rows: weight gradients differ by %.2g of %.3g\n", name, worst, most);
    CHECK(worst <= 1e-6 * most);
    rig_close(&full);
    rig_close(&live);
}

static void
live_rows_are_the_full_rows(void)
{
    struct variant list[VARIANTS];

    list_variants(list);
    for (int i = 0; i < VARIANTS; i++)
        check_live_rows(list[i].name, &list[i].desc);
}

static void
check_cache(const struct sea_block_desc *desc)
{
    struct rig full, part;
    struct sea_err err = { 0 };
    struct sea_cache *cache;
    int64_t D = desc->D;
    const int32_t slots[2] = { 2, 0 };
    const int32_t first[3] = { 0, 5, 15 };
    int32_t at[2] = { 5, 10 };

    rig_open(&full, *desc, false);
    rig_open(&part, *desc, false);
    CHECK_OK(sea_stack_forward(&full.stack, full.work, &full.segments, 0, full.x, &err), err);
    CHECK_OK(sea_cache_create(&cache, &part.stack, 3, 20, &err), err);
    /* segments 0 and 2: their first 5 and 10 rows, then row by row or in pieces */
    float *x = calloc(ROWS * (size_t)D, sizeof(float));
    const int32_t from[2] = { starts[0], starts[2] }, to[2] = { starts[1], starts[3] };
    struct sea_segments segments = { .count = 2, .rows = 15, .start = first };

    memcpy(x, part.x + from[0] * D, 5 * (size_t)D * sizeof(float));
    memcpy(x + 5 * D, part.x + from[1] * D, 10 * (size_t)D * sizeof(float));
    CHECK_OK(sea_stack_extend(&part.stack, part.work, cache, slots, &segments, x, &err), err);
    CHECK(!memcmp(x, full.x + from[0] * D, 5 * (size_t)D * sizeof(float)));
    CHECK(!memcmp(x + 5 * D, full.x + from[1] * D, 10 * (size_t)D * sizeof(float)));
    CHECK_INT(cache->len[2], 5);
    CHECK_OK(sea_cache_copy(cache, 0, 1, 10, &err), err);
    const int32_t copied[2] = { 2, 1 };

    while (from[0] + at[0] < to[0] || from[1] + at[1] < to[1]) {
        int32_t n[2], begin[3] = { 0 };

        n[0] = from[0] + at[0] < to[0] ? 1 : 0;
        n[1] = from[1] + at[1] + 3 <= to[1] ? 3 : to[1] - from[1] - at[1];
        begin[1] = n[0];
        begin[2] = n[0] + n[1];
        segments = (struct sea_segments){ .count = n[0] ? 2 : 1, .rows = begin[2],
                                          .start = n[0] ? begin : begin + 1 };
        begin[n[0] ? 0 : 1] = 0;
        memcpy(x, part.x + (from[0] + at[0]) * D, (size_t)(n[0] * D) * sizeof(float));
        memcpy(x + n[0] * D, part.x + (from[1] + at[1]) * D, (size_t)(n[1] * D) * sizeof(float));
        CHECK_OK(sea_stack_extend(&part.stack, part.work, cache, n[0] ? copied : copied + 1,
                                  &segments, x, &err), err);
        CHECK(!memcmp(x, full.x + (from[0] + at[0]) * D, (size_t)(n[0] * D) * sizeof(float)));
        CHECK(!memcmp(x + n[0] * D, full.x + (from[1] + at[1]) * D,
                      (size_t)(n[1] * D) * sizeof(float)));
        at[0] += n[0];
        at[1] += n[1];
    }
    segments = (struct sea_segments){ .count = 1, .rows = 2, .start = (const int32_t[]){ 0, 2 } };
    CHECK(sea_stack_extend(&part.stack, part.work, cache, copied + 1, &segments, x, &err));
    CHECK_FAILS(err, SEA_E_INTERNAL, "room");
    free(x);
    sea_cache_destroy(cache);
    rig_close(&full);
    rig_close(&part);
}

static void
cache_continues_to_the_bit(void)
{
    struct variant list[VARIANTS];

    list_variants(list);
    for (int i = 0; i < VARIANTS; i++)
        check_cache(&list[i].desc);
}

static void
early_layers_and_frozen_weights(void)
{
    struct rig trained, frozen;
    struct sea_err err = { 0 };
    int64_t n = ROWS * llama_like().D;
    double *w, *x;

    rig_open(&trained, llama_like(), true);
    rig_open(&frozen, llama_like(), true);
    w = twin_weights(&trained.params);
    x = calloc((size_t)n, sizeof(*x));
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)trained.x[i];
    for (int s = 0; s < SEGMENTS; s++)
        twin_segment(&trained.stack, w, 2, x + starts[s] * 16, starts[s + 1] - starts[s]);
    sea_device_free(&device, frozen.params.grad);
    frozen.params.grad = NULL;
    CHECK_OK(sea_stack_forward(&trained.stack, trained.work, &trained.segments, 2, trained.x,
                               &err), err);
    CHECK_OK(sea_stack_forward(&frozen.stack, frozen.work, &frozen.segments, 2, frozen.x,
                               &err), err);
    for (int64_t i = 0; i < n; i++)
        CHECK_NEAR(trained.x[i], x[i], 1e-4);
    CHECK_OK(sea_stack_backward(&trained.stack, trained.work, &trained.segments, 2, trained.dx,
                                &err), err);
    CHECK_OK(sea_stack_backward(&frozen.stack, frozen.work, &frozen.segments, 2, frozen.dx,
                                &err), err);
    CHECK(!memcmp(trained.dx, frozen.dx, (size_t)n * sizeof(float)));
    free(w);
    free(x);
    rig_close(&trained);
    rig_close(&frozen);
}

static void
impossible_shapes_are_refused(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params params;
    struct sea_stack stack;
    struct sea_err err = { 0 };
    struct sea_block_desc desc;

    sea_params_init(&params, arena);
    desc = llama_like();
    desc.K = 3;
    CHECK(sea_stack_init(&stack, &desc, &sea_names_llama, "", &params, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "share");
    sea_err_clear(&err);
    desc = llama_like();
    desc.rope_dims = 7;
    CHECK(sea_stack_init(&stack, &desc, &sea_names_llama, "", &params, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "even");
    sea_err_clear(&err);
    desc = llama_like();
    desc.layers = 0;
    CHECK(sea_stack_init(&stack, &desc, &sea_names_llama, "", &params, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "layers");
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("the transformer stack",
              TEST(llama_blocks_follow_the_twin),
              TEST(clip_blocks_follow_the_twin),
              TEST(all_blocks_follow_the_twin),
              TEST(packing_changes_no_bit),
              TEST(live_rows_are_the_full_rows),
              TEST(cache_continues_to_the_bit),
              TEST(early_layers_and_frozen_weights),
              TEST(impossible_shapes_are_refused))
