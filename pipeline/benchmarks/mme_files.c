/* SPDX-License-Identifier: Apache-2.0 */
/* mme_files.c - MME's tasks, the keys that join its files, and folders of TASK.txt */
#include <string.h>

#include "pipeline/benchmarks/mme_int.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

const char *const sea_mme_perception[] = { "existence", "count", "position", "color", "posters",
                                           "celebrity", "scene", "landmark", "artwork", "OCR",
                                           NULL };
const char *const sea_mme_cognition[] = { "commonsense_reasoning", "numerical_calculation",
                                          "text_translation", "code_reasoning", NULL };

bool
sea_mme_is_in(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

bool
sea_mme_is_task(const char *name)
{
    return sea_mme_is_in(sea_mme_perception, name) || sea_mme_is_in(sea_mme_cognition, name);
}

/* ---- keys: "task/stem" and the question without any of its suffixes ---- */

const char *
sea_mme_bare_question(const char *text, struct sea_arena *arena)
{
    size_t n = strcspn(text, "\n"), tail = strlen(SEA_MME_YES_NO);
    const char *from = text;

    sea_text_strip(&from, &n);
    if (n >= tail && memcmp(from + n - tail, SEA_MME_YES_NO, tail) == 0)
        n -= tail;
    sea_text_strip(&from, &n);
    return sea_arena_strndup(arena, from, n);
}

/* The stem is what the last part of the file's name has before a period. */
const char *
sea_mme_key(const char *task, size_t task_len, const char *file, const char *question,
            struct sea_arena *arena)
{
    const char *slash = strrchr(file, '/'), *stem = slash ? slash + 1 : file;

    return sea_arena_printf(arena, "%.*s/%.*s\n%s", (int)task_len, task,
                            (int)strcspn(stem, "."), stem,
                            sea_mme_bare_question(question, arena));
}

/* ---- folders of TASK.txt ---- */

struct lines {
    sea_mme_line_fn *fn;
    void *arg;
    const char *path;           /* of the file at hand */
    const char *task, *file;    /* file NULL: the line names it */
    int64_t line;
    struct sea_hash *hash;      /* of everything read */
};

static enum sea_status
read_line(struct lines *l, char *text, struct sea_err *err)
{
    const char *fields[5] = { NULL }, *given[4];
    size_t n = 0, want = l->file ? 2 : 3;

    for (char *at = text; at && n < 5; n++) {
        char *tab = strchr(at, '\t');

        fields[n] = at;
        if (tab)
            *tab++ = 0;
        at = tab;
    }
    if (n != want && (l->file || n != 4))
        return sea_fail(err, SEA_E_FORMAT,
                        "file \"%s\", line %lld: %zu fields between tabs, expected %s", l->path,
                        (long long)l->line, n,
                        l->file ? "question and answer"
                                : "file, question, gold answer and prediction");
    given[0] = l->file ? l->file : fields[0];
    given[1] = fields[l->file ? 0 : 1];
    given[2] = fields[l->file ? 1 : 2];
    given[3] = n == 4 ? fields[3] : NULL;
    return l->fn(l->arg, l->task, given, err);
}

static enum sea_status
read_file(struct lines *l, struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, FILE_BYTES_MAX);
    status = sea_file_read(l->path, &text, err);
    if (!status && l->hash)
        sea_hash_add(l->hash, text.data, text.len);
    l->line = 0;
    for (char *at = text.data; !status && at && *at;) {
        char *end = at + strcspn(at, "\r\n"), *next = end;

        next += *next == '\r';
        next += *next == '\n';
        l->line++;
        *end = 0;
        if (*at)
            status = read_line(l, at, err);
        at = next;
    }
    sea_buf_release(&text);
    return status;
}

struct folder {
    struct lines lines;
    const char *root;
    struct sea_arena *arena;
    size_t files;
};

/* The first folder of a path that has a task's name, NULL when none has. */
static const char *
task_folder(const char *relative, struct sea_arena *arena)
{
    const char *slash;

    for (; (slash = strchr(relative, '/')) != NULL; relative = slash + 1) {
        const char *name = sea_arena_strndup(arena, relative, (size_t)(slash - relative));

        if (sea_mme_is_task(name))
            return name;
    }
    return NULL;
}

/* TASK.txt, TASK/STEM.txt or TASK/questions_answers_YN/STEM.txt, also some folders deeper. */
static enum sea_status
visit(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct folder *f = arg;
    size_t n = strlen(relative);
    const char *slash = strrchr(relative, '/'), *folder = task_folder(relative, f->arena);
    const char *name = slash ? slash + 1 : relative;

    (void)bytes;
    if (n < 5 || strcmp(relative + n - 4, ".txt") != 0)
        return SEA_OK;
    f->lines.path = sea_arena_printf(f->arena, "%s/%s", f->root, relative);
    f->lines.task = folder ? folder : sea_arena_strndup(f->arena, name, strlen(name) - 4);
    f->lines.file = folder ? name : NULL;
    if (!sea_mme_is_task(f->lines.task))
        return SEA_OK;          /* a readme, say */
    f->files++;
    return read_file(&f->lines, err);
}

enum sea_status
sea_mme_read_folder(const char *root, sea_mme_line_fn *fn, void *arg, struct sea_hash *hash,
                    struct sea_arena *arena, struct sea_err *err)
{
    struct folder f = { .lines = { .fn = fn, .arg = arg, .hash = hash }, .root = root,
                        .arena = arena };
    enum sea_status status = sea_dir_walk(root, visit, &f, err);

    if (!status && f.files == 0)
        status = sea_fail(err, SEA_E_MISSING, "folder \"%s\" holds no TASK.txt or TASK/*.txt of "
                          "MME", root);
    return status;
}
