/* SPDX-License-Identifier: Apache-2.0 */
/*
 * captions.c - COCO, NoCaps and Flickr30k: one sentence about a picture
 *
 * CIDEr-D, BLEU-1 to BLEU-4 and ROUGE-L against all references of a picture, corpus figures
 * as published. Document frequencies come from the pictures that are scored, so a part of the
 * set is not comparable with the whole. The intervals of CIDEr and ROUGE treat the pictures'
 * scores as drawn, with the frequencies held fixed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PROMPT "Provide a one-sentence caption for the provided image."
#define REFERENCES_MAX 64
#define CIDER_MAX 10.0

struct record {                 /* sea_bench_question.extra */
    struct sea_py_texts references;
};

/* A row of an annotation file's "images", of the hub's data sets, or of our question files. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const struct sea_node *references =
        sea_bench_field(row, "annotations_captions answer caption captions references");
    const char *text = sea_bench_field_text(row, "text", arena);
    enum sea_status status =
        sea_bench_need_id(table, row, "image_id question_id id img_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "file_name image filename image_path", q,
                                      arena, err);
    if (status)
        return status;
    sea_py_texts_of(references, arena, &record->references);
    q->prompt = text ? text : PROMPT;
    q->extra = record;
    return SEA_OK;
}

static enum sea_status
take_note(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
          struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_notes *notes = arg;
    const char *id = sea_bench_field_text(row, "image_id", scratch),
               *caption = sea_node_text(sea_node_get(row, "caption"), NULL);
    struct sea_arena *arena = notes->s->arena;
    struct record *record;
    int64_t found;

    if (!id || !caption)
        return sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                                "expected {\"image_id\", \"caption\"}");
    found = sea_bench_lookup_find(&notes->lookup, id, 0);
    if (found < 0)
        return SEA_OK;
    record = notes->s->questions->items[found].extra;
    if (!record->references.at)
        record->references.at = sea_arena_alloc(arena, REFERENCES_MAX, sizeof(char *));
    if (record->references.count == REFERENCES_MAX)
        return sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                "more than %d captions of one image", REFERENCES_MAX);
    record->references.at[record->references.count++] = sea_arena_strdup(arena, caption);
    return SEA_OK;
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct sea_err *err)
{
    static const char *const members[] = { "annotations", NULL };
    struct sea_bench_notes notes = { .s = s };
    char path[SEA_PATH_MAX];
    enum sea_status status =
        sea_bench_annotation(s, "captions_val2014.json", NULL, true, path, err);

    sea_bench_lookup_init(&notes.lookup, s->questions, false, s->arena);
    return status ? status : sea_bench_each_row(path, members, take_note, &notes, NULL, err);
}

static const char *
words_of(const char *text, struct sea_arena *arena)
{
    struct sea_buf out;
    const char *copy;

    sea_buf_init(&out, 8 * strlen(text) + 64);
    sea_caption_words(text, &out);
    copy = sea_arena_strndup(arena, out.len ? out.data : "", out.len);
    sea_buf_release(&out);
    return copy;
}

static enum sea_status
prepare(struct sea_bench_scoring *s, struct sea_caption *captions, struct sea_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct record *record = row->question->extra;
        struct sea_caption *one = &captions[i];

        if (record->references.count == 0) {
            sea_fail(err, SEA_E_FORMAT, "there are no captions of image \"%s\" of \"%s\" (%zu "
                     "questions)", row->question->id, s->questions->path, s->count);
            sea_hint(err, "Question file and annotations are of different sets.");
            return SEA_E_FORMAT;
        }
        one->references = sea_arena_alloc(s->arena, record->references.count, sizeof(char *));
        for (size_t r = 0; r < record->references.count; r++)
            one->references[one->count++] = words_of(record->references.at[r], s->arena);
        one->said = row->parsed = words_of(row->text, s->arena);
        row->gold = record->references.at[0];
    }
    return SEA_OK;
}

/* A corpus figure: no interval. */
static void
add_figure(struct sea_bench_scoring *s, const char *name, double value)
{
    int64_t none = 0;
    struct sea_bench_metric *metric = sea_bench_add_mean(s, name, &value, &none, 1);

    *metric = (struct sea_bench_metric){ .name = metric->name, .value = value, .scale = 100,
                                         .n = (int64_t)s->count, .clusters = (int64_t)s->count,
                                         .se = NAN, .clustered_se = NAN, .low = NAN,
                                         .high = NAN, .interval = "" };
}

/* A picture's CIDEr lies between 0 and 10; means and intervals are of shares. */
static void
add_cider(struct sea_bench_scoring *s, const double *shares, const int64_t *which)
{
    struct sea_bench_metric *metric = sea_bench_add_mean(s, "cider", shares, which, s->count);

    metric->value *= CIDER_MAX;
    metric->se *= CIDER_MAX;
    metric->clustered_se *= CIDER_MAX;
    metric->low *= CIDER_MAX;
    metric->high *= CIDER_MAX;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_caption *captions = sea_arena_alloc(s->arena, s->count, sizeof(*captions));
    struct sea_caption_scores scores = {
        .rouge = sea_arena_alloc(s->arena, s->count, sizeof(double)),
        .cider = sea_arena_alloc(s->arena, s->count, sizeof(double)),
    };
    int64_t *which = sea_arena_alloc(s->arena, s->count, sizeof(*which));
    enum sea_status status = s->annotations_count ? read_annotations(s, err) : SEA_OK;

    if (!status)
        status = prepare(s, captions, err);
    if (status)
        return status;
    sea_caption_score(captions, s->count, &scores);
    for (size_t i = 0; i < s->count; i++) {
        s->rows[i].score = scores.cider[i] /= CIDER_MAX;
        which[i] = (int64_t)i;
    }
    add_cider(s, scores.cider, which);
    sea_bench_add_mean(s, "rouge_l", scores.rouge, which, s->count);
    for (int n = 0; n < 4; n++)
        add_figure(s, sea_arena_printf(s->arena, "bleu_%d", n + 1), scores.bleu[n]);
    return SEA_OK;
}

/* The evaluation server's list [{"image_id", "caption"}]. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    sea_bench_dump_texts(s, "image_id", "caption", out);
    return SEA_OK;
}

#define CAPTIONS(symbol, text, line, terms, file, folder)                                       \
    const struct sea_bench sea_bench_##symbol = {                                               \
        .name = text, .about = line, .headline = "cider", .scorer = "coco-caption",             \
        .prompt = "lmms-eval", .suffix = PROMPT, .licence = terms, .max_new_tokens = 64,        \
        .questions_path = file, .annotations_path = file, .images_path = folder,                \
        .export_name = "captions.json", .take_row = take_row, .score = score,                   \
        .dump = dump,                                                                           \
    }

CAPTIONS(coco_caption, "coco-caption", "one sentence about a COCO picture",
         "CC BY 4.0 (confirm); images: Flickr terms", "captions_val2014.json", "val2014");
CAPTIONS(nocaps, "nocaps", "one sentence about a picture with objects COCO does not have",
         "CC BY 2.0 (confirm)", "nocaps_val_4500_captions.json", "val");
CAPTIONS(flickr30k, "flickr30k", "one sentence about a Flickr picture",
         "research only (confirm)", "flickr30k_test.json", "flickr30k-images");
