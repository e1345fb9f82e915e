/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lm_rope.c - Phi-3's "longrope": each frequency has a factor of its own, one for texts up to
 * the positions of the training and another for longer ones, and what is rotated grows a little
 *
 * Which of the two is meant depends on the length of the whole text, so that keys of words
 * that stand already would change in the middle of an answer. Only the shorter texts are
 * computed: such a model has the positions of its training here, and says so.
 */
#include "engine/lm_int.h"

#include <math.h>
#include <string.h>

/* What a model without an own number multiplies by, from the growth of its positions. */
static double
usual_attention(const struct sea_rope_scaling *scaling)
{
    double growth = (double)scaling->most / (double)scaling->original;

    return growth <= 1.0 ? 1.0 : sqrt(1.0 + log(growth) / log((double)scaling->original));
}

static enum sea_status
read_factors(const struct sea_node *map, const char *key, int64_t count, float *out,
             const char *name, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(map, key), *item;
    int64_t n = 0;

    if (list && list->kind == SEA_NODE_LIST && (int64_t)list->count == count)
        for (item = list->first; item; item = item->next) {
            out[n] = (float)sea_node_real(item, 0.0);
            n += out[n] > 0 && out[n] < 1e30f;
        }
    if (n < count)
        return sea_fail(err, SEA_E_FORMAT, "%s: rotation type \"longrope\" needs a list \"%s\" of "
                        "%lld numbers above 0", name, key, (long long)count);
    return SEA_OK;
}

void
sea_lm_read_longrope(struct sea_lm_desc *desc, const struct sea_node *map, int64_t original,
                     const char *name, struct sea_err *err)
{
    struct sea_rope_scaling *scaling = &desc->rope_scaling;
    const struct sea_node *attention = sea_node_get(map, "attention_factor");
    int64_t count = sea_lm_rope_dims(desc) / 2;

    scaling->kind = SEA_ROPE_LONG;
    scaling->original = original;
    scaling->most = desc->max_positions;
    if (desc->max_positions > original)
        desc->max_positions = original;
    if (count > SEA_ROPE_FACTORS || original < 2) {
        sea_fail(err, SEA_E_FORMAT, "%s: rotation type \"longrope\" is supported for at most %d "
                 "frequencies and 2 positions or more, here are %lld and %lld", name,
                 SEA_ROPE_FACTORS, (long long)count, (long long)original);
        return;
    }
    if (read_factors(map, "short_factor", count, scaling->short_factor, name, err) ||
        read_factors(map, "long_factor", count, scaling->long_factor, name, err))
        return;
    scaling->factor = sea_node_real(attention, usual_attention(scaling));
    if (!(scaling->factor > 0 && scaling->factor < 1e6))
        sea_fail(err, SEA_E_FORMAT, "%s: \"attention_factor\" must be a number above 0", name);
}

static void
put_factors(struct sea_arena *arena, struct sea_node *map, const char *key, const float *factors,
            int64_t count)
{
    struct sea_node *list = sea_node_put(arena, map, key, SEA_NODE_LIST);

    for (int64_t i = 0; i < count; i++)
        sea_node_put_real(arena, list, NULL, sea_lm_tidy(factors[i]));
}

void
sea_lm_put_longrope(const struct sea_lm_desc *desc, struct sea_arena *arena,
                    struct sea_node *map, bool newer)
{
    const struct sea_rope_scaling *scaling = &desc->rope_scaling;
    int64_t count = sea_lm_rope_dims(desc) / 2;

    /* Releases 4 want these three keys and no other. */
    sea_node_put_text(arena, map, newer ? "rope_type" : "type", "longrope");
    put_factors(arena, map, "short_factor", scaling->short_factor, count);
    put_factors(arena, map, "long_factor", scaling->long_factor, count);
    if (newer)
        sea_node_put_int(arena, map, "original_max_position_embeddings", scaling->original);
    if (newer || fabs(scaling->factor - usual_attention(scaling)) > 1e-12)
        sea_node_put_real(arena, map, "attention_factor", scaling->factor);
}
