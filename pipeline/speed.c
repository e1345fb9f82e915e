/* SPDX-License-Identifier: Apache-2.0 */
/* speed.c - rounds of limits and steps, medians, and the table; see speed_int.h */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "pipeline/speed_int.h"

#define ROW_SECONDS 0.8         /* rounds go on until then, at least ROUNDS_LEAST of them */
#define ROUNDS_LEAST 3
#define STEP_SECONDS 0.02       /* a round repeats a shorter step */
#define READ_BYTES ((size_t)256 << 20)  /* several times the last cache */
#define JSON_MAX ((size_t)1 << 20)

const struct sea_speed *
sea_speed_at(size_t i)
{
    static const struct sea_speed list[] = {
        { "gemm", "matrix products of training and decoding", sea_speed_gemm },
        { "attention", "attention forward, backward and over a cache", sea_speed_attention },
        { "train", "a training step of a small language model", sea_speed_train },
        { "generate", "decoding with one answer and with eight", sea_speed_generate },
        { "label", "patches through a tower and against words", sea_speed_label },
    };

    return i < sizeof(list) / sizeof(list[0]) ? &list[i] : NULL;
}

/* Raises *best to what the device does now. */
static enum sea_status
look_at_limits(const struct sea_speed_run *run, bool read, struct sea_op_limits *best,
               struct sea_err *err)
{
    struct sea_op_limits now = { .mem = run->memory, .bytes = read ? READ_BYTES : 0 };
    enum sea_status status;

    if (!run->device.ops->limits)
        return SEA_OK;
    status = sea_run(&run->device, err, limits, &now);
    if (status)
        return status;
    best->flops = fmax(best->flops, now.flops);
    best->read_rate = fmax(best->read_rate, now.read_rate);
    return SEA_OK;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

struct rounds {
    double seconds[SEA_SPEED_ROUNDS], share[SEA_SPEED_ROUNDS];
    double flops[SEA_SPEED_ROUNDS], read[SEA_SPEED_ROUNDS];
    int count;
};

static enum sea_status
one_round(struct sea_speed_run *run, const struct sea_speed_row *row,
          enum sea_status (*step)(void *args, struct sea_err *err), void *args,
          struct rounds *rounds, struct sea_err *err)
{
    struct sea_op_limits best = { 0 };
    enum sea_status status = look_at_limits(run, row->bytes > 0.0, &best, err);
    double start = sea_clock_seconds(), seconds = 0.0, least = 0.0;
    int n = 0;

    while (!status && seconds < STEP_SECONDS) {
        status = step(args, err);
        seconds = sea_clock_seconds() - start;
        n++;
    }
    if (!status)
        status = look_at_limits(run, row->bytes > 0.0, &best, err);
    if (status)
        return status;
    seconds /= n;
    if (best.flops > 0.0)
        least = row->flops / best.flops;
    if (row->bytes > 0.0 && best.read_rate > 0.0)
        least = fmax(least, row->bytes / best.read_rate);
    rounds->seconds[rounds->count] = seconds;
    rounds->share[rounds->count] = best.flops > 0.0 ? least / seconds : NAN;
    rounds->flops[rounds->count] = best.flops > 0.0 ? best.flops : NAN;
    rounds->read[rounds->count++] = row->bytes > 0.0 && best.flops > 0.0 ? best.read_rate : NAN;
    return SEA_OK;
}

enum sea_status
sea_speed_row(struct sea_speed_run *run, const struct sea_speed_row *row,
              enum sea_status (*step)(void *args, struct sea_err *err), void *args,
              struct sea_err *err)
{
    struct rounds *rounds = sea_xcalloc(1, sizeof(*rounds));
    double until, share, flops, read, rate;
    struct sea_node *node;
    enum sea_status status = step(args, err);           /* the first warms up */

    until = sea_clock_seconds() + ROW_SECONDS;
    while (!status && rounds->count < SEA_SPEED_ROUNDS &&
           (rounds->count < ROUNDS_LEAST || sea_clock_seconds() < until))
        status = one_round(run, row, step, args, rounds, err);
    if (!status) {
        rate = row->amount / median(rounds->seconds, rounds->count);
        share = median(rounds->share, rounds->count);
        flops = median(rounds->flops, rounds->count);
        read = median(rounds->read, rounds->count);
        node = sea_node_put(run->arena, run->rows, NULL, SEA_NODE_MAP);
        sea_node_put_text(run->arena, node, "what", row->what);
        sea_node_put_text(run->arena, node, "unit", row->unit);
        sea_node_put_real(run->arena, node, "rate", rate);
        sea_node_put_real(run->arena, node, "limit", rate / share);
        sea_node_put_real(run->arena, node, "share", share);
        sea_node_put_text(run->arena, node, "bound",
                          row->bytes > 0.0 && row->bytes / read > row->flops / flops
                              ? "memory" : "multiply-adds");
        sea_node_put_real(run->arena, node, "gflops_limit", 1e-9 * flops);
        sea_node_put_real(run->arena, node, "read_gb_per_s", 1e-9 * read);
        sea_node_put_int(run->arena, node, "rounds", rounds->count);
    }
    free(rounds);
    return status;
}

static double
real_at(const struct sea_node *row, const char *key)
{
    return sea_node_real(sea_node_get(row, key), NAN);
}

static void
print_table(const struct sea_speed_run *run, FILE *to)
{
    const struct sea_node *row;

    fprintf(to, "%s\n%-34s %22s %10s %7s  %s\n", sea_device_text(&run->device), "what", "rate",
            "limit", "share", "bound by");
    for (row = run->rows->first; row; row = row->next) {
        double share = real_at(row, "share"), read = real_at(row, "read_gb_per_s");
        bool memory = strcmp(sea_node_text(sea_node_get(row, "bound"), ""), "memory") == 0;

        fprintf(to, "%-34s %12.1f %7s/s ", sea_node_text(sea_node_get(row, "what"), ""),
                real_at(row, "rate"), sea_node_text(sea_node_get(row, "unit"), ""));
        if (isnan(share))
            fprintf(to, "%10s %7s  not measured on this device\n", "-", "-");
        else if (memory)
            fprintf(to, "%10.1f %5.1f %%  reading %.1f GB/s\n", real_at(row, "limit"),
                    100.0 * share, read);
        else
            fprintf(to, "%10.1f %5.1f %%  %.1f GFLOP/s\n", real_at(row, "limit"), 100.0 * share,
                    real_at(row, "gflops_limit"));
    }
}

static enum sea_status
print_json(const struct sea_speed_run *run, const struct sea_speed *speed, FILE *to,
           struct sea_err *err)
{
    struct sea_node *root = sea_node_put(run->arena, NULL, NULL, SEA_NODE_MAP);
    enum sea_status status;
    struct sea_buf text;

    sea_node_put_text(run->arena, root, "benchmark", speed->name);
    sea_node_put_text(run->arena, root, "device", sea_device_text(&run->device));
    sea_node_put_copy(run->arena, root, "rows", run->rows);
    sea_buf_init(&text, JSON_MAX);
    status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
    if (!status)
        fputs(text.data, to);
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_speed_print(const struct sea_speed *speed, const char *device, bool json, FILE *to,
                struct sea_err *err)
{
    struct sea_speed_run run = { .arena = sea_arena_create(NULL, "speed") };
    enum sea_status status = sea_device_open(&run.device, device, err);

    run.rows = sea_node_put(run.arena, NULL, NULL, SEA_NODE_LIST);
    if (!status && run.device.ops->limits)
        status = sea_device_alloc(&run.device, READ_BYTES, &run.memory, err);
    if (!status)
        status = speed->run(&run, err);
    if (!status && json)
        status = print_json(&run, speed, to, err);
    else if (!status)
        print_table(&run, to);
    if (status)
        sea_context(err, "while measuring \"%s\"", speed->name);
    if (run.memory)
        sea_device_free(&run.device, run.memory);
    sea_device_close(&run.device);
    sea_arena_destroy(run.arena);
    return status;
}
