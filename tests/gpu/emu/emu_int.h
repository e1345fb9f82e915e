/* SPDX-License-Identifier: Apache-2.0 */
/* emu_int.h - what the files of the emulation share: who runs, and since when */
#ifndef SEA_TESTS_EMU_INT_H
#define SEA_TESTS_EMU_INT_H

#include "tests/gpu/emu/cuda_runtime.h"

#define THREADS_MAX 1024
#define SHARED_MAX ((size_t)164 << 10)
#define MEMORY_BYTES ((size_t)8 << 30)  /* of the device, taken from the system when touched */

/* A clock that every barrier of a block moves on: two accesses of one block at one time have no
 * order. Its values when the launch and the block began. */
extern uint32_t emu_time, emu_launch_time, emu_block_time;
extern bool emu_runs;           /* a kernel does */
extern unsigned emu_thread_number, emu_block_number;

void emu_run(const struct emu_launch &launch, const std::function<void()> &body);
void emu_check_launch(const struct emu_launch &launch);
[[noreturn]] void emu_stop(const char *what);
uint64_t emu_chance(void);

extern char *emu_memory;        /* of the device: MEMORY_BYTES from here on; NULL: none yet */
#define EMU_PAGE ((size_t)4096)
extern bool emu_taken[];        /* pages of it that somebody was given */
char *emu_shared(size_t *bytes);

#endif
