/* model/cuda_versions.c - which CUDA libraries are loaded, and whether they are new enough.
 *
 * A library serves programs that were compiled for it or for an earlier one of its major version.
 * An older one may lack what is asked of it, and would say so late and in words of its own. */
#include "model/cuda_versions.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdio.h>

typedef struct {
    const char *name;
    int loaded[3], wanted[3];
} library;

enum { N_LIBRARIES = 3 };

static void find(library all[N_LIBRARIES]) {
    int runtime = 0, dnn = (int)cudnnGetVersion(), blas[3] = {0};
    cudaRuntimeGetVersion(&runtime);
    cublasGetProperty(MAJOR_VERSION, &blas[0]);
    cublasGetProperty(MINOR_VERSION, &blas[1]);
    cublasGetProperty(PATCH_LEVEL, &blas[2]);
    all[0] = (library){"CUDA",
                       {runtime / 1000, runtime % 1000 / 10},
                       {CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10}};
    all[1] =
        (library){"cuDNN", {dnn / 10000, dnn / 100 % 100, dnn % 100}, {CUDNN_MAJOR, CUDNN_MINOR}};
    all[2] = (library){"cuBLAS", {blas[0], blas[1], blas[2]}, {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR}};
}

void dt_cuda_versions(char *text, size_t nbytes) {
    library all[N_LIBRARIES];
    find(all);
    snprintf(text, nbytes, "CUDA %d.%d, cuDNN %d.%d.%d, cuBLAS %d.%d.%d", all[0].loaded[0],
             all[0].loaded[1], all[1].loaded[0], all[1].loaded[1], all[1].loaded[2],
             all[2].loaded[0], all[2].loaded[1], all[2].loaded[2]);
}

dt_status dt_cuda_check_versions(void) {
    library all[N_LIBRARIES];
    find(all);
    for (int i = 0; i < N_LIBRARIES; i++) {
        const library *l = &all[i];
        if (l->loaded[0] == l->wanted[0] && l->loaded[1] >= l->wanted[1])
            continue;
        return dt_fail(
            DT_EDEVICE,
            "no usable GPU: %s %d.%d is loaded, this program needs %d.%d or a later %d.x: "
            "install that, or build dtrain with the libraries of this machine",
            l->name, l->loaded[0], l->loaded[1], l->wanted[0], l->wanted[1], l->wanted[0]);
    }
    return DT_OK;
}
