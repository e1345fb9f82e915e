/* SPDX-License-Identifier: Apache-2.0 */
/* edit.c - edit distance over code points, and ANLS, the score of document questions */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

static size_t
codes_of(const char *text, uint32_t *out)
{
    size_t n = 0;
    uint32_t code;

    while ((code = sea_text_next(&text)) != 0)
        out[n++] = code;
    return n;
}

size_t
sea_text_length(const char *text)
{
    size_t n = 0;

    while (sea_text_next(&text))
        n++;
    return n;
}

size_t
sea_text_distance(const char *one, const char *two)
{
    uint32_t *a = sea_xcalloc(strlen(one) + 1, sizeof(*a)),
             *b = sea_xcalloc(strlen(two) + 1, sizeof(*b));
    size_t n = codes_of(one, a), m = codes_of(two, b), result;
    size_t *row = sea_xcalloc(m + 1, sizeof(*row));

    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j], best = corner + (a[i - 1] != b[j - 1]);

            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            corner = above;
        }
    }
    result = row[m];
    free(a);
    free(b);
    free(row);
    return result;
}

/* Lower case, with runs of white space as one blank and none at the ends. */
static const char *
collapsed(const char *text, struct sea_arena *arena)
{
    struct sea_buf lower, out;
    const char *at, *copy;
    bool gap = false;

    sea_buf_init(&lower, 4 * strlen(text) + 16);
    sea_buf_init(&out, 4 * strlen(text) + 16);
    sea_text_lower(text, &lower);
    for (at = lower.data; *at;) {
        const char *here = at;

        if (sea_text_is_space(sea_text_next(&at))) {
            gap = out.len > 0;
            continue;
        }
        if (gap)
            sea_buf_puts(&out, " ");
        gap = false;
        sea_buf_add(&out, here, (size_t)(at - here));
    }
    copy = sea_arena_strndup(arena, out.data, out.len);
    sea_buf_release(&lower);
    sea_buf_release(&out);
    return copy;
}

double
sea_text_anls(const char *const *golds, size_t count, const char *text, double threshold,
              struct sea_arena *arena)
{
    const char *said = collapsed(text, arena);
    double best = 0;

    for (size_t i = 0; i < count; i++) {
        size_t distance = sea_text_distance(collapsed(golds[i], arena), said);
        size_t one = sea_text_upper_length(golds[i]), two = sea_text_upper_length(text);
        size_t longest = one > two ? one : two;
        double score = longest ? 1 - (double)distance / (double)longest : 1;

        best = score > best ? score : best;
    }
    return best < threshold ? 0 : best;
}
