/* SPDX-License-Identifier: Apache-2.0 */
/* node_int.h - what the two parsers share with node.c; stays in engine/base. */
#ifndef SEA_NODE_INT_H
#define SEA_NODE_INT_H

#include "engine/base/sea_node.h"

#define SEA_NODE_DEPTH_MAX 64   /* lists and maps inside one another */

/* A new last child (or a root, parent NULL). Looks for no equal key: the parser sees to
 * that, so that a map of n keys costs n steps and not n * n. key is borrowed: it lives in
 * the arena already. */
struct sea_node *sea_node_append(struct sea_arena *arena, struct sea_node *parent,
                                 const char *key, enum sea_node_kind kind);

/* Reads a file of max bytes at most and gives it to one of the two parsers. */
typedef enum sea_status sea_node_parse(const char *text, size_t len, const char *name,
                                       struct sea_arena *arena, struct sea_node **out,
                                       struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_node_load(sea_node_parse *parse, const char *path, size_t max, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err);

#endif
