/* SPDX-License-Identifier: Apache-2.0 */
/* lora_files.c - PEFT folders, in and out */
#include "engine/lora_int.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_safetensors.h"

#define CONFIG "adapter_config.json"
#define WEIGHTS SEA_LORA_WEIGHTS
#define CONFIG_BYTES_MAX (1u << 20)
#define STEM "model."           /* what our names begin with, in a language model alone */
#define PROJECTOR "base_model.model.model." SEA_LORA_PROJECTOR "."
#define WORDS_MOST 32           /* different layers of a block */

/* Where a model class keeps its language model: our name with the stem cut off, or whole,
 * behind a prefix. */
static const struct place {
    const char *prefix;
    bool cut;
} places[] = {
    { "base_model.model.", false },                             /* a language model alone */
    { "base_model.model.model.language_model.", true },         /* Llava */
    { "base_model.model.language_model.", false },              /* Llava, older releases */
};
enum { ALONE, LLAVA, PLACES = sizeof(places) / sizeof(places[0]) };

static const char *
name_at(struct sea_arena *arena, const struct place *place, const char *name)
{
    bool cut = place->cut && !strncmp(name, STEM, strlen(STEM));

    return sea_arena_printf(arena, "%s%s", place->prefix, name + (cut ? strlen(STEM) : 0));
}

/* The adapters' own memory under the names of a file. */
static struct sea_params
file_names(const struct sea_lora *lora, struct sea_arena *arena, const struct place *place)
{
    struct sea_params params = lora->params;

    params.list = sea_arena_alloc(arena, (size_t)params.count, sizeof(*params.list));
    memcpy(params.list, lora->params.list, (size_t)params.count * sizeof(*params.list));
    for (int64_t t = 0; t < params.count; t++)
        params.list[t].name = name_at(arena, place, params.list[t].name);
    return params;
}

/* "q_proj" of "model.layers.0.self_attn.q_proj.weight". */
static const char *
last_word(struct sea_arena *arena, const char *name)
{
    const char *end = strrchr(name, '.'), *at = end;

    while (at > name && at[-1] != '.')
        at--;
    return sea_arena_printf(arena, "%.*s", (int)(end - at), at);
}

/* Adds a word that is not in the list yet. */
static size_t
add_word(const char **words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(words[i], word))
            return count;
    if (count < WORDS_MOST)
        words[count++] = word;
    return count;
}

/* ---- saving ---- */

static void
put_targets(struct sea_arena *arena, struct sea_node *map, const struct sea_lora *lora,
            bool llava)
{
    const char *words[WORDS_MOST], *text = "";
    struct sea_node *list;
    size_t count = 0;

    for (int64_t i = 0; i < lora->count; i++)
        count = add_word(words, count, last_word(arena, lora->pairs[i].base->name));
    if (llava) {                /* a list would find the vision tower's layers, too */
        for (size_t i = 0; i < count; i++)
            text = sea_arena_printf(arena, "%s%s%s", text, i ? "|" : "", words[i]);
        sea_node_put_text(arena, map, "target_modules",
                          sea_arena_printf(arena, ".*language_model.*\\.(%s)", text));
        return;
    }
    list = sea_node_put(arena, map, "target_modules", SEA_NODE_LIST);
    for (size_t i = 0; i < count; i++)
        sea_node_put_text(arena, list, NULL, words[i]);
}

static struct sea_node *
config_node(const struct sea_lora *lora, struct sea_arena *arena, const char *base, bool llava,
            bool projector)
{
    struct sea_node *map = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;
    double alpha = lora->desc.alpha;

    sea_node_put_text(arena, map, "peft_type", "LORA");
    if (!llava)
        sea_node_put_text(arena, map, "task_type", "CAUSAL_LM");
    sea_node_put_text(arena, map, "base_model_name_or_path", base);
    sea_node_put_int(arena, map, "r", lora->desc.rank);
    if (alpha == floor(alpha) && fabs(alpha) < 1e15)
        sea_node_put_int(arena, map, "lora_alpha", (int64_t)alpha);
    else
        sea_node_put_real(arena, map, "lora_alpha", alpha);
    sea_node_put_real(arena, map, "lora_dropout", lora->desc.dropout);
    put_targets(arena, map, lora, llava);
    if (projector) {
        list = sea_node_put(arena, map, "modules_to_save", SEA_NODE_LIST);
        sea_node_put_text(arena, list, NULL, SEA_LORA_PROJECTOR);
    }
    sea_node_put_text(arena, map, "bias", "none");
    sea_node_put_bool(arena, map, "fan_in_fan_out", false);
    sea_node_put_bool(arena, map, "use_rslora", false);
    sea_node_put_bool(arena, map, "use_dora", false);
    sea_node_put_bool(arena, map, "inference_mode", true);
    return map;
}

enum sea_status
sea_lora_save(const struct sea_lora *lora, const char *dir, const char *base, bool llava,
              const struct sea_params *projector, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "adapter's files");
    struct sea_params names = file_names(lora, arena, &places[llava ? LLAVA : ALONE]);
    const struct sea_params_part parts[] = { { &names, "" }, { projector, PROJECTOR } };
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status = sea_dir_create(dir, err);

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    if (!status)
        status = sea_path_join(path, dir, WEIGHTS, err);
    if (!status)
        status = sea_params_save(path, parts, projector ? 2 : 1, err);
    if (!status)
        status = sea_json_write(config_node(lora, arena, base, llava, projector != NULL),
                                SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, CONFIG, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    if (status)
        sea_context(err, "while saving low-rank adapters to \"%s\"", dir);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

/* ---- loading ---- */

static enum sea_status
load_config(const char *dir, struct sea_arena *arena, struct sea_node **config,
            char path[SEA_PATH_MAX], struct sea_err *err)
{
    enum sea_status status = sea_path_join(path, dir, CONFIG, err);

    return status ? status : sea_json_load(path, CONFIG_BYTES_MAX, arena, config, err);
}

bool
sea_lora_is_folder(const char *dir)
{
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];

    return !sea_path_join(path, dir, CONFIG, &ignored) && sea_file_exists(path);
}

enum sea_status
sea_lora_base(const char *dir, char out[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "adapter's config");
    struct sea_node *config;
    char path[SEA_PATH_MAX];
    const char *name;
    enum sea_status status = load_config(dir, arena, &config, path, err);

    if (status)
        goto out;
    name = sea_node_text(sea_node_get(config, "base_model_name_or_path"), "");
    if (!*name) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" names no base model", path);
        sea_hint(err, "Set \"base_model_name_or_path\" to the folder of the model that the "
                 "adapter was trained on.");
        goto out;
    }
    status = sea_path_join(out, dir, name, err);
    if (!status && !sea_dir_exists(out))
        status = sea_path_join(out, ".", name, err);
    if (!status && !sea_dir_exists(out)) {
        status = sea_fail(err, SEA_E_MISSING, "base model \"%s\" of adapter \"%s\" is not there",
                          name, dir);
        sea_hint(err, "Put the folder there, or change \"base_model_name_or_path\" in "
                 "adapter_config.json.");
    }
out:
    sea_arena_destroy(arena);
    return status;
}

static bool
is_empty(const struct sea_node *node)
{
    return !node || node->kind == SEA_NODE_NULL || (node->kind == SEA_NODE_BOOL && !node->integer)
           || ((node->kind == SEA_NODE_MAP || node->kind == SEA_NODE_LIST) && !node->count);
}

/* Whole modules beside the adapters: the projector of a Llava model, nothing else. */
static bool
saves_projector_only(const struct sea_node *list)
{
    if (is_empty(list))
        return true;
    if (list->kind != SEA_NODE_LIST)
        return false;
    for (const struct sea_node *node = list->first; node; node = node->next)
        if (strcmp(sea_node_text(node, ""), SEA_LORA_PROJECTOR))
            return false;
    return true;
}

/* What we do not compute is refused by its key. */
static enum sea_status
check_config(const struct sea_node *config, const char *path, struct sea_err *err)
{
    static const char *const empty[] = {
        "use_dora", "fan_in_fan_out", "lora_bias", "megatron_config",
        "trainable_token_indices", "target_parameters", "layer_replication",
        "alora_invocation_tokens", "use_qalora", "arrow_config", "use_bdlora", "velora_config",
    };
    const char *type = sea_node_text(sea_node_get(config, "peft_type"), "");
    const char *bias = sea_node_text(sea_node_get(config, "bias"), "none");

    if (strcmp(type, "LORA"))
        return sea_fail(err, SEA_E_FORMAT, "%s: \"peft_type\" is \"%s\", must be \"LORA\"", path,
                        type);
    if (strcmp(bias, "none"))
        return sea_fail(err, SEA_E_FORMAT, "%s: \"bias\" is \"%s\", must be \"none\"", path,
                        bias);
    if (!saves_projector_only(sea_node_get(config, "modules_to_save"))) {
        sea_fail(err, SEA_E_FORMAT, "%s: \"modules_to_save\" is not supported but for \"%s\"",
                 path, SEA_LORA_PROJECTOR);
        sea_hint(err, "Merge the adapter into its model with PEFT and use that folder.");
        return err->status;
    }
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
        if (!is_empty(sea_node_get(config, empty[i]))) {
            sea_fail(err, SEA_E_FORMAT, "%s: \"%s\" is not supported, must be off or empty",
                     path, empty[i]);
            sea_hint(err, "Merge the adapter into its model with PEFT and use that folder.");
            return err->status;
        }
    return SEA_OK;
}

/* Adapters of these kinds begin by changing the base model's weights; PEFT does so again when
 * it loads them. */
static enum sea_status
check_start(const struct sea_node *config, const char *path, struct sea_err *err)
{
    static const char *const changing[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };
    const char *init = sea_node_text(sea_node_get(config, "init_lora_weights"), "");

    for (size_t i = 0; i < sizeof(changing) / sizeof(changing[0]); i++)
        if (!strncasecmp(init, changing[i], strlen(changing[i]))) {
            sea_fail(err, SEA_E_FORMAT, "%s: \"init_lora_weights\" is \"%s\", which changes the "
                     "base model's weights and is not supported", path, init);
            sea_hint(err, "Save the adapter with PEFT's path_initial_model_for_weight_conversion, "
                     "or merge it into its model with PEFT.");
            return err->status;
        }
    return SEA_OK;
}

static enum sea_status
parse_config(struct sea_lora_desc *desc, const struct sea_node *config, const char *path,
             struct sea_err *err)
{
    const struct sea_node *rank = sea_node_get(config, "r");
    const struct sea_node *alpha = sea_node_get(config, "lora_alpha");
    enum sea_status status = check_config(config, path, err);

    if (!status)
        status = check_start(config, path, err);
    if (status)
        return status;
    memset(desc, 0, sizeof(*desc));
    desc->rank = sea_node_int(rank, 0);
    desc->alpha = sea_node_real(alpha, NAN);
    if (desc->rank < 1 || desc->rank > 65536 || !isfinite(desc->alpha))
        return sea_fail(err, SEA_E_FORMAT, "%s: \"r\" must be a whole number above 0 and "
                        "\"lora_alpha\" a number", path);
    return SEA_OK;
}

/* Which layers the file has adapters for, and under which names. */
static const struct place *
find_layers(const struct sea_tensors *tensors, const struct sea_params *base,
            struct sea_arena *arena, const char **words, size_t *count)
{
    *count = 0;
    for (int p = 0; p < PLACES; p++) {
        for (int64_t t = 0; t < base->count; t++) {
            const char *name = base->list[t].name, *end = strrchr(name, '.');
            const char *first;

            if (!end || base->list[t].rank != 2)
                continue;
            first = sea_arena_printf(arena, "%.*s.lora_A.weight", (int)(end - name), name);
            if (sea_tensors_find(tensors, name_at(arena, &places[p], first)))
                *count = add_word(words, *count, last_word(arena, name));
        }
        if (*count)
            return &places[p];
    }
    return NULL;
}

/* Whether a layer of one of these words has no adapter in the file. */
static bool
misses_layers(const struct sea_tensors *tensors, const struct sea_params *base,
              struct sea_arena *arena, const struct place *place, const char **words,
              size_t count)
{
    for (int64_t t = 0; t < base->count; t++) {
        const char *name = base->list[t].name, *end = strrchr(name, '.');
        const char *first;

        if (!end || base->list[t].rank != 2 || !strstr(name, "layers.") ||
            add_word(words, count, last_word(arena, name)) > count)
            continue;
        first = sea_arena_printf(arena, "%.*s.lora_A.weight", (int)(end - name), name);
        if (!sea_tensors_find(tensors, name_at(arena, place, first)))
            return true;
    }
    return false;
}

/* Every tensor of the file must have found its layer. */
static enum sea_status
check_all_used(const struct sea_tensors *tensors, const struct sea_params *names,
               struct sea_err *err)
{
    for (size_t i = 0; i < tensors->count; i++)
        if (!sea_params_find(names, tensors->list[i].name) &&
            !strstr(tensors->list[i].name, "." SEA_LORA_PROJECTOR ".")) {
            sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" belongs to no linear layer of "
                     "the language model", tensors->path, tensors->list[i].name);
            sea_hint(err, "Adapters of other parts of a model are not supported: merge them "
                     "with PEFT.");
            return err->status;
        }
    return SEA_OK;
}

enum sea_status
sea_lora_load(struct sea_lora **out, struct sea_stack *stack, const char *dir,
              struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "adapter's names");
    struct sea_tensors *tensors = NULL;
    struct sea_lora *lora = NULL;
    const char *words[WORDS_MOST];
    const struct place *place = NULL;
    struct sea_lora_desc desc;
    struct sea_params names;
    struct sea_node *config;
    char path[SEA_PATH_MAX];
    enum sea_status status;
    bool even = true;

    *out = NULL;
    status = load_config(dir, arena, &config, path, err);
    if (!status)
        status = parse_config(&desc, config, path, err);
    if (!status)
        status = sea_path_join(path, dir, WEIGHTS, err);
    if (!status)
        status = sea_tensors_open(&tensors, path, err);
    if (!status) {
        place = find_layers(tensors, stack->params, arena, words, &desc.targets_count);
        desc.targets = words;
        if (!place)
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" holds no adapter for a layer of the "
                              "language model", path);
    }
    if (!status) {
        even = sea_lora_is_even(config, misses_layers(tensors, stack->params, arena, place, words,
                                                      desc.targets_count));
        if (sea_node_bool(sea_node_get(config, "use_rslora"), false) && even)
            desc.alpha *= sqrt((double)desc.rank);
        if (!even)
            sea_lora_widen(&desc, tensors);
        status = sea_lora_create(&lora, stack, &desc, false, err);
    }
    if (!status) {
        names = file_names(lora, arena, place);
        status = even ? sea_params_load(&names, tensors, "", err)
                      : sea_lora_load_uneven(lora, &names, tensors, config, err);
        lora->params.warning = names.warning;
        if (!status)
            status = check_all_used(tensors, &names, err);
    }
    if (status) {
        sea_context(err, "while loading low-rank adapters \"%s\"", dir);
        sea_lora_destroy(lora);
    } else {
        *out = lora;
    }
    sea_tensors_close(tensors);
    sea_arena_destroy(arena);
    return status;
}
