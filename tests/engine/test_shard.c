/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of several ranks: weights, m, v and norms of 2 to 5 ranks have the bits of one rank
 * for any number of turns, also behind a device whose memory the host cannot see, and with
 * NCCL's calls (played by pipes: the order of calls is proven, not the library); each rank
 * keeps its share of m and v; a checkpoint of any number of ranks is the same file and goes
 * on with any other number.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/nccl_int.h"
#include "engine/sea_checkpoint.h"
#include "engine/sea_shard.h"
#include "tests/engine/ranks.h"

#define PARTS 3
#define STEPS 6
#define FLOATS 8192             /* of all parts, weights and moments together, at most */

struct outcome {                /* shared; of every rank */
    float data[RANKS_MOST][FLOATS];
    double norm[RANKS_MOST][STEPS];
    int64_t floats, kept[RANKS_MOST];
    char digest[SEA_SHA256_TEXT];       /* of the checkpoint */
};

struct plan {                   /* what a run does; set before the fork */
    struct outcome *outcome;
    bool far;                   /* memory goes through the host */
    bool nccl;                  /* through NCCL's calls, played by pipes */
    int turns;                  /* 0: another number in each step */
    int64_t load_at, save_at;   /* steps; -1: none */
    const char *dir;
};

struct model {
    struct sea_device device;
    struct sea_arena *arena;
    struct sea_params part[PARTS];
    struct sea_adamw *adamw;
};

static struct sea_ops far_ops;

/*
 * NCCL's calls over named pipes, one for each pair of ranks of a communicator: what they check
 * is the order of calls on all ranks, which is what hangs, or mixes numbers up, on GPUs. A pipe
 * takes the small messages of this test without a reader.
 */
struct pipes {
    int size, rank;
    int out[RANKS_MOST], in[RANKS_MOST];
};
static char pipes_dir[64];
static int pipes_made;

static int
fake_id(struct sea_nccl_id *id)
{
    snprintf(id->bytes, sizeof(id->bytes), "%s/%d.%d", pipes_dir, (int)getpid(), pipes_made++);
    return 0;
}

static int
fake_open(const struct sea_nccl_id *id, int from, int to)
{
    char path[SEA_NCCL_ID + 32];

    snprintf(path, sizeof(path), "%s.%d.%d", id->bytes, from, to);
    (void)mkfifo(path, 0600);
    return open(path, O_RDWR);
}

static int
fake_init(void **comm, int size, struct sea_nccl_id id, int rank)
{
    struct pipes *pipes = sea_xcalloc(1, sizeof(*pipes));

    pipes->size = size;
    pipes->rank = rank;
    for (int r = 0; r < size; r++) {
        pipes->out[r] = fake_open(&id, rank, r);
        pipes->in[r] = fake_open(&id, r, rank);
    }
    *comm = pipes;
    return 0;
}

static int
fake_abort(void *comm)
{
    struct pipes *pipes = comm;

    for (int r = 0; r < pipes->size; r++) {
        close(pipes->out[r]);
        close(pipes->in[r]);
    }
    free(pipes);
    return 0;
}

static int
fake_error(void *comm, int *error)
{
    (void)comm;
    *error = 0;
    return 0;
}

static const char *
fake_text(int error)
{
    return error ? "a pipe failed" : "no error";
}

static int
fake_nothing(void)
{
    return 0;
}

static int
fake_send(const void *data, size_t count, int type, int peer, void *comm, void *stream)
{
    struct pipes *pipes = comm;
    ssize_t bytes = (ssize_t)(count * sizeof(float));

    (void)stream;
    return type != 7 || write(pipes->out[peer], data, (size_t)bytes) != bytes;
}

static int
fake_recv(void *data, size_t count, int type, int peer, void *comm, void *stream)
{
    struct pipes *pipes = comm;
    size_t bytes = count * sizeof(float);
    char *at = data;

    (void)stream;
    while (bytes) {
        ssize_t n = read(pipes->in[peer], at, bytes);

        if (n <= 0)
            return 1;
        at += n;
        bytes -= (size_t)n;
    }
    return type != 7;
}

static int
fake_broadcast(const void *from, void *to, size_t count, int type, int root, void *comm,
               void *stream)
{
    struct pipes *pipes = comm;
    int rc = 0;

    if (pipes->rank != root)
        return fake_recv(to, count, type, root, comm, stream);
    for (int r = 0; r < pipes->size; r++)
        if (r != root)
            rc |= fake_send(from, count, type, r, comm, stream);
    return rc;
}

static int
fake_stream(void **stream, unsigned flags)
{
    *stream = NULL;
    return flags != 1;
}

static int
fake_done(void *stream)
{
    return stream != NULL;
}

static const struct sea_nccl_calls fake_calls = {
    fake_id, fake_init, fake_abort, fake_error, fake_text, fake_nothing, fake_nothing, fake_send,
    fake_recv, fake_broadcast, fake_stream, fake_done, fake_done,
};

static void
model_open(struct model *model, const struct plan *plan, struct sea_comm *comm,
           struct sea_err *err)
{
    static const char *const names[PARTS] = { "adapter", "language", "theta" };
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_COSINE, STEPS, 0.1));
    struct sea_adamw_part parts[PARTS];
    const int64_t matrix[2] = { 13, 19 }, vector = 21, one = 1, words[2] = { 40, 9 };
    char name[64];

    memset(model, 0, sizeof(*model));
    if (sea_device_open(&model->device, "cpu:1", err))
        return;
    if (plan->far || plan->nccl) {
        far_ops = sea_cpu_ops;
        far_ops.name = plan->nccl ? "cuda" : "far";
        model->device.ops = &far_ops;
    }
    sea_nccl_use(plan->nccl ? &fake_calls : NULL);
    model->arena = sea_arena_create(NULL, "test");
    for (int i = 0; i < PARTS; i++)
        sea_params_init(&model->part[i], model->arena);
    sea_params_add(&model->part[0], "linear_1.weight", 2, matrix, SEA_INIT_NORMAL, 1);
    sea_params_add(&model->part[0], "linear_1.bias", 1, &vector, SEA_INIT_ZERO, 0);
    sea_params_add(&model->part[1], "model.embed.weight", 2, words, SEA_INIT_NORMAL, 1);
    for (int l = 0; l < 5; l++) {
        snprintf(name, sizeof(name), "model.layers.%d.up.weight", l);
        sea_params_add(&model->part[1], name, 2, matrix, SEA_INIT_NORMAL, 1);
        snprintf(name, sizeof(name), "model.layers.%d.norm.weight", l);
        sea_params_add(&model->part[1], name, 1, &vector, SEA_INIT_ONE, 0);
    }
    sea_params_add(&model->part[1], "model.norm.weight", 1, &vector, SEA_INIT_ONE, 0);
    sea_params_add(&model->part[2], "theta", 1, &one, SEA_INIT_ZERO, 0);
    for (int i = 0; i < PARTS; i++) {
        if (sea_params_reserve(&model->part[i], &model->device, true, err) ||
            sea_params_fill(&model->part[i], 5, names[i], err))
            return;
        parts[i] = (struct sea_adamw_part){ names[i], &model->part[i], 1e-2 * (i + 1), 0.1 };
    }
    desc.clip_norm = 0.5;
    desc.comm = comm;
    if (sea_adamw_create(&model->adamw, &model->device, &desc, parts, PARTS, err))
        return;
    sea_shard_defer(model->adamw, &model->part[0]);
    sea_shard_defer(model->adamw, &model->part[1]);
}

static void
model_close(struct model *model)
{
    sea_adamw_destroy(model->adamw);
    for (int i = 0; i < PARTS; i++)
        sea_params_release(&model->part[i]);
    sea_arena_destroy(model->arena);
    sea_device_close(&model->device);
}

static float
drawn(int64_t step, int64_t turn, int64_t i)
{
    uint64_t x = (uint64_t)(step * 1000003 + turn * 7919 + i * 2654435761 + 17);

    x ^= x >> 13;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return (float)(int64_t)(x % 2001 - 1000) * 0.37e-3f;
}

/* Adds a turn's gradient the way that a product over many rows does: in two roundings, so
 * that adding the turn's sum instead would give other bits. */
static void
add_range(struct sea_params *params, int64_t step, int64_t turn, int64_t from, int64_t end)
{
    for (int64_t i = from; i < end; i++) {
        params->grad[i] += drawn(step, turn, i);
        params->grad[i] += drawn(step + 100, turn, i) * 1.3f;
    }
}

static enum sea_status
add_turn(struct model *model, int64_t step, int64_t turn, struct sea_err *err)
{
    struct sea_params *language = &model->part[1];
    enum sea_status status = SEA_OK;

    add_range(&model->part[2], step, turn, 0, 1);       /* not deferred */
    /* Layers from the last one on, as a backward pass has them; the rest at the end. Padding
     * between tensors stays as it is. */
    for (int64_t t = language->count - 1; t >= 0 && !status; t--) {
        const struct sea_param *param = &language->list[t];

        status = sea_shard_open_at(language, param->offset, err);
        if (!status)
            add_range(language, step, turn, param->offset, param->offset + param->count);
        if (!status && t % 2 && t < language->count - 1)        /* the layer's first tensor */
            status = sea_shard_close_at(language, param->offset, err);
    }
    if (!status)
        status = sea_shard_open(&model->part[0], err);
    if (!status)
        add_range(&model->part[0], step, turn, 0, 13 * 19);
    return status;
}

static enum sea_status
run_step(struct model *model, const struct plan *plan, int64_t t, double *norm,
         struct sea_err *err)
{
    int64_t turns = plan->turns ? plan->turns : 1 + (t * 3) % 7;
    enum sea_status status = sea_shard_start(model->adamw, turns, err);

    for (int64_t p = 0; p < turns && !status; p++) {
        if (!sea_shard_has(model->adamw, p))
            continue;
        status = sea_shard_begin(model->adamw, p, err);
        if (!status)
            status = add_turn(model, t, p, err);
        if (!status)
            status = sea_shard_end(model->adamw, err);
    }
    return status ? status : sea_adamw_step(model->adamw, norm, err);
}

static void
copy_out(struct model *model, int rank, struct outcome *outcome)
{
    int64_t at = 0;

    for (int64_t i = 0; i < PARTS; i++) {
        int64_t from, n, floats = model->part[i].floats;
        float *pieces[3] = { model->part[i].data, sea_adamw_m(model->adamw, i),
                             sea_adamw_v(model->adamw, i) };

        sea_adamw_range(model->adamw, i, &from, &n);
        outcome->kept[rank] += n;
        memcpy(outcome->data[rank] + at, pieces[0], (size_t)floats * sizeof(float));
        at += floats;
        /* Moments of all ranks come together in the first rank's array. */
        for (int p = 1; p < 3; p++, at += floats)
            memcpy(outcome->data[0] + at + from, pieces[p], (size_t)n * sizeof(float));
    }
    outcome->floats = at;
}

static void
train(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    const struct plan *plan = ranks->shared;
    int rank = sea_comm_rank(comm);
    struct sea_buf skipped;
    struct sea_node *notes;
    struct model model;
    int64_t t;
    enum sea_status status;

    sea_buf_init(&skipped, 4096);
    model_open(&model, plan, comm, &result->err);
    status = result->err.status;
    if (!status && plan->load_at >= 0) {
        status = sea_checkpoint_load(plan->dir, model.adamw, model.arena, &notes, &skipped,
                                     &result->err);
        result->wrong += sea_adamw_steps(model.adamw) != plan->load_at;
    }
    for (t = sea_adamw_steps(model.adamw); t < STEPS && !status; t++) {
        status = run_step(&model, plan, t, &plan->outcome->norm[rank][t], &result->err);
        if (!status && t + 1 == plan->save_at)
            status = sea_checkpoint_save(plan->dir, model.adamw, NULL, &result->err);
        if (t + 1 == plan->save_at)
            break;
    }
    if (!status)
        copy_out(&model, rank, plan->outcome);
    sea_buf_release(&skipped);
    model_close(&model);
}

/* One run; the ranks agree, and each has its share of the moments. */
static void
run(struct plan *plan, int size, struct outcome *into, const char *what)
{
    struct ranks ranks = { .size = size, .shared = plan, .timeout_ms = 20000 };
    int64_t all = 0;

    memset(into, 0, sizeof(*into));
    plan->outcome = into;
    run_ranks(&ranks, train, 0);
    check_ranks(&ranks, what);
    for (int r = 0; r < size; r++) {
        CHECK_MSG(memcmp(into->norm[r], into->norm[0], sizeof(into->norm[0])) == 0,
                  "%s: rank %d of %d has other norms", what, r, size);
        all += into->kept[r];
    }
    CHECK_MSG(all * 3 == into->floats, "%s: %lld moments are kept by %d ranks, want %lld", what,
              (long long)all, size, (long long)into->floats / 3);
    for (int r = 1; r < size; r++)      /* weights of parts follow each other with moments */
        CHECK_MSG(into->kept[r] < into->floats / 3, "%s: rank %d keeps all", what, r);
    munmap(ranks.result, RANKS_MOST * sizeof(*ranks.result));
}

static void
compare(const struct outcome *a, const struct outcome *b, int size, const char *what)
{
    CHECK_MSG(a->floats > 0 && a->floats == b->floats &&
              memcmp(a->data[0], b->data[0], (size_t)a->floats * sizeof(float)) == 0,
              "%s: %d ranks have other bits than one", what, size);
    CHECK_MSG(memcmp(a->norm[0], b->norm[0], sizeof(a->norm[0])) == 0,
              "%s: %d ranks have norms %.17g .., one has %.17g ..", what, size, b->norm[0][0],
              a->norm[0][0]);
}

static void
check_ranks_equal_one(bool far, bool nccl)
{
    struct outcome *one = shared_memory(sizeof(*one)), *many = shared_memory(sizeof(*many));
    static const int turns[] = { 1, 2, 3, 8, 0 };
    char what[64];

    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        struct plan plan = { .turns = turns[i], .load_at = -1, .save_at = -1 };

        snprintf(what, sizeof(what), "%d turns%s", turns[i], nccl ? ", nccl" : far ? ", far" : "");
        run(&plan, 1, one, what);
        plan.far = far;
        plan.nccl = nccl;
        for (int size = 2; size <= RANKS_MOST; size++) {
            run(&plan, size, many, what);
            compare(one, many, size, what);
            for (int r = 1; r < size; r++)      /* the adapter, the first of all weights */
                CHECK(memcmp(many->data[r], many->data[0], 13 * 19 * sizeof(float)) == 0);
        }
    }
    munmap(one, sizeof(*one));
    munmap(many, sizeof(*many));
}

static void
any_number_of_ranks_has_the_bits_of_one(void)
{
    check_ranks_equal_one(false, false);
}

static void
so_has_a_device_behind_the_host(void)
{
    check_ranks_equal_one(true, false);
}

static void
so_has_one_that_nccl_joins(void)
{
    struct sea_err err = { 0 };

    snprintf(pipes_dir, sizeof(pipes_dir), "/tmp/sea-nccl-XXXXXX");
    CHECK(mkdtemp(pipes_dir) != NULL);
    check_ranks_equal_one(false, true);
    CHECK_OK(sea_dir_remove(pipes_dir, &err), err);
}

static int
never_done(void *stream)
{
    (void)stream;
    return 600;                 /* CUDA_ERROR_NOT_READY */
}

/* Rank 1 waits for numbers that the card never has. */
static void
wait_for_ever(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    struct sea_nccl_calls calls = fake_calls;
    struct sea_device device;
    struct sea_ops table;
    struct sea_nccl *nccl;
    float number = 1.0f;

    (void)ranks;
    if (sea_device_open(&device, "cpu:1", &result->err))
        return;
    table = sea_cpu_ops;
    table.name = "cuda";
    device.ops = &table;
    calls.stream_query = never_done;
    sea_nccl_use(&calls);
    if (sea_nccl_open(&nccl, comm, &device, &result->err))
        return;
    if (!sea_nccl_send(nccl, &number, 1, &result->err))
        result->wrong = sea_nccl_recv(nccl, &number, 1, &result->err) != SEA_E_SERVICE;
    sea_nccl_close(nccl);
    sea_device_close(&device);
}

static void
a_silent_card_is_given_up(void)
{
    struct ranks ranks = { .size = 2, .timeout_ms = 400 };
    struct sea_err err = { 0 };

    snprintf(pipes_dir, sizeof(pipes_dir), "/tmp/sea-nccl-XXXXXX");
    CHECK(mkdtemp(pipes_dir) != NULL);
    run_ranks(&ranks, wait_for_ever, 0);
    for (int r = 0; r < 2; r++) {
        CHECK_INT(ranks.result[r].wrong, 0);
        CHECK(strstr(ranks.result[r].err.hint, "SEA_RANK_TIMEOUT") != NULL);
        CHECK_MSG(ranks.result[r].ms < 20000, "rank %d lived %lld ms", r,
                  (long long)ranks.result[r].ms);
    }
    CHECK_OK(sea_dir_remove(pipes_dir, &err), err);
}

struct named {                  /* SEA_NCCL on a machine with CUDA, and what comes of it */
    const char *value;
    const char *words;          /* of the error; NULL: none, numbers go through the host */
};

static void
open_named(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    const struct named *named = ranks->shared;
    struct sea_ops table = sea_cpu_ops;
    struct sea_device device;
    struct sea_nccl *nccl;

    sea_nccl_use(NULL);
    if (sea_device_open(&device, "cpu:1", &result->err))
        return;
    table.name = "cuda";
    device.ops = &table;
    setenv("SEA_NCCL", named->value, 1);
    if (!sea_nccl_open(&nccl, comm, &device, &result->err))
        result->wrong = nccl != NULL;
    sea_device_close(&device);
}

static void
a_named_library_must_load(void)
{
    static const struct named tries[] = {
        { "/no/such/libnccl.so.2", "\"/no/such/libnccl.so.2\"" },
        { "libm.so.6", "no function ncclGetUniqueId in \"libm.so.6\"" },
        { "0", NULL },
    };

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        struct named named = tries[i];
        struct ranks ranks = { .size = 2, .timeout_ms = 20000, .shared = &named };

        run_ranks(&ranks, open_named, 0);
        for (int r = 0; r < 2; r++) {
            const struct sea_err *err = &ranks.result[r].err;

            CHECK_INT(ranks.result[r].wrong, 0);
            if (!named.words) {
                CHECK_OK(err->status, *err);
                continue;
            }
            CHECK_FAILS(*err, SEA_E_DEVICE, named.words);
            CHECK(strstr(err->hint, "SEA_NCCL=FILE") != NULL);
        }
        munmap(ranks.result, RANKS_MOST * sizeof(*ranks.result));
    }
}

/* The comparison can fail: turns in another order give other bits. */
static void
the_order_of_turns_shows(void)
{
    float a = 0, b = 0;
    int64_t i, differ = 0;

    for (i = 0; i < 100; i++) {
        a = ((0 + drawn(0, 0, i)) + drawn(100, 0, i) * 1.3f) + drawn(0, 1, i);
        a += drawn(100, 1, i) * 1.3f;
        b = (drawn(0, 0, i) + drawn(100, 0, i) * 1.3f) + (drawn(0, 1, i) + drawn(100, 1, i) * 1.3f);
        differ += memcmp(&a, &b, sizeof(a)) != 0;
    }
    printf("    %lld of 100 sums have other bits when turns are summed apart\n",
           (long long)differ);
    CHECK(differ > 10);
}

static void
a_checkpoint_fits_any_number_of_ranks(void)
{
    struct outcome *whole = shared_memory(sizeof(*whole)), *part = shared_memory(sizeof(*part));
    static const int sizes[] = { 1, 2, 3, 5 };
    char dir[] = "/tmp/sea-shard-XXXXXX", path[SEA_PATH_MAX], first[SEA_SHA256_TEXT] = "";
    char digest[SEA_SHA256_TEXT];
    struct plan plan = { .turns = 4, .load_at = -1, .save_at = -1 };
    struct sea_err err = { 0 };
    uint64_t bytes;

    run(&plan, 1, whole, "whole");
    CHECK(mkdtemp(dir) != NULL);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            struct plan save = { .turns = 4, .load_at = -1, .save_at = 3, .dir = dir,
                                 .far = k == 3 };
            struct plan load = { .turns = 4, .load_at = 3, .save_at = -1, .dir = dir,
                                 .far = i == 3 };

            run(&save, sizes[i], part, "save");
            snprintf(path, sizeof(path), "%s/checkpoint/step-00000003/state.safetensors", dir);
            CHECK_OK(sea_hash_file(path, digest, &bytes, &err), err);
            if (!first[0])
                memcpy(first, digest, sizeof(first));
            CHECK_STR(digest, first);
            run(&load, sizes[k], part, "load");
            memcpy(part->norm[0], whole->norm[0], 3 * sizeof(double));
            compare(whole, part, sizes[k], "resumed");
            CHECK_OK(sea_checkpoint_remove(dir, &err), err);
        }
    CHECK_OK(sea_dir_remove(dir, &err), err);
    munmap(whole, sizeof(*whole));
    munmap(part, sizeof(*part));
}

SEA_TEST_MAIN("steps of several ranks", TEST(any_number_of_ranks_has_the_bits_of_one),
              TEST(so_has_a_device_behind_the_host),
              TEST(so_has_one_that_nccl_joins), TEST(a_silent_card_is_given_up),
              TEST(a_named_library_must_load),
              TEST(the_order_of_turns_shows),
              TEST(a_checkpoint_fits_any_number_of_ranks))
