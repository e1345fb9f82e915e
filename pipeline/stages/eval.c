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
    sea_stage_warn(stage, &eval->folder.clip->vision);
    sea_stage_warn(stage, &eval->folder.adapter->params);
    sea_stage_warn(stage, &eval->folder.lm->params);
    if (eval->folder.lora)
        sea_stage_warn(stage, &eval->folder.lora->params);
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
 * told apart by its split, too; and so are grades of different judges. */
static const char *
split_name(struct sea_arena *arena, const struct sea_suite_item *item, enum sea_control control,
           const struct sea_node *judge)
{
    const char *name = item->split,
               *served = sea_node_text(sea_node_get(judge, "served"), "");

    if (judge && !served[0])
        served = sea_node_text(sea_node_get(judge, "model"), "");
    if (served[0])
        name = sea_arena_printf(arena, "%s%s%s", name, name[0] ? "+" : "", served);
    return control == SEA_CONTROL_NO_IMAGE
               ? sea_arena_printf(arena, "%s%sno-image", name, name[0] ? "+" : "")
               : name;
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

    sea_buf_init(&text, SIZE_MAX / 2);
    sea_bench_rows_write(result, &text);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

/* A score with holes that another try would fill is none; what came is in the cache. */
static enum sea_status
check_judged(const struct sea_bench_result *result, struct sea_err *err)
{
    if (result->unanswered == 0)
        return SEA_OK;
    sea_fail(err, SEA_E_SERVICE, "the judge gave no reply to %lld of %zu items",
             (long long)result->unanswered, result->rows_count);
    sea_hint(err, "Run it again: the other replies are in the cache.");
    return SEA_E_SERVICE;
}

/* What a scoring took differs between a first and a second try: it goes to the log, not into
 * the stage's output. */
static void
tell_calls(struct sea_stage *stage, const char *name, struct sea_node *judge)
{
    static const char *const taken[] = { "calls", "cached", "retries", "cost" };

    sea_events_log(stage->events, "info", "judge of %s: %lld calls, %lld replies from the cache, "
                   "%lld retries", name, (long long)sea_node_int(sea_node_get(judge, "calls"), 0),
                   (long long)sea_node_int(sea_node_get(judge, "cached"), 0),
                   (long long)sea_node_int(sea_node_get(judge, "retries"), 0));
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        sea_node_remove(judge, taken[i]);
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
    if (!status && item->bench->needs_judge)
        status = sea_judge_create(&options.judge, eval->judge, err);
    if (!status)
        status = sea_bench_score(item->bench->name, item->questions, path, item->annotations,
                                 item->annotations_count, &options, stage->arena, &result, err);
    if (!status)
        status = write_rows(stage, rows, &result, err);
    if (!status)
        status = check_judged(&result, err);
    sea_judge_destroy(options.judge);
    if (status) {
        if (status != SEA_E_STOPPED)
            sea_context(err, "benchmark %s", name);
        return status;
    }
    node = sea_node_put_copy(stage->arena, scores, NULL,
                             sea_bench_result_node(&result, stage->arena));
    if (result.judge)
        tell_calls(stage, name, sea_node_get(node, "judge"));
    sea_node_put_text(stage->arena, node, "name", item->bench->name);
    sea_node_put_text(stage->arena, node, "split",
                      split_name(stage->arena, item, control, result.judge));
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

/* Judge and prompts are looked at before the first answer is made, too. */
static enum sea_status
check_judge(struct sea_eval *eval, struct sea_suite *suite, struct sea_err *err)
{
    struct sea_judge *judge = NULL;
    char digest[SEA_SHA256_TEXT];
    enum sea_status status;
    size_t i;

    suite->judge.is_stopped = sea_stage_is_stopped;
    eval->judge = &suite->judge;
    status = sea_judge_create(&judge, eval->judge, err);
    sea_judge_destroy(judge);
    for (i = 0; i < suite->count && !status; i++)
        if (suite->items[i].bench->needs_judge)
            status = sea_bench_prompts_digest(suite->items[i].bench, suite->judge.prompts, digest,
                                              err);
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
    if (!status && suite.needs_judge)
        status = check_judge(&eval, &suite, err);
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
