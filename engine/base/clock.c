/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_clock.h"

#include <stdio.h>
#include <time.h>

int64_t
sea_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

double
sea_clock_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void
sea_clock_utc(char out[32])
{
    struct timespec now;
    struct tm parts;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, 32 - len, ".%03dZ", (int)(now.tv_nsec / 1000000 % 1000));
}

void
sea_clock_sleep_ms(int64_t ms)
{
    struct timespec pause;

    if (ms <= 0)
        return;
    pause.tv_sec = (time_t)(ms / 1000);
    pause.tv_nsec = (long)(ms % 1000) * 1000000;
    nanosleep(&pause, NULL);    /* a signal ends it: the caller looks what it was about */
}
