/* model/cuda_device.h - what several files of kernels need on the device: values of both types, a
 * row's sample, random words. For .cu files only. */
#ifndef DT_MODEL_CUDA_DEVICE_H
#define DT_MODEL_CUDA_DEVICE_H

#include <cuda_bf16.h>
#include "model/cuda_kernels.h"

typedef __nv_bfloat16 bf16_t;

enum { THREADS = 256 };

static inline unsigned blocks(int n, int threads) {
    return (unsigned)((n + threads - 1) / threads);
}

static inline __device__ float get(const float *x, int i) {
    return x[i];
}
static inline __device__ float get(const bf16_t *x, int i) {
    return __bfloat162float(x[i]);
}
static inline __device__ void put(float *x, int i, float v) {
    x[i] = v;
}
static inline __device__ void put(bf16_t *x, int i, float v) {
    x[i] = __float2bfloat16_rn(v);
}
/* The sample of row i of the current micro-batch; -1: none. */
static inline __device__ int64_t sample_at(const cuda_control *k, int m, int i) {
    return k->work.idle ? -1 : k->work.samples[k->work.row * m + i];
}

#define FOR_TYPE(bf16, kernel, grid, block, stream, FLOAT, BF16)                                   \
    do {                                                                                           \
        if (bf16)                                                                                  \
            kernel<bf16_t><<<grid, block, 0, stream>>> BF16;                                       \
        else                                                                                       \
            kernel<float><<<grid, block, 0, stream>>> FLOAT;                                       \
        return cudaPeekAtLastError();                                                              \
    } while (0)

/* Philox 4x32-10, as in io/rng.c. */
static inline __device__ void philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                                     uint32_t k0, uint32_t k1, uint32_t out[4]) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

#endif
