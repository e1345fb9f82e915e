/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_column.c - one column of one row group: pages, then entries
 *
 * An entry is a repetition level (0: a new row begins), a definition level (how much of its
 * path is there) and, where all of it is, a value. One page is unpacked at a time. Values are
 * decoded when they are taken, so that a page of pictures can be walked over by its levels.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "pipeline/parquet_int.h"

#define PAGE_BYTES_MAX ((int64_t)1 << 30)
#define PAGE_BYTES_EASY ((int64_t)32 << 20)     /* below, any ratio is fine */
#define RATIO_MAX 1100          /* deflate's best is 1032 */
#define GIVE_BACK_BYTES ((size_t)4 << 20)

enum { LEVELS_RLE = 3 };

enum sea_status
sea_pq_column_fail(const struct sea_pq_column *c, struct sea_err *err, const char *fmt, ...)
{
    struct sea_arena *arena = sea_arena_create(NULL, "message");
    char text[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sea_fail(err, SEA_E_FORMAT, "file \"%s\", row group %lld, column \"%s\": %s", c->file->path,
             (long long)c->group, sea_pq_field_path(c->leaf, arena), text);
    sea_hint(err, "Compare the file's checksum with that of its source and fetch it again if they "
             "differ; else write it anew with another program.");
    sea_arena_destroy(arena);
    return err->status;
}

void
sea_pq_column_open(struct sea_pq_column *c, const struct sea_pq_file *file, int64_t group,
                   const struct sea_pq_field *leaf)
{
    const struct sea_pq_chunk *chunk = &file->groups[group].chunks[leaf->leaf];

    *c = (struct sea_pq_column){ .file = file, .group = group, .leaf = leaf };
    c->at = c->kept = file->map.data + chunk->start;
    c->end = c->at + chunk->bytes;
    c->ahead = chunk->values;
}

/* What has been read need not stay in memory; it is read again where it is needed. */
static void
give_back(struct sea_pq_column *c, const unsigned char *until)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from, to;

    if (!c->kept)
        return;
    from = ((uintptr_t)c->kept + page - 1) / page * page;
    to = (uintptr_t)until / page * page;
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
    c->kept = until;
}

void
sea_pq_column_close(struct sea_pq_column *c)
{
    if (c->file)
        give_back(c, c->at);
    sea_pq_values_end(&c->values);
    free(c->dictionary.values);
    free(c->dictionary_page);
    free(c->page);
    *c = (struct sea_pq_column){ 0 };
}

/* ---- pages ---- */

static const char *
check_sizes(const struct sea_pq_column *c, const struct sea_pq_page *page, int64_t codec)
{
    if (page->packed > c->end - c->at)
        return "a page is longer than its column";
    if (page->unpacked > PAGE_BYTES_MAX)
        return "a page would unpack to more than 1 GiB";
    if (codec != 0 && page->unpacked > PAGE_BYTES_EASY &&
        page->unpacked / RATIO_MAX > page->packed)
        return "a page would grow more than 1100 times when it is unpacked";
    if (page->has_crc &&
        sea_pq_crc(c->at, (size_t)page->packed) != (uint32_t)(uint64_t)page->crc)
        return "a page's checksum is wrong: the file is damaged";
    return NULL;
}

/* n bytes of the page that may be packed; *out borrows them from the file, or from *room. */
static const char *
unpack(int64_t codec, const unsigned char *bytes, int64_t n, int64_t want, unsigned char **room,
       size_t *room_bytes, const unsigned char **out)
{
    *out = bytes;
    if (codec == 0)
        return n == want ? NULL : "a page that is not packed has two sizes";
    if ((size_t)want > *room_bytes || !*room) {
        free(*room);
        *room = sea_xcalloc((size_t)want + 1, 1);
        *room_bytes = (size_t)want;
    }
    *out = *room;
    if (want == 0 && n == 0)
        return NULL;
    return sea_pq_unpack(codec, bytes, (size_t)n, *room, (size_t)want);
}

static const char *
take_dictionary(struct sea_pq_column *c, const struct sea_pq_page *page, int64_t codec)
{
    const unsigned char *bytes;
    size_t room = 0;
    const char *wrong;

    if (c->dictionary.values)
        return "there are two dictionaries";
    wrong = unpack(codec, c->at, page->packed, page->unpacked, &c->dictionary_page, &room, &bytes);
    return wrong ? wrong : sea_pq_dictionary_read(&c->dictionary, c->leaf, bytes,
                                                  (size_t)page->unpacked, page->values);
}

/* Levels of a page of version 1: their length, then the levels. */
static const char *
take_levels(const unsigned char **at, const unsigned char *end, int most, int64_t encoding,
            struct sea_pq_bits *bits)
{
    uint32_t n;

    if (most == 0) {
        sea_pq_bits_init(bits, *at, 0, 0);
        return NULL;
    }
    if (encoding != LEVELS_RLE)
        return "levels are in the old encoding BIT_PACKED, which cannot be read";
    if (end - *at < 4)
        return "a page ends inside its levels";
    n = (uint32_t)(*at)[0] | (uint32_t)(*at)[1] << 8 | (uint32_t)(*at)[2] << 16 |
        (uint32_t)(*at)[3] << 24;
    *at += 4;
    if (n > end - *at)
        return "a page ends inside its levels";
    sea_pq_bits_init(bits, *at, n, sea_pq_bits_width(most));
    *at += n;
    return NULL;
}

static const char *
begin_data(struct sea_pq_column *c, const struct sea_pq_page *page, int64_t codec)
{
    const struct sea_pq_field *leaf = c->leaf;
    const unsigned char *bytes, *end;
    const char *wrong;

    wrong = unpack(codec, c->at, page->packed, page->unpacked, &c->page, &c->page_room, &bytes);
    if (wrong)
        return wrong;
    end = bytes + page->unpacked;
    wrong = take_levels(&bytes, end, leaf->max_rep, page->rep_encoding, &c->reps);
    if (!wrong)
        wrong = take_levels(&bytes, end, leaf->max_def, page->def_encoding, &c->defs);
    return wrong ? wrong : sea_pq_values_begin(&c->values, leaf, page->encoding, bytes,
                                               (size_t)(end - bytes), page->values,
                                               &c->dictionary);
}

/* Version 2: levels are never packed, and stand before what may be. */
static const char *
begin_data_2(struct sea_pq_column *c, const struct sea_pq_page *page, int64_t codec)
{
    const struct sea_pq_field *leaf = c->leaf;
    const unsigned char *at = c->at, *bytes;
    int64_t levels;
    const char *wrong;

    if (page->def_bytes < 0 || page->rep_bytes < 0 || page->def_bytes > page->packed ||
        page->rep_bytes > page->packed - page->def_bytes)
        return "a page ends inside its levels";
    levels = page->def_bytes + page->rep_bytes;
    if (levels > page->unpacked)
        return "a page has more levels than bytes";
    sea_pq_bits_init(&c->reps, at, (size_t)page->rep_bytes, sea_pq_bits_width(leaf->max_rep));
    sea_pq_bits_init(&c->defs, at + page->rep_bytes, (size_t)page->def_bytes,
                     sea_pq_bits_width(leaf->max_def));
    if (!page->is_packed || page->packed == levels)
        codec = 0;
    wrong = unpack(codec, at + levels, page->packed - levels, page->unpacked - levels, &c->page,
                   &c->page_room, &bytes);
    return wrong ? wrong : sea_pq_values_begin(&c->values, leaf, page->encoding, bytes,
                                               (size_t)(page->unpacked - levels), page->values,
                                               &c->dictionary);
}

static const char *
begin_page(struct sea_pq_column *c, const struct sea_pq_page *page, int64_t codec)
{
    const char *wrong;

    if (page->type != SEA_PQ_PAGE_DATA && page->type != SEA_PQ_PAGE_DATA_2)
        return page->type == SEA_PQ_PAGE_DICTIONARY ? take_dictionary(c, page, codec) : NULL;
    if (page->values < 0 || page->values > c->ahead)
        return "a page has more entries than its column";
    wrong = page->type == SEA_PQ_PAGE_DATA ? begin_data(c, page, codec)
                                           : begin_data_2(c, page, codec);
    c->in_page = page->values;
    c->ahead -= page->values;
    return wrong;
}

/* Begins the next page that has entries. In a column without lists, whole pages of the *skip
 * rows that nobody wants are passed over. */
static enum sea_status
next_page(struct sea_pq_column *c, int64_t *skip, struct sea_err *err)
{
    int64_t codec = c->file->groups[c->group].chunks[c->leaf->leaf].codec;

    while (c->in_page == 0 && c->ahead > 0) {
        struct sea_pq_page page;
        const char *wrong;
        size_t used;

        if (c->at - c->kept > (ptrdiff_t)GIVE_BACK_BYTES)
            give_back(c, c->at);
        if (c->at == c->end)
            return sea_pq_column_fail(c, err, "its pages end %lld entries too early",
                                      (long long)c->ahead);
        wrong = sea_pq_page_parse(c->at, (size_t)(c->end - c->at), &page, &used);
        if (!wrong) {
            bool is_data = page.type == SEA_PQ_PAGE_DATA || page.type == SEA_PQ_PAGE_DATA_2;

            c->at += used;
            if (is_data && c->leaf->max_rep == 0 && page.values > 0 && page.values <= *skip &&
                page.values <= c->ahead && page.packed <= c->end - c->at) {
                *skip -= page.values;
                c->row += page.values;
                c->ahead -= page.values;
            } else {
                wrong = check_sizes(c, &page, codec);
                if (!wrong)
                    wrong = begin_page(c, &page, codec);
            }
        }
        if (wrong)
            return sea_pq_column_fail(c, err, "%s", wrong);
        c->at += page.packed;
    }
    return SEA_OK;
}

/* ---- entries ---- */

static enum sea_status
make_ready(struct sea_pq_column *c, int64_t *skip, struct sea_err *err)
{
    enum sea_status status;
    uint32_t rep = 0, def = 0;

    if (c->is_ready)
        return SEA_OK;
    status = next_page(c, skip, err);
    if (status)
        return status;
    if (c->in_page == 0) {
        c->rep = -1;
        return SEA_OK;
    }
    if (!sea_pq_bits_next(&c->reps, &rep) || !sea_pq_bits_next(&c->defs, &def))
        return sea_pq_column_fail(c, err, "a page has fewer levels than entries");
    if (rep > (uint32_t)c->leaf->max_rep || def > (uint32_t)c->leaf->max_def)
        return sea_pq_column_fail(c, err, "a page has a level that its column cannot have");
    c->rep = (int)rep;
    c->def = (int)def;
    c->is_ready = true;
    return SEA_OK;
}

enum sea_status
sea_pq_column_peek(struct sea_pq_column *c, int *rep, int *def, struct sea_err *err)
{
    int64_t none = 0;
    enum sea_status status = make_ready(c, &none, err);

    *rep = c->rep;
    *def = c->def;
    return status;
}

enum sea_status
sea_pq_column_take(struct sea_pq_column *c, struct sea_pq_value *value, struct sea_err *err)
{
    int64_t none = 0;
    enum sea_status status = make_ready(c, &none, err);
    const char *wrong = NULL;

    if (status)
        return status;
    if (!c->is_ready)
        return sea_pq_column_fail(c, err, "it ends before the row group does");
    if (value && c->def == c->leaf->max_def)
        wrong = sea_pq_values_next(&c->values, value);
    c->row += c->rep == 0;
    c->in_page--;
    c->is_ready = false;
    return wrong ? sea_pq_column_fail(c, err, "%s", wrong) : SEA_OK;
}

enum sea_status
sea_pq_column_seek(struct sea_pq_column *c, int64_t row, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    while (!status) {
        struct sea_pq_value ignored;
        int64_t skip = c->in_page == 0 && !c->is_ready ? row - c->row : 0;

        status = make_ready(c, &skip, err);
        if (status || (c->row == row && c->rep <= 0))
            break;
        status = sea_pq_column_take(c, &ignored, err);
    }
    return status;
}
