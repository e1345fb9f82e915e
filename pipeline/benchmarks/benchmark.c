/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark.c - the table of benchmarks, question files, and the frame of a scoring */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define QUESTIONS_MAX 50000000

static const struct sea_bench *const benches[] = {
    &sea_bench_vqav2, &sea_bench_gqa, &sea_bench_scienceqa, &sea_bench_pope, &sea_bench_mmbench,
};

const struct sea_bench *
sea_bench_at(size_t i)
{
    return i < sizeof(benches) / sizeof(benches[0]) ? benches[i] : NULL;
}

enum sea_status
sea_bench_find(const char *name, const struct sea_bench **out, struct sea_err *err)
{
    struct sea_buf known;

    *out = NULL;
    sea_buf_init(&known, 4096);
    for (size_t i = 0; sea_bench_at(i); i++) {
        sea_buf_addf(&known, "%s%s", i ? ", " : "", benches[i]->name);
        if (name && strcmp(benches[i]->name, name) == 0)
            *out = benches[i];
    }
    if (!*out)
        sea_fail(err, SEA_E_CONFIG, "unknown benchmark \"%s\", know: %s", name ? name : "",
                 known.data);
    sea_buf_release(&known);
    return *out ? SEA_OK : SEA_E_CONFIG;
}

/* ---- questions ---- */

struct sea_bench_question *
sea_bench_add_question(struct sea_bench_questions *questions)
{
    size_t n = questions->count;

    /* Doubling copies into the arena: what is left behind is as large as what is used. */
    if ((n & (n - 1)) == 0) {
        struct sea_bench_question *more =
            sea_arena_alloc(questions->arena, n ? 2 * n : 1, sizeof(*more));

        if (n)
            memcpy(more, questions->items, n * sizeof(*more));
        questions->items = more;
    }
    questions->items[n].category = "";
    return &questions->items[questions->count++];
}

const char *
sea_bench_bare_question(const struct sea_bench_question *question, struct sea_arena *arena)
{
    return sea_arena_strndup(arena, question->prompt, strcspn(question->prompt, "\n"));
}

static enum sea_status
read_line(struct sea_bench_questions *questions, const struct sea_records *rows,
          const struct sea_node *row, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct sea_bench_question *q = sea_bench_add_question(questions);
    const char *text = NULL, *image = NULL;
    enum sea_status status;

    q->row = rows->index;
    status = sea_records_id(rows, row, "question_id", arena, &q->id, &q->id_is_number, err);
    if (!status)
        status = sea_records_text(rows, q->id, row, "text", &text, err);
    if (!status)
        status = sea_records_text(rows, q->id, row, "image", &image, err);
    if (status)
        return status;
    if (!image[0] || !sea_path_is_inside(image))
        return sea_records_fail(rows, q->id, err, SEA_E_FORMAT,
                                "field \"image\" is \"%.120s\", expected a relative name without "
                                "\"..\"", image);
    q->prompt = sea_arena_strdup(arena, text);
    q->image = sea_arena_strdup(arena, image);
    q->has_image = true;
    q->cluster = q->image;
    q->category = sea_arena_strdup(arena, sea_node_text(sea_node_get(row, "category"), ""));
    return SEA_OK;
}

enum sea_status
sea_bench_load_lines(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(questions->arena, "row");
    struct sea_records rows;
    enum sea_status status = sea_records_open(&rows, questions->path, err);

    while (!status) {
        struct sea_node *row;

        sea_arena_reset(scratch);
        status = sea_records_next(&rows, scratch, &row, err);
        if (status || !row)
            break;
        if (limit && (int64_t)questions->count == limit) {
            questions->is_partial = true;
            break;
        }
        status = read_line(questions, &rows, row, err);
    }
    sea_records_close(&rows);
    sea_arena_destroy(scratch);
    return status;
}

static int
by_id(const void *a, const void *b)
{
    const struct sea_bench_question *const *one = a, *const *two = b;
    int order = strcmp((*one)->id, (*two)->id);

    return order ? order : ((*one)->row > (*two)->row) - ((*one)->row < (*two)->row);
}

static enum sea_status
check_ids(const struct sea_bench_questions *questions, struct sea_err *err)
{
    size_t n = questions->count;
    const struct sea_bench_question **list = sea_xcalloc(n + 1, sizeof(*list));
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < n; i++)
        list[i] = &questions->items[i];
    qsort(list, n, sizeof(*list), by_id);
    for (size_t i = 1; i < n && !status; i++)
        if (strcmp(list[i]->id, list[i - 1]->id) == 0)
            status = sea_fail(err, SEA_E_FORMAT,
                              "question file \"%s\" has id \"%s\" in row %lld and row %lld",
                              questions->path, list[i]->id, (long long)list[i - 1]->row,
                              (long long)list[i]->row);
    free(list);
    return status;
}

enum sea_status
sea_bench_questions_load(const struct sea_bench *bench, const char *path, int64_t limit,
                         struct sea_arena *arena, struct sea_bench_questions *out,
                         struct sea_err *err)
{
    enum sea_status status;

    *out = (struct sea_bench_questions){ .bench = bench, .arena = arena };
    out->path = sea_arena_strdup(arena, path);
    if (limit < 0)
        return sea_fail(err, SEA_E_CONFIG, "limit is %lld, expected 0 (all) or more",
                        (long long)limit);
    status = sea_hash_file(path, out->digest, NULL, err);
    if (!status)
        status = bench->load(out, limit, err);
    if (!status && (out->count == 0 || out->count > QUESTIONS_MAX))
        status = sea_fail(err, SEA_E_FORMAT, "question file \"%s\" holds %zu questions", path,
                          out->count);
    if (!status)
        status = check_ids(out, err);
    if (status)
        sea_context(err, "while loading questions of benchmark \"%s\"", bench->name);
    return status;
}

/* ---- pictures ---- */

static int
base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static enum sea_status
decode_inline(const struct sea_bench_question *question, struct sea_image *out,
              struct sea_err *err)
{
    size_t n = question->inline_len, used = 0;
    unsigned char *bytes = sea_xcalloc(n / 4 * 3 + 4, 1);
    uint32_t word = 0;
    enum sea_status status = SEA_OK;
    char name[160];
    int have = 0;

    snprintf(name, sizeof(name), "picture of question \"%.80s\"", question->id);
    while (n > 0 && question->inline_image[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n && !status; i++) {
        int value = base64_value(question->inline_image[i]);

        if (value < 0) {
            status = sea_fail(err, SEA_E_FORMAT, "%s is not base64: byte %zu of %zu is 0x%02x",
                              name, i, n, (unsigned char)question->inline_image[i]);
            break;
        }
        word = word << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes[used++] = (unsigned char)(word >> have & 0xFF);
        }
    }
    if (!status)
        status = sea_image_decode(out, bytes, used, name, err);
    free(bytes);
    return status;
}

enum sea_status
sea_bench_image_load(const struct sea_bench_question *question, const char *images,
                     struct sea_image *out, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;

    *out = (struct sea_image){ 0 };
    if (!question->image)
        return question->has_image ? decode_inline(question, out, err) : SEA_OK;
    if (!images)
        return sea_fail(err, SEA_E_CONFIG, "question \"%s\" has image \"%s\" but no folder of "
                        "images was given", question->id, question->image);
    status = sea_path_join(path, images, question->image, err);
    return status ? status : sea_image_load(out, path, err);
}

enum sea_status
sea_bench_images_check(const struct sea_bench_questions *questions, const char *images,
                       struct sea_err *err)
{
    const struct sea_bench_question *first = NULL;
    enum sea_status status = SEA_OK;
    size_t missing = 0, named = 0;
    char path[SEA_PATH_MAX];

    for (size_t i = 0; i < questions->count; i++) {
        const struct sea_bench_question *q = &questions->items[i];

        if (!q->image)
            continue;
        named++;
        status = sea_path_join(path, images ? images : "", q->image, err);
        if (status)
            return status;
        if (images && sea_file_exists(path))
            continue;
        missing++;
        first = first ? first : q;
    }
    if (!first)
        return SEA_OK;
    status = sea_fail(err, SEA_E_MISSING,
                      "image \"%s\" of question \"%s\" is not in \"%s\"; %zu of %zu questions of "
                      "\"%s\" lack theirs", first->image, first->id, images ? images : "",
                      missing, named, questions->path);
    sea_hint(err, "Name the folder that holds the images of benchmark \"%s\".",
             questions->bench->name);
    return status;
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
    enum sea_status status = sea_hash_file(path, digest, NULL, err);

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
        sea_file_exists(scoring->annotations[0])) {
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
    static const struct { const char *bench, *variants[3]; } known[] = {
        { "vqav2", { "llava", "off", NULL } },
        { "mmbench", { "exact", "ladder", NULL } },
    };

    *out = "";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].bench, bench->name) != 0)
            continue;
        *out = known[i].variants[0];
        for (size_t v = 0; options->variant && known[i].variants[v]; v++)
            if (strcmp(options->variant, known[i].variants[v]) == 0)
                *out = known[i].variants[v];
        if (!options->variant || strcmp(options->variant, *out) == 0)
            return SEA_OK;
        return sea_fail(err, SEA_E_CONFIG,
                        "benchmark \"%s\" has no scorer variant \"%s\", knows: %s, %s",
                        bench->name, options->variant, known[i].variants[0],
                        known[i].variants[1]);
    }
    if (options->variant && options->variant[0])
        return sea_fail(err, SEA_E_CONFIG, "benchmark \"%s\" has no scorer variants, got \"%s\"",
                        bench->name, options->variant);
    return SEA_OK;
}

/* Everything that score and export share: questions, answers joined to them, clusters. */
static enum sea_status
begin(struct sea_bench_scoring *s, struct sea_bench_questions *questions, const char *name,
      const char *question_path, const char *answers, struct sea_err *err)
{
    const struct sea_bench *bench;
    enum sea_status status;
    const char **clusters;

    status = sea_bench_find(name, &bench, err);
    if (!status)
        status = check_variant(bench, s->options, &s->variant, err);
    if (!status && bench->needs_annotations && s->annotations_count == 0) {
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
    out->metrics = s->metrics;
    out->metrics_count = s->metrics_count;
    out->rows = s->rows;
    out->rows_count = s->count;
    for (size_t i = 0; i < s->count; i++) {
        out->missing += s->rows[i].is_missing;
        out->failed += s->rows[i].is_failed;
    }
    out->complete = !s->questions->is_partial && out->missing == 0;
    snprintf(out->questions_digest, sizeof(out->questions_digest), "%s", s->questions->digest);
    sea_hash_finish(s->hash, out->annotations_digest);
}

enum sea_status
sea_bench_score(const char *name, const char *questions, const char *answers,
                const char *const *annotations, size_t annotations_count,
                const struct sea_bench_options *options, struct sea_arena *arena,
                struct sea_bench_result *out, struct sea_err *err)
{
    static const struct sea_bench_options defaults;
    struct sea_bench_scoring s = { .options = options ? options : &defaults,
                                   .annotations = annotations,
                                   .annotations_count = annotations_count, .arena = arena,
                                   .hash = sea_hash_create() };
    struct sea_bench_questions loaded;
    enum sea_status status;

    *out = (struct sea_bench_result){ 0 };
    status = begin(&s, &loaded, name, questions, answers, err);
    if (!status)
        status = loaded.bench->score(&s, err);
    if (!status)
        finish(&s, out);
    else
        sea_context(err, "while scoring benchmark \"%s\"", name ? name : "");
    sea_hash_destroy(s.hash);
    return status;
}

enum sea_status
sea_bench_export(const char *name, const char *questions, const char *answers,
                 const char *const *annotations, size_t annotations_count,
                 const struct sea_bench_options *options, struct sea_buf *out,
                 struct sea_err *err)
{
    static const struct sea_bench_options defaults;
    struct sea_arena *arena = sea_arena_create(NULL, "export of answers");
    struct sea_bench_scoring s = { .options = options ? options : &defaults,
                                   .annotations = annotations,
                                   .annotations_count = annotations_count, .arena = arena,
                                   .hash = sea_hash_create() };
    struct sea_bench_questions loaded;
    const struct sea_bench *bench;
    enum sea_status status;

    status = sea_bench_find(name, &bench, err);
    if (!status && !bench->dump)
        status = sea_fail(err, SEA_E_CONFIG,
                          "benchmark \"%s\" has no upload form: its scorer reads the answer file",
                          name);
    if (!status)
        status = begin(&s, &loaded, name, questions, answers, err);
    if (!status)
        status = bench->dump(&s, out, err);
    if (status)
        sea_context(err, "while exporting answers of benchmark \"%s\"", name ? name : "");
    sea_hash_destroy(s.hash);
    sea_arena_destroy(arena);
    return status;
}
