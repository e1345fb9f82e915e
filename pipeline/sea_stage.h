/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_stage.h - stages: pure programs from a config and input folders to an output folder
 *
 * A stage knows no database and no queue: it can be run by hand, stopped, started again and
 * debugged alone. What it was given decides every byte that it leaves; threads, resumption
 * and batch sizes that only change speed do not.
 *
 * States of an output folder:
 *     absent or empty   nothing happened yet
 *     .stage.json       unfinished work of the stage and key that it names; the same stage
 *                       with the same key goes on behind the last complete checkpoint,
 *                       another one is refused (SEA_E_CONFIG)
 *     manifest.json     finished. The same stage with the same key has nothing to do; another
 *                       one is refused
 *     anything else     somebody's files: refused
 * One process works in a folder at a time (a lock on the folder itself).
 *
 * SIGTERM and SIGINT: the step at hand is finished, a checkpoint written, and the run ends
 * with SEA_E_STOPPED (exit status 75). A second SIGINT ends at once.
 */
#ifndef SEA_STAGE_H
#define SEA_STAGE_H

#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"

#define SEA_STAGE_INPUTS_MAX 2

struct sea_stage_def {
    const char *name;
    unsigned bit;               /* enum sea_stage_bit */
    const char *inputs[SEA_STAGE_INPUTS_MAX];   /* stages whose folders it may read; NULL ends */
    const char *about;
};
const struct sea_stage_def *sea_stage_find(const char *name);   /* NULL: no such stage */

/* The stages whose folders this stage reads in this experiment. Returns how many. */
size_t sea_stage_parents(const struct sea_node *config, const struct sea_stage_def *def,
                         const char *out[SEA_STAGE_INPUTS_MAX]);

struct sea_stage_input {
    const char *key;            /* name of the stage that made it: "label" */
    const char *digest;         /* of its manifest; NULL: read from dir */
    const char *dir;            /* may be NULL for sea_stage_key when digest is given */
};

/* "f32" or "bf16": how a stage of this config stores matrices. */
const char *sea_stage_precision(const struct sea_stage_def *def, const struct sea_node *config);
/* The version of the arithmetic that a stage of this config runs on: SEA_NUMERICS or its
 * bfloat16 form. Part of the key and of the provenance. */
const char *sea_stage_numerics(const struct sea_stage_def *def, const struct sea_node *config);

/*
 * What determines the result of a stage, as one SHA-256: the stage's name, its slice of the
 * resolved config (keys that change only speed left out), digests of the data and models
 * that it reads, digests of its inputs, and SEA_NUMERICS. Paths do not count, contents do:
 * moved data gives the same key. Reads the data: as long as hashing takes (sets of
 * pictures above 4 GiB and model files above 64 MiB by samples).
 * config: resolved. A file that is not there is SEA_E_MISSING.
 */
SEA_MUST_CHECK enum sea_status
sea_stage_key(const char *stage, const struct sea_node *config,
              const struct sea_stage_input *inputs, size_t inputs_count,
              char out[SEA_SHA256_TEXT], struct sea_err *err);
/* The same, with digests that an earlier call has left in the memo (sea_digest_memo.h). */
struct sea_digest_memo;
SEA_MUST_CHECK enum sea_status
sea_stage_key_memo(const char *stage, const struct sea_node *config,
                   const struct sea_stage_input *inputs, size_t inputs_count,
                   struct sea_digest_memo *memo, char out[SEA_SHA256_TEXT], struct sea_err *err);

struct sea_stage_options {
    const char *name;           /* "align" */
    const char *config_path;    /* a resolved experiment, JSON or YAML */
    const struct sea_stage_input *inputs;
    size_t inputs_count;
    const char *out_dir;
    const char *events;         /* descriptor or file; NULL: people on stderr */
    const char *device;         /* NULL: the config's */
    int ranks;                  /* processes that train together, on this machine; 0: as many
                                   as the environment or the experiment says (sea_ranks.h) */
};
/* Runs a stage to its end, or to a stop. The error is also sent as an event; the caller
 * shows it to people and exits with sea_status_exit. */
SEA_MUST_CHECK enum sea_status
sea_stage_run(const struct sea_stage_options *options, struct sea_err *err);

#endif
