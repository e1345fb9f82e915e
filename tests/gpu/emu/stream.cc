/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.cc - the runtime's other half: device memory that only kernels can touch, streams that
 * do their work later, events, graphs
 *
 * All streams are one queue. A copy from page-locked memory reads that memory when its turn
 * comes, as a card would: whoever writes there before has spoilt it.
 */
#include "tests/gpu/emu/emu_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <deque>
#include <memory>
#include <vector>

#define WAITING_MAX 64          /* tasks; the oldest run when there are more */

#define PAGE EMU_PAGE

typedef std::function<void()> task;

struct emu_graph {
    std::vector<task> tasks;
};

char *emu_memory;
static size_t used;
static int unlocked;
static std::deque<task> waiting;
static uint64_t given, finished;        /* tasks, ever */
static struct emu_graph *capturing;

struct pinned {
    const char *from, *end;
};
static std::vector<struct pinned> pinned;

static void
rights(int what)
{
    if (emu_memory && used && mprotect(emu_memory, used, what)) {
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

/* ---- the queue ---- */

static void
never_captured(const char *what)
{
    if (!capturing)
        return;
    fprintf(stderr, "emulated stream: %s while it is captured\n", what);
    abort();
}

static void
finish(uint64_t task_number)
{
    if (finished >= task_number)
        return;
    unlock();
    while (finished < task_number) {
        task next = std::move(waiting.front());

        waiting.pop_front();
        next();
        finished++;
    }
    lock();
}

static void
put(task next)
{
    if (capturing) {
        capturing->tasks.push_back(std::move(next));
        return;
    }
    waiting.push_back(std::move(next));
    given++;
    if (waiting.size() > WAITING_MAX || emu_chance() % 8 == 0)
        finish(finished + emu_chance() % (waiting.size() + 1));
}

void
emu_enqueue(cudaStream_t, const struct emu_launch &launch, std::function<void()> body)
{
    emu_check_launch(launch);
    put([launch, body] { emu_run(launch, body); });
}

cudaError_t
cudaStreamSynchronize(cudaStream_t)
{
    never_captured("waited for");
    finish(given);
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = NULL;
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t)
{
    finish(given);
    return cudaSuccess;
}

/* ---- memory ---- */

bool emu_taken[MEMORY_BYTES / EMU_PAGE];

static void
mark(const void *mem, size_t bytes, bool taken)
{
    memset(emu_taken + (size_t)((const char *)mem - emu_memory) / PAGE, taken, bytes / PAGE);
}

struct block {                  /* in front of every allocation, a page of its own */
    size_t bytes;
    bool taken;
};

cudaError_t
cudaMalloc(void **out, size_t bytes)
{
    size_t need = (bytes + PAGE - 1) / PAGE * PAGE + PAGE, at = 0;
    cudaError_t error = cudaErrorMemoryAllocation;

    never_captured("given memory");
    if (!emu_memory)
        emu_memory = (char *)mmap(NULL, MEMORY_BYTES, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unlock();
    while (at < used) {
        struct block *block = (struct block *)(void *)(emu_memory + at);

        if (!block->taken && block->bytes >= need)
            break;
        at += block->bytes;
    }
    if (at == used && used + need <= MEMORY_BYTES) {
        used += need;
        rights(PROT_READ | PROT_WRITE);
        ((struct block *)(void *)(emu_memory + at))->bytes = need;
    }
    if (at < used) {
        ((struct block *)(void *)(emu_memory + at))->taken = true;
        *out = emu_memory + at + PAGE;
        mark(*out, need - PAGE, true);
        memset(*out, 0xff, need - PAGE);        /* not a number: nobody may rely on zeros */
        error = cudaSuccess;
    }
    lock();
    return error;
}

static void
give_back(void *mem)
{
    struct block *block = (struct block *)(void *)((char *)mem - PAGE);

    block->taken = false;
    mark(mem, block->bytes - PAGE, false);
    memset(mem, 0xff, block->bytes - PAGE);     /* nor on what it was */
}

cudaError_t
cudaFree(void *mem)
{
    if (!mem)
        return cudaSuccess;
    never_captured("its memory taken away");
    finish(given);
    unlock();
    give_back(mem);
    lock();
    return cudaSuccess;
}

cudaError_t
cudaMallocAsync(void **out, size_t bytes, cudaStream_t)
{
    return cudaMalloc(out, bytes);
}

cudaError_t
cudaFreeAsync(void *mem, cudaStream_t)
{
    never_captured("its memory taken away");
    put([mem] { give_back(mem); });
    return cudaSuccess;
}

static bool
is_device(const void *mem)
{
    return emu_memory && (const char *)mem >= emu_memory && (const char *)mem < emu_memory + used;
}

static bool
is_pinned(const void *mem)
{
    for (const struct pinned &range : pinned)
        if ((const char *)mem >= range.from && (const char *)mem < range.end)
            return true;
    return false;
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t)
{
    if (is_device(to) != (kind != cudaMemcpyDeviceToHost) ||
        is_device(from) != (kind != cudaMemcpyHostToDevice)) {
        fprintf(stderr, "emulated copy in the wrong direction\n");
        abort();
    }
    if (kind == cudaMemcpyDeviceToDevice ||
        is_pinned(kind == cudaMemcpyHostToDevice ? from : to)) {
        put([=] { memcpy(to, from, bytes); });
        return cudaSuccess;
    }
    never_captured("copied to or from ordinary memory");
    if (kind == cudaMemcpyHostToDevice) {
        auto kept = std::make_shared<std::vector<char>>((const char *)from,
                                                        (const char *)from + bytes);

        put([=] { memcpy(to, kept->data(), bytes); });
        return cudaSuccess;
    }
    finish(given);
    unlock();
    memcpy(to, from, bytes);
    lock();
    return cudaSuccess;
}

cudaError_t
cudaMemsetAsync(void *mem, int value, size_t bytes, cudaStream_t)
{
    put([=] { memset(mem, value, bytes); });
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
cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    *out = malloc(bytes);
    if (*out)
        pinned.push_back({ (const char *)*out, (const char *)*out + bytes });
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaFreeHost(void *mem)
{
    finish(given);
    for (size_t i = 0; i < pinned.size(); i++)
        if (pinned[i].from == (const char *)mem)
            pinned.erase(pinned.begin() + (ptrdiff_t)i--);
    free(mem);
    return cudaSuccess;
}

/* ---- events ---- */

struct emu_event {
    struct timespec at;
    uint64_t task_number;
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
    never_captured("marked");
    event->task_number = given + 1;
    put([event] { clock_gettime(CLOCK_MONOTONIC, &event->at); });
    return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t event)
{
    never_captured("waited for");
    finish(event->task_number);
    return cudaSuccess;
}

cudaError_t
cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t last)
{
    finish(first->task_number);
    finish(last->task_number);
    *ms = (float)(last->at.tv_sec - first->at.tv_sec) * 1e3f +
          (float)(last->at.tv_nsec - first->at.tv_nsec) * 1e-6f;
    return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    finish(event->task_number);
    free(event);
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t
cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode)
{
    never_captured("captured again");
    capturing = new emu_graph;
    return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture(cudaStream_t, cudaGraph_t *out)
{
    *out = capturing;
    capturing = NULL;
    return *out ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = new emu_graph(*graph);
    return cudaSuccess;
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t)
{
    never_captured("given a graph");
    put([graph] {
        for (const task &next : graph->tasks)
            next();
    });
    return cudaSuccess;
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    finish(given);
    delete graph;
    return cudaSuccess;
}

/* ---- the card ---- */

cudaError_t
cudaGetDeviceCount(int *count)
{
    /* A driver that is older than the runtime, for a test. */
    if (getenv("EMU_OLD_DRIVER"))
        return cudaErrorInsufficientDriver;
    *count = 1;
    return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion(int *version)
{
    const char *old = getenv("EMU_OLD_DRIVER");

    *version = old ? (int)strtol(old, NULL, 10) : CUDART_VERSION;
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
    out->major = 9;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) { return cudaSuccess; }

const char *
cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory" :
           error == cudaErrorInsufficientDriver ? "the driver is too old" :
           "invalid value or device";
}
