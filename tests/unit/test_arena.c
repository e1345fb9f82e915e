/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_rng.h"
#include "tests/sea_test.h"

static int
is_filled_with(const unsigned char *mem, size_t n, int value)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (mem[i] != value)
            return 0;
    return 1;
}

static void
objects_are_zeroed_aligned_and_stay_put(void)
{
    enum { COUNT = 3000 };
    static struct { unsigned char *mem; size_t n; } objects[COUNT];
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_rng rng;
    size_t total = 0;
    int i, round, wrong = 0;

    sea_rng_init(&rng, 1, 2);
    for (round = 0; round < 2; round++) {       /* the second time on used memory */
        total = 0;
        for (i = 0; i < COUNT; i++) {
            /* mostly small, some around and above the size of a block */
            size_t n = sea_rng_below(&rng, 300);

            if (i % 100 == 50)
                n = 60000 + sea_rng_below(&rng, 200000);
            objects[i].n = n;
            objects[i].mem = sea_arena_alloc(arena, n, 1);
            total += n;
            wrong += !is_filled_with(objects[i].mem, n, 0);
            wrong += (uintptr_t)objects[i].mem % (n >= 64 ? 64 : 16) != 0;
            memset(objects[i].mem, i & 0xFF, n);
        }
        for (i = 0; i < COUNT; i++)
            wrong += !is_filled_with(objects[i].mem, objects[i].n, i & 0xFF);
        CHECK_INT(wrong, 0);
        CHECK_INT(sea_arena_bytes(arena), total);
        sea_arena_reset(arena);
        CHECK_INT(sea_arena_bytes(arena), 0);
    }
    sea_arena_destroy(arena);
}

static char order[16];

static void
note(void *arg)
{
    size_t len = strlen(order);

    order[len] = *(const char *)arg;
    order[len + 1] = 0;
}

static void
children_end_first_and_calls_run_last_one_first(void)
{
    struct sea_arena *root = sea_arena_create(NULL, "root");
    struct sea_arena *child = sea_arena_create(root, "child");
    struct sea_arena *grandchild = sea_arena_create(child, "grandchild");

    order[0] = 0;
    sea_arena_on_reset(root, note, "a");
    sea_arena_on_reset(root, note, "b");
    sea_arena_on_reset(child, note, "c");
    sea_arena_on_reset(grandchild, note, "g");
    sea_arena_reset(root);
    CHECK_STR(order, "gcba");
    sea_arena_reset(root);      /* each call ran once */
    CHECK_STR(order, "gcba");
    sea_arena_on_reset(root, note, "d");
    sea_arena_destroy(root);
    CHECK_STR(order, "gcbad");
}

static void
a_child_may_end_before_its_parent(void)
{
    struct sea_arena *root = sea_arena_create(NULL, "root");
    struct sea_arena *children[5];
    char *text = sea_arena_strdup(root, "stays");
    static const int ends[] = { 2, 0, 4 };
    int i;

    order[0] = 0;
    for (i = 0; i < 5; i++) {
        children[i] = sea_arena_create(root, "child");
        sea_arena_on_reset(children[i], note, &"01234"[i]);
    }
    for (i = 0; i < 3; i++)
        sea_arena_destroy(children[ends[i]]);
    CHECK_STR(order, "204");
    CHECK_STR(text, "stays");
    sea_arena_destroy(root);
    CHECK_INT(strlen(order), 5);
    sea_arena_destroy(NULL);
}

static void
texts_are_copied(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "texts");
    char from[] = "pool";

    char *all = sea_arena_strdup(arena, from);
    char *some = sea_arena_strndup(arena, from, 2);
    char *made = sea_arena_printf(arena, "%s-%05d", from, 42);
    char *empty = sea_arena_printf(arena, "%s", "");
    char *bytes = sea_arena_strndup(arena, "a\0b", 3);

    from[0] = 'X';
    CHECK_STR(all, "pool");
    CHECK_STR(some, "po");
    CHECK_STR(made, "pool-00042");
    CHECK_STR(empty, "");
    CHECK(memcmp(bytes, "a\0b", 4) == 0);
    sea_arena_destroy(arena);
}

/* Runs fn in a child process and returns its exit status. */
static int
exit_status_of(void (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        fn();
        _exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static volatile size_t huge = SIZE_MAX / 4;

static void
ask_for_too_much(void)
{
    sea_arena_alloc(sea_arena_create(NULL, "huge"), huge, 16);
}

static void
ask_realloc_for_too_much(void)
{
    free(sea_xrealloc(NULL, huge, 16));
}

static void
ask_calloc_for_too_much(void)
{
    free(sea_xcalloc(huge, 16));
}

static void
overflow_ends_the_process_with_its_exit_status(void)
{
    CHECK(exit_status_of(ask_for_too_much) == 70);
    CHECK(exit_status_of(ask_realloc_for_too_much) == 70);
#ifndef __SANITIZE_ADDRESS__    /* which reports this one itself */
    CHECK(exit_status_of(ask_calloc_for_too_much) == 70);
#else
    (void)ask_calloc_for_too_much;
#endif
}

static void
the_malloc_family_accepts_nothing(void)
{
    char *none = sea_xcalloc(0, 0);
    char *grown = sea_xrealloc(none, 0, 8);
    char *text = sea_xstrdup("");

    CHECK(grown != NULL);
    CHECK_STR(text, "");
    free(grown);
    free(text);
}

static void
a_full_list_gets_twice_the_room(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    size_t room = 0, n;
    int *list = NULL;

    for (n = 0; n < 100; n++) {
        if (n == room)
            list = sea_arena_grow(arena, list, &room, 3, sizeof(*list));
        CHECK_INT(list[n], 0);
        list[n] = (int)n;
    }
    CHECK_INT(room, 192);
    for (n = 0; n < 100 && list[n] == (int)n; n++)
        ;
    CHECK_INT(n, 100);
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("objects of an arena end together",
              TEST(objects_are_zeroed_aligned_and_stay_put),
              TEST(children_end_first_and_calls_run_last_one_first),
              TEST(a_child_may_end_before_its_parent),
              TEST(texts_are_copied), TEST(a_full_list_gets_twice_the_room),
              TEST(overflow_ends_the_process_with_its_exit_status),
              TEST(the_malloc_family_accepts_nothing))
