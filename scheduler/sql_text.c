/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_sql_text.h"

#include <string.h>

/* A migration is one string, longer than C17 promises and both compilers take. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const struct sql_row {
    const char *name;
    const char *text;
} rows[] = {
#include "sea_sql_text.inc"
};
#define ROWS_COUNT (sizeof(rows) / sizeof(rows[0]))

const char *
sea_sql_text(const char *name)
{
    size_t i;

    for (i = 0; i < ROWS_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].text;
    return NULL;
}

size_t
sea_sql_count(void)
{
    return ROWS_COUNT;
}

const char *
sea_sql_name(size_t at)
{
    return rows[at].name;
}
