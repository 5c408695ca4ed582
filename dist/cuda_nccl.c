/* dist/cuda_nccl.c - sums over the ranks by NCCL.
 *
 * The communicator is non-blocking: calls return at once, and its state is polled until a deadline.
 * So a rank that never comes is a failure after some seconds, with a sentence, and no hang.
 * ncclCommAbort() and ncclCommDestroy() may hang all the same, as they wait for kernels; they are
 * made by a thread of their own, which is left behind when it does not come back.
 *
 * What NCCL cannot know: that two ranks use one device, which it refuses or hangs on by version.
 * The caller has compared the devices before. */
#include "dist/cuda_nccl.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/clock.h"

/* Of calls that only enqueue: NCCL connects on the first sum of a kind, which takes a while. */
static const double CALL_SECONDS = 60;
static const double CLOSE_SECONDS = 5;

struct dt_nccl {
    ncclComm_t comm; /* NULL: aborted or never made */
    int rank, size;
    bool broken;
};

/* NCCL's own words come from the last error of any call in this process. */
static dt_status failure(const dt_nccl *nccl, ncclResult_t code, const char *doing) {
    dt_status status = code == ncclRemoteError ? DT_EPEER : DT_EDEVICE;
    const char *more = ncclGetLastError(NULL);
    return dt_fail(status, "NCCL on rank %d of %d, %s: %s%s%s", nccl->rank, nccl->size, doing,
                   ncclGetErrorString(code), more && more[0] ? ": " : "", more ? more : "");
}

static void nap(double seconds) {
    struct timespec left = {.tv_nsec = (long)(1e9 * seconds)};
    nanosleep(&left, NULL);
}

/* Until the communicator's state is no longer "in progress". */
static dt_status settle(dt_nccl *nccl, ncclResult_t code, double seconds, const char *doing) {
    double end = dt_now() + seconds, pause = 1e-6;
    while (code == ncclInProgress) {
        ncclResult_t polled = ncclCommGetAsyncError(nccl->comm, &code);
        if (polled != ncclSuccess)
            code = polled;
        if (code != ncclInProgress)
            break;
        if (dt_now() > end) {
            nccl->broken = true;
            return dt_fail(DT_EPEER,
                           "NCCL on rank %d of %d, %s: no answer from the other ranks within %g s; "
                           "NCCL_DEBUG=INFO shows how it tries to connect",
                           nccl->rank, nccl->size, doing, seconds);
        }
        nap(pause);
        pause = pause < 1e-3 ? 2 * pause : 1e-3;
    }
    if (code == ncclSuccess)
        return DT_OK;
    nccl->broken = true;
    return failure(nccl, code, doing);
}

/* -- Sums ------------------------------------------------------------------------------------ */

static dt_status sum(dt_nccl *nccl, void *v, size_t n, ncclDataType_t type, void *stream) {
    if (!nccl->comm)
        return dt_fail(DT_EPEER, "NCCL on rank %d of %d was aborted", nccl->rank, nccl->size);
    if (n == 0)
        return DT_OK;
    ncclResult_t code = ncclAllReduce(v, v, n, type, ncclSum, nccl->comm, stream);
    return settle(nccl, code, CALL_SECONDS, "summing");
}

dt_status dt_nccl_sum_i64(void *nccl, int64_t *v, size_t n, void *stream) {
    return sum(nccl, v, n, ncclInt64, stream);
}

dt_status dt_nccl_sum_f32(void *nccl, float *v, size_t n, void *stream) {
    return sum(nccl, v, n, ncclFloat32, stream);
}

dt_status dt_nccl_poll(dt_nccl *nccl) {
    ncclResult_t state = ncclSuccess;
    if (!nccl->comm)
        return dt_fail(DT_EPEER, "NCCL on rank %d of %d was aborted", nccl->rank, nccl->size);
    ncclResult_t code = ncclCommGetAsyncError(nccl->comm, &state);
    if (code == ncclSuccess)
        code = state;
    if (code == ncclSuccess || code == ncclInProgress)
        return DT_OK;
    nccl->broken = true;
    return failure(nccl, code, "summing");
}

/* -- Calls that may hang ---------------------------------------------------------------------- */

typedef ncclResult_t (*last_call)(ncclComm_t comm); /* ncclCommAbort or ncclCommDestroy */

typedef struct { /* freed by whoever comes last: the caller or the thread */
    last_call call;
    ncclComm_t comm;
    pthread_mutex_t lock;
    pthread_cond_t returned_now;
    bool returned, abandoned;
} parting;

static void parting_free(parting *p) {
    pthread_cond_destroy(&p->returned_now);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void *part_main(void *arg) {
    parting *p = arg;
    p->call(p->comm);
    pthread_mutex_lock(&p->lock);
    p->returned = true;
    bool mine = p->abandoned;
    pthread_cond_signal(&p->returned_now);
    pthread_mutex_unlock(&p->lock);
    if (mine)
        parting_free(p);
    return NULL;
}

static parting *parting_new(last_call call, ncclComm_t comm) {
    parting *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->returned_now, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&p->lock, NULL);
    p->call = call;
    p->comm = comm;
    return p;
}

static struct timespec after(double seconds) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    time_t whole = (time_t)seconds;
    t.tv_sec += whole;
    t.tv_nsec += (long)(1e9 * (seconds - (double)whole));
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* The communicator's last call; false: it does not come back within seconds. */
static bool part(dt_nccl *nccl, last_call call, double seconds) {
    if (!nccl->comm)
        return true;
    pthread_t thread;
    struct timespec end = after(seconds);
    parting *p = parting_new(call, nccl->comm);
    if (!p)
        return false;
    nccl->comm = NULL; /* whatever becomes of it, nobody may use it again */
    if (pthread_create(&thread, NULL, part_main, p) != 0) {
        parting_free(p);
        return false;
    }
    pthread_detach(thread);
    pthread_mutex_lock(&p->lock);
    int code = 0;
    while (!p->returned && code == 0)
        code = pthread_cond_timedwait(&p->returned_now, &p->lock, &end);
    bool returned = p->returned;
    p->abandoned = !returned;
    pthread_mutex_unlock(&p->lock);
    if (returned)
        parting_free(p);
    return returned;
}

bool dt_nccl_abort(dt_nccl *nccl, double seconds) {
    return part(nccl, ncclCommAbort, seconds);
}

/* -- Opening and closing --------------------------------------------------------------------- */

static dt_status make_id(dt_nccl *nccl, ncclUniqueId *id) {
    if (nccl->rank != 0)
        return DT_OK;
    ncclResult_t code = ncclGetUniqueId(id);
    return code == ncclSuccess ? DT_OK : failure(nccl, code, "making the group's id");
}

/* *state is what settle() goes on from. */
static dt_status begin_to_join(dt_nccl *nccl, int index, const ncclUniqueId *id,
                               ncclResult_t *state) {
    cudaError_t error = cudaSetDevice(index);
    if (error != cudaSuccess)
        return dt_fail(DT_EDEVICE, "cannot use GPU %d: %s", index, cudaGetErrorString(error));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    *state = ncclCommInitRankConfig(&nccl->comm, nccl->size, *id, nccl->rank, &config);
    if (*state == ncclSuccess || *state == ncclInProgress)
        return DT_OK;
    nccl->comm = NULL; /* as NCCL left it there is nothing to abort */
    return failure(nccl, *state, "joining the group");
}

/* Whoever fails at once is not waited for. */
static dt_status join(dt_nccl *nccl, dt_comm *comm, int index, double seconds) {
    ncclUniqueId id;
    ncclResult_t state = ncclSuccess;
    memset(&id, 0, sizeof id);
    DT_TRY(dt_comm_agree(comm, make_id(nccl, &id)));
    DT_TRY(dt_comm_bcast(comm, &id, sizeof id, 0));
    DT_TRY(dt_comm_agree(comm, begin_to_join(nccl, index, &id, &state)));
    return dt_comm_agree(comm, settle(nccl, state, seconds, "joining the group"));
}

dt_status dt_nccl_open(dt_comm *comm, int index, double seconds, dt_nccl **out) {
    dt_nccl *nccl = *out = calloc(1, sizeof *nccl);
    dt_status status = nccl ? DT_OK : dt_fail(DT_EDEVICE, "no memory for a communicator of NCCL");
    DT_TRY(dt_comm_agree(comm, status));
    nccl->rank = dt_comm_rank(comm);
    nccl->size = dt_comm_size(comm);
    status = join(nccl, comm, index, seconds);
    nccl->broken = status != DT_OK;
    return status;
}

bool dt_nccl_close(dt_nccl **nccl) {
    dt_nccl *n = nccl ? *nccl : NULL;
    if (!n)
        return true;
    *nccl = NULL;
    char why[DT_ERROR_MAX];
    dt_error_copy(why); /* of a failure that closing must not hide */
    last_call call = ncclCommAbort;
    if (n->comm && !n->broken) {
        ncclResult_t code = ncclCommFinalize(n->comm);
        if (settle(n, code, CLOSE_SECONDS, "leaving the group") == DT_OK)
            call = ncclCommDestroy;
    }
    bool let_go = part(n, call, CLOSE_SECONDS);
    dt_error_set(why);
    free(n);
    return let_go;
}

void dt_nccl_library(char *text, size_t nbytes) {
    int version = 0;
    ncclGetVersion(&version);
    snprintf(text, nbytes, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

dt_status dt_nccl_check_version(void) {
    int version = 0;
    ncclGetVersion(&version);
    if (version / 100 >= NCCL_VERSION_CODE / 100 && version / 10000 == NCCL_MAJOR)
        return DT_OK;
    return dt_fail(DT_EDEVICE,
                   "no usable GPU: NCCL %d.%d is loaded, this program needs %d.%d or a later %d.x: "
                   "install that, or build dtrain with the libraries of this machine",
                   version / 10000, version / 100 % 100, NCCL_MAJOR, NCCL_MINOR, NCCL_MAJOR);
}
