/* model/cuda_product.h - timing a product of matrices on a device. */
#ifndef DT_MODEL_CUDA_PRODUCT_H
#define DT_MODEL_CUDA_PRODUCT_H

#include "io/err.h"
#include "model/backend.h"

/* *seconds: of one product of n x n matrices by cuBLAS on device index, in precision. DT_EDEVICE.
 */
DT_NODISCARD dt_status dt_cuda_time_product(int index, dt_precision precision, int n,
                                            double *seconds);

#endif
