/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words by their bytes, one step a byte: all words that begin at a place of a text are found
 * in one walk. A step is one look into a hash table, whatever the number of words; in a frozen
 * trie it is one look into a double array (Aoe 1989), where the children of a node lie at
 * base + byte and nodes fill each other's gaps.
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

static size_t
edge_slot(const struct sea_trie *trie, uint64_t key)
{
    size_t slot = (size_t)((key * 0x9E3779B97F4A7C15u) >> 24) & trie->mask;

    while (trie->keys[slot] && trie->keys[slot] != key)
        slot = (slot + 1) & trie->mask;
    return slot;
}

static uint64_t
edge_key(int32_t node, unsigned char byte)
{
    return ((uint64_t)(uint32_t)node << 8 | byte) + 1;
}

static void
grow(struct sea_trie *trie)
{
    size_t old_count = trie->keys ? trie->mask + 1 : 0, count = old_count ? 2 * old_count : 1024;
    uint64_t *keys = trie->keys;
    int32_t *next = trie->next;

    trie->keys = sea_xcalloc(count, sizeof(*trie->keys));
    trie->next = sea_xcalloc(count, sizeof(*trie->next));
    trie->mask = count - 1;
    for (size_t i = 0; i < old_count; i++)
        if (keys[i]) {
            size_t slot = edge_slot(trie, keys[i]);

            trie->keys[slot] = keys[i];
            trie->next[slot] = next[i];
        }
    free(keys);
    free(next);
}

static int32_t
add_node(struct sea_trie *trie)
{
    if ((size_t)trie->count == trie->room) {
        trie->room = trie->room ? 2 * trie->room : 512;
        trie->ids = sea_xrealloc(trie->ids, trie->room, sizeof(*trie->ids));
    }
    trie->ids[trie->count] = -1;
    return trie->count++;
}

void
sea_trie_add(struct sea_trie *trie, const char *word, size_t len, int32_t id)
{
    int32_t node = 0;

    if (!trie->count)
        add_node(trie);
    for (size_t i = 0; i < len; i++) {
        uint64_t key = edge_key(node, (unsigned char)word[i]);
        size_t slot;

        if (!trie->keys || 2 * ((size_t)trie->count + 1) > trie->mask)
            grow(trie);
        slot = edge_slot(trie, key);
        if (!trie->keys[slot]) {
            trie->keys[slot] = key;
            trie->next[slot] = add_node(trie);
        }
        node = trie->next[slot];
    }
    trie->ids[node] = id;
}

int32_t
sea_trie_step(const struct sea_trie *trie, int32_t node, unsigned char byte)
{
    size_t slot;

    if (!trie->keys)
        return -1;
    slot = edge_slot(trie, edge_key(node, byte));
    return trie->keys[slot] ? trie->next[slot] : -1;
}

size_t
sea_trie_longest(const struct sea_trie *trie, const char *text, size_t len, int32_t *id)
{
    int32_t node = 0;
    size_t found = 0;

    *id = -1;
    for (size_t i = 0; i < len; i++) {
        node = sea_trie_step(trie, node, (unsigned char)text[i]);
        if (node < 0)
            break;
        if (trie->ids[node] >= 0) {
            found = i + 1;
            *id = trie->ids[node];
        }
    }
    return found;
}

/* ---- freezing ---- */

#define TRIES 48                /* gaps that are looked at before a node goes to the end */
#define BYTES 256

struct edge {                   /* of the hash table */
    int32_t next;
    unsigned char byte;
};

struct freezing {
    struct sea_trie_cell *cells;
    int32_t *jump;              // (count) a free cell: itself, else one further on
    int32_t count, end;         /* cells there are; behind the last one in use */
    int32_t *first;             // (nodes + 1) a node's edges
    struct edge *edges;         /* by node, bytes rising */
};

static void
more_cells(struct freezing *f, int32_t least)
{
    int32_t count = f->count ? f->count : 1024;

    while (count < least)
        count *= 2;
    f->cells = sea_xrealloc(f->cells, (size_t)count, sizeof(*f->cells));
    f->jump = sea_xrealloc(f->jump, (size_t)count, sizeof(*f->jump));
    for (int32_t i = f->count; i < count; i++) {
        f->cells[i] = (struct sea_trie_cell){ 0, -1, -1 };
        f->jump[i] = i;
    }
    f->count = count;
}

/* The first free cell from `at` on. */
static int32_t
next_free(struct freezing *f, int32_t at)
{
    for (;; at = f->jump[at]) {
        if (at >= f->count)
            more_cells(f, at + 1);
        if (f->jump[at] == at)
            return at;
        if (f->jump[at] < f->count)
            f->jump[at] = f->jump[f->jump[at]];
    }
}

/* Cells for n children, in a gap that holds them all. */
static int32_t
find_base(struct freezing *f, const struct edge *edges, int32_t n)
{
    int32_t at = edges[0].byte + 1, base, i;

    for (int tries = 0; tries < TRIES; tries++, at++) {
        at = next_free(f, at);
        base = at - edges[0].byte;
        if (base + BYTES >= f->count)
            more_cells(f, base + BYTES + 1);
        for (i = 1; i < n && f->jump[base + edges[i].byte] == base + edges[i].byte; i++)
            ;
        if (i == n)
            return base;
    }
    base = f->end > edges[0].byte ? f->end - edges[0].byte : 1;
    if (base + BYTES >= f->count)
        more_cells(f, base + BYTES + 1);
    return base;
}

/* The edges of the table by node and byte. */
static void
sort_edges(struct freezing *f, const struct sea_trie *trie)
{
    size_t nodes = (size_t)trie->count;
    int32_t *at = sea_xcalloc(nodes + 2, sizeof(*at));
    uint64_t key;

    f->first = sea_xcalloc(nodes + 2, sizeof(*f->first));
    f->edges = sea_xcalloc(nodes + 1, sizeof(*f->edges));
    for (size_t i = 0; trie->keys && i <= trie->mask; i++)
        if (trie->keys[i])
            f->first[((trie->keys[i] - 1) >> 8) + 1]++;
    for (size_t n = 0; n <= nodes; n++)
        f->first[n + 1] += f->first[n];
    memcpy(at, f->first, (nodes + 1) * sizeof(*at));
    for (size_t i = 0; trie->keys && i <= trie->mask; i++) {
        int32_t to;

        if (!trie->keys[i])
            continue;
        key = trie->keys[i] - 1;
        /* A node has few edges: each goes to its place among them. */
        for (to = at[key >> 8]++; to > f->first[key >> 8] &&
                                  f->edges[to - 1].byte > (unsigned char)key; to--)
            f->edges[to] = f->edges[to - 1];
        f->edges[to] = (struct edge){ trie->next[i], (unsigned char)key };
    }
    free(at);
}

void
sea_trie_freeze(struct sea_trie *trie)
{
    struct freezing f = { .cells = NULL };
    int32_t *cell_of, *queue, head = 0, tail = 0;

    if (!trie->count)
        add_node(trie);
    sort_edges(&f, trie);
    cell_of = sea_xcalloc((size_t)trie->count, sizeof(*cell_of));
    queue = sea_xcalloc((size_t)trie->count, sizeof(*queue));
    more_cells(&f, 2 * BYTES);
    f.jump[0] = 1;              /* the root */
    queue[tail++] = 0;
    while (head < tail) {
        int32_t node = queue[head++], parent = cell_of[node];
        int32_t from = f.first[node], n = f.first[node + 1] - from, base;

        f.cells[parent].id = trie->ids[node];
        if (!n)
            continue;
        base = find_base(&f, f.edges + from, n);
        f.cells[parent].base = base;
        for (int32_t i = from; i < from + n; i++) {
            int32_t to = base + f.edges[i].byte;

            f.cells[to].check = parent;
            f.jump[to] = to + 1;
            f.end = to >= f.end ? to + 1 : f.end;
            cell_of[f.edges[i].next] = to;
            queue[tail++] = f.edges[i].next;
        }
    }
    more_cells(&f, f.end + BYTES);      /* a step is not checked against the end */
    free(cell_of);
    free(queue);
    free(f.first);
    free(f.edges);
    free(f.jump);
    sea_trie_release(trie);
    trie->cells = f.cells;
}

void
sea_trie_release(struct sea_trie *trie)
{
    free(trie->keys);
    free(trie->next);
    free(trie->ids);
    free(trie->cells);
    *trie = (struct sea_trie){ 0 };
}
