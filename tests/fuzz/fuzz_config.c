/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a config.json: of a language model, of a vision model, and of a folder
 * that holds both. What must hold: a refusal has one error; accepted sizes are written as a
 * tree that is accepted again and gives the same sizes. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "engine/base/sea_node.h"
#include "engine/sea_clip.h"
#include "engine/sea_lm.h"
#include "engine/sea_mllm.h"

static const char *
check_lm(const struct sea_node *config, struct sea_arena *arena)
{
    struct sea_lm_desc desc, again;
    struct sea_err err = { 0 };

    if (sea_lm_desc_parse(&desc, config, "config.json", &err))
        return check_refusal(&err);
    sea_fuzz_accepted++;
    if (sea_lm_desc_floats(&desc) < 0)
        return "an accepted language model has a negative size";
    if (sea_lm_desc_parse(&again, sea_lm_desc_node(&desc, arena, NULL, NULL), "again", &err))
        return "the tree of an accepted language model is refused";
    if (again.layers != desc.layers || again.D != desc.D || again.vocab != desc.vocab)
        return "the tree of a language model has other sizes";
    return NULL;
}

static const char *
check_clip(const struct sea_node *config, struct sea_arena *arena)
{
    struct sea_clip_desc desc, again;
    struct sea_err err = { 0 };

    if (sea_clip_desc_parse(&desc, config, "config.json", &err))
        return check_refusal(&err);
    sea_fuzz_accepted++;
    if (sea_clip_desc_check(&desc, &err))
        return err.status == SEA_E_CONFIG && err.message[0] ? NULL : "a check has no error";
    if (sea_clip_desc_parse(&again, sea_clip_desc_node(&desc, arena), "again", &err))
        return "the tree of an accepted vision model is refused";
    if (again.vision.D != desc.vision.D || again.vision.layers != desc.vision.layers)
        return "the tree of a vision model has other sizes";
    return NULL;
}

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    struct sea_arena *arena = sea_arena_create(NULL, "fuzz");
    const char *wrong = NULL;
    struct sea_err err = { 0 };
    struct sea_node *config, *language;
    long before = sea_fuzz_accepted;

    if (sea_json_parse((const char *)data, n, "config.json", arena, &config, &err)) {
        wrong = check_refusal(&err);
    } else {
        wrong = check_lm(config, arena);
        if (!wrong)
            wrong = check_lm(sea_node_get(config, "text_config"), arena);
        language = sea_mllm_original_language(config, arena);
        if (!wrong && language)
            wrong = check_lm(language, arena);
        if (!wrong)
            wrong = check_clip(config, arena);
    }
    sea_arena_destroy(arena);
    sea_fuzz_refused += before == sea_fuzz_accepted;
    return wrong;
}

SEA_FUZZ_PROGRAM
