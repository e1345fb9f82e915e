/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu.h - what the parts of bench_gpu share
 *
 * A job is one measurement of one model in a process of its own, so that a job that hangs or
 * runs out of memory costs nothing but itself (tests/bench/gpu.sh starts them). It prints one
 * JSON object on one line.
 *
 *   models.. gpu_models.c   shapes, weights drawn on the device, FLOPs as defined below
 *   traces.. gpu_trace.c    an operator table that times each call, beside its least bytes
 *   jobs ... gpu_train.c, gpu_answer.c, gpu_limits.c
 *
 * Model FLOPs are the least work that gives the same numbers: causal attention, supervised
 * rows only in the head and behind the last block's keys and values, the tower up to the
 * layer that is read, no recomputation, no padding. A multiply-add counts 2.
 */
#ifndef SEA_TESTS_BENCH_GPU_H
#define SEA_TESTS_BENCH_GPU_H

#include "engine/base/sea_node.h"
#include "engine/sea_clip.h"
#include "engine/sea_mllm.h"

struct gpu_limits {             /* of this card, measured (job "limits") or 0 */
    double gemm;                /* FLOP/s of the best bfloat16 product */
    double bandwidth;           /* bytes/s of out = a x + b y */
    double spec;                /* dense bfloat16 FLOP/s of the data sheet, 0: not known */
};

struct gpu_job {
    const char *name, *model, *device;
    double seconds;             /* to spend, about */
    int64_t layers;             /* of the language model at most; 0: all that fit */
    int64_t rows;               /* of a micro-batch at most; 0: as many as fit */
    int64_t samples;            /* of a step; 0: the job's own */
    struct gpu_limits limits;
    struct sea_device dev;      /* open */
    struct sea_arena *arena;
    struct sea_node *out;       /* the object that is printed */
};

/* ---- gpu_models.c ---- */

struct gpu_model {
    const char *name;
    enum sea_lm_family family;
    int64_t D, F, layers, H, K, E, vocab;
    bool tied;
    int64_t tower;              /* width of the vision tower: 1024 is CLIP ViT-L/14-336 */
};
const struct gpu_model *gpu_model_find(const char *name);       /* NULL: not known */
struct sea_lm_desc gpu_model_desc(const struct gpu_model *model, int64_t layers);
struct sea_clip_desc gpu_tower_desc(const struct gpu_model *model);

/* Lengths of sample i without its picture, and how many of its words are supervised. Both are
 * the same functions in gpu_torch.py. */
enum gpu_data { GPU_CAPTIONS, GPU_TALKS };
struct gpu_sample {
    int64_t text, supervised;
};
struct gpu_sample gpu_sample_at(enum gpu_data data, int64_t i);

struct gpu_work {               /* what one sample asks of the language model */
    int64_t rows, supervised;
};
/* Forward of the blocks alone; attention's share of it. */
double gpu_lm_flops(const struct sea_lm_desc *desc, struct gpu_work work, double *attention);
double gpu_head_flops(const struct sea_lm_desc *desc, int64_t rows);
double gpu_tower_flops(const struct sea_clip_desc *desc, int64_t layers);
double gpu_adapter_flops(int64_t Dv, int64_t D, int64_t rows);  /* forward of two layers */

/* ---- gpu_trace.c ---- */

/* Between start and stop every operator of the device is waited for and timed. */
void gpu_trace_start(struct sea_device *device);
void gpu_trace_stop(struct sea_device *device);
/* Adds "parts" (per operator: calls, seconds, bound) and "products" (per shape) to out.
 * Returns the sum of the bounds: t_lim. seconds: what the traced step took in all. */
double gpu_trace_report(const struct gpu_job *job, struct sea_node *out, double *seconds);

/* ---- measuring (bench_gpu.c) ---- */

struct gpu_timing {
    double first, median;       /* seconds; the first step is not among the windows */
    double waited;              /* part of the windows in which data was made ready */
    int windows;
};
/* step returns the seconds it spent preparing data in *waited. It waits for the device. */
typedef enum sea_status gpu_step(void *arg, double *waited, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
gpu_measure(const struct gpu_job *job, gpu_step *step, void *arg, struct gpu_timing *timing,
            struct sea_err *err);
/* Puts rate, MFU, roofline efficiency, launch gap ... into job->out. flops: of one step. */
void gpu_put_timing(const struct gpu_job *job, const struct gpu_timing *timing, double flops,
                    double t_lim, double traced);

/* ---- jobs ---- */
enum sea_status gpu_job_limits(struct gpu_job *job, struct sea_err *err);       /* gpu_limits.c */
/* align, tune, lora */
enum sea_status gpu_job_train(struct gpu_job *job, struct sea_err *err);
enum sea_status gpu_job_label(struct gpu_job *job, struct sea_err *err);
enum sea_status gpu_job_answer(struct gpu_job *job, struct sea_err *err);       /* prefill */
enum sea_status gpu_job_decode(struct gpu_job *job, struct sea_err *err);

#endif
