/* SPDX-License-Identifier: Apache-2.0 */
/* Every crash point of a small experiment in turn, several at once, each in a queue of its own. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "engine/base/sea_clock.h"
#include "tests/fault/runner.h"

static void
start_point(struct lane *lane, int64_t point)
{
    char config[384], key[48];

    lane->point = point;
    snprintf(config, sizeof(config), "{\"name\":\"point %lld\",\"seed\":%lld,\"steps\":5,"
             "\"pause\":5,\"model\":{\"vision\":{\"path\":\"@foundation\"}},\"resources\":"
             "{\"queue\":\"%s\"},\"stages\":{\"foundation\":{},\"label\":{}}}",
             (long long)point, (long long)point, lane->queue);
    snprintf(key, sizeof(key), "point %lld", (long long)point);
    lane->experiment_id = submit_config(config, key);
    make_patient(lane->experiment_id);
    atomic_store(&lane->control->happened, 0);
    atomic_store(&lane->control->after, (int32_t)point);
    atomic_store(&lane->control->times, 1);
    atomic_store(&lane->control->kind, SHIM_CRASH);
    lane_spawn(lane);
}

/* True when the lane's worker was killed at its point; false when it ended before that. */
static bool
end_point(struct lane *lane)
{
    kill(lane->pid, SIGTERM);
    waitpid(lane->pid, NULL, 0);
    lane->pid = 0;
    lane->experiment_id = 0;
    lane_disarm(lane);
    return atomic_load(&lane->control->happened) > 0;
}

int64_t
every_point(void)
{
    int64_t next = 0, struck = 0, begun_ms = sea_clock_ms();
    bool more = true, busy = true;
    char sql[128];
    int i;

    while (busy && sea_clock_ms() - begun_ms < wanted.seconds * 1000) {
        respawn();
        for (i = 0, busy = false; i < LANES; i++) {
            struct lane *lane = &lanes[i];

            if (!lane->experiment_id && more && next < wanted.points)
                start_point(lane, next++);
            if (!lane->experiment_id)
                continue;
            busy = true;
            snprintf(sql, sizeof(sql), "SELECT (ended_at IS NOT NULL)::int FROM sea.experiment"
                     " WHERE id = %lld", (long long)lane->experiment_id);
            if (ask_number(sql) != 1)
                continue;
            if (end_point(lane))
                struck++;
            else
                more = false;
        }
        sea_clock_sleep_ms(5);
    }
    if (busy) {
        printf("VIOLATION an experiment that was killed at a point has not ended\n");
        trouble++;
    }
    tried[CRASH_POINT] = next;
    injected[CRASH_POINT] = struck;
    return next;
}
