/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_int.h - the tensors of a checkpoint: checkpoint_state.c under checkpoint.c */
#ifndef SEA_CHECKPOINT_INT_H
#define SEA_CHECKPOINT_INT_H

#include "engine/base/sea_hash.h"
#include "engine/sea_optim.h"

/* SHA-256 over names, shapes and offsets: what the flat piece means. */
void sea_checkpoint_layout(const struct sea_params *params, char out[SEA_SHA256_TEXT]);
/* Weights, m and v of every part; rank 0, while the others serve (sea_shard.h). */
SEA_MUST_CHECK enum sea_status
sea_checkpoint_write_state(const char *path, struct sea_adamw *adamw, struct sea_err *err);
/* All ranks; path NULL: rank 0 reads the file. */
SEA_MUST_CHECK enum sea_status
sea_checkpoint_read_state(const char *path, struct sea_adamw *adamw, struct sea_err *err);

#endif
