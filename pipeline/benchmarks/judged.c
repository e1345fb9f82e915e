/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judged.c - what benchmarks share whose answers a model grades
 *
 * The grading prompts are the official ones and stay in the files that users have: plain
 * texts, or literals of the published scripts and notebooks, which are read, never run.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PROMPT_BYTES_MAX ((size_t)64 << 20)     /* notebooks hold their outputs, too */

/* ---- the user's files ---- */

static bool
ends_with(const char *path, const char *name)
{
    size_t n = strlen(path), m = strlen(name);

    return n >= m && strcmp(path + n - m, name) == 0 && (n == m || path[n - m - 1] == '/');
}

enum sea_status
sea_judged_file(const struct sea_bench_scoring *s, const char *const *names,
                char path[SEA_PATH_MAX], struct sea_err *err)
{
    const char *at = s->prompts_path;
    struct sea_buf known;

    sea_buf_init(&known, 4096);
    for (size_t i = 0; names[i]; i++) {
        sea_buf_addf(&known, "%s%s", i ? ", " : "", names[i]);
        if (!at || !at[0])
            continue;
        if (snprintf(path, SEA_PATH_MAX, "%s/%s", at, names[i]) < SEA_PATH_MAX &&
            sea_file_exists(path))
            goto found;
        if (ends_with(at, names[i]) && sea_file_exists(at) &&
            snprintf(path, SEA_PATH_MAX, "%s", at) < SEA_PATH_MAX)
            goto found;
    }
    if (!at || !at[0])
        sea_fail(err, SEA_E_CONFIG, "the grading prompts of benchmark \"%s\" were not given",
                 s->bench->name);
    else
        sea_fail(err, SEA_E_MISSING, "the grading prompts of benchmark \"%s\" are not in \"%s\"",
                 s->bench->name, at);
    sea_hint(err, "Name the folder of the benchmark's official files with --judge-prompts (key "
             "prompts below judge of a suite); it must hold one of: %s.", known.data);
    sea_buf_release(&known);
    return err->status;
found:
    sea_buf_release(&known);
    return SEA_OK;
}

enum sea_status
sea_bench_prompts_digest(const struct sea_bench *bench, const char *path,
                         char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "grading prompts");
    struct sea_bench_scoring s = { .bench = bench, .arena = arena, .prompts_path = path };
    enum sea_status status = bench->prompts_digest(&s, out, err);

    sea_arena_destroy(arena);
    return status;
}

/* The lines of a notebook's code cells. */
static enum sea_status
notebook_code(const struct sea_buf *file, const char *path, struct sea_arena *arena,
              struct sea_buf *code, struct sea_err *err)
{
    struct sea_node *top;
    const struct sea_node *cell, *line;
    enum sea_status status = sea_json_parse(file->data, file->len, path, arena, &top, err);

    if (status)
        return status;
    cell = sea_node_get(top, "cells");
    for (cell = cell ? cell->first : NULL; cell; cell = cell->next) {
        const struct sea_node *source = sea_node_get(cell, "source");

        if (strcmp(sea_node_text(sea_node_get(cell, "cell_type"), ""), "code") != 0 || !source)
            continue;
        if (source->kind == SEA_NODE_STRING)
            sea_buf_puts(code, source->text);
        for (line = source->first; line; line = line->next)
            sea_buf_puts(code, sea_node_text(line, ""));
        sea_buf_puts(code, "\n");
    }
    return SEA_OK;
}

enum sea_status
sea_judged_text(const char *path, struct sea_arena *arena, const char **out, struct sea_err *err)
{
    struct sea_buf file, code;
    size_t n = strlen(path);
    enum sea_status status;

    *out = "";
    sea_buf_init(&file, PROMPT_BYTES_MAX);
    sea_buf_init(&code, PROMPT_BYTES_MAX);
    status = sea_file_read(path, &file, err);
    if (!status && n > 6 && strcmp(path + n - 6, ".ipynb") == 0) {
        status = notebook_code(&file, path, arena, &code, err);
        *out = sea_arena_strdup(arena, code.data);
    } else if (!status && !sea_text_is_valid(file.data, file.len)) {
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" is not valid UTF-8 text", path);
    } else if (!status) {
        *out = sea_arena_strdup(arena, file.data);
    }
    sea_buf_release(&file);
    sea_buf_release(&code);
    return status;
}

/* One character of a literal; at points to it and is left behind it. */
static void
take_character(const char **at, struct sea_buf *out)
{
    static const char plain[] = "n\nt\tr\r\\\\'\'\"\"";
    const char *c = *at;

    if (c[0] != '\\' || !c[1]) {
        sea_buf_add(out, c, 1);
        *at = c + 1;
        return;
    }
    *at = c + 2;
    if (c[1] == '\n')           /* a line that goes on */
        return;
    for (const char *p = plain; *p; p += 2)
        if (c[1] == p[0]) {
            sea_buf_add(out, p + 1, 1);
            return;
        }
    sea_buf_add(out, c, 2);     /* as Python does */
}

const char *
sea_py_literal(const char **at, struct sea_arena *arena)
{
    const char *c = *at, *value = NULL;
    struct sea_buf out;
    size_t marks;
    char mark;

    while (*c && *c != '\'' && *c != '"')
        c += *c == '#' ? strcspn(c, "\n") : 1;
    *at = c;
    if (!*c)
        return NULL;
    mark = *c;
    marks = c[1] == mark && c[2] == mark ? 3 : 1;
    c += marks;
    sea_buf_init(&out, PROMPT_BYTES_MAX);
    while (*c && !(c[0] == mark && (marks == 1 || (c[1] == mark && c[2] == mark))))
        take_character(&c, &out);
    if (*c) {
        value = sea_arena_strdup(arena, out.data);
        c += marks;
    }
    *at = c;
    sea_buf_release(&out);
    return value;
}

const char *
sea_py_assigned(const char *code, const char *name, struct sea_arena *arena)
{
    size_t n = strlen(name);

    for (const char *line = code; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *c = line + n;

        if (strncmp(line, name, n) != 0)
            continue;
        c += strspn(c, " ");
        if (*c++ != '=')
            continue;
        c += strspn(c, " (\n");
        if (*c == '\'' || *c == '"')
            return sea_py_literal(&c, arena);
    }
    return NULL;
}

/* ---- asking ---- */

struct asking {
    struct sea_bench_scoring *s;
    struct sea_grading *grading;
};

/* What a model that thinks aloud says in the end. */
static const char *
behind_thoughts(const char *reply)
{
    static const char mark[] = "</think>";
    const char *end = strncmp(reply, "<think>", 7) == 0 ? strstr(reply, mark) : NULL;

    if (!end)
        return reply;
    end += sizeof(mark) - 1;
    return end + strspn(end, " \n");
}

static enum sea_status
grade_one(void *arg, struct sea_judge_session *session, size_t at, struct sea_arena *arena,
          struct sea_err *err)
{
    const struct asking *a = arg;
    const struct sea_grading *grading = a->grading;
    struct sea_grade *grade = &grading->grades[at];
    size_t i = at % a->s->count;
    enum sea_status status = SEA_OK;

    for (int k = 0; k < grading->tries && !grade->is_valid && !grade->trouble && !status; k++) {
        struct sea_judge_ask ask = { .item = a->s->questions->items[i].id,
                                     .prompts_digest = grading->prompts_digest,
                                     .run = (int64_t)(at / a->s->count), .attempt = k };
        struct sea_judge_reply reply;

        grading->ask(a->s, grading, i, k, arena, &ask);
        status = sea_judge_ask(session, &ask, arena, &reply, err);
        if (status)
            break;
        grade->reply = reply.text;
        grade->model = reply.model;
        grade->trouble = reply.trouble;
        if (reply.text)
            grade->is_valid = grading->parse(behind_thoughts(reply.text), grade->values, arena);
    }
    return status;
}

void
sea_bench_grades_alloc(struct sea_bench_scoring *s, struct sea_grading *grading, int64_t runs)
{
    grading->runs = runs;
    grading->grades = sea_arena_alloc(s->arena, (size_t)runs * s->count + 1,
                                      sizeof(*grading->grades));
    for (size_t i = 0; i < (size_t)runs * s->count; i++)
        grading->grades[i].model = "";
}

/* Offline, everything must be there. */
static enum sea_status
check_replayed(const struct sea_bench_scoring *s, const struct sea_grading *grading,
               struct sea_err *err)
{
    const struct sea_judge_options *o = sea_judge_options(s->options->judge);
    size_t lacking = 0, total = (size_t)grading->runs * s->count, first = 0;

    for (size_t i = total; i-- > 0;)
        if (grading->grades[i].trouble) {
            lacking++;
            first = i;
        }
    if (!o->offline || lacking == 0)
        return SEA_OK;
    sea_fail(err, SEA_E_MISSING, "the cache \"%s\" lacks %zu of %zu replies of judge \"%s\", the "
             "first for item \"%s\"", o->cache, lacking, total, o->model,
             s->questions->items[first % s->count].id);
    sea_hint(err, "Replies belong to model, prompts, parameters and answers: all must be as they "
             "were; or ask the judge, without --judge-offline.");
    return SEA_E_MISSING;
}

enum sea_status
sea_bench_grade(struct sea_bench_scoring *s, struct sea_grading *grading, struct sea_err *err)
{
    struct asking asking = { .s = s, .grading = grading };
    struct sea_judge *judge = s->options->judge;
    enum sea_status status;

    if (!judge) {
        sea_fail(err, SEA_E_CONFIG, "benchmark \"%s\" needs a judge, none was given",
                 s->bench->name);
        sea_hint(err, "Give --judge URL --judge-model M --judge-prompts DIR --judge-cache DIR, or "
                 "a file of gradings with --reviews.");
        return SEA_E_CONFIG;
    }
    sea_bench_grades_alloc(s, grading, sea_judge_options(judge)->runs);
    status = sea_judge_each(judge, (size_t)grading->runs * s->count, grade_one, &asking, err);
    if (!status)
        status = check_replayed(s, grading, err);
    /* Replies live as long as the judge, rows as long as the arena. */
    for (size_t i = 0; i < (size_t)grading->runs * s->count && !status; i++) {
        struct sea_grade *grade = &grading->grades[i];

        grade->reply = grade->reply ? sea_arena_strdup(s->arena, grade->reply) : NULL;
        grade->model = sea_arena_strdup(s->arena, grade->model);
        grade->trouble = grade->trouble ? sea_arena_strdup(s->arena, grade->trouble) : NULL;
    }
    return status;
}

/* ---- who judged ---- */

static void
put_totals(struct sea_bench_scoring *s, const struct sea_grading *grading)
{
    const struct sea_judge_options *o = sea_judge_options(s->options->judge);
    struct sea_judge_totals totals;
    struct sea_arena *arena = s->arena;

    sea_judge_totals(s->options->judge, &totals);
    sea_node_put_text(arena, s->judge, "model", o->model);
    sea_node_put_text(arena, s->judge, "served", totals.served);
    sea_node_put_text(arena, s->judge, "prompts_sha256", grading->prompts_digest);
    sea_node_put_int(arena, s->judge, "calls", totals.calls);
    sea_node_put_int(arena, s->judge, "cached", totals.cached);
    sea_node_put_int(arena, s->judge, "retries", totals.retries);
    sea_node_put_int(arena, s->judge, "tokens_in", totals.tokens_in);
    sea_node_put_int(arena, s->judge, "tokens_out", totals.tokens_out);
    if (isnan(totals.cost))
        sea_node_put(arena, s->judge, "cost", SEA_NODE_NULL);
    else
        sea_node_put_real(arena, s->judge, "cost", totals.cost);
    s->variant = sea_arena_printf(arena, "%s@%s#%.8s", s->bench->scorer,
                                  totals.served[0] ? totals.served : o->model,
                                  grading->prompts_digest);
    if (o->max_tokens)          /* other replies than the benchmark's own limit gives */
        s->variant = sea_arena_printf(arena, "%s+%lld", s->variant, (long long)o->max_tokens);
}

static void
finish_row(struct sea_bench_scoring *s, const struct sea_grading *grading, size_t i)
{
    struct sea_bench_row *row = &s->rows[i];
    const char **judged = sea_arena_alloc(s->arena, (size_t)grading->runs, sizeof(*judged));
    const char *trouble = NULL;

    for (int64_t run = 0; run < grading->runs; run++) {
        const struct sea_grade *grade = sea_grade_at(s, grading, run, i);

        judged[run] = grade->reply;
        row->is_failed = row->is_failed || !grade->is_valid;
        trouble = grade->trouble ? grade->trouble : trouble;
    }
    row->judged = judged;
    row->judged_count = (size_t)grading->runs;
    if (row->is_failed)
        row->parsed = trouble ? sea_arena_printf(s->arena, "invalid: %s", trouble) : "invalid";
    if (trouble)
        s->unanswered++;
}

void
sea_bench_grades_finish(struct sea_bench_scoring *s, const struct sea_grading *grading)
{
    struct sea_node *invalid, *unanswered;

    s->judge = sea_node_put(s->arena, NULL, NULL, SEA_NODE_MAP);
    if (s->reviews)
        s->variant = sea_arena_printf(s->arena, "%s@reviews", s->bench->scorer);
    else
        put_totals(s, grading);
    sea_node_put_int(s->arena, s->judge, "runs", grading->runs);
    invalid = sea_node_put(s->arena, s->judge, "invalid", SEA_NODE_LIST);
    unanswered = sea_node_put(s->arena, s->judge, "unanswered", SEA_NODE_LIST);
    for (size_t i = 0; i < s->count; i++) {
        int64_t before = s->unanswered;

        finish_row(s, grading, i);
        if (s->rows[i].is_failed)
            sea_node_put_text(s->arena, s->unanswered > before ? unanswered : invalid, NULL,
                              s->questions->items[i].id);
    }
}
