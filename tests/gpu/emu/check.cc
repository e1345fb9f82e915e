/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.cc - every access to memory of an emulated kernel, looked at
 *
 * Kernels compiled with -fsanitize=thread call these functions before each access; what they do
 * is ours. Two bytes of shared or device memory have a record of who wrote and who read them
 * last, and when (emu_int.h). Two accesses, one of them a write, have no order
 *  - in one block, by different threads, without a barrier between them: lanes of a warp, too,
 *    since no card runs them in step;
 *  - in device memory, by different blocks of one launch.
 * Dynamic shared memory that is read before anybody of the block wrote it is chance as well, and
 * so are pages of device memory that were never given, or given back.
 * -fsanitize=alignment calls the last functions: vectors at addresses that a card refuses.
 */
#include "tests/gpu/emu/emu_int.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREAD_BITS 0x3ffu      /* of `who`: the thread, above it the block */
#define BLOCK_BITS 0x3ffffc00u
#define OTHER_THREADS 0x40000000u       /* of a read: there were more at that time */
#define OTHER_BLOCKS 0x80000000u        /* and more blocks of that launch */

struct record {
    uint32_t wrote_time, wrote_who, read_time, read_who;
};

/* A stretch of memory that is watched: its records, one for two bytes. */
struct stretch {
    const char *from;
    size_t bytes;
    struct record *records;
};

static struct stretch device, own;      /* own: static data of this library, where __shared__ is */
static const char *dynamic;
static size_t dynamic_bytes;

static int
find_own(struct dl_phdr_info *info, size_t, void *)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        const char *from = (const char *)(info->dlpi_addr + part->p_vaddr);

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W) ||
            (const char *)&emu_runs < from || (const char *)&emu_runs >= from + part->p_memsz)
            continue;
        own.from = from;
        own.bytes = part->p_memsz;
        return 1;
    }
    return 0;
}

static void
watch(struct stretch *stretch)
{
    size_t bytes = (stretch->bytes / 2 + 1) * sizeof(struct record);
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        perror("records of emulated memory");
        abort();
    }
    stretch->records = (struct record *)mem;
}

static void
begin(void)
{
    dl_iterate_phdr(find_own, NULL);
    dynamic = emu_shared(&dynamic_bytes);
    device = { emu_memory, MEMORY_BYTES, NULL };
    watch(&device);
    watch(&own);
}

[[noreturn]] static void
tell(const char *what, const void *mem, bool write, uint32_t who, void *pc)
{
    char text[512];
    Dl_info info;

    if (!dladdr(pc, &info))
        info = { "?", NULL, NULL, NULL };
    snprintf(text, sizeof(text), "%s: %s %p after thread %u of block %u (%s + 0x%zx)", what,
             write ? "writes" : "reads", mem, who & THREAD_BITS, (who & BLOCK_BITS) >> 10,
             info.dli_fname, (size_t)((char *)pc - (char *)info.dli_fbase));
    emu_stop(text);
}

/* Whether an earlier access has no order with this one. */
static bool
clashes(uint32_t time, uint32_t who, uint32_t me, bool is_shared)
{
    if (time < (is_shared ? emu_block_time : emu_launch_time))
        return false;
    if (time == emu_time)
        return (who & (THREAD_BITS | BLOCK_BITS)) != me || who & OTHER_THREADS;
    return !is_shared && ((who & BLOCK_BITS) != (me & BLOCK_BITS) || who & OTHER_BLOCKS);
}

static void
look(const void *mem, size_t bytes, bool write, void *pc)
{
    const char *at = (const char *)mem;
    uint32_t me = emu_thread_number | (emu_block_number << 10 & BLOCK_BITS);
    struct stretch *stretch;
    bool is_shared;

    if (!emu_runs)
        return;
    if (!own.records)
        begin();
    is_shared = at >= own.from && at < own.from + own.bytes;
    if (!is_shared && !(at >= device.from && at < device.from + device.bytes))
        return;
    stretch = is_shared ? &own : &device;
    if (!is_shared && (!emu_taken[(size_t)(at - device.from) / EMU_PAGE] ||
                       !emu_taken[(size_t)(at + bytes - 1 - device.from) / EMU_PAGE]))
        tell("device memory that nobody was given, or gave back", mem, write, me, pc);
    for (size_t i = (size_t)(at - stretch->from) / 2,
                end = ((size_t)(at - stretch->from) + bytes - 1) / 2; i <= end; i++) {
        struct record *r = &stretch->records[i];

        /* The same read again, nothing written since. */
        if (!write && r->read_time == emu_time && r->read_who == me)
            continue;
        if (clashes(r->wrote_time, r->wrote_who, me, is_shared))
            tell("no order between a write and an access", mem, write, r->wrote_who, pc);
        if (write && clashes(r->read_time, r->read_who, me, is_shared))
            tell("no order between a read and a write", mem, write, r->read_who, pc);
        if (write) {
            r->wrote_time = emu_time;
            r->wrote_who = me;
            r->read_time = 0;           /* what was read before has its order */
            continue;
        }
        if (at >= dynamic && at < dynamic + dynamic_bytes && r->wrote_time < emu_block_time)
            tell("shared memory that nobody wrote", mem, write, me, pc);
        if (r->read_time == emu_time) {
            if ((r->read_who & (THREAD_BITS | BLOCK_BITS)) != me)
                r->read_who |= OTHER_THREADS;
            continue;
        }
        uint32_t others = !is_shared && r->read_time >= emu_launch_time &&
                          ((r->read_who & BLOCK_BITS) != (me & BLOCK_BITS) ||
                           r->read_who & OTHER_BLOCKS) ? OTHER_BLOCKS : 0;

        r->read_time = emu_time;
        r->read_who = me | others;
    }
}

#define LOOK(n)                                                                       \
    extern "C" void __tsan_read##n(void *mem)                                         \
    {                                                                                 \
        look(mem, n, false, __builtin_return_address(0));                             \
    }                                                                                 \
    extern "C" void __tsan_write##n(void *mem)                                        \
    {                                                                                 \
        look(mem, n, true, __builtin_return_address(0));                              \
    }                                                                                 \
    extern "C" void __tsan_unaligned_read##n(void *mem)                               \
    {                                                                                 \
        look(mem, n, false, __builtin_return_address(0));                             \
    }                                                                                 \
    extern "C" void __tsan_unaligned_write##n(void *mem)                              \
    {                                                                                 \
        look(mem, n, true, __builtin_return_address(0));                              \
    }
LOOK(1)
LOOK(2)
LOOK(4)
LOOK(8)
LOOK(16)

extern "C" void
__tsan_read_range(void *mem, size_t bytes)
{
    if (bytes)
        look(mem, bytes, false, __builtin_return_address(0));
}

extern "C" void
__tsan_write_range(void *mem, size_t bytes)
{
    if (bytes)
        look(mem, bytes, true, __builtin_return_address(0));
}

extern "C" void __tsan_init(void) {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit(void) {}
extern "C" void __tsan_vptr_update(void **, void *) {}
extern "C" void __tsan_vptr_read(void **) {}

struct place {                  /* how the compiler's records of -fsanitize=alignment begin */
    const char *file;
    uint32_t line, column;
};

extern "C" void
__ubsan_handle_type_mismatch_v1_abort(const struct place *place, void *mem)
{
    char text[512];

    snprintf(text, sizeof(text), "%s:%u: address %p is not aligned", place->file, place->line,
             mem);
    emu_stop(text);
}
