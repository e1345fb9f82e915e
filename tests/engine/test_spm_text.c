/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's way with text: runs that are left as they are, taken in one piece, against
 * the same text character by character, under a table that looks beyond a character. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "engine/tokenizer_int.h"
#include "tests/sea_test.h"

enum { NODES = 24, UNITS = 256 * (NODES + 1) };

struct table {                  /* children of node n lie at 256 (n + 1) + byte */
    uint32_t units[UNITS];
    uint32_t count;             /* of nodes */
    char texts[64];
    size_t len;
};

static void
put_number(unsigned char *to, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

/* Bit 8 of a unit: a leaf follows; its offset leads from where it stands to its children. */
static void
add_entry(struct table *table, const char *from, const char *to)
{
    uint32_t place = 0, node = 0;

    for (; *from; from++) {
        uint32_t byte = (unsigned char)*from;

        place = 256 * (node + 1) + byte;
        if (table->units[place] & 0xFFu) {
            node = (place ^ table->units[place] >> 10) / 256 - 1;
        } else {
            node = table->count++;
            table->units[place] = (place ^ 256 * (node + 1)) << 10 | byte;
        }
    }
    CHECK(table->count < NODES);
    table->units[place] |= 1u << 8;
    table->units[256 * (node + 1)] = 1u << 31 | (uint32_t)table->len;
    memcpy(table->texts + table->len, to, strlen(to) + 1);
    table->len += strlen(to) + 1;
}

static const struct sea_charsmap *
make_map(struct sea_arena *arena)
{
    static struct table table;
    static unsigned char bytes[4 + 4 * UNITS + sizeof(table.texts)];
    const struct sea_charsmap *map = NULL;
    struct sea_err err = { 0 };

    table = (struct table){ .units = { 256u << 10 }, .count = 1 };
    add_entry(&table, "ab", "x");
    add_entry(&table, "...", "\xE2\x80\xA6");
    add_entry(&table, "A", "a");
    add_entry(&table, "z", "");
    add_entry(&table, "e\xCC\x81", "\xC3\xA9");
    add_entry(&table, "\t", " ");
    add_entry(&table, " !", "!");
    add_entry(&table, "\xE3\x80\x80", " ");
    put_number(bytes, 4 * UNITS);
    for (int i = 0; i < UNITS; i++)
        put_number(bytes + 4 + 4 * i, table.units[i]);
    memcpy(bytes + 4 + 4 * UNITS, table.texts, table.len);
    CHECK_INT(sea_charsmap_read(&map, bytes, 4 + 4 * UNITS + table.len, arena, "test", &err), 0);
    return map;
}

static void
normalize(const struct sea_spm_text *spm, const char *text, size_t len, struct sea_buf *out)
{
    struct sea_err err = { 0 };

    sea_buf_clear(out);
    CHECK_INT(sea_spm_normalize(spm, text, len, SEA_PIECE_FIRST, out, &err), 0);
}

static void
runs_are_what_their_characters_are(void)
{
    static const char *const parts[] = {
        "a", "b", "ab", "c", "d", "e", "e\xCC\x81", "\xCC\x81", "A", "z", ".", "..", "...", " ",
        "  ", " !", "\t", "\xE3\x80\x80", "\xE2\x96\x81", "user", "us", "7", "\x01", "\xC3\xA9",
    };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    const struct sea_charsmap *map = make_map(arena);
    struct sea_buf fast, slow, text;
    struct sea_rng rng;

    sea_rng_init(&rng, 7, 1);
    sea_buf_init(&fast, 1 << 20);
    sea_buf_init(&slow, 1 << 20);
    sea_buf_init(&text, 1 << 20);
    for (int kind = 0; kind < 32; kind++) {
        struct sea_spm_text spm = { .map = kind & 1 ? map : NULL, .add_prefix = kind & 2,
                                    .strips = kind & 4, .escapes = kind & 8 }, all;

        if (kind & 16)
            sea_trie_add(&spm.users, "user", 4, 1);
        all = spm;
        sea_spm_ready(&spm);
        CHECK(spm.plain['c'] && spm.plain['7'] && !all.plain['c']);
        CHECK(spm.plain['a'] == !(kind & 1) && spm.plain['.'] == !(kind & 1));
        CHECK(spm.plain['e'] && spm.plain['u'] == !(kind & 16));
        for (int i = 0; i < 2000; i++) {
            sea_buf_clear(&text);
            for (uint32_t n = sea_rng_below(&rng, 12); n > 0; n--)
                sea_buf_puts(&text, parts[sea_rng_below(&rng, sizeof(parts) / sizeof(parts[0]))]);
            normalize(&spm, text.len ? text.data : "", text.len, &fast);
            normalize(&all, text.len ? text.data : "", text.len, &slow);
            CHECK_MSG(fast.len == slow.len && !memcmp(fast.data, slow.data, fast.len),
                      "kind %d: \"%s\" becomes \"%s\", by characters \"%s\"", kind, text.data,
                      fast.data, slow.data);
        }
        sea_trie_release(&spm.users);
    }
    sea_buf_release(&fast);
    sea_buf_release(&slow);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
}

static void
the_table_replaces_what_it_says(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_spm_text spm = { .map = make_map(arena) };
    const char *text = "cabbie\xCC\x81 A...e.z9";
    struct sea_buf out;

    sea_buf_init(&out, 1 << 10);
    sea_spm_ready(&spm);
    normalize(&spm, text, strlen(text), &out);
    CHECK_STR(out.data, "cxbi\xC3\xA9 a\xE2\x80\xA6" "e.9");
    sea_buf_release(&out);
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("SentencePiece's text", TEST(runs_are_what_their_characters_are),
              TEST(the_table_replaces_what_it_says))
