/* SPDX-License-Identifier: Apache-2.0 */
/* By LD_PRELOAD: every sync of a file takes SLOW_SYNC_US microseconds more, as on a slower disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int
slow(const char *name, int fd)
{
    const char *said = getenv("SLOW_SYNC_US");
    long us = said ? strtol(said, NULL, 10) : 0;
    struct timespec wait = { us / 1000000, us % 1000000 * 1000 };
    int (*real)(int);

    *(void **)&real = dlsym(RTLD_NEXT, name);
    nanosleep(&wait, NULL);
    return real(fd);
}

int
fdatasync(int fd)
{
    return slow("fdatasync", fd);
}

int
fsync(int fd)
{
    return slow("fsync", fd);
}
