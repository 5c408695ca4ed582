/* tests/simdev/cublas.c - the double of cuBLAS: products of matrices of float or bfloat16, column
 * by column, with float sums; in TF32 what is multiplied is rounded first.
 *
 * The workspace is looked at: a product without one of the caller's own, since the last
 * cublasSetStream, is a misuse here, as cuBLAS would take one of its own, and with it bits that
 * depend on what else runs. */
#include "sim.h"

#include <cublas_v2.h>
#include <stdlib.h>
#include "gemm.h"
#include "rounding.h"

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
    if (sim_fails("cublasSetStream"))
        return CUBLAS_STATUS_INTERNAL_ERROR;
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
    const void *a, *b;
    void *c;
    bool is_bf16, is_tf32; /* of a and b */
    size_t c_size;         /* bytes of an element: 2, bfloat16, or 4 */
    void *workspace;
    size_t nbytes;
} product;

static float *operand(const product *p, const void *values, size_t rows, size_t columns, size_t ld,
                      const char *name) {
    size_t n = (columns - 1) * ld + rows;
    const void *found = sim_use(values, n * (p->is_bf16 ? 2 : 4), SIM_READ, name);
    return sim_widened(found, n, p->is_bf16, p->is_tf32);
}

static void store(const product *p, char *column, size_t i, float v) {
    if (p->c_size == 2) {
        ((uint16_t *)(void *)column)[i] = sim_to_bf16(v);
        return;
    }
    float *to = (float *)(void *)column + i;
    *to = p->beta != 0 ? v + p->beta * *to : v;
}

/* C = alpha A B + beta C by columns is, by rows, C' = B' A' : n rows of m. */
static int run_product(void *args) {
    const product *p = args;
    if (p->nbytes)
        sim_use(p->workspace, p->nbytes < TOUCHED_BYTES ? p->nbytes : TOUCHED_BYTES, SIM_WRITE,
                "cuBLAS's workspace");
    size_t a_rows = p->turn_a ? p->k : p->m, a_columns = p->turn_a ? p->m : p->k;
    size_t b_rows = p->turn_b ? p->n : p->k, b_columns = p->turn_b ? p->k : p->n;
    float *a = operand(p, p->a, a_rows, a_columns, p->lda, "A");
    float *b = operand(p, p->b, b_rows, b_columns, p->ldb, "B");
    sim_mode mode = p->beta != 0 ? SIM_UPDATE : SIM_WRITE;
    size_t pitch = p->ldc * p->c_size;
    char *c = NULL;
    for (size_t j = 0; j < p->n; j++) { /* a column each: what is between them is not touched */
        char *column = sim_use((char *)p->c + j * pitch, p->m * p->c_size, mode, "C");
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
        for (size_t i = 0; i < p->m; i++)
            store(p, c + j * pitch, i, p->alpha * sum[j * p->m + i]);
    free(a);
    free(b);
    free(packed);
    free(sum);
    return SIM_DONE;
}

static int capability(void) {
    int device = 0, major = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major;
}

SIM_API cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t turn_a,
                                    cublasOperation_t turn_b, int m, int n, int k,
                                    const void *alpha, const void *a, cudaDataType a_type, int lda,
                                    const void *b, cudaDataType b_type, int ldb, const void *beta,
                                    void *c, cudaDataType c_type, int ldc,
                                    cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
    (void)algorithm;
    if (!known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (sim_fails("cublasSgemm"))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    bool is_bf16 = a_type == CUDA_R_16BF, is_tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    bool is_half = c_type == CUDA_R_16BF;
    if ((a_type != CUDA_R_32F && !is_bf16) || b_type != a_type ||
        (c_type != CUDA_R_32F && !(is_half && is_bf16)) ||
        (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC && !is_tf32) ||
        ((is_bf16 || is_tf32) && capability() < 8) || (is_half && *(const float *)beta != 0))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    bool at = turn_a != CUBLAS_OP_N, bt = turn_b != CUBLAS_OP_N;
    if (m < 0 || n < 0 || k < 0 || lda < (at ? k : m) || ldb < (bt ? n : k) || ldc < m || lda < 1 ||
        ldb < 1 || ldc < 1 || handle->pointers != CUBLAS_POINTER_MODE_HOST)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (m == 0 || n == 0 || k == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (!handle->workspace)
        sim_violation("a product without a workspace of the caller's since cublasSetStream");
    product p = {.turn_a = at,
                 .turn_b = bt,
                 .m = (size_t)m,
                 .n = (size_t)n,
                 .k = (size_t)k,
                 .lda = (size_t)lda,
                 .ldb = (size_t)ldb,
                 .ldc = (size_t)ldc,
                 .alpha = *(const float *)alpha,
                 .beta = *(const float *)beta,
                 .a = a,
                 .b = b,
                 .c = c,
                 .is_bf16 = is_bf16,
                 .is_tf32 = is_tf32,
                 .c_size = is_half ? 2 : 4,
                 .workspace = handle->workspace,
                 .nbytes = handle->workspace ? handle->nbytes : 0};
    return sim_enqueue(handle->stream, run_product, &p, sizeof p, "product")
               ? CUBLAS_STATUS_EXECUTION_FAILED
               : CUBLAS_STATUS_SUCCESS;
}
