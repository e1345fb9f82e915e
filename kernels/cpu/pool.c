/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - threads of the CPU back end
 *
 * One job at a time. A job is published by one store to `ticket`: the number of the job in
 * the upper half, tasks not yet taken in the lower half. A thread takes the task `left - 1`
 * by exchanging left for left - 1, and because the exchange compares the job's number too,
 * a thread that overslept can never take a task of a job whose fn and args it has not seen.
 * The job ends when `running` has fallen to 0; the caller works like any other thread, so a
 * job ends although the other threads may still be asleep.
 *
 * Which thread runs a task is left to chance; what a task computes is not.
 */
#include "kernels/cpu/cpu_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Scratch lies on one: what a product packs would otherwise meet itself in the second cache. */
#define HUGE_PAGE ((size_t)2 << 20)

/* Rounds of looking for work before sleeping, some 20 us: longer than the gap between two
 * operators of a step, shorter than anyone sharing the machine would notice. */
#define SPIN_ROUNDS 600

struct worker {
    struct sea_cpu_pool *pool;
    pthread_t thread;
    float *scratch;
};

struct sea_cpu_pool {
    /* Of the job; written while no task is left, published by ticket. */
    sea_cpu_fn *fn;
    const void *args;
    int64_t total, grain;

    _Alignas(64) _Atomic uint64_t ticket;       /* number << 32 | tasks not taken */
    _Alignas(64) _Atomic uint32_t running;      /* tasks not finished */
    _Alignas(64) _Atomic uint32_t sleepers;     /* threads in wake, changed under lock */
    _Atomic int caller_sleeps;
    _Atomic int stop;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    int count;                  /* of workers; the caller is worker 0 */
    struct worker worker[];
};

static void
pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void
wake_one(struct sea_cpu_pool *pool)
{
    if (!atomic_load(&pool->sleepers))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* Takes and runs tasks until none is left. */
static void
work(struct sea_cpu_pool *pool, float *scratch)
{
    uint64_t ticket = atomic_load(&pool->ticket);

    while ((uint32_t)ticket) {
        int64_t task = (int64_t)(uint32_t)ticket - 1, begin, end;

        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1))
            continue;
        begin = task * pool->grain;
        end = begin + pool->grain < pool->total ? begin + pool->grain : pool->total;
        pool->fn(pool->args, begin, end, scratch);
        if (atomic_fetch_sub(&pool->running, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
        ticket = atomic_load(&pool->ticket);
    }
}

static void *
worker_main(void *arg)
{
    struct worker *self = arg;
    struct sea_cpu_pool *pool = self->pool;
    int round = 0;

    while (!atomic_load(&pool->stop)) {
        if ((uint32_t)atomic_load(&pool->ticket)) {
            /* The caller woke one thread; each woken one wakes the next. */
            if (round >= SPIN_ROUNDS)
                wake_one(pool);
            work(pool, self->scratch);
            round = 0;
        } else if (round < SPIN_ROUNDS) {
            pause_briefly();
            round++;
        } else {
            pthread_mutex_lock(&pool->lock);
            atomic_fetch_add(&pool->sleepers, 1);
            while (!(uint32_t)atomic_load(&pool->ticket) && !atomic_load(&pool->stop))
                pthread_cond_wait(&pool->wake, &pool->lock);
            atomic_fetch_sub(&pool->sleepers, 1);
            pthread_mutex_unlock(&pool->lock);
        }
    }
    return NULL;
}

void
sea_cpu_pool_run(struct sea_cpu_pool *pool, sea_cpu_fn *fn, const void *args, int64_t total,
                 int64_t grain)
{
    uint64_t number;
    int64_t tasks;
    int round;

    if (total <= 0)
        return;
    tasks = (total + grain - 1) / grain;
    if (tasks > UINT32_MAX) {
        grain = (total + UINT32_MAX - 1) / UINT32_MAX;
        tasks = (total + grain - 1) / grain;
    }
    if (tasks == 1 || pool->count == 1) {
        fn(args, 0, total, pool->worker[0].scratch);
        return;
    }
    pool->fn = fn;
    pool->args = args;
    pool->total = total;
    pool->grain = grain;
    atomic_store(&pool->running, (uint32_t)tasks);
    number = (atomic_load(&pool->ticket) >> 32) + 1;
    atomic_store(&pool->ticket, number << 32 | (uint64_t)tasks);
    wake_one(pool);
    work(pool, pool->worker[0].scratch);
    for (round = 0; atomic_load(&pool->running) && round < SPIN_ROUNDS; round++)
        pause_briefly();
    if (!atomic_load(&pool->running))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, 1);
    while (atomic_load(&pool->running))
        pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeps, 0);
    pthread_mutex_unlock(&pool->lock);
}

struct sea_cpu_pool *
sea_cpu_pool_create(int threads, size_t scratch_floats)
{
    size_t bytes = sizeof(struct sea_cpu_pool) + (size_t)threads * sizeof(struct worker);
    size_t scratch_bytes = (scratch_floats * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    struct sea_cpu_pool *pool;
    void *mem;

    if (posix_memalign(&mem, 64, bytes))
        return NULL;
    pool = memset(mem, 0, bytes);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 0; i < threads; i++) {
        struct worker *worker = &pool->worker[i];

        worker->pool = pool;
        if (posix_memalign(&mem, HUGE_PAGE, scratch_bytes))
            goto out;
        (void)madvise(mem, scratch_bytes, MADV_HUGEPAGE);
        worker->scratch = mem;
        if (i && pthread_create(&worker->thread, NULL, worker_main, worker)) {
            free(mem);
            goto out;
        }
        pool->count = i + 1;
    }
    return pool;
out:
    sea_cpu_pool_destroy(pool);
    return NULL;
}

void
sea_cpu_pool_destroy(struct sea_cpu_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->count; i++) {
        if (i)
            pthread_join(pool->worker[i].thread, NULL);
        free(pool->worker[i].scratch);
    }
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
