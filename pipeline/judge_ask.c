/* SPDX-License-Identifier: Apache-2.0 */
/* judge_ask.c - one item put to a judge: the request, what the server answered, tries, pauses */
#include "pipeline/judge_int.h"

#include <math.h>
#include <string.h>

#include "engine/base/sea_clock.h"

#define IN_A_ROW 3              /* items that get nothing: the server is taken for gone */
#define SLICE_MS 200            /* between looks at is_stopped */

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
                     judge->options.max_tokens ? judge->options.max_tokens : ask->max_tokens);
    return top;
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
    sea_node_put_text(arena, kept, "format", SEA_JUDGE_FORMAT);
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
        status = sea_judge_cache_path(judge, ask, &body, path, err);
    if (status || sea_judge_cache_find(judge, path, arena, reply))
        goto out;
    if (judge->options.offline) {
        reply->trouble = "not in the cache";
        goto out;
    }
    status = try_often(session, &body, arena, &kept, &trouble, err);
    if (!status && kept)
        status = sea_judge_cache_keep(path, request, kept, arena, err);
    if (!status && kept)
        sea_judge_take_reply(judge, kept, false, reply);
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
