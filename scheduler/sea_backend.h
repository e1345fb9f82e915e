/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_backend.h - where stages run: a small table of functions per batch system
 *
 * `local` has none of them: workers claim by themselves (sea_worker.h). `slurm` asks the
 * commands of Slurm. What a call answers is a sighting, never a decision: who has lost what is
 * decided in the database (sql/migrations/0011_cluster_jobs.sql), by the driver's calls
 * (sea_backend_driver.h).
 *
 * Words: a *token* is the name that we give a job, an *id* what the batch system calls it. Ids
 * come again after a crash of a controller; only both together name a job.
 */
#ifndef SEA_BACKEND_H
#define SEA_BACKEND_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"

#define SEA_BACKEND_ID_MAX 48   /* bytes of an id, the final 0 included */
#define SEA_BACKEND_PREFIX "sea-"       /* of every token */
#define SEA_BACKEND_OPTIONS_MAX 32

/* Section `slurm` of sea.yaml in the data folder; every default filled in. */
struct sea_backend_settings {
    const char *backend;        /* "slurm"; "local" when there is no such section */
    const char *bin;            /* folder of the commands; NULL: PATH */
    const char *program;        /* sea, as the nodes see it */
    const char *dir, *data;     /* the data folder, as we and as the nodes see it */
    const char *url;            /* of the database, for jobs: secret; NULL: the scheduler's */
    const char *partition, *account, *qos, *constraint; /* NULL: the cluster's default */
    const char *gres;           /* name of what resources.gpus counts: "gpu" */
    const char *accounting;     /* "auto", "sacct", "jobcomp" or "none" */
    const char *queues[SEA_BACKEND_OPTIONS_MAX];        /* claimed from besides slurm/... */
    size_t queues_count;
    const char *options[SEA_BACKEND_OPTIONS_MAX];       /* more options of sbatch */
    size_t options_count;
    int64_t time_minutes;       /* of a job that says nothing; 0: the partition's limit */
    int64_t jobs_max;           /* alive at once */
    int64_t ttl_ms;             /* of a started job's lease */
    int64_t poll_ms;            /* between two looks */
    int64_t submit_ms, command_ms;      /* deadlines of sbatch, and of the other commands */
    int64_t settle_ms;          /* the cluster shows an accepted job by then */
    int64_t grace_ms;           /* between two looks without it; a job's end is believed then */
    int64_t kill_ms;            /* what a stage has for its checkpoint after SIGTERM */
};

/* Reads DIR/sea.yaml. Texts live in the arena. SEA_E_CONFIG names file, line and key. */
SEA_MUST_CHECK enum sea_status
sea_backend_settings(const char *dir, const char *program, struct sea_arena *arena,
                     struct sea_backend_settings *out, struct sea_err *err);

struct sea_backend_order {      /* one job to be submitted; texts are not secret */
    const char *token, *script, *log;   /* script and log are paths */
    const char *partition, *account, *qos, *constraint, *memory;       /* NULL: default */
    int64_t gpus, cpus;         /* 0: not said */
    int64_t minutes;            /* 0: the partition's limit */
};

/* What the batch system says a job is at, and, once it is over, what that means for an attempt
 * that has not written its own end. */
enum sea_backend_phase { SEA_BACKEND_WAITS, SEA_BACKEND_RUNS, SEA_BACKEND_OVER };
struct sea_backend_sight {
    const char *token, *id, *state, *reason, *node;     /* reason, node: NULL when not said */
    enum sea_backend_phase phase;
    const char *class;          /* of failure, when over: "infra", "timeout", ... */
    bool was_refused;           /* over, and never had a node: as if it were not there */
};

struct sea_backend_sights {
    struct sea_backend_sight *at;       /* sorted by token, then by id */
    size_t count;
};

/* Calls that fail with SEA_E_SERVICE say nothing about any job. stop may be NULL. */
struct sea_backend {
    const char *name;
    /* Optional: NULL means that workers claim by themselves; the others are NULL then, too.
     * SEA_OK: id is filled. Anything else: the job may have been accepted or not. */
    enum sea_status (*submit)(const struct sea_backend_settings *settings,
                              const struct sea_backend_order *order,
                              char id[SEA_BACKEND_ID_MAX], const volatile sig_atomic_t *stop,
                              struct sea_err *err);
    /* All jobs whose token is one of a service like this one. */
    enum sea_status (*poll)(const struct sea_backend_settings *settings, struct sea_arena *arena,
                            struct sea_backend_sights *out, const volatile sig_atomic_t *stop,
                            struct sea_err *err);
    /* One token in the books, for a job that poll does not show any more. Nothing is kept
     * there, or there are no books: count 0. */
    enum sea_status (*find)(const struct sea_backend_settings *settings, const char *token,
                            struct sea_arena *arena, struct sea_backend_sights *out,
                            const volatile sig_atomic_t *stop, struct sea_err *err);
    /* Jobs with this token, and this id unless it is NULL. None is no failure. */
    enum sea_status (*cancel)(const struct sea_backend_settings *settings, const char *token,
                              const char *id, const volatile sig_atomic_t *stop,
                              struct sea_err *err);
};

extern const struct sea_backend sea_backend_local, sea_backend_slurm;
/* NULL when there is none of this name. */
const struct sea_backend *sea_backend_find(const char *name);

/* Sorts as the struct promises. */
void sea_backend_sort(struct sea_backend_sights *sights);
/* Those of one token: the first one, and how many. */
const struct sea_backend_sight *
sea_backend_look_up(const struct sea_backend_sights *sights, const char *token, size_t *count);

#endif
