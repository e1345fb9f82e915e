/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_tools.h - looking at one model, one picture, one text: what stands behind
 * `sea model`, `sea tokenize`, `sea detokenize` and `sea image`
 *
 * A model folder is a language model (LlamaForCausalLM class), a vision tower (CLIP, SigLIP,
 * DINOv2), or a Llava model in either of its layouts. Results go to a FILE that the caller
 * opened, or to files that appear whole. Nothing here is needed by the stages.
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
 * counts them). image NULL: none. tower: the vision tower's folder, for a model in LLaVA's
 * original layout, else NULL. device: "auto", "cpu", ... precision: storage of matrices,
 * "f32" or "bf16". */
SEA_MUST_CHECK enum sea_status
sea_tool_logits(const char *dir, const char *tower, const char *image, const char *ids,
                const char *out_path, const char *device, const char *precision,
                struct sea_err *err);

#define SEA_TOOL_MAX_NEW 128    /* words of an answer when nobody says */
struct sea_tool_generate {
    const char *dir, *image;    /* image NULL: none */
    const char *tower;          /* as in sea_tool_logits */
    /* One of these three is given. A text is taken as it stands; "<image>" is put in front
     * when a picture is given and the text has no tag. */
    const char *prompt;
    const char *prompts;        /* a file: a text per line; all about the one picture */
    const char *ids;            /* as in sea_tool_logits: no tokenizer is needed with ids_out */
    const char *template_name;  /* NULL: none; "v1": the prompt is a question */
    const char *aspect;         /* NULL: "pad" with a template, else "square" */
    int64_t max_new;            /* words at most, 0 or more */
    double temperature;         /* 0: greedy; these four as in sea_generate.h */
    int64_t top_k;
    double top_p;
    int64_t seed;
    const char *const *stop;    /* texts that end an answer; they are not part of it */
    int stop_count;
    bool past_end;              /* end words do not end an answer */
    int64_t together;           /* answers decoded together, 0: 16; changes no answer */
    bool ids_out;               /* one JSON array of the new ids per answer */
    const char *device;
    const char *precision;      /* as in sea_tool_logits */
};
/* The answer's text and a newline; with a file of prompts each one as a JSON string. */
SEA_MUST_CHECK enum sea_status
sea_tool_generate(const struct sea_tool_generate *options, FILE *to, struct sea_err *err);

struct sea_tool_plan {
    const char *dir, *tower;    /* tower: as in sea_tool_logits; NULL: as dir says */
    int64_t rows;               /* tokens that run at once, pictures expanded */
    int64_t pictures;           /* among them */
    const char *precision;      /* as in sea_tool_logits */
    bool json;
};
/* Memory that `sea model logits` of so many tokens will need: weights, activations, the
 * result and the program itself. No tensor is read. */
SEA_MUST_CHECK enum sea_status
sea_tool_plan(const struct sea_tool_plan *options, FILE *to, struct sea_err *err);

struct sea_tool_texts {
    const char *dir;            /* tokenizer's folder */
    bool json;                  /* each text is a JSON string, so that it can hold line ends;
                                   else it is the line as it stands, up to its '\n' */
    bool flip_special;          /* tokenize: without the template's words; detokenize: with
                                   special words */
};
/* One text per line to one JSON array of ids per line. */
SEA_MUST_CHECK enum sea_status
sea_tool_tokenize(const struct sea_tool_texts *options, FILE *from, FILE *to,
                  struct sea_err *err);
/* The way back; without json, line ends inside a text become "\n". */
SEA_MUST_CHECK enum sea_status
sea_tool_detokenize(const struct sea_tool_texts *options, FILE *from, FILE *to,
                    struct sea_err *err);

/* What the vision tower sees of a picture: one float32 tensor "pixel_values" [3, H, W].
 * aspect: "pad", "square", or NULL for "square". */
SEA_MUST_CHECK enum sea_status
sea_tool_image(const char *dir, const char *image, const char *aspect, const char *out_path,
               struct sea_err *err);

#endif
