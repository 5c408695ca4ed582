/* dist/cuda_stage.c - sums over the ranks through host memory.
 *
 * One pinned buffer. The copy back is not waited for; the next piece begins with an event that says
 * when the buffer is free, as it may go by another stream. */
#include "dist/cuda_stage.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

struct dt_stage {
    dt_comm *comm;
    void *pinned; /* [max_bytes] */
    size_t max_bytes;
    cudaEvent_t copied_back; /* the last piece */
};

static dt_status check(cudaError_t error, const char *doing) {
    if (error == cudaSuccess)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "staging a sum in host memory, %s: %s", doing,
                   cudaGetErrorString(error));
}

/* v[0..n) of elements of nbytes each fits the buffer. */
static dt_status sum_piece(dt_stage *s, void *v, size_t n, size_t nbytes, cudaStream_t stream) {
    size_t all = n * nbytes;
    DT_TRY(check(cudaEventSynchronize(s->copied_back), "waiting for the last one"));
    DT_TRY(check(cudaMemcpyAsync(s->pinned, v, all, cudaMemcpyDeviceToHost, stream),
                 "copying from the device"));
    DT_TRY(check(cudaStreamSynchronize(stream), "waiting for the copy"));
    if (nbytes == sizeof(int64_t))
        DT_TRY(dt_comm_sum_i64(s->comm, s->pinned, n));
    else
        DT_TRY(dt_comm_sum_f32(s->comm, s->pinned, n));
    DT_TRY(check(cudaMemcpyAsync(v, s->pinned, all, cudaMemcpyHostToDevice, stream),
                 "copying to the device"));
    return check(cudaEventRecord(s->copied_back, stream), "marking the copy");
}

static dt_status sum(dt_stage *s, char *v, size_t n, size_t nbytes, void *stream) {
    size_t most = s->max_bytes / nbytes;
    for (size_t from = 0; from < n; from += most) {
        size_t piece = n - from < most ? n - from : most;
        DT_TRY(sum_piece(s, v + from * nbytes, piece, nbytes, stream));
    }
    return DT_OK;
}

dt_status dt_stage_sum_i64(void *stage, int64_t *v, size_t n, void *stream) {
    return sum(stage, (char *)v, n, sizeof *v, stream);
}

dt_status dt_stage_sum_f32(void *stage, float *v, size_t n, void *stream) {
    return sum(stage, (char *)v, n, sizeof *v, stream);
}

dt_status dt_stage_open(dt_comm *comm, int index, size_t max_bytes, dt_stage **out) {
    dt_stage *s = *out = calloc(1, sizeof *s);
    if (!s)
        return dt_fail(DT_EDEVICE, "no memory to stage sums");
    s->comm = comm;
    s->max_bytes = max_bytes;
    dt_status status = check(cudaSetDevice(index), "choosing the device");
    if (status == DT_OK)
        status = check(cudaMallocHost(&s->pinned, max_bytes), "allocating pinned memory");
    if (status == DT_OK)
        status = check(cudaEventCreateWithFlags(&s->copied_back, cudaEventDisableTiming),
                       "creating an event");
    if (status != DT_OK)
        dt_stage_close(out);
    return status;
}

void dt_stage_close(dt_stage **stage) {
    dt_stage *s = *stage;
    if (!s)
        return;
    if (s->copied_back) {
        cudaEventSynchronize(s->copied_back);
        cudaEventDestroy(s->copied_back);
    }
    if (s->pinned)
        cudaFreeHost(s->pinned);
    free(s);
    *stage = NULL;
}
