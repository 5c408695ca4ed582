/* model/loss.h - from images to inputs, and from logits to loss, answers and their gradient: what
 * every back end does with the two ends of a network, on the host, in one thread.
 *
 * Plain scalar arithmetic in double with libm's exp and log: a few thousand calls a step. */
#ifndef DT_MODEL_LOSS_H
#define DT_MODEL_LOSS_H

#include <stddef.h>
#include <stdint.h>
#include "io/err.h"
#include "model/backend.h"

/* table[p] = (p / 255 - mean) / std; a std of 0 (all pixels equal) counts as 1. */
void dt_input_table(double mean, double std, float table[256]);
/* x[m][n_pixels] = the images of samples[m] through the table; 0 where the sample is -1. */
void dt_input_gather(const float table[256], const uint8_t *images, size_t n_pixels,
                     const int64_t *samples, int m, float *x);

/* DT_EDATA names the first label that the network has no output for. */
DT_NODISCARD dt_status dt_loss_check_labels(const uint8_t *labels, size_t n, int classes);

/* One micro-batch. Softmax cross-entropy against (1 - smoothing) * one-hot + smoothing / classes.
 * Row i belongs to samples[i], its label is labels[samples[i]]; -1: the row has weight 0.
 *
 * dlogits[m][classes] = the gradient of the summed loss (softmax - target), 0 where weight is 0;
 * NULL: not wanted. Adds to sums; a row whose loss is not finite or at least DT_LOSS_LIMIT adds 1
 * to DT_SUM_BAD and 0 to DT_SUM_LOSS. Adds to confusion[classes][classes] (true, predicted) unless
 * NULL. */
enum { DT_LOSS_LIMIT = 1 << 14 };
void dt_loss_softmax(const float *logits, int m, int classes, const int64_t *samples,
                     const uint8_t *labels, float smoothing, float *dlogits,
                     int64_t sums[DT_N_SUMS], int64_t *confusion);

#endif
