/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_metrics.h - the service in numbers, in Prometheus' text format 0.0.4
 *
 * What is written is a whole exposition whatever happens: while the database is away it says
 * sea_database_up 0 and leaves out what only the database knows. Names, types and help texts
 * are one table (metrics.c); the values come from sql/queries/metrics.sql.
 *
 * A group of queries is asked again only after it has rested for several times as long as it
 * took, so that many scrapers and a long history cost the database a bounded share.
 *
 * Threads: one at a time.
 */
#ifndef SEA_METRICS_H
#define SEA_METRICS_H

#include <stdio.h>

#include "scheduler/sea_db.h"

#define SEA_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct sea_metrics;

/* data: folder whose free space is told, copied; NULL: none. */
struct sea_metrics *sea_metrics_create(const char *data);
void sea_metrics_destroy(struct sea_metrics *metrics);          /* accepts NULL */

/* A lost connection is connected again. What failed is logged. */
void sea_metrics_write(struct sea_metrics *metrics, struct sea_db *db, FILE *to);

#endif
