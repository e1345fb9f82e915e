/* SPDX-License-Identifier: Apache-2.0 */
/* Answer files in the layouts that scripts and people publish: spreadsheets, analyses, reviews
 * and grades, chunks, logs of samples, tables of other tools; and the exports that are made. */
#include "engine/base/sea_rng.h"
#include "pipeline/benchmarks/xlsx_int.h"
#include "tests/pipeline/bench_files.h"

#define SHEETS "tests/oracle/fixtures/sheets"

static const char *
put_dir(const char *name)
{
    struct sea_err err = { 0 };
    const char *path;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    path = sea_arena_printf(arena, "%s/%s", sea_test_dir(), name);
    CHECK_OK(sea_dir_create(path, &err), err);
    return path;
}

/* ---- spreadsheets ---- */

static const char *
cell_text(const struct sea_node *cell)
{
    return !cell ? "" : cell->kind == SEA_NODE_STRING ? cell->text
                      : cell->kind == SEA_NODE_INT
                            ? sea_arena_printf(arena, "%lld", (long long)cell->integer)
                      : cell->kind == SEA_NODE_BOOL ? (cell->integer ? "True" : "False")
                                                    : sea_py_float_text(cell->real, arena);
}

static void
compare_sheet(const char *name)
{
    const char *path = sea_arena_printf(arena, "%s/" SHEETS "/%s", sea_test_root(), name);
    struct sea_node *want = NULL, *rows = NULL, *row, *line;
    struct sea_file_map map = { 0 };
    struct sea_err err = { 0 };
    size_t count = 0;

    CHECK_OK(sea_json_load(sea_arena_printf(arena, "%s/" SHEETS "/rows.json", sea_test_root()),
                           1 << 20, arena, &want, &err), err);
    CHECK_OK(sea_file_map_open(&map, path, &err), err);
    CHECK(sea_xlsx_is((const char *)map.data, map.bytes));
    CHECK_OK(sea_xlsx_read((const char *)map.data, map.bytes, path, arena, &rows, &err), err);
    line = sea_node_get(want, "rows")->first;
    for (row = rows ? rows->first : NULL; row && line; row = row->next, line = line->next) {
        const struct sea_node *column = sea_node_get(want, "columns")->first, *text = line->first;

        for (; column && text; column = column->next, text = text->next, count++)
            CHECK_STR(cell_text(sea_node_get(row, column->text)), text->text);
    }
    CHECK_INT(count, 63);
    CHECK(!row && !line);
    sea_file_map_close(&map);
}

static void
spreadsheets_are_read_as_pandas_reads_them(void)
{
    arena = arena ? arena : sea_arena_create(NULL, "test");
    compare_sheet("inline.xlsx");
    compare_sheet("shared.xlsx");
}

/* Question 1 is right in both passes, 2 to 6 are not: B, A; 7, 0.5, TRUE, text, nothing. */
static void
mmbench_scores_a_published_upload(void)
{
    const char *sheet;
    struct sea_bench_result result;
    struct sea_err err;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    sheet = sea_arena_printf(arena, "%s/" SHEETS "/shared.xlsx", sea_test_root());
    result = score_files("mmbench", sheet, sheet, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "circular_accuracy"), 2.0 / 6, 1e-15);
    CHECK_INT(result.rows_count, 7);
    if (result.rows_count == 7) {
        CHECK_STR(result.rows[2].text, "7");            /* also the text of option C: right */
        CHECK_STR(result.rows[4].text, "True");
        CHECK_STR(result.rows[6].text, "");
        CHECK(!result.rows[6].is_missing);              /* an empty answer is one */
    }
}

static void
broken_spreadsheets_are_refused(void)
{
    struct sea_err err = { 0 };
    struct sea_buf good, bad;
    struct sea_rng rng;
    const char *path, *out;
    int refused = 0, scored = 0;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    path = sea_arena_printf(arena, "%s/" SHEETS "/inline.xlsx", sea_test_root());
    out = sea_arena_printf(arena, "%s/bad.xlsx", sea_test_dir());
    sea_buf_init(&good, 1 << 20);
    sea_buf_init(&bad, 1 << 20);
    CHECK_OK(sea_file_read(path, &good, &err), err);
    CHECK_OK(sea_file_replace(out, good.data, good.len / 2, &err), err);
    score_files("mmbench", out, out, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has no directory at its end");
    score_files("mmbench", put_file("zip", "PK\3\4 and no more"), path, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "begins like a zip archive");
    sea_rng_init(&rng, 3, 0);
    for (int turn = 0; turn < 400; turn++) {
        sea_buf_clear(&bad);
        sea_buf_add(&bad, good.data, good.len);
        for (int i = 0; i < 3; i++)
            bad.data[sea_rng_below(&rng, (uint32_t)bad.len)] = (char)sea_rng_below(&rng, 256);
        err = (struct sea_err){ 0 };
        CHECK_OK(sea_file_replace(out, bad.data, bad.len, &err), err);
        score_files("mmbench", out, path, NULL, NULL, &err);
        refused += err.status != SEA_OK;
        scored += err.status == SEA_OK;
    }
    printf("  %d damaged spreadsheets refused, %d read\n", refused, scored);
    CHECK(refused > 200);
    sea_buf_release(&good);
    sea_buf_release(&bad);
}

static void
a_written_sheet_gives_back_every_text(void)
{
    static const char *const texts[] = {
        "", "plain", "<&>\"'", "\r\n", "a\tb", "\x01\x1F", "_x0041_", "_x_", "_", "1e5", "nan",
        "=1+1", " edge ", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "]]>", "&amp;",
    };
    size_t count = sizeof(texts) / sizeof(texts[0]), i = 0;
    struct sea_node *rows = NULL, *row;
    struct sea_xlsx_writer writer;
    struct sea_err err = { 0 };
    struct sea_buf out, again;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    sea_buf_init(&out, 1 << 20);
    sea_buf_init(&again, 1 << 20);
    for (int turn = 0; turn < 2; turn++) {
        sea_xlsx_begin(&writer);
        sea_xlsx_row(&writer);
        sea_xlsx_text(&writer, "n");
        sea_xlsx_text(&writer, "text");
        for (i = 0; i < count; i++) {
            sea_xlsx_row(&writer);
            sea_xlsx_number(&writer, "7");
            sea_xlsx_text(&writer, texts[i]);
        }
        sea_xlsx_finish(&writer, turn ? &again : &out);
    }
    CHECK(out.len == again.len && memcmp(out.data, again.data, out.len) == 0);
    CHECK_OK(sea_xlsx_read(out.data, out.len, "memory", arena, &rows, &err), err);
    for (i = 0, row = rows ? rows->first : NULL; row && i < count; row = row->next, i++) {
        CHECK_STR(sea_node_text(sea_node_get(row, "text"), NULL), texts[i]);
        CHECK_INT(sea_node_int(sea_node_get(row, "n"), 0), 7);
        CHECK_INT(row->line, i + 2);
    }
    CHECK_INT(i, count);
    sea_buf_release(&out);
    sea_buf_release(&again);
}

static void
mmbench_exports_the_upload_of_either_split(void)
{
    static const char *const tables[] = {
        "index\tquestion\thint\tA\tB\tanswer\tcategory\tsplit\n1\tWhy?\th\tx\ty\tB\tc\tdev\n"
        "1000001\tWhy?\th\ty\tx\tA\tc\tdev\n",
        "index\tquestion\tA\tB\tcategory\n1\tWhy?\tx\ty\tc\n",
    };
    static const char *const answers[] = {
        "{\"question_id\": 1, \"text\": \"B\"}\n{\"question_id\": 1000001, \"text\": \"A\"}\n",
        "{\"question_id\": 1, \"text\": \"=B\\t\"}\n",
    };
    struct sea_node *rows = NULL;
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    struct sea_buf out;

    sea_buf_init(&out, 1 << 20);
    for (int i = 0; i < 2; i++) {
        const char *path = sea_arena_printf(arena, "%s/upload.xlsx", sea_test_dir());

        sea_buf_clear(&out);
        CHECK_OK(sea_bench_export("mmbench", put_file("q.tsv", tables[i]),
                                  put_file("a.jsonl", answers[i]), NULL, 0, NULL, &out, &err), err);
        CHECK_OK(sea_xlsx_read(out.data, out.len, "memory", arena, &rows, &err), err);
        if (!rows || !rows->first)
            continue;
        CHECK_INT(rows->count, 2 - i);
        CHECK(!sea_node_get(rows->first, "hint") && !sea_node_get(rows->first, "category"));
        CHECK((sea_node_get(rows->first, "answer") != NULL) == (i == 0));
        CHECK((sea_node_get(rows->first, "split") != NULL) == (i == 0));
        CHECK_STR(sea_node_text(sea_node_get(rows->first, "prediction"), ""), i ? "=B\t" : "B");
        CHECK_OK(sea_file_replace(path, out.data, out.len, &err), err);
        if (i == 0) {
            result = score_files("mmbench", put_file("q.tsv", tables[0]), path, NULL, NULL, &err);
            CHECK_NEAR(value_of(&result, "circular_accuracy"), 1, 0);
        }
    }
    sea_buf_release(&out);
}

/* ---- gradings in the place of answers ---- */

static void
llava_bench_reviews_stand_for_their_answers(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": 0, \"image\": \"a\", \"text\": \"?\", \"category\": \"conv\"}\n"
        "{\"question_id\": 1, \"image\": \"b\", \"text\": \"?\", \"category\": \"detail\"}\n");
    const char *reviews = put_file("r.jsonl",
        "{\"id\": 1, \"question_id\": 0, \"category\": \"llava_bench_conv\", \"content\": \"8 6\", "
        "\"tuple\": [8.0, 6.0]}\n"
        "{\"id\": 2, \"question_id\": 1, \"category\": \"llava_bench_detail\", \"content\": \"9 7\","
        " \"tuple\": [9.0, 7.0]}\n");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("llava-bench", questions, reviews, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "relative"), 6.5 / 8.5, 1e-15);
    CHECK_NEAR(value_of(&result, "conv/relative"), 6.0 / 8, 1e-15);
    reviews = put_file("r.jsonl", "{\"question_id\": 0, \"tuple\": [8.0, 6.0]}\n");
    score_files("llava-bench", questions, reviews, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 missing (\"1\")");
}

static void
mm_vet_grades_stand_for_their_answers(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": 0, \"image\": \"a\", \"text\": \"x?\", \"category\": \"conv\"}\n"
        "{\"question_id\": 1, \"image\": \"b\", \"text\": \"y?\", \"category\": \"conv\"}\n");
    const char *grades = put_file("g.json",
        "{\"v1_0\": {\"model\": [\"j\", \"j\"], \"content\": [\"1.0\", \"0.5\"], \"score\": [1.0, "
        "0.5]}, \"v1_1\": {\"model\": [\"j\", \"j\"], \"content\": [\"0.0\", \"0.2\"], \"score\": "
        "[0.0, 0.2]}}");
    const char *gold = put_file("mm-vet.json",
        "{\"v1_0\": {\"imagename\": \"a\", \"question\": \"x?\", \"answer\": \"1\", \"capability\": "
        "[\"rec\"]}, \"v1_1\": {\"imagename\": \"b\", \"question\": \"y?\", \"answer\": \"2\", "
        "\"capability\": [\"rec\", \"ocr\"]}}");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("mm-vet", questions, grades, NULL, NULL, &err);  /* the total alone */
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "total"), (0.75 + 0.1) / 2, 1e-15);
    CHECK(!sea_bench_metric_find(&result, "rec"));
    result = score_files("mm-vet", questions, grades, gold, NULL, &err);
    CHECK_NEAR(value_of(&result, "ocr"), 0.1, 1e-15);
    CHECK_NEAR(value_of(&result, "integration/rec_ocr"), 0.1, 1e-15);
}

/* ---- other tools ---- */

static const char three_questions[] =
    "{\"question_id\": \"q7\", \"image\": \"a.jpg\", \"question\": \"Is it red?\", \"answer\": "
    "\"yes\", \"category\": \"random\"}\n"
    "{\"question_id\": \"q8\", \"image\": \"a.jpg\", \"question\": \"Is it blue?\", \"answer\": "
    "\"no\", \"category\": \"random\"}\n"
    "{\"question_id\": \"q9\", \"image\": \"b.jpg\", \"question\": \"Is it new?\", \"answer\": "
    "\"no\", \"category\": \"popular\"}\n";

static void
samples_of_lmms_eval_go_by_row_and_are_compared(void)
{
    const char *questions = put_file("q.jsonl", three_questions), *answers;
    struct sea_bench_result result;
    struct sea_err err;

    answers = put_file("s.jsonl",
        "{\"doc_id\": 2, \"target\": \"no\", \"input\": \"Is it new?\\nShort.\", "
        "\"filtered_resps\": \"No\", \"doc_hash\": \"h\"}\n"
        "{\"doc_id\": 0, \"target\": \"yes\", \"input\": \"?\", \"filtered_resps\": [\"Yes\"]}\n"
        "{\"doc_id\": 1, \"target\": \"no\", \"input\": \"is it BLUE?\", \"resps\": [[\"yes.\"]]}\n");
    result = score_files("pope", questions, answers, NULL, "lmms", &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 2.0 / 3, 1e-15);      /* "yes." is neither */
    CHECK_INT(result.failed, 1);
    answers = put_file("s.jsonl",
        "{\"doc_id\": 0, \"target\": \"no\", \"input\": \"Is it old?\", \"filtered_resps\": "
        "\"No\"}\n");
    score_files("pope", questions, answers, NULL, "lmms", &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "sample 0 asked \"Is it old?\", but row 0");
    answers = put_file("s.jsonl",
        "{\"doc_id\": 5, \"target\": \"no\", \"input\": \"x\", \"filtered_resps\": \"No\"}\n");
    score_files("pope", questions, answers, NULL, "lmms", &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 unknown (\"doc_id 5\")");
}

static void
chunks_of_a_folder_are_one_file(void)
{
    const char *questions = put_file("q.jsonl", three_questions), *folder = put_dir("chunks");
    struct sea_bench_result result;
    struct sea_err err;

    put_file("chunks/2_0.jsonl", "{\"question_id\": \"q7\", \"text\": \"yes\"}\n"
                                 "{\"question_id\": \"q8\", \"text\": \"no\"}\n");
    put_file("chunks/2_1.jsonl", "{\"question_id\": \"q9\", \"text\": \"no\"}\n");
    put_file("chunks/notes.txt", "not an answer");
    result = score_files("pope", questions, folder, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    put_file("chunks/merge.jsonl", "{\"question_id\": \"q7\", \"text\": \"no\"}\n"
                                   "{\"question_id\": \"q8\", \"text\": \"no\"}\n"
                                   "{\"question_id\": \"q9\", \"text\": \"no\"}\n");
    result = score_files("pope", questions, folder, NULL, NULL, &err);
    CHECK_OK(err.status, err);          /* the chunks are in it already */
    CHECK_NEAR(value_of(&result, "accuracy"), 2.0 / 3, 1e-15);
    score_files("pope", questions, put_dir("empty"), NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_MISSING, "holds neither merge.jsonl");
}

/* LLaVA's question file is of an early release of POPE, which misspells a word; the label files
 * of later ones do not. Another object is another question all the same. */
static void
popes_early_and_late_questions_are_the_same(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat in the imange?\\n"
        "Answer the question using a single word or phrase.\", \"category\": \"random\"}\n");
    const char *answers = put_file("a.jsonl", "{\"question_id\": 1, \"text\": \"Yes\"}\n");
    const char *labels = put_file("coco_pope_random.json",
        "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat in the image?\", "
        "\"label\": \"yes\"}\n");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("pope", questions, answers, labels, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    labels = put_file("coco_pope_random.json",
        "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a car in the image?\", "
        "\"label\": \"yes\"}\n");
    score_files("pope", questions, answers, labels, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "is about image");
}

/* A question of VLMEvalKit's POPE stands for every split that its category names. */
static void
vlmevalkits_pope_counts_a_question_in_each_split(void)
{
    const char *questions = put_file("q.tsv",
        "index\tquestion\tanswer\tcategory\n1\tIs a?\tYes\tadversarial,popular,random\n"
        "2\tIs b?\tNo\trandom\n3\tIs c?\tNo\tadversarial,popular\n");
    const char *answers = put_file("a.jsonl", "{\"index\": 1, \"prediction\": \"Yes, it is\"}\n"
        "{\"index\": 2, \"prediction\": \"yes\"}\n{\"index\": 3, \"prediction\": \"It is no\"}\n");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("pope", questions, answers, NULL, "vlmeval", &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "random/accuracy"), 0.5, 0);
    CHECK_NEAR(value_of(&result, "adversarial/accuracy"), 1, 0);
    CHECK_NEAR(value_of(&result, "popular/f1"), 1, 0);
    CHECK_NEAR(value_of(&result, "random/f1"), 2.0 / 3, 1e-15);     /* precision 1/2, recall 1 */
}

static void
vlmevalkits_mme_is_joined_by_index(void)
{
    const char *questions = put_file("q.tsv",
        "index\timage_path\tquestion\tanswer\tcategory\n"
        "0\tcolor/1.jpg\tIs it red? Please answer yes or no.\tYes\tcolor\n"
        "1\tcolor/1.jpg\tIs it blue? Please answer yes or no.\tNo\tcolor\n");
    const char *answers = put_file("a.tsv", "index\tprediction\n0\tThe answer is yes\n1\tNo\n");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("mme", questions, answers, NULL, "vlmeval", &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "task/color"), 1, 0);
    result = score_files("mme", questions, answers, NULL, NULL, &err);    /* "the " is neither */
    CHECK_NEAR(value_of(&result, "task/color"), 0.25, 0);           /* acc 1/2, acc+ 0 */
}

static void
lmms_eval_reads_mmes_answers_stripped(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": \"OCR/1.jpg\", \"question\": \"a? Please answer yes or no.\", \"answer\": "
        "\"Yes\"}\n"
        "{\"question_id\": \"OCR/1.jpg\", \"question\": \"b? Please answer yes or no.\", \"answer\": "
        "\"No\"}\n");
    const char *answers = put_file("a.jsonl",
        "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"a?\", \"text\": \"    Yes\"}\n"
        "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"b?\", \"text\": \" N. \"}\n");
    struct sea_bench_result result;
    struct sea_err err;

    result = score_files("mme", questions, answers, NULL, "lmms", &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "task/OCR"), 1, 0);
    result = score_files("mme", questions, answers, NULL, NULL, &err);
    CHECK_NEAR(value_of(&result, "task/OCR"), 0, 0);    /* four blanks; " n. " */
}

/* ---- exports that are a folder, or a map ---- */

static void
mme_exports_what_the_official_script_reads(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": \"OCR/1.png\", \"image\": \"OCR/1.png\", \"text\": \"a?\\nShort.\", "
        "\"answer\": \"Yes\"}\n"
        "{\"question_id\": \"color/9.jpg\", \"image\": \"c\", \"text\": \"c?\\nShort.\", \"answer\": "
        "\"No\"}\n"
        "{\"question_id\": \"OCR/1.png\", \"image\": \"OCR/1.png\", \"text\": \"b?\\nShort.\", "
        "\"answer\": \"No\"}\n"
        "{\"question_id\": \"color/9.jpg\", \"image\": \"c\", \"text\": \"d?\\nShort.\", \"answer\": "
        "\"Yes\"}\n");
    const char *answers = put_file("a.jsonl",
        "{\"question_id\": \"OCR/1.png\", \"prompt\": \"b?\", \"text\": \"no\\tway\\n\"}\n"
        "{\"question_id\": \"OCR/1.png\", \"prompt\": \"a?\", \"text\": \"Yes\"}\n"
        "{\"question_id\": \"color/9.jpg\", \"prompt\": \"c?\", \"text\": \"\"}\n"
        "{\"question_id\": \"color/9.jpg\", \"prompt\": \"d?\", \"text\": \"yes\"}\n");
    const char *folder, *path;
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    struct sea_buf text;

    sea_buf_init(&text, 1 << 20);
    folder = sea_arena_printf(arena, "%s/mme_out", sea_test_dir());
    CHECK_INT(sea_bench_export("mme", questions, answers, NULL, 0, NULL, &text, &err),
              SEA_E_CONFIG);
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_bench_export_to("mme", questions, answers, NULL, 0, NULL, folder, &err), err);
    path = sea_arena_printf(arena, "%s/OCR.txt", folder);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    CHECK_STR(text.data, "1.txt\ta? Please answer yes or no.\tYes\tYes\n"
                         "1.txt\tb? Please answer yes or no.\tNo\tno way \n");
    result = score_files("mme", folder, folder, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_INT(result.rows_count, 4);
    CHECK_NEAR(value_of(&result, "task/OCR"), 1, 0);
    CHECK_NEAR(value_of(&result, "task/color"), 0.25, 0);
    sea_buf_release(&text);
}

static void
mm_vet_and_mmmu_export_a_map(void)
{
    const char *questions = put_file("q.jsonl",
        "{\"question_id\": 0, \"image\": \"a\", \"text\": \"x?\"}\n"
        "{\"question_id\": 12, \"image\": \"b\", \"text\": \"y?\"}\n");
    const char *answers = put_file("a.jsonl", "{\"question_id\": 12, \"text\": \"two\\n\"}\n"
                                              "{\"question_id\": 0, \"text\": \"\\\"one\\\"\"}\n");
    struct sea_err err = { 0 };
    struct sea_buf out;

    sea_buf_init(&out, 1 << 20);
    CHECK_OK(sea_bench_export("mm-vet", questions, answers, NULL, 0, NULL, &out, &err), err);
    CHECK_STR(out.data, "{\n\"v1_0\": \"\\\"one\\\"\",\n\"v1_12\": \"two\\n\"\n}\n");
    sea_buf_clear(&out);
    questions = put_file("d.json", "{\"validation_Art_1\": {\"question_type\": \"multiple-choice\", "
                         "\"ground_truth\": \"B\"}, \"validation_Art_2\": {\"question_type\": "
                         "\"short-answer\", \"ground_truth\": [\"2\", \"two\"]}}");
    answers = put_file("a.json", "{\"validation_Art_2\": \"so two\", \"validation_Art_1\": \"B\"}");
    CHECK_OK(sea_bench_export("mmmu", questions, answers, NULL, 0, NULL, &out, &err), err);
    CHECK_STR(out.data, "{\n\"validation_Art_1\": \"B\",\n\"validation_Art_2\": \"so two\"\n}\n");
    CHECK_NEAR(score_files("mmmu", questions, put_file("again.json", out.data), NULL, NULL, &err)
                   .metrics[0].value, 1, 0);
    sea_buf_release(&out);
}

/* What `sea score --export-lmms` writes, read back as JSON. */
static void
lmms_evals_results_hold_the_same_numbers(void)
{
    struct sea_bench_result result;
    const struct sea_node *of;
    struct sea_node *back = NULL;
    struct sea_err err;
    struct sea_buf text;

    sea_buf_init(&text, 1 << 20);
    result = score_files("pope", put_file("q.jsonl", three_questions),
                   put_file("a.json", "{\"q7\": \"Yes\", \"q8\": \"Yes\", \"q9\": \"No\"}"), NULL,
                   "lmms", &err);
    CHECK_OK(err.status, err);
    CHECK_OK(sea_json_write(sea_bench_lmms_node(&result, arena), SEA_JSON_PRETTY, &text, &err), err);
    CHECK_OK(sea_json_parse(text.data, text.len, "results", arena, &back, &err), err);
    of = sea_node_get(sea_node_get(back, "results"), "pope");
    for (size_t i = 0; i < result.metrics_count; i++) {
        const char *name = sea_arena_printf(arena, "%s,none", result.metrics[i].name);

        if (!isnan(result.metrics[i].value))
            CHECK_NEAR(sea_node_real(sea_node_get(of, name), -1), result.metrics[i].value, 0);
    }
    CHECK_NEAR(sea_node_real(sea_node_get(of, "f1,none"), 0), 2.0 / 3, 1e-15);  /* tp 1, fp 1 */
    CHECK_INT(sea_node_int(sea_node_path(back, "n-samples.pope.effective"), 0), 3);
    CHECK_STR(sea_node_text(sea_node_path(back, "configs.pope.variant"), ""), "lmms");
    sea_buf_release(&text);
}

/* Python: r = random.Random(42); [r.choice(range(4)) for _ in range(16)] */
static void
draws_are_pythons(void)
{
    static const uint32_t want[16] = { 0, 0, 2, 1, 1, 1, 0, 0, 3, 0, 0, 0, 1, 1, 0, 1 };
    static const uint32_t tail[6] = { 3, 5, 1, 4, 3, 6 };
    struct sea_py_random random;

    sea_py_random_seed(&random, 42);
    for (int i = 0; i < 16; i++)
        CHECK_INT(sea_py_random_below(&random, 4), want[i]);
    sea_py_random_seed(&random, 42);    /* 700 draws of 7: past a refill of the state */
    for (int i = 0; i < 700; i++) {
        uint32_t drawn = sea_py_random_below(&random, 7);

        if (i >= 694)
            CHECK_INT(drawn, tail[i - 694]);
    }
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("published answer files", TEST(spreadsheets_are_read_as_pandas_reads_them),
              TEST(mmbench_scores_a_published_upload), TEST(broken_spreadsheets_are_refused),
              TEST(a_written_sheet_gives_back_every_text),
              TEST(mmbench_exports_the_upload_of_either_split),
              TEST(llava_bench_reviews_stand_for_their_answers),
              TEST(mm_vet_grades_stand_for_their_answers),
              TEST(samples_of_lmms_eval_go_by_row_and_are_compared),
              TEST(chunks_of_a_folder_are_one_file),
              TEST(popes_early_and_late_questions_are_the_same),
              TEST(vlmevalkits_pope_counts_a_question_in_each_split),
              TEST(vlmevalkits_mme_is_joined_by_index),
              TEST(lmms_eval_reads_mmes_answers_stripped),
              TEST(mme_exports_what_the_official_script_reads), TEST(mm_vet_and_mmmu_export_a_map),
              TEST(lmms_evals_results_hold_the_same_numbers), TEST(draws_are_pythons))
