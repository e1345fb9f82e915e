/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/s3_int.h"

#include <stdio.h>
#include <string.h>

bool
sea_s3_xml(const char **at, const char *end, const char *tag, char *out, size_t room)
{
    static const struct { const char *name; char means; } entities[] = {
        { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' } };
    char open[40], close[40];
    const char *from, *to;
    size_t n = 0, i;

    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    from = strstr(*at, open);
    to = from ? strstr(from, close) : NULL;
    if (!to || to > end)
        return false;
    for (from += strlen(open); from < to && n + 1 < room; n++) {
        out[n] = *from++;
        for (i = 0; out[n] == '&' && i < sizeof(entities) / sizeof(entities[0]); i++)
            if (strncmp(from - 1, entities[i].name, strlen(entities[i].name)) == 0) {
                out[n] = entities[i].means;
                from += strlen(entities[i].name) - 1;
                break;
            }
    }
    out[n] = 0;
    *at = to + strlen(close);
    return true;
}

void
sea_s3_code(const struct sea_s3 *s3, char out[80])
{
    const char *at = s3->answer.data;

    out[0] = 0;
    if (s3->answer.len && !sea_s3_xml(&at, s3->answer.data + s3->answer.len, "Code", out, 80))
        out[0] = 0;
}
