/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_lease.h - keeps one lease alive, and kills the child when it cannot
 *
 * A thread with its own connection renews the lease every TTL/3, and at least every 2 s so
 * that the wishes which the reply carries (cancel, drain) do not wait for a long TTL, whatever
 * the child and the relay are doing. If no renewal was accepted for
 * TTL - margin, counted from when the last accepted one was *sent*, a second thread, which
 * calls nobody, kills the guarded process group; so does the first when the database says that
 * the lease is gone. Another worker may hold the stage run from then on.
 *
 * States: live -> lost (final). A lost lease never comes back for this process.
 * Threads: all functions from the owner's thread; the other two are inside.
 */
#ifndef SEA_LEASE_H
#define SEA_LEASE_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_queue.h"

struct sea_lease;

/* db_url may be NULL (environment). claimed_ms: sea_clock_ms() before the claim was sent. */
SEA_MUST_CHECK enum sea_status
sea_lease_open(const char *db_url, const struct sea_fence *fence, int64_t ttl_ms,
               int64_t claimed_ms, struct sea_lease **out, struct sea_err *err);
/* Ends the threads; the row stays. Accepts NULL. */
void sea_lease_close(struct sea_lease *lease);
/* Renewals stop and the threads end; for the commit. The states can still be asked. */
void sea_lease_stop(struct sea_lease *lease);

/* group is killed when the lease is lost; 0 before its leader is reaped. Kills at once when
 * the lease is lost already. */
void sea_lease_guard(struct sea_lease *lease, pid_t group);

bool sea_lease_is_lost(struct sea_lease *lease);
/* The database said so: somebody else may hold the stage run. Otherwise nobody was heard in time,
 * and the row may still be there. */
bool sea_lease_was_refused(struct sea_lease *lease);
bool sea_lease_wants_cancel(struct sea_lease *lease);
/* How the worker is to leave, by an operator's wish. */
enum sea_drain sea_lease_drain(struct sea_lease *lease);

#endif
