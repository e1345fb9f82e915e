/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_judge.h - a model behind an OpenAI-compatible endpoint that grades answers
 *
 * A request is POSTed to URL/chat/completions. Its reply is kept in a folder under the hash of
 * everything that the reply depends on, so that a scoring is paid for once, goes on where it
 * was stopped, and can be replayed with no network. What the cache does not depend on: the
 * address, the key, time-outs.
 *
 * Invariants: (1) a reply that is given out is whole (valid JSON with a text that is not
 *                 empty) and lies in the cache, synced, before it is given out;
 *             (2) the key is sent to URL and nowhere else: it is in no file, message or
 *                 argument list, and is blotted out of what the server says;
 *             (3) every wait ends: requests by timeout_ms, pauses by pause_most_ms, tries by
 *                 their number; is_stopped is looked at at least once a second;
 *             (4) redirects are not followed.
 * Threads: sea_judge_each runs fn in several; a session belongs to one of them.
 */
#ifndef SEA_JUDGE_H
#define SEA_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"

#define SEA_JUDGE_KEY "SEA_JUDGE_KEY"   /* environment variable of the API key; may be unset */

struct sea_judge_options {      /* texts are borrowed; 0 and NULL are the defaults */
    const char *url;            /* "https://HOST/v1"; NULL: offline only */
    const char *model;          /* must be given */
    const char *cache;          /* folder; must be given */
    const char *prompts;        /* file or folder of the official grading prompts */
    bool offline;               /* from the cache alone */
    int64_t runs;               /* gradings of each item; 1 */
    int64_t max_tokens;         /* of a reply; 0: as the benchmark asks */
    int64_t parallel;           /* requests at a time; 4 */
    int64_t per_minute;         /* requests started per minute; 0: no limit */
    int64_t timeout_ms;         /* of one request, first to last byte; 120,000 */
    int64_t tries;              /* of one request; 6 */
    int64_t pause_ms;           /* before the second try, doubled each time; 1,000 */
    int64_t pause_most_ms;      /* 60,000; a server that asks for more is given up */
    double price_in, price_out; /* of a million tokens, any currency; 0: not known */
    bool (*is_stopped)(void);   /* NULL: never */
};

struct sea_judge;
/* Checks the options and reads the key. SEA_E_CONFIG, SEA_E_IO. */
SEA_MUST_CHECK enum sea_status
sea_judge_create(struct sea_judge **judge, const struct sea_judge_options *options,
                 struct sea_err *err);
void sea_judge_destroy(struct sea_judge *judge);        /* accepts NULL */
const struct sea_judge_options *sea_judge_options(const struct sea_judge *judge);

/* One request. */
struct sea_judge_ask {
    const char *item;           /* id, for messages */
    const char *system, *user;  /* system NULL: none */
    double temperature;
    int64_t max_tokens;
    const char *prompts_digest; /* of the grading prompts */
    int64_t run, attempt;       /* from 0; tell apart equal requests */
};
struct sea_judge_reply {
    const char *text;           /* NULL: none was to be had, see trouble */
    const char *model;          /* as the server calls it */
    const char *trouble;        /* why there is none, one line */
    bool cached;
};
struct sea_judge_session;
/* Texts live in arena. SEA_OK also when the tries are used up or when the cache lacks the
 * reply offline. SEA_E_CONFIG: the server refuses (4xx); SEA_E_SERVICE: three items in a row
 * got nothing; SEA_E_STOPPED; SEA_E_IO: the cache cannot be written. */
SEA_MUST_CHECK enum sea_status
sea_judge_ask(struct sea_judge_session *session, const struct sea_judge_ask *ask,
              struct sea_arena *arena, struct sea_judge_reply *reply, struct sea_err *err);

/* fn(arg, session, i, arena) for i = 0 .. count - 1, several at a time, in no order; arena is
 * the thread's and lives as long as the judge. The first failure ends all. */
typedef enum sea_status sea_judge_fn(void *arg, struct sea_judge_session *session, size_t i,
                                     struct sea_arena *arena, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_judge_each(struct sea_judge *judge, size_t count, sea_judge_fn *fn, void *arg,
               struct sea_err *err);

struct sea_judge_totals {
    int64_t calls;              /* requests sent, failed ones included */
    int64_t cached;             /* replies out of the cache */
    int64_t retries;
    int64_t tokens_in, tokens_out;      /* of all replies, cached ones included */
    int64_t paid_in, paid_out;          /* of those asked for this time */
    double cost;                /* of the tokens paid this time; NaN: prices not known */
    char served[160];           /* names that servers gave, sorted, "+" between */
};
void sea_judge_totals(struct sea_judge *judge, struct sea_judge_totals *out);

#endif
