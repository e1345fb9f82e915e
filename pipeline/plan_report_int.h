/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_report_int.h - between the files of a plan
 *
 * plan_report.c puts it together from what plan_sizes.c reads and plan_costs.c adds up.
 */
#ifndef SEA_PLAN_REPORT_INT_H
#define SEA_PLAN_REPORT_INT_H

#include "engine/sea_clip.h"
#include "engine/sea_lm.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_plan_report.h"

/* Of the system sentence and the speakers of a dialogue. */
#define SEA_PLAN_TEMPLATE_IDS 45

struct sea_planning {
    const struct sea_node *config;
    struct sea_arena *arena;
    struct sea_plan_report *report;
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    struct sea_dataset pretrain, instruct;
    double caption_ids, dialogue_ids;   /* per row, on average */
    int64_t pretrain_images, instruct_images;
};

/* Keys of the resolved config; 0 and "" where there is none. */
static inline int64_t
sea_planning_int(const struct sea_planning *p, const char *key)
{
    return sea_node_int(sea_node_path(p->config, key), 0);
}

static inline double
sea_planning_real(const struct sea_planning *p, const char *key)
{
    return sea_node_real(sea_node_path(p->config, key), 0);
}

static inline const char *
sea_planning_text(const struct sea_planning *p, const char *key)
{
    return sea_node_text(sea_node_path(p->config, key), "");
}

/* ---- plan_sizes.c ---- */

SEA_MUST_CHECK enum sea_status
sea_planning_load_models(struct sea_planning *p, struct sea_err *err);
/* stages: SEA_BIT_... of those that run. */
SEA_MUST_CHECK enum sea_status
sea_planning_load_data(struct sea_planning *p, unsigned stages, struct sea_err *err);

/* ---- plan_costs.c: each adds its stage to the report ---- */

void sea_planning_foundation(struct sea_planning *p);
void sea_planning_label(struct sea_planning *p);
void sea_planning_align(struct sea_planning *p);
void sea_planning_tune(struct sea_planning *p);
/* decode: of the flops, those that are spent a word at a time. */
SEA_MUST_CHECK enum sea_status
sea_planning_eval(struct sea_planning *p, double *decode, struct sea_err *err);

#endif
