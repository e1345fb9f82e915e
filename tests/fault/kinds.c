/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "tests/fault/runner.h"

#define RESUBMITS 4

static const struct {
    const char *name;
    int weight;                 /* how often, of the sum */
} kinds[KINDS] = {
    { "SIGKILL worker", 6 }, { "SIGKILL scheduler", 6 }, { "SIGKILL stage", 6 },
    { "SIGSTOP past the TTL, SIGCONT", 6 }, { "SIGTERM worker", 6 }, { "drain worker", 4 },
    { "pg_terminate_backend", 6 }, { "immediate restart of the server", 1 },
    { "black hole", 6 }, { "slow link", 6 }, { "links cut", 6 },
    { "socket cut after COMMIT was sent", 8 }, { "SIGKILL after COMMIT was sent", 6 }, { "ENOSPC", 6 }, { "EIO on fsync", 6 },
    { "crash at the n-th call", 10 }, { "wall clock jumps", 6 }, { "held snapshot", 4 },
    { "submitted again", 4 }, { "cancel", 4 } };

static struct sea_db *snapshot;         /* holds one, or NULL */
static int64_t snapshot_run;

const char *
kind_name(enum kind kind)
{
    return kinds[kind].name;
}

/* ---- chance ---- */

static uint64_t
mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int64_t
pick(struct flight *f, int64_t below)
{
    f->random = mix(f->random);
    return (int64_t)(f->random % (uint64_t)below);
}

static enum kind
pick_kind(struct flight *f)
{
    int sum = 0, at, i;

    for (i = 0; i < KINDS; i++)
        sum += kinds[i].weight;
    at = (int)pick(f, sum);
    for (i = 0; at >= kinds[i].weight; i++)
        at -= kinds[i].weight;
    return (enum kind)i;
}

void
kind_draw(struct flight *f)
{
    f->random = mix((uint64_t)wanted.seed) ^ mix((uint64_t)f->number + 0x5eed);
    f->kind = pick_kind(f);
    f->delay_ms = pick(f, 90);
}

/* ---- faults ---- */

static void
arm(struct flight *f, enum shim_fault fault, int64_t after, int64_t times)
{
    struct fault_control *control = f->lane->control;

    f->before = atomic_load(&control->happened);
    atomic_store(&control->after, (int32_t)after);
    atomic_store(&control->times, (int32_t)times);
    atomic_store(&control->kind, (int32_t)fault);
}

static void
break_link(struct flight *f, enum proxy_mode mode, int64_t ms)
{
    struct proxy *proxy = &f->lane->proxy;

    f->before = mode == PROXY_HOLE ? proxy->swallowed : mode == PROXY_SLOW ? proxy->delayed
                                                                           : proxy->cut;
    proxy->mode = (int)mode;
    f->lane->mend_ms = sea_clock_ms() + ms;
}

static void
hold_snapshot(struct flight *f)
{
    struct sea_err err = { 0 };

    if (snapshot)
        return;
    snapshot = ask_more();
    snapshot_run = f->number;
    f->happened =
        !sea_db_query_text(snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL, &err) &&
        !sea_db_query_text(snapshot, "SELECT count(*) FROM sea.lease", NULL, &err);
}

static void
submit_again(struct flight *f)
{
    int i;

    for (i = 0; i < RESUBMITS; i++)
        if (submit_run(f) != f->experiment_id) {
            printf("VIOLATION run %lld was submitted twice\n", (long long)f->number);
            trouble++;
        }
    f->happened = true;
}

void
inject(struct flight *f, const struct view *view)
{
    struct lane *lane = f->lane;
    char sql[256];

    tried[f->kind]++;
    switch (f->kind) {
    case KILL_WORKER:
        f->happened = kill(lane->pid, SIGKILL) == 0;
        break;
    case KILL_SCHEDULER:
        f->happened = kill(schedulers[pick(f, SCHEDULERS)], SIGKILL) == 0;
        break;
    case KILL_CHILD:
        f->happened = kill(-view->child, SIGKILL) == 0;
        break;
    case STOP_WORKER:
        if (lane->continue_ms)
            break;
        lane->stopped = lane->pid;
        lane->stopped_child = view->child;
        lane->continue_ms = sea_clock_ms() + TTL_MS + 200 + pick(f, 600);
        f->happened = kill(lane->stopped, SIGSTOP) == 0;
        if (pick(f, 2))         /* else the stage computes on: its zombie's words are refused */
            kill(-lane->stopped_child, SIGSTOP);
        break;
    case TERM_WORKER:
        f->happened = kill(lane->pid, SIGTERM) == 0;
        break;
    case DRAIN_WORKER:
        snprintf(sql, sizeof(sql), "SELECT sea.drain(%lld, '%s'), 1 FROM sea.worker WHERE id = %lld"
                 " AND ended_at IS NULL", (long long)view->worker_id,
                 pick(f, 2) ? "finish" : "checkpoint", (long long)view->worker_id);
        f->happened = ask_number(sql) >= -1;
        break;
    case TERMINATE_BACKENDS:
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS ok"
                 " FROM pg_stat_activity WHERE application_name = 'w%d') x WHERE ok", lane->number);
        f->happened = ask_number(sql) > 0;
        break;
    case RESTART_SERVER:
        f->happened = restart_server();
        break;
    case BLACK_HOLE:
        break_link(f, PROXY_HOLE, 100 + pick(f, 2 * TTL_MS));
        break;
    case SLOW_LINK:
        break_link(f, PROXY_SLOW, 300 + pick(f, 700));
        break;
    case CUT_LINKS:
        break_link(f, PROXY_CUT, 50);
        break;
    case LOSE_COMMIT_REPLY:
        arm(f, SHIM_CUT_COMMIT, 0, 1);
        break;
    case DIE_IN_COMMIT:
        arm(f, SHIM_DIE_COMMIT, 0, 1);
        break;
    case FULL_DISK:
        arm(f, SHIM_ENOSPC, pick(f, 8), 1 + pick(f, 12));
        break;
    case FAIL_FSYNC:
        arm(f, SHIM_EIO, pick(f, 5), 1);
        break;
    case CRASH_POINT:
        arm(f, SHIM_CRASH, pick(f, 40), 1);
        break;
    case JUMP_CLOCK:
        f->before = atomic_load(&lane->control->skewed);
        atomic_store(&lane->control->skew_ms, (pick(f, 2) ? 1 : -1) * (3600000 + pick(f, 9000)));
        break;
    case HOLD_SNAPSHOT:
        hold_snapshot(f);
        break;
    case SUBMIT_AGAIN:
        submit_again(f);
        break;
    default:
        snprintf(sql, sizeof(sql), "SELECT sea.cancel(%lld), 1", (long long)f->experiment_id);
        sea_rows_close(ask(sql));
        f->happened = true;
    }
}

void
settle(struct flight *f)
{
    struct lane *lane = f->lane;
    struct sea_err err = { 0 };

    switch (f->kind) {
    case BLACK_HOLE:
        f->happened = lane->proxy.swallowed > f->before;
        break;
    case SLOW_LINK:
        f->happened = lane->proxy.delayed > f->before;
        break;
    case CUT_LINKS:
        f->happened = lane->proxy.cut > f->before;
        break;
    case LOSE_COMMIT_REPLY:
    case DIE_IN_COMMIT:
    case FULL_DISK:
    case FAIL_FSYNC:
    case CRASH_POINT:
        f->happened = atomic_load(&lane->control->happened) > f->before;
        atomic_store(&lane->control->kind, SHIM_NONE);
        break;
    case JUMP_CLOCK:
        f->happened = atomic_load(&lane->control->skewed) > f->before;
        atomic_store(&lane->control->skew_ms, 0);
        break;
    case HOLD_SNAPSHOT:
        if (snapshot && snapshot_run == f->number) {
            /* A server that was restarted meanwhile has ended it already. */
            if (sea_db_query_text(snapshot, "COMMIT", NULL, &err))
                sea_log_err(SEA_LOG_DEBUG, &err);
            sea_db_close(snapshot);
            snapshot = NULL;
        }
        break;
    default:
        break;
    }
    injected[f->kind] += f->happened;
}
