/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_arena.h - many small objects that end together
 *
 * For parsed documents, configs, word lists: whatever lives as long as a process, an
 * attempt or a step. Not for tensors (sea_plan.h) nor for bytes that grow (sea_buf.h).
 *
 * Invariants: (1) memory is zeroed and stays put until the arena's reset;
 *             (2) a reset ends the children first, then runs the on_reset calls, last
 *                 one first, then frees;
 *             (3) an allocation never returns NULL: the process ends with a message when
 *                 host memory is gone or count * size overflows.
 * Threads: one at a time per arena.
 */
#ifndef SEA_ARENA_H
#define SEA_ARENA_H

#include <stddef.h>

#include "engine/base/sea_err.h"

struct sea_arena;

/* parent may be NULL (a root). name is copied; it is shown when memory is gone. */
struct sea_arena *sea_arena_create(struct sea_arena *parent, const char *name);
void sea_arena_reset(struct sea_arena *arena);
void sea_arena_destroy(struct sea_arena *arena);        /* accepts NULL */

/* Aligned to 64 bytes when the object is 64 bytes or more, else to 16. */
void *sea_arena_alloc(struct sea_arena *arena, size_t count, size_t size);
char *sea_arena_strdup(struct sea_arena *arena, const char *text);
char *sea_arena_strndup(struct sea_arena *arena, const char *text, size_t len);
SEA_PRINTF(2) char *sea_arena_printf(struct sea_arena *arena, const char *fmt, ...);

/* For a list that is full: a copy with room for twice as many, the new half zeroed; *room is least
 * at first. What was in use before stays in the arena, as large as what is used now. */
void *sea_arena_grow(struct sea_arena *arena, const void *list, size_t *room, size_t least,
                     size_t size);

/* fn(arg) runs at the reset, last one first: close a file, unmap a region. */
void sea_arena_on_reset(struct sea_arena *arena, void (*fn)(void *), void *arg);

/* Bytes handed out since the last reset, children not counted. */
size_t sea_arena_bytes(const struct sea_arena *arena);

/* malloc family for single objects with an owner; never NULL, the process ends instead. */
void *sea_xcalloc(size_t count, size_t size);
void *sea_xrealloc(void *old, size_t count, size_t size);
char *sea_xstrdup(const char *text);

#endif
