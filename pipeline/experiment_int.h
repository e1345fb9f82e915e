/* SPDX-License-Identifier: Apache-2.0 */
/* experiment_int.h - between experiment.c and experiment_check.c */
#ifndef SEA_EXPERIMENT_INT_H
#define SEA_EXPERIMENT_INT_H

#include "pipeline/sea_experiment.h"

#define SEA_KEY_PATH_MAX 256
#define SEA_KEY_LINE_SET (-1)   /* line of a node that --set gave */

/* The key of a full path, or of a path without its leading "stages."; NULL when unknown. */
const struct sea_config_key *sea_key_find(const char *path);
/* The known key or section that is spelled most like path, in out. */
const char *sea_key_nearest(char out[SEA_KEY_PATH_MAX], const char *path);

/* What two keys together make impossible, and texts that follow a rule: SEA_E_CONFIG with the
 * keys. config is resolved. */
SEA_MUST_CHECK enum sea_status
sea_key_check_together(const struct sea_node *config, const char *source, struct sea_err *err);
/* SEA_E_CONFIG when an experiment cannot be called so. */
SEA_MUST_CHECK enum sea_status
sea_key_check_name(const char *name, const char *source, struct sea_err *err);

/* The value of a key in the kind of the table, as a child of parent named name:
 * SEA_E_CONFIG with source and line when node cannot be used. */
SEA_MUST_CHECK enum sea_status
sea_key_convert(const struct sea_config_key *key, const struct sea_node *node,
                const char *source, struct sea_arena *arena, struct sea_node *parent,
                const char *name, struct sea_err *err);

/* Every key of the tree is known and no section is a scalar. sweep is looked at elsewhere. */
SEA_MUST_CHECK enum sea_status
sea_key_check_tree(const struct sea_node *root, const char *source, struct sea_err *err);

/* A value as messages show it. */
const char *sea_key_show(char out[96], const struct sea_node *node);

/* "SOURCE:12", "SOURCE", or "--set". */
const char *sea_key_place(char out[512], const char *source, const struct sea_node *node);

/* The map at a dotted path, made where absent; *leaf is the path's last word. */
struct sea_node *sea_key_parent(struct sea_arena *arena, struct sea_node *root,
                                const char *path, const char **leaf);

#endif
