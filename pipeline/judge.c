/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - asking a judge: the cache of replies, tries and pauses, several at a time
 *
 * A reply lies in CACHE/ab/HASH.json, HASH being that of the request as sent, of the grading
 * prompts, and of the numbers of run and attempt.
 */
#include "pipeline/judge_int.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"

#define FORMAT "sea-judge-1"
#define IN_A_ROW 3              /* items that get nothing: the server is taken for gone */
#define PARALLEL_MOST 64
#define SLICE_MS 200            /* between looks at is_stopped */

struct sea_judge {
    struct sea_judge_options options;
    char *key;                  /* NULL: none */
    struct sea_arena *arena;    /* parents those of the threads */
    pthread_mutex_t lock;       /* of all below */
    struct sea_judge_totals totals;
    int64_t in_a_row;
    int64_t next_start;         /* ms: when the rate limit allows the next request */
    bool ended;                 /* a thread has failed */
};

struct sea_judge_session {
    struct sea_judge *judge;
    struct sea_judge_link *link;        /* NULL until the first request */
    struct sea_judge_answer answer;
    struct sea_rng rng;                 /* of the pauses */
};

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

/* ---- request and cache ---- */

static void
add_message(struct sea_arena *arena, struct sea_node *list, const char *role, const char *text)
{
    struct sea_node *message = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

    sea_node_put_text(arena, message, "role", role);
    sea_node_put_text(arena, message, "content", text);
}

static struct sea_node *
request_node(const struct sea_judge *judge, const struct sea_judge_ask *ask,
             struct sea_arena *arena)
{
    struct sea_node *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;

    sea_node_put_text(arena, top, "model", judge->options.model);
    list = sea_node_put(arena, top, "messages", SEA_NODE_LIST);
    if (ask->system)
        add_message(arena, list, "system", ask->system);
    add_message(arena, list, "user", ask->user);
    sea_node_put_real(arena, top, "temperature", ask->temperature);
    sea_node_put_int(arena, top, "max_tokens",
                     or_default(judge->options.max_tokens, ask->max_tokens));
    return top;
}

static enum sea_status
cache_path(const struct sea_judge *judge, const struct sea_judge_ask *ask,
           const struct sea_buf *body, char path[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT], name[SEA_SHA256_TEXT + 16];

    sea_hash_add_field(hash, FORMAT);
    sea_hash_add_field(hash, body->data);
    sea_hash_add_field(hash, ask->prompts_digest);
    snprintf(name, sizeof(name), "%lld %lld", (long long)ask->run, (long long)ask->attempt);
    sea_hash_add_field(hash, name);
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    snprintf(name, sizeof(name), "%.2s/%s.json", digest, digest);
    return sea_path_join(path, judge->options.cache, name, err);
}

/* Gives out what a server or the cache said; false when it is no reply. */
static bool
take_reply(struct sea_judge *judge, const struct sea_node *kept, bool cached,
           struct sea_judge_reply *reply)
{
    const char *text = sea_node_text(sea_node_get(kept, "text"), "");
    int64_t in = sea_node_int(sea_node_get(kept, "tokens_in"), 0),
            out = sea_node_int(sea_node_get(kept, "tokens_out"), 0);

    if (!text[0] || strcmp(sea_node_text(sea_node_get(kept, "format"), ""), FORMAT) != 0)
        return false;
    reply->text = text;
    reply->model = sea_node_text(sea_node_get(kept, "model"), "");
    reply->cached = cached;
    pthread_mutex_lock(&judge->lock);
    judge->totals.cached += cached;
    judge->totals.tokens_in += in;
    judge->totals.tokens_out += out;
    judge->totals.paid_in += cached ? 0 : in;
    judge->totals.paid_out += cached ? 0 : out;
    if (reply->model[0])
        add_served(judge->totals.served, reply->model);
    pthread_mutex_unlock(&judge->lock);
    return true;
}

/* What is broken in the cache counts as not there: it is asked for again and replaced. */
static bool
from_cache(struct sea_judge *judge, const char *path, struct sea_arena *arena,
           struct sea_judge_reply *reply)
{
    struct sea_err ignored = { 0 };
    struct sea_node *kept;

    return sea_file_exists(path) &&
           !sea_json_load(path, 2 * SEA_JUDGE_BODY_MAX, arena, &kept, &ignored) &&
           take_reply(judge, kept, true, reply);
}

static enum sea_status
keep(struct sea_judge *judge, const char *path, struct sea_node *request, struct sea_node *kept,
     struct sea_arena *arena, struct sea_err *err)
{
    struct sea_buf text;
    char folder[SEA_PATH_MAX], now[32];
    enum sea_status status;

    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    sea_clock_utc(now);
    sea_node_put_text(arena, kept, "time", now);
    sea_node_put_copy(arena, kept, "request", request);
    sea_buf_init(&text, 4 * SEA_JUDGE_BODY_MAX);
    status = sea_json_write(kept, SEA_JSON_PRETTY, &text, err);
    pthread_mutex_lock(&judge->lock);   /* temporary names are one per process */
    if (!status)
        status = sea_dir_create(folder, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    pthread_mutex_unlock(&judge->lock);
    sea_buf_release(&text);
    if (status)
        sea_context(err, "while keeping a reply of the judge");
    return status;
}

/* ---- what a server answered ---- */

/* A whole answer of status 2xx as a cache entry; NULL with the reason when it is none. */
static struct sea_node *
read_answer(const struct sea_judge_answer *answer, struct sea_arena *arena, const char **trouble)
{
    struct sea_err inner = { 0 };
    struct sea_node *top = NULL, *kept;
    const struct sea_node *choice, *text, *usage;

    if (sea_json_parse(answer->body.data, answer->body.len, "answer", arena, &top, &inner)) {
        *trouble = "the answer is cut off or is no JSON";
        return NULL;
    }
    choice = sea_node_get(top, "choices");
    choice = choice && choice->kind == SEA_NODE_LIST ? choice->first : NULL;
    text = sea_node_path(choice, "message.content");
    if (!text || text->kind != SEA_NODE_STRING || text->text_len == 0) {
        *trouble = choice ? "the reply is empty" : "the answer has no choices[0].message.content";
        return NULL;
    }
    usage = sea_node_get(top, "usage");
    kept = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    sea_node_put_text(arena, kept, "format", FORMAT);
    sea_node_put_text(arena, kept, "text", text->text);
    sea_node_put_text(arena, kept, "finish",
                      sea_node_text(sea_node_get(choice, "finish_reason"), ""));
    sea_node_put_text(arena, kept, "model", sea_node_text(sea_node_get(top, "model"), ""));
    sea_node_put_int(arena, kept, "tokens_in",
                     sea_node_int(sea_node_get(usage, "prompt_tokens"), 0));
    sea_node_put_int(arena, kept, "tokens_out",
                     sea_node_int(sea_node_get(usage, "completion_tokens"), 0));
    return kept;
}

/* What the server says about itself: {"error": {"message"}} or {"error": TEXT}. */
static const char *
complaint(const struct sea_judge_answer *answer, struct sea_arena *arena, const char **code)
{
    struct sea_err ignored = { 0 };
    struct sea_node *top = NULL;
    const struct sea_node *error;

    *code = "";
    if (sea_json_parse(answer->body.data, answer->body.len, "answer", arena, &top, &ignored))
        return "";
    error = sea_node_get(top, "error");
    *code = sea_node_text(sea_node_get(error, "code"), "");
    return sea_node_text(sea_node_get(error, "message"), sea_node_text(error, ""));
}

static bool
is_passing(int64_t status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static enum sea_status
refused(const struct sea_judge_answer *answer, const char *words, struct sea_err *err)
{
    int64_t status = answer->status;

    if (status == 0)
        return sea_fail(err, SEA_E_SERVICE, "the judge was not reached: %s", answer->trouble);
    sea_fail(err, SEA_E_CONFIG, "the judge refused a request with status %lld%s%.200s",
             (long long)status, words[0] ? ": " : "", words);
    if (status == 401 || status == 403)
        sea_hint(err, "Put a key that may use the model into the environment variable "
                 SEA_JUDGE_KEY ".");
    else if (status == 404 || (status >= 300 && status < 400))
        sea_hint(err, "Check the judge's url (https://HOST/v1) and model.");
    return SEA_E_CONFIG;
}

/* ---- tries ---- */

/* Waits in slices; false when it is to stop. */
static bool
wait_ms(const struct sea_judge *judge, int64_t ms)
{
    int64_t end = sea_clock_ms() + ms, left;

    while ((left = end - sea_clock_ms()) > 0) {
        if (judge->options.is_stopped && judge->options.is_stopped())
            return false;
        sea_clock_sleep_ms(left < SLICE_MS ? left : SLICE_MS);
    }
    return !(judge->options.is_stopped && judge->options.is_stopped());
}

/* Waits for the turn of the next request and counts it. */
static enum sea_status
take_turn(struct sea_judge *judge, struct sea_err *err)
{
    int64_t gap = judge->options.per_minute ? 60000 / judge->options.per_minute : 0, now, start;

    pthread_mutex_lock(&judge->lock);
    now = sea_clock_ms();
    start = judge->next_start > now ? judge->next_start : now;
    judge->next_start = start + gap;
    judge->totals.calls++;
    pthread_mutex_unlock(&judge->lock);
    if (!wait_ms(judge, start - now))
        return sea_fail(err, SEA_E_STOPPED, "stopped while asking the judge");
    return SEA_OK;
}

/* The pause before try number next (from 1): doubled each time, between half and all of it,
 * so that many do not come back at one moment. Negative: the server asks for too long. */
static int64_t
pause_before(struct sea_judge_session *session, int64_t next)
{
    const struct sea_judge_options *o = &session->judge->options;
    double pause = (double)o->pause_ms * pow(2, (double)(next - 1));

    pause = fmin(pause, (double)o->pause_most_ms) * (0.5 + 0.5 * sea_rng_uniform(&session->rng));
    if (session->answer.retry_after_ms > o->pause_most_ms)
        return -1;
    return (int64_t)fmax(pause, (double)session->answer.retry_after_ms);
}

/* One try. *kept is NULL when it is to be tried again. */
static enum sea_status
try_once(struct sea_judge_session *session, const struct sea_buf *body, struct sea_arena *arena,
         struct sea_node **kept, const char **trouble, struct sea_err *err)
{
    struct sea_judge *judge = session->judge;
    struct sea_judge_answer *answer = &session->answer;
    const char *code, *words;
    enum sea_status status = take_turn(judge, err);

    *kept = NULL;
    if (!status && !session->link)
        status = sea_judge_link_open(&session->link, &judge->options, judge->key, err);
    if (!status)
        status = sea_judge_link_post(session->link, body->data, body->len, answer, err);
    if (status)
        return status;
    if (answer->status >= 200 && answer->status < 300) {
        *kept = read_answer(answer, arena, trouble);
        return SEA_OK;
    }
    words = complaint(answer, arena, &code);
    if (answer->final || (answer->status && !is_passing(answer->status)))
        return refused(answer, words, err);
    if (strcmp(code, "insufficient_quota") == 0)
        return sea_fail(err, SEA_E_SERVICE, "the judge's account is used up: %.200s", words);
    *trouble = answer->status
                   ? sea_arena_printf(arena, "status %lld%s%.120s", (long long)answer->status,
                                      words[0] ? ": " : "", words)
                   : sea_arena_strdup(arena, answer->trouble);
    return SEA_OK;
}

static enum sea_status
try_often(struct sea_judge_session *session, const struct sea_buf *body, struct sea_arena *arena,
          struct sea_node **kept, const char **trouble, struct sea_err *err)
{
    struct sea_judge *judge = session->judge;
    enum sea_status status = SEA_OK;

    *kept = NULL;
    for (int64_t i = 0; i < judge->options.tries && !*kept && !status; i++) {
        int64_t pause = i ? pause_before(session, i) : 0;

        if (pause < 0) {
            *trouble = sea_arena_printf(arena, "%s; asks to wait %lld s", *trouble,
                                        (long long)session->answer.retry_after_ms / 1000);
            break;
        }
        if (!wait_ms(judge, pause))
            return sea_fail(err, SEA_E_STOPPED, "stopped while asking the judge");
        if (i) {
            pthread_mutex_lock(&judge->lock);
            judge->totals.retries++;
            pthread_mutex_unlock(&judge->lock);
        }
        status = try_once(session, body, arena, kept, trouble, err);
    }
    return status;
}

/* Counts items that got nothing. */
static enum sea_status
note_outcome(struct sea_judge *judge, const struct sea_judge_ask *ask, const char *trouble,
             struct sea_err *err)
{
    int64_t in_a_row;

    pthread_mutex_lock(&judge->lock);
    in_a_row = judge->in_a_row = trouble ? judge->in_a_row + 1 : 0;
    pthread_mutex_unlock(&judge->lock);
    if (in_a_row < IN_A_ROW)
        return SEA_OK;
    sea_fail(err, SEA_E_SERVICE, "the judge gave nothing for %d items in a row, the last \"%s\" "
             "after %lld tries: %s", IN_A_ROW, ask->item, (long long)judge->options.tries,
             trouble);
    sea_hint(err, "Look at the server and run again: replies that came are in the cache.");
    return SEA_E_SERVICE;
}

enum sea_status
sea_judge_ask(struct sea_judge_session *session, const struct sea_judge_ask *ask,
              struct sea_arena *arena, struct sea_judge_reply *reply, struct sea_err *err)
{
    struct sea_judge *judge = session->judge;
    struct sea_node *request = request_node(judge, ask, arena), *kept = NULL;
    const char *trouble = NULL;
    char path[SEA_PATH_MAX];
    struct sea_buf body;
    enum sea_status status;

    *reply = (struct sea_judge_reply){ .model = "" };
    sea_buf_init(&body, 4 * SEA_JUDGE_BODY_MAX);
    status = sea_json_write(request, SEA_JSON_CANONICAL, &body, err);
    if (!status)
        status = cache_path(judge, ask, &body, path, err);
    if (status || from_cache(judge, path, arena, reply))
        goto out;
    if (judge->options.offline) {
        reply->trouble = "not in the cache";
        goto out;
    }
    status = try_often(session, &body, arena, &kept, &trouble, err);
    if (!status && kept)
        status = keep(judge, path, request, kept, arena, err);
    if (!status && kept)
        take_reply(judge, kept, false, reply);
    if (!status) {
        reply->trouble = trouble = kept ? NULL : trouble;
        status = note_outcome(judge, ask, trouble, err);
    }
out:
    sea_buf_release(&body);
    if (status)
        sea_context(err, "while asking the judge about item \"%s\"", ask->item);
    return status;
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
