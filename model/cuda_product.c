/* model/cuda_product.c - how fast a device multiplies large matrices, nothing else going on.
 *
 * What tensor cores can do at most is not told by the device, and data sheets name it for clocks
 * that are not held: a large product by cuBLAS comes near it. */
#include "model/cuda_product.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "io/clock.h"

enum { ROUNDS = 3, CALLS = 4, WORKSPACE = 32 << 20 };

typedef struct {
    cudaStream_t stream;
    cublasHandle_t blas;
    void *a, *b, *c, *workspace; /* [n][n], bfloat16 or float */
} products;

static dt_status check(cudaError_t error) {
    if (error == cudaSuccess)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "timing a product of matrices: %s", cudaGetErrorString(error));
}

static dt_status check_blas(cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "timing a product of matrices: cuBLAS: %s",
                   cublasGetStatusString(status));
}

/* A matrix of equal values, not 0: a device draws less power for zeros, and runs faster. */
static dt_status make_matrix(const products *p, size_t nbytes, void **out) {
    DT_TRY(check(cudaMalloc(out, nbytes)));
    return check(cudaMemsetAsync(*out, 0x3f, nbytes, p->stream));
}

static dt_status open_products(products *p, int index, size_t nbytes) {
    DT_TRY(check(cudaSetDevice(index)));
    DT_TRY(check(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking)));
    DT_TRY(make_matrix(p, nbytes, &p->a));
    DT_TRY(make_matrix(p, nbytes, &p->b));
    DT_TRY(make_matrix(p, nbytes, &p->c));
    DT_TRY(check(cudaMalloc(&p->workspace, WORKSPACE)));
    DT_TRY(check_blas(cublasCreate(&p->blas)));
    DT_TRY(check_blas(cublasSetStream(p->blas, p->stream)));
    return check_blas(cublasSetWorkspace(p->blas, p->workspace, WORKSPACE));
}

static void close_products(products *p) {
    if (p->stream)
        cudaStreamSynchronize(p->stream);
    if (p->blas)
        cublasDestroy(p->blas);
    void *blocks[] = {p->a, p->b, p->c, p->workspace};
    for (int i = 0; i < 4; i++)
        if (blocks[i])
            cudaFree(blocks[i]);
    if (p->stream)
        cudaStreamDestroy(p->stream);
}

/* Seconds of so many products. */
static dt_status run(const products *p, dt_precision precision, int n, int calls, double *seconds) {
    const float one = 1, zero = 0;
    const cudaDataType type = precision == DT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasComputeType_t compute =
        precision == DT_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    double begin = dt_now();
    for (int i = 0; i < calls; i++)
        DT_TRY(check_blas(cublasGemmEx(p->blas, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, p->a, type,
                                       n, p->b, type, n, &zero, p->c, type, n, compute,
                                       CUBLAS_GEMM_DEFAULT)));
    DT_TRY(check(cudaStreamSynchronize(p->stream)));
    *seconds = dt_now() - begin;
    return DT_OK;
}

static dt_status best_of(const products *p, dt_precision precision, int n, double *seconds) {
    double round, best;
    DT_TRY(run(p, precision, n, 1, &best)); /* the kernel is loaded */
    for (int i = 0; i < ROUNDS; i++) {
        DT_TRY(run(p, precision, n, CALLS, &round));
        best = i == 0 || round < best ? round : best;
    }
    *seconds = best / CALLS;
    return DT_OK;
}

dt_status dt_cuda_time_product(int index, dt_precision precision, int n, double *seconds) {
    products p = {0};
    size_t size = precision == DT_BF16 ? 2 : 4;
    dt_status status = open_products(&p, index, (size_t)n * (size_t)n * size);
    if (status == DT_OK)
        status = best_of(&p, precision, n, seconds);
    close_products(&p);
    return status;
}
