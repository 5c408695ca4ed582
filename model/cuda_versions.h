/* model/cuda_versions.h - which CUDA libraries are loaded, and whether they are new enough. */
#ifndef DT_MODEL_CUDA_VERSIONS_H
#define DT_MODEL_CUDA_VERSIONS_H

#include <stddef.h>
#include "io/err.h"

/* "CUDA 13.0, cuDNN 9.19.0, cuBLAS 13.1.0"; needs no device. */
void dt_cuda_versions(char *text, size_t nbytes);
/* DT_EDEVICE: a library is older than the one that this was compiled for, or of another major
 * version. Names both. */
DT_NODISCARD dt_status dt_cuda_check_versions(void);

#endif
