/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_tools.h - looking at one model, one picture, one text: what stands behind
 * `sea model`, `sea tokenize`, `sea detokenize` and `sea image`
 *
 * A model folder is a language model (LlamaForCausalLM class), a CLIP model, or a
 * LlavaForConditionalGeneration. Results go to a FILE that the caller opened, or to files
 * that appear whole. Nothing here is needed by the stages.
 */
#ifndef SEA_TOOLS_H
#define SEA_TOOLS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

/* Kind, sizes, parameters, tokenizer and, with tensors, every tensor of a model folder: for
 * people, or as one JSON object. */
SEA_MUST_CHECK enum sea_status
sea_tool_inspect(const char *dir, bool json, bool tensors, FILE *to, struct sea_err *err);

/* Logits of every position as one float32 tensor "logits" [T, V]. ids: "1,2,3", blanks
 * allowed; the model's image token may stand once and becomes the picture's patches (T
 * counts them). image NULL: none. device: "auto", "cpu", ... */
SEA_MUST_CHECK enum sea_status
sea_tool_logits(const char *dir, const char *image, const char *ids, const char *out_path,
                const char *device, struct sea_err *err);

struct sea_tool_generate {
    const char *dir, *image;    /* image NULL: none */
    const char *prompt;         /* the text as it stands; "<image>" is put in front when a
                                   picture is given and the text has no tag */
    const char *template_name;  /* NULL: none; "v1": the prompt is a question */
    const char *aspect;         /* NULL: "pad" with a template, else "square" */
    int64_t max_new;            /* 0: 128 */
    const char *device;
};
/* The answer, greedy: its text and a newline, or with ids one JSON array of the new ids. */
SEA_MUST_CHECK enum sea_status
sea_tool_generate(const struct sea_tool_generate *options, bool ids, FILE *to,
                  struct sea_err *err);

/* One text per line to one JSON array of ids per line, special words included. */
SEA_MUST_CHECK enum sea_status
sea_tool_tokenize(const char *dir, FILE *from, FILE *to, struct sea_err *err);
/* The way back; special words are left out, line ends inside a text become "\n". */
SEA_MUST_CHECK enum sea_status
sea_tool_detokenize(const char *dir, FILE *from, FILE *to, struct sea_err *err);

/* What the vision tower sees of a picture: one float32 tensor "pixel_values" [3, H, W].
 * aspect: "pad", "square", or NULL for "square". */
SEA_MUST_CHECK enum sea_status
sea_tool_image(const char *dir, const char *image, const char *aspect, const char *out_path,
               struct sea_err *err);

#endif
