/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_headlines.h"

#include <string.h>

#include "pipeline/sea_benchmark.h"

/* Shown beside every headline where a benchmark has them. */
static const char *const companions[] = { "accuracy", "yes_share" };

void
sea_headlines(struct sea_buf *out)
{
    const struct sea_bench *bench;
    size_t i, c;

    sea_buf_puts(out, "{");
    for (i = 0; (bench = sea_bench_at(i)); i++) {
        sea_buf_addf(out, "%s\"%s:%s\"", i ? "," : "", bench->name, bench->headline);
        for (c = 0; c < sizeof(companions) / sizeof(companions[0]); c++)
            if (strcmp(companions[c], bench->headline) != 0)
                sea_buf_addf(out, ",\"%s:%s\"", bench->name, companions[c]);
    }
    sea_buf_puts(out, "}");
}
