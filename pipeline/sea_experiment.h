/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_experiment.h - experiment files: one table of keys, checked, completed, expanded
 *
 * An experiment file (YAML, or JSON when its name ends in ".json") says which models and
 * data, which stages, and optionally a sweep. Reading one gives a list of resolved
 * experiments: every default filled in, the sweep expanded away, no key left to guess. A
 * resolved experiment written as JSON is again an experiment file, and resolves to itself.
 *
 * The table (sea_experiment_keys) is the only place that knows a key: parsing, defaults,
 * messages, the reference page and the keys of the stage cache follow from it.
 *
 * Which stages run: those with a section under "stages", and whatever they need (eval needs
 * tune, tune needs align, align needs label; all need foundation when a model path starts
 * with "@foundation"). No "stages" at all: label to eval. With "model.path", a whole
 * finished model, only eval, or, when there is a section for it, tune, which then goes on
 * from that model, and eval when there is one.
 *
 * Invariants: (1) resolved maps hold keys in the order of the table, and numbers in the
 *                 kind that the table says: equal experiments have equal JSON;
 *             (2) a refusal is SEA_E_CONFIG and names file, line, key and what was
 *                 expected; an unknown key's hint names the nearest known one;
 *             (3) names of a sweep are "NAME/align.lambda=0,seed=1", axes in the file's
 *                 order, the last axis fastest.
 */
#ifndef SEA_EXPERIMENT_H
#define SEA_EXPERIMENT_H

#include "engine/base/sea_node.h"

#define SEA_EXPERIMENT_BYTES_MAX ((size_t)4 << 20)
#define SEA_EXPERIMENT_SWEEP_MAX 1024   /* experiments of one file at most */
#define SEA_SCHEMA_VERSION 1

enum sea_key_kind {
    SEA_KEY_TEXT, SEA_KEY_INT, SEA_KEY_REAL, SEA_KEY_BOOL,
    SEA_KEY_LIST,               /* of texts */
    SEA_KEY_FILE, SEA_KEY_FOLDER,       /* data: its digest stands for it in stage keys */
    SEA_KEY_MODEL               /* a model folder, or "@foundation/..." */
};

/* Stages as bits of sea_config_key.stages and .needed. */
enum sea_stage_bit {
    SEA_BIT_FOUNDATION = 1, SEA_BIT_LABEL = 2, SEA_BIT_ALIGN = 4, SEA_BIT_TUNE = 8,
    SEA_BIT_EVAL = 16
};

struct sea_config_key {
    const char *path;           /* "stages.align.tau.init" */
    enum sea_key_kind kind;
    const char *fallback;       /* as in YAML; NULL: no value unless given */
    double min, max;            /* INT, REAL: both 0 for no limits */
    const char *choices;        /* TEXT and LIST: "a|b|c"; NULL: any */
    unsigned stages;            /* whose results depend on it */
    unsigned needed;            /* stages that cannot run without a value */
    const char *about;          /* one line */
};
const struct sea_config_key *sea_experiment_keys(size_t *count);

struct sea_experiment {         /* lives in the arena of its load */
    const char *name;           /* the config's name, with the sweep's values */
    struct sea_node *config;    /* resolved */
};
struct sea_experiments {
    struct sea_experiment *list;
    size_t count;
};

/* Reads, overrides ("align.lambda=0.5": VALUE is YAML; an overridden key leaves the sweep),
 * checks and expands. Keys in overrides and sweeps may leave out "stages.". */
SEA_MUST_CHECK enum sea_status
sea_experiment_load(const char *path, const char *const *sets, size_t sets_count,
                    struct sea_arena *arena, struct sea_experiments *out,
                    struct sea_err *err);
/* The same for text in memory; source is what messages call it. */
SEA_MUST_CHECK enum sea_status
sea_experiment_parse(const char *text, size_t len, const char *source,
                     const char *const *sets, size_t sets_count, struct sea_arena *arena,
                     struct sea_experiments *out, struct sea_err *err);
/* The same for a tree, which is not changed. */
SEA_MUST_CHECK enum sea_status
sea_experiment_resolve(const struct sea_node *root, const char *source,
                       const char *const *sets, size_t sets_count, struct sea_arena *arena,
                       struct sea_experiments *out, struct sea_err *err);
/* One resolved experiment, as a stage is given: a sweep of several is refused. */
SEA_MUST_CHECK enum sea_status
sea_experiment_one(const char *path, struct sea_arena *arena, struct sea_experiment *out,
                   struct sea_err *err);

/* Bits of the stages that a resolved experiment runs. */
unsigned sea_experiment_stages(const struct sea_node *config);
/* True when a model path of it starts with "@foundation". */
bool sea_experiment_uses_foundation(const struct sea_node *config);
/* The table as Markdown, appended: docs/config.md. */
void sea_experiment_doc(struct sea_buf *buf);

#endif
