/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_relay.h - from the event lines of a stage to PostgreSQL
 *
 * Lines are read as they come and sent in numbered batches under the fence. While the
 * database is away they are kept, up to a limit; then reading stops and the child waits in
 * its own write. A batch whose reply was lost is sent again with its number, so nothing
 * doubles and nothing is missing.
 *
 * A checkpoint event keeps the named folder in the store and records it; the one it replaces
 * is removed afterwards, never before.
 */
#ifndef SEA_RELAY_H
#define SEA_RELAY_H

#include <stdbool.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_store.h"

struct sea_relay;

struct sea_relay_options {
    struct sea_db *db;          /* borrowed; may get lost, is reconnected here */
    const struct sea_fence *fence;
    const struct sea_store *store;
    const char *out;            /* the stage's output folder */
};

/* Caller destroys. options are copied, what they point to is borrowed. */
struct sea_relay *sea_relay_create(const struct sea_relay_options *options);
void sea_relay_destroy(struct sea_relay *relay);        /* accepts NULL */

/* Reads what the pipe holds now; *closed when the child closed its end. */
SEA_MUST_CHECK enum sea_status
sea_relay_read(struct sea_relay *relay, int fd, bool *closed, struct sea_err *err);
/* As much is kept as may be: the pipe is not read until something could be sent. */
bool sea_relay_is_full(const struct sea_relay *relay);
/* Sends what is due; all of it when final. SEA_E_SERVICE is kept inside while not final
 * (the lease decides how long to go on); SEA_E_LEASE comes out. */
SEA_MUST_CHECK enum sea_status
sea_relay_flush(struct sea_relay *relay, bool final, struct sea_err *err);
/* What the stage said last and nobody has sent, for a commit to carry: a payload as
 * sea_queue_relay takes it, NULL when there is none, and its number; valid until the next call.
 * Sends by itself what may have arrived before and what is too much for a commit. A later
 * sea_relay_flush sends the same batch with the same number. */
SEA_MUST_CHECK enum sea_status
sea_relay_last(struct sea_relay *relay, int64_t *number, const char **payload,
               struct sea_err *err);
/* The last error event of the stage: status SEA_OK when there was none. */
const struct sea_err *sea_relay_error(const struct sea_relay *relay);
/* A line of our own among the stage's log lines. */
void sea_relay_log(struct sea_relay *relay, const char *level, const char *text);

#endif
