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
#include <sys/stat.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/sea_image.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_records.h"

#define TEXT_WORDS_MAX 4096
#define GRID_W 9
#define GRID_H 8
#define FLAT 6                  /* fewer signs of one kind: nothing to see */

/* ---- words ---- */

struct words {
    uint64_t at[TEXT_WORDS_MAX];        /* a hash each */
    size_t count;
};

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static bool
is_word(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Words of a text of len bytes, after those that are there; the tag <image> is none. */
static void
add_words(struct words *words, const char *text, size_t len)
{
    static const char tag[] = "<image>";

    for (size_t i = 0; i < len && words->count < TEXT_WORDS_MAX;) {
        uint64_t hash = 1469598103934665603u;
        size_t start = i;

        if (len - i >= sizeof(tag) - 1 && memcmp(text + i, tag, sizeof(tag) - 1) == 0) {
            i += sizeof(tag) - 1;
            continue;
        }
        for (; i < len && is_word((unsigned char)text[i]); i++) {
            unsigned char c = (unsigned char)text[i];

            hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 1099511628211u;
        }
        if (i > start)
            words->at[words->count++] = hash;
        else
            i++;
    }
}

static uint64_t
hash_run(const uint64_t *words, size_t n)
{
    uint64_t hash = n;

    for (size_t i = 0; i < n; i++)
        hash = mix(hash, words[i]);
    return hash;
}

/* A question without what every question of the benchmark ends in, and without options. */
static size_t
question_length(const struct sea_bench *bench, const char *prompt)
{
    static const char *const ends[] = { "\nA. ", "\n(A) ", "\nReference OCR token",
                                        "\nAnswer the question using", "\nWhen the provided" };
    size_t n = strlen(prompt), tail = bench->suffix ? strlen(bench->suffix) : 0;

    if (tail && n > tail && strcmp(prompt + n - tail, bench->suffix) == 0)
        n -= tail;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const char *at = strstr(prompt, ends[i]);

        if (at && at > prompt && (size_t)(at - prompt) < n)
            n = (size_t)(at - prompt);
    }
    return n;
}

/* ---- an index from hashes to questions ---- */

struct entry {
    uint64_t hash;
    int64_t question;
};
struct index {
    struct entry *at;
    size_t count, room;
};

static void
index_add(struct index *index, uint64_t hash, int64_t question)
{
    if (index->count == index->room) {
        index->room = index->room ? 2 * index->room : 1024;
        index->at = sea_xrealloc(index->at, index->room, sizeof(*index->at));
    }
    index->at[index->count++] = (struct entry){ hash, question };
}

static int
by_hash(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->question > y->question) - (x->question < y->question);
}

static void
index_sort(struct index *index)
{
    if (index->count)
        qsort(index->at, index->count, sizeof(*index->at), by_hash);
}

/* The first entry of this hash; the others follow it. count when there is none. */
static size_t
index_find(const struct index *index, uint64_t hash)
{
    size_t low = 0, high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (index->at[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && index->at[low].hash == hash ? low : index->count;
}

static uint64_t
hash_text(const char *text)
{
    uint64_t hash = 1469598103934665603u;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return mix(hash, 1);
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- pictures ---- */

/* Mean brightness of a cell of the grid. */
static double
cell_mean(const struct sea_image *image, int x, int y)
{
    int x0 = x * image->width / GRID_W, x1 = (x + 1) * image->width / GRID_W,
        y0 = y * image->height / GRID_H, y1 = (y + 1) * image->height / GRID_H;
    double sum = 0;

    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (int r = y0; r < y1; r++)
        for (int c = x0; c < x1; c++) {
            const unsigned char *p =
                image->rgb + ((size_t)r * (size_t)image->width + (size_t)c) * 3;

            sum += 299 * p[0] + 587 * p[1] + 114 * p[2];
        }
    return sum / ((double)(x1 - x0) * (y1 - y0));
}

/* Signs of the differences between neighbours of a row; false: there is nothing to see. */
static bool
see(const struct sea_image *image, uint64_t *out)
{
    *out = 0;
    if (image->width < GRID_W || image->height < GRID_H)
        return false;
    for (int y = 0; y < GRID_H; y++)
        for (int x = 0; x + 1 < GRID_W; x++)
            *out = *out << 1 | (cell_mean(image, x, y) < cell_mean(image, x + 1, y));
    return __builtin_popcountll(*out) >= FLAT && __builtin_popcountll(*out) <= 64 - FLAT;
}

struct picture {
    const char *name;           /* as its file names it */
    int64_t bytes;              /* -1: no file */
    uint64_t digest, signs;
    bool has_digest, has_signs, is_inline;
    int64_t found;              /* benchmark: the training picture, -1: none */
    const char *how;
};
struct gallery {
    struct picture *at;
    size_t count, room;
    const char *folder;
};

/* Number of the picture, until gallery_sort numbers all anew. */
static int64_t
gallery_add(struct gallery *gallery, const char *name, struct sea_arena *arena)
{
    if (gallery->count == gallery->room) {
        gallery->room = gallery->room ? 2 * gallery->room : 1024;
        gallery->at = sea_xrealloc(gallery->at, gallery->room, sizeof(*gallery->at));
    }
    gallery->at[gallery->count] = (struct picture){ .name = sea_arena_strdup(arena, name),
                                                    .bytes = -1, .found = -1, .how = "" };
    return (int64_t)gallery->count++;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct picture *)a)->name, ((const struct picture *)b)->name);
}

/* Sorts by name and drops doubles. */
static void
gallery_sort(struct gallery *gallery)
{
    size_t kept = 0;

    if (gallery->count)
        qsort(gallery->at, gallery->count, sizeof(*gallery->at), by_name);
    for (size_t i = 0; i < gallery->count; i++)
        if (kept == 0 || strcmp(gallery->at[kept - 1].name, gallery->at[i].name) != 0)
            gallery->at[kept++] = gallery->at[i];
    gallery->count = kept;
}

static int64_t
gallery_find(const struct gallery *gallery, const char *name)
{
    struct picture key = { .name = name }, *found;

    if (gallery->count == 0)
        return -1;
    found = bsearch(&key, gallery->at, gallery->count, sizeof(key), by_name);
    return found ? found - gallery->at : -1;
}

/* Sizes of the files; a name that leads out of the folder has none. */
static void
gallery_measure(struct gallery *gallery)
{
    for (size_t i = 0; i < gallery->count && gallery->folder; i++) {
        struct sea_err ignored = { 0 };
        char path[SEA_PATH_MAX];
        struct stat info;

        if (!gallery->at[i].is_inline && sea_path_is_inside(gallery->at[i].name) &&
            !sea_path_join(path, gallery->folder, gallery->at[i].name, &ignored) &&
            stat(path, &info) == 0 && S_ISREG(info.st_mode))
            gallery->at[i].bytes = (int64_t)info.st_size;
    }
}

/* Reads what is wanted of a picture; false when its file cannot be read. */
static bool
look(struct gallery *gallery, struct picture *picture, bool digest, bool pixels)
{
    struct sea_image image = { 0 };
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX], hex[SEA_SHA256_TEXT];

    if (picture->bytes < 0)
        return gallery->folder == NULL;
    if (sea_path_join(path, gallery->folder, picture->name, &ignored))
        return false;
    if (digest) {
        if (sea_hash_file(path, hex, NULL, &ignored))
            return false;
        hex[16] = 0;
        picture->digest = strtoull(hex, NULL, 16);
        picture->has_digest = true;
    }
    if (pixels) {
        if (sea_image_load(&image, path, &ignored))
            return false;
        picture->has_signs = see(&image, &picture->signs);
        sea_image_release(&image);
    }
    return true;
}

/* ---- the whole ---- */

struct finding {
    const struct sea_overlap_options *options;
    struct sea_overlap *out;
    struct sea_arena *arena;
    struct sea_bench_questions questions;
    int64_t *picture_of;        // (questions) -1: none
    struct gallery bench, train;
    bool has_inline, by_name;
    struct index runs, whole;   /* of the questions' words */
    bool *matched;              // (runs) a training turn holds it
    struct words words;
};

static void
index_questions(struct finding *f)
{
    size_t n = (size_t)f->options->words;

    for (size_t i = 0; i < f->questions.count; i++) {
        const char *prompt = f->questions.items[i].prompt;
        struct sea_overlap_question *q = &f->out->questions[i];

        f->words.count = 0;
        add_words(&f->words, prompt, question_length(f->questions.bench, prompt));
        if (f->words.count)
            index_add(&f->whole, hash_run(f->words.at, f->words.count), (int64_t)i);
        for (size_t k = 0; k + n <= f->words.count; k++, q->runs++)
            index_add(&f->runs, hash_run(f->words.at + k, n), (int64_t)i);
    }
    index_sort(&f->whole);
    index_sort(&f->runs);
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
    f->out->questions = sea_arena_alloc(f->arena, f->questions.count + 1,
                                        sizeof(*f->out->questions));
    f->picture_of = sea_arena_alloc(f->arena, f->questions.count + 1, sizeof(*f->picture_of));
    for (size_t i = 0; i < f->questions.count; i++) {
        f->out->questions[i].id = f->questions.items[i].id;
        f->out->questions[i].picture = f->out->questions[i].train_image = "";
        if (f->questions.items[i].image)
            gallery_add(&f->bench, f->questions.items[i].image, f->arena);
    }
    gallery_sort(&f->bench);
    for (size_t i = 0; i < f->questions.count; i++) {
        const char *image = f->questions.items[i].image;

        f->picture_of[i] = image ? gallery_find(&f->bench, image) : -1;
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
        f->picture_of[i] = gallery_add(&f->bench, q->id, f->arena);
        f->bench.at[f->picture_of[i]].is_inline = true;
        if (sea_bench_image_load(q, NULL, &image, &ignored))
            f->out->unreadable++;
        else
            f->bench.at[f->picture_of[i]].has_signs =
                see(&image, &f->bench.at[f->picture_of[i]].signs);
        sea_image_release(&image);
    }
}

static void
match(struct picture *picture, int64_t train, const char *how)
{
    if (picture->found >= 0)
        return;
    picture->found = train;
    picture->how = how;
}

static void
match_names(struct finding *f)
{
    struct index names = { 0 };

    for (size_t i = 0; i < f->train.count; i++)
        index_add(&names, hash_text(last_part(f->train.at[i].name)), (int64_t)i);
    index_sort(&names);
    for (size_t i = 0; i < f->bench.count; i++) {
        const char *name = last_part(f->bench.at[i].name);
        size_t at = index_find(&names, hash_text(name));

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
    struct index sizes = { 0 }, digests = { 0 };

    gallery_measure(&f->bench);
    gallery_measure(&f->train);
    for (size_t i = 0; i < f->bench.count; i++) {
        if (f->bench.at[i].is_inline)
            continue;
        index_add(&sizes, (uint64_t)f->bench.at[i].bytes, (int64_t)i);
        f->out->unreadable += !look(&f->bench, &f->bench.at[i], true, pixels);
    }
    index_sort(&sizes);
    for (size_t i = 0; i < f->train.count; i++) {
        struct picture *p = &f->train.at[i];
        bool same_size = p->bytes >= 0 && index_find(&sizes, (uint64_t)p->bytes) < sizes.count;

        f->out->unreadable += !look(&f->train, p, same_size, pixels);
        if (p->has_digest)
            index_add(&digests, p->digest, (int64_t)i);
    }
    index_sort(&digests);
    for (size_t i = 0; i < f->bench.count; i++) {
        struct picture *p = &f->bench.at[i];
        size_t at = p->has_digest ? index_find(&digests, p->digest) : digests.count;
        int best = (int)f->options->distance + 1;
        int64_t nearest = -1;

        if (at < digests.count)
            match(p, digests.at[at].question, "bytes");
        for (size_t k = 0; k < f->train.count && p->has_signs && p->found < 0; k++) {
            int far = f->train.at[k].has_signs
                          ? __builtin_popcountll(p->signs ^ f->train.at[k].signs) : 64;

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
        gallery_add(&f->train, image, f->arena);
}

static bool
is_same(const struct finding *f, int64_t bench, int64_t train)
{
    const struct picture *one = &f->bench.at[bench], *two = &f->train.at[train];

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
    uint64_t hash = hash_run(words, n);

    for (size_t at = n ? index_find(&f->whole, hash) : f->whole.count;
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
    int64_t picture = image ? gallery_find(&f->train, image) : -1;
    size_t n = (size_t)f->options->words;

    for (turn = turn->first; turn; turn = turn->next) {
        const char *text = sea_node_text(sea_node_get(turn, "value"), "");

        f->words.count = 0;
        for (const char *line = text; *line; line += *line == '\n') {
            size_t len = strcspn(line, "\n"), first = f->words.count;

            add_words(&f->words, line, len);
            take_whole(f, f->words.at + first, f->words.count - first, picture);
            line += len;
        }
        take_whole(f, f->words.at, f->words.count, picture);
        for (size_t k = 0; k + n <= f->words.count; k++) {
            size_t at = index_find(&f->runs, hash_run(f->words.at + k, n));

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
        const struct picture *p = f->picture_of[i] >= 0 ? &f->bench.at[f->picture_of[i]] : NULL;

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
    *f = (struct finding){ .options = &o, .out = out, .arena = arena,
                           .bench.folder = o.images, .train.folder = o.train_images };
    if (o.words < 2 || o.words > 64 || o.distance < -1 || o.distance > 20)
        status = sea_fail(err, SEA_E_CONFIG, "words must be 2 to 64 and distance -1 to 20, got "
                          "%lld and %lld", (long long)o.words, (long long)o.distance);
    else
        status = load_questions(f, err);
    if (!status)
        status = each_row(f, take_picture, err);
    if (!status) {
        gallery_sort(&f->train);
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
        sea_buf_addf(out, ", \"same_text\": %s, \"runs\": %lld, \"runs_found\": %lld, "
                     "\"seen\": %s}\n",
                     q->same_text ? "true" : "false", (long long)q->runs,
                     (long long)q->runs_found, q->seen ? "true" : "false");
    }
}
