/* SPDX-License-Identifier: Apache-2.0 */
/* emu.cc - blocks of coroutines: launches, barriers, warps */
#include "tests/gpu/emu/emu_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <map>

#define STACK_BYTES ((size_t)64 << 10)
#define PLAIN_SHARED ((size_t)48 << 10) /* more must be asked for */

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
    int line;                   /* of the warp function that it waits in */
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
static const char *kernel_name = "";
static std::map<const void *, size_t> allowed;  /* dynamic shared memory, by kernel */

uint32_t emu_time = 1, emu_launch_time, emu_block_time;
bool emu_runs;
unsigned emu_thread_number, emu_block_number;

/* Numbers that change from run to run of a program's lines, not from run to run of it. */
uint64_t
emu_chance(void)
{
    static uint64_t state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 20;
}

char *
emu_shared(size_t *bytes)
{
    *bytes = sizeof(dynamic);
    return dynamic;
}

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
emu_sync_warp(uint64_t word, unsigned *alive, int line)
{
    struct coroutine *self = (struct coroutine *)emu_self;
    unsigned warp = (unsigned)(self - threads) / 32, round = self->round++ % 2;

    words[round][warp][(self - threads) % 32] = word;
    self->line = line;
    hand_over(AT_WARP);
    *alive = living[warp];
    return words[round][warp];
}

void
emu_stop(const char *what)
{
    fprintf(stderr, "emulated %s, block (%u, %u, %u) of (%u, %u, %u), thread %u: %s\n",
            kernel_name, emu_block_index.x, emu_block_index.y, emu_block_index.z, emu_grid_dim.x,
            emu_grid_dim.y, emu_grid_dim.z, emu_thread_number, what);
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
        for (unsigned i = first, line = 0; i < last; i++)
            if (threads[i].state == AT_WARP) {
                if (line && (int)line != threads[i].line)
                    emu_stop("lanes of a warp that meet in different warp functions");
                line = (unsigned)threads[i].line;
                threads[i].state = RUNS;
            }
        moved = true;
    }
    if (ended == count)
        return false;
    if (moved)
        return true;
    if (at_warp)
        emu_stop("a warp function that not all living lanes reach");
    if (at_block != count)
        emu_stop("__syncthreads that not all threads reach");
    for (unsigned i = 0; i < count; i++)
        threads[i].state = RUNS;
    emu_time++;
    return true;
}

/* The i-th of `count` in an order that turn decides; count itself: no such one. */
static uint64_t
in_order(uint64_t i, uint64_t count, uint64_t turn)
{
    uint64_t room = 1, at;

    while (room < count)
        room *= 2;
    at = (i * (2 * turn + 1) + turn / 64) & (room - 1);
    return at < count ? at : count;
}

static uint64_t
room_of(uint64_t count)
{
    uint64_t room = 1;

    while (room < count)
        room *= 2;
    return room;
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
    emu_block_time = ++emu_time;
    do {
        uint64_t turn = emu_chance();

        for (uint64_t i = 0; i < room_of(count); i++) {
            unsigned at = (unsigned)in_order(i, count, turn);

            while (at < count && threads[at].state == RUNS) {
                emu_self = &threads[at].thread;
                emu_thread_number = at;
                emu_switch(&home, threads[at].stack);
            }
        }
    } while (release(count));
}

/* ---- launches ---- */

cudaError_t
emu_allow(const void *kernel, int bytes)
{
    if ((size_t)bytes > SHARED_MAX - 1024)
        return cudaErrorInvalidValue;
    allowed[kernel] = (size_t)bytes;
    return cudaSuccess;
}

void
emu_check_launch(const struct emu_launch &launch)
{
    const dim3 &grid = launch.grid, &block = launch.block;
    uint64_t count = (uint64_t)block.x * block.y * block.z;
    const char *what = NULL;

    if (!count || count > THREADS_MAX)
        what = "a block takes 1 to 1024 threads";
    else if (!grid.x || !grid.y || !grid.z)
        what = "no blocks";
    else if (grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
        what = "too many blocks";
    else if (launch.bytes > SHARED_MAX)
        what = "more shared memory than a block can have";
    else if (launch.bytes > PLAIN_SHARED &&
             (!allowed.count(launch.kernel) || allowed[launch.kernel] < launch.bytes))
        what = "more than 48 KiB of shared memory were not asked for";
    if (!what)
        return;
    fprintf(stderr, "emulated launch of %s, (%u, %u, %u) blocks of %llu threads, %zu bytes: %s\n",
            launch.name, grid.x, grid.y, grid.z, (unsigned long long)count, launch.bytes, what);
    abort();
}

void
emu_run(const struct emu_launch &launch, const std::function<void()> &body)
{
    const dim3 &grid = launch.grid;
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z, turn = emu_chance();

    if (!stacks)
        stacks = (char *)mmap(NULL, THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    emu_grid_dim = grid;
    emu_block_dim = launch.block;
    kernel_name = launch.name;
    running = &body;
    emu_launch_time = ++emu_time;
    emu_runs = true;
    for (uint64_t i = 0; i < room_of(blocks); i++) {
        uint64_t at = in_order(i, blocks, turn);

        if (at == blocks)
            continue;
        emu_block_number = (unsigned)at;
        emu_block_index = dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                               (unsigned)(at / grid.x / grid.y));
        /* What a block finds in shared memory is chance. */
        memset(dynamic, 0xff, launch.bytes);
        run_block(launch.block.x * launch.block.y * launch.block.z);
    }
    emu_runs = false;
}
