/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimiser's state between rank 0, which has the files, and the others: m and v that are
 * longer than one message, written and read in pieces that fit neither the ranks' ranges nor
 * the messages, arrive number by number; and again, since checkpoints use the same tags.
 */
#include "engine/base/sea_arena.h"
#include "engine/sea_shard.h"
#include "tests/engine/ranks.h"

#define FLOATS ((int64_t)3400000)       /* more than two messages of each of two ranks */
#define WRITTEN 700001
#define READ 300007

static float
number_at(int round, int piece, int64_t i)
{
    return (float)((i * 7 + piece * 3 + round) % 1000003);
}

/* All ranks: rank 0 has the numbers. */
static enum sea_status
write_all(struct sea_adamw *adamw, int rank, int round, float *host, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    for (int piece = 1; piece <= 2; piece++)
        for (int64_t from = 0, n; from < FLOATS && !status; from += n) {
            n = FLOATS - from < WRITTEN ? FLOATS - from : WRITTEN;
            for (int64_t i = 0; i < n; i++)
                host[i] = rank ? 0 : number_at(round, piece, from + i);
            status = sea_shard_write(adamw, 0, piece, from, n, host, err);
        }
    return status;
}

/* Rank 0, while the others serve. */
static enum sea_status
read_all(struct sea_adamw *adamw, int round, float *host, int64_t *wrong, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    for (int piece = 1; piece <= 2; piece++)
        for (int64_t from = 0, n; from < FLOATS && !status; from += n) {
            n = FLOATS - from < READ ? FLOATS - from : READ;
            status = sea_shard_read(adamw, 0, piece, from, n, host, err);
            for (int64_t i = 0; i < n && !status; i++)
                *wrong += host[i] != number_at(round, piece, from + i);
        }
    return status;
}

static void
keep(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 1, 0));
    struct sea_adamw_part part = { "all", NULL, 1e-3, 0 };
    float *host = sea_arena_alloc(arena, WRITTEN, sizeof(*host));
    const int64_t floats = FLOATS;
    struct sea_adamw *adamw = NULL;
    struct sea_params params;
    struct sea_device device;
    struct sea_ops far_ops = sea_cpu_ops;
    int rank = sea_comm_rank(comm);
    enum sea_status status = sea_device_open(&device, "cpu:1", &result->err);

    far_ops.name = "far";
    if (ranks->shared)          /* memory that the host cannot see */
        device.ops = &far_ops;
    sea_params_init(&params, arena);
    sea_params_add(&params, "weight", 1, &floats, SEA_INIT_ZERO, 0);
    if (!status)
        status = sea_params_reserve(&params, &device, true, &result->err);
    part.params = &params;
    desc.comm = comm;
    if (!status)
        status = sea_adamw_create(&adamw, &device, &desc, &part, 1, &result->err);
    for (int round = 0; round < 2 && !status; round++) {
        status = write_all(adamw, rank, round, host, &result->err);
        if (!status && rank)
            status = sea_shard_serve(adamw, &result->err);
        else if (!status)
            status = read_all(adamw, round, host, &result->wrong, &result->err);
    }
    sea_adamw_destroy(adamw);
    sea_params_release(&params);
    sea_arena_destroy(arena);
    sea_device_close(&device);
}

static void
check_state(void *far, const char *what)
{
    for (int size = 1; size <= 3; size++) {
        struct ranks ranks = { .size = size, .timeout_ms = 20000, .shared = far };

        run_ranks(&ranks, keep, 0);
        check_ranks(&ranks, what);
        munmap(ranks.result, RANKS_MOST * sizeof(*ranks.result));
    }
}

static void
state_comes_back_number_by_number(void)
{
    check_state(NULL, "near");
}

static void
so_does_that_of_a_device(void)
{
    check_state(&(int){ 1 }, "far");
}

SEA_TEST_MAIN("state of several ranks", TEST(state_comes_back_number_by_number),
              TEST(so_does_that_of_a_device))
