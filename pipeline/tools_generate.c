/* SPDX-License-Identifier: Apache-2.0 */
/* sea model generate. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_conversation.h"
#include "engine/sea_generate.h"
#include "pipeline/tools_int.h"

#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define PROMPTS_MAX 100000
#define TOGETHER 16             /* answers that are decoded together when nobody says */

/* All prompts of a call and their answers. */
struct batch {
    struct sea_arena *arena;
    struct sea_ids *ids;        // (count)
    struct sea_prompt *prompts;
    struct sea_answer *answers;
    int64_t count, longest;
};

/* Ids with SEA_LM_GIVEN once for the picture, as sea_generate takes them. */
static enum sea_status
encode_prompt(const struct sea_tool_generate *options, const char *prompt,
              struct sea_tokenizer *tokenizer, struct sea_ids *ids, struct sea_err *err)
{
    struct sea_conversation conversation;
    enum sea_template kind;
    struct sea_buf text;
    enum sea_status status;

    if (!options->image && strstr(prompt, SEA_IMAGE_TAG))
        return sea_fail(err, SEA_E_CONFIG, "the prompt holds <image>, but no picture is given");
    if (options->template_name) {
        status = sea_template_parse(&kind, options->template_name, err);
        if (status)
            return status;
        conversation = sea_conversation_defaults(kind);
        return sea_conversation_prompt(&conversation, tokenizer, prompt,
                                       options->image != NULL, ids, err);
    }
    sea_buf_init(&text, SEA_TOKENIZER_TEXT_MAX);
    status = SEA_OK;
    if (options->image && !strstr(prompt, SEA_IMAGE_TAG))
        status = sea_buf_printf(&text, err, "%s\n", SEA_IMAGE_TAG);
    if (!status)
        status = sea_buf_append(&text, prompt, strlen(prompt), err);
    if (!status)
        status = sea_conversation_encode_text(tokenizer, text.data, text.len, ids, err);
    sea_buf_release(&text);
    return status;
}

/* The texts of the call: its prompt, or the lines of a file. */
static enum sea_status
read_texts(const struct sea_tool_generate *options, struct batch *batch, const char ***out,
           struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status = SEA_OK;
    char *line, *end;

    *out = sea_arena_alloc(batch->arena, PROMPTS_MAX, sizeof(**out));
    batch->count = 1;
    (*out)[0] = options->prompt;
    if (!options->prompts)
        return SEA_OK;
    sea_buf_init(&text, ANSWER_BYTES_MAX);
    status = sea_file_read(options->prompts, &text, err);
    batch->count = 0;
    line = sea_arena_strdup(batch->arena, status ? "" : text.data);
    if (!status && strlen(text.data) < text.len)
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" is no text: byte %zu is 0", options->prompts,
                          strlen(text.data));
    sea_buf_release(&text);
    for (; *line && !status; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        if (batch->count == PROMPTS_MAX)
            return sea_fail(err, SEA_E_CONFIG, "\"%s\" holds more than %d prompts",
                            options->prompts, PROMPTS_MAX);
        (*out)[batch->count++] = line;
    }
    if (!status && !batch->count)
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" holds no prompts", options->prompts);
    return status;
}

static enum sea_status
prepare(const struct sea_tool_generate *options, const struct sea_opened *opened,
        struct sea_tokenizer *tokenizer, struct batch *batch, struct sea_err *err)
{
    enum sea_status status;
    const char **texts;
    size_t n;

    status = read_texts(options, batch, &texts, err);
    if (status)
        return status;
    n = (size_t)batch->count;
    batch->ids = sea_arena_alloc(batch->arena, n, sizeof(*batch->ids));
    batch->prompts = sea_arena_alloc(batch->arena, n, sizeof(*batch->prompts));
    batch->answers = sea_arena_alloc(batch->arena, n, sizeof(*batch->answers));
    for (int64_t i = 0; i < batch->count && !status; i++) {
        struct sea_ids *ids = &batch->ids[i];

        status = options->ids
            ? sea_opened_ids(options->ids, opened, options->image != NULL, true, ids, err)
            : encode_prompt(options, texts[i], tokenizer, ids, err);
        batch->prompts[i] = (struct sea_prompt){
            .ids = ids->data, .count = (int64_t)ids->len, .id = i,
            .image = options->image ? 0 : -1,
        };
        batch->longest = (int64_t)ids->len > batch->longest ? (int64_t)ids->len
                                                            : batch->longest;
        batch->answers[i].ids = sea_arena_alloc(batch->arena, (size_t)options->max_new,
                                                sizeof(int32_t));
    }
    return status;
}

static void
release_batch(struct batch *batch)
{
    for (int64_t i = 0; i < batch->count && batch->ids; i++)
        sea_ids_release(&batch->ids[i]);
    sea_arena_destroy(batch->arena);
}

/* One line per answer. Texts of a file's prompts are JSON strings, so that they keep to
 * their lines. */
static enum sea_status
print_answer(const struct sea_tool_generate *options, const struct sea_sampling *sampling,
             const struct sea_tokenizer *tokenizer, const struct sea_answer *answer, FILE *to,
             struct sea_err *err)
{
    struct sea_buf text, line;
    enum sea_status status;

    if (options->ids_out) {
        fputc('[', to);
        for (int64_t i = 0; i < answer->count; i++)
            fprintf(to, "%s%d", i ? "," : "", (int)answer->ids[i]);
        fputs("]\n", to);
        return SEA_OK;
    }
    sea_buf_init(&text, ANSWER_BYTES_MAX);
    sea_buf_init(&line, 8 * ANSWER_BYTES_MAX);
    status = sea_answer_text(answer, sampling, tokenizer, &text, err);
    if (!status && options->prompts)
        sea_json_quote(&line, text.data, text.len);
    if (!status)
        fprintf(to, "%s\n", options->prompts ? line.data : text.data);
    sea_buf_release(&text);
    sea_buf_release(&line);
    return status;
}

static enum sea_status
check_options(const struct sea_tool_generate *options, struct sea_err *err)
{
    if (options->temperature < 0 || !(options->temperature < 1e6))
        return sea_fail(err, SEA_E_CONFIG, "temperature %g must be 0 (greedy) or above",
                        options->temperature);
    if (options->max_new < 0)
        return sea_fail(err, SEA_E_CONFIG, "%lld new words are asked for, must be 0 or more",
                        (long long)options->max_new);
    if (options->top_k < 0)
        return sea_fail(err, SEA_E_CONFIG, "top-k %lld must be 0 (all words) or above",
                        (long long)options->top_k);
    if (!(options->top_p >= 0) || options->top_p > 1)
        return sea_fail(err, SEA_E_CONFIG, "top-p %g must be from 0 to 1", options->top_p);
    if (options->temperature == 0 && (options->top_k || options->top_p > 0)) {
        sea_fail(err, SEA_E_CONFIG, "top-k and top-p mean nothing without a temperature");
        sea_hint(err, "Add --temperature 1 to sample, or leave them out.");
        return err->status;
    }
    if (!!options->ids + !!options->prompt + !!options->prompts != 1)
        return sea_fail(err, SEA_E_CONFIG, "one of a prompt, a file of prompts or ids must be "
                        "given");
    if (options->together < 0 || options->together > 4096)
        return sea_fail(err, SEA_E_CONFIG, "%lld answers together are asked for, must be 1 to "
                        "4096", (long long)options->together);
    return SEA_OK;
}

static enum sea_status
run(const struct sea_tool_generate *options, const struct sea_opened *opened,
    const struct sea_sampling *sampling, struct batch *batch, struct sea_err *err)
{
    int64_t most = opened->folder.lm->desc.max_positions;
    struct sea_generator *generator = NULL;
    enum sea_status status;
    struct sea_generate_desc desc = {
        .slots = options->together ? options->together : TOGETHER, .share = true,
        .room = batch->longest + opened->folder.patches + sampling->max_new,
    };

    if (desc.slots > batch->count)
        desc.slots = batch->count;
    if (desc.room > most)
        desc.room = most;
    status = sea_generator_create(&generator, &opened->mllm, &desc, err);
    if (!status)
        status = sea_generate(generator, batch->prompts, batch->count, opened->features,
                              options->image ? 1 : 0, sampling, batch->answers, err);
    sea_generator_destroy(generator);
    return status;
}

enum sea_status
sea_tool_generate(const struct sea_tool_generate *given, FILE *to, struct sea_err *err)
{
    static const int32_t no_end = -1;
    struct sea_tool_generate options = *given;
    struct batch batch = { .arena = sea_arena_create(NULL, "prompts") };
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_opened opened = { 0 };
    struct sea_sampling sampling = {
        .temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p,
        .seed = (uint64_t)options.seed, .stop = options.stop, .stop_count = options.stop_count,
        .eos = options.past_end ? &no_end : NULL,
    };
    enum sea_status status;

    status = check_options(&options, err);
    if (!status)
        status = sea_opened_model(&opened, options.dir, options.tower, options.device,
                                  options.precision, err);
    /* An answer ends with the positions; room for more than these is not asked for. */
    if (!status && options.max_new > opened.folder.lm->desc.max_positions)
        options.max_new = opened.folder.lm->desc.max_positions;
    sampling.max_new = options.max_new;
    if (!status && (!options.ids || !options.ids_out || options.stop_count))
        status = sea_tokenizer_load(&tokenizer, options.dir, err);
    sampling.tokenizer = tokenizer;
    if (!options.aspect)
        options.aspect = options.template_name || opened.folder.pad ? "pad" : "square";
    if (!status && options.image)
        status = sea_opened_picture(&opened, options.dir, options.image, options.aspect, err);
    if (!status)
        status = prepare(&options, &opened, tokenizer, &batch, err);
    if (!status)
        status = run(&options, &opened, &sampling, &batch, err);
    for (int64_t i = 0; i < batch.count && !status; i++)
        status = print_answer(&options, &sampling, tokenizer, &batch.answers[i], to, err);
    release_batch(&batch);
    sea_tokenizer_destroy(tokenizer);
    sea_opened_release(&opened);
    return status;
}
