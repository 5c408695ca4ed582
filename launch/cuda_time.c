/* launch/cuda_time.c - how long the ranks' sums take on their devices, nothing else going on. */
#include "launch/cuda_time.h"

#include <cuda_runtime_api.h>

#include "io/clock.h"

static const double CALL_SECONDS = 60;

static dt_status failure(int index, const char *doing, cudaError_t error) {
    return dt_fail(DT_EDEVICE, "GPU %d, %s: %s", index, doing, cudaGetErrorString(error));
}

/* Polled, as a lost peer would keep a waiting call from returning. */
static dt_status await(int index, cudaStream_t stream) {
    double end = dt_now() + CALL_SECONDS;
    cudaError_t error, last;
    while ((error = cudaStreamQuery(stream)) == cudaErrorNotReady) {
        last = cudaGetLastError(); /* launches of kernels must not find "not ready" there */
        (void)last;
        if (dt_now() > end)
            return dt_fail(DT_EPEER, "GPU %d: no sum of all ranks within %g s", index,
                           CALL_SECONDS);
    }
    return error == cudaSuccess ? DT_OK : failure(index, "timing sums", error);
}

static dt_status time_calls(const dt_reducer *reducer, int index, cudaStream_t stream, int64_t *v,
                            size_t n, int calls, double *seconds) {
    for (int i = 0; i < calls; i++) {
        double begin = dt_now();
        DT_TRY(reducer->sum_i64(reducer->ctx, v, n, stream));
        DT_TRY(await(index, stream));
        seconds[i] = dt_now() - begin;
    }
    return DT_OK;
}

dt_status dt_cuda_time_sum(const dt_reducer *reducer, int index, size_t n, int calls,
                           double *seconds) {
    void *v = NULL;
    cudaStream_t stream = NULL;
    dt_status status = DT_OK;
    cudaError_t error = cudaSetDevice(index);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = cudaMalloc(&v, (n + 1) * sizeof(int64_t));
    if (error == cudaSuccess)
        error = cudaMemsetAsync(v, 0, (n + 1) * sizeof(int64_t), stream);
    if (error != cudaSuccess)
        status = failure(index, "making room for sums", error);
    if (status == DT_OK)
        status = await(index, stream);
    if (status == DT_OK)
        status = time_calls(reducer, index, stream, v, n, calls, seconds);
    if (v)
        cudaFree(v);
    if (stream)
        cudaStreamDestroy(stream);
    return status;
}
