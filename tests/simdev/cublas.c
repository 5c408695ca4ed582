/* tests/simdev/cublas.c - the double of cuBLAS: products of float matrices, column by column.
 *
 * The workspace is looked at: a product without one of the caller's own, since the last
 * cublasSetStream, is a misuse here, as cuBLAS would take one of its own, and with it bits that
 * depend on what else runs. */
#include "sim.h"

#include <cublas_v2.h>
#include <stdlib.h>
#include "gemm.h"

enum { TOUCHED_BYTES = 4096 }; /* of the workspace: enough to see two streams share it */

struct cublasContext {
    struct cublasContext *next;
    cudaStream_t stream;
    void *workspace;
    size_t nbytes;
    cublasPointerMode_t pointers;
};
static cublasHandle_t handles;

static bool known(cublasHandle_t handle) {
    for (cublasHandle_t h = handles; h; h = h->next)
        if (h == handle)
            return true;
    sim_violation("cuBLAS: a handle is used that does not exist or was destroyed");
    return false;
}

SIM_API cublasStatus_t cublasCreate_v2(cublasHandle_t *out) {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || sim_fails("cublasCreate"))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return CUBLAS_STATUS_ALLOC_FAILED;
    (*out)->next = handles;
    handles = *out;
    sim_count("cuBLAS handle", 1);
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    for (cublasHandle_t *p = &handles; *p; p = &(*p)->next)
        if (*p == handle) {
            *p = handle->next;
            break;
        }
    free(handle);
    sim_count("cuBLAS handle", -1);
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    handle->workspace = NULL; /* as documented: back to the library's own */
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace,
                                             size_t nbytes) {
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (sim_fails("cublasSetWorkspace") || (uintptr_t)workspace % 256)
        return CUBLAS_STATUS_INVALID_VALUE;
    handle->workspace = workspace, handle->nbytes = nbytes;
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
    (void)mode; /* float stays float here */
    return known(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

SIM_API cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
    (void)mode;
    return known(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

SIM_API cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->pointers = mode;
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value) {
    *value = type == MAJOR_VERSION   ? CUBLAS_VER_MAJOR
             : type == MINOR_VERSION ? CUBLAS_VER_MINOR
                                     : CUBLAS_VER_PATCH;
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version) {
    (void)handle;
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

SIM_API const char *cublasGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "the functionality requested is not supported";
    default:
        return "the function failed to launch on the GPU";
    }
}
SIM_API const char *cublasGetStatusName(cublasStatus_t status) {
    return cublasGetStatusString(status);
}

/* ---- products ---- */
typedef struct {
    bool turn_a, turn_b;
    size_t m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b;
    float *c;
    void *workspace;
    size_t nbytes;
} product;

static size_t extent(size_t rows, size_t columns, size_t ld) {
    return ((columns - 1) * ld + rows) * sizeof(float);
}

/* C = alpha A B + beta C by columns is, by rows, C' = B' A' : n rows of m. */
static int run_product(void *args) {
    const product *p = args;
    if (p->nbytes)
        sim_use(p->workspace, p->nbytes < TOUCHED_BYTES ? p->nbytes : TOUCHED_BYTES, SIM_WRITE,
                "cuBLAS's workspace");
    size_t a_rows = p->turn_a ? p->k : p->m, a_columns = p->turn_a ? p->m : p->k;
    size_t b_rows = p->turn_b ? p->n : p->k, b_columns = p->turn_b ? p->k : p->n;
    const float *a = sim_use(p->a, extent(a_rows, a_columns, p->lda), SIM_READ, "A");
    const float *b = sim_use(p->b, extent(b_rows, b_columns, p->ldb), SIM_READ, "B");
    sim_mode mode = p->beta != 0 ? SIM_UPDATE : SIM_WRITE;
    float *c = NULL;
    for (size_t j = 0; j < p->n; j++) { /* a column each: what is between them is not touched */
        float *column = sim_use(p->c + j * p->ldc, p->m * sizeof *c, mode, "C");
        c = c ? c : column;
    }
    float *packed = malloc(p->k * p->m * sizeof *packed), *sum = calloc(p->n * p->m, sizeof *sum);
    if (!packed || !sum)
        abort();
    for (size_t q = 0; q < p->k; q++)
        for (size_t i = 0; i < p->m; i++)
            packed[q * p->m + i] = p->turn_a ? a[i * p->lda + q] : a[q * p->lda + i];
    sim_gemm(p->n, p->m, p->k, b, p->turn_b ? 1 : p->ldb, p->turn_b ? p->ldb : 1, packed, sum);
    for (size_t j = 0; j < p->n; j++)
        for (size_t i = 0; i < p->m; i++) {
            float *to = &c[j * p->ldc + i], v = p->alpha * sum[j * p->m + i];
            *to = p->beta != 0 ? v + p->beta * *to : v;
        }
    free(packed);
    free(sum);
    return SIM_DONE;
}

SIM_API cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t turn_a,
                                      cublasOperation_t turn_b, int m, int n, int k,
                                      const float *alpha, const float *a, int lda, const float *b,
                                      int ldb, const float *beta, float *c, int ldc) {
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (sim_fails("cublasSgemm"))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    bool at = turn_a != CUBLAS_OP_N, bt = turn_b != CUBLAS_OP_N;
    if (m < 0 || n < 0 || k < 0 || lda < (at ? k : m) || ldb < (bt ? n : k) || ldc < m || lda < 1 ||
        ldb < 1 || ldc < 1 || handle->pointers != CUBLAS_POINTER_MODE_HOST)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (m == 0 || n == 0 || k == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (!handle->workspace)
        sim_violation("cublasSgemm without a workspace of the caller's since cublasSetStream");
    product p = {.turn_a = at,
                 .turn_b = bt,
                 .m = (size_t)m,
                 .n = (size_t)n,
                 .k = (size_t)k,
                 .lda = (size_t)lda,
                 .ldb = (size_t)ldb,
                 .ldc = (size_t)ldc,
                 .alpha = *alpha,
                 .beta = *beta,
                 .a = a,
                 .b = b,
                 .c = c,
                 .workspace = handle->workspace,
                 .nbytes = handle->workspace ? handle->nbytes : 0};
    return sim_enqueue(handle->stream, run_product, &p, sizeof p, "product")
               ? CUBLAS_STATUS_EXECUTION_FAILED
               : CUBLAS_STATUS_SUCCESS;
}

SIM_API cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t turn_a,
                                    cublasOperation_t turn_b, int m, int n, int k,
                                    const void *alpha, const void *a, cudaDataType a_type, int lda,
                                    const void *b, cudaDataType b_type, int ldb, const void *beta,
                                    void *c, cudaDataType c_type, int ldc,
                                    cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
    (void)algorithm;
    if (a_type != CUDA_R_32F || b_type != CUDA_R_32F || c_type != CUDA_R_32F ||
        (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return cublasSgemm_v2(handle, turn_a, turn_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
