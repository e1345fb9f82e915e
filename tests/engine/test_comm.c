/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks: collectives of 1 to 5 processes give what a loop over their inputs in rank order
 * gives, bit for bit and for any size; messages find their receives; a rank that is killed,
 * hangs, or works on something else ends the others in time, with one clear error.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_rng.h"
#include "tests/engine/ranks.h"

#define ROUNDS 12
#define FLOATS_MOST 300000

/* Number i of rank r in a round: sums of these round, so that their order shows. */
static float
number(int round, int r, int64_t i)
{
    uint64_t x = (uint64_t)(i * 2654435761 + r * 40503 + round * 97 + 1);

    x ^= x >> 15;
    x *= 0x2c1b3c6d;
    x ^= x >> 12;
    return (float)(int64_t)(x % 2000003 - 1000001) * 1e-3f;
}

static float
sum_of(int round, int size, int64_t i)
{
    float sum = number(round, 0, i);

    for (int r = 1; r < size; r++)
        sum += number(round, r, i);
    return sum;
}

static int64_t
size_of(int round)
{
    static const int64_t sizes[ROUNDS] = { 0, 1, 2, 15, 16, 17, 1000, 65535, 65537, 131072,
                                           200001, FLOATS_MOST };

    return sizes[round];
}

static enum sea_status
one_round(struct sea_comm *comm, int round, float *data, struct rank_result *result)
{
    int size = sea_comm_size(comm), rank = sea_comm_rank(comm);
    int64_t n = size_of(round), start[RANKS_MOST + 1], i;
    size_t bytes[RANKS_MOST + 1];
    struct sea_err *err = &result->err;

    /* Uneven ranges, some of them empty. */
    for (int r = 0; r <= size; r++)
        start[r] = r == size ? n : n * r * r / (size * size);
    for (i = 0; i < n; i++)
        data[i] = number(round, rank, i);
    if (sea_comm_reduce_scatter(comm, data, start, err))
        return err->status;
    for (i = 0; i < n; i++) {
        bool mine = i >= start[rank] && i < start[rank + 1];
        float want = mine ? sum_of(round, size, i) : number(round, rank, i);

        result->wrong += memcmp(&data[i], &want, sizeof(want)) != 0;
    }
    for (int r = 0; r <= size; r++)
        bytes[r] = (size_t)start[r] * sizeof(float);
    if (sea_comm_all_gather(comm, data, bytes, err))
        return err->status;
    for (i = 0; i < n; i++)
        result->wrong += data[i] != sum_of(round, size, i);
    for (i = 0; i < n; i++)
        data[i] = number(round, rank, i);
    if (sea_comm_all_reduce(comm, data, n, err))
        return err->status;
    for (i = 0; i < n; i++)
        result->wrong += data[i] != sum_of(round, size, i);
    for (i = 0; i < n; i++)
        data[i] = number(round, rank, i);
    if (sea_comm_broadcast(comm, round % size, data, (size_t)n * sizeof(float), err))
        return err->status;
    for (i = 0; i < n; i++)
        result->wrong += data[i] != number(round, round % size, i);
    return sea_comm_barrier(comm, err);
}

static void
all_collectives(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    float *data = sea_xcalloc(FLOATS_MOST, sizeof(*data));
    double sums[3] = { 1e16, 1.0, (double)sea_comm_rank(comm) }, want = 1e16;
    int64_t most[2] = { sea_comm_rank(comm), -5 - sea_comm_rank(comm) };

    for (int round = 0; round < ROUNDS && !result->err.status; round++)
        if (one_round(comm, round, data, result))
            break;
    sums[0] = sea_comm_rank(comm) ? 1.0 : 1e16;
    if (!sea_comm_sum(comm, sums, 3, &result->err)) {
        for (int r = 1; r < ranks->size; r++)
            want += 1.0;        /* lost one by one: the order of ranks */
        result->wrong += sums[0] != want || sums[1] != ranks->size ||
                         sums[2] != 0.5 * ranks->size * (ranks->size - 1);
    }
    if (!sea_comm_max(comm, most, 2, &result->err))
        result->wrong += most[0] != ranks->size - 1 || most[1] != -5;
    free(data);
}

static void
collectives_equal_a_loop_in_rank_order(void)
{
    for (int size = 1; size <= RANKS_MOST; size++) {
        struct ranks ranks = { .size = size, .words = { "a", "a", "a", "a", "a" } };

        run_ranks(&ranks, all_collectives, 0);
        check_ranks(&ranks, "collectives");
    }
}

/* Receives are posted in another order than messages are sent, and late. */
static void
cross_messages(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    enum { COUNT = 40, BYTES = 70000 };
    int rank = sea_comm_rank(comm), to = (rank + 1) % ranks->size;
    int from = (rank + ranks->size - 1) % ranks->size;
    unsigned char *out = sea_xcalloc(COUNT, BYTES), *in = sea_xcalloc(COUNT, BYTES);
    enum sea_status status = SEA_OK;
    int i;

    for (i = 0; i < COUNT && !status; i++) {
        memset(out + i * BYTES, i + 7 * rank, BYTES);
        status = sea_comm_send(comm, to, (uint64_t)i, out + i * BYTES, (size_t)(i * 1700),
                               &result->err);
    }
    sea_clock_sleep_ms(rank * 3);
    for (i = COUNT - 1; i >= 0 && !status; i--)
        status = sea_comm_recv(comm, from, (uint64_t)i, in + i * BYTES, (size_t)(i * 1700),
                               &result->err);
    for (i = 0; i < COUNT && !status; i += 2)
        status = sea_comm_wait(comm, from, (uint64_t)i, &result->err);
    for (i = 1; i < COUNT && !status; i += 2)
        status = sea_comm_wait(comm, from, (uint64_t)i, &result->err);
    for (i = 0; i < COUNT && !status; i++)
        for (int b = 0; b < i * 1700; b++)
            result->wrong += in[i * BYTES + b] != (unsigned char)(i + 7 * from);
    if (!status)
        status = sea_comm_flush(comm, &result->err);
    if (!status)
        status = sea_comm_barrier(comm, &result->err);
    free(out);
    free(in);
}

static void
messages_find_their_receives_by_tag(void)
{
    struct ranks ranks = { .size = 3 };

    run_ranks(&ranks, cross_messages, 0);
    check_ranks(&ranks, "messages");
}

static int
free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void
ranks_meet_over_tcp(void)
{
    char rendezvous[64];

    for (int size = 2; size <= 4; size++) {
        struct ranks ranks = { .size = size, .rendezvous = rendezvous, .timeout_ms = 20000,
                               .words = { "key", "key", "key", "key" } };

        snprintf(rendezvous, sizeof(rendezvous), "127.0.0.1:%d", free_port());
        run_ranks(&ranks, all_collectives, 0);
        check_ranks(&ranks, "over TCP");
    }
}

static void
another_word_is_refused_by_all(void)
{
    struct ranks ranks = { .size = 3, .words = { "left", "left", "right" } };

    run_ranks(&ranks, all_collectives, 0);
    for (int r = 0; r < 3; r++)
        CHECK_FAILS(ranks.result[r].err, SEA_E_CONFIG, "right");
}

/* ---- ranks that end, or do not ---- */

static void
reduce_for_ever(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    float *data = sea_xcalloc(FLOATS_MOST, sizeof(*data));
    int64_t *die_at = ranks->shared;

    for (int64_t i = 0; !result->err.status && i < 100000; i++) {
        /* In the middle: the others have begun and cannot go on. */
        if (sea_comm_rank(comm) == 1 && i == *die_at)
            raise(SIGKILL);
        if (sea_comm_all_reduce(comm, data, FLOATS_MOST - i, &result->err))
            break;
    }
    free(data);
}

static void
a_killed_rank_ends_the_others(void)
{
    struct ranks ranks = { .size = 4, .shared = shared_memory(sizeof(int64_t)) };
    int64_t worst = 0;

    for (int64_t at = 0; at < 6; at++) {
        *(int64_t *)ranks.shared = at;
        run_ranks(&ranks, reduce_for_ever, 0);
        CHECK(WIFSIGNALED(ranks.how[1]));
        for (int r = 0; r < 4; r++) {
            if (r == 1)
                continue;
            CHECK_FAILS(ranks.result[r].err, SEA_E_SERVICE, "has ended");
            worst = ranks.result[r].ms > worst ? ranks.result[r].ms : worst;
        }
    }
    printf("    the others ended within %lld ms\n", (long long)worst);
    CHECK(worst < 10000);
}

static void
hang(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    (void)ranks;
    (void)result;
    if (sea_comm_rank(comm) == 2) {
        raise(SIGSTOP);         /* its thread, too */
        return;
    }
    while (!result->err.status)
        if (sea_comm_barrier(comm, &result->err))
            break;
}

static void
a_hung_rank_ends_the_others_in_time(void)
{
    struct ranks ranks = { .size = 3, .timeout_ms = 400 };

    run_ranks(&ranks, hang, 1 << 2);
    for (int r = 0; r < 2; r++) {
        printf("    rank %d waited %lld ms of 400: %s\n", r, (long long)ranks.result[r].ms,
               ranks.result[r].err.message);
        CHECK_INT(ranks.result[r].err.status, SEA_E_SERVICE);
        CHECK(strstr(ranks.result[r].err.message, "rank") != NULL);
        CHECK(ranks.result[r].ms >= 350 && ranks.result[r].ms < 10000);
    }
    CHECK(strstr(ranks.result[0].err.message, "has not answered") ||
          strstr(ranks.result[1].err.message, "has not answered"));
}

/* A rank that is slow, but sends, is waited for: the limit is on silence. */
static void
slow_bytes(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    enum { COUNT = 8 };
    char in[COUNT];
    enum sea_status status = SEA_OK;

    (void)ranks;
    for (uint64_t i = 0; i < COUNT && !status; i++) {
        if (sea_comm_rank(comm) == 0) {
            sea_clock_sleep_ms(150);
            status = sea_comm_send(comm, 1, i, "x", 1, &result->err);
        } else {
            status = sea_comm_recv(comm, 0, i, &in[i], 1, &result->err);
        }
    }
    if (!status && sea_comm_rank(comm) == 0)
        status = sea_comm_flush(comm, &result->err);
    if (!status && sea_comm_rank(comm) == 1)
        status = sea_comm_wait(comm, 0, COUNT - 1, &result->err);
}

static void
a_slow_rank_is_waited_for(void)
{
    struct ranks ranks = { .size = 2, .timeout_ms = 600 };

    run_ranks(&ranks, slow_bytes, 0);
    check_ranks(&ranks, "slow");
    CHECK(ranks.result[1].ms >= 1000);
}

static void
ranks_that_do_not_come_are_told(void)
{
    struct sea_err err = { 0 };
    struct sea_comm *comm;
    char rendezvous[64];
    const struct sea_comm_options options = { .rank = 1, .size = 2, .timeout_ms = 300,
                                              .rendezvous = rendezvous };
    const struct sea_comm_options first = { .rank = 0, .size = 2, .timeout_ms = 300,
                                            .rendezvous = rendezvous };

    snprintf(rendezvous, sizeof(rendezvous), "127.0.0.1:%d", free_port());
    CHECK_INT(sea_comm_open(&comm, &options, &err), SEA_E_SERVICE);
    CHECK_FAILS(err, SEA_E_SERVICE, "missing");
    sea_err_clear(&err);
    CHECK_INT(sea_comm_open(&comm, &first, &err), SEA_E_SERVICE);
    CHECK_FAILS(err, SEA_E_SERVICE, "1 are missing");
    sea_err_clear(&err);
    snprintf(rendezvous, sizeof(rendezvous), "nowhere");
    CHECK_INT(sea_comm_open(&comm, &options, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "HOST:PORT");
}

/* ---- the environment ---- */

static enum sea_status
read_place(const char *rendezvous, const char *rank, const char *ranks, const char *procid,
           const char *ntasks, struct sea_comm_place *place, struct sea_err *err)
{
    const char *names[] = { "SEA_RENDEZVOUS", "SEA_RANK", "SEA_RANKS", "SLURM_PROCID",
                            "SLURM_NTASKS" };
    const char *values[] = { rendezvous, rank, ranks, procid, ntasks };

    for (int i = 0; i < 5; i++) {
        if (values[i])
            setenv(names[i], values[i], 1);
        else
            unsetenv(names[i]);
    }
    sea_err_clear(err);
    return sea_comm_place_read(place, err);
}

static void
the_environment_names_a_rank(void)
{
    struct sea_comm_place place;
    struct sea_err err = { 0 };

    CHECK_OK(read_place(NULL, NULL, NULL, "3", "8", &place, &err), err);
    CHECK_INT(place.size, 0);   /* a batch script has Slurm's variables, too */
    CHECK_OK(read_place("node1:7000", NULL, NULL, "3", "8", &place, &err), err);
    CHECK_INT(place.rank, 3);
    CHECK_INT(place.size, 8);
    CHECK_STR(place.rendezvous, "node1:7000");
    CHECK_OK(read_place("node1:7000", "1", "2", "3", "8", &place, &err), err);
    CHECK_INT(place.rank, 1);
    CHECK_INT(place.size, 2);
    CHECK_INT(read_place("node1:7000", "2", "2", NULL, NULL, &place, &err), SEA_E_CONFIG);
    CHECK_INT(read_place("node1:7000", NULL, NULL, NULL, NULL, &place, &err), SEA_E_CONFIG);
    CHECK_INT(read_place("node1:7000", "x", "2", NULL, NULL, &place, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "SEA_RANK is \"x\"");
    (void)read_place(NULL, NULL, NULL, NULL, NULL, &place, &err);
}

static void
one_rank_needs_nobody(void)
{
    struct sea_err err = { 0 };
    float data = 3.0f;
    int64_t start[2];

    CHECK_INT(sea_comm_size(NULL), 1);
    CHECK_INT(sea_comm_rank(NULL), 0);
    CHECK_OK(sea_comm_all_reduce(NULL, &data, 1, &err), err);
    CHECK_OK(sea_comm_barrier(NULL, &err), err);
    CHECK(data == 3.0f);
    sea_comm_close(NULL);
    sea_comm_cut(1, 33, 16, start);
    CHECK_INT(start[0], 0);
    CHECK_INT(start[1], 33);
}

SEA_TEST_MAIN("ranks of processes", TEST(collectives_equal_a_loop_in_rank_order),
              TEST(messages_find_their_receives_by_tag), TEST(ranks_meet_over_tcp),
              TEST(another_word_is_refused_by_all), TEST(a_killed_rank_ends_the_others),
              TEST(a_hung_rank_ends_the_others_in_time), TEST(a_slow_rank_is_waited_for),
              TEST(ranks_that_do_not_come_are_told), TEST(the_environment_names_a_rank),
              TEST(one_rank_needs_nobody))
