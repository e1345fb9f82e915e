/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.c - folders that hold one file in parts
 *
 * Three kinds are published: LLaVA's chunks 4_0.jsonl to 4_3.jsonl, with or without the
 * merge.jsonl made of them; and a folder per subject with an output.json (MMMU), or with the
 * parsed_output.json that its script made of that.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/benchmarks/benchmarks_int.h"

enum kind { MERGED, CHUNK, OUTPUT, PARSED, KINDS };

struct parts {
    struct sea_arena *arena;
    const char *root;
    const char **at[KINDS];
    size_t count[KINDS];
};

/* "4_0.jsonl" */
static bool
is_chunk(const char *name)
{
    size_t n = strspn(name, "0123456789"), m;

    if (n == 0 || name[n] != '_')
        return false;
    m = strspn(name + n + 1, "0123456789");
    return m > 0 && strcmp(name + n + 1 + m, ".jsonl") == 0;
}

static enum sea_status
visit(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct parts *parts = arg;
    const char *slash = strchr(relative, '/'), *name = slash ? slash + 1 : relative;
    enum kind kind;

    (void)bytes;
    (void)err;
    if (!slash && strcmp(name, "merge.jsonl") == 0)
        kind = MERGED;
    else if (!slash && is_chunk(name))
        kind = CHUNK;
    else if (slash && strcmp(name, "output.json") == 0)
        kind = OUTPUT;
    else if (slash && strcmp(name, "parsed_output.json") == 0)
        kind = PARSED;
    else
        return SEA_OK;
    if ((parts->count[kind] & (parts->count[kind] - 1)) == 0) {
        const char **more = sea_arena_alloc(parts->arena, 2 * parts->count[kind] + 1, sizeof(*more));

        if (parts->count[kind])
            memcpy(more, parts->at[kind], parts->count[kind] * sizeof(*more));
        parts->at[kind] = more;
    }
    parts->at[kind][parts->count[kind]++] =
        sea_arena_printf(parts->arena, "%s/%s", parts->root, relative);
    return SEA_OK;
}

enum sea_status
sea_bench_parts(const char *folder, struct sea_arena *arena, struct sea_py_texts *out,
                struct sea_err *err)
{
    struct parts parts = { .arena = arena, .root = folder };
    enum sea_status status = sea_dir_walk(folder, visit, &parts, err);

    *out = (struct sea_py_texts){ 0 };
    for (int kind = 0; kind < KINDS && !status; kind++)
        if (parts.count[kind] > 0) {
            *out = (struct sea_py_texts){ .at = parts.at[kind], .count = parts.count[kind] };
            return SEA_OK;
        }
    if (!status) {
        status = sea_fail(err, SEA_E_MISSING, "folder \"%s\" holds neither merge.jsonl, nor chunks "
                          "like 4_0.jsonl, nor SUBJECT/output.json", folder);
        sea_hint(err, "Name the answer file itself.");
    }
    return status;
}
