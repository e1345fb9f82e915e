/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark.c - the table of benchmarks, annotation files, and the frame of a scoring */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/sea_near.h"
#include "pipeline/sea_parquet.h"

#define X(name) &sea_bench_##name,
static const struct sea_bench *const benches[] = { SEA_BENCHES(X) };
#undef X

const struct sea_bench *
sea_bench_at(size_t i)
{
    return i < sizeof(benches) / sizeof(benches[0]) ? benches[i] : NULL;
}

enum sea_status
sea_bench_find(const char *name, const struct sea_bench **out, struct sea_err *err)
{
    const char *near = benches[0]->name;

    *out = NULL;
    name = name ? name : "";
    for (size_t i = 0; sea_bench_at(i); i++) {
        if (strcmp(benches[i]->name, name) == 0)
            *out = benches[i];
        if (sea_near_distance(name, benches[i]->name) < sea_near_distance(name, near))
            near = benches[i]->name;
    }
    if (*out)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "unknown benchmark \"%s\"", name);
    sea_hint(err, "Did you mean \"%s\"? `sea score --list` prints all.", near);
    return SEA_E_CONFIG;
}

/* ---- annotations ---- */

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool
sea_bench_annotation_find(const struct sea_bench_scoring *scoring, const char *name,
                          const char *sub, char path[SEA_PATH_MAX])
{
    for (size_t i = 0; i < scoring->annotations_count; i++) {
        const char *given = scoring->annotations[i];

        if (!sea_dir_exists(given)) {
            if (strcmp(last_part(given), name) != 0 || !sea_file_exists(given))
                continue;
            snprintf(path, SEA_PATH_MAX, "%s", given);
            return true;
        }
        if (snprintf(path, SEA_PATH_MAX, "%s/%s", given, name) < SEA_PATH_MAX &&
            sea_file_exists(path))
            return true;
        if (sub && snprintf(path, SEA_PATH_MAX, "%s/%s/%s", given, sub, name) < SEA_PATH_MAX &&
            sea_file_exists(path))
            return true;
    }
    return false;
}

enum sea_status
sea_bench_annotation_hash(struct sea_bench_scoring *scoring, const char *path,
                          struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT];
    enum sea_status status = sea_parquet_is(path) ? sea_parquet_digest(path, digest, err)
                                                  : sea_hash_file(path, digest, NULL, err);

    if (!status)
        sea_hash_add_field(scoring->hash, digest);
    return status;
}

enum sea_status
sea_bench_annotation(struct sea_bench_scoring *scoring, const char *name, const char *sub,
                     bool any_name, char path[SEA_PATH_MAX], struct sea_err *err)
{
    enum sea_status status;

    if (sea_bench_annotation_find(scoring, name, sub, path))
        return sea_bench_annotation_hash(scoring, path, err);
    if (any_name && scoring->annotations_count == 1 &&
        (sea_file_exists(scoring->annotations[0]) || sea_parquet_is(scoring->annotations[0]))) {
        snprintf(path, SEA_PATH_MAX, "%s", scoring->annotations[0]);
        return sea_bench_annotation_hash(scoring, path, err);
    }
    for (size_t i = 0; i < scoring->annotations_count; i++) {
        const char *given = scoring->annotations[i];

        if (!sea_dir_exists(given) && !sea_file_exists(given))
            return sea_fail(err, SEA_E_MISSING, "annotation file \"%s\" does not exist", given);
    }
    status = sea_fail(err, SEA_E_MISSING,
                      "annotation file \"%s\" of benchmark \"%s\" was not given", name,
                      scoring->questions->bench->name);
    sea_hint(err, "Name the file, or the folder that holds it, with --annotations.");
    return status;
}

/* ---- the frame of a scoring ---- */

static enum sea_status
check_variant(const struct sea_bench *bench, const struct sea_bench_options *options,
              const char **out, struct sea_err *err)
{
    char known[256];
    size_t used = 0;

    *out = bench->variants ? bench->variants[0] : "";
    if (!options->variant || !options->variant[0])
        return SEA_OK;
    if (!bench->variants)
        return sea_fail(err, SEA_E_CONFIG, "benchmark \"%s\" has no scorer variants, got \"%s\"",
                        bench->name, options->variant);
    known[0] = 0;
    for (size_t i = 0; bench->variants[i]; i++) {
        if (strcmp(options->variant, bench->variants[i]) == 0) {
            *out = bench->variants[i];
            return SEA_OK;
        }
        if (used < sizeof(known))
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
                                     bench->variants[i]);
    }
    return sea_fail(err, SEA_E_CONFIG, "benchmark \"%s\" has no scorer variant \"%s\", knows: %s",
                    bench->name, options->variant, known);
}

/* Everything that score and export share: questions, answers joined to them, clusters. */
static enum sea_status
begin(struct sea_bench_scoring *s, struct sea_bench_questions *questions, const char *name,
      const char *question_path, const char *answers, bool scores, struct sea_err *err)
{
    const struct sea_bench *bench;
    enum sea_status status;
    const char **clusters;

    status = sea_bench_find(name, &bench, err);
    if (!status)
        status = check_variant(bench, s->options, &s->variant, err);
    if (!status && scores && bench->needs_annotations && s->annotations_count == 0 &&
        sea_parquet_is(question_path)) {        /* has questions and answers */
        const char **list = sea_arena_alloc(s->arena, 1, sizeof(*list));

        list[0] = question_path;
        s->annotations = list;
        s->annotations_count = 1;
    }
    if (!status && scores && bench->needs_annotations && s->annotations_count == 0) {
        status = sea_fail(err, SEA_E_CONFIG, "benchmark \"%s\" needs annotations, none were given",
                          name);
        sea_hint(err, "Give --annotations with \"%s\" of the benchmark's folder.",
                 bench->annotations_path);
    }
    if (!status)
        status = sea_bench_questions_load(bench, question_path, s->options->limit, s->arena,
                                          questions, err);
    if (status)
        return status;
    s->bench = bench;
    s->prompts_path = s->options->judge ? sea_judge_options(s->options->judge)->prompts : NULL;
    s->reviews = s->options->reviews;
    s->questions = questions;
    s->count = questions->count;
    s->rows = sea_arena_alloc(s->arena, s->count, sizeof(*s->rows));
    s->prompts = sea_arena_alloc(s->arena, s->count, sizeof(char *));
    s->cluster = sea_arena_alloc(s->arena, s->count, sizeof(*s->cluster));
    clusters = sea_arena_alloc(s->arena, s->count, sizeof(char *));
    for (size_t i = 0; i < s->count; i++) {
        s->rows[i].question = &questions->items[i];
        s->rows[i].parsed = s->rows[i].gold = "";
        s->rows[i].is_unit = true;
        clusters[i] = questions->items[i].cluster;
    }
    sea_stats_number(clusters, s->count, s->cluster);
    return sea_bench_answers_read(s, answers, err);
}

static void
finish(struct sea_bench_scoring *s, struct sea_bench_result *out)
{
    out->bench = s->questions->bench;
    out->variant = s->variant[0] ? s->variant : s->questions->bench->scorer;
    out->prompt = s->options->prompt ? s->options->prompt : s->questions->bench->prompt;
    out->metrics = s->metrics;
    out->metrics_count = s->metrics_count;
    out->rows = s->rows;
    out->rows_count = s->count;
    for (size_t i = 0; i < s->count; i++) {
        s->rows[i].asked = s->prompts[i];
        out->missing += s->rows[i].is_missing;
        out->failed += s->rows[i].is_failed;
    }
    out->judge = s->judge;
    out->unanswered = s->unanswered;
    out->complete = !s->questions->is_partial && out->missing == 0 && out->unanswered == 0;
    snprintf(out->questions_digest, sizeof(out->questions_digest), "%s", s->questions->digest);
    sea_hash_finish(s->hash, out->annotations_digest);
}

enum sea_status
sea_bench_score(const char *name, const char *questions, const char *answers,
                const char *const *annotations, size_t annotations_count,
                const struct sea_bench_options *options, struct sea_arena *arena,
                struct sea_bench_result *out, struct sea_err *err)
{
    static const struct sea_bench_options none;
    struct sea_bench_scoring s = { .options = options ? options : &none,
                                   .annotations = annotations,
                                   .annotations_count = annotations_count, .arena = arena,
                                   .hash = sea_hash_create() };
    struct sea_bench_questions loaded;
    enum sea_status status;

    *out = (struct sea_bench_result){ 0 };
    status = begin(&s, &loaded, name, questions, answers, true, err);
    if (!status)
        status = loaded.bench->score(&s, err);
    if (!status)
        finish(&s, out);
    else
        sea_context(err, "while scoring benchmark \"%s\"", name ? name : "");
    sea_hash_destroy(s.hash);
    return status;
}

/* Every file of an export that is a folder. */
static enum sea_status
write_files(struct sea_bench_scoring *s, const char *folder, struct sea_err *err)
{
    enum sea_status status = sea_dir_create(folder, err);
    struct sea_buf text;

    sea_buf_init(&text, SIZE_MAX / 2);
    for (size_t k = 0; !status; k++) {
        const char *name = NULL;
        char path[SEA_PATH_MAX];

        sea_buf_clear(&text);
        status = s->bench->dump_file(s, k, &name, &text, err);
        if (status || !name)
            break;
        status = sea_path_join(path, folder, name, err);
        if (!status)
            status = sea_file_replace(path, text.len ? text.data : "", text.len, err);
    }
    sea_buf_release(&text);
    return status;
}

/* To out, or to path where out is NULL. */
static enum sea_status
export_answers(const char *name, const char *questions, const char *answers,
               struct sea_bench_scoring *s, struct sea_buf *out, const char *path,
               struct sea_err *err)
{
    struct sea_bench_questions loaded;
    const struct sea_bench *bench;
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, SIZE_MAX / 2);
    status = sea_bench_find(name, &bench, err);
    if (!status && !bench->dump && !bench->dump_file)
        status = sea_fail(err, SEA_E_CONFIG,
                          "benchmark \"%s\" has no upload form: its scorer reads the answer file",
                          name);
    if (!status && !bench->dump && out)
        status = sea_fail(err, SEA_E_CONFIG, "the upload form of benchmark \"%s\" is a folder, no "
                          "single file", name);
    if (!status)
        status = begin(s, &loaded, name, questions, answers, false, err);
    if (!status && !bench->dump)
        status = write_files(s, path, err);
    else if (!status)
        status = bench->dump(s, out ? out : &text, err);
    if (!status && bench->dump && path)
        status = sea_file_replace(path, text.len ? text.data : "", text.len, err);
    if (status)
        sea_context(err, "while exporting answers of benchmark \"%s\"", name ? name : "");
    sea_buf_release(&text);
    sea_hash_destroy(s->hash);
    sea_arena_destroy(s->arena);
    return status;
}

static const struct sea_bench_options defaults;

static struct sea_bench_scoring
export_scoring(const char *const *annotations, size_t annotations_count,
               const struct sea_bench_options *options)
{
    return (struct sea_bench_scoring){ .options = options ? options : &defaults,
                                       .annotations = annotations,
                                       .annotations_count = annotations_count,
                                       .arena = sea_arena_create(NULL, "export of answers"),
                                       .hash = sea_hash_create() };
}

enum sea_status
sea_bench_export(const char *name, const char *questions, const char *answers,
                 const char *const *annotations, size_t annotations_count,
                 const struct sea_bench_options *options, struct sea_buf *out,
                 struct sea_err *err)
{
    struct sea_bench_scoring s = export_scoring(annotations, annotations_count, options);

    return export_answers(name, questions, answers, &s, out, NULL, err);
}

enum sea_status
sea_bench_export_to(const char *name, const char *questions, const char *answers,
                    const char *const *annotations, size_t annotations_count,
                    const struct sea_bench_options *options, const char *path,
                    struct sea_err *err)
{
    struct sea_bench_scoring s = export_scoring(annotations, annotations_count, options);

    return export_answers(name, questions, answers, &s, NULL, path, err);
}
