/* SPDX-License-Identifier: Apache-2.0 */
/* order.c - which samples make a step, and how a step is packed */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "pipeline/stages/stages_int.h"

enum { ALL, PICTURES, TEXTS, BATCHES };         /* random streams of one pass */

void
sea_order_init(struct sea_order *order, int64_t count, uint64_t seed, const char *use)
{
    *order = (struct sea_order){ .count = count, .pass = -1, .seed = seed, .use = use };
    order->items = sea_xcalloc((size_t)count + 1, sizeof(int64_t));
}

void
sea_order_group(struct sea_order *order, enum sea_order_kind kind, const int64_t *lengths,
                int64_t batch, int64_t chunk)
{
    assert(batch > 0 && chunk > 0 && batch % chunk == 0);
    order->kind = kind;
    order->lengths = lengths;
    order->batch = batch;
    order->chunk = chunk;
    order->pass = -1;
}

void
sea_order_release(struct sea_order *order)
{
    free(order->items);
    memset(order, 0, sizeof(*order));
}

static void
shuffle(const struct sea_order *order, int64_t pass, uint64_t stream, int64_t *items, int64_t n)
{
    struct sea_rng rng;

    sea_rng_init(&rng, order->seed, sea_rng_stream(order->use, (uint64_t)pass, stream));
    sea_rng_shuffle(&rng, items, (size_t)n);
}

/* ---- like lengths together ---- */

struct ranked {
    int64_t item, length, place;
};

static int
by_length_down(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->length != y->length)
        return x->length > y->length ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Deals n sorted samples to chunks and writes the chunks one after another: each sample to
 * the chunk of the least length that has room. A number that the chunks cannot share evenly
 * is dealt in turn. */
static void
deal(const struct ranked *sorted, int64_t n, int64_t chunks, int64_t *out)
{
    int64_t each = n / chunks, *filled, *length, i, c, best;

    if (n % chunks) {
        for (c = 0; c < chunks; c++)
            for (i = c; i < n; i += chunks)
                *out++ = sorted[i].item;
        return;
    }
    filled = sea_xcalloc((size_t)chunks, sizeof(*filled));
    length = sea_xcalloc((size_t)chunks, sizeof(*length));
    for (i = 0; i < n; i++) {
        best = -1;
        for (c = 0; c < chunks; c++)
            if (filled[c] < each && (best < 0 || length[c] < length[best]))
                best = c;
        out[best * each + filled[best]++] = sorted[i].item;
        length[best] += sorted[i].length;
    }
    free(filled);
    free(length);
}

/* Shuffles n samples, then sorts and deals every batch of them. */
static void
group(const struct sea_order *order, int64_t pass, uint64_t stream, int64_t *items, int64_t n)
{
    struct ranked *sorted = sea_xcalloc((size_t)order->batch, sizeof(*sorted));
    int64_t at, m, i;

    shuffle(order, pass, stream, items, n);
    for (at = 0; at < n; at += m) {
        m = n - at < order->batch ? n - at : order->batch;
        for (i = 0; i < m; i++) {
            int64_t length = order->lengths[items[at + i]];

            sorted[i] = (struct ranked){ items[at + i], length < 0 ? -length : length, i };
        }
        qsort(sorted, (size_t)m, sizeof(*sorted), by_length_down);
        deal(sorted, m, order->batch / order->chunk, items + at);
    }
    free(sorted);
}

static int
by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Batches but the last one of n samples. */
static int64_t
whole_batches(const struct sea_order *order, int64_t n)
{
    return (n + order->batch - 1) / order->batch - 1;
}

static void
group_by_modality(struct sea_order *order, int64_t pass)
{
    int64_t B = order->batch, n = 0, k = 0, i, whole[2], *numbers, *at = order->items;
    int64_t *pictures = sea_xcalloc((size_t)order->count + 1, sizeof(*pictures)), *texts;

    for (i = 0; i < order->count; i++)
        if (order->lengths[i] >= 0)
            pictures[n++] = i;
    texts = pictures + n;
    for (i = 0; i < order->count; i++)
        if (order->lengths[i] < 0)
            texts[k++] = i;
    group(order, pass, PICTURES, pictures, n);
    group(order, pass, TEXTS, texts, k);
    whole[0] = whole_batches(order, n);
    whole[1] = whole_batches(order, k);
    numbers = sea_xcalloc((size_t)(whole[0] + whole[1]) + 1, sizeof(*numbers));
    for (i = 0; i < whole[0] + whole[1]; i++)
        numbers[i] = i;
    shuffle(order, pass, BATCHES, numbers, whole[0] + whole[1]);
    for (i = 0; i < whole[0] + whole[1]; i++, at += B) {
        bool first = numbers[i] < whole[0];

        memcpy(at, first ? pictures + numbers[i] * B : texts + (numbers[i] - whole[0]) * B,
               (size_t)B * sizeof(*at));
    }
    /* What is left of both kinds makes the last, mixed steps. */
    n -= whole[0] * B;
    k -= whole[1] * B;
    memcpy(at, pictures + whole[0] * B, (size_t)n * sizeof(*at));
    memcpy(at + n, texts + whole[1] * B, (size_t)k * sizeof(*at));
    qsort(at, (size_t)(n + k), sizeof(*at), by_value);
    free(numbers);
    free(pictures);
}

static bool
is_mixed(const struct sea_order *order)
{
    int64_t texts = 0, i;

    for (i = 0; i < order->count; i++)
        texts += order->lengths[i] < 0;
    return texts > 0 && texts < order->count;
}

static void
make_pass(struct sea_order *order, int64_t pass)
{
    for (int64_t i = 0; i < order->count; i++)
        order->items[i] = i;
    if (order->kind == SEA_ORDER_SHUFFLE)
        shuffle(order, pass, ALL, order->items, order->count);
    else if (order->kind == SEA_ORDER_LENGTH || !is_mixed(order))
        group(order, pass, ALL, order->items, order->count);
    else
        group_by_modality(order, pass);
    order->pass = pass;
}

int64_t
sea_order_at(struct sea_order *order, int64_t at)
{
    if (at / order->count != order->pass)
        make_pass(order, at / order->count);
    return order->items[at % order->count];
}

int64_t
sea_run_steps(int64_t steps, double epochs, int64_t count, int64_t batch, int64_t *samples)
{
    if (steps > 0) {
        *samples = steps * batch;
        return steps;
    }
    *samples = (int64_t)llround(epochs * (double)count);
    if (*samples < 1)
        *samples = 1;
    return (*samples + batch - 1) / batch;
}

/* ---- packing ---- */

int64_t
sea_pack_parts(const int64_t *rows, int64_t n, int64_t room, int64_t *part)
{
    struct ranked *sorted = sea_xcalloc((size_t)n + 1, sizeof(*sorted));
    int64_t *used = sea_xcalloc((size_t)n + 1, sizeof(*used)), parts = 0, sum = 0, i, p, best;

    for (i = 0; i < n; i++) {
        sorted[i] = (struct ranked){ i, rows[i], i };
        sum += rows[i];
        part[i] = 0;
    }
    if (sum > room)
        qsort(sorted, (size_t)n, sizeof(*sorted), by_length_down);
    for (i = 0; i < n; i++) {
        assert(sorted[i].length <= room);
        best = -1;
        for (p = 0; p < parts; p++)
            if (used[p] + sorted[i].length <= room && (best < 0 || used[p] > used[best]))
                best = p;
        if (best < 0)
            best = parts++;
        used[best] += sorted[i].length;
        part[sorted[i].item] = best;
    }
    free(sorted);
    free(used);
    return parts;
}
