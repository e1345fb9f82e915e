/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_events.h - what a stage says while it works
 *
 * One JSON object per line, in the order of happening:
 *     {"t":"progress","done":5,"total":100,"unit":"steps"}
 *     {"t":"metric","name":"align.loss_words","step":5,"value":6.25}
 *     {"t":"log","level":"info","text":"..."}
 *     {"t":"artifact","path":"adapter.safetensors"}
 *     {"t":"checkpoint","path":"checkpoint/step-00000100","step":100}
 *     {"t":"error","status":"E_FORMAT","message":..,"hint":..,"context":..,"cause":..}
 * Without a place for them the same is shown to people on stderr: a bar with rate and
 * remaining time on a terminal, plain lines now and then in a pipe.
 *
 * Invariants: (1) a line is written whole, with one write call, or an error is kept;
 *             (2) the first failed write is kept: sea_events_check returns it, all later
 *                 events are dropped. A stage asks once per step;
 *             (3) progress is thinned out (twice a second), metrics and the rest never.
 * Threads: one at a time. All functions accept NULL: then nothing is said.
 */
#ifndef SEA_EVENTS_H
#define SEA_EVENTS_H

#include <stdint.h>

#include "engine/base/sea_err.h"

struct sea_events;

/* to: a file descriptor as digits ("3"), a file to append to, or NULL for people. */
SEA_MUST_CHECK enum sea_status
sea_events_open(struct sea_events **out, const char *to, struct sea_err *err);
void sea_events_close(struct sea_events *events);       /* accepts NULL */

/* done of total units; unit "steps", "pictures", "rows" or "questions". The rate starts at the
 * first call, so that a resumed run shows its own. */
void sea_events_progress(struct sea_events *events, int64_t done, int64_t total,
                         const char *unit);
void sea_events_metric(struct sea_events *events, const char *name, int64_t step,
                       double value);
/* level: "info", "warn" or "error" */
SEA_PRINTF(3) void sea_events_log(struct sea_events *events, const char *level,
                                  const char *fmt, ...);
void sea_events_artifact(struct sea_events *events, const char *path);
void sea_events_checkpoint(struct sea_events *events, const char *path, int64_t step);
/* The error that ends the stage. People see sea_err_print's form from the caller. */
void sea_events_error(struct sea_events *events, const struct sea_err *failed);

/* The first failure to write an event. */
SEA_MUST_CHECK enum sea_status
sea_events_check(const struct sea_events *events, struct sea_err *err);

#endif
