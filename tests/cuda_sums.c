/* tests/cuda_sums.c - sums between GPUs: by NCCL and through host memory, the same integers; and
 * what happens when a rank is lost. Run on several ranks by tests/cli_cuda_sums.sh, on the
 * simulated device or on GPUs. With the argument "lost" the last rank gives NCCL up, and the others
 * must notice, abort and come to an end. */
#include "t.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dist/comm.h"
#include "dist/cuda_nccl.h"
#include "dist/cuda_stage.h"
#include "io/clock.h"

static dt_comm *comm;
static int rank, size;
static cudaStream_t stream;

static void reduce_counts(long counts[2]) {
    int64_t both[2] = {counts[0], counts[1]};
    if (dt_comm_sum_i64(comm, both, 2) != DT_OK)
        both[1]++;
    counts[0] = both[0];
    counts[1] = both[1];
}

typedef dt_status (*sum_i64)(void *ctx, int64_t *v, size_t n, void *stream);
typedef dt_status (*sum_f32)(void *ctx, float *v, size_t n, void *stream);

/* Large numbers of both signs: in floating point their sum would be rounded. */
static int64_t element(int r, size_t i) {
    int64_t v = ((int64_t)1 << 52) + (int64_t)i * 977 + r;
    return (i + (size_t)r) % 2 ? v : -v;
}

static void test_i64(sum_i64 sum, void *ctx, size_t n) {
    int64_t *host = malloc((n + 1) * sizeof *host), *device;
    for (size_t i = 0; i < n + 1; i++)
        host[i] = element(rank, i);
    T_CHECK(cudaMalloc((void **)&device, (n + 1) * sizeof *host) == cudaSuccess);
    cudaMemcpyAsync(device, host, (n + 1) * sizeof *host, cudaMemcpyHostToDevice, stream);
    T_OK(sum(ctx, device, n, stream));
    cudaMemcpyAsync(host, device, (n + 1) * sizeof *host, cudaMemcpyDeviceToHost, stream);
    T_CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    int64_t wrong = host[n] != element(rank, n); /* what lies behind is left alone */
    for (size_t i = 0; i < n; i++) {
        int64_t all = 0;
        for (int r = 0; r < size; r++)
            all += element(r, i);
        wrong += host[i] != all;
    }
    T_CHECK(wrong == 0);
    cudaFree(device);
    free(host);
}

static void test_f32(sum_f32 sum, void *ctx) {
    float host[100], *device;
    for (int i = 0; i < 100; i++)
        host[i] = (float)(i + rank);
    T_CHECK(cudaMalloc((void **)&device, sizeof host) == cudaSuccess);
    cudaMemcpyAsync(device, host, sizeof host, cudaMemcpyHostToDevice, stream);
    T_OK(sum(ctx, device, 100, stream));
    cudaMemcpyAsync(host, device, sizeof host, cudaMemcpyDeviceToHost, stream);
    T_CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    for (int i = 0; i < 100; i++)
        T_CHECK(host[i] == (float)(i * size + size * (size - 1) / 2));
    cudaFree(device);
}

static void test_sums(int index) {
    static const size_t sizes[] = {0, 1, 7, 1000, 4096, 100003};
    dt_nccl *nccl = NULL;
    dt_stage *stage = NULL;
    T_OK(dt_nccl_open(comm, index, 30, &nccl));
    T_OK(dt_stage_open(comm, index, 32768, &stage)); /* the last size takes many pieces */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && nccl && stage; i++) {
        test_i64(dt_nccl_sum_i64, nccl, sizes[i]);
        test_i64(dt_stage_sum_i64, stage, sizes[i]);
    }
    if (nccl && stage) {
        test_f32(dt_nccl_sum_f32, nccl);
        test_f32(dt_stage_sum_f32, stage);
        T_OK(dt_nccl_poll(nccl));
    }
    dt_stage_close(&stage);
    T_CHECK(dt_nccl_close(&nccl));
    T_CHECK(nccl == NULL && stage == NULL);
}

/* An aborted communicator refuses, and does not hang. */
static void test_abort(int index) {
    dt_nccl *nccl = NULL;
    int64_t *device;
    T_OK(dt_nccl_open(comm, index, 30, &nccl));
    T_CHECK(cudaMalloc((void **)&device, 8) == cudaSuccess);
    if (nccl) {
        T_CHECK(dt_nccl_abort(nccl, 5));
        T_FAILS(dt_nccl_sum_i64(nccl, device, 1, stream), DT_EPEER, "was aborted");
        T_FAILS(dt_nccl_poll(nccl), DT_EPEER, "was aborted");
        T_CHECK(dt_nccl_abort(nccl, 5)); /* nothing left to do */
    }
    cudaFree(device);
    T_CHECK(dt_nccl_close(&nccl));
}

/* The last rank does not take part; the sum of the others never comes. Prints and ends with 6. */
static int lose_a_rank(int index) {
    dt_nccl *nccl = NULL;
    int64_t *device;
    if (dt_nccl_open(comm, index, 30, &nccl) != DT_OK)
        return 1;
    if (rank == size - 1) {
        dt_nccl_abort(nccl, 5);
        sleep(30); /* the others end the job */
        _exit(1);
    }
    if (cudaMalloc((void **)&device, 8) != cudaSuccess ||
        cudaMemsetAsync(device, 0, 8, stream) != cudaSuccess)
        return 1;
    dt_status status = dt_nccl_sum_i64(nccl, device, 1, stream); /* may know it already */
    struct timespec pause = {.tv_nsec = 1000000};
    double end = dt_now() + 20;
    while (status == DT_OK && dt_now() < end) {
        status = dt_nccl_poll(nccl);
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "rank %d: %d, %s\n", rank, (int)status, status ? dt_error() : "nothing");
    bool returned = dt_nccl_abort(nccl, 5);
    fprintf(stderr, "rank %d: abort %s\n", rank, returned ? "returned" : "hangs");
    dt_comm_abort(comm, status ? (int)status : 1);
}

int main(int argc, char **argv) {
    T_BEGIN(100);
    int n = 0;
    if (dt_comm_create(&argc, &argv, &comm) != DT_OK || cudaGetDeviceCount(&n) != cudaSuccess) {
        fprintf(stderr, "%s\n", comm ? "no device" : dt_error());
        return 1;
    }
    rank = t_rank = dt_comm_rank(comm);
    size = dt_comm_size(comm);
    t_reduce = reduce_counts;
    int index = dt_comm_local_rank(comm) % n;
    T_CHECK(cudaSetDevice(index) == cudaSuccess);
    T_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    if (argc > 1 && strcmp(argv[1], "lost") == 0)
        return lose_a_rank(index);
    test_sums(index);
    test_abort(index);
    cudaStreamDestroy(stream);
    int failed = t_finish();
    dt_comm_free(&comm);
    return failed;
}
