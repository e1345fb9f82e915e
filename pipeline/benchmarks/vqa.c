/* SPDX-License-Identifier: Apache-2.0 */
/* vqa.c - agreement with people, and yes or no in a sentence */
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

const char *
sea_vqa_copy(enum sea_vqa_variant variant, const char *text, struct sea_arena *arena)
{
    struct sea_buf out;
    const char *copy;

    sea_buf_init(&out, 8 * strlen(text) + 64);
    sea_vqa_normalize(variant, text, &out);
    copy = sea_arena_strndup(arena, out.len ? out.data : "", out.len);
    sea_buf_release(&out);
    return copy;
}

double
sea_vqa_agreement(const char *const *answers, size_t count, const char *text)
{
    double sum = 0;
    size_t matches = 0;

    for (size_t i = 0; i < count; i++)
        matches += strcmp(answers[i], text) == 0;
    for (size_t i = 0; i < count; i++) {
        double others = (double)(matches - (strcmp(answers[i], text) == 0)) / 3.0;

        sum += others < 1 ? others : 1;
    }
    return count ? sum / (double)count : 0;
}

const char *
sea_text_yes_no(const char *text, struct sea_arena *arena)
{
    struct sea_buf marks;
    const char *lower = sea_text_tidy(text, true, false, arena);
    bool yes = false, no = false;

    sea_buf_init(&marks, strlen(lower) + 16);
    sea_vqa_marks(lower, &marks);
    for (const char *at = marks.data; *at;) {
        const char *here = at;
        size_t n = 0;

        while (*at && !sea_text_is_space(sea_text_next(&at)))
            n = (size_t)(at - here);
        yes = yes || (n == 3 && memcmp(here, "yes", 3) == 0);
        no = no || (n == 2 && memcmp(here, "no", 2) == 0);
    }
    sea_buf_release(&marks);
    return yes && !no ? "yes" : no && !yes ? "no" : "";
}
