/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_answer.c - answers to the questions of one benchmark
 *
 * Questions are sorted by picture and answered in parts of some pictures; prompts about one
 * picture share their beginning. A finished part is kept below OUT/checkpoint until the
 * stage has ended, so that a stopped run loses one part at most. An answer does not depend
 * on what is answered beside it, so parts, slots and resumption change nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_hash.h"
#include "pipeline/stages/eval_int.h"

#define PART_BYTES_MAX ((size_t)256 << 20)
#define SHUFFLE_SEED 22
#define PARTS "checkpoint/answers"
#define TELL_S 300              /* between two checkpoints */
#define QUESTIONS_MAX 512       /* of one part */

struct asked {                  /* one question, in the order of answering */
    int64_t question;           /* its number in the file */
    int64_t picture;            /* -1: none */
};

struct answering {
    struct sea_eval *eval;
    const struct sea_suite_item *item;
    const struct sea_bench_questions *questions;
    struct sea_arena *arena;
    struct asked *asked;        // (questions)
    int64_t *shown;             // (pictures) a question that has this picture
    int64_t pictures;
    const char **texts;         // (questions of the file) answers
    size_t *lengths;
    const char *parts;          /* folder of finished parts */
    int64_t made, kept, seen;   /* answers made now, and by an earlier try; pictures encoded */
    int64_t max_new;
    struct sea_image_view view; /* the model's, or the suite's */
};

/* ---- order ---- */

static int
compare_pictures(const void *a, const void *b)
{
    const struct asked *x = a, *y = b;

    if (x->picture != y->picture)
        return x->picture < y->picture ? -1 : 1;
    return (x->question > y->question) - (x->question < y->question);
}

struct shown {
    const char *name;
    int64_t question;
};

static int
compare_shown(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : (x->question > y->question) - (x->question < y->question);
}

/* Numbers the distinct pictures; one that lies in the question file is its own. */
static void
number_pictures(struct answering *a, enum sea_control control)
{
    int64_t count = (int64_t)a->questions->count, i, n = 0, *to;
    struct shown *named = sea_xcalloc((size_t)count + 1, sizeof(*named));

    a->asked = sea_arena_alloc(a->arena, (size_t)count + 1, sizeof(*a->asked));
    a->shown = sea_arena_alloc(a->arena, (size_t)count + 1, sizeof(*a->shown));
    for (i = 0; i < count; i++) {
        const struct sea_bench_question *question = &a->questions->items[i];
        const char *name = question->image ? question->image : question->picture;

        a->asked[i] = (struct asked){ .question = i, .picture = -1 };
        if (control == SEA_CONTROL_NO_IMAGE)
            continue;
        if (question->has_image && !name) {
            a->asked[i].picture = a->pictures;
            a->shown[a->pictures++] = i;
        } else if (question->has_image) {
            named[n++] = (struct shown){ name, i };
        }
    }
    qsort(named, (size_t)n, sizeof(*named), compare_shown);
    for (i = 0; i < n; i++) {
        if (i == 0 || strcmp(named[i].name, named[i - 1].name) != 0)
            a->shown[a->pictures++] = named[i].question;
        a->asked[named[i].question].picture = a->pictures - 1;
    }
    free(named);
    if (control == SEA_CONTROL_SHUFFLE && a->pictures > 1) {
        to = sea_arena_alloc(a->arena, (size_t)a->pictures, sizeof(*to));
        sea_derange(to, a->pictures, SHUFFLE_SEED);
        for (i = 0; i < count; i++)
            if (a->asked[i].picture >= 0)
                a->asked[i].picture = to[a->asked[i].picture];
    }
    qsort(a->asked, (size_t)count, sizeof(*a->asked), compare_pictures);
}

/* The end of the part that begins at first: so many pictures, so many questions at most. */
static int64_t
part_end(const struct answering *a, int64_t first)
{
    int64_t i, pictures = 0, last = -1;

    for (i = first; i < (int64_t)a->questions->count; i++) {
        if (a->asked[i].picture != last) {
            pictures += a->asked[i].picture >= 0;
            last = a->asked[i].picture;
        }
        if (pictures > SEA_EVAL_PICTURES || i - first == QUESTIONS_MAX)
            break;
    }
    return i;
}

/* ---- one part ---- */

struct seeing {                 /* the pictures of a part */
    struct answering *a;
    const struct sea_bench_question *owner[SEA_EVAL_PICTURES];
};

static enum sea_status
see_picture(void *arg, int64_t i, struct sea_err *err)
{
    const struct seeing *seeing = arg;
    const struct sea_eval *eval = seeing->a->eval;
    int64_t floats = (int64_t)3 * eval->view.crop_h * eval->view.crop_w;
    struct sea_image image = { 0 };
    enum sea_status status = sea_bench_image_load(seeing->owner[i], seeing->a->item->images,
                                                  &image, err);

    if (!status)
        status = sea_image_preprocess(&image, &seeing->a->view, eval->pixels + i * floats, err);
    sea_image_release(&image);
    if (status)
        sea_context(err, "picture of question \"%s\"", seeing->owner[i]->id);
    return status;
}

/* Features of the part's pictures, and which of them each prompt shows. */
static enum sea_status
see_pictures(struct answering *a, int64_t first, int64_t end, struct sea_prompt *prompts,
             int64_t *images, struct sea_err *err)
{
    struct sea_eval *eval = a->eval;
    struct seeing seeing = { .a = a };
    bool one_by_one = false;    /* Parquet is read by one thread */
    enum sea_status status = SEA_OK;
    int64_t i, last = -1;

    *images = 0;
    for (i = first; i < end; i++) {
        int64_t picture = a->asked[i].picture;

        if (picture >= 0 && picture != last) {
            seeing.owner[*images] = &a->questions->items[a->shown[picture]];
            one_by_one = one_by_one || seeing.owner[*images]->stored;
            last = picture;
            ++*images;
        }
        prompts[i - first].image = picture < 0 ? -1 : *images - 1;
    }
    if (!one_by_one)
        status = sea_each_picture(*images, see_picture, &seeing, err);
    for (i = 0; i < *images && one_by_one && !status; i++)
        status = see_picture(&seeing, i, err);
    a->seen += *images;
    if (!status && *images > 0)
        status = sea_clip_features(eval->folder.clip, eval->work, eval->pixels, *images,
                                   eval->folder.layer, eval->folder.with_class,
                                   (struct sea_clip_out){ .host = eval->features }, err);
    return status;
}

static enum sea_status
encode_prompts(struct answering *a, int64_t first, int64_t end, struct sea_prompt *prompts,
               struct sea_ids *ids, struct sea_err *err)
{
    struct sea_conversation conversation = a->eval->conversation;
    enum sea_status status = SEA_OK;
    int64_t i;

    if (a->item->system)
        conversation.system = a->item->system;
    for (i = first; i < end && !status; i++) {
        const struct sea_bench_question *question = &a->questions->items[a->asked[i].question];
        struct sea_ids *one = &ids[i - first];

        status = sea_conversation_prompt(&conversation, a->eval->tokenizer, question->prompt,
                                         a->asked[i].picture >= 0, one, err);
        prompts[i - first].ids = one->data;
        prompts[i - first].count = (int64_t)one->len;
        prompts[i - first].id = a->asked[i].question;
        if (status)
            sea_context(err, "question \"%s\"", question->id);
    }
    return status;
}

static enum sea_status
keep_text(struct answering *a, int64_t question, const struct sea_answer *answer,
          struct sea_err *err)
{
    struct sea_buf text;
    const char *from;
    size_t len;
    enum sea_status status;

    sea_buf_init(&text, PART_BYTES_MAX);
    status = sea_tokenizer_decode(a->eval->tokenizer, answer->ids, (size_t)answer->count, true,
                                  &text, err);
    from = text.data;
    len = text.len;
    while (len && strchr(" \t\r\n", from[0])) {
        from++;
        len--;
    }
    while (len && strchr(" \t\r\n", from[len - 1]))
        len--;
    a->texts[question] = sea_arena_strndup(a->arena, from, len);
    a->lengths[question] = len;
    sea_buf_release(&text);
    return status;
}

/* Rows that the longest prompt of a part needs, its picture and answer included. */
static int64_t
rows_needed(const struct answering *a, const struct sea_prompt *prompts, int64_t n)
{
    int64_t i, most = 0, limit = a->eval->folder.lm->desc.max_positions;

    for (i = 0; i < n; i++) {
        int64_t rows = prompts[i].count + (prompts[i].image >= 0 ? a->eval->folder.patches : 0);

        most = rows > most ? rows : most;
    }
    most += a->max_new;
    return most < limit ? most : limit;
}

static enum sea_status
generate(struct answering *a, int64_t first, int64_t n, const struct sea_prompt *prompts,
         int64_t images, struct sea_err *err)
{
    struct sea_generate_desc desc = { .share = true, .room = rows_needed(a, prompts, n),
                                      .slots = a->eval->slots < n ? a->eval->slots : n };
    struct sea_sampling sampling = { .max_new = a->max_new, .eos = a->eval->eos,
                                     .eos_count = a->eval->eos_count };
    struct sea_generator *generator = NULL;
    struct sea_answer *answers = sea_xcalloc((size_t)n, sizeof(*answers));
    int32_t *ids = sea_xcalloc((size_t)(n * a->max_new), sizeof(*ids));
    int64_t i;
    enum sea_status status = sea_generator_create(&generator, &a->eval->mllm, &desc, err);

    for (i = 0; i < n; i++)
        answers[i].ids = ids + i * a->max_new;
    if (!status)
        status = sea_generate(generator, prompts, n, a->eval->features, images, &sampling,
                              answers, err);
    for (i = 0; i < n && !status; i++)
        status = keep_text(a, a->asked[first + i].question, &answers[i], err);
    sea_generator_destroy(generator);
    free(answers);
    free(ids);
    return status;
}

static enum sea_status
answer_part(struct answering *a, int64_t first, int64_t end, struct sea_err *err)
{
    int64_t n = end - first, images, i;
    struct sea_prompt *prompts = sea_xcalloc((size_t)n, sizeof(*prompts));
    struct sea_ids *ids = sea_xcalloc((size_t)n, sizeof(*ids));
    enum sea_status status = see_pictures(a, first, end, prompts, &images, err);

    if (!status)
        status = encode_prompts(a, first, end, prompts, ids, err);
    if (!status)
        status = generate(a, first, n, prompts, images, err);
    for (i = 0; i < n; i++)
        sea_ids_release(&ids[i]);
    free(ids);
    free(prompts);
    return status;
}

/* ---- parts on disk ---- */

static enum sea_status
part_path(const struct answering *a, int64_t first, char path[SEA_PATH_MAX], struct sea_err *err)
{
    char name[64];

    snprintf(name, sizeof(name), "part-%08lld.json", (long long)first);
    return sea_path_join(path, a->parts, name, err);
}

static enum sea_status
save_part(const struct answering *a, int64_t first, int64_t end, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "answers");
    struct sea_node *list = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    int64_t i;
    enum sea_status status = part_path(a, first, path, err);

    sea_buf_init(&text, PART_BYTES_MAX);
    for (i = first; i < end; i++)
        sea_node_put_textn(arena, list, NULL, a->texts[a->asked[i].question],
                           a->lengths[a->asked[i].question]);
    if (!status)
        status = sea_json_write(list, SEA_JSON_COMPACT, &text, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

/* False when the part is not there, or not whole: it is answered again then. */
static bool
load_part(struct answering *a, int64_t first, int64_t end)
{
    struct sea_err ignored = { 0 };
    struct sea_node *list, *node;
    char path[SEA_PATH_MAX];
    int64_t i = first;

    if (part_path(a, first, path, &ignored) || !sea_file_exists(path) ||
        sea_json_load(path, PART_BYTES_MAX, a->arena, &list, &ignored))
        return false;
    if (list->kind != SEA_NODE_LIST || (int64_t)list->count != end - first)
        return false;
    for (node = list->first; node; node = node->next, i++) {
        if (node->kind != SEA_NODE_STRING)
            return false;
        a->texts[a->asked[i].question] = node->text;
        a->lengths[a->asked[i].question] = node->text_len;
    }
    return true;
}

/* All finished parts, of the benchmarks before as well, as a checkpoint: progress.json and DONE,
 * written last, say that they may be kept. */
static enum sea_status
tell_parts(const struct answering *a, struct sea_err *err)
{
    struct sea_stage *stage = a->eval->stage;
    struct sea_node *root = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP), *file;
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    uint64_t bytes = 0;
    enum sea_status status;

    sea_node_put_int(stage->arena, root, "questions", a->eval->done);
    status = sea_stage_write_json(stage, PARTS "/progress.json", root, err);
    if (!status)
        status = sea_stage_path(stage, PARTS "/progress.json", path, err);
    if (!status)
        status = sea_hash_file(path, digest, &bytes, err);
    if (status)
        return status;
    root = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    file = sea_node_put(stage->arena, sea_node_put(stage->arena, root, "files", SEA_NODE_LIST),
                        NULL, SEA_NODE_MAP);
    sea_node_put_text(stage->arena, file, "path", "progress.json");
    sea_node_put_int(stage->arena, file, "bytes", (int64_t)bytes);
    sea_node_put_text(stage->arena, file, "sha256", digest);
    status = sea_stage_write_json(stage, PARTS "/DONE", root, err);
    if (!status)
        sea_events_checkpoint(stage->events, PARTS, a->eval->done);
    return status;
}

static enum sea_status
answer_all(struct answering *a, struct sea_err *err)
{
    struct sea_stage *stage = a->eval->stage;
    int64_t first, end, count = (int64_t)a->questions->count;
    enum sea_status status = SEA_OK;

    if (a->eval->told_s <= 0)
        a->eval->told_s = sea_clock_seconds();
    for (first = 0; first < count && !status; first = end) {
        end = part_end(a, first);
        if (load_part(a, first, end)) {
            a->kept += end - first;
        } else {
            status = answer_part(a, first, end, err);
            if (!status)
                status = save_part(a, first, end, err);
            a->made += end - first;
        }
        a->eval->done += end - first;
        sea_events_progress(stage->events, a->eval->done, a->eval->total, "questions");
        if (!status)
            status = sea_events_check(stage->events, err);
        if (!status && (sea_stage_is_stopped() ||
                        sea_clock_seconds() - a->eval->told_s > TELL_S)) {
            status = tell_parts(a, err);
            a->eval->told_s = sea_clock_seconds();
        }
        if (!status && sea_stage_is_stopped())
            status = sea_stage_stop(stage, err);
    }
    return status;
}

static enum sea_status
write_answers(const struct answering *a, const char *path, struct sea_err *err)
{
    struct sea_file_writer writer = { 0 };
    struct sea_buf line;
    size_t i;
    enum sea_status status = sea_file_writer_open(&writer, path, err);

    sea_buf_init(&line, SIZE_MAX / 2);
    for (i = 0; i < a->questions->count && !status; i++) {
        sea_buf_clear(&line);
        sea_bench_answer_write(&line, &a->questions->items[i], a->texts[i], a->lengths[i],
                               a->eval->model_id);
        status = sea_file_writer_add(&writer, line.data, line.len, err);
    }
    if (!status)
        status = sea_file_writer_commit(&writer, err);
    sea_file_writer_close(&writer);
    sea_buf_release(&line);
    return status;
}

enum sea_status
sea_eval_answer(struct sea_eval *eval, const struct sea_suite_item *item,
                const struct sea_bench_questions *questions, const char *name,
                enum sea_control control, const char *path, struct sea_err *err)
{
    int64_t max_new = sea_stage_int(eval->stage, "max_new");
    struct answering a = { .eval = eval, .item = item, .questions = questions,
                           .arena = sea_arena_create(NULL, name), .view = eval->view,
                           .max_new = max_new ? max_new : item->max_new };
    char relative[256], parts[SEA_PATH_MAX];
    enum sea_status status;

    if (item->aspect >= 0)
        a.view.aspect = (enum sea_aspect)item->aspect;
    a.texts = sea_arena_alloc(a.arena, questions->count + 1, sizeof(*a.texts));
    a.lengths = sea_arena_alloc(a.arena, questions->count + 1, sizeof(*a.lengths));
    snprintf(relative, sizeof(relative), PARTS "/%s", name);
    status = sea_stage_path(eval->stage, relative, parts, err);
    a.parts = parts;
    if (!status)
        status = sea_dir_create(parts, err);
    if (!status) {
        number_pictures(&a, control);
        status = answer_all(&a, err);
    }
    if (!status)
        status = write_answers(&a, path, err);
    if (!status)
        sea_events_log(eval->stage->events, "info", "answers of %s: %lld asked, %lld of an earlier "
                       "try, %lld pictures seen", name, (long long)a.made, (long long)a.kept,
                       (long long)a.seen);
    sea_arena_destroy(a.arena);
    return status;
}
