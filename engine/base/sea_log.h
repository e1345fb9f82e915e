/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_log.h - the log lines of long-running roles, and the one place that hides secrets
 *
 * kernels and engine return and do not log; a stage emits events (pipeline/sea_events.h);
 * scheduler, worker and server write log lines here: "TIME LEVEL ROLE[PID] TEXT key=value".
 * Levels: error (somebody must act), warn (we acted), info (a state changed), debug.
 */
#ifndef SEA_LOG_H
#define SEA_LOG_H

#include <stdio.h>

#include "engine/base/sea_err.h"

enum sea_log_level { SEA_LOG_ERROR, SEA_LOG_WARN, SEA_LOG_INFO, SEA_LOG_DEBUG };

/* role is shown in each line and copied; to is borrowed until the process ends. */
void sea_log_open(const char *role, enum sea_log_level most, FILE *to);
SEA_PRINTF(2) void sea_log(enum sea_log_level level, const char *fmt, ...);
/* One line with message, context, hint and cause of err. */
void sea_log_err(enum sea_log_level level, const struct sea_err *err);

/* Replaces the password in URLs (scheme://user:PASSWORD@) and the values after
 * password=, secret=, token=, key= by "***", in place. */
void sea_log_redact(char *text);

#endif
