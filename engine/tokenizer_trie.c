/* SPDX-License-Identifier: Apache-2.0 */
/* Words by their bytes, one step a byte: all words that begin at a place of a text are found
 * in one walk. A step is one look into a hash table, whatever the number of words. */
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

void
sea_trie_release(struct sea_trie *trie)
{
    free(trie->keys);
    free(trie->next);
    free(trie->ids);
    *trie = (struct sea_trie){ 0 };
}
