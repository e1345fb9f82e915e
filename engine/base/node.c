/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_node.h"

#include <assert.h>
#include <string.h>

#include "engine/base/node_int.h"
#include "engine/base/sea_file.h"

struct sea_node *
sea_node_append(struct sea_arena *arena, struct sea_node *parent, const char *key,
                enum sea_node_kind kind)
{
    struct sea_node *node = sea_arena_alloc(arena, 1, sizeof(*node));

    node->kind = kind;
    node->key = key;
    if (!parent)
        return node;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
    return node;
}

/* The member called by the len bytes at key. */
static struct sea_node *
member(const struct sea_node *map, const char *key, size_t len)
{
    struct sea_node *node;

    if (!map || map->kind != SEA_NODE_MAP)
        return NULL;
    for (node = map->first; node; node = node->next)
        if (strncmp(node->key, key, len) == 0 && node->key[len] == 0)
            return node;
    return NULL;
}

struct sea_node *
sea_node_get(const struct sea_node *map, const char *key)
{
    return member(map, key, strlen(key));
}

struct sea_node *
sea_node_path(const struct sea_node *map, const char *path)
{
    for (;;) {
        size_t len = strcspn(path, ".");
        struct sea_node *node = member(map, path, len);

        if (!node || !path[len])
            return node;
        map = node;
        path += len + 1;
    }
}

const char *
sea_node_text(const struct sea_node *node, const char *fallback)
{
    return node && node->kind == SEA_NODE_STRING ? node->text : fallback;
}

int64_t
sea_node_int(const struct sea_node *node, int64_t fallback)
{
    return node && node->kind == SEA_NODE_INT ? node->integer : fallback;
}

double
sea_node_real(const struct sea_node *node, double fallback)
{
    if (!node || (node->kind != SEA_NODE_INT && node->kind != SEA_NODE_REAL))
        return fallback;
    return node->real;
}

bool
sea_node_bool(const struct sea_node *node, bool fallback)
{
    return node && node->kind == SEA_NODE_BOOL ? node->integer != 0 : fallback;
}

const char *
sea_node_kind_name(enum sea_node_kind kind)
{
    switch (kind) {
    case SEA_NODE_NULL:   return "null";
    case SEA_NODE_BOOL:   return "truth value";
    case SEA_NODE_INT:    return "integer";
    case SEA_NODE_REAL:   return "number";
    case SEA_NODE_STRING: return "string";
    case SEA_NODE_LIST:   return "list";
    case SEA_NODE_MAP:    return "map";
    }
    return "unknown";
}

struct sea_node *
sea_node_put(struct sea_arena *arena, struct sea_node *parent, const char *key,
             enum sea_node_kind kind)
{
    struct sea_node *node;

    assert(!parent || (parent->kind == SEA_NODE_MAP && key)
           || (parent->kind == SEA_NODE_LIST && !key));
    node = parent && key ? sea_node_get(parent, key) : NULL;
    if (node) {                 /* keeps its place, its key and its successor */
        *node = (struct sea_node){ .kind = kind, .key = node->key, .next = node->next };
        return node;
    }
    /* A key without a parent is dropped: a root has none. */
    return sea_node_append(arena, parent, parent && key ? sea_arena_strdup(arena, key) : NULL,
                           kind);
}

struct sea_node *
sea_node_put_textn(struct sea_arena *arena, struct sea_node *parent, const char *key,
                   const char *text, size_t len)
{
    /* Before put: text may be the old value of the node that is replaced. */
    const char *copy = sea_arena_strndup(arena, text, len);
    struct sea_node *node = sea_node_put(arena, parent, key, SEA_NODE_STRING);

    node->text = copy;
    node->text_len = len;
    return node;
}

struct sea_node *
sea_node_put_text(struct sea_arena *arena, struct sea_node *parent, const char *key,
                  const char *text)
{
    return sea_node_put_textn(arena, parent, key, text, strlen(text));
}

struct sea_node *
sea_node_put_int(struct sea_arena *arena, struct sea_node *parent, const char *key,
                 int64_t value)
{
    struct sea_node *node = sea_node_put(arena, parent, key, SEA_NODE_INT);

    node->integer = value;
    node->real = (double)value;
    return node;
}

struct sea_node *
sea_node_put_real(struct sea_arena *arena, struct sea_node *parent, const char *key,
                  double value)
{
    struct sea_node *node = sea_node_put(arena, parent, key, SEA_NODE_REAL);

    node->real = value;
    return node;
}

struct sea_node *
sea_node_put_bool(struct sea_arena *arena, struct sea_node *parent, const char *key,
                  bool value)
{
    struct sea_node *node = sea_node_put(arena, parent, key, SEA_NODE_BOOL);

    node->integer = value;
    return node;
}

/* Copies everything of node but its place; node is not inside copy. */
static void
copy_contents(struct sea_arena *arena, struct sea_node *copy, const struct sea_node *node)
{
    const struct sea_node *child;

    copy->line = node->line;
    copy->integer = node->integer;
    copy->real = node->real;
    copy->text_len = node->text_len;
    if (node->text)
        copy->text = sea_arena_strndup(arena, node->text, node->text_len);
    for (child = node->first; child; child = child->next) {
        const char *key = child->key ? sea_arena_strdup(arena, child->key) : NULL;

        copy_contents(arena, sea_node_append(arena, copy, key, child->kind), child);
    }
}

struct sea_node *
sea_node_put_copy(struct sea_arena *arena, struct sea_node *parent, const char *key,
                  const struct sea_node *node)
{
    /* By value, and made whole before it is hung up: node may be the one that is
     * replaced, or an ancestor of the new place. */
    struct sea_node whole = { .kind = node->kind };
    struct sea_node *copy;

    copy_contents(arena, &whole, node);
    copy = sea_node_put(arena, parent, key, whole.kind);
    whole.key = copy->key;
    whole.next = copy->next;
    *copy = whole;
    return copy;
}

bool
sea_node_remove(struct sea_node *map, const char *key)
{
    struct sea_node *node = sea_node_get(map, key);
    struct sea_node **link, *before = NULL;

    if (!node)
        return false;
    for (link = &map->first; *link != node; link = &(*link)->next)
        before = *link;
    *link = node->next;
    if (map->last == node)
        map->last = before;
    map->count--;
    return true;
}

enum sea_status
sea_node_load(sea_node_parse *parse, const char *path, size_t max, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf text;

    *out = NULL;
    sea_buf_init(&text, max);
    status = sea_file_read(path, &text, err);
    if (status)
        goto out;
    status = parse(text.data, text.len, path, arena, out, err);
out:
    sea_buf_release(&text);
    return status;
}
