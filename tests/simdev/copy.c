/* tests/simdev/copy.c - the runtime's functions for memory: allocate, copy, fill.
 *
 * An asynchronous copy from pinned memory reads when it runs, not when it is queued; one to
 * pageable memory waits. One from pageable memory may do either: it is staged before the call
 * returns, but in the lazy order it looks again when it runs, as devices that read the host's pages
 * themselves would. So a buffer that is used again too early shows here. Of pageable memory even
 * cudaMemcpy() returns once it is staged: streams that do not wait for the default stream may come
 * first. */
#include "queue.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

SIM_API cudaError_t cudaMalloc(void **p, size_t n) {
    cudaError_t error = sim_begin("cudaMalloc", cudaErrorMemoryAllocation);
    pthread_mutex_lock(&sim_lock);
    error = error ? error : sim_no_capture("cudaMalloc");
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_allocate(p, n, false));
}

SIM_API cudaError_t cudaHostAlloc(void **p, size_t n, unsigned flags) {
    (void)flags;
    cudaError_t error = sim_begin("cudaMallocHost", cudaErrorMemoryAllocation);
    pthread_mutex_lock(&sim_lock);
    error = error ? error : sim_no_capture("cudaMallocHost");
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_allocate(p, n, true));
}

SIM_API cudaError_t cudaMallocHost(void **p, size_t n) {
    return cudaHostAlloc(p, n, cudaHostAllocDefault);
}

/* Freeing goes on after a sticky error, so that a program's clean-up can be checked for leaks. */
SIM_API cudaError_t cudaFree(void *p) {
    sim_start();
    cudaError_t error = sim_release(p, false, "cudaFree");
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaFreeHost(void *p) {
    sim_start();
    cudaError_t error = sim_release(p, true, "cudaFreeHost");
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags) {
    (void)flags;
    if (!sim_is_pinned(host, 1))
        return sim_return(cudaErrorInvalidValue);
    *device = host;
    return cudaSuccess;
}

SIM_API cudaError_t cudaMemGetInfo(size_t *unused, size_t *total) {
    cudaError_t error = sim_begin("cudaMemGetInfo", cudaErrorUnknown);
    if (error)
        return sim_return(error);
    *total = sim_memory_total();
    *unused = *total - sim_memory_used();
    return cudaSuccess;
}

/* ---- copies: rows of n bytes, one after another or apart ---- */
typedef struct {
    void *to;
    const void *from;
    size_t n, rows, to_pitch, from_pitch;
    bool to_device, from_device;
    bool staged; /* the bytes lie behind this */
    bool again;  /* and must be found unchanged where they came from */
} transfer;

/* Whether n bytes of the host, which may be gone, are what they were. */
static bool unchanged(const void *now, const void *then, size_t n) {
    char part[4096];
    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < sizeof part ? n - at : sizeof part;
        struct iovec to = {part, size}, from = {(char *)(uintptr_t)now + at, size};
        if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)size ||
            memcmp(part, (const char *)then + at, size) != 0)
            return false;
    }
    return true;
}

static int run_transfer(void *args) {
    const transfer *t = args;
    for (size_t i = 0; i < t->rows; i++) {
        void *to = (char *)t->to + i * t->to_pitch;
        const void *from = (const char *)t->from + i * t->from_pitch;
        if (t->again && !unchanged(from, (const char *)(t + 1) + i * t->n, t->n))
            sim_fault("pageable memory was changed or freed before the copy from it ran");
        if (t->staged)
            from = (const char *)(t + 1) + i * t->n;
        else if (t->from_device || sim_is_pinned(from, t->n))
            from = sim_use(from, t->n, SIM_READ, "source");
        if (t->to_device || sim_is_pinned(to, t->n))
            to = sim_use(to, t->n, SIM_WRITE, "destination");
        memmove(to, from, t->n);
    }
    return SIM_DONE;
}

static cudaError_t enqueue_staged(const transfer *t, cudaStream_t stream, bool again) {
    size_t n = t->n * t->rows;
    transfer *copy = malloc(sizeof *copy + n);
    if (!copy)
        return cudaErrorMemoryAllocation;
    *copy = *t;
    copy->staged = true;
    copy->again = again;
    for (size_t i = 0; i < t->rows; i++)
        memcpy((char *)(copy + 1) + i * t->n, (const char *)t->from + i * t->from_pitch, t->n);
    cudaError_t error =
        sim_enqueue(stream, run_transfer, copy, sizeof *copy + n, "copy from pageable memory");
    free(copy);
    return error;
}

static bool right_kind(const transfer *t, enum cudaMemcpyKind kind) {
    static const bool to[] = {false, true, false, true}, from[] = {false, false, true, true};
    if (kind == cudaMemcpyDefault)
        return true;
    if ((int)kind < 4 && to[kind] == t->to_device && from[kind] == t->from_device)
        return true;
    sim_violation("cudaMemcpy of kind %d: destination is %s, source is %s", (int)kind,
                  t->to_device ? "device" : "host", t->from_device ? "device" : "host");
    return false;
}

static cudaError_t copy(transfer t, enum cudaMemcpyKind kind, cudaStream_t stream, bool wait) {
    if (t.n == 0 || t.rows == 0)
        return cudaSuccess;
    t.to_device = sim_is_device(t.to), t.from_device = sim_is_device(t.from);
    if (!right_kind(&t, kind))
        return cudaErrorInvalidValue;
    enum cudaStreamCaptureStatus status;
    cudaError_t error = cudaStreamIsCapturing(stream, &status);
    if (error)
        return error;
    bool captured = status == cudaStreamCaptureStatusActive;
    bool from_pageable = !t.from_device && !sim_is_pinned(t.from, 1);
    bool to_pageable = !t.to_device && !sim_is_pinned(t.to, 1);
    if (wait) {
        pthread_mutex_lock(&sim_lock);
        error = sim_no_capture("cudaMemcpy");
        pthread_mutex_unlock(&sim_lock);
    }
    if (!error && wait && from_pageable && t.to_device)
        error = cudaStreamSynchronize(stream);
    if (!error && from_pageable && t.to_device && !captured)
        return enqueue_staged(&t, stream, !wait && sim_is_lazy());
    error = error ? error : sim_enqueue(stream, run_transfer, &t, sizeof t, "copy");
    if (!error && !captured && (wait || to_pageable))
        error = cudaStreamSynchronize(stream);
    return error;
}

SIM_API cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                                    cudaStream_t stream) {
    cudaError_t error = sim_begin("cudaMemcpyAsync", cudaErrorLaunchFailure);
    transfer t = {.to = to, .from = from, .n = n, .rows = 1};
    return sim_return(error ? error : copy(t, kind, stream, false));
}

SIM_API cudaError_t cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind kind) {
    cudaError_t error = sim_begin("cudaMemcpy", cudaErrorLaunchFailure);
    transfer t = {.to = to, .from = from, .n = n, .rows = 1};
    return sim_return(error ? error : copy(t, kind, NULL, true));
}

SIM_API cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from,
                                      size_t from_pitch, size_t n, size_t rows,
                                      enum cudaMemcpyKind kind, cudaStream_t stream) {
    cudaError_t error = sim_begin("cudaMemcpy2DAsync", cudaErrorLaunchFailure);
    if (!error && (n > to_pitch || n > from_pitch))
        error = cudaErrorInvalidPitchValue;
    transfer t = {to, from, n, rows, to_pitch, from_pitch, false, false, false, false};
    return sim_return(error ? error : copy(t, kind, stream, false));
}

/* ---- fill ---- */
typedef struct {
    void *p;
    size_t n;
    int value;
} fill;

static int run_fill(void *args) {
    const fill *f = args;
    memset(sim_use(f->p, f->n, SIM_WRITE, "memset"), f->value, f->n);
    return SIM_DONE;
}

SIM_API cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t stream) {
    cudaError_t error = sim_begin("cudaMemsetAsync", cudaErrorLaunchFailure);
    if (error || n == 0)
        return sim_return(error);
    fill f = {p, n, value};
    return sim_return(sim_enqueue(stream, run_fill, &f, sizeof f, "memset"));
}

SIM_API cudaError_t cudaMemset(void *p, int value, size_t n) {
    return cudaMemsetAsync(p, value, n, NULL);
}
