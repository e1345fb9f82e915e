/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_notifier.h - carries notices from the database to the webhook
 *
 * A thread beside the scheduler's. Each notice is claimed (its next attempt is put off
 * first), sent, and marked when it was accepted: told at least once, with a number by which
 * the receiver knows a repeated one. Any number of schedulers may do this.
 *
 * Settings are the section `webhook` of sea.yaml in the data folder (configs/sea.yaml is an
 * example); without it nothing is sent. Secrets lie in a file of their own, never in the
 * settings, the database or the log.
 */
#ifndef SEA_NOTIFIER_H
#define SEA_NOTIFIER_H

#include <signal.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_webhook.h"

/* Reads DIR/sea.yaml. out->url is NULL when there is no file or no webhook in it.
 * SEA_E_CONFIG names file, line and key. Texts live in the arena. */
SEA_MUST_CHECK enum sea_status
sea_notifier_settings(const char *dir, struct sea_arena *arena, struct sea_webhook *out,
                      struct sea_err *err);

/* Sends what is due; *sent counts what was accepted. What was not is no error: it is
 * recorded and comes again. */
SEA_MUST_CHECK enum sea_status
sea_notifier_deliver(struct sea_db *db, const struct sea_webhook *to,
                     const volatile sig_atomic_t *stop, size_t *sent, struct sea_err *err);

/* The thread: NULL when no webhook is set. Ends with sea_notifier_stop, which waits for the
 * call under way, up to its deadline at most. url as for sea_db_open. */
struct sea_notifier;
SEA_MUST_CHECK enum sea_status
sea_notifier_start(const char *dir, const char *url, struct sea_notifier **out,
                   struct sea_err *err);
void sea_notifier_stop(struct sea_notifier *notifier);  /* accepts NULL */

#endif
