/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_backend.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "scheduler/sea_secret.h"

#define SETTINGS_BYTES_MAX ((size_t)1 << 20)

/* ---- the table ---- */

const struct sea_backend sea_backend_local = { .name = "local" };

const struct sea_backend *
sea_backend_find(const char *name)
{
    static const struct sea_backend *const all[] = { &sea_backend_local, &sea_backend_slurm };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

/* ---- sightings ---- */

static int
compare_sights(const void *a, const void *b)
{
    const struct sea_backend_sight *x = a, *y = b;
    int order = strcmp(x->token, y->token);
    size_t x_len = strlen(x->id), y_len = strlen(y->id);

    if (order)
        return order;
    return x_len != y_len ? (x_len < y_len ? -1 : 1) : strcmp(x->id, y->id);
}

void
sea_backend_sort(struct sea_backend_sights *sights)
{
    if (sights->count)
        qsort(sights->at, sights->count, sizeof(*sights->at), compare_sights);
}

const struct sea_backend_sight *
sea_backend_look_up(const struct sea_backend_sights *sights, const char *token, size_t *count)
{
    size_t low = 0, high = sights->count, end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(sights->at[middle].token, token) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < sights->count && strcmp(sights->at[end].token, token) == 0; end++)
        ;
    *count = end - low;
    return end > low ? &sights->at[low] : NULL;
}

/* ---- settings ---- */

struct reader {
    const char *path;           /* of sea.yaml */
    struct sea_arena *arena;
    struct sea_backend_settings *out;
};

static enum sea_status
read_url(const struct reader *r, const char *path, struct sea_err *err)
{
    const char *url = NULL;
    enum sea_status status = sea_secret_text(path, "the database's address", r->arena, &url, err);

    if (!status && strchr(url, '\n'))
        status = sea_fail(err, SEA_E_CONFIG, "the database's address \"%s\" is not one line", path);
    if (!status)
        r->out->url = url;
    return status;
}

static enum sea_status
read_list(const struct reader *r, const struct sea_node *node, const char **at, size_t *count,
          struct sea_err *err)
{
    const struct sea_node *one;

    if (node->kind != SEA_NODE_LIST || node->count > SEA_BACKEND_OPTIONS_MAX)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm.%s is not a list of at most %d "
                        "texts", r->path, node->line, node->key, SEA_BACKEND_OPTIONS_MAX);
    for (one = node->first; one; one = one->next) {
        if (one->kind != SEA_NODE_STRING || !one->text[0])
            return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm.%s holds what is not a "
                            "text", r->path, one->line, node->key);
        at[(*count)++] = sea_arena_strdup(r->arena, one->text);
    }
    return SEA_OK;
}

static enum sea_status
read_accounting(const struct reader *r, const struct sea_node *node, struct sea_err *err)
{
    static const char *const known[] = { "auto", "sacct", "jobcomp", "none" };
    const char *word = sea_node_text(node, "");
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(word, known[i]) == 0) {
            r->out->accounting = known[i];
            return SEA_OK;
        }
    return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm.accounting is \"%s\", need auto, "
                    "sacct, jobcomp or none", r->path, node->line, word);
}

static enum sea_status
read_number(const struct reader *r, const struct sea_node *node, int64_t low, int64_t high,
            int64_t unit, int64_t *to, struct sea_err *err)
{
    double value = sea_node_real(node, -1);

    if (value < (double)low || value > (double)high)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm.%s is not a number from %lld to "
                        "%lld", r->path, node->line, node->key, (long long)low, (long long)high);
    *to = (int64_t)(value * (double)unit + 0.5);
    return SEA_OK;
}

static enum sea_status
read_key(const struct reader *r, const struct sea_node *node, struct sea_err *err)
{
    struct sea_backend_settings *s = r->out;
    const struct { const char *key, **to; } texts[] = {
        { "bin", &s->bin }, { "program", &s->program }, { "data", &s->data },
        { "partition", &s->partition }, { "account", &s->account }, { "qos", &s->qos },
        { "constraint", &s->constraint }, { "gres", &s->gres },
    };
    const struct { const char *key; int64_t *to, unit, low, high; } numbers[] = {
        { "time", &s->time_minutes, 1, 0, 5256000 }, { "jobs", &s->jobs_max, 1, 1, 100000 },
        { "ttl", &s->ttl_ms, 1000, 1, 86400 }, { "poll", &s->poll_ms, 1000, 0, 3600 },
        { "submit_timeout", &s->submit_ms, 1000, 0, 3600 },
        { "timeout", &s->command_ms, 1000, 0, 3600 },
        { "settle", &s->settle_ms, 1000, 0, 3600 }, { "grace", &s->grace_ms, 1000, 0, 86400 },
        { "kill_wait", &s->kill_ms, 1000, 1, 3600 },
    };
    const char *text = sea_node_text(node, "");
    size_t i;

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(node->key, numbers[i].key) == 0)
            return read_number(r, node, numbers[i].low, numbers[i].high, numbers[i].unit,
                               numbers[i].to, err);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(node->key, texts[i].key) == 0) {
            if (!text[0])
                return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm.%s is not a text",
                                r->path, node->line, node->key);
            *texts[i].to = sea_arena_strdup(r->arena, text);
            return SEA_OK;
        }
    if (strcmp(node->key, "url_file") == 0)
        return read_url(r, text, err);
    if (strcmp(node->key, "accounting") == 0)
        return read_accounting(r, node, err);
    if (strcmp(node->key, "queues") == 0)
        return read_list(r, node, s->queues, &s->queues_count, err);
    if (strcmp(node->key, "options") == 0)
        return read_list(r, node, s->options, &s->options_count, err);
    sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm has no key \"%s\"", r->path, node->line,
             node->key);
    sea_hint(err, "docs/slurm.md lists the keys.");
    return SEA_E_CONFIG;
}

/* Paths that go into the job's script between quotes. */
static enum sea_status
check_path(const char *what, const char *path, struct sea_err *err)
{
    if (path[0] == '/' && !strpbrk(path, "'\n\\"))
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "%s \"%s\" is not an absolute path without quotes and "
                    "backslashes", what, path);
}

enum sea_status
sea_backend_settings(const char *dir, const char *program, struct sea_arena *arena,
                     struct sea_backend_settings *out, struct sea_err *err)
{
    char path[SEA_PATH_MAX], *real;
    struct reader reader = { .path = path, .arena = arena, .out = out };
    struct sea_node *file = NULL;
    const struct sea_node *node;
    enum sea_status status;

    *out = (struct sea_backend_settings){
        .backend = "local", .dir = dir, .data = dir, .gres = "gpu", .accounting = "auto",
        .jobs_max = 500,
        .ttl_ms = 30000, .poll_ms = 5000, .submit_ms = 180000, .command_ms = 60000,
        .settle_ms = 15000, .grace_ms = 15000, .kill_ms = 20000 };
    status = sea_path_join(path, dir, "sea.yaml", err);
    if (status || !sea_file_exists(path))
        return status;
    status = sea_yaml_load(path, SETTINGS_BYTES_MAX, arena, &file, err);
    node = status ? NULL : sea_node_get(file, "slurm");
    if (status || !node || node->kind == SEA_NODE_NULL)
        return status;
    if (node->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: slurm is not a map", path, node->line);
    out->backend = "slurm";
    for (node = node->first; node && !status; node = node->next)
        status = read_key(&reader, node, err);
    if (!status && !out->program) {
        real = realpath(program, NULL);
        out->program = real ? sea_arena_strdup(arena, real) : program;
        free(real);
    }
    if (!status)
        status = check_path("slurm.program", out->program, err);
    return status ? status : check_path("slurm.data", out->data, err);
}
