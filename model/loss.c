/* model/loss.c - the two ends of a network. */
#include "model/loss.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "model/fixed.h"

void dt_input_table(double mean, double std, float table[256]) {
    for (int p = 0; p < 256; p++)
        table[p] = (float)((p / 255.0 - mean) / (std > 0 ? std : 1.0));
}

void dt_input_gather(const float table[256], const uint8_t *images, size_t n_pixels,
                     const int64_t *samples, int m, float *x) {
    for (int i = 0; i < m; i++, x += n_pixels) {
        if (samples[i] < 0) {
            memset(x, 0, n_pixels * sizeof *x);
            continue;
        }
        const uint8_t *image = images + (size_t)samples[i] * n_pixels;
        for (size_t j = 0; j < n_pixels; j++)
            x[j] = table[image[j]];
    }
}

dt_status dt_loss_check_labels(const uint8_t *labels, size_t n, int classes) {
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= classes)
            return dt_fail(DT_EDATA,
                           "label %d of sample %zu: the network has %d outputs, 0 to %d; "
                           "end it with fc %d",
                           labels[i], i, classes, classes - 1, labels[i] + 1);
    return DT_OK;
}

/* The first of the largest: what PyTorch's argmax answers. */
static int largest(const float *z, int n) {
    int best = 0;
    for (int k = 1; k < n; k++)
        if (z[k] > z[best])
            best = k;
    return best;
}

/* The loss of one row. dz may be NULL. */
static double softmax_row(const float *z, int n, int label, double smoothing, float *dz) {
    double top = z[largest(z, n)], total = 0, mean = 0;
    for (int k = 0; k < n; k++) {
        total += exp(z[k] - top);
        mean += (top - z[k]) / n;
    }
    const double rest = smoothing / n;
    for (int k = 0; dz && k < n; k++)
        dz[k] = (float)(exp(z[k] - top) / total - rest - (k == label ? 1.0 - smoothing : 0.0));
    return log(total) + (1.0 - smoothing) * (top - z[label]) + smoothing * mean;
}

void dt_loss_softmax(const float *logits, int m, int classes, const int64_t *samples,
                     const uint8_t *labels, float smoothing, float *dlogits,
                     int64_t sums[DT_N_SUMS], int64_t *confusion) {
    for (int i = 0; i < m; i++) {
        const float *z = logits + (size_t)i * (size_t)classes;
        float *dz = dlogits ? dlogits + (size_t)i * (size_t)classes : NULL;
        if (samples[i] < 0) {
            if (dz)
                memset(dz, 0, (size_t)classes * sizeof *dz);
            continue;
        }
        int label = labels[samples[i]], answer = largest(z, classes);
        double loss = softmax_row(z, classes, label, (double)smoothing, dz);
        bool good = loss < DT_LOSS_LIMIT; /* false for NaN */
        sums[DT_SUM_LOSS] += good ? dt_fixed_loss(loss) : 0;
        sums[DT_SUM_BAD] += good ? 0 : 1;
        sums[DT_SUM_CORRECT] += answer == label;
        sums[DT_SUM_COUNT] += 1;
        if (confusion)
            confusion[label * classes + answer] += 1;
    }
}
