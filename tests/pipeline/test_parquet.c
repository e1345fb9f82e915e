/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parquet: rows, pictures and benchmarks read from it are those that pyarrow wrote (fixtures of
 * tests/oracle/io_parquet.py), and what is broken is refused by file, row group and column.
 */
#include "tests/sea_test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_parquet.h"
#include "pipeline/sea_records.h"
#include "pipeline/sea_suite.h"

#define FILE_MAX ((size_t)1 << 20)

static struct sea_arena *arena;

static const char *
fixture(const char *name)
{
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    return sea_arena_printf(arena, "%s/tests/oracle/fixtures/parquet/%s", sea_test_root(), name);
}

static const char *
place(const char *name)
{
    return sea_arena_printf(arena, "%s/%s", sea_test_dir(), name);
}

static struct sea_node *
load_json(const char *path)
{
    struct sea_err err = { 0 };
    struct sea_node *top = NULL;

    CHECK_OK(sea_json_load(path, FILE_MAX, arena, &top, &err), err);
    return top;
}

static const char *
text_of(const struct sea_node *node)
{
    struct sea_err err = { 0 };
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, FILE_MAX);
    CHECK_OK(sea_json_write(node, SEA_JSON_CANONICAL, &text, &err), err);
    out = sea_arena_strndup(arena, text.data, text.len);
    sea_buf_release(&text);
    return out;
}

/* ---- rows ---- */

static void
rows_equal_what_pyarrow_wrote(void)
{
    static const char *const files[] = {
        "none-v1-dictionary.parquet", "snappy-v1-dictionary.parquet", "gzip-v2-plain.parquet",
        "zstd-v2-delta.parquet", "none-v2-split.parquet", "test-*.parquet",
    };

    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
        struct sea_node *list = NULL, *ours, *theirs;
        struct sea_err err = { 0 };
        size_t same = 0;

        theirs = load_json(fixture("rows.json"));
        if (sea_parquet_head(fixture(files[f]), 1000, arena, &list, &err)) {
            bool left_out = strstr(err.message, "built without") != NULL;

            CHECK_MSG(left_out, "%s", err.message);
            continue;
        }
        CHECK_INT(list->count, theirs->count);
        theirs = theirs->first;
        for (ours = list->first; ours && theirs; ours = ours->next, theirs = theirs->next) {
            CHECK_STR(text_of(ours), text_of(theirs));
            same++;
        }
        printf("  %s: %zu rows\n", files[f], same);
    }
}

static void
rows_are_records_and_texts(void)
{
    struct sea_records rows;
    struct sea_err err = { 0 };
    struct sea_node *row;
    const char *text;
    size_t len;
    int64_t n = 0;

    CHECK_OK(sea_records_open(&rows, fixture("gzip-v2-plain.parquet"), &err), err);
    while (!sea_records_next(&rows, arena, &row, &err) && row) {
        CHECK_INT(rows.index, n);
        CHECK_INT(sea_node_int(sea_node_get(row, "index"), 0), 1000 + n);
        n++;
    }
    CHECK_OK(err.status, err);
    CHECK_INT(n, 40);
    sea_records_close(&rows);
    CHECK_OK(sea_records_open_member(&rows, fixture("gzip-v2-plain.parquet"), "data", &err), err);
    CHECK_OK(sea_records_next_text(&rows, &text, &len, &err), err);
    CHECK(len > 20 && strncmp(text, "{\"question_id\":\"0\",", 19) == 0);
    sea_records_close(&rows);
}

/* ---- pictures ---- */

static int64_t
cell_of(struct sea_parquet *parquet, struct sea_node **row)
{
    struct sea_err err = { 0 };
    const char *path;
    int64_t cell = -1;

    CHECK_OK(sea_parquet_next(parquet, arena, row, &err), err);
    if (*row)
        sea_parquet_is_picture(sea_node_get(*row, "image"), &cell, &path);
    return cell;
}

static void
check_picture(struct sea_parquet *parquet, int64_t row, int64_t cell, const char *want)
{
    struct sea_err err = { 0 };
    char digest[SEA_SHA256_TEXT];
    struct sea_buf bytes;

    sea_buf_init(&bytes, FILE_MAX);
    CHECK_OK(sea_parquet_picture(parquet, row, cell, &bytes, &err), err);
    sea_hash_bytes(bytes.data, bytes.len, digest);
    CHECK_STR(digest, want);
    sea_buf_release(&bytes);
}

struct looking {
    struct sea_parquet *parquet;
    int64_t cells[40];
    const char *digests[40];
    uint64_t seed;
};

static void *
look_about(void *arg)
{
    struct looking *l = arg;
    struct sea_rng rng;

    sea_rng_init(&rng, 7, l->seed);
    for (int i = 0; i < 200; i++) {
        int64_t row = sea_rng_below(&rng, 40);

        if (l->cells[row] >= 0)
            check_picture(l->parquet, row, l->cells[row], l->digests[row]);
    }
    return NULL;
}

static void
pictures_are_read_in_any_order(void)
{
    static const char *const files[] = { "none-v1-dictionary.parquet", "gzip-v2-plain.parquet",
                                         "zstd-v2-delta.parquet", "test-*.parquet" };
    const struct sea_node *digest;

    for (size_t f = 0; f < 4; f++) {
        struct looking l = { 0 }, other;
        struct sea_err err = { 0 };
        struct sea_node *row = NULL;
        pthread_t thread;
        int n = 0, pictures = 0;

        if (sea_parquet_open(&l.parquet, fixture(files[f]), &err)) {
            CHECK_MSG(strstr(err.message, "built without"), "%s", err.message);
            continue;
        }
        CHECK_INT(sea_parquet_rows(l.parquet), 40);
        digest = load_json(fixture("pictures.json"))->first;
        for (; digest; digest = digest->next, n++) {
            l.cells[n] = cell_of(l.parquet, &row);
            l.digests[n] = sea_node_text(digest, NULL);
            CHECK_INT(l.cells[n] >= 0, l.digests[n] != NULL);
            pictures += l.cells[n] >= 0;
        }
        CHECK_INT(pictures, 34);
        other = l;
        other.seed = 1;
        pthread_create(&thread, NULL, look_about, &other);
        look_about(&l);
        pthread_join(thread, NULL);
        sea_parquet_close(l.parquet);
    }
}

/* ---- what is refused ---- */

static void
check_refused(const char *path, enum sea_status status, const char *words)
{
    struct sea_err err = { 0 };
    struct sea_node *list;
    enum sea_status got = sea_parquet_head(path, 1000, arena, &list, &err);

    CHECK_INT(got, status);
    CHECK_MSG(strstr(err.message, words), "\"%s\" does not say \"%s\"", err.message, words);
}

/* A copy of a fixture, cut to n bytes (0: whole), with one byte changed (at < 0: none). */
static const char *
changed(const char *name, const char *as, size_t n, long at, int byte)
{
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    sea_buf_init(&bytes, FILE_MAX);
    CHECK_OK(sea_file_read(fixture(name), &bytes, &err), err);
    if (at >= 0)
        bytes.data[at] = (char)byte;
    CHECK_OK(sea_file_replace(place(as), bytes.data, n ? n : bytes.len, &err), err);
    sea_buf_release(&bytes);
    return place(as);
}

static void
broken_files_are_refused(void)
{
    struct stat info;
    const char *whole = fixture("none-v1-dictionary.parquet");

    check_refused(fixture("brotli.parquet"), SEA_E_FORMAT, "row group 0, column \"question_id\": is "
                  "packed with Brotli");
    check_refused(fixture("lz4.parquet"), SEA_E_FORMAT, "LZ4");
    check_refused(changed("none-v1-dictionary.parquet", "torn.parquet", 9000, -1, 0), SEA_E_FORMAT,
                  "does not end with its mark");
    check_refused(changed("none-v1-dictionary.parquet", "short.parquet", 11, -1, 0), SEA_E_FORMAT,
                  "does not begin");
    check_refused(changed("none-v1-dictionary.parquet", "flip.parquet", 0, 60, 0x5A), SEA_E_FORMAT,
                  "row group 0, column \"question_id\": a page's checksum is wrong");
    CHECK(stat(whole, &info) == 0);
    check_refused(changed("none-v1-dictionary.parquet", "long.parquet", 0, (long)info.st_size - 6, 1),
                  SEA_E_FORMAT, "its footer is longer than the file");
    check_refused(place("nothing.parquet"), SEA_E_MISSING, "nothing.parquet");
}

/* Files made byte by byte, each with one lie; the good one shows that it is the lie that counts. */
static void
lies_are_refused_by_column(void)
{
    struct sea_node *about = load_json(fixture("broken/about.json"));

    for (const struct sea_node *one = about ? about->first : NULL; one; one = one->next) {
        const char *path = fixture(sea_arena_printf(arena, "broken/%s.parquet", one->key));
        struct sea_err err = { 0 };
        struct sea_node *list;

        if (one->text[0]) {
            check_refused(path, SEA_E_FORMAT, one->text);
            continue;
        }
        CHECK_OK(sea_parquet_head(path, 9, arena, &list, &err), err);
        CHECK_STR(text_of(list), "[{\"x\":7},{\"x\":-1},{\"x\":2},{\"x\":3}]");
    }
    printf("  %zu files\n", about ? about->count : 0);
}

static void
copy_shard(int from, const char *folder, const char *name)
{
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    sea_buf_init(&bytes, FILE_MAX);
    CHECK_OK(sea_file_read(fixture(sea_arena_printf(arena, "test-%05d-of-00003.parquet", from)), &bytes,
                           &err), err);
    CHECK_OK(sea_dir_create(place(folder), &err), err);
    CHECK_OK(sea_file_replace(place(sea_arena_printf(arena, "%s/%s", folder, name)), bytes.data,
                              bytes.len, &err), err);
    sea_buf_release(&bytes);
}

static void
shards_must_be_complete_and_of_one_split(void)
{
    struct sea_err err = { 0 };
    struct sea_node *list;

    copy_shard(2, "set/data", "test-00002-of-00003-cdef.parquet");
    copy_shard(0, "set/data", "test-00000-of-00003-0123.parquet");
    CHECK(sea_parquet_is(place("set")));
    check_refused(place("set"), SEA_E_MISSING, "2 shards lie there");
    copy_shard(1, "set/data", "test-00001-of-00003-89ab.parquet");
    CHECK_OK(sea_parquet_head(place("set"), 100, arena, &list, &err), err);
    CHECK_INT(list->count, 40);
    CHECK_STR(sea_node_text(sea_node_get(list->last, "question_id"), ""), "39");
    copy_shard(1, "set/data", "test-00001-of-00003-aaaa.parquet");      /* two versions */
    check_refused(place("set"), SEA_E_MISSING, "4 shards lie there");
    unlink(place("set/data/test-00001-of-00003-aaaa.parquet"));
    copy_shard(0, "set/data", "validation-00000-of-00001.parquet");
    check_refused(place("set"), SEA_E_CONFIG, "2 splits");
    CHECK_OK(sea_parquet_head(place("set/data/validation-*.parquet"), 100, arena, &list, &err), err);
    CHECK_INT(list->count, 14);
    CHECK_OK(sea_dir_create(place("other"), &err), err);
    CHECK_OK(sea_parquet_head(place("set/data/*.parquet"), 100, arena, &list, &err), err);
    CHECK_INT(list->count, 54);
    CHECK(!sea_parquet_is(place("other")));
    copy_shard(0, "mixed", "a.parquet");
    CHECK(rename(changed("brotli.parquet", "b.parquet", 0, -1, 0), place("mixed/b.parquet")) == 0);
    err = (struct sea_err){ 0 };
    CHECK(sea_parquet_head(place("mixed"), 1, arena, &list, &err) == SEA_E_FORMAT);
}

/* ---- benchmarks ---- */

static const struct sea_node *
at(const struct sea_node *list, size_t i)
{
    const struct sea_node *node = list ? list->first : NULL;

    for (; node && i > 0; i--)
        node = node->next;
    return node;
}

/* The picture's colour says its number. */
static void
check_question_picture(const struct sea_bench_question *q, const struct sea_node *number,
                       const char *name)
{
    struct sea_err err = { 0 };
    struct sea_image image;

    if (!number || number->kind == SEA_NODE_NULL) {
        CHECK_MSG(!q->has_image, "%s: question \"%s\" has a picture", name, q->id);
        return;
    }
    CHECK_MSG(q->has_image, "%s: question \"%s\" has no picture", name, q->id);
    CHECK_OK(sea_bench_image_load(q, NULL, &image, &err), err);
    if (image.rgb) {
        CHECK_INT(image.width, 8);
        CHECK_INT(image.rgb[0], number->integer * 20 % 256);
    }
    sea_image_release(&image);
}

static void
check_scores(const char *name, const struct sea_bench_questions *questions, const char *path,
             const struct sea_node *answers)
{
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    struct sea_buf lines;

    sea_buf_init(&lines, FILE_MAX);
    for (size_t i = 0; i < questions->count; i++) {
        const char *text = sea_node_text(at(answers, i), "");

        sea_bench_answer_write(&lines, &questions->items[i], text, strlen(text), "m");
    }
    CHECK_OK(sea_file_replace(place("answers.jsonl"), lines.data, lines.len, &err), err);
    sea_buf_release(&lines);
    if (sea_bench_score(questions->bench->name, path, place("answers.jsonl"), NULL, 0, NULL, arena,
                        &result, &err)) {
        CHECK_MSG(0, "%s: %s", name, err.message);
        return;
    }
    printf("  %-16s %s = %g of %zu questions\n", name, result.metrics[0].name,
           result.metrics[0].value, result.rows_count);
    CHECK(result.complete);
    CHECK_INT(result.failed, 0);
    for (size_t i = 0; i < result.rows_count; i++)
        CHECK_MSG(result.rows[i].score > 0.99 || strstr(name, "caption") || strstr(name, "caps") ||
                      strstr(name, "flickr"),
                  "%s: answer \"%s\" to \"%s\" has score %g, want 1", name, result.rows[i].text,
                  result.rows[i].question->id, result.rows[i].score);
}

/* Equal pictures have equal names, others have not (mme: in one category). */
static void
check_names(const char *name, const struct sea_bench_questions *questions,
            const struct sea_node *numbers)
{
    for (size_t i = 0; i < questions->count; i++)
        for (size_t k = 0; k < i; k++) {
            const char *a = questions->items[i].picture, *b = questions->items[k].picture;
            const struct sea_node *x = at(numbers, i), *y = at(numbers, k);

            if (a && b && strcmp(a, b) == 0)
                CHECK_INT(x->integer, y->integer);
            else if (x->kind == SEA_NODE_INT && y->kind == SEA_NODE_INT &&
                     strcmp(name, "mmbench") != 0 && (strcmp(name, "mme") != 0 || i == k + 1))
                CHECK_MSG(x->integer != y->integer, "%s: rows %zu and %zu show one picture", name,
                          k, i);
        }
}

static void
benchmarks_of_the_hub_are_asked_and_scored(void)
{
    struct sea_node *about = load_json(fixture("hub/about.json"));

    for (const struct sea_node *set = about ? about->first : NULL; set; set = set->next) {
        const struct sea_node *numbers = sea_node_get(set, "pictures"),
                              *answers = sea_node_get(set, "answers");
        const char *path = fixture(sea_arena_printf(
            arena, "hub/%s", sea_node_text(sea_node_get(set, "questions"), "")));
        struct sea_bench_questions questions;
        const struct sea_bench *bench;
        struct sea_err err = { 0 };

        CHECK_OK(sea_bench_find(sea_node_text(sea_node_get(set, "bench"), ""), &bench, &err), err);
        if (sea_bench_questions_load(bench, path, 0, arena, &questions, &err)) {
            CHECK_MSG(strstr(err.message, "built without"), "%s: %s", set->key, err.message);
            continue;
        }
        CHECK_INT(questions.count, sea_node_int(sea_node_get(set, "count"), 0));
        if (sea_node_get(set, "prompt")->kind == SEA_NODE_STRING)
            CHECK_STR(questions.items[0].prompt, sea_node_text(sea_node_get(set, "prompt"), ""));
        for (size_t i = questions.count; i-- > 0;)
            check_question_picture(&questions.items[i], at(numbers, i), set->key);
        check_names(set->key, &questions, numbers);
        if (answers->kind == SEA_NODE_LIST)
            check_scores(set->key, &questions, path, answers);
    }
}

static void
part_of_a_data_set_is_partial(void)
{
    struct sea_bench_questions questions;
    const struct sea_bench *bench;
    struct sea_err err = { 0 };

    CHECK_OK(sea_bench_find("chartqa", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, fixture("hub/chartqa.parquet"), 1, arena, &questions,
                                      &err), err);
    CHECK_INT(questions.count, 1);
    CHECK(questions.is_partial);
}

/* The upload names pictures, which are the ids here. */
static void
uploads_can_be_made(void)
{
    static const char lines[] = "{\"question_id\": \"VizWiz_val_00000001.jpg\", \"text\": \"A\"}\n"
                                "{\"question_id\": \"VizWiz_val_00000000.jpg\", \"text\": \"Two\"}\n";
    const char *answers = place("v.jsonl");
    struct sea_err err = { 0 };
    struct sea_buf out;

    CHECK_OK(sea_file_replace(answers, lines, strlen(lines), &err), err);
    sea_buf_init(&out, FILE_MAX);
    CHECK_OK(sea_bench_export("vizwiz", fixture("hub/vizwiz.parquet"), answers, NULL, 0, NULL, &out,
                              &err), err);
    CHECK_MSG(strstr(out.data, "\"VizWiz_val_00000000.jpg\", \"answer\": \"2\""), "%s", out.data);
    sea_buf_release(&out);
}

/* A suite needs no more than the folder: no annotations, no images, no name of a file. */
static void
suites_name_a_folder_of_parquet(void)
{
    struct sea_node *config = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *eval;
    const char *text = sea_arena_printf(arena,
        "root: %s\nbenchmarks:\n  - {name: gqa, folder: ., questions: testdev_balanced_instructions}\n"
        "  - {name: vqav2, folder: ., questions: vqav2.parquet}\n  - {name: chartqa, folder: %s}\n"
        "  - {name: pope, folder: ., questions: \"po*.parquet\"}\n", fixture("hub"), place("charts"));
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct sea_suite suite;
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    sea_buf_init(&bytes, FILE_MAX);
    CHECK_OK(sea_dir_create(place("charts/data"), &err), err);
    CHECK_OK(sea_file_read(fixture("hub/chartqa.parquet"), &bytes, &err), err);
    CHECK_OK(sea_file_replace(place("charts/data/test-00000-of-00001.parquet"), bytes.data, bytes.len,
                              &err), err);
    CHECK_OK(sea_file_replace(place("suite.yaml"), text, strlen(text), &err), err);
    eval = sea_node_put(arena, sea_node_put(arena, config, "stages", SEA_NODE_MAP), "eval",
                        SEA_NODE_MAP);
    sea_node_put_text(arena, eval, "suite", place("suite.yaml"));
    CHECK_OK(sea_suite_load(&suite, config, arena, &err), err);
    if (err.status)
        return;
    for (size_t i = 0; i < suite.count; i++) {
        struct sea_bench_questions questions;

        CHECK_INT(suite.items[i].annotations_count, 0);
        CHECK(suite.items[i].images == NULL);
        CHECK_OK(sea_bench_questions_load(suite.items[i].bench, suite.items[i].questions, 0, arena,
                                          &questions, &err), err);
        CHECK(questions.count >= 2);
    }
    CHECK_STR(suite.items[2].questions, place("charts"));
    CHECK_OK(sea_suite_digest(config, one, &err), err);
    bytes.data[40] ^= 1;        /* another content is another suite */
    CHECK_OK(sea_file_replace(place("charts/data/test-00000-of-00001.parquet"), bytes.data, bytes.len,
                              &err), err);
    CHECK_OK(sea_suite_digest(config, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    sea_buf_release(&bytes);
}

/* ---- as files ---- */

static void
rows_become_json_and_pictures(void)
{
    struct sea_parquet_dump dump = { .rows = -1, .images = place("pictures") };
    struct sea_bench_questions one, two;
    const struct sea_bench *bench;
    struct sea_err err = { 0 };
    struct sea_node *rows;
    int64_t count;

    CHECK_OK(sea_parquet_write(fixture("hub/pope.parquet"), &dump, place("pope.json"), true, &count,
                               &err), err);
    CHECK_INT(count, 6);
    rows = load_json(place("pope.json"));
    CHECK_STR(sea_node_text(sea_node_get(at(rows, 0), "image"), ""), "00000000-image.png");
    CHECK_STR(sea_node_text(sea_node_get(at(rows, 4), "image"), ""), "00000000-image.png");
    CHECK_STR(sea_node_text(sea_node_get(at(rows, 5), "image"), ""), "00000001-image.png");
    CHECK(sea_file_exists(place("pictures/00000001-image.png")));
    CHECK(!sea_file_exists(place("pictures/00000002-image.png")));

    /* the written rows are the benchmark, too */
    CHECK_OK(sea_parquet_write(fixture("hub/mme.parquet"), &dump, place("mme.jsonl"), false, &count,
                               &err), err);
    CHECK_OK(sea_bench_find("mme", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, place("mme.jsonl"), 0, arena, &one, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, fixture("hub/mme.parquet"), 0, arena, &two, &err), err);
    CHECK_INT(one.count, two.count);
    for (size_t i = 0; i < one.count && i < two.count; i++) {
        CHECK_STR(one.items[i].key, two.items[i].key);
        CHECK_STR(one.items[i].prompt, two.items[i].prompt);
        CHECK_STR(one.items[i].gold, two.items[i].gold);
    }
    CHECK_OK(sea_bench_images_check(&one, place("pictures"), &err), err);
}

/* Several pictures in one column, and columns whose names differ by a mark only. */
static void
every_picture_has_a_name_of_its_own(void)
{
    struct sea_parquet_dump dump = { .rows = -1, .images = place("pairs") };
    struct sea_err err = { 0 };
    const struct sea_node *row, *pair, *list;
    int64_t count;

    CHECK_OK(sea_parquet_write(fixture("pairs.parquet"), &dump, place("pairs.json"), true, &count,
                               &err), err);
    row = at(load_json(place("pairs.json")), 0);
    pair = sea_node_get(row, "image-pair");
    list = sea_node_get(pair, "b");
    CHECK_STR(sea_node_text(sea_node_get(pair, "a"), ""), "00000000-image_pair.0.png");
    CHECK_STR(sea_node_text(at(list, 0), ""), "00000000-image_pair.0-1.png");
    CHECK_STR(sea_node_text(at(list, 1), ""), "00000000-image_pair.0.png");     /* the same */
    CHECK_STR(sea_node_text(at(list, 2), ""), "00000000-image_pair.0-3.png");
    CHECK_STR(sea_node_text(sea_node_get(row, "image_pair"), ""), "00000000-image_pair.png");
}

SEA_TEST_MAIN("parquet",
    TEST(rows_equal_what_pyarrow_wrote),
    TEST(rows_are_records_and_texts),
    TEST(pictures_are_read_in_any_order),
    TEST(broken_files_are_refused),
    TEST(lies_are_refused_by_column),
    TEST(shards_must_be_complete_and_of_one_split),
    TEST(benchmarks_of_the_hub_are_asked_and_scored),
    TEST(part_of_a_data_set_is_partial),
    TEST(uploads_can_be_made),
    TEST(suites_name_a_folder_of_parquet),
    TEST(rows_become_json_and_pictures),
    TEST(every_picture_has_a_name_of_its_own))
