/* model/cpu_avx2.h - what oneDNN does slowly, or not at all, where there is AVX2 but no AVX-512.
 *
 * oneDNN's code for AVX2 has no weight gradient for images of one channel, which makes a whole
 * network fall back to matrix products; its weight gradient of other convolutions reaches two
 * thirds of the peak, and fully connected layers a third to a half. Here are the first layer with
 * the pooling behind it (the stem: what is written is a quarter of its activations), convolutions
 * in blocks of 8 channels, and fully connected layers.
 *
 * All float, channels rounded up to whole blocks of 8. The calling thread does all the work; each
 * sum has one order, given by the shapes alone. */
#ifndef DT_MODEL_CPU_AVX2_H
#define DT_MODEL_CPU_AVX2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/cpu_kernels.h"

/* This CPU has AVX2 and FMA, and nothing better is allowed. */
bool dt_avx2_fits(void);

/* A convolution with stride 1; outputs are h + 2 pad - kernel + 1 rows, w + 2 pad - kernel + 1
 * columns. */
typedef struct {
    int m, h, w; /* micro-batch; rows and columns of an input plane */
    int in_blocks,
        n_blocks; /* blocks of 8 input and of 8 output channels; stem: in_blocks unused */
    int kernel, pad;
    bool relu; /* of the output */
} dt_avx2_conv;

/* Kernels 3 and 5; stem: an even number of output rows and columns. */
bool dt_avx2_stem_fits(const dt_avx2_conv *c);
size_t dt_avx2_stem_scratch(const dt_avx2_conv *c); /* bytes */

/* y[m][n_blocks][rows / 2][columns / 2][8] = the maximum over 2 x 2 of conv(x) + bias, at least 0
 * with relu; which: as dt_cpu_maxpool() leaves it. x: [m][h][w], weights: [n_blocks][kernel *
 * kernel][8], bias: [n_blocks * 8]. */
void dt_avx2_stem(const dt_avx2_conv *c, const float *x, const float *weights, const float *bias,
                  float *y, uint16_t *which, float *scratch);
/* The gradients of weights and bias, in their layouts, from that of y. */
void dt_avx2_stem_gradient(const dt_avx2_conv *c, const float *x, const float *dy,
                           const uint16_t *which, float *dweights, float *dbias, float *scratch);

/* Kernels 3 and 5, an even number of output blocks. */
bool dt_avx2_conv_fits(const dt_avx2_conv *c);
size_t dt_avx2_conv_scratch(const dt_avx2_conv *c); /* bytes */
/* y[m][n_blocks][rows][columns][8] = conv(x) + bias, at least 0 with relu. x: [m][in_blocks][h][w]
 * [8], weights: [n_blocks][in_blocks][kernel * kernel][8 in][8 out], bias: [n_blocks * 8]. */
void dt_avx2_conv_run(const dt_avx2_conv *c, const float *x, const float *weights,
                      const float *bias, float *y, float *scratch);
/* dweights, in the layout of weights, and dbias[n_blocks * 8] from x and dy. */
void dt_avx2_conv_gradient(const dt_avx2_conv *c, const float *x, const float *dy, float *dweights,
                           float *dbias, float *scratch);

/* A fully connected layer: y[m][n_out] = x[m][n_in] * weights + bias, at least 0 with relu; dx[m]
 * [n_in] = dy[m][n_out] * the same weights for backward. n_in is a multiple of 16; weights and bias
 * are in [ceil(n_out / 16)][n_in][16] and [16] for each, filled up with zeros, weights for backward
 * in [n_in / 16][n_out][16]. scratch: m * 16 floats. */
typedef struct {
    size_t m, n_in, n_out;
} dt_avx2_fc_shape;
bool dt_avx2_fc_fits(const dt_avx2_fc_shape *s);
void dt_avx2_fc(const dt_avx2_fc_shape *s, const float *x, const float *weights, const float *bias,
                bool relu, float *y, float *scratch);
void dt_avx2_fc_backward(const dt_avx2_fc_shape *s, const float *dy, const float *weights,
                         float *dx);
/* The weights of outputs [from, to) from the one layout into the other; from: a multiple of 16. */
void dt_avx2_fc_turn(const dt_avx2_fc_shape *s, const float *forward, float *backward, size_t from,
                     size_t to);
/* As dt_cpu_fc_gradient(), n_in a multiple of 8; g->scratch: m * n_out floats. */
int64_t dt_avx2_fc_gradient(const dt_fc_gradient *g, const float *x, const float *dy, void *sums,
                            bool set);

/* Max pooling of whole 2 x 2 windows, planes of blocks of 8: as dt_cpu_maxpool(). h, w: even. */
void dt_avx2_maxpool(size_t planes, int h, int w, bool relu, const float *x, float *y,
                     uint16_t *which);
void dt_avx2_maxpool_backward(size_t planes, int h, int w, const float *dy, const uint16_t *which,
                              float *dx);

#endif
