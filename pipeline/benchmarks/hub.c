/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.c - benchmarks as the hub publishes them: Parquet with the pictures inside
 *
 * A row of Parquet becomes a row as the benchmarks' readers take it from JSON and TSV. One
 * table says where a data set differs: which field is the id, which names the picture (so that
 * questions about one picture share it), and, rarely, a function that makes fields. The
 * first picture of a row is its picture; it is read when it is asked for.
 *
 * GQA is published in two parts, questions and pictures; the second is found beside the first.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/sea_parquet.h"

#define IDS "question_id questionId id index image_id pid data_id idx Index img_id"
#define QUESTIONS_PART "_instructions"
#define PICTURES_PART "_images"

typedef void adapt_fn(struct sea_node *row, struct sea_arena *arena);

/* ---- rows that need more than other names ---- */

/* Numbers begin anew in each of the three splits. */
static void
adapt_pope(struct sea_node *row, struct sea_arena *arena)
{
    const char *category = sea_bench_field_text(row, "category", arena),
               *id = sea_bench_field_text(row, "question_id id", arena);

    if (category && id)
        sea_node_put_text(arena, row, "question_id",
                          sea_arena_printf(arena, "%s/%s", category, id));
}

/* A conversation as in LLaVA's file, whose prompt was made from these fields. */
static void
adapt_scienceqa(struct sea_node *row, struct sea_arena *arena)
{
    const char *hint = sea_bench_field_text(row, "hint", arena),
               *question = sea_bench_field_text(row, "question", arena);
    struct sea_node *turns, *turn;
    struct sea_choice choice;
    char letter[2] = "";

    sea_choice_read(&choice, row, arena);
    choice.answer = sea_choice_answer(&choice, row, "answer", true);
    if (choice.answer >= 0)
        letter[0] = (char)('A' + choice.answer);
    turns = sea_node_put(arena, row, "conversations", SEA_NODE_LIST);
    turn = sea_node_put(arena, turns, NULL, SEA_NODE_MAP);
    question = sea_arena_printf(arena, "%s%s%s%s", hint ? "Context: " : "", hint ? hint : "",
                                hint ? "\n" : "", question ? question : "");
    sea_node_put_text(arena, turn, "value", sea_choice_prompt(&choice, question, false, "", arena));
    turn = sea_node_put(arena, turns, NULL, SEA_NODE_MAP);
    sea_node_put_text(arena, turn, "value", letter);
}

/* "ocr,math" as a list. */
static void
adapt_mmvet(struct sea_node *row, struct sea_arena *arena)
{
    const char *text = sea_node_text(sea_node_get(row, "capability"), NULL);
    struct sea_node *list;

    if (!text)
        return;
    text = sea_arena_strdup(arena, text);
    list = sea_node_put(arena, row, "capability", SEA_NODE_LIST);
    while (*text) {
        size_t n = strcspn(text, ", ");

        if (n)
            sea_node_put_textn(arena, list, NULL, text, n);
        text += n + (text[n] != 0);
    }
}

static void
adapt_llava_bench(struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *question = sea_node_get(row, "question");

    if (question && !sea_node_get(row, "text"))
        sea_node_put_copy(arena, row, "text", question);
}

static const struct hub {
    const struct sea_bench *bench;
    const char *id;             /* the field that is the id; NULL: as the reader knows it */
    const char *same;           /* fields that name the picture; NULL: each row has its own */
    adapt_fn *adapt;
} hubs[] = {
    { &sea_bench_pope,           NULL, "image_source",                                adapt_pope },
    { &sea_bench_vqav2,          NULL, "image_id",                                    NULL },
    { &sea_bench_gqa,            "id", "imageId",                                     NULL },
    { &sea_bench_vizwiz,         NULL, "question_id",                                 NULL },
    { &sea_bench_textvqa,        NULL, "image_id",                                    NULL },
    { &sea_bench_textvqa_plain,  NULL, "image_id",                                    NULL },
    { &sea_bench_scienceqa,      NULL, NULL,                                          adapt_scienceqa },
    { &sea_bench_mme,            NULL, "question_id",                                 NULL },
    { &sea_bench_docvqa,         NULL, "ucsf_document_id ucsf_document_page_no",      NULL },
    { &sea_bench_hallusion,      NULL, "filename",                                    NULL },
    { &sea_bench_mmvet,          NULL, NULL,                                          adapt_mmvet },
    { &sea_bench_llava_bench,    NULL, "image_id",                                    adapt_llava_bench },
};

/* ---- pictures in a data set of their own ---- */

struct entry {
    const char *id;
    int64_t row, cell;
};
struct sea_hub {
    const struct hub *hub;      /* NULL: nothing special */
    struct sea_parquet *pictures;       /* the other part; NULL: there is none */
    struct entry *entries;      // (room) by id
    size_t count, room;
};

static int
by_id(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id);
}

/* The first picture of a row, in lists, too. */
static const struct sea_node *
first_picture(const struct sea_node *node)
{
    const struct sea_node *found = NULL;
    const char *path;
    int64_t cell;

    for (const struct sea_node *child = node->first; child && !found; child = child->next) {
        if (child->kind != SEA_NODE_MAP && child->kind != SEA_NODE_LIST)
            continue;
        found = sea_parquet_is_picture(child, &cell, &path) ? child
                : child->kind == SEA_NODE_LIST              ? first_picture(child)
                                                            : NULL;
    }
    return found;
}

static void
close_pictures(void *arg)
{
    sea_parquet_close(arg);
}

/* Not room for as many as the file says it has rows: that is only a number in a file. */
static void
add_entry(struct sea_hub *hub, const struct entry *entry, struct sea_arena *arena)
{
    if (hub->count == hub->room)
        hub->entries = sea_arena_grow(arena, hub->entries, &hub->room, 1024,
                                      sizeof(*hub->entries));
    hub->entries[hub->count++] = *entry;
}

static enum sea_status
read_pictures(struct sea_hub *hub, const char *path, struct sea_arena *arena,
              struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "row");
    enum sea_status status = sea_parquet_open(&hub->pictures, path, err);

    if (!status)
        sea_arena_on_reset(arena, close_pictures, hub->pictures);
    while (!status) {
        struct sea_node *row;
        const struct sea_node *picture;
        struct entry entry = { 0 };
        const char *name;

        sea_arena_reset(scratch);
        status = sea_parquet_next(hub->pictures, scratch, &row, err);
        if (status || !row)
            break;
        entry.id = sea_bench_field_text(row, IDS, arena);
        entry.row = sea_parquet_index(hub->pictures);
        picture = first_picture(row);
        if (entry.id && picture && sea_parquet_is_picture(picture, &entry.cell, &name))
            add_entry(hub, &entry, arena);
    }
    if (!status && hub->count)
        qsort(hub->entries, hub->count, sizeof(*hub->entries), by_id);
    sea_arena_destroy(scratch);
    return status;
}

enum sea_status
sea_hub_open(struct sea_bench_questions *questions, struct sea_bench_table *table,
             struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct sea_hub *hub;
    const char *part;

    if (!table->rows.parquet)
        return SEA_OK;
    hub = table->hub = sea_arena_alloc(arena, 1, sizeof(*hub));
    for (size_t i = 0; i < sizeof(hubs) / sizeof(hubs[0]); i++)
        if (hubs[i].bench == questions->bench)
            hub->hub = &hubs[i];
    part = strstr(questions->path, QUESTIONS_PART);
    if (part) {
        const char *other = sea_arena_printf(arena, "%.*s" PICTURES_PART "%s",
                                             (int)(part - questions->path), questions->path,
                                             part + strlen(QUESTIONS_PART));

        if (sea_parquet_is(other))
            return read_pictures(hub, other, arena, err);
    }
    return SEA_OK;
}

/* ---- rows ---- */

static const char *
same_picture(const struct sea_hub *hub, const struct sea_node *row, struct sea_arena *arena)
{
    const char *names = hub->hub ? hub->hub->same : NULL, *out = NULL;

    while (names && *names) {
        size_t n = strcspn(names, " ");
        const char *text = sea_bench_field_text(row, sea_arena_strndup(arena, names, n), arena);

        if (!text)
            return NULL;
        out = out ? sea_arena_printf(arena, "%s/%s", out, text) : text;
        names += n + (names[n] == ' ');
    }
    return out;
}

void
sea_hub_row(struct sea_bench_table *table, struct sea_node *row, struct sea_arena *arena)
{
    const struct hub *hub = table->hub->hub;

    table->picture = first_picture(row);
    if (hub && hub->adapt)
        hub->adapt(row, arena);
    if (hub && hub->id && sea_node_get(row, hub->id))
        sea_node_put_copy(arena, row, "question_id", sea_node_get(row, hub->id));
    if (!sea_bench_field(row, IDS)) {   /* many data sets have none: the row's number, from 0 */
        sea_node_put_int(arena, row, "question_id", table->rows.index);
        sea_node_put_int(arena, row, "id", table->rows.index);
    }
}

static void
store(struct sea_bench_question *q, struct sea_parquet *parquet, int64_t row, int64_t cell,
      struct sea_arena *arena)
{
    struct sea_bench_stored *stored = sea_arena_alloc(arena, 1, sizeof(*stored));

    *stored = (struct sea_bench_stored){ parquet, row, cell };
    q->stored = stored;
    q->has_image = true;
}

bool
sea_hub_image(const struct sea_bench_table *table, const struct sea_node *row,
              struct sea_bench_question *q, struct sea_arena *arena)
{
    const struct sea_hub *hub = table->hub;
    const char *path;
    int64_t cell;

    q->picture = same_picture(hub, row, arena);
    if (table->picture && sea_parquet_is_picture(table->picture, &cell, &path)) {
        store(q, table->rows.parquet, table->rows.index, cell, arena);
    } else if (hub->count && q->picture) {
        struct entry key = { .id = q->picture }, *found;

        found = bsearch(&key, hub->entries, hub->count, sizeof(key), by_id);
        if (found)
            store(q, hub->pictures, found->row, found->cell, arena);
    }
    if (q->stored)
        q->cluster = q->picture;
    return q->stored != NULL;
}

enum sea_status
sea_hub_load(const struct sea_bench_question *question, struct sea_image *out,
             struct sea_err *err)
{
    const struct sea_bench_stored *stored = question->stored;
    struct sea_buf bytes;
    char name[160];
    enum sea_status status;

    sea_buf_init(&bytes, SEA_PARQUET_PICTURE_MAX);
    snprintf(name, sizeof(name), "picture of question \"%.80s\"", question->id);
    status = sea_parquet_picture(stored->parquet, stored->row, stored->cell, &bytes, err);
    if (!status)
        status = sea_image_decode(out, bytes.data, bytes.len, name, err);
    sea_buf_release(&bytes);
    return status;
}

/* ---- whole documents ---- */

enum sea_status
sea_hub_document(const char *path, size_t bytes_max, struct sea_arena *arena,
                 struct sea_node **top, struct sea_err *err)
{
    struct sea_parquet *parquet;
    enum sea_status status;

    if (!sea_parquet_is(path))
        return sea_json_load(path, bytes_max, arena, top, err);
    *top = NULL;
    status = sea_parquet_open(&parquet, path, err);
    if (status)
        return status;
    /* Members are linked by hand: sea_node_put would compare each key with all before. */
    *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    for (;;) {
        struct sea_node *row;
        const char *id;

        status = sea_parquet_next(parquet, arena, &row, err);
        if (status || !row)
            break;
        id = sea_bench_field_text(row, IDS, arena);
        if (!id)
            continue;
        row->key = id;
        if ((*top)->last)
            (*top)->last->next = row;
        else
            (*top)->first = row;
        (*top)->last = row;
        (*top)->count++;
    }
    sea_parquet_close(parquet);
    return status;
}
