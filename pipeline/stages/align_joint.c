/* SPDX-License-Identifier: Apache-2.0 */
/*
 * align_joint.c - negatives of the whole batch (align.negatives: global)
 *
 * The groups of a step are too many to be in memory at once, so the loss over all pairs comes
 * first, from rows that each group's adapter forward gives, and every group adds its share of
 * the gradient later, when it goes through the language model. Ranks make the rows of their
 * groups and exchange them; each works out the whole loss, and so has what it needs.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/align_int.h"

int64_t
sea_align_joint_room(const struct sea_align_run *run)
{
    int64_t most = run->batch * sea_draw_windows(&run->draw), words = run->labels->info.words;

    /* Where no word occurs twice, there are no more pairs than words. */
    return run->draw.dedup == SEA_DEDUP_RANDOM && words < most ? words : most;
}

void
sea_align_joint_init(struct sea_align_run *run)
{
    size_t batch = (size_t)run->batch, labels = (size_t)(run->m * run->labels->info.top);
    struct sea_align_whole *whole = &run->whole;

    whole->pairs = sea_xcalloc(batch * (size_t)sea_draw_windows(&run->draw),
                               sizeof(*whole->pairs));
    whole->images = sea_xcalloc(batch, sizeof(*whole->images));
    whole->index = sea_xcalloc(batch * labels, sizeof(*whole->index));
    whole->score = sea_xcalloc(batch * labels, sizeof(*whole->score));
    whole->rows = sea_xcalloc((size_t)sea_align_joint_room(run) * (size_t)run->lm->desc.D,
                              sizeof(*whole->rows));
}

void
sea_align_joint_release(struct sea_align_run *run)
{
    free(run->whole.pairs);
    free(run->whole.images);
    free(run->whole.index);
    free(run->whole.score);
    free(run->whole.rows);
}

/* The pairs of n samples from number `first` of the run on. */
static enum sea_status
draw(struct sea_align_run *run, int64_t t, int64_t first, int64_t n, struct sea_err *err)
{
    struct sea_align_whole *whole = &run->whole;
    int64_t each = run->m * run->labels->info.top;
    enum sea_status status = SEA_OK;

    for (int64_t i = 0; i < n && !status; i++) {
        int64_t number = run->pictures.of_row[sea_order_at(&run->order, first + i)];

        status = sea_labels_get(run->labels, run->label_of[number], whole->index + i * each,
                                whole->score + i * each, err);
        whole->images[i] = (struct sea_draw_image){ .id = number,
                                                    .index = whole->index + i * each,
                                                    .score = whole->score + i * each };
    }
    if (!status)
        whole->count = sea_align_draw(&run->draw, whole->images, n, t, whole->pairs);
    return status;
}

int64_t
sea_align_joint_share(const struct sea_align_run *run, int64_t g, int64_t *first)
{
    const struct sea_align_whole *whole = &run->whole;
    int64_t rows = run->group * run->m, at = 0, end;

    while (at < whole->count && whole->pairs[at].row < g * rows)
        at++;
    for (end = at; end < whole->count && whole->pairs[end].row < (g + 1) * rows; end++)
        ;
    *first = at;
    return end - at;
}

/* The rows of a group's pairs, as the adapter makes them now. */
static enum sea_status
make_rows(struct sea_align_run *run, int64_t first, int64_t g, int64_t n, struct sea_err *err)
{
    struct sea_align_whole *whole = &run->whole;
    int64_t at, count = sea_align_joint_share(run, g, &at);
    enum sea_status status;

    if (!count)
        return SEA_OK;
    for (int64_t i = 0; i < n; i++)
        run->numbers[i] = run->pictures.of_row[sea_order_at(&run->order,
                                                            first + g * run->group + i)];
    status = sea_features_get(&run->features, run->numbers, n, run->features_of, err);
    if (!status)
        status = sea_mllm_adapt(&run->mllm, run->work, run->features_of, n, err);
    if (!status)
        status = sea_align_rows(run->align, whole->pairs + at, count, g * run->group * run->m,
                                run->work->x, whole->rows + at * run->lm->desc.D, err);
    return status;
}

enum sea_status
sea_align_joint_start(struct sea_align_run *run, int64_t t, int64_t first, int64_t n,
                      struct sea_err *err)
{
    struct sea_align_whole *whole = &run->whole;
    int64_t groups = (n + run->group - 1) / run->group, D = run->lm->desc.D, g;
    enum sea_status status = draw(run, t, first, n, err);

    for (g = 0; g < groups && !status; g++)
        if (sea_shard_has(run->adamw, g))
            status = make_rows(run, first, g,
                               n - g * run->group < run->group ? n - g * run->group : run->group,
                               err);
    for (g = 0; g < groups && !status; g++) {
        int64_t at, count = sea_align_joint_share(run, g, &at);

        if (count)
            status = sea_comm_broadcast(run->stage->comm,
                                        (int)(g % sea_comm_size(run->stage->comm)),
                                        whole->rows + at * D,
                                        (size_t)(count * D) * sizeof(float), err);
    }
    if (!status)
        status = sea_align_joint(run->align, whole->pairs, whole->count, whole->rows,
                                 run->lambda > 0, (float)run->lambda, err);
    return status ? status : sea_align_loss(run->align, &whole->loss, &whole->scale, err);
}

enum sea_status
sea_align_joint_add(struct sea_align_run *run, int64_t g, struct sea_err *err)
{
    int64_t at, count = sea_align_joint_share(run, g, &at);
    enum sea_status status = SEA_OK;

    if (run->lambda <= 0)
        return SEA_OK;
    if (count)
        status = sea_align_joint_rows(run->align, run->whole.pairs, at, count,
                                      g * run->group * run->m, run->work->dx, err);
    if (!status && g == 0)
        status = sea_shard_open(sea_align_params(run->align), err);
    if (!status && g == 0)
        status = sea_align_joint_theta(run->align, err);
    return status;
}
