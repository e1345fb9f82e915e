/* SPDX-License-Identifier: Apache-2.0 */
/* comm_int.h - comm.c (thread, messages), comm_collect.c (collectives), comm_open.c (meeting) */
#ifndef SEA_COMM_INT_H
#define SEA_COMM_INT_H

#include <pthread.h>

#include "engine/sea_comm.h"

#define SEA_COMM_OPS 1024       /* operations of one link and direction at a time */
#define SEA_COMM_SUM 65536      /* floats of a sum that is under way, per rank */

struct sea_comm_head {
    uint64_t tag, bytes;
};

struct sea_comm_op {
    struct sea_comm_head head;
    char *at;
    uint64_t moved;             /* of the head and the bytes */
    bool used, done;            /* a receive: in use; complete */
};

struct sea_comm_link {
    int fd;                     /* -1: our own place */
    struct sea_comm_op sends[SEA_COMM_OPS];       /* ring */
    size_t first, count;
    struct sea_comm_op recvs[SEA_COMM_OPS];       /* slots */
    size_t posted;
    struct sea_comm_head head;           /* of the message that comes in */
    size_t head_got;
    struct sea_comm_op *into;            /* where its bytes go; NULL: not asked for yet */
    int64_t heard_ms;           /* when a byte moved */
};

struct sea_comm {
    int rank, size;
    int64_t timeout_ms;
    uint64_t collectives;       /* so far */
    struct sea_comm_link *links;         // (size)
    float *terms;               // (size, SEA_COMM_SUM)
    int wake;                   /* eventfd: the caller has posted something */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;       /* of everything below, and of the links' queues */
    pthread_cond_t moved;
    bool closing, failed, ended;        /* ended: the thread touches no memory any more */
    struct sea_err err;
};

/* Connects all ranks over TCP; links[rank] = -1. On failure nothing stays open. */
SEA_MUST_CHECK enum sea_status
sea_comm_meet(const struct sea_comm_options *options, int64_t timeout_ms, int *links,
              struct sea_err *err);

#endif
