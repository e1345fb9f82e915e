/* SPDX-License-Identifier: Apache-2.0 */
/* speed_int.h - what a benchmark of sea_speed.h is made of: rows of measured steps */
#ifndef SEA_SPEED_INT_H
#define SEA_SPEED_INT_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_node.h"
#include "engine/sea_device.h"
#include "pipeline/sea_speed.h"

#define SEA_SPEED_ROUNDS 31     /* of a row, at most */

struct sea_speed_run {
    struct sea_device device;
    struct sea_arena *arena;
    struct sea_node *rows;
    void *memory;               /* what the limit of reading is measured on */
};

struct sea_speed_row {
    const char *what;           /* "2048 x 384 x 128" */
    const char *unit;           /* of amount, per second: "GFLOP", "tokens" */
    double amount;              /* a step does so many of them */
    double flops, bytes;        /* least work of a step; bytes 0: not worth counting */
};

/* Steps until about a second is over, and adds the row. step waits for the device. */
SEA_MUST_CHECK enum sea_status
sea_speed_row(struct sea_speed_run *run, const struct sea_speed_row *row,
              enum sea_status (*step)(void *args, struct sea_err *err), void *args,
              struct sea_err *err);

/* speed_ops.c, speed_models.c */
enum sea_status sea_speed_gemm(struct sea_speed_run *run, struct sea_err *err);
enum sea_status sea_speed_attention(struct sea_speed_run *run, struct sea_err *err);
enum sea_status sea_speed_train(struct sea_speed_run *run, struct sea_err *err);
enum sea_status sea_speed_generate(struct sea_speed_run *run, struct sea_err *err);
enum sea_status sea_speed_label(struct sea_speed_run *run, struct sea_err *err);

#endif
