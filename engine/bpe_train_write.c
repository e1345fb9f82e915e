/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_train_write.c - a trained tokenizer as the files that `tokenizers` reads */
#include "engine/tokenizer_int.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/sea_file.h"

static void
put_special(const struct sea_bpe_trained *trained, struct sea_buf *out, const char *word)
{
    int32_t id = sea_vocab_find(trained->vocab, word, strlen(word));

    sea_json_quote(out, word, strlen(word));
    sea_buf_puts(out, ": {\"id\": ");
    sea_json_quote(out, word, strlen(word));
    sea_buf_addf(out, ", \"ids\": [%" PRId32 "], \"tokens\": [", id);
    sea_json_quote(out, word, strlen(word));
    sea_buf_puts(out, "]}");
}

static void
put_template_part(struct sea_buf *out, const char *word, int type)
{
    sea_buf_puts(out, "{\"SpecialToken\": {\"id\": ");
    sea_json_quote(out, word, strlen(word));
    sea_buf_addf(out, ", \"type_id\": %d}}", type);
}

static void
put_template(const struct sea_bpe_trained *trained, struct sea_buf *out)
{
    const struct sea_tokenizer_train *options = trained->options;
    const char *bos = options->add_bos ? options->bos : NULL;
    const char *eos = options->add_eos ? options->eos : NULL;

    sea_buf_puts(out, "{\"type\": \"TemplateProcessing\", \"single\": [");
    for (int type = 0; type < 3; type++) {      /* single, then both halves of pair */
        const char *sequence = type == 2 ? "B" : "A";

        if (type == 1)
            sea_buf_puts(out, "], \"pair\": [");
        if (type == 2)
            sea_buf_puts(out, ", ");
        if (bos) {
            put_template_part(out, bos, type == 2);
            sea_buf_puts(out, ", ");
        }
        sea_buf_addf(out, "{\"Sequence\": {\"id\": \"%s\", \"type_id\": %d}}", sequence, type == 2);
        if (eos) {
            sea_buf_puts(out, ", ");
            put_template_part(out, eos, type == 2);
        }
    }
    sea_buf_puts(out, "], \"special_tokens\": {");
    if (bos)
        put_special(trained, out, bos);
    if (bos && eos && strcmp(bos, eos) != 0)
        sea_buf_puts(out, ", ");
    if (eos && (!bos || strcmp(bos, eos) != 0))
        put_special(trained, out, eos);
    sea_buf_puts(out, "}}");
}

static void
put_steps(const struct sea_bpe_trained *trained, struct sea_buf *out)
{
    bool is_llama3 = trained->options->split == SEA_SPLIT_LLAMA3;

    sea_buf_puts(out, "  \"normalizer\": ");
    sea_buf_puts(out, trained->options->lowercase
                          ? "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, "
                            "{\"type\": \"Lowercase\"}]},\n"
                          : "null,\n");
    sea_buf_puts(out, "  \"pre_tokenizer\": ");
    if (is_llama3) {
        sea_buf_puts(out, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
                          "\"pattern\": {\"Regex\": ");
        sea_json_quote(out, SEA_REGEX_LLAMA3, strlen(SEA_REGEX_LLAMA3));
        sea_buf_puts(out, "}, \"behavior\": \"Isolated\", \"invert\": false}, ");
    }
    sea_buf_addf(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                      "\"trim_offsets\": true, \"use_regex\": %s}%s,\n",
                 is_llama3 ? "false" : "true", is_llama3 ? "]}" : "");
    sea_buf_puts(out, "  \"post_processor\": ");
    if ((trained->options->add_bos && trained->options->bos) ||
        (trained->options->add_eos && trained->options->eos))
        put_template(trained, out);
    else
        sea_buf_puts(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                          "\"trim_offsets\": true, \"use_regex\": true}");
    sea_buf_puts(out, ",\n  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                      "\"trim_offsets\": true, \"use_regex\": true},\n");
}

static void
put_tokenizer(const struct sea_bpe_trained *trained, struct sea_buf *out)
{
    const struct sea_vocab *vocab = trained->vocab;

    sea_buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
                      "  \"added_tokens\": [");
    for (size_t i = 0; i < trained->options->special_count; i++) {
        sea_buf_addf(out, "%s\n    {\"id\": %zu, \"content\": ", i ? "," : "", i);
        sea_json_quote(out, vocab->words[i], vocab->lens[i]);
        sea_buf_puts(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                          "\"normalized\": false, \"special\": true}");
    }
    sea_buf_puts(out, "\n  ],\n");
    put_steps(trained, out);
    sea_buf_puts(out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                      "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                      "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                      "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                      "    \"vocab\": {");
    for (int32_t id = 0; id < vocab->count; id++) {
        sea_buf_puts(out, id ? ",\n      " : "\n      ");
        sea_json_quote(out, vocab->words[id], vocab->lens[id]);
        sea_buf_addf(out, ": %" PRId32, id);
    }
    sea_buf_puts(out, "\n    },\n    \"merges\": [");
    sea_buf_add(out, trained->merges->data, trained->merges->len);
    sea_buf_puts(out, trained->merges_count ? "\n    ]\n  }\n}\n" : "]\n  }\n}\n");
}

static void
put_names(const struct sea_tokenizer_train *options, struct sea_arena *arena,
          struct sea_node *root)
{
    if (options->bos)
        sea_node_put_text(arena, root, "bos_token", options->bos);
    if (options->eos)
        sea_node_put_text(arena, root, "eos_token", options->eos);
    if (options->pad)
        sea_node_put_text(arena, root, "pad_token", options->pad);
    if (options->unk)
        sea_node_put_text(arena, root, "unk_token", options->unk);
}

static enum sea_status
write_node(const char *dir, const char *name, const struct sea_node *root, struct sea_buf *buf,
           struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, name, err);

    if (!status && root) {
        sea_buf_clear(buf);
        status = sea_json_write(root, SEA_JSON_PRETTY, buf, err);
    }
    return status ? status : sea_file_replace(path, buf->data, buf->len, err);
}

enum sea_status
sea_bpe_trained_write(const struct sea_bpe_trained *trained, const char *dir,
                      struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_tokenizer_train *options = trained->options;
    struct sea_node *config = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *map = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    enum sea_status status;
    struct sea_buf buf;

    sea_buf_init(&buf, SIZE_MAX / 2);
    put_names(options, arena, config);
    sea_node_put_bool(arena, config, "clean_up_tokenization_spaces", false);
    if (options->model_max_length)
        sea_node_put_int(arena, config, "model_max_length", options->model_max_length);
    sea_node_put_text(arena, config, "tokenizer_class", "PreTrainedTokenizerFast");
    put_names(options, arena, map);
    put_tokenizer(trained, &buf);
    status = sea_dir_create(dir, err);
    if (!status)
        status = write_node(dir, "tokenizer.json", NULL, &buf, err);
    if (!status)
        status = write_node(dir, "tokenizer_config.json", config, &buf, err);
    if (!status)
        status = write_node(dir, "special_tokens_map.json", map, &buf, err);
    sea_buf_release(&buf);
    return status;
}
