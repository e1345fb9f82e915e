/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner.h - what the parts of the fault runner share
 *
 * fault.c keeps the processes and the runs, kinds.c knows the faults, points.c goes through the
 * crash points. One thread, apart from those of the proxies.
 */
#ifndef SEA_TEST_FAULT_RUNNER_H
#define SEA_TEST_FAULT_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/sea_file.h"
#include "scheduler/sea_db.h"
#include "tests/fault/control.h"
#include "tests/fault/proxy.h"

#define TTL_MS 900
#define LANES 10                /* workers */
#define FLIGHTS 14              /* runs at once: more than LIMIT, so that commits find something to claim */
#define SCHEDULERS 2
#define RUN_MS_MAX 60000        /* a run that has not ended by then is lost */
#define COLLECT_EVERY 97        /* runs between two collections of the store */
#define RESUBMITS 4
#define LIMIT 9                 /* stage runs at once */

enum kind {
    KILL_WORKER, KILL_SCHEDULER, KILL_CHILD, STOP_WORKER, TERM_WORKER, DRAIN_WORKER,
    TERMINATE_BACKENDS, RESTART_SERVER, BLACK_HOLE, SLOW_LINK, CUT_LINKS, LOSE_COMMIT_REPLY, DIE_IN_COMMIT,
    FULL_DISK, FAIL_FSYNC, CRASH_POINT, JUMP_CLOCK, HOLD_SNAPSHOT, SUBMIT_AGAIN, CANCEL,
    KINDS
};

struct lane {                   /* one worker and what is around it */
    int number;
    pid_t pid;
    struct proxy proxy;
    struct fault_control *control;
    char control_path[SEA_PATH_MAX];
    char queue[16];
    int64_t experiment_id, point;       /* of --points; experiment 0: idle */
    pid_t stopped, stopped_child;
    int64_t continue_ms, mend_ms;       /* when SIGCONT, or a mended link, is due; 0: not */
};

enum phase { FREE, QUEUED, HIT, ENDED };

struct flight {                 /* one run */
    enum phase phase;
    int64_t number, experiment_id, begun_ms, seen_ms, delay_ms;
    uint64_t random;
    enum kind kind;
    struct lane *lane;          /* that was hit */
    int64_t before;             /* the lane's counter of this kind, before */
    bool happened;
    char key[48];
};

struct view {                   /* what the database says about a flight */
    bool ended, running;
    int64_t stage_id, epoch, worker_id;
    pid_t worker, child;
};

struct runner_options {
    int64_t runs, seed, seconds, points;
    const char *report;
};
extern struct runner_options wanted;
extern struct lane lanes[LANES];
extern pid_t schedulers[SCHEDULERS];
extern int64_t tried[KINDS], injected[KINDS], trouble;

/* ---- fault.c ---- */

/* The runner's own questions: repeated until the server is back. NULL after 30 s. */
struct sea_rows *ask(const char *sql);
int64_t ask_number(const char *sql);
/* One that may be lost: for the snapshot that is held. */
struct sea_db *ask_more(void);
bool restart_server(void);
/* The key makes it safe to send again when the answer was lost. 0: it could not be. */
int64_t submit_config(const char *config, const char *key);
int64_t submit_run(const struct flight *f);
/* Budgets that no run can spend: what is looked for is loss, not the end of patience. */
void make_patient(int64_t experiment_id);
void lane_spawn(struct lane *lane);
void lane_disarm(struct lane *lane);
void respawn(void);             /* whatever ended is started again */

/* ---- kinds.c ---- */

const char *kind_name(enum kind kind);
/* Seeds the flight's chance from the run's number and draws its fault. */
void kind_draw(struct flight *f);
int64_t pick(struct flight *f, int64_t below);
/* The stage of this flight runs in f->lane: makes its fault happen, or arms it. */
void inject(struct flight *f, const struct view *view);
/* At the run's end: whether what was armed has struck; what it left is put right. */
void settle(struct flight *f);

/* ---- points.c ---- */

int64_t every_point(void);      /* returns how many points there were */

#endif
