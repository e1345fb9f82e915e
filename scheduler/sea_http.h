/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_http.h - the dashboard: what the views say, over HTTP, read only
 *
 *     /                     experiments, running stages, leaderboard
 *     /api/experiments      the same rows as JSON, as `sea status --json` prints them
 *     /api/stages?id=N      stages of one experiment
 *     /api/leaderboard      all scores
 *     /health               "ok" when the database answers
 *     /metrics              for Prometheus (sea_metrics.h), when it was asked for
 * What went wrong is JSON with a message and a hint: 400 for a question that makes no sense,
 * 404 for a page that is not there, 503 while the database is away.
 * One thread, one connection to the database: for a team's browsers, not for the world. It
 * listens on the loopback address; put a proxy with your own log-in before it.
 */
#ifndef SEA_HTTP_H
#define SEA_HTTP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"

struct sea_http_options {
    int64_t port;
    bool metrics;               /* answer /metrics */
    const char *data;           /* folder whose free space /metrics tells; NULL: none */
    const volatile sig_atomic_t *stop;
};

/* Serves until *stop. db is borrowed and reconnected when lost. SEA_E_SERVICE when the port
 * cannot be had. */
SEA_MUST_CHECK enum sea_status
sea_http_serve(struct sea_db *db, const struct sea_http_options *options, struct sea_err *err);

#endif
