/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_find.c - which files a path means
 *
 * A folder is looked through three levels deep, links followed, since the hub's cache is made
 * of links. Its files must be of one split: the shards SPLIT-00000-of-00003[-HASH].parquet, or
 * all that lies in one folder. A pattern may take several splits together, as the thirty subjects
 * of MMMU. Shards that say how many they are must all be there, each once. FOLDER with **.parquet
 * behind it is the folder, for readers that take a folder for something else.
 */
#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/parquet_int.h"

#define DEPTH_MAX 3
#define ENTRIES_MAX 100000
#define SPLITS_SHOWN 6
#define ALL_BELOW "/**.parquet"

struct files {
    struct sea_arena *arena;
    const char **at;
    size_t count, room, looked;
    bool just_one;              /* stop at the first */
};

static bool
has_name(const char *name)
{
    size_t n = strlen(name);

    return n > 8 && strcmp(name + n - 8, ".parquet") == 0;
}

static void
add_file(struct files *f, const char *path)
{
    if (f->count == f->room)
        f->at = sea_arena_grow(f->arena, f->at, &f->room, 16, sizeof(*f->at));
    f->at[f->count++] = sea_arena_strdup(f->arena, path);
}

static void
look(struct files *f, const char *folder, int depth)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) && f->looked < ENTRIES_MAX && !(f->just_one && f->count)) {
        char path[SEA_PATH_MAX];

        f->looked++;
        if (entry->d_name[0] == '.' ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= sizeof(path))
            continue;
        if (has_name(entry->d_name) && sea_file_exists(path))
            add_file(f, path);
        else if (depth < DEPTH_MAX && entry->d_type != DT_REG && sea_dir_exists(path))
            look(f, path, depth + 1);
    }
    if (dir)
        closedir(dir);
}

static int
by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "data/test-00001-of-00003-ab.parquet": 1 of 3, stem "data/test"; false for another name. */
static bool
split_name(const char *path, size_t *stem, long *number, long *of)
{
    const char *slash = strrchr(path, '/'), *at = strstr(slash ? slash : path, "-of-");
    const char *start = at;
    char *end;

    while (start && start > path && start[-1] >= '0' && start[-1] <= '9')
        start--;
    if (!at || start == at || start == path || start[-1] != '-' || at - start > 9)
        return false;
    *number = strtol(start, NULL, 10);
    *of = strtol(at + 4, &end, 10);
    *stem = (size_t)(start - 1 - path);
    return end > at + 4 && end - at < 14 && (*end == '-' || *end == '.');
}

static size_t
stem_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t stem;
    long number, of;

    return split_name(path, &stem, &number, &of) ? stem : slash ? (size_t)(slash - path) : 0;
}

/* How many files from `first` on are of its split. */
static size_t
split_size(const struct files *f, size_t first)
{
    size_t n = 1, stem = stem_length(f->at[first]);

    while (first + n < f->count && stem_length(f->at[first + n]) == stem &&
           strncmp(f->at[first + n], f->at[first], stem) == 0)
        n++;
    return n;
}

/* The files are of one split; says so when they are of several. */
static enum sea_status
check_split(const struct files *f, const char *path, struct sea_err *err)
{
    size_t splits = 0;
    struct sea_buf names;

    sea_buf_init(&names, 4096);
    for (size_t i = 0; i < f->count; i += split_size(f, i)) {
        size_t stem, n = names.len;
        long number, of;

        if (splits++ >= SPLITS_SHOWN || n > 3000)
            continue;
        if (split_name(f->at[i], &stem, &number, &of))
            sea_buf_addf(&names, "%s\"%.*s-*.parquet\"", n ? ", " : "", (int)stem, f->at[i]);
        else
            sea_buf_addf(&names, "%s\"%.*s\"", n ? ", " : "", (int)stem_length(f->at[i]), f->at[i]);
    }
    if (splits > 1) {
        sea_fail(err, SEA_E_CONFIG, "folder \"%s\" holds Parquet files of %zu splits", path, splits);
        sea_hint(err, "Name one: %s%s.", names.data, splits > SPLITS_SHOWN ? ", ..." : "");
    }
    sea_buf_release(&names);
    return err->status;
}

/* Shards that say how many they are must all be there, each once. */
static enum sea_status
check_shards(const struct files *f, struct sea_err *err)
{
    for (size_t i = 0, first = 0, n = 0; i < f->count; i++) {
        size_t stem;
        long number, of;

        if (i == first + n) {
            first = i;
            n = split_size(f, i);
        }
        if (!split_name(f->at[i], &stem, &number, &of) ||
            (number == (long)(i - first) && (size_t)of == n))
            continue;
        sea_fail(err, SEA_E_MISSING, "file \"%s\" is shard %ld of %ld (from 0), but %zu shards lie "
                 "there and it is number %zu", f->at[i], number, of, n, i - first);
        sea_hint(err, "Finish the download, and keep one version of each shard; a single shard can "
                 "be named by itself.");
        return err->status;
    }
    return SEA_OK;
}

static void
expand(struct files *f, const char *pattern)
{
    glob_t found = { 0 };

    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (sea_file_exists(found.gl_pathv[i]))
                add_file(f, found.gl_pathv[i]);
    globfree(&found);
}

static bool
is_pattern(const char *path)
{
    return strpbrk(path, "*?[") && has_name(path) && !sea_file_exists(path);
}

enum sea_status
sea_pq_find(const char *path, struct sea_arena *arena, const char ***files, size_t *count,
            struct sea_err *err)
{
    struct files f = { .arena = arena };
    enum sea_status status = SEA_OK;
    size_t n = strlen(path), tail = strlen(ALL_BELOW);
    bool is_folder = sea_dir_exists(path);

    if (n > tail && strcmp(path + n - tail, ALL_BELOW) == 0) {
        path = sea_arena_strndup(arena, path, n - tail);
        is_folder = true;
    }
    if (is_folder)
        look(&f, path, 1);
    else if (is_pattern(path))
        expand(&f, path);
    else
        add_file(&f, path);
    if (f.looked >= ENTRIES_MAX) {
        status = sea_fail(err, SEA_E_CONFIG, "folder \"%s\" holds %d files or more", path,
                          ENTRIES_MAX);
        sea_hint(err, "Name the folder, or a pattern, of just the data set's .parquet files.");
    } else if (f.count == 0) {
        status = sea_fail(err, SEA_E_MISSING, "there is no Parquet file \"%s\"", path);
        sea_hint(err, "Name a .parquet file, a folder that holds some, or a pattern in quotes.");
    }
    if (f.count > 1)
        qsort(f.at, f.count, sizeof(*f.at), by_path);
    if (!status && is_folder)
        status = check_split(&f, path, err);
    if (!status && (f.count > 1 || is_folder))
        status = check_shards(&f, err);
    *files = f.at;
    *count = f.count;
    return status;
}

bool
sea_parquet_is(const char *path)
{
    struct files f = { .just_one = true };
    bool found;

    if (is_pattern(path))
        return true;
    if (sea_dir_exists(path)) {
        f.arena = sea_arena_create(NULL, "files");
        look(&f, path, 1);
        found = f.count > 0;
        sea_arena_destroy(f.arena);
        return found;
    }
    {
        FILE *file = fopen(path, "rb");
        char mark[4] = "";

        found = file && fread(mark, 1, 4, file) == 4 && memcmp(mark, "PAR1", 4) == 0;
        if (file)
            fclose(file);
    }
    return found;
}
