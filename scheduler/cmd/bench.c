/* SPDX-License-Identifier: Apache-2.0 */
/* sea bench: how fast this build is here, as a share of what the machine allows. `make bench`
 * compares with other programs. */
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "pipeline/sea_speed.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_bench_queue.h"
#include "scheduler/sea_command.h"

#define NAMES_MAX ((size_t)4096)

struct bench {                  /* what a benchmark of this program gets */
    const char *device;
    bool json, quick;
    int64_t hold_s;
};

static enum sea_status
bench_queue(const struct sea_call *call, const struct bench *bench, struct sea_err *err)
{
    (void)call;
    return sea_bench_queue(&(struct sea_bench_queue_options){ .json = bench->json,
                                                              .quick = bench->quick,
                                                              .hold_s = bench->hold_s },
                           stdout, err);
}

/* Benchmarks that need more than a device; those of sea_speed.h come before. */
static const struct {
    const char *name, *about;
    enum sea_status (*run)(const struct sea_call *call, const struct bench *bench,
                           struct sea_err *err);
} others[] = {
    { "queue", "the service's queue beside pgbench on one server", bench_queue },
    { NULL, NULL, NULL },
};

static void
names(struct sea_buf *text)
{
    size_t i;

    for (i = 0; sea_speed_at(i); i++)
        sea_buf_addf(text, "%s%s", i ? ", " : "", sea_speed_at(i)->name);
    for (i = 0; others[i].name; i++)
        sea_buf_addf(text, ", %s", others[i].name);
}

static enum sea_status
run_named(const struct sea_call *call, const char *name, const struct bench *bench,
          struct sea_err *err)
{
    struct sea_buf known;
    size_t i;

    for (i = 0; sea_speed_at(i); i++)
        if (strcmp(name, sea_speed_at(i)->name) == 0)
            return sea_speed_print(sea_speed_at(i), bench->device, bench->json, stdout, err);
    for (i = 0; others[i].name; i++)
        if (strcmp(name, others[i].name) == 0)
            return others[i].run(call, bench, err);
    sea_buf_init(&known, NAMES_MAX);
    names(&known);
    (void)sea_fail(err, SEA_E_CONFIG, "unknown benchmark \"%s\", know: %s", name, known.data);
    sea_hint(err, "`make bench` compares a training step with PyTorch.");
    sea_buf_release(&known);
    return err->status;
}

enum sea_status
sea_cmd_bench(const struct sea_call *call, struct sea_err *err)
{
    struct bench bench = { .device = "auto" };
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--device", SEA_ARG_TEXT, &bench.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--json", SEA_ARG_FLAG, &bench.json, NULL, "as JSON" },
        { "--quick", SEA_ARG_FLAG, &bench.quick, NULL,
          "queue: a few seconds, figures mean little" },
        { "--hold", SEA_ARG_INT, &bench.hold_s, "S", "queue: how long a snapshot is held (60)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 4, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (status)
        return status;
    return run_named(call, rest.at[0], &bench, err);
}
