/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval.c - a suite of benchmarks: answers, scores, and the same with the wrong pictures
 *
 * Out: answers/NAME.jsonl in LLaVA's form, rows/NAME.jsonl with a score per question, and
 * scores.json. Controls: "shuffle" shows each question the picture of another one, "no-image"
 * none at all: what is still right then was not seen. NAME is BENCHMARK, BENCHMARK-SPLIT, and
 * with ".shuffle" or ".no-image" for a control.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/eval_int.h"

#define ROWS_BYTES_MAX ((size_t)1 << 30)

/* The template: as asked, else the one that the model was tuned with, else LLaVA's. */
static enum sea_status
choose_template(struct sea_eval *eval, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &eval->folder.lm->desc;
    const char *name = sea_stage_text(eval->stage, "template");
    enum sea_template kind = SEA_TEMPLATE_V1;
    enum sea_status status = SEA_OK;
    int32_t end;

    if (strcmp(name, "auto") == 0)
        name = eval->folder.template_name[0] ? eval->folder.template_name : "v1";
    status = sea_template_parse(&kind, name, err);
    if (status)
        return status;
    eval->conversation = sea_conversation_defaults(kind);
    end = sea_conversation_end(&eval->conversation, eval->tokenizer);
    for (; eval->eos_count < desc->eos_count; eval->eos_count++) {
        eval->eos[eval->eos_count] = desc->eos[eval->eos_count];
        if (desc->eos[eval->eos_count] == end)
            end = -1;
    }
    if (end >= 0)
        eval->eos[eval->eos_count++] = end;
    return SEA_OK;
}

static enum sea_status
load_model(struct sea_eval *eval, struct sea_err *err)
{
    struct sea_stage *stage = eval->stage;
    const char *tune = sea_stage_input_dir(stage, "tune");
    struct sea_clip_limits limits = { .images = SEA_EVAL_PICTURES };
    char dir[SEA_PATH_MAX];
    size_t side;
    enum sea_status status = tune ? sea_path_join(dir, tune, "model", err)
                                  : sea_stage_model(stage, "model.path", dir, err);

    if (!status)
        status = sea_mllm_load(&eval->folder, &stage->device, dir,
                               (struct sea_mllm_trained){ 0 }, err);
    if (!status)
        status = sea_tokenizer_load(&eval->tokenizer, dir, err);
    if (!status)
        status = sea_image_view_load(&eval->view, eval->folder.view, err);
    if (!status)
        status = choose_template(eval, err);
    if (status)
        return status;
    if (eval->folder.lm->warning)
        sea_events_log(stage->events, "warn", "%s", eval->folder.lm->warning);
    side = (size_t)eval->folder.clip->desc.vision.image;
    if ((size_t)eval->view.crop_h != side || (size_t)eval->view.crop_w != side)
        return sea_fail(err, SEA_E_FORMAT, "preprocessor_config.json of \"%s\" makes %d x %d "
                        "pixels, its tower takes %zu x %zu", dir, eval->view.crop_w,
                        eval->view.crop_h, side, side);
    eval->mllm = (struct sea_mllm){ .lm = eval->folder.lm, .adapter = eval->folder.adapter,
                                    .patches = eval->folder.patches };
    eval->pixels = sea_xcalloc(SEA_EVAL_PICTURES * 3 * side * side, sizeof(float));
    eval->features = sea_xcalloc(SEA_EVAL_PICTURES * (size_t)eval->folder.patches *
                                 (size_t)eval->folder.clip->desc.vision.D, sizeof(float));
    eval->slots = sea_stage_int(stage, "batch");
    eval->model_id = sea_arena_printf(stage->arena, "sea-%.12s", stage->key);
    return sea_clip_work_create(&eval->work, eval->folder.clip, &limits, err);
}

static const char *const controls[] = { "", "shuffle", "no-image" };

static const char *
run_name(struct sea_arena *arena, const struct sea_suite_item *item, enum sea_control control)
{
    return sea_arena_printf(arena, "%s%s%s%s%s", item->bench->name, item->split[0] ? "-" : "",
                            item->split, control ? "." : "", controls[control]);
}

/* A reader of scores.json knows controls as one truth value; the second kind is therefore
 * told apart by its split, too. */
static const char *
split_name(struct sea_arena *arena, const struct sea_suite_item *item, enum sea_control control)
{
    return control == SEA_CONTROL_NO_IMAGE
               ? sea_arena_printf(arena, "%s%sno-image", item->split, item->split[0] ? "+" : "")
               : item->split;
}

static void
send_metrics(struct sea_stage *stage, const char *name, const struct sea_bench_result *result)
{
    char full[192];
    size_t i;

    for (i = 0; i < result->metrics_count; i++) {
        snprintf(full, sizeof(full), "eval.%s.%s", name, result->metrics[i].name);
        sea_events_metric(stage->events, full, 0, result->metrics[i].value);
    }
}

static enum sea_status
write_rows(struct sea_stage *stage, const char *relative, const struct sea_bench_result *result,
           struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status = sea_stage_path(stage, relative, path, err);

    sea_buf_init(&text, ROWS_BYTES_MAX);
    sea_bench_rows_write(result, &text);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

/* Answers and scores one benchmark, adds it to scores. */
static enum sea_status
run_item(struct sea_eval *eval, const struct sea_suite_item *item,
         const struct sea_bench_questions *questions, enum sea_control control,
         struct sea_node *scores, struct sea_err *err)
{
    struct sea_stage *stage = eval->stage;
    const char *name = run_name(stage->arena, item, control);
    const char *rows = sea_arena_printf(stage->arena, "rows/%s.jsonl", name);
    const char *answers = sea_arena_printf(stage->arena, "answers/%s.jsonl", name);
    struct sea_bench_options options = { .limit = sea_stage_int(stage, "limit"),
                                         .variant = item->variant,
                                         .prompt = item->prompt };
    struct sea_bench_result result;
    struct sea_node *node;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(stage, answers, path, err);

    if (!status)
        status = sea_eval_answer(eval, item, questions, name, control, path, err);
    if (!status)
        status = sea_bench_score(item->bench->name, item->questions, path, item->annotations,
                                 item->annotations_count, &options, stage->arena, &result, err);
    if (!status)
        status = write_rows(stage, rows, &result, err);
    if (status) {
        if (status != SEA_E_STOPPED)
            sea_context(err, "benchmark %s", name);
        return status;
    }
    node = sea_node_put_copy(stage->arena, scores, NULL,
                             sea_bench_result_node(&result, stage->arena));
    sea_node_put_text(stage->arena, node, "name", item->bench->name);
    sea_node_put_text(stage->arena, node, "split",
                      split_name(stage->arena, item, control));
    sea_node_put_bool(stage->arena, node, "control", control != SEA_CONTROL_NONE);
    if (control)
        sea_node_put_text(stage->arena, node, "control_kind", controls[control]);
    sea_node_put_text(stage->arena, node, "headline", item->bench->headline);
    sea_node_put_text(stage->arena, node, "answers", answers);
    sea_node_put_text(stage->arena, node, "rows", rows);
    send_metrics(stage, name, &result);
    return SEA_OK;
}

static bool
wants(const struct sea_stage *stage, enum sea_control control)
{
    const struct sea_node *list = sea_node_path(stage->config, "stages.eval.controls"), *node;

    for (node = list ? list->first : NULL; node; node = node->next)
        if (strcmp(sea_node_text(node, ""), controls[control]) == 0)
            return true;
    return control == SEA_CONTROL_NONE;
}

/* All files are looked at before the first answer is made. */
static enum sea_status
open_questions(struct sea_eval *eval, const struct sea_suite *suite,
               struct sea_bench_questions *questions, struct sea_err *err)
{
    int64_t limit = sea_stage_int(eval->stage, "limit");
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < suite->count && !status; i++) {
        const struct sea_suite_item *item = &suite->items[i];

        status = sea_bench_questions_load(item->bench, item->questions, limit,
                                          eval->stage->arena, &questions[i], err);
        if (!status)
            status = sea_bench_questions_ask(&questions[i], &item->ask, err);
        if (!status)
            status = sea_bench_images_check(&questions[i], item->images, err);
        if (status)
            sea_context(err, "benchmark %s of suite \"%s\"", item->bench->name, suite->path);
        else
            eval->total += (int64_t)questions[i].count;
    }
    eval->total *= 1 + wants(eval->stage, SEA_CONTROL_SHUFFLE) +
                   wants(eval->stage, SEA_CONTROL_NO_IMAGE);
    return status;
}

static enum sea_status
make_folders(const struct sea_stage *stage, struct sea_err *err)
{
    static const char *const folders[] = { "answers", "rows" };
    char path[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < 2 && !status; i++) {
        status = sea_stage_path(stage, folders[i], path, err);
        if (!status)
            status = sea_dir_create(path, err);
    }
    return status;
}

static void
release(struct sea_eval *eval)
{
    sea_clip_work_destroy(eval->work);
    sea_mllm_release(&eval->folder);
    sea_tokenizer_destroy(eval->tokenizer);
    free(eval->pixels);
    free(eval->features);
}

enum sea_status
sea_stage_eval(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_eval eval = { .stage = stage };
    struct sea_node *root = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP), *scores;
    struct sea_bench_questions *questions = NULL;
    struct sea_suite suite = { 0 };
    size_t i;
    enum sea_status status = sea_suite_load(&suite, stage->config, stage->arena, err);

    if (!status) {
        questions = sea_arena_alloc(stage->arena, suite.count, sizeof(*questions));
        status = open_questions(&eval, &suite, questions, err);
    }
    if (!status)
        status = make_folders(stage, err);
    if (!status)
        status = load_model(&eval, err);
    sea_node_put_text(stage->arena, root, "suite", suite.name ? suite.name : "");
    scores = sea_node_put(stage->arena, root, "benchmarks", SEA_NODE_LIST);
    for (i = 0; i < suite.count && !status; i++) {
        for (int c = 0; c < 3 && !status; c++)
            if (wants(stage, (enum sea_control)c))
                status = run_item(&eval, &suite.items[i], &questions[i], (enum sea_control)c,
                                  scores, err);
    }
    if (suite.references_count)
        sea_node_put_copy(stage->arena, root, "reference",
                          sea_suite_reference_node(&suite, stage->arena));
    if (!status)
        status = sea_stage_write_json(stage, "scores.json", root, err);
    release(&eval);
    return status;
}
