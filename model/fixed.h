/* model/fixed.h - floats to fixed-point integers and back: what makes sums exact.
 *
 * A gradient g becomes round(g * 2^DT_GRADIENT_BITS), to nearest, ties to even: the product is
 * exact, so the rounding is the only one. Sums of such integers do not depend on their order. The
 * smallest step, 2^-40, is far below a float gradient's own rounding; the range is bounded so that
 * no sum of all the micro-batches of a step can overflow: |g| < 2^22 / max_micros.
 *
 * Every instruction set gives the same bits. */
#ifndef DT_MODEL_FIXED_H
#define DT_MODEL_FIXED_H

#include <stddef.h>
#include <stdint.h>

/* What a micro-batch's gradient must stay below, where a sum has max_micros of them. At most 2^22.
 */
float dt_fixed_limit(int max_micros);

/* acc[i] += round(g[i] * 2^40) for i < n. Values that are NaN or not below limit in magnitude add 0
 * and are counted; returns their number. */
int64_t dt_fixed_add(int64_t *acc, const float *g, size_t n, float limit);
/* The same, acc[i] = instead of +=: the first micro-batch needs no zeroed memory. */
int64_t dt_fixed_set(int64_t *acc, const float *g, size_t n, float limit);
/* g[i] = acc[i] * 2^-40, rounded once. */
void dt_fixed_get(float *g, const int64_t *acc, size_t n);
/* to[i] += from[i]: sums of workers. */
void dt_fixed_merge(int64_t *to, const int64_t *from, size_t n);

/* round(loss * 2^DT_LOSS_BITS); |loss| must be below 2^30. */
int64_t dt_fixed_loss(double loss);
double dt_fixed_loss_get(int64_t sum);

#endif
