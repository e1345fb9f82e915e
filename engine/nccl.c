/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/nccl_int.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"

#define FLOAT32 7               /* ncclFloat32 */
#define NOT_READY 600           /* CUDA_ERROR_NOT_READY */
#define NON_BLOCKING 1          /* CU_STREAM_NON_BLOCKING */
#define ID_TAG (SEA_COMM_TAGS - 1)

struct lane {                   /* a communicator and its stream; comm NULL: none */
    void *comm, *stream;
};

struct sea_nccl {
    const struct sea_nccl_calls *calls;
    const struct sea_device *device;
    int rank, size;
    int64_t timeout_ms;         /* of one wait, as between sockets */
    struct lane in, out, all;
};

static const struct sea_nccl_calls *given;

void
sea_nccl_use(const struct sea_nccl_calls *calls)
{
    given = calls;
}

/* ---- loading ---- */

struct wanted {                 /* a function, and the pointer that gets it */
    void *to;
    const char *name;
};

/* False, and why, when a library or one of its functions is not there. It stays open until the
 * process ends. */
static bool
open_library(const char *file, const struct wanted *wanted, size_t count, char *why, size_t room)
{
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!lib) {
        const char *said = dlerror();

        snprintf(why, room, "%s", said ? said : "no reason given");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        void *at = dlsym(lib, wanted[i].name);

        if (!at) {
            snprintf(why, room, "there is no function %s in \"%s\"", wanted[i].name, file);
            return false;
        }
        /* ISO C has no cast from an object's to a function's pointer; POSIX says they are
         * alike. */
        memcpy(wanted[i].to, &at, sizeof(at));
    }
    return true;
}

static bool
open_libraries(const char *file, struct sea_nccl_calls *calls, char *why, size_t room)
{
    const struct wanted nccl[] = {
        { &calls->get_id, "ncclGetUniqueId" }, { &calls->init_rank, "ncclCommInitRank" },
        { &calls->abort, "ncclCommAbort" },
        { &calls->get_async_error, "ncclCommGetAsyncError" },
        { &calls->error_text, "ncclGetErrorString" }, { &calls->group_start, "ncclGroupStart" },
        { &calls->group_end, "ncclGroupEnd" }, { &calls->send, "ncclSend" },
        { &calls->recv, "ncclRecv" }, { &calls->broadcast, "ncclBroadcast" } };
    const struct wanted driver[] = {
        { &calls->stream_create, "cuStreamCreate" }, { &calls->stream_query, "cuStreamQuery" },
        { &calls->stream_destroy, "cuStreamDestroy_v2" } };

    return open_library(file, nccl, sizeof(nccl) / sizeof(nccl[0]), why, room) &&
           open_library("libcuda.so.1", driver, sizeof(driver) / sizeof(driver[0]), why, room);
}

/* *out is NULL, without an error, when memory shall go through the host. A file that SEA_NCCL
 * names must load: who names it does not want the slower way. */
static enum sea_status
load(const struct sea_nccl_calls **out, struct sea_err *err)
{
    static struct sea_nccl_calls calls;
    const char *named = getenv("SEA_NCCL");
    char why[384];

    *out = NULL;
    if (named && !strcmp(named, "0"))
        return SEA_OK;
    if (named && !*named)
        named = NULL;
    if (given || open_libraries(named ? named : "libnccl.so.2", &calls, why, sizeof(why))) {
        *out = given ? given : &calls;
        return SEA_OK;
    }
    if (!named)
        return SEA_OK;
    sea_fail(err, SEA_E_DEVICE, "could not load NCCL from \"%s\" (SEA_NCCL): %s", named, why);
    sea_hint(err, "SEA_NCCL=FILE names a libnccl.so.2; unset, the loader looks for it; with "
             "SEA_NCCL=0 numbers go through the host.");
    return err->status;
}

static enum sea_status
check(const struct sea_nccl *nccl, int rc, const char *what, struct sea_err *err)
{
    if (!rc)
        return SEA_OK;
    sea_fail(err, SEA_E_DEVICE, "NCCL could not %s on rank %d of %d: %s", what, nccl->rank,
             nccl->size, nccl->calls->error_text(rc));
    sea_hint(err, "NCCL_DEBUG=WARN tells more; SEA_NCCL=0 goes through the host instead.");
    return err->status;
}

/* One communicator of `size`, made by the rank of `ranks` that is its first. */
static enum sea_status
open_lane(struct sea_nccl *nccl, struct lane *lane, int size, int rank,
          const struct sea_nccl_id *id, struct sea_err *err)
{
    enum sea_status status = check(nccl, nccl->calls->init_rank(&lane->comm, size, *id, rank),
                                   "join the other ranks", err);

    if (!status && nccl->calls->stream_create(&lane->stream, NON_BLOCKING))
        status = sea_fail(err, SEA_E_DEVICE, "could not create a stream on device \"%s\"",
                          nccl->device->name);
    return status;
}

static enum sea_status
new_id(struct sea_nccl *nccl, struct sea_nccl_id *id, struct sea_err *err)
{
    memset(id, 0, sizeof(*id));
    return check(nccl, nccl->calls->get_id(id), "make an identifier", err);
}

/* Link r leads from rank r to the next one. Both ends take the links in ascending order: each
 * call waits for the other end. */
static enum sea_status
open_ring(struct sea_nccl *nccl, struct sea_comm *comm, struct sea_err *err)
{
    int next = (nccl->rank + 1) % nccl->size, last = (nccl->rank + nccl->size - 1) % nccl->size;
    struct sea_nccl_id mine, theirs;
    enum sea_status status = new_id(nccl, &mine, err);

    if (!status)
        status = sea_comm_send(comm, next, ID_TAG, &mine, sizeof(mine), err);
    if (!status)
        status = sea_comm_recv(comm, last, ID_TAG, &theirs, sizeof(theirs), err);
    if (!status)
        status = sea_comm_wait(comm, last, ID_TAG, err);
    if (!status)
        status = sea_comm_flush(comm, err);
    for (int r = 0; r < nccl->size && !status; r++) {
        if (r == nccl->rank)
            status = open_lane(nccl, &nccl->out, 2, 0, &mine, err);
        else if (r == last)
            status = open_lane(nccl, &nccl->in, 2, 1, &theirs, err);
    }
    return status;
}

enum sea_status
sea_nccl_open(struct sea_nccl **out, struct sea_comm *comm, const struct sea_device *device,
              struct sea_err *err)
{
    const struct sea_nccl_calls *calls = NULL;
    enum sea_status status = SEA_OK;
    struct sea_nccl_id id;
    struct sea_nccl *nccl;
    int64_t missing;

    *out = NULL;
    if (!strcmp(device->ops->name, "cuda"))
        status = load(&calls, err);
    missing = calls == NULL;
    if (!status)
        status = sea_comm_max(comm, &missing, 1, err);
    if (status || missing || !calls)    /* here, or on another rank */
        return status;
    nccl = sea_xcalloc(1, sizeof(*nccl));
    nccl->calls = calls;
    nccl->device = device;
    nccl->rank = sea_comm_rank(comm);
    nccl->size = sea_comm_size(comm);
    nccl->timeout_ms = sea_comm_timeout_ms(comm);
    if (nccl->rank == 0)
        status = new_id(nccl, &id, err);
    if (!status)
        status = sea_comm_broadcast(comm, 0, &id, sizeof(id), err);
    if (!status)
        status = open_lane(nccl, &nccl->all, nccl->size, nccl->rank, &id, err);
    if (!status)
        status = open_ring(nccl, comm, err);
    if (status)
        sea_nccl_close(nccl);
    else
        *out = nccl;
    return status;
}

static void
close_lane(struct sea_nccl *nccl, struct lane *lane)
{
    /* Abort, not destroy: it does not wait for a rank that is gone. */
    if (lane->comm)
        nccl->calls->abort(lane->comm);
    if (lane->stream)
        nccl->calls->stream_destroy(lane->stream);
}

void
sea_nccl_close(struct sea_nccl *nccl)
{
    if (!nccl)
        return;
    close_lane(nccl, &nccl->in);
    close_lane(nccl, &nccl->out);
    close_lane(nccl, &nccl->all);
    free(nccl);
}

/* ---- moving ---- */

/* Until a lane's stream is done. A rank that is gone leaves it waiting for ever. */
static enum sea_status
finish(struct sea_nccl *nccl, struct lane *lane, struct sea_err *err)
{
    int64_t until = sea_clock_ms() + nccl->timeout_ms;
    int rc, error = 0;

    while ((rc = nccl->calls->stream_query(lane->stream)) == NOT_READY) {
        if (nccl->calls->get_async_error(lane->comm, &error) || error)
            return check(nccl, error ? error : 1, "move numbers", err);
        if (sea_clock_ms() > until) {
            sea_fail(err, SEA_E_SERVICE, "rank %d of %d waited for %lld s for numbers of "
                     "another rank", nccl->rank, nccl->size, (long long)nccl->timeout_ms / 1000);
            sea_hint(err, "It hangs, or its machine is gone; SEA_RANK_TIMEOUT=SECONDS sets "
                     "how long to wait.");
            return err->status;
        }
    }
    if (rc)
        return sea_fail(err, SEA_E_DEVICE, "device \"%s\" failed while ranks exchanged numbers: "
                        "code %d", nccl->device->name, rc);
    return SEA_OK;
}

/* What the device has computed so far is there for other streams. */
static enum sea_status
settle(const struct sea_nccl *nccl, struct sea_err *err)
{
    return sea_device_status(nccl->device, nccl->device->ops->wait(nccl->device->dev), "wait",
                             err);
}

/* Numbers that came are there, and the device knows that they are new. */
static enum sea_status
arrive(struct sea_nccl *nccl, struct lane *lane, float *data, int64_t n, struct sea_err *err)
{
    const struct sea_device *device = nccl->device;
    enum sea_status status = finish(nccl, lane, err);

    return status ? status
                  : sea_device_status(device, device->ops->copy(device->dev, data, data,
                                      (size_t)n * sizeof(*data)), "copy", err);
}

enum sea_status
sea_nccl_send(struct sea_nccl *nccl, const float *data, int64_t n, struct sea_err *err)
{
    enum sea_status status = settle(nccl, err);

    return status ? status
                  : check(nccl, nccl->calls->send(data, (size_t)n, FLOAT32, 1, nccl->out.comm,
                                                  nccl->out.stream), "send", err);
}

enum sea_status
sea_nccl_flush(struct sea_nccl *nccl, struct sea_err *err)
{
    return finish(nccl, &nccl->out, err);
}

enum sea_status
sea_nccl_recv(struct sea_nccl *nccl, float *data, int64_t n, struct sea_err *err)
{
    enum sea_status status = settle(nccl, err);

    if (!status)
        status = check(nccl, nccl->calls->recv(data, (size_t)n, FLOAT32, 0, nccl->in.comm,
                                               nccl->in.stream), "receive", err);
    return status ? status : arrive(nccl, &nccl->in, data, n, err);
}

enum sea_status
sea_nccl_share(struct sea_nccl *nccl, int root, float *data, const int64_t *start,
               struct sea_err *err)
{
    const struct sea_nccl_calls *calls = nccl->calls;
    int64_t mine = start[nccl->rank + 1] - start[nccl->rank];
    enum sea_status status = settle(nccl, err);
    int rc;

    if (!status)
        status = check(nccl, calls->group_start(), "begin", err);
    if (status)
        return status;
    if (nccl->rank != root && mine)
        status = check(nccl, calls->recv(data + start[nccl->rank], (size_t)mine, FLOAT32, root,
                                         nccl->all.comm, nccl->all.stream), "receive", err);
    for (int r = 0; r < nccl->size && !status && nccl->rank == root; r++)
        if (r != root && start[r + 1] > start[r])
            status = check(nccl, calls->send(data + start[r], (size_t)(start[r + 1] - start[r]),
                                             FLOAT32, r, nccl->all.comm, nccl->all.stream),
                           "send", err);
    rc = calls->group_end();            /* also of a group that failed: it must not stay open */
    if (!status)
        status = check(nccl, rc, "share gradients", err);
    return status ? status
                  : arrive(nccl, &nccl->all, data + start[nccl->rank], mine, err);
}

enum sea_status
sea_nccl_gather(struct sea_nccl *nccl, float *data, const int64_t *start, struct sea_err *err)
{
    enum sea_status status = settle(nccl, err);

    for (int r = 0; r < nccl->size && !status; r++)
        if (start[r + 1] > start[r])
            status = check(nccl, nccl->calls->broadcast(data + start[r], data + start[r],
                                                        (size_t)(start[r + 1] - start[r]),
                                                        FLOAT32, r, nccl->all.comm,
                                                        nccl->all.stream), "gather", err);
    return status ? status : arrive(nccl, &nccl->all, data, start[nccl->size], err);
}
