/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_absolute.h - paths of an experiment as workers need them
 *
 * Workers run elsewhere in the file system: what the file names relative to the folder of
 * the submitter goes into the queue as an absolute path. A suite given by name becomes the
 * path of its file, and its root the root of the evaluation.
 */
#ifndef SEA_ABSOLUTE_H
#define SEA_ABSOLUTE_H

#include "engine/base/sea_node.h"

/* Changes config, a resolved experiment, in place. */
SEA_MUST_CHECK enum sea_status
sea_absolute_paths(struct sea_node *config, struct sea_arena *arena, struct sea_err *err);

#endif
