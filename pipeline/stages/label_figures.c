/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label_figures.c - which reading of the tower is the best one, in numbers
 *
 * The rule: where objects are known, the share of object patches whose best word names the
 * object, minus the same with objects of other pictures; else, on a sample of pictures, the
 * share of patches with a kept word that stands in the picture's caption, minus the same with
 * captions of other pictures. Both are always noted. Captions cannot tell a reading that
 * names what a patch shows from one whose every patch names the whole picture (the plain
 * tower's do), which is why objects come first.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/label_int.h"

#define SAMPLE_SEED 20
#define COMMONEST 20

struct sample {                 /* labels of some pictures */
    int64_t count, *numbers;    /* pictures */
    int32_t *index;             // (count, m, top)
    float *score;
};

static void
sample_init(struct sample *sample, const struct sea_labelling *run,
            const struct sea_pictures *pictures, int64_t most)
{
    int64_t i;

    sample->count = pictures->count < most ? pictures->count : most;
    sample->numbers = sea_xcalloc((size_t)sample->count + 1, sizeof(int64_t));
    for (i = 0; i < sample->count; i++) /* evenly spaced: no order of the file hides a part */
        sample->numbers[i] = i * pictures->count / sample->count;
    sample->index = sea_xcalloc((size_t)(sample->count * run->m * run->top) + 1,
                                sizeof(int32_t));
    sample->score = sea_xcalloc((size_t)(sample->count * run->m * run->top) + 1, sizeof(float));
}

static void
sample_release(struct sample *sample)
{
    free(sample->numbers);
    free(sample->index);
    free(sample->score);
}

/* ---- captions ---- */

/* Lower case, everything but letters and digits a blank, a blank at both ends. */
static char *
plain_caption(struct sea_arena *arena, const char *caption)
{
    char *text = sea_arena_printf(arena, " %s ", caption), *at;

    for (at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;

        if (c < 128)
            *at = isalnum(c) ? (char)tolower(c) : ' ';
    }
    return text;
}

/* The word stands in the text by itself, or with an s or es behind. */
static bool
stands_in(const char *plain, const char *word)
{
    size_t len = strlen(word);
    const char *at = plain;

    while ((at = strstr(at, word)) != NULL) {
        const char *end = at + len;

        if (at[-1] == ' ' && (*end == ' ' || (end[0] == 's' && end[1] == ' ') ||
                              (end[0] == 'e' && end[1] == 's' && end[2] == ' ')))
            return true;
        at++;
    }
    return false;
}

/* Share of patches with one of its first `first` words in the caption of picture
 * caption_of[i]. */
static double
caption_hits(const struct sea_labelling *run, const struct sample *sample,
             char *const *captions, const int64_t *caption_of, int64_t first)
{
    signed char *known = sea_xcalloc(run->words.count, 1);
    int64_t i, p, k, hits = 0;

    for (i = 0; i < sample->count; i++) {
        const char *caption = captions[caption_of[i]];

        memset(known, -1, run->words.count);
        for (p = 0; p < run->m; p++) {
            const int32_t *index = sample->index + (i * run->m + p) * run->top;
            bool hit = false;

            for (k = 0; k < first && index[k] >= 0 && !hit; k++) {
                if (known[index[k]] < 0)
                    known[index[k]] = stands_in(caption, run->words.items[index[k]]);
                hit = known[index[k]] == 1;
            }
            hits += hit;
        }
    }
    free(known);
    return sample->count ? (double)hits / (double)(sample->count * run->m) : 0;
}

/* ---- objects ---- */

struct object_hits {
    int64_t patches, right;
};

/* Best words of the sample's pictures against the objects of pictures objects_of[i]. */
static struct object_hits
object_hits(const struct sea_labelling *run, const struct sample *sample,
            const struct sea_pictures *pictures, const struct sea_objects *objects,
            const int64_t *objects_of)
{
    int *category = sea_xcalloc((size_t)run->m, sizeof(int));
    struct object_hits hits = { 0 };
    int64_t i, p;

    for (i = 0; i < sample->count; i++) {
        const struct sea_pictured *pictured = sea_objects_find(
            objects, pictures->names[sample->numbers[objects_of[i]]]);

        if (!pictured)
            continue;
        sea_patch_objects(pictured, &pictures->view, run->grid, category);
        for (p = 0; p < run->m; p++) {
            int32_t word = sample->index[(i * run->m + p) * run->top];

            if (category[p] < 0)
                continue;
            hits.patches++;
            hits.right += word >= 0 && sea_word_names(run->words.items[word],
                                                      &objects->categories[category[p]]);
        }
    }
    free(category);
    return hits;
}

/* ---- spread ---- */

static int
compare_down(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

static void
spread(const struct sea_labelling *run, const struct sample *sample, double *entropy,
       double *commonest, double *without)
{
    int64_t *uses = sea_xcalloc(run->words.count + 1, sizeof(*uses));
    int64_t n = sample->count * run->m, i, total = 0, first = 0;
    size_t w;

    for (i = 0; i < n; i++) {
        int32_t word = sample->index[i * run->top];

        if (word >= 0) {
            uses[word]++;
            total++;
        }
    }
    *without = n ? (double)(n - total) / (double)n : 0;
    *entropy = 0;
    for (w = 0; w < run->words.count; w++)
        if (uses[w])
            *entropy -= (double)uses[w] / (double)total * log2((double)uses[w] / (double)total);
    qsort(uses, run->words.count, sizeof(*uses), compare_down);
    for (w = 0; w < COMMONEST && w < run->words.count; w++)
        first += uses[w];
    *commonest = total ? (double)first / (double)total : 0;
    free(uses);
}

/* ---- one variant ---- */

struct comparing {
    struct sea_labelling *run;
    struct sea_node *figures;
    struct sample sample, heldout;
    char **captions;            /* of the sample's pictures, plain */
    int64_t *same, *other;      /* places in the sample: itself, another one */
    int64_t *heldout_same, *heldout_other;
    bool by_objects;            /* which rule decides */
};

static void
note(struct comparing *c, enum sea_clip_variant variant, const char *name, double value)
{
    char full[96];

    snprintf(full, sizeof(full), "%s.%s", sea_clip_variant_name(variant), name);
    sea_figure(c->run->stage, c->figures, full, value);
}

/* Returns the gain over the control. */
static double
note_objects(struct comparing *c, enum sea_clip_variant variant, const struct sample *sample,
             const struct sea_pictures *pictures, const struct sea_objects *objects,
             const int64_t *same, const int64_t *other)
{
    struct object_hits real = object_hits(c->run, sample, pictures, objects, same);
    struct object_hits shuffled = object_hits(c->run, sample, pictures, objects, other);

    if (!real.patches || !shuffled.patches)
        return 0;
    c->by_objects = true;
    note(c, variant, "object_top1", (double)real.right / (double)real.patches);
    note(c, variant, "object_top1_shuffled",
         (double)shuffled.right / (double)shuffled.patches);
    note(c, variant, "object_patches", (double)real.patches);
    return (double)real.right / (double)real.patches -
           (double)shuffled.right / (double)shuffled.patches;
}

static enum sea_status
measure(struct comparing *c, enum sea_clip_variant variant, double *gain, struct sea_err *err)
{
    struct sea_labelling *run = c->run;
    struct sea_reading reading = { 0 };
    double hits, shuffled, objects = 0, entropy, commonest, without;
    enum sea_status status = sea_reading_open(&reading, run, variant, err);

    if (!status)
        status = sea_reading_run(&reading, run, &run->pictures, c->sample.numbers,
                                 c->sample.count, c->sample.index, c->sample.score, err);
    if (!status)
        status = sea_reading_run(&reading, run, &run->heldout_pictures, c->heldout.numbers,
                                 c->heldout.count, c->heldout.index, c->heldout.score, err);
    sea_reading_close(&reading);
    if (status)
        return status;
    hits = caption_hits(run, &c->sample, c->captions, c->same, run->top);
    shuffled = caption_hits(run, &c->sample, c->captions, c->other, run->top);
    spread(run, &c->sample, &entropy, &commonest, &without);
    note(c, variant, "caption_top1", caption_hits(run, &c->sample, c->captions, c->same, 1));
    note(c, variant, "caption_hits", hits);
    note(c, variant, "caption_hits_shuffled", shuffled);
    note(c, variant, "entropy_bits", entropy);
    note(c, variant, "commonest_20", commonest);
    note(c, variant, "without_label", without);
    if (run->heldout_objects.images_count)
        objects = note_objects(c, variant, &c->heldout, &run->heldout_pictures,
                               &run->heldout_objects, c->heldout_same, c->heldout_other);
    else if (run->objects.images_count)
        objects = note_objects(c, variant, &c->sample, &run->pictures, &run->objects, c->same,
                               c->other);
    *gain = c->by_objects ? objects : hits - shuffled;
    return SEA_OK;
}

static int64_t *
places(struct sea_arena *arena, int64_t count, bool deranged)
{
    int64_t *to = sea_arena_alloc(arena, (size_t)count + 1, sizeof(*to)), i;

    for (i = 0; i < count; i++)
        to[i] = i;
    if (deranged)
        sea_derange(to, count, SAMPLE_SEED);
    return to;
}

static void
prepare_captions(struct comparing *c)
{
    const struct sea_labelling *run = c->run;
    struct sea_arena *arena = run->stage->arena;
    const char **of_picture = sea_xcalloc((size_t)run->pictures.count + 1, sizeof(char *));
    int64_t i;

    for (i = run->data.count - 1; i >= 0; i--)  /* the first row of a picture stays */
        if (run->pictures.of_row[i] >= 0)
            of_picture[run->pictures.of_row[i]] = sea_row_caption(&run->data.rows[i]);
    c->captions = sea_arena_alloc(arena, (size_t)c->sample.count + 1, sizeof(char *));
    for (i = 0; i < c->sample.count; i++)
        c->captions[i] = plain_caption(arena, of_picture[c->sample.numbers[i]]);
    free(of_picture);
}

enum sea_status
sea_label_choose(struct sea_labelling *run, int only, struct sea_node *figures,
                 enum sea_clip_variant *chosen, struct sea_err *err)
{
    struct comparing c = { .run = run, .figures = figures };
    struct sea_arena *arena = run->stage->arena;
    int64_t most = sea_stage_int(run->stage, "sample");
    double best = -2, gain;
    enum sea_status status = SEA_OK;
    int v;

    sample_init(&c.sample, run, &run->pictures, most);
    sample_init(&c.heldout, run, &run->heldout_pictures, most);
    c.same = places(arena, c.sample.count, false);
    c.other = places(arena, c.sample.count, true);
    c.heldout_same = places(arena, c.heldout.count, false);
    c.heldout_other = places(arena, c.heldout.count, true);
    prepare_captions(&c);
    for (v = 0; v < SEA_CLIP_VARIANTS && !status; v++) {
        if (only >= 0 && v != only)
            continue;
        status = measure(&c, (enum sea_clip_variant)v, &gain, err);
        if (!status && gain > best) {
            best = gain;
            *chosen = (enum sea_clip_variant)v;
        }
        if (!status && sea_stage_is_stopped())
            status = sea_stage_stop(run->stage, err);
    }
    if (!status) {
        const char *rule = c.by_objects ? "objects" : "captions";

        sea_node_put_text(arena, figures, "variant", sea_clip_variant_name(*chosen));
        sea_node_put_text(arena, figures, "rule", only >= 0 ? "given" : rule);
        sea_events_log(run->stage->events, "info", "labels: variant %s, %+.4f over chance by its "
                       "%s", sea_clip_variant_name(*chosen), best, rule);
    }
    sample_release(&c.sample);
    sample_release(&c.heldout);
    return status;
}
