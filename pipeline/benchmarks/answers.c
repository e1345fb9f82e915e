/* SPDX-License-Identifier: Apache-2.0 */
/* answers.c - LLaVA's lines of answers written; questions found by key, picture or id */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

static void
quote_valid(struct sea_buf *buf, const char *text, size_t len)
{
    struct sea_buf valid;

    sea_buf_init(&valid, 3 * len + 16);
    for (size_t i = 0; i < len;) {
        size_t n = sea_text_valid_length(text + i, len - i);

        if (n == 0)
            sea_buf_puts(&valid, "\xEF\xBF\xBD");
        else
            sea_buf_add(&valid, text + i, n);
        i += n ? n : 1;
    }
    sea_json_quote(buf, valid.data, valid.len);
    sea_buf_release(&valid);
}

void
sea_bench_answer_write(struct sea_buf *buf, const struct sea_bench_question *question,
                       const char *text, size_t len, const char *model_id)
{
    const char *prompt = question->answer_prompt ? question->answer_prompt : question->prompt;
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT];

    sea_hash_add_field(hash, sea_bench_key(question));
    sea_hash_add(hash, text, len);
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    sea_buf_puts(buf, "{\"question_id\": ");
    if (question->id_is_number)
        sea_buf_puts(buf, question->id);
    else
        sea_json_quote(buf, question->id, strlen(question->id));
    sea_buf_puts(buf, ", \"prompt\": ");
    sea_json_quote(buf, prompt, strlen(prompt));
    sea_buf_puts(buf, ", \"text\": ");
    quote_valid(buf, text, len);
    sea_buf_addf(buf, ", \"answer_id\": \"%.22s\", \"model_id\": ", digest);
    sea_json_quote(buf, model_id, strlen(model_id));
    sea_buf_puts(buf, ", \"metadata\": {}}\n");
}

/* ---- looking questions up ---- */

static const char *
lookup_name(const struct sea_bench_lookup *lookup, size_t i)
{
    const struct sea_bench_question *q = &lookup->questions->items[i];

    if (lookup->by_image)
        return q->image ? q->image : q->picture ? q->picture : "";
    return lookup->by_id ? q->id : sea_bench_key(q);
}

struct named {
    const char *name;
    size_t index;
};

static int
by_name(const void *a, const void *b)
{
    const struct named *one = a, *two = b;
    int order = strcmp(one->name, two->name);

    return order ? order : (one->index > two->index) - (one->index < two->index);
}

/* Sorts the questions by what the lookup looks for. */
static void
sort_names(struct sea_bench_lookup *lookup, struct sea_arena *arena)
{
    const struct sea_bench_questions *questions = lookup->questions;
    struct named *list = sea_xcalloc(questions->count + 1, sizeof(*list));

    size_t *order = sea_arena_alloc(arena, questions->count + 1, sizeof(size_t));

    lookup->order = order;
    for (size_t i = 0; i < questions->count; i++)
        list[i] = (struct named){ lookup_name(lookup, i), i };
    qsort(list, questions->count, sizeof(*list), by_name);
    for (size_t i = 0; i < questions->count; i++)
        order[i] = list[i].index;
    free(list);
}

void
sea_bench_lookup_init(struct sea_bench_lookup *lookup,
                      const struct sea_bench_questions *questions, bool by_image,
                      struct sea_arena *arena)
{
    *lookup = (struct sea_bench_lookup){ .questions = questions, .by_image = by_image };
    if (!by_image && questions->order)
        lookup->order = questions->order;       /* rows keep the order of equal keys */
    else
        sort_names(lookup, arena);
}

void
sea_bench_lookup_ids(struct sea_bench_lookup *lookup,
                     const struct sea_bench_questions *questions, struct sea_arena *arena)
{
    *lookup = (struct sea_bench_lookup){ .questions = questions, .by_id = true };
    sort_names(lookup, arena);
}

int64_t
sea_bench_lookup_find(const struct sea_bench_lookup *lookup, const char *key, size_t nth)
{
    size_t low = 0, high = lookup->questions->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(lookup_name(lookup, lookup->order[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low + nth >= lookup->questions->count ||
        strcmp(lookup_name(lookup, lookup->order[low + nth]), key) != 0)
        return -1;
    return (int64_t)lookup->order[low + nth];
}

const struct sea_node *const *
sea_bench_members(const struct sea_bench_scoring *s, const struct sea_node *map,
                  struct sea_arena *arena)
{
    const struct sea_node **out = sea_arena_alloc(arena, s->count + 1, sizeof(*out));
    struct sea_bench_lookup lookup;

    sea_bench_lookup_ids(&lookup, s->questions, arena);
    for (const struct sea_node *node = map ? map->first : NULL; node; node = node->next)
        for (size_t nth = 0; node->key; nth++) {
            int64_t found = sea_bench_lookup_find(&lookup, node->key, nth);

            if (found < 0)
                break;
            out[found] = node;
        }
    return out;
}
