/* SPDX-License-Identifier: Apache-2.0 */
/* judge_int.h - between judge.c (cache, tries, totals) and judge_http.c (libcurl) */
#ifndef SEA_JUDGE_INT_H
#define SEA_JUDGE_INT_H

#include "engine/base/sea_buf.h"
#include "pipeline/sea_judge.h"

#define SEA_JUDGE_BODY_MAX ((size_t)8 << 20)    /* of a server's answer */

struct sea_judge_answer {       /* of one POST */
    int64_t status;             /* of HTTP; 0: no whole answer came, see trouble */
    bool final;                 /* trying again cannot help (certificate, address) */
    int64_t retry_after_ms;     /* 0: the server did not say */
    char trouble[256];
    struct sea_buf body;
};

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
