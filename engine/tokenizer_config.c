/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_config.c - added words that stand beside tokenizer.json (or tokenizer.model): in
 * tokenizer_config.json, "added_tokens_decoder" and the special words by name; in folders
 * without the decoder also in special_tokens_map.json and added_tokens.json.
 *
 * transformers adds them when it loads a folder, in this order: words of the decoder by their
 * numbers, then the named ones, then lists of more. A word that is there already takes the
 * flags of the decoder; a new one takes the id that the model has for it, else the next free
 * one.
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

struct completion {
    struct sea_tokenizer *tokenizer;
    struct sea_arena *arena;
    struct sea_node *list;      /* "added_tokens" */
    int64_t next;               /* free id */
};

static const char *const flags[] = { "lstrip", "rstrip", "single_word", "normalized" };
#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static struct sea_node *
find_word(const struct completion *work, const char *content)
{
    for (struct sea_node *item = work->list->first; item; item = item->next)
        if (!strcmp(sea_node_text(sea_node_get(item, "content"), ""), content))
            return item;
    return NULL;
}

/* The flag of an entry: "normalized" is on for words that are not special. */
static bool
flag_of(const struct sea_node *entry, const char *flag, bool special)
{
    return sea_node_bool(sea_node_get(entry, flag), !strcmp(flag, "normalized") && !special);
}

/* A word with the flags of its entry (a map or a plain text). id -1: the next free one. */
static void
put_word(struct completion *work, const struct sea_node *entry, bool special, int64_t id)
{
    const char *content = sea_node_text(entry, NULL);
    struct sea_node *item;
    int32_t known;

    if (!content)
        content = sea_node_text(sea_node_get(entry, "content"), "");
    if (!*content)
        return;
    special = special || sea_node_bool(sea_node_get(entry, "special"), false);
    item = find_word(work, content);
    if (!item) {
        known = sea_vocab_find(&work->tokenizer->vocab, content, strlen(content));
        item = sea_node_put(work->arena, work->list, NULL, SEA_NODE_MAP);
        sea_node_put_text(work->arena, item, "content", content);
        sea_node_put_int(work->arena, item, "id", known >= 0 ? known : id < 0 ? work->next : id);
        if (known < 0 && id < 0)
            work->next++;
    }
    special = special || sea_node_bool(sea_node_get(item, "special"), false);
    sea_node_put_bool(work->arena, item, "special", special);
    for (size_t i = 0; i < FLAGS; i++)
        sea_node_put_bool(work->arena, item, flags[i], flag_of(entry, flags[i], special));
    if (work->tokenizer->is_spm)        /* its words are looked for in the text as it stands */
        sea_node_put_bool(work->arena, item, "normalized", false);
}

/* ---- the decoder ---- */

static int
by_id(const void *a, const void *b)
{
    long long x = strtoll((*(const struct sea_node *const *)a)->key, NULL, 10);
    long long y = strtoll((*(const struct sea_node *const *)b)->key, NULL, 10);

    return (x > y) - (x < y);
}

static void
put_decoder(struct completion *work, const struct sea_node *decoder)
{
    const struct sea_node **sorted, *item;
    size_t count = 0;

    if (!decoder || decoder->kind != SEA_NODE_MAP)
        return;
    sorted = sea_arena_alloc(work->arena, decoder->count + 1, sizeof(*sorted));
    for (item = decoder->first; item; item = item->next)
        sorted[count++] = item;
    if (count)
        qsort(sorted, count, sizeof(*sorted), by_id);
    for (size_t i = 0; i < count; i++)
        put_word(work, sorted[i], false,
                 work->tokenizer->is_spm ? strtoll(sorted[i]->key, NULL, 10) : -1);
}

/* ---- special words ---- */

/* A text, a map with a content, or a list or a map of such. Known ones keep their flags. */
static void
put_special(struct completion *work, const struct sea_node *node)
{
    const char *content;

    if (!node || node->kind == SEA_NODE_NULL)
        return;
    content = sea_node_text(node, sea_node_text(sea_node_get(node, "content"), NULL));
    if (content && !find_word(work, content))
        put_word(work, node, true, -1);
    if (!content && (node->kind == SEA_NODE_LIST || node->kind == SEA_NODE_MAP))
        for (node = node->first; node; node = node->next)
            put_special(work, node);
}

#define NAMES 9                 /* of special words, and of lists of them */

static bool
is_named(const struct sea_node *const specials[NAMES], const char *word)
{
    const char *content;

    for (size_t i = 0; i < NAMES; i++) {
        content = sea_node_text(specials[i], NULL);
        if (!content)
            content = sea_node_text(sea_node_get(specials[i], "content"), "");
        if (!strcmp(content, word))
            return true;
        if (specials[i] && specials[i]->kind == SEA_NODE_LIST)
            for (const struct sea_node *item = specials[i]->first; item; item = item->next)
                if (!strcmp(sea_node_text(item, ""), word))
                    return true;
    }
    return false;
}

/* {"WORD": id, ..}: words that tokenizer.json has not; special when they have a name, too. */
static void
put_older(struct completion *work, const struct sea_node *more,
          const struct sea_node *const specials[NAMES])
{
    struct sea_node *decoder = sea_node_put(work->arena, NULL, NULL, SEA_NODE_MAP), *entry;
    const struct sea_node *item;

    for (item = more && more->kind == SEA_NODE_MAP ? more->first : NULL; item;
         item = item->next) {
        if (item->kind != SEA_NODE_INT || find_word(work, item->key))
            continue;
        entry = sea_node_put(work->arena, decoder,
                             sea_arena_printf(work->arena, "%lld", (long long)item->integer),
                             SEA_NODE_MAP);
        sea_node_put_text(work->arena, entry, "content", item->key);
        sea_node_put_bool(work->arena, entry, "special", is_named(specials, item->key));
    }
    put_decoder(work, decoder);
}

void
sea_added_complete(struct sea_tokenizer *tokenizer, struct sea_node *root,
                   const struct sea_token_files *files, struct sea_arena *arena)
{
    static const char *const names[NAMES] = {
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
        "mask_token", "additional_special_tokens", "extra_special_tokens",
    };
    struct completion work = { .tokenizer = tokenizer, .arena = arena,
                               .next = tokenizer->vocab.count };
    const struct sea_node *specials[NAMES], *item;
    bool older;
    int64_t id;

    work.list = sea_node_get(root, "added_tokens");
    if (!work.list || work.list->kind != SEA_NODE_LIST)
        work.list = sea_node_put(arena, root, "added_tokens", SEA_NODE_LIST);
    for (item = work.list->first; item; item = item->next) {
        id = sea_node_int(sea_node_get(item, "id"), -1);
        if (id >= work.next)
            work.next = id + 1;
    }
    older = !sea_node_get(files->config, "added_tokens_decoder");
    put_decoder(&work, sea_node_get(files->config, "added_tokens_decoder"));
    for (size_t i = 0; i < NAMES; i++) {
        item = older ? sea_node_get(files->map, names[i]) : NULL;
        specials[i] = item && item->kind != SEA_NODE_NULL ? item
                                                          : sea_node_get(files->config, names[i]);
    }
    if (older && !tokenizer->is_spm)    /* tokenizer_spm.c reads it itself */
        put_older(&work, files->more, specials);
    for (size_t i = 0; i < NAMES; i++)
        put_special(&work, specials[i]);
}
