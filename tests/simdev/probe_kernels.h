/* tests/simdev/probe_kernels.h - launches of the kernels in probe_kernels.cu; 64 threads a block.
 */
#ifndef DT_SIMDEV_PROBE_KERNELS_H
#define DT_SIMDEV_PROBE_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
void probe_fill(float *y, int n, float value, cudaStream_t s);
void probe_add(float *y, const float *x, int n, cudaStream_t s);
void probe_collide(float *y, cudaStream_t s);
void probe_count(unsigned long long *sum, int n, cudaStream_t s);
void probe_narrow(uint16_t *to, const uint8_t *from, int n, cudaStream_t s);
void probe_sum(float *out, const float *x, int n_blocks, bool barriers, cudaStream_t s);
void probe_warp_sum(float *out, const float *x, cudaStream_t s);
void probe_diverge(float *y, cudaStream_t s);
void probe_math(double *y, const double *x, int n, cudaStream_t s); /* y: [n][8] */
#ifdef __cplusplus
}
#endif

#endif
