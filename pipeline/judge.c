/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - a judge: its options and key, what it has cost, its threads */
#include "pipeline/judge_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"

#define PARALLEL_MOST 64

static int64_t
or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

static enum sea_status
check_options(const struct sea_judge_options *o, struct sea_err *err)
{
    const char *trouble = o->url ? sea_judge_url_trouble(o->url) : NULL;

    if (!o->model || !o->model[0] || !o->cache || !o->cache[0]) {
        sea_fail(err, SEA_E_CONFIG, "the judge has no %s",
                 o->model && o->model[0] ? "cache folder" : "model");
        sea_hint(err, "Give --judge-model NAME and --judge-cache FOLDER, or the keys model and "
                 "cache below judge of the suite.");
        return SEA_E_CONFIG;
    }
    if (trouble) {
        sea_fail(err, SEA_E_CONFIG, "the judge's url cannot be used: %s", trouble);
        sea_hint(err, "It looks like https://HOST/v1; the key comes from the environment "
                 "variable " SEA_JUDGE_KEY ".");
        return SEA_E_CONFIG;
    }
    if (!o->url && !o->offline) {
        sea_fail(err, SEA_E_CONFIG, "the judge has no url");
        sea_hint(err, "Give --judge URL, or --judge-offline to use only what the cache holds.");
        return SEA_E_CONFIG;
    }
    if (o->runs < 1 || o->runs > 100 || o->parallel < 1 || o->parallel > PARALLEL_MOST ||
        o->per_minute < 0 || o->max_tokens < 0 || o->timeout_ms < 1 || o->tries < 1 ||
        o->pause_ms < 1 || o->price_in < 0 || o->price_out < 0)
        return sea_fail(err, SEA_E_CONFIG, "the judge's runs must be 1 to 100, parallel 1 to %d, "
                        "tries and time-out at least 1, tokens, rate and prices not "
                        "below 0",
                        PARALLEL_MOST);
    return SEA_OK;
}

static enum sea_status
read_key(struct sea_judge *judge, struct sea_err *err)
{
    const char *key = getenv(SEA_JUDGE_KEY);

    if (!key || !key[0] || judge->options.offline)
        return SEA_OK;
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F)
            return sea_fail(err, SEA_E_CONFIG, "environment variable " SEA_JUDGE_KEY " holds a "
                            "blank or a character that is not ASCII");
    judge->key = sea_xstrdup(key);
    return SEA_OK;
}

enum sea_status
sea_judge_create(struct sea_judge **out, const struct sea_judge_options *options,
                 struct sea_err *err)
{
    struct sea_judge *judge = sea_xcalloc(1, sizeof(*judge));
    struct sea_judge_options *o = &judge->options;
    enum sea_status status;

    *o = *options;
    o->url = o->url && o->url[0] ? o->url : NULL;
    o->runs = or_default(o->runs, 1);
    o->parallel = or_default(o->parallel, 4);
    o->timeout_ms = or_default(o->timeout_ms, 120000);
    o->tries = or_default(o->tries, 6);
    o->pause_ms = or_default(o->pause_ms, 1000);
    o->pause_most_ms = or_default(o->pause_most_ms, 60000);
    judge->arena = sea_arena_create(NULL, "judge");
    pthread_mutex_init(&judge->lock, NULL);
    *out = judge;
    status = check_options(o, err);
    if (!status)
        status = read_key(judge, err);
    if (!status)
        status = sea_dir_create(o->cache, err);
    if (!status && !o->offline)
        status = sea_judge_link_init(err);
    if (status) {
        sea_judge_destroy(judge);
        *out = NULL;
    }
    return status;
}

void
sea_judge_destroy(struct sea_judge *judge)
{
    if (!judge)
        return;
    if (judge->key)
        memset(judge->key, 0, strlen(judge->key));
    free(judge->key);
    sea_arena_destroy(judge->arena);
    pthread_mutex_destroy(&judge->lock);
    free(judge);
}

const struct sea_judge_options *
sea_judge_options(const struct sea_judge *judge)
{
    return &judge->options;
}

/* ---- totals ---- */

/* Keeps "a+b+c" sorted and without doubles; what does not fit is left out. */
static void
add_served(char served[160], const char *name)
{
    const char *at = served;
    size_t n = strlen(name), len;
    struct sea_buf merged;
    int order = 1;

    while (*at) {
        len = strcspn(at, "+");
        order = strncmp(at, name, len > n ? len : n);
        if (order == 0 && len == n)
            return;
        if (order > 0)
            break;
        at += len + (at[len] == '+');
    }
    if (strlen(served) + n + 2 > 160)
        return;
    len = (size_t)(at - served);
    while (len > 0 && served[len - 1] == '+')
        len--;
    sea_buf_init(&merged, 160);
    sea_buf_addf(&merged, "%.*s%s%s%s%s", (int)len, served, len ? "+" : "", name,
                 *at ? "+" : "", at);
    memcpy(served, merged.data, merged.len + 1);
    sea_buf_release(&merged);
}

void
sea_judge_count(struct sea_judge *judge, const char *model, int64_t tokens_in,
                int64_t tokens_out, bool cached)
{
    struct sea_judge_totals *t = &judge->totals;

    pthread_mutex_lock(&judge->lock);
    t->cached += cached;
    t->tokens_in += tokens_in;
    t->tokens_out += tokens_out;
    t->paid_in += cached ? 0 : tokens_in;
    t->paid_out += cached ? 0 : tokens_out;
    if (model[0])
        add_served(t->served, model);
    pthread_mutex_unlock(&judge->lock);
}

void
sea_judge_totals(struct sea_judge *judge, struct sea_judge_totals *out)
{
    const struct sea_judge_options *o = &judge->options;

    pthread_mutex_lock(&judge->lock);
    *out = judge->totals;
    pthread_mutex_unlock(&judge->lock);
    out->cost = o->price_in > 0 || o->price_out > 0
                    ? ((double)out->paid_in * o->price_in + (double)out->paid_out * o->price_out)
                          / 1e6
                    : NAN;
}

/* ---- several at a time ---- */

struct crew {
    struct sea_judge *judge;
    sea_judge_fn *fn;
    void *arg;
    size_t count, next;         /* under the judge's lock, as is err */
    struct sea_err *err;
    enum sea_status status;
};

struct member {
    struct crew *crew;
    struct sea_arena *arena;
    pthread_t thread;
    int64_t number;
};

static bool
take_item(struct crew *crew, size_t *i)
{
    bool taken;

    pthread_mutex_lock(&crew->judge->lock);
    taken = !crew->judge->ended && crew->next < crew->count;
    *i = crew->next;
    crew->next += taken;
    pthread_mutex_unlock(&crew->judge->lock);
    return taken;
}

static void *
work(void *arg)
{
    struct member *member = arg;
    struct crew *crew = member->crew;
    struct sea_judge_session session = { .judge = crew->judge };
    struct sea_err err = { 0 };
    size_t i;

    sea_buf_init(&session.answer.body, SEA_JUDGE_BODY_MAX);
    sea_rng_init(&session.rng, (uint64_t)sea_clock_ms(), (uint64_t)member->number);
    while (take_item(crew, &i)) {
        enum sea_status status = crew->fn(crew->arg, &session, i, member->arena, &err);

        if (!status)
            continue;
        pthread_mutex_lock(&crew->judge->lock);
        if (!crew->status) {
            crew->status = status;
            *crew->err = err;
        }
        crew->judge->ended = true;
        pthread_mutex_unlock(&crew->judge->lock);
    }
    sea_judge_link_close(session.link);
    sea_buf_release(&session.answer.body);
    return NULL;
}

enum sea_status
sea_judge_each(struct sea_judge *judge, size_t count, sea_judge_fn *fn, void *arg,
               struct sea_err *err)
{
    struct crew crew = { .judge = judge, .fn = fn, .arg = arg, .count = count, .err = err };
    struct member members[PARALLEL_MOST];
    size_t n = (size_t)judge->options.parallel < count ? (size_t)judge->options.parallel : count,
           started = 0;

    judge->ended = false;
    judge->in_a_row = 0;
    for (size_t i = 0; i < n; i++) {
        members[i] = (struct member){ .crew = &crew, .number = (int64_t)i };
        members[i].arena = sea_arena_create(judge->arena, "replies");
    }
    for (size_t i = 0; i + 1 < n; i++, started++)
        if (pthread_create(&members[i].thread, NULL, work, &members[i]))
            break;              /* fewer will do */
    if (n > 0)
        work(&members[n - 1]);
    for (size_t i = 0; i < started; i++)
        pthread_join(members[i].thread, NULL);
    return crew.status;
}
