/* model/cpu_kernels.h - what the cpu back end does between oneDNN's primitives.
 *
 * Activations are [plane][h][w][block] with m * C / block planes (model/dnn.h), float or bf16 (the
 * upper half of a float, rounded to nearest even). The same bits on every instruction set: the
 * AVX-512 versions do the same operations on more lanes. */
#ifndef DT_MODEL_CPU_KERNELS_H
#define DT_MODEL_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "model/dnn.h"

/* Element i of an array of floats or bf16. */
static inline __attribute__((always_inline)) float dt_cpu_load(const void *x, size_t i, bool bf16) {
    if (!bf16)
        return ((const float *)x)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)x)[i] << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

typedef struct {
    size_t planes;
    int h, w, out_h, out_w, block; /* input and output rows and columns */
    int kernel, stride, pad;
    bool relu; /* max pooling: followed (or preceded: the same) by ReLU */
    bool bf16;
} dt_pool2d;

/* x[s][n_pixels] = scale * image + shift for the m samples; 0 where a sample is -1. */
void dt_cpu_input(void *x, bool bf16, const uint8_t *images, const int64_t *samples, int m,
                  size_t n_pixels, float scale, float shift);

/* y = maximum of each window (first wins, NaN wins), which[]: its place in the window, or
 * DT_POOL_NONE where ReLU gave 0. Backward: dx = 0 but dy at the place; windows may overlap. */
enum { DT_POOL_NONE = 0xFFFF };
void dt_cpu_maxpool(const dt_pool2d *p, const void *x, void *y, uint16_t *which);
void dt_cpu_maxpool_backward(const dt_pool2d *p, const void *dy, const uint16_t *which, void *dx);
/* y = sum of each window / kernel^2, padding counted as zeros. */
void dt_cpu_avgpool(const dt_pool2d *p, const void *x, void *y);
void dt_cpu_avgpool_backward(const dt_pool2d *p, const void *dy, void *dx);

void dt_cpu_relu(void *y, bool bf16, size_t n);                          /* in place */
void dt_cpu_relu_backward(void *dy, const void *y, bool bf16, size_t n); /* dy = 0 where y <= 0 */
void dt_cpu_multiply(void *y, const float *factor, bool bf16, size_t n); /* y *= factor */
void dt_cpu_to_bf16(void *out, const float *x, size_t n);

/* The weight gradient of a fully connected layer: sums[n_out][n_in] = (set) or += the sum over m
 * samples of dy[s][o] * x[s][i], rounded to fixed point (exact) or float. Returns how many values
 * were bad, as dt_fixed_add(). Only where dt_cpu_fc_fits(). */
typedef struct {
    size_t m, n_in, n_out;
    bool bf16, exact;
    float limit;
    void *scratch; /* dt_cpu_fc_scratch() bytes */
} dt_fc_gradient;
bool dt_cpu_fc_fits(bool bf16, size_t n_in);
size_t dt_cpu_fc_scratch(const dt_fc_gradient *g);
int64_t dt_cpu_fc_gradient(const dt_fc_gradient *g, const void *x, const void *dy, void *sums,
                           bool set);
/* dbias[o] = sum over m samples of dy[s][o]. */
void dt_cpu_bias_gradient(const void *dy, bool bf16, size_t m, size_t n_out, float *dbias);

/* laid_out = plain[n_o][n_j] for rows [from, to), in the layout of at; bf16: rounded. */
void dt_cpu_weights_out(const dnn_weights *at, const float *plain, void *laid_out, bool bf16,
                        size_t from, size_t to);
/* plain[n_o][n_j] = sum over parts of parts[i][laid out], rows [from, to). */
void dt_cpu_gather_i64(const dnn_weights *at, const int64_t *const *parts, int n_parts,
                       int64_t *plain, size_t from, size_t to);
void dt_cpu_gather_f32(const dnn_weights *at, const float *const *parts, int n_parts, float *plain,
                       size_t from, size_t to);

#endif
