/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_plan_report.h - what an experiment would cost, before it is queued
 *
 * Counts rows and pictures of the data, reads the sizes of the models from their config.json
 * (or from stages.foundation, for models that are yet to be trained), and adds up:
 *   flops    2 per multiply-add of all matrix products and attention, backward included
 *   memory   of the device: weights, gradients, optimiser state, kept activations, caches
 *   seconds  flops over the rate of a short matrix product of the model's own width, measured
 *            on the device, times the share of it that a whole step reaches
 * Text lengths are estimated from the words of the data. Whether a stage is cached is for
 * the caller to look up (sea_stage_key).
 */
#ifndef SEA_PLAN_REPORT_H
#define SEA_PLAN_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/sea_node.h"

#define SEA_PLAN_STAGES_MAX 5

struct sea_plan_stage {
    const char *name;
    int64_t items, steps;       /* pictures, rows or questions that pass through; steps or 0 */
    const char *unit;           /* of items */
    double flops;
    double device_bytes;        /* at once; on a measured card with card_bytes */
    double card_bytes;          /* what a card takes more than a processor */
    bool exact;                 /* in float32 whatever model.precision is */
    double seconds;             /* predicted; 0 without a measured rate */
    double disk_bytes;          /* of the output, which stays in the store */
    double checkpoint_bytes;    /* of a checkpoint; while one is written there are two */
};
struct sea_plan_report {        /* lives in the arena given to make */
    const char *name;
    const char *device;         /* the device's own line, "" when not measured */
    double rate;                /* flops per second of the measured product; 0: not measured */
    double exact_rate;          /* of the same in float32: stages that are exact */
    int64_t pictures, patches;  /* of the alignment data; per picture */
    struct sea_plan_stage stages[SEA_PLAN_STAGES_MAX];
    size_t count;
    double flops, seconds;      /* of all stages */
    double disk_bytes;          /* of all outputs */
    double checkpoints_bytes;   /* of two checkpoints of the stage with the largest */
};

/* config: resolved. device: "cpu", "auto", ...; NULL: nothing is measured. Data or models
 * that cannot be read are errors, as the stages would give them. */
SEA_MUST_CHECK enum sea_status
sea_plan_report_make(const struct sea_node *config, const char *device,
                     struct sea_arena *arena, struct sea_plan_report *out,
                     struct sea_err *err);

/* A table for people. */
void sea_plan_report_print(const struct sea_plan_report *report, FILE *to);
/* The same as a tree, numbers in full. */
struct sea_node *sea_plan_report_node(const struct sea_plan_report *report,
                                      struct sea_arena *arena);

#endif
