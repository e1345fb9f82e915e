/* SPDX-License-Identifier: Apache-2.0 */
/* questions.c - question files, how their texts are asked, and their pictures */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_base64.h"
#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/sea_parquet.h"

#define QUESTIONS_MAX 50000000
#define REUSED_IMAGE_MAX 64     /* a picture cell this short is the index of another row */

static const char *const members[] = { "questions", "data", "images", "annotations", NULL };

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

static void
close_table(void *arg)
{
    sea_bench_table_close(arg);
}

struct key {
    const char *id;
    size_t index;
};

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

/* Short picture cells of a table name the row whose picture is meant. */
static enum sea_status
share_pictures(struct sea_bench_questions *questions, struct sea_err *err)
{
    struct key *keys = sea_xcalloc(questions->count + 1, sizeof(*keys));
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < questions->count; i++)
        keys[i] = (struct key){ questions->items[i].id, i };
    qsort(keys, questions->count, sizeof(*keys), by_key);
    for (size_t i = 0; i < questions->count && !status; i++) {
        struct sea_bench_question *q = &questions->items[i];
        char id[REUSED_IMAGE_MAX + 1];
        struct key key = { .id = id }, *found;

        if (q->inline_len == 0 || q->inline_len > REUSED_IMAGE_MAX)
            continue;
        snprintf(id, sizeof(id), "%.*s", (int)q->inline_len, q->inline_image);
        found = bsearch(&key, keys, questions->count, sizeof(key), by_key);
        if (!found || questions->items[found->index].inline_len <= REUSED_IMAGE_MAX) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "file \"%s\", row %lld (id \"%s\"): column \"image\" is \"%s\", "
                              "expected base64 or the index of a row with a picture",
                              questions->path, (long long)q->row, q->id, id);
            break;
        }
        q->inline_image = questions->items[found->index].inline_image;
        q->inline_len = questions->items[found->index].inline_len;
    }
    free(keys);
    return status;
}

/* What a row did not say; false when the row is none of this benchmark. */
static bool
complete_question(struct sea_bench_questions *questions, int64_t row)
{
    struct sea_bench_question *q = &questions->items[questions->count - 1];

    q->row = row;
    if (!q->id) {
        questions->count--;
        return false;
    }
    if (!q->cluster)
        q->cluster = q->image ? q->image : q->id;
    q->category = q->category ? q->category : "";
    return true;
}

enum sea_status
sea_bench_load_rows(struct sea_bench_questions *questions, int64_t limit, sea_bench_row_fn *take,
                    struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(questions->arena, "row");
    struct sea_bench_table *table = sea_arena_alloc(questions->arena, 1, sizeof(*table));
    enum sea_status status;

    status = sea_bench_table_open(table, questions->path, members, questions->arena, err);
    if (!status) {              /* pictures of a TSV stay mapped as long as the questions */
        sea_arena_on_reset(questions->arena, close_table, table);
        status = sea_hub_open(questions, table, err);
    }
    while (!status) {
        struct sea_node *row;

        if (limit && (int64_t)questions->count >= limit) {
            questions->is_partial = true;
            break;
        }
        sea_arena_reset(scratch);
        status = sea_bench_table_next(table, scratch, &row, err);
        if (status || !row)
            break;
        if (table->hub)
            sea_hub_row(table, row, scratch);
        status = take(questions, table, row, sea_bench_add_question(questions), err);
        if (!status)
            complete_question(questions, table->rows.index);
    }
    if (questions->is_partial) {        /* not when nothing is left behind the limit */
        struct sea_node *row = NULL;
        struct sea_err ignored = { 0 };

        if (!status && !sea_bench_table_next(table, scratch, &row, &ignored) && !row)
            questions->is_partial = false;
    }
    sea_arena_destroy(scratch);
    return status ? status : share_pictures(questions, err);
}

/* A row of LLaVA's question files. */
static enum sea_status
take_line(struct sea_bench_questions *questions, const struct sea_bench_table *table,
          const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    enum sea_status status = sea_bench_need_id(table, row, "question_id", q, arena, err);

    if (!status)
        status = sea_records_text(&table->rows, q->id, row, "text", &q->prompt, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image", q, arena, err);
    if (!status && !q->has_image)
        status = sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                  "field \"image\" is missing, expected a relative name");
    if (status)
        return status;
    q->prompt = sea_arena_strdup(arena, q->prompt);
    q->category = sea_arena_strdup(arena, sea_node_text(sea_node_get(row, "category"), ""));
    return SEA_OK;
}

enum sea_status
sea_bench_load_lines(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    return sea_bench_load_rows(questions, limit, take_line, err);
}

void
sea_bench_cut(struct sea_bench_questions *questions, int64_t limit)
{
    const char **clusters = sea_xcalloc(questions->count + 1, sizeof(char *));
    int64_t *number = sea_xcalloc(questions->count + 1, sizeof(*number));
    size_t kept = 0;

    for (size_t i = 0; i < questions->count; i++)
        clusters[i] = questions->items[i].cluster;
    sea_stats_number(clusters, questions->count, number);
    for (size_t i = 0; i < questions->count; i++)
        if (!limit || number[i] < limit)
            questions->items[kept++] = questions->items[i];
    questions->is_partial = kept < questions->count;
    questions->count = kept;
    free(clusters);
    free(number);
}

/* ---- ids ---- */

static int
by_id(const void *a, const void *b)
{
    const struct sea_bench_question *const *one = a, *const *two = b;
    int order = strcmp(sea_bench_key(*one), sea_bench_key(*two));

    return order ? order : ((*one)->row > (*two)->row) - ((*one)->row < (*two)->row);
}

static enum sea_status
check_ids(struct sea_bench_questions *questions, struct sea_err *err)
{
    size_t n = questions->count;
    const struct sea_bench_question **list = sea_xcalloc(n + 1, sizeof(*list));
    size_t *order = sea_arena_alloc(questions->arena, n + 1, sizeof(*order));
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < n; i++)
        list[i] = &questions->items[i];
    qsort(list, n, sizeof(*list), by_id);
    for (size_t i = 0; i < n; i++)
        order[i] = (size_t)(list[i] - questions->items);
    questions->order = order;
    for (size_t i = 1; i < n && !status && !questions->bench->keys_repeat; i++)
        if (strcmp(sea_bench_key(list[i]), sea_bench_key(list[i - 1])) == 0)
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
    enum sea_status status = SEA_OK;

    *out = (struct sea_bench_questions){ .bench = bench, .arena = arena };
    out->path = sea_arena_strdup(arena, path);
    if (limit < 0)
        return sea_fail(err, SEA_E_CONFIG, "limit is %lld, expected 0 (all) or more",
                        (long long)limit);
    if (sea_parquet_is(path)) {
        status = sea_parquet_digest(path, out->digest, err);
        if (sea_dir_exists(path))       /* readers of folders of other files leave it alone */
            out->path = sea_arena_printf(arena, "%s/**.parquet", path);
    } else if (!bench->takes_folder || !sea_dir_exists(path))
        status = sea_hash_file(path, out->digest, NULL, err);
    if (!status)
        status = bench->load ? bench->load(out, limit, err)
                             : sea_bench_load_rows(out, limit, bench->take_row, err);
    if (!status && (out->count == 0 || out->count > QUESTIONS_MAX))
        status = sea_fail(err, SEA_E_FORMAT, "question file \"%s\" holds %zu questions", path,
                          out->count);
    if (!status)
        status = check_ids(out, err);
    if (status)
        sea_context(err, "while loading questions of benchmark \"%s\"", bench->name);
    return status;
}

/* ---- how they are asked ---- */

/* Files that hold what scoring needs do not always hold what asking needs. */
static enum sea_status
check_askable(const struct sea_bench_questions *questions, struct sea_err *err)
{
    size_t pictures = 0;

    for (size_t i = 0; i < questions->count; i++)
        pictures += questions->items[i].has_image;
    if (pictures == 0 && !questions->is_partial)
        return sea_fail(err, SEA_E_FORMAT, "no question of \"%s\" names a picture: answers to them can "
                        "be scored, but not made", questions->path);
    for (size_t i = 0; i < questions->count; i++)
        if (!questions->items[i].prompt[0]) {
            sea_fail(err, SEA_E_FORMAT, "question \"%s\" of \"%s\" has no text as benchmark \"%s\" "
                     "asks it: answers to it can be scored, but not made", questions->items[i].id,
                     questions->path, questions->bench->name);
            sea_hint(err, "Use the question file \"%s\".", questions->bench->questions_path);
            return SEA_E_FORMAT;
        }
    return SEA_OK;
}

enum sea_status
sea_bench_questions_ask(struct sea_bench_questions *questions, const struct sea_bench_ask *ask,
                        struct sea_err *err)
{
    const char *suffix = questions->bench->suffix;
    size_t tail = suffix ? strlen(suffix) : 0;
    enum sea_status status = check_askable(questions, err);

    if (status || (!ask->prefix && !ask->suffix))
        return status;
    for (size_t i = 0; i < questions->count; i++) {
        struct sea_bench_question *q = &questions->items[i];
        size_t n = strlen(q->prompt);
        bool has_tail = tail && n >= tail && strcmp(q->prompt + n - tail, suffix) == 0;
        bool tagged = q->answer_prompt && strncmp(q->answer_prompt, "<image>\n", 8) == 0;

        if (ask->suffix && !has_tail)
            return sea_fail(err, SEA_E_CONFIG,
                            "question \"%s\" of \"%s\" does not end in the suffix of benchmark "
                            "\"%s\", so no other can take its place", q->id, questions->path,
                            questions->bench->name);
        q->prompt = sea_arena_printf(questions->arena, "%s%.*s%s", ask->prefix ? ask->prefix : "",
                                     (int)(ask->suffix ? n - tail : n), q->prompt,
                                     ask->suffix ? ask->suffix : "");
        if (questions->bench->answer_key) {
            const char *key = questions->bench->answer_key(q->id, q->prompt, questions->arena);

            if (!key || strcmp(key, sea_bench_key(q)) != 0)
                return sea_fail(err, SEA_E_CONFIG,
                                "benchmark \"%s\" tells its answers apart by their prompts; with "
                                "another prefix or suffix question \"%s\" is not found again",
                                questions->bench->name, q->id);
        }
        if (q->answer_prompt)
            q->answer_prompt = sea_arena_printf(questions->arena, "%s%s",
                                                tagged ? "<image>\n" : "", q->prompt);
    }
    return SEA_OK;
}

/* ---- pictures ---- */

static enum sea_status
decode_inline(const struct sea_bench_question *question, struct sea_image *out,
              struct sea_err *err)
{
    size_t n = question->inline_len, used, read;
    unsigned char *bytes = sea_xcalloc(sea_base64_room(n), 1);
    enum sea_status status;
    char name[160];

    snprintf(name, sizeof(name), "picture of question \"%.80s\"", question->id);
    read = sea_base64_read(bytes, &used, question->inline_image, n);
    if (read < n)
        status = sea_fail(err, SEA_E_FORMAT, "%s is not base64: byte %zu of %zu is 0x%02x", name,
                          read, n, (unsigned char)question->inline_image[read]);
    else
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
    if (question->stored)
        return sea_hub_load(question, out, err);
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
