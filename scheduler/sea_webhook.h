/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_webhook.h - telling the world: one POST with a signature and a deadline
 *
 * The request is JSON with
 *
 *     X-Sea-Notice: 17                     the notice; a repeated one has the same number
 *     X-Sea-Signature: sha256=HEX          HMAC-SHA256 of the body with the secret
 *
 * and counts as accepted when the answer is 2xx. Redirections are not followed. What the
 * receiver says besides is not read.
 */
#ifndef SEA_WEBHOOK_H
#define SEA_WEBHOOK_H

#include <signal.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

struct sea_webhook {
    const char *url;            /* http or https */
    const char *secret;         /* NULL: no signature */
    int64_t timeout_ms;         /* of the whole call */
};

/* Once per process, before threads. */
SEA_MUST_CHECK enum sea_status sea_webhook_init(struct sea_err *err);
/* SEA_E_SERVICE when it was not accepted in time, or *stop was set (may be NULL). Messages
 * name the host and no more of the URL, which may hold a token. */
SEA_MUST_CHECK enum sea_status
sea_webhook_post(const struct sea_webhook *to, int64_t notice, const char *body,
                 const volatile sig_atomic_t *stop, struct sea_err *err);

/* HMAC-SHA256 in hex, 64 digits and the final 0. */
void sea_webhook_sign(const char *secret, const char *body, char out[65]);

#endif
