/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlap.c - questions that a training file has seen: pictures and texts
 *
 * The benchmark's side is indexed, the training file goes by once for the names of its
 * pictures and once for its texts. Bytes are read of pictures whose size occurs on both
 * sides, pixels of all, unless they are switched off.
 */
#include "pipeline/sea_overlap.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/sea_image.h"
#include "pipeline/overlap_int.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_records.h"

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- the benchmark's side ---- */

struct finding {
    const struct sea_overlap_options *options;
    struct sea_overlap *out;
    struct sea_arena *arena;
    struct sea_bench_questions questions;
    int64_t *picture_of; // (questions) -1: none
    struct sea_gallery bench, train;
    bool has_inline, by_name;
    struct sea_overlap_index runs, whole; /* of the questions' words */
    bool *matched;                        // (runs) a training turn holds it
    struct sea_overlap_words words;
};

static void
index_questions(struct finding *f)
{
    size_t n = (size_t)f->options->words;

    for (size_t i = 0; i < f->questions.count; i++) {
        const char *prompt = f->questions.items[i].prompt;
        struct sea_overlap_question *q = &f->out->questions[i];

        f->words.count = 0;
        sea_overlap_add_words(&f->words, prompt,
                              sea_overlap_question_length(f->questions.bench, prompt));
        if (f->words.count)
            sea_overlap_index_add(&f->whole, sea_overlap_hash_run(f->words.at, f->words.count),
                                  (int64_t)i);
        for (size_t k = 0; k + n <= f->words.count; k++, q->runs++)
            sea_overlap_index_add(&f->runs, sea_overlap_hash_run(f->words.at + k, n), (int64_t)i);
    }
    sea_overlap_index_sort(&f->whole);
    sea_overlap_index_sort(&f->runs);
}

static enum sea_status
load_questions(struct finding *f, struct sea_err *err)
{
    const struct sea_overlap_options *o = f->options;
    const struct sea_bench *bench;
    enum sea_status status = sea_bench_find(o->bench, &bench, err);

    if (!status)
        status = sea_bench_questions_load(bench, o->questions, 0, f->arena, &f->questions, err);
    if (status)
        return status;
    f->out->count = f->questions.count;
    f->out->questions =
        sea_arena_alloc(f->arena, f->questions.count + 1, sizeof(*f->out->questions));
    f->picture_of = sea_arena_alloc(f->arena, f->questions.count + 1, sizeof(*f->picture_of));
    for (size_t i = 0; i < f->questions.count; i++) {
        f->out->questions[i].id = f->questions.items[i].id;
        f->out->questions[i].picture = f->out->questions[i].train_image = "";
        if (f->questions.items[i].image)
            sea_gallery_add(&f->bench, f->questions.items[i].image, f->arena);
    }
    sea_gallery_sort(&f->bench);
    for (size_t i = 0; i < f->questions.count; i++) {
        const char *image = f->questions.items[i].image;

        f->picture_of[i] = image ? sea_gallery_find(&f->bench, image) : -1;
    }
    return SEA_OK;
}

/* Pictures that lie in the question file itself: by pixels alone, each its own. */
static void
see_inline(struct finding *f)
{
    for (size_t i = 0; i < f->questions.count && f->options->distance >= 0; i++) {
        const struct sea_bench_question *q = &f->questions.items[i];
        struct sea_image image = { 0 };
        struct sea_err ignored = { 0 };

        if (q->image || !q->has_image)
            continue;
        f->has_inline = true;
        f->picture_of[i] = sea_gallery_add(&f->bench, q->id, f->arena);
        f->bench.at[f->picture_of[i]].is_inline = true;
        if (sea_bench_image_load(q, NULL, &image, &ignored))
            f->out->unreadable++;
        else
            f->bench.at[f->picture_of[i]].has_signs =
                sea_overlap_signs(&image, &f->bench.at[f->picture_of[i]].signs);
        sea_image_release(&image);
    }
}

static void
match(struct sea_overlap_picture *picture, int64_t train, const char *how)
{
    if (picture->found >= 0)
        return;
    picture->found = train;
    picture->how = how;
}

static void
match_names(struct finding *f)
{
    struct sea_overlap_index names = { 0 };

    for (size_t i = 0; i < f->train.count; i++)
        sea_overlap_index_add(&names, sea_overlap_hash_text(last_part(f->train.at[i].name)),
                              (int64_t)i);
    sea_overlap_index_sort(&names);
    for (size_t i = 0; i < f->bench.count; i++) {
        const char *name = last_part(f->bench.at[i].name);
        size_t at = sea_overlap_index_find(&names, sea_overlap_hash_text(name));

        if (at < names.count &&
            strcmp(last_part(f->train.at[names.at[at].question].name), name) == 0)
            match(&f->bench.at[i], names.at[at].question, "name");
    }
    free(names.at);
}

/* Names like "1.jpg" repeat by chance: with the files at hand, their contents decide. */
static void
match_contents(struct finding *f)
{
    bool pixels = f->options->distance >= 0;
    struct sea_overlap_index sizes = { 0 }, digests = { 0 };

    sea_gallery_measure(&f->bench);
    sea_gallery_measure(&f->train);
    for (size_t i = 0; i < f->bench.count; i++) {
        if (f->bench.at[i].is_inline)
            continue;
        sea_overlap_index_add(&sizes, (uint64_t)f->bench.at[i].bytes, (int64_t)i);
        f->out->unreadable += !sea_gallery_look(&f->bench, &f->bench.at[i], true, pixels);
    }
    sea_overlap_index_sort(&sizes);
    for (size_t i = 0; i < f->train.count; i++) {
        struct sea_overlap_picture *p = &f->train.at[i];
        bool same_size =
            p->bytes >= 0 && sea_overlap_index_find(&sizes, (uint64_t)p->bytes) < sizes.count;

        f->out->unreadable += !sea_gallery_look(&f->train, p, same_size, pixels);
        if (p->has_digest)
            sea_overlap_index_add(&digests, p->digest, (int64_t)i);
    }
    sea_overlap_index_sort(&digests);
    for (size_t i = 0; i < f->bench.count; i++) {
        struct sea_overlap_picture *p = &f->bench.at[i];
        size_t at = p->has_digest ? sea_overlap_index_find(&digests, p->digest) : digests.count;
        int best = (int)f->options->distance + 1;
        int64_t nearest = -1;

        if (at < digests.count)
            match(p, digests.at[at].question, "bytes");
        for (size_t k = 0; k < f->train.count && p->has_signs && p->found < 0; k++) {
            int far = f->train.at[k].has_signs
                          ? __builtin_popcountll(p->signs ^ f->train.at[k].signs)
                          : 64;

            if (far < best) {
                best = far;
                nearest = (int64_t)k;
            }
        }
        if (nearest >= 0)
            match(p, nearest, "near");
    }
    free(sizes.at);
    free(digests.at);
}

/* ---- the training file ---- */

typedef void row_fn(struct finding *f, const struct sea_node *row);

static enum sea_status
each_row(struct finding *f, row_fn *fn, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "row");
    struct sea_records rows = { 0 };
    struct sea_node *row = NULL;
    enum sea_status status = sea_records_open(&rows, f->options->train, err);

    while (!status) {
        sea_arena_reset(scratch);
        status = sea_records_next(&rows, scratch, &row, err);
        if (status || !row)
            break;
        if (!sea_node_get(row, "conversations"))
            status = sea_records_fail(&rows, NULL, err, SEA_E_FORMAT,
                                      "field \"conversations\" is missing, expected LLaVA's list "
                                      "of turns");
        else
            fn(f, row);
    }
    sea_records_close(&rows);
    sea_arena_destroy(scratch);
    return status;
}

static void
take_picture(struct finding *f, const struct sea_node *row)
{
    const char *image = sea_node_text(sea_node_get(row, "image"), NULL);

    f->out->train_rows++;
    if (image)
        sea_gallery_add(&f->train, image, f->arena);
}

static bool
is_same(const struct finding *f, int64_t bench, int64_t train)
{
    const struct sea_overlap_picture *one = &f->bench.at[bench], *two = &f->train.at[train];

    if (f->by_name)
        return strcmp(last_part(one->name), last_part(two->name)) == 0;
    return (one->has_digest && two->has_digest && one->digest == two->digest) ||
           (one->has_signs && two->has_signs &&
            __builtin_popcountll(one->signs ^ two->signs) <= f->options->distance);
}

/* Questions whose whole text is this. */
static void
take_whole(struct finding *f, const uint64_t *words, size_t n, int64_t picture)
{
    uint64_t hash = sea_overlap_hash_run(words, n);

    for (size_t at = n ? sea_overlap_index_find(&f->whole, hash) : f->whole.count;
         at < f->whole.count && f->whole.at[at].hash == hash; at++) {
        int64_t i = f->whole.at[at].question, own = f->picture_of[i];

        f->out->questions[i].same_text = true;
        if (picture >= 0 && own >= 0 && is_same(f, own, picture))
            f->out->questions[i].seen = true;
    }
}

static void
take_texts(struct finding *f, const struct sea_node *row)
{
    const struct sea_node *turn = sea_node_get(row, "conversations");
    const char *image = sea_node_text(sea_node_get(row, "image"), NULL);
    int64_t picture = image ? sea_gallery_find(&f->train, image) : -1;
    size_t n = (size_t)f->options->words;

    for (turn = turn->first; turn; turn = turn->next) {
        const char *text = sea_node_text(sea_node_get(turn, "value"), "");

        f->words.count = 0;
        for (const char *line = text; *line; line += *line == '\n') {
            size_t len = strcspn(line, "\n"), first = f->words.count;

            sea_overlap_add_words(&f->words, line, len);
            take_whole(f, f->words.at + first, f->words.count - first, picture);
            line += len;
        }
        take_whole(f, f->words.at, f->words.count, picture);
        for (size_t k = 0; k + n <= f->words.count; k++) {
            size_t at = sea_overlap_index_find(&f->runs, sea_overlap_hash_run(f->words.at + k, n));

            if (at < f->runs.count)
                f->matched[at] = true;
        }
    }
}

static void
sum_up(struct finding *f)
{
    size_t first = 0;

    for (size_t i = 0; i < f->runs.count; i++) {
        if (f->runs.at[i].hash != f->runs.at[first].hash)
            first = i;
        f->out->questions[f->runs.at[i].question].runs_found += f->matched[first];
    }
    f->out->train_images = (int64_t)f->train.count;
    for (size_t i = 0; i < f->questions.count; i++) {
        struct sea_overlap_question *q = &f->out->questions[i];
        const struct sea_overlap_picture *p =
            f->picture_of[i] >= 0 ? &f->bench.at[f->picture_of[i]] : NULL;

        if (p && p->found >= 0) {
            q->picture = p->how;
            q->train_image = f->train.at[p->found].name;
        }
        f->out->pictures += q->picture[0] != 0;
        f->out->texts += q->same_text;
        f->out->runs += q->runs > 0 && 2 * q->runs_found >= q->runs;
        f->out->seen += q->seen;
    }
}

enum sea_status
sea_overlap_find(const struct sea_overlap_options *options, struct sea_arena *arena,
                 struct sea_overlap *out, struct sea_err *err)
{
    struct sea_overlap_options o = *options;
    struct finding *f = sea_xcalloc(1, sizeof(*f));
    enum sea_status status;

    *out = (struct sea_overlap){ 0 };
    o.words = o.words ? o.words : 8;
    o.distance = o.distance ? o.distance : 4;
    *f = (struct finding){ .options = &o,
                           .out = out,
                           .arena = arena,
                           .bench.folder = o.images,
                           .train.folder = o.train_images };
    if (o.words < 2 || o.words > 64 || o.distance < -1 || o.distance > 20)
        status = sea_fail(err, SEA_E_CONFIG,
                          "words must be 2 to 64 and distance -1 to 20, got "
                          "%lld and %lld",
                          (long long)o.words, (long long)o.distance);
    else
        status = load_questions(f, err);
    if (!status)
        status = each_row(f, take_picture, err);
    if (!status) {
        sea_gallery_sort(&f->train);
        see_inline(f);
        f->by_name = !o.train_images || !(o.images || f->has_inline);
        if (f->by_name)
            match_names(f);
        else
            match_contents(f);
        index_questions(f);
        f->matched = sea_xcalloc(f->runs.count + 1, sizeof(*f->matched));
        status = each_row(f, take_texts, err);
    }
    if (!status)
        sum_up(f);
    free(f->bench.at);
    free(f->train.at);
    free(f->runs.at);
    free(f->whole.at);
    free(f->matched);
    free(f);
    return status;
}

/* ---- output ---- */

struct sea_node *
sea_overlap_node(const struct sea_overlap *overlap, struct sea_arena *arena)
{
    struct sea_node *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);

    sea_node_put_int(arena, top, "questions", (int64_t)overlap->count);
    sea_node_put_int(arena, top, "train_rows", overlap->train_rows);
    sea_node_put_int(arena, top, "train_images", overlap->train_images);
    sea_node_put_int(arena, top, "unreadable", overlap->unreadable);
    sea_node_put_int(arena, top, "same_picture", overlap->pictures);
    sea_node_put_int(arena, top, "same_text", overlap->texts);
    sea_node_put_int(arena, top, "half_of_runs", overlap->runs);
    sea_node_put_int(arena, top, "seen", overlap->seen);
    return top;
}

void
sea_overlap_rows(const struct sea_overlap *overlap, struct sea_buf *out)
{
    for (size_t i = 0; i < overlap->count; i++) {
        const struct sea_overlap_question *q = &overlap->questions[i];

        sea_buf_puts(out, "{\"id\": ");
        sea_json_quote(out, q->id, strlen(q->id));
        sea_buf_addf(out, ", \"picture\": \"%s\", \"train_image\": ", q->picture);
        sea_json_quote(out, q->train_image, strlen(q->train_image));
        sea_buf_addf(out,
                     ", \"same_text\": %s, \"runs\": %lld, \"runs_found\": %lld, "
                     "\"seen\": %s}\n",
                     q->same_text ? "true" : "false", (long long)q->runs, (long long)q->runs_found,
                     q->seen ? "true" : "false");
    }
}
