/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - the CPU as a device: instruction set, threads, memory, and the operator table */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* sched_getaffinity */
#endif
#include "kernels/cpu/cpu_int.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 1024
#define HUGE_PAGE ((size_t)2 << 20)
#define BLOCK_HEAD 64           /* bytes before a block of memory, a multiple of its alignment */
#define MOVE_PIECE ((size_t)512 << 10)          /* bytes that a thread moves at a time */

const struct sea_cpu_isa *const *
sea_cpu_isas(void)
{
    static const struct sea_cpu_isa *list[4];
    const struct sea_cpu_isa *found[4] = { NULL };
    int n = 0;

#if defined(__x86_64__)
    /* These also ask the operating system whether it keeps the wide registers. */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found[n++] = &sea_cpu_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found[n++] = &sea_cpu_avx2;
#endif
    found[n] = &sea_cpu_portable;
    memcpy(list, found, sizeof(list));
    return list;
}

/* The first number in a file of the system; -1 when there is none. */
static long long
number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    long long number = -1;
    char line[256];

    if (!file)
        return -1;
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, key, strlen(key))) {
            if (sscanf(line + strlen(key), "%lld", &number) != 1)
                number = -1;
            break;
        }
    fclose(file);
    return number;
}

/* Processors of the affinity mask, or fewer when a control group grants less time. */
static int
threads_granted(void)
{
    long long quota = number_in("/sys/fs/cgroup/cpu.max", ""), period = 100000;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    FILE *file;

    if (!sched_getaffinity(0, sizeof(set), &set))
        n = CPU_COUNT(&set);
    if (quota > 0) {
        file = fopen("/sys/fs/cgroup/cpu.max", "r");
        if (file) {
            if (fscanf(file, "%*s %lld", &period) != 1 || period <= 0)
                period = 100000;
            fclose(file);
        }
    } else {
        quota = number_in("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "");
        period = number_in("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "");
    }
    if (quota > 0 && period > 0 && (quota + period - 1) / period < n)
        n = (long)((quota + period - 1) / period);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

static void
processor_name(char *name, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(name, size, "processor");
    while (file && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, ':');

        if (strncmp(line, "model name", 10) || !value)
            continue;
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, size, "%s", value[1] == ' ' ? value + 2 : value + 1);
        break;
    }
    if (file)
        fclose(file);
}

int64_t
sea_cpu_grain(int64_t cost)
{
    int64_t rows = 32768 / (cost > 0 ? cost : 1);

    return rows > 0 ? rows : 1;
}

struct sea_cpu_blocks
sea_cpu_blocks(int64_t R, int64_t width)
{
    int64_t most = (int64_t)SEA_CPU_REDUCE / width, rows;

    most = most > 64 ? 64 : most < 1 ? 1 : most;
    rows = (R + most - 1) / most;
    rows = rows > 32 ? rows : 32;
    return (struct sea_cpu_blocks){ .rows = rows, .count = (R + rows - 1) / rows };
}

static void
cpu_close(void *dev)
{
    struct sea_cpu *cpu = dev;

    if (!cpu)
        return;
    sea_cpu_pool_destroy(cpu->pool);
    free(cpu->reduce);
    free(cpu);
}

int
sea_cpu_open(const struct sea_cpu_isa *isa, int threads, void **dev)
{
    struct sea_cpu *cpu;
    char model[96];
    void *mem;

    if (!dev || threads < 0 || threads > THREADS_MAX)
        return SEA_RC_ARGUMENT;
    *dev = NULL;
    cpu = calloc(1, sizeof(*cpu));
    if (!cpu)
        return SEA_RC_MEMORY;
    cpu->isa = isa ? isa : sea_cpu_isas()[0];
    cpu->gemm_dot = cpu->isa == sea_cpu_isas()[0] && cpu->isa->lanes == 16 ? sea_cpu_dot() : NULL;
    cpu->threads = threads ? threads : threads_granted();
    if (posix_memalign(&mem, 4096, SEA_CPU_REDUCE * sizeof(float))) {
        free(cpu);
        return SEA_RC_MEMORY;
    }
    cpu->reduce = mem;
    cpu->pool = sea_cpu_pool_create(cpu->threads, SEA_CPU_SCRATCH);
    if (!cpu->pool) {
        cpu_close(cpu);
        return SEA_RC_MEMORY;
    }
    cpu->memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    processor_name(model, sizeof(model));
    snprintf(cpu->text, sizeof(cpu->text), "%s, %d thread%s, %s kernels%s, %.1f GiB memory", model,
             cpu->threads, cpu->threads == 1 ? "" : "s", cpu->isa->name,
             cpu->gemm_dot ? " with bfloat16 products" : "",
             (double)cpu->memory / (1 << 30));
    *dev = cpu;
    return SEA_RC_OK;
}

static int
cpu_open(int index, int threads, void **dev)
{
    return index ? SEA_RC_ARGUMENT : sea_cpu_open(NULL, threads, dev);
}

static int
cpu_count(int *count)
{
    if (!count)
        return SEA_RC_ARGUMENT;
    *count = 1;
    return SEA_RC_OK;
}

static const char *
cpu_text(void *dev)
{
    const struct sea_cpu *cpu = dev;

    return cpu ? cpu->text : "";
}

static int
cpu_room(void *dev, size_t *bytes)
{
    long long free_kib = number_in("/proc/meminfo", "MemAvailable:"), limit, used;

    if (!dev || !bytes)
        return SEA_RC_ARGUMENT;
    *bytes = free_kib > 0 ? (size_t)free_kib * 1024 : ((const struct sea_cpu *)dev)->memory;
    limit = number_in("/sys/fs/cgroup/memory.max", "");
    used = number_in("/sys/fs/cgroup/memory.current", "");
    if (limit > 0 && used >= 0 && (size_t)(limit > used ? limit - used : 0) < *bytes)
        *bytes = (size_t)(limit > used ? limit - used : 0);
    return SEA_RC_OK;
}

/* Before every block: what its end needs to know. */
struct block {
    void *base;
    size_t mapped;              /* bytes of a mapping from base on; 0: base is malloc's */
};

/* A mapping starts as zeros without a page of its own: the first to write a page clears it.
 * Large blocks lie on huge pages: a product of 2048 columns otherwise misses the TLB a lot. */
static void *
map_block(size_t bytes, struct block *block)
{
    size_t room = bytes + 2 * HUGE_PAGE;
    void *base = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *at;

    if (base == MAP_FAILED)
        return NULL;
    *block = (struct block){ .base = base, .mapped = room };
    at = (char *)base + BLOCK_HEAD;
    at += (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE;
    (void)madvise(at, bytes, MADV_HUGEPAGE);    /* advice: failure is harmless */
    return at;
}

static int
get_block(void *dev, size_t bytes, int zeroed, void **mem)
{
    struct block block = { .mapped = 0 };
    char *at = NULL;

    if (!dev || !mem)
        return SEA_RC_ARGUMENT;
    *mem = NULL;
    if (bytes > ((const struct sea_cpu *)dev)->memory)
        return SEA_RC_MEMORY;
    if (bytes >= 2 * HUGE_PAGE) {
        at = map_block(bytes, &block);
    } else if (!posix_memalign(&block.base, 64, BLOCK_HEAD + bytes)) {
        at = (char *)block.base + BLOCK_HEAD;
        if (zeroed)
            memset(at, 0, bytes);
    }
    if (!at)
        return SEA_RC_MEMORY;
    memcpy(at - BLOCK_HEAD, &block, sizeof(block));
    *mem = at;
    return SEA_RC_OK;
}

static int
cpu_alloc(void *dev, size_t bytes, void **mem)
{
    return get_block(dev, bytes, 0, mem);
}

static int
cpu_alloc_zeroed(void *dev, size_t bytes, void **mem)
{
    return get_block(dev, bytes, 1, mem);
}

static void
cpu_free(void *dev, void *mem)
{
    struct block block;

    (void)dev;
    if (!mem)
        return;
    memcpy(&block, (char *)mem - BLOCK_HEAD, sizeof(block));
    if (block.mapped)
        munmap(block.base, block.mapped);
    else
        free(block.base);
}

/* Moving bytes is worth all threads: one alone does not fill the memory's lanes, and pages
 * that nobody touched before cost more than the bytes on them. */
struct bytes {
    char *to;
    const char *from;           /* NULL: zeros */
    size_t count;
};

static void
move_pieces(const void *args, int64_t begin, int64_t end, float *scratch)
{
    const struct bytes *job = args;
    size_t at = (size_t)begin * MOVE_PIECE, last = (size_t)end * MOVE_PIECE;

    (void)scratch;
    last = last < job->count ? last : job->count;
    if (job->from)
        memcpy(job->to + at, job->from + at, last - at);
    else
        memset(job->to + at, 0, last - at);
}

static void
move_bytes(const struct sea_cpu *cpu, const struct bytes *job)
{
    sea_cpu_pool_run(cpu->pool, move_pieces, job,
                     (int64_t)((job->count + MOVE_PIECE - 1) / MOVE_PIECE), 1);
}

static int
cpu_zero(void *dev, void *mem, size_t bytes)
{
    const struct bytes job = { .to = mem, .count = bytes };

    if (!dev || (bytes && !mem))
        return SEA_RC_ARGUMENT;
    move_bytes(dev, &job);
    return SEA_RC_OK;
}

static int
cpu_copy(void *dev, void *to, const void *from, size_t bytes)
{
    const struct bytes job = { .to = to, .from = from, .count = bytes };
    uintptr_t a = (uintptr_t)to, b = (uintptr_t)from;

    if (!dev || (bytes && (!to || !from)))
        return SEA_RC_ARGUMENT;
    if (bytes && (a > b ? a - b : b - a) < bytes)
        memmove(to, from, bytes);
    else if (bytes)
        move_bytes(dev, &job);
    return SEA_RC_OK;
}

static int
cpu_wait(void *dev)
{
    return dev ? SEA_RC_OK : SEA_RC_ARGUMENT;
}

static const char *
cpu_rc_text(int rc)
{
    switch (rc) {
    case SEA_RC_OK:
        return "done";
    case SEA_RC_ARGUMENT:
        return "an argument is missing or out of range";
    case SEA_RC_MEMORY:
        return "not enough memory or threads";
    case SEA_RC_UNSUPPORTED:
        return "the CPU back end cannot do this size";
    default:
        return "unknown code";
    }
}

const struct sea_ops sea_cpu_ops = {
    .abi = SEA_OPS_ABI,
    .size = sizeof(struct sea_ops),
    .name = "cpu",
    .dev_count = cpu_count,
    .dev_open = cpu_open,
    .dev_close = cpu_close,
    .dev_text = cpu_text,
    .mem_room = cpu_room,
    .mem_alloc = cpu_alloc,
    .mem_alloc_zeroed = cpu_alloc_zeroed,
    .mem_free = cpu_free,
    .mem_zero = cpu_zero,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .copy = cpu_copy,
    .wait = cpu_wait,
    .rc_text = cpu_rc_text,
    .gemm = sea_cpu_op_gemm,
    .gather = sea_cpu_op_gather,
    .scatter = sea_cpu_op_scatter,
    .layernorm = sea_cpu_op_layernorm,
    .layernorm_bwd = sea_cpu_op_layernorm_bwd,
    .rmsnorm = sea_cpu_op_rmsnorm,
    .rmsnorm_bwd = sea_cpu_op_rmsnorm_bwd,
    .act = sea_cpu_op_act,
    .act_bwd = sea_cpu_op_act_bwd,
    .rope = sea_cpu_op_rope,
    .attention = sea_cpu_op_attention,
    .attention_bwd = sea_cpu_op_attention_bwd,
    .xent = sea_cpu_op_xent,
    .softcap = sea_cpu_op_softcap,
    .colscale = sea_cpu_op_colscale,
    .colscale_bwd = sea_cpu_op_colscale_bwd,
    .cast = sea_cpu_op_cast,
    .l2norm = sea_cpu_op_l2norm,
    .l2norm_bwd = sea_cpu_op_l2norm_bwd,
    .contrast = sea_cpu_op_contrast,
    .topk = sea_cpu_op_topk,
    .adamw = sea_cpu_op_adamw,
    .axpby = sea_cpu_op_axpby,
    .colsum = sea_cpu_op_colsum,
    .sum = sea_cpu_op_sum,
    .clip = sea_cpu_op_clip,
    .patchify = sea_cpu_op_patchify,
    .limits = sea_cpu_op_limits,
};
