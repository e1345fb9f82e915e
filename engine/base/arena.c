/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 * 1024)

struct block {
    struct block *next;
    size_t used, room;          /* bytes of data[] */
    _Alignas(64) char data[];
};

struct reset_call {
    struct reset_call *next;
    void (*fn)(void *);
    void *arg;
};

struct sea_arena {
    struct sea_arena *parent, *first_child, *next_sibling;
    struct block *blocks;       /* the first one takes new objects */
    struct reset_call *calls;   /* allocated in the blocks, newest first */
    size_t bytes;
    char name[32];
};

static _Noreturn void
out_of_memory(const char *what, size_t count, size_t size)
{
    fprintf(stderr, "sea: no host memory for %zu x %zu bytes (%s)\n", count, size, what);
    exit(sea_status_exit(SEA_E_INTERNAL));
}

static size_t
product(const char *what, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX / 2) / size)
        out_of_memory(what, count, size);
    return count * size;
}

struct sea_arena *
sea_arena_create(struct sea_arena *parent, const char *name)
{
    struct sea_arena *arena = sea_xcalloc(1, sizeof(*arena));

    snprintf(arena->name, sizeof(arena->name), "%s", name);
    arena->parent = parent;
    if (parent) {
        arena->next_sibling = parent->first_child;
        parent->first_child = arena;
    }
    return arena;
}

/* Frees everything in arena but not arena itself; its children end whole. */
static void
end_contents(struct sea_arena *arena)
{
    struct block *block, *next;

    while (arena->first_child) {
        struct sea_arena *child = arena->first_child;

        arena->first_child = child->next_sibling;
        child->parent = NULL;           /* taken out already */
        sea_arena_destroy(child);
    }
    while (arena->calls) {
        struct reset_call *call = arena->calls;

        arena->calls = call->next;      /* before the call: it may add calls */
        call->fn(call->arg);
    }
    for (block = arena->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
    arena->bytes = 0;
}

void
sea_arena_reset(struct sea_arena *arena)
{
    end_contents(arena);
}

void
sea_arena_destroy(struct sea_arena *arena)
{
    struct sea_arena **link;

    if (!arena)
        return;
    end_contents(arena);
    if (arena->parent) {
        for (link = &arena->parent->first_child; *link != arena;)
            link = &(*link)->next_sibling;
        *link = arena->next_sibling;
    }
    free(arena);
}

void *
sea_arena_alloc(struct sea_arena *arena, size_t count, size_t size)
{
    size_t bytes = product(arena->name, count, size);
    size_t align = bytes >= 64 ? 64 : 16;
    struct block *block = arena->blocks;
    size_t at = block ? (block->used + align - 1) & ~(align - 1) : 0;

    if (!block || at > block->room || bytes > block->room - at) {
        size_t room = bytes > BLOCK_BYTES / 4 ? (bytes + 63) & ~(size_t)63 : BLOCK_BYTES;

        block = aligned_alloc(64, (sizeof(*block) + room + 63) & ~(size_t)63);
        if (!block)
            out_of_memory(arena->name, count, size);
        block->used = 0;
        block->room = room;
        if (arena->blocks && room != BLOCK_BYTES) {
            /* A large object gets its own block behind the first, which stays open. */
            block->next = arena->blocks->next;
            arena->blocks->next = block;
        } else {
            block->next = arena->blocks;
            arena->blocks = block;
        }
        at = 0;
    }
    block->used = at + bytes;
    arena->bytes += bytes;
    return memset(block->data + at, 0, bytes);
}

char *
sea_arena_strndup(struct sea_arena *arena, const char *text, size_t len)
{
    char *copy = sea_arena_alloc(arena, len + 1, 1);

    memcpy(copy, text, len);
    return copy;
}

void *
sea_arena_grow(struct sea_arena *arena, const void *list, size_t *room, size_t least, size_t size)
{
    size_t old = *room;
    void *more;

    *room = old ? 2 * old : least;
    more = sea_arena_alloc(arena, *room, size);
    if (old)
        memcpy(more, list, old * size);
    return more;
}

char *
sea_arena_strdup(struct sea_arena *arena, const char *text)
{
    return sea_arena_strndup(arena, text, strlen(text));
}

char *
sea_arena_printf(struct sea_arena *arena, const char *fmt, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    text = sea_arena_alloc(arena, (size_t)(len < 0 ? 0 : len) + 1, 1);
    va_start(args, fmt);
    vsnprintf(text, (size_t)(len < 0 ? 0 : len) + 1, fmt, args);
    va_end(args);
    return text;
}

void
sea_arena_on_reset(struct sea_arena *arena, void (*fn)(void *), void *arg)
{
    struct reset_call *call = sea_arena_alloc(arena, 1, sizeof(*call));

    call->fn = fn;
    call->arg = arg;
    call->next = arena->calls;
    arena->calls = call;
}

size_t
sea_arena_bytes(const struct sea_arena *arena)
{
    return arena->bytes;
}

void *
sea_xcalloc(size_t count, size_t size)
{
    void *mem = calloc(count ? count : 1, size ? size : 1);

    if (!mem)
        out_of_memory("calloc", count, size);
    return mem;
}

void *
sea_xrealloc(void *old, size_t count, size_t size)
{
    size_t bytes = product("realloc", count, size);
    void *mem = realloc(old, bytes ? bytes : 1);

    if (!mem)
        out_of_memory("realloc", count, size);
    return mem;
}

char *
sea_xstrdup(const char *text)
{
    size_t len = strlen(text) + 1;

    return memcpy(sea_xcalloc(len, 1), text, len);
}
