/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - a Unix socket in front of the server's, on which links can be broken
 *
 * One thread per proxy. The runner changes the mode at any time; connections that are open then
 * feel it, too.
 */
#ifndef SEA_TEST_FAULT_PROXY_H
#define SEA_TEST_FAULT_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum proxy_mode {
    PROXY_PASS,
    PROXY_HOLE,                 /* takes everything, passes nothing on, in neither direction */
    PROXY_SLOW,                 /* a pause before each piece */
    PROXY_CUT                   /* ends all connections, then passes again */
};

struct proxy {
    char folder[256], server[256];      /* of the sockets .s.PGSQL.5432 */
    int listener;
    pthread_t thread;
    _Atomic int mode;
    _Atomic int64_t swallowed, delayed, cut;    /* pieces, pieces, connections: it happened */
    _Atomic int over;
};

/* folder is made; false when the socket cannot be. */
int proxy_start(struct proxy *proxy, const char *folder, const char *server);
void proxy_stop(struct proxy *proxy);

#endif
