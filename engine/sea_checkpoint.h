/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_checkpoint.h - the exact state of a training run, on disk
 *
 * OUT/checkpoint/step-NNNNNNNN/
 *     state.safetensors   per part, flat float32: "NAME.data", "NAME.m", "NAME.v"
 *     state.json          steps, a digest of every part's layout, and the caller's notes
 *     DONE                {"files":[{"path","bytes","sha256"}]}, written last
 *
 * How one comes to be, and what a crash leaves behind:
 *   1. files and DONE are written into step-NNNNNNNN.tmp and flushed  (crash: no DONE, or
 *      one that does not fit: the folder is passed over and removed by the next save)
 *   2. an older step-NNNNNNNN is removed, the folder renamed, the parent flushed (crash:
 *      the .tmp folder is complete and is loaded like any other)
 *   3. all older ones are removed                       (crash: the next save removes them)
 * At every moment at least one complete checkpoint is there once one has been saved; a
 * full disk fails in step 1 with SEA_E_IO and leaves the one before as it was.
 *
 * Invariants: (1) nothing is loaded whose sizes and SHA-256 differ from DONE's;
 *             (2) save, load in fresh objects, and go on: the same bits as never stopped;
 *             (3) after a failed load the parts hold no defined values: start afresh or end;
 *             (4) with ranks all call save and load together; rank 0 alone sees the folder,
 *                 which is the same for any number of ranks: any number may go on from it.
 */
#ifndef SEA_CHECKPOINT_H
#define SEA_CHECKPOINT_H

#include "engine/base/sea_buf.h"
#include "engine/base/sea_node.h"
#include "engine/sea_optim.h"

/* notes: a MAP of the caller's: cursors, seeds, loss history. Written as JSON: integers
 * and finite reals come back exactly; NaN and infinities come back as null.
 * The parts are the optimiser's. Frozen parts are not written. */
SEA_MUST_CHECK enum sea_status
sea_checkpoint_save(const char *out_dir, struct sea_adamw *adamw, const struct sea_node *notes,
                    struct sea_err *err);

/* Loads the newest complete checkpoint into the optimiser and its parts. notes: what was
 * saved, in the arena; NULL when there is no checkpoint to load (that is SEA_OK), and on ranks
 * other than 0.
 * skipped: one line per folder that was passed over and why. A complete checkpoint of
 * another model (parts, tensors, sizes) is SEA_E_CONFIG. */
SEA_MUST_CHECK enum sea_status
sea_checkpoint_load(const char *out_dir, struct sea_adamw *adamw, struct sea_arena *arena,
                    struct sea_node **notes, struct sea_buf *skipped, struct sea_err *err);

/* "checkpoint/step-00000100": the name below out_dir, for events. */
void sea_checkpoint_name(int64_t step, char out[64]);

/* Removes OUT/checkpoint: the run is finished. */
SEA_MUST_CHECK enum sea_status sea_checkpoint_remove(const char *out_dir, struct sea_err *err);

#endif
