/* SPDX-License-Identifier: Apache-2.0 */
/* emu.cc - blocks of coroutines, and device memory that only kernels can touch */
#include "tests/gpu/emu/cuda_runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS_MAX 1024
#define STACK_BYTES ((size_t)64 << 10)
#define SHARED_MAX ((size_t)164 << 10)
#define MEMORY_BYTES ((size_t)8 << 30)  /* of the device, taken from the system when touched */

/* ---- coroutines ---- */

/* Saves the registers that a call keeps on the stack, and goes on with another stack. swapcontext
 * would do, but for two system calls per switch that cost twenty times as much. */
#if defined(__x86_64__)
asm(".text\n.type emu_switch,@function\nemu_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size emu_switch,.-emu_switch\n");
#define SAVED 6                 /* words under the return address */
#elif defined(__aarch64__)
asm(".text\n.type emu_switch,%function\nemu_switch:\n"
    "sub sp,sp,#176\nstp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\n"
    "stp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
    "stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\n"
    "stp d14,d15,[sp,#144]\nmov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\n"
    "ldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
    "ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\n"
    "ldp d14,d15,[sp,#144]\nadd sp,sp,#176\nret\n"
    ".size emu_switch,.-emu_switch\n");
#endif
extern "C" void emu_switch(void **save, void *load);

enum state { RUNS, AT_BLOCK, AT_WARP, ENDED };

struct coroutine {
    struct emu_thread thread;   /* first: emu_self points here */
    void *stack;                /* while another one runs */
    enum state state;
    uint64_t word;
    unsigned round;             /* of warp functions: two sets of words take turns */
};

struct emu_thread *emu_self;
dim3 emu_block_index, emu_block_dim, emu_grid_dim;

static struct coroutine threads[THREADS_MAX];
static char *stacks;
static void *home;
static const std::function<void()> *running;
static uint64_t words[2][THREADS_MAX / 32][32];
static unsigned living[THREADS_MAX / 32];
alignas(64) static char dynamic[SHARED_MAX];
static int unlocked;

void *
emu_dynamic(void)
{
    return dynamic;
}

static void
start(void)
{
    struct coroutine *self = (struct coroutine *)emu_self;

    (*running)();
    self->state = ENDED;
    emu_switch(&self->stack, home);
}

/* A stack on which emu_switch returns into start(), aligned as after a call. */
static void *
new_stack(char *low)
{
    uint64_t *top = (uint64_t *)(void *)(low + STACK_BYTES - 64);

#if defined(__x86_64__)
    top[-1] = 0;
    top[-2] = (uint64_t)(uintptr_t)start;
    return top - 2 - SAVED;
#else
    memset(top - 22, 0, 22 * sizeof(*top));
    top[-22 + 11] = (uint64_t)(uintptr_t)start; /* x30 */
    return top - 22;
#endif
}

static void
hand_over(enum state state)
{
    struct coroutine *self = (struct coroutine *)emu_self;

    self->state = state;
    emu_switch(&self->stack, home);
}

void
emu_sync_block(void)
{
    hand_over(AT_BLOCK);
}

const uint64_t *
emu_sync_warp(uint64_t word, unsigned *alive)
{
    struct coroutine *self = (struct coroutine *)emu_self;
    unsigned warp = (unsigned)(self - threads) / 32, round = self->round++ % 2;

    words[round][warp][(self - threads) % 32] = word;
    hand_over(AT_WARP);
    *alive = living[warp];
    return words[round][warp];
}

static void
stop(const char *what)
{
    fprintf(stderr, "emulated block (%u, %u, %u) of (%u, %u, %u): %s\n", emu_block_index.x,
            emu_block_index.y, emu_block_index.z, emu_grid_dim.x, emu_grid_dim.y,
            emu_grid_dim.z, what);
    abort();
}

/* Lets go whoever has everybody he waits for; false when all ended. */
static bool
release(unsigned count)
{
    unsigned ended = 0, at_block = 0, at_warp = 0;
    bool moved = false;

    for (unsigned first = 0; first < count; first += 32) {
        unsigned here = 0, alive = 0, last = first + 32 < count ? first + 32 : count;

        living[first / 32] = 0;
        for (unsigned i = first; i < last; i++) {
            ended += threads[i].state == ENDED;
            at_block += threads[i].state == AT_BLOCK;
            here += threads[i].state == AT_WARP;
            alive += threads[i].state != ENDED;
            if (threads[i].state != ENDED)
                living[first / 32] |= 1u << (i - first);
        }
        at_warp += here;
        if (!here || here != alive)
            continue;
        for (unsigned i = first; i < last; i++)
            if (threads[i].state == AT_WARP)
                threads[i].state = RUNS;
        moved = true;
    }
    if (ended == count)
        return false;
    if (moved)
        return true;
    if (at_warp)
        stop("a warp function that not all living lanes reach");
    if (at_block != count)
        stop("__syncthreads that not all threads reach");
    for (unsigned i = 0; i < count; i++)
        threads[i].state = RUNS;
    return true;
}

static void
run_block(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct coroutine *c = &threads[i];

        c->stack = new_stack(stacks + i * STACK_BYTES);
        c->state = RUNS;
        c->round = 0;
        c->thread.index = dim3(i % emu_block_dim.x, i / emu_block_dim.x % emu_block_dim.y,
                               i / emu_block_dim.x / emu_block_dim.y);
    }
    do {
        for (unsigned i = 0; i < count; i++)
            while (threads[i].state == RUNS) {
                emu_self = &threads[i].thread;
                emu_switch(&home, threads[i].stack);
            }
    } while (release(count));
}

/* ---- memory ---- */

static char *memory;
static size_t used;

struct block {                  /* in front of every allocation, a page of its own */
    size_t bytes;
    bool taken;
};
#define PAGE ((size_t)4096)

static void
rights(int what)
{
    if (memory && used && mprotect(memory, used, what)) {
        perror("mprotect of emulated device memory");
        abort();
    }
}

static void
unlock(void)
{
    if (!unlocked++)
        rights(PROT_READ | PROT_WRITE);
}

static void
lock(void)
{
    if (!--unlocked)
        rights(PROT_NONE);
}

void
emu_launch(dim3 grid, dim3 block, size_t bytes, const std::function<void()> &body)
{
    unsigned count = block.x * block.y * block.z;

    if (!count || count > THREADS_MAX || bytes > SHARED_MAX || grid.y > 65535 ||
        grid.z > 65535 || !grid.x || !grid.y || !grid.z) {
        fprintf(stderr, "emulated launch of (%u, %u, %u) blocks of %u threads, %zu bytes\n",
                grid.x, grid.y, grid.z, count, bytes);
        abort();
    }
    if (!stacks)
        stacks = (char *)mmap(NULL, THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    emu_grid_dim = grid;
    emu_block_dim = block;
    running = &body;
    unlock();
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                emu_block_index = dim3(x, y, z);
                /* What a block finds in shared memory is chance. */
                memset(dynamic, 0xff, bytes);
                run_block(count);
            }
    lock();
}

cudaError_t
cudaMalloc(void **out, size_t bytes)
{
    size_t need = (bytes + PAGE - 1) / PAGE * PAGE + PAGE, at = 0;
    cudaError_t error = cudaErrorMemoryAllocation;

    if (!memory)
        memory = (char *)mmap(NULL, MEMORY_BYTES, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unlock();
    while (at < used) {
        struct block *block = (struct block *)(void *)(memory + at);

        if (!block->taken && block->bytes >= need)
            break;
        at += block->bytes;
    }
    if (at == used && used + need <= MEMORY_BYTES) {
        used += need;
        rights(PROT_READ | PROT_WRITE);
        ((struct block *)(void *)(memory + at))->bytes = need;
    }
    if (at < used) {
        ((struct block *)(void *)(memory + at))->taken = true;
        *out = memory + at + PAGE;
        memset(*out, 0xff, need - PAGE);        /* not a number: nobody may rely on zeros */
        error = cudaSuccess;
    }
    lock();
    return error;
}

cudaError_t
cudaFree(void *mem)
{
    if (!mem)
        return cudaSuccess;
    unlock();
    ((struct block *)(void *)((char *)mem - PAGE))->taken = false;
    lock();
    return cudaSuccess;
}

static bool
is_device(const void *mem)
{
    return memory && (const char *)mem >= memory && (const char *)mem < memory + used;
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t)
{
    if (is_device(to) != (kind != cudaMemcpyDeviceToHost) ||
        is_device(from) != (kind != cudaMemcpyHostToDevice)) {
        fprintf(stderr, "emulated copy in the wrong direction\n");
        abort();
    }
    unlock();
    memcpy(to, from, bytes);
    lock();
    return cudaSuccess;
}

cudaError_t
cudaMemsetAsync(void *mem, int value, size_t bytes, cudaStream_t)
{
    unlock();
    memset(mem, value, bytes);
    lock();
    return cudaSuccess;
}

cudaError_t
cudaMemGetInfo(size_t *room, size_t *total)
{
    *room = MEMORY_BYTES - used;
    *total = MEMORY_BYTES;
    return cudaSuccess;
}

cudaError_t
cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t
cudaSetDevice(int index)
{
    return index ? cudaErrorInvalidDevice : cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *out, int)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "emulated card");
    out->totalGlobalMem = MEMORY_BYTES;
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = NULL;
    return cudaSuccess;
}

struct emu_event {
    struct timespec at;
};

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = (cudaEvent_t)calloc(1, sizeof(**out));
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    clock_gettime(CLOCK_MONOTONIC, &event->at);
    return cudaSuccess;
}

cudaError_t
cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t last)
{
    *ms = (float)(last->at.tv_sec - first->at.tv_sec) * 1e3f +
          (float)(last->at.tv_nsec - first->at.tv_nsec) * 1e-6f;
    return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

cudaError_t
cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    *out = malloc(bytes);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaFreeHost(void *mem)
{
    free(mem);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }

const char *
cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory" : "invalid value or device";
}
