/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_sql_text.h - the SQL of the product, embedded at build time
 *
 * sql/queries/NAME.sql holds blocks that start with "-- name: NAME"; sql/migrations holds
 * one script per file, here called "migration/NNNN_words". There is no other SQL in C.
 */
#ifndef SEA_SQL_TEXT_H
#define SEA_SQL_TEXT_H

#include <stddef.h>

const char *sea_sql_text(const char *name);     /* NULL: no such name */
size_t sea_sql_count(void);
const char *sea_sql_name(size_t at);            /* in order of file and line */

#endif
