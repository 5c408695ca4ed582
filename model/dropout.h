/* model/dropout.h - which values a dropout layer keeps: one rule for all back ends.
 *
 * The mask of a sample is a pure function of (seed, epoch, sample, layer, element): the same for
 * every number of ranks, workers and micro-batches, and on every device. */
#ifndef DT_MODEL_DROPOUT_H
#define DT_MODEL_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

/* scale[e] = 0 with probability p, else 1 / (1 - p), for the n values of one sample that enter the
 * layer with this index in dt_net.layers, in the order (channel, row, column). 0 <= p < 1. */
void dt_dropout_mask(uint64_t seed, uint32_t epoch, int64_t sample, int layer, float p,
                     float *scale, size_t n);

#endif
