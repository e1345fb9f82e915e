/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_int.h - between the files of a judge
 *
 * judge.c (options, totals, threads) runs judge_ask.c (requests, tries), which looks into
 * judge_cache.c (replies in files) before it calls judge_http.c (libcurl).
 */
#ifndef SEA_JUDGE_INT_H
#define SEA_JUDGE_INT_H

#include <pthread.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "pipeline/sea_judge.h"

#define SEA_JUDGE_FORMAT "sea-judge-1"          /* of a file in the cache */
#define SEA_JUDGE_BODY_MAX ((size_t)8 << 20)    /* of a server's answer */

struct sea_judge_answer {       /* of one POST */
    int64_t status;             /* of HTTP; 0: no whole answer came, see trouble */
    bool final;                 /* trying again cannot help (certificate, address) */
    int64_t retry_after_ms;     /* 0: the server did not say */
    char trouble[256];
    struct sea_buf body;
};

struct sea_judge {
    struct sea_judge_options options;
    char *key;                  /* NULL: none */
    struct sea_arena *arena;    /* parents those of the threads */
    pthread_mutex_t lock;       /* of all below, and of the cache's temporary names */
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

/* Adds a reply to the totals. Takes the lock. */
void sea_judge_count(struct sea_judge *judge, const char *model, int64_t tokens_in,
                     int64_t tokens_out, bool cached);

/* ---- judge_cache.c ---- */

/* Where the reply to a request, written as body, lies. */
SEA_MUST_CHECK enum sea_status
sea_judge_cache_path(const struct sea_judge *judge, const struct sea_judge_ask *ask,
                     const struct sea_buf *body, char path[SEA_PATH_MAX], struct sea_err *err);
/* Gives out a reply and counts it; false when there is none. What is broken counts as not
 * there: it is asked for again and replaced. */
bool sea_judge_cache_find(struct sea_judge *judge, const char *path, struct sea_arena *arena,
                          struct sea_judge_reply *reply);
SEA_MUST_CHECK enum sea_status
sea_judge_cache_keep(const char *path, struct sea_node *request,
                     struct sea_node *kept, struct sea_arena *arena, struct sea_err *err);
/* Gives out what a server or the cache said and counts it; false when it is no reply. */
bool sea_judge_take_reply(struct sea_judge *judge, const struct sea_node *kept, bool cached,
                          struct sea_judge_reply *reply);

/* ---- judge_http.c ---- */

struct sea_judge_link;          /* a connection that is kept open */
/* What is wrong with an address, NULL: nothing. */
const char *sea_judge_url_trouble(const char *url);
SEA_MUST_CHECK enum sea_status sea_judge_link_init(struct sea_err *err);     /* once */
SEA_MUST_CHECK enum sea_status
sea_judge_link_open(struct sea_judge_link **link, const struct sea_judge_options *options,
                    const char *key, struct sea_err *err);
void sea_judge_link_close(struct sea_judge_link *link); /* accepts NULL */
/* Posts JSON; answer->body is cleared first. SEA_E_STOPPED only; all else is in answer. */
SEA_MUST_CHECK enum sea_status
sea_judge_link_post(struct sea_judge_link *link, const char *body, size_t len,
                    struct sea_judge_answer *answer, struct sea_err *err);

#endif
