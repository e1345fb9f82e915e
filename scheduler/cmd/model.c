/* SPDX-License-Identifier: Apache-2.0 */
/* sea model, tokenize, detokenize, image: looking at one model, text or picture alone. */
#include <stdio.h>
#include <string.h>

#include "pipeline/sea_tools.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

struct model_line {             /* what `sea model` was given */
    struct sea_tool_generate generate;  /* its fields serve the other tools, too */
    struct sea_tool_plan plan;
    const char *out;
    bool json, tensors;
};

static enum sea_status
run_tool(const struct sea_call *call, const char *name, struct model_line *line,
         struct sea_err *err)
{
    const struct sea_tool_generate *generate = &line->generate;
    enum sea_status status = SEA_OK;

    if (strcmp(name, "inspect") == 0)
        return sea_tool_inspect(generate->dir, line->json, line->tensors, stdout, err);
    if (strcmp(name, "plan") == 0) {
        line->plan.dir = generate->dir;
        line->plan.tower = generate->tower;
        line->plan.precision = generate->precision;
        line->plan.json = line->json;
        return sea_tool_plan(&line->plan, stdout, err);
    }
    if (strcmp(name, "logits") == 0) {
        status = sea_args_need(generate->ids, "--ids", call->usage, err);
        if (!status)
            status = sea_args_need(line->out, "--out", call->usage, err);
        return status ? status
                      : sea_tool_logits(generate->dir, generate->tower, generate->image,
                                        generate->ids, line->out, generate->device,
                                        generate->precision, err);
    }
    if (!generate->ids && !generate->prompts)
        status = sea_args_need(generate->prompt, "--prompt", call->usage, err);
    return status ? status : sea_tool_generate(generate, stdout, err);
}

static enum sea_status
check_name(const char *name, struct sea_err *err)
{
    static const char *const names[] = { "inspect", "plan", "logits", "generate" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG,
                    "\"model %s\" is not a command, know: inspect, plan, logits, generate", name);
}

enum sea_status
sea_cmd_model(const struct sea_call *call, struct sea_err *err)
{
    struct model_line line = { .generate = { .device = "auto", .precision = "f32",
                                             .max_new = SEA_TOOL_MAX_NEW },
                               .plan = { .rows = 512 } };
    struct sea_tool_generate *generate = &line.generate;
    struct sea_texts rest, stop = { .count = 0 };
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--model", SEA_ARG_TEXT, &generate->dir, "DIR", "a Hugging Face folder" },
        { "--image", SEA_ARG_TEXT, &generate->image, "FILE", "JPEG, PNG or WebP" },
        { "--tower", SEA_ARG_TEXT, &generate->tower, "DIR",
          "the vision tower of a model in LLaVA's original layout" },
        { "--ids", SEA_ARG_TEXT, &generate->ids, "1,2,...", "logits, generate: token ids" },
        { "--out", SEA_ARG_TEXT, &line.out, "FILE", "logits: one float32 tensor [T,V]" },
        { "--prompt", SEA_ARG_TEXT, &generate->prompt, "TEXT", "generate: the text" },
        { "--template", SEA_ARG_TEXT, &generate->template_name, "NAME",
          "generate: v1 makes the prompt a question" },
        { "--aspect", SEA_ARG_TEXT, &generate->aspect, "pad|square", "how a picture is fitted" },
        { "--max-new", SEA_ARG_INT, &generate->max_new, "N", "generate: words at most (128)" },
        { "--prompts", SEA_ARG_TEXT, &generate->prompts, "FILE",
          "generate: a text per line, answers as JSON strings" },
        { "--together", SEA_ARG_INT, &generate->together, "N",
          "generate: answers at once (16); changes none of them" },
        { "--temperature", SEA_ARG_REAL, &generate->temperature, "T",
          "generate: sample; 0: the best word (0)" },
        { "--top-k", SEA_ARG_INT, &generate->top_k, "K", "generate: of the K best words; 0: all" },
        { "--top-p", SEA_ARG_REAL, &generate->top_p, "P", "generate: of the best words that "
          "weigh P together" },
        { "--seed", SEA_ARG_INT, &generate->seed, "N", "generate: of the samples (0)" },
        { "--stop", SEA_ARG_LIST, &stop, "TEXT", "generate: ends an answer (repeat)" },
        { "--past-end", SEA_ARG_FLAG, &generate->past_end, NULL,
          "generate: go on after end words" },
        { "--ids-out", SEA_ARG_FLAG, &generate->ids_out, NULL, "generate: ids instead of text" },
        { "--device", SEA_ARG_TEXT, &generate->device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--precision", SEA_ARG_TEXT, &generate->precision, "f32|bf16",
          "storage of matrices (f32)" },
        { "--tensors", SEA_ARG_FLAG, &line.tensors, NULL, "inspect: list every tensor" },
        { "--rows", SEA_ARG_INT, &line.plan.rows, "N", "plan: tokens at once (512)" },
        { "--pictures", SEA_ARG_INT, &line.plan.pictures, "N", "plan: pictures among them" },
        { "--json", SEA_ARG_FLAG, &line.json, NULL, "inspect, plan: as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, generate->dir ? 1 : 2, call->usage, err);
    if (!status)
        status = check_name(rest.at[0], err);
    if (status)
        return status;
    if (rest.count == 2)
        generate->dir = rest.at[1];
    generate->stop = stop.at;
    generate->stop_count = (int)stop.count;
    status = sea_args_need(generate->dir, "--model", call->usage, err);
    return status ? status : run_tool(call, rest.at[0], &line, err);
}

/* The options that both text commands take; the last one is each one's own. */
static enum sea_status
parse_texts(const struct sea_call *call, const char *flip, const char *flip_help,
            struct sea_tool_texts *options, bool *helped, struct sea_err *err)
{
    const struct sea_arg table[] = {
        { "--model", SEA_ARG_TEXT, &options->dir, "DIR", "folder with tokenizer.json" },
        { "--json", SEA_ARG_FLAG, &options->json, NULL, "texts are JSON strings" },
        { flip, SEA_ARG_FLAG, &options->flip_special, NULL, flip_help },
    };
    struct sea_texts rest;
    enum sea_status status;

    *options = (struct sea_tool_texts){ .dir = NULL };
    status = sea_args_parse(call->argc, call->argv, call->usage, table, 3, &rest, helped, err);
    if (!status && !*helped)
        status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status && !*helped)
        status = sea_args_need(options->dir, "--model", call->usage, err);
    return status;
}

enum sea_status
sea_cmd_tokenize(const struct sea_call *call, struct sea_err *err)
{
    struct sea_tool_texts options;
    bool helped;
    enum sea_status status = parse_texts(call, "--no-special", "without the template's words",
                                         &options, &helped, err);

    return status || helped ? status : sea_tool_tokenize(&options, stdin, stdout, err);
}

enum sea_status
sea_cmd_detokenize(const struct sea_call *call, struct sea_err *err)
{
    struct sea_tool_texts options;
    bool helped;
    enum sea_status status = parse_texts(call, "--special", "special words are written, too",
                                         &options, &helped, err);

    return status || helped ? status : sea_tool_detokenize(&options, stdin, stdout, err);
}

enum sea_status
sea_cmd_image(const struct sea_call *call, struct sea_err *err)
{
    const char *dir = NULL, *image = NULL, *aspect = NULL, *out = NULL;
    const struct sea_arg table[] = {
        { "--model", SEA_ARG_TEXT, &dir, "DIR", "folder with preprocessor_config.json" },
        { "--image", SEA_ARG_TEXT, &image, "FILE", "JPEG, PNG or WebP" },
        { "--aspect", SEA_ARG_TEXT, &aspect, "pad|square", "how the picture is fitted" },
        { "--out", SEA_ARG_TEXT, &out, "FILE", "one float32 tensor [3,H,W]" },
    };
    struct sea_texts rest;
    enum sea_status status;
    bool helped;

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 4, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status)
        status = sea_args_need(dir, "--model", call->usage, err);
    if (!status)
        status = sea_args_need(image, "--image", call->usage, err);
    if (!status)
        status = sea_args_need(out, "--out", call->usage, err);
    return status ? status : sea_tool_image(dir, image, aspect, out, err);
}
