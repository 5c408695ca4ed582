/* tests/simdev/probe_kernels.cu - small kernels, right and wrong ones, for probe.c. */
#include "tests/simdev/probe_kernels.h"

static const int THREADS = 64;

__global__ void fill_kernel(float *y, int n, float value) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = value;
}

__global__ void add_kernel(float *y, const float *x, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] += x[i];
}

/* Every thread writes the same element: a race within the kernel. */
__global__ void collide_kernel(float *y) {
    y[0] = (float)threadIdx.x;
}

__global__ void count_kernel(unsigned long long *sum, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        atomicAdd(sum, (unsigned long long)i);
}

/* Neighbours of two bytes in one granule: fine. */
__global__ void narrow_kernel(uint16_t *to, const uint8_t *from, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        to[i] = (uint16_t)(3 * from[i] + i);
}

/* Sum of a block by shared memory; without the barriers a race. */
template <bool barriers> __global__ void sum_kernel(float *out, const float *x) {
    __shared__ float part[THREADS];
    unsigned t = threadIdx.x;
    part[t] = x[blockIdx.x * blockDim.x + t];
    if (barriers)
        __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (t < half)
            part[t] += part[t + half];
        if (barriers)
            __syncthreads();
    }
    if (t == 0)
        out[blockIdx.x] = part[0];
}

__global__ void warp_sum_kernel(float *out, const float *x) {
    float v = x[threadIdx.x];
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_down_sync(0xffffffffu, v, d);
    if (threadIdx.x == 0)
        *out = v;
}

/* Half the threads of a block leave before the barrier. */
__global__ void diverge_kernel(float *y) {
    __shared__ float part[THREADS];
    if (threadIdx.x >= THREADS / 2)
        return;
    part[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = part[THREADS / 2 - 1 - threadIdx.x];
}

/* One of each kind of arithmetic, for comparison with the host's. */
__global__ void math_kernel(double *y, const double *x, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n)
        return;
    float f = (float)x[i];
    long long fixed = __double2ll_rn(x[i] * 1048576.0);
    unsigned u = (unsigned)i * 2654435761u;
    double *to = y + 8 * (size_t)i;
    to[0] = expf(f);
    to[1] = logf(fabsf(f) + 1e-3f);
    to[2] = sqrtf(fabsf(f)) / (f * f + 1.0f);
    to[3] = (double)fixed;
    to[4] = (double)__umulhi(u, 0xD2511F53u);
    to[5] = (double)((u >> 7) ^ (u << 3) | (u & 0x55u));
    to[6] = (double)(i % 7 - i / 3);
    to[7] = fmaxf(f, 0.25f) - fminf(f, -0.25f);
}

static unsigned blocks(int n) {
    return (unsigned)((n + THREADS - 1) / THREADS);
}

extern "C" void probe_fill(float *y, int n, float value, cudaStream_t s) {
    fill_kernel<<<blocks(n), THREADS, 0, s>>>(y, n, value);
}
extern "C" void probe_add(float *y, const float *x, int n, cudaStream_t s) {
    add_kernel<<<blocks(n), THREADS, 0, s>>>(y, x, n);
}
extern "C" void probe_collide(float *y, cudaStream_t s) {
    collide_kernel<<<1, THREADS, 0, s>>>(y);
}
extern "C" void probe_count(unsigned long long *sum, int n, cudaStream_t s) {
    count_kernel<<<blocks(n), THREADS, 0, s>>>(sum, n);
}
extern "C" void probe_narrow(uint16_t *to, const uint8_t *from, int n, cudaStream_t s) {
    narrow_kernel<<<blocks(n), THREADS, 0, s>>>(to, from, n);
}
extern "C" void probe_sum(float *out, const float *x, int n_blocks, bool barriers, cudaStream_t s) {
    if (barriers)
        sum_kernel<true><<<(unsigned)n_blocks, THREADS, 0, s>>>(out, x);
    else
        sum_kernel<false><<<(unsigned)n_blocks, THREADS, 0, s>>>(out, x);
}
extern "C" void probe_warp_sum(float *out, const float *x, cudaStream_t s) {
    warp_sum_kernel<<<1, 32, 0, s>>>(out, x);
}
extern "C" void probe_diverge(float *y, cudaStream_t s) {
    diverge_kernel<<<1, THREADS, 0, s>>>(y);
}
extern "C" void probe_math(double *y, const double *x, int n, cudaStream_t s) {
    math_kernel<<<blocks(n), THREADS, 0, s>>>(y, x, n);
}
