/* SPDX-License-Identifier: Apache-2.0 */
/* scratch_files.h - files below a test's folder: their paths, and writing them */
#ifndef SCRATCH_FILES_H
#define SCRATCH_FILES_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;         /* made by the first path_of */

static const char *
path_of(const char *name)
{
    arena = arena ? arena : sea_arena_create(NULL, "test");
    return sea_arena_printf(arena, "%s/%s", sea_test_dir(), name);
}

/* Path of a file that is written with this text. */
static const char *
put_file(const char *name, const char *text)
{
    const char *path = path_of(name);
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    return path;
}

#endif
