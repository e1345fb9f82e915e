/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl_int.h - device memory from rank to rank without the host, where NCCL is installed
 *
 * libnccl.so.2 (or the file that SEA_NCCL names) and the driver's libcuda.so.1 are loaded at
 * run time; nothing of them is needed to build. The ranks' sockets carry the identifiers by
 * which communicators find each other, and everything that is not device memory.
 *
 * A rank has one communicator with the rank before it, one with the rank behind it, and one
 * with all. Each has a stream of its own: what waits for one neighbour never holds up the
 * other. The device's own stream is waited for before anything is sent, and a receive is
 * complete when it returns, so no stream needs to know of another.
 */
#ifndef SEA_NCCL_INT_H
#define SEA_NCCL_INT_H

#include "engine/sea_comm.h"
#include "engine/sea_device.h"

#define SEA_NCCL_ID 128         /* bytes of an identifier */

struct sea_nccl_id {
    char bytes[SEA_NCCL_ID];
};

/* The calls that are used, as the libraries declare them; 0 is success everywhere. */
struct sea_nccl_calls {
    int (*get_id)(struct sea_nccl_id *id);
    int (*init_rank)(void **comm, int size, struct sea_nccl_id id, int rank);
    int (*abort)(void *comm);
    int (*get_async_error)(void *comm, int *error);
    const char *(*error_text)(int error);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*send)(const void *data, size_t count, int type, int peer, void *comm, void *stream);
    int (*recv)(void *data, size_t count, int type, int peer, void *comm, void *stream);
    int (*broadcast)(const void *from, void *to, size_t count, int type, int root, void *comm,
                     void *stream);
    int (*stream_create)(void **stream, unsigned flags);
    int (*stream_query)(void *stream);
    int (*stream_destroy)(void *stream);
};

struct sea_nccl;

/* All ranks together. *out is NULL, without an error, when the device is no CUDA device, when
 * a rank does not find the libraries, or when SEA_NCCL=0 is set for one: then memory goes
 * through the host. SEA_E_DEVICE, when SEA_NCCL names a file that cannot be used. The device
 * must be the calling thread's current one. */
SEA_MUST_CHECK enum sea_status
sea_nccl_open(struct sea_nccl **out, struct sea_comm *comm, const struct sea_device *device,
              struct sea_err *err);
void sea_nccl_close(struct sea_nccl *nccl);     /* accepts NULL */
/* Calls of a test instead of the libraries'; NULL: the libraries'. */
void sea_nccl_use(const struct sea_nccl_calls *calls);

/* To the rank behind; borrowed until flush. */
SEA_MUST_CHECK enum sea_status
sea_nccl_send(struct sea_nccl *nccl, const float *data, int64_t n, struct sea_err *err);
SEA_MUST_CHECK enum sea_status sea_nccl_flush(struct sea_nccl *nccl, struct sea_err *err);
/* From the rank before, in the order of its sends. */
SEA_MUST_CHECK enum sea_status
sea_nccl_recv(struct sea_nccl *nccl, float *data, int64_t n, struct sea_err *err);
/* All ranks: rank r gets data[start[r]] .. start[r + 1] - 1 of the root. */
SEA_MUST_CHECK enum sea_status
sea_nccl_share(struct sea_nccl *nccl, int root, float *data, const int64_t *start,
               struct sea_err *err);
/* All ranks: everybody gets everybody's range. */
SEA_MUST_CHECK enum sea_status
sea_nccl_gather(struct sea_nccl *nccl, float *data, const int64_t *start, struct sea_err *err);

#endif
