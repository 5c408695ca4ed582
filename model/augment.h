/* model/augment.h - pictures that are drawn anew in every epoch: turned, moved, scaled, sheared,
 * bent, with thicker or thinner strokes, noisy.
 *
 * What happens to a sample is a pure function of (seed, epoch, sample number): the same for every
 * number of ranks and workers, after a resume, and on every device. A distorted picture is bytes
 * again, so that what follows need not know. Evaluation never augments. */
#ifndef DT_MODEL_AUGMENT_H
#define DT_MODEL_AUGMENT_H

#include <stddef.h>
#include <stdint.h>
#include "model/augment_math.h"
#include "model/backend.h"

/* The distortion of one sample of pictures of this shape; kind is not DT_AUGMENT_NONE. */
void dt_augment_draw(dt_augment kind, uint64_t seed, uint32_t epoch, int64_t sample, dt_shape in,
                     dt_distortion *out);
/* Bytes of scratch memory for dt_augment_apply(), any alignment of malloc(). */
size_t dt_augment_scratch(dt_shape in);
/* out[c][h][w] = image[c][h][w] distorted, each channel alike; what lies outside is 0. */
void dt_augment_apply(const dt_distortion *d, dt_shape in, const uint8_t *image, uint8_t *out,
                      void *scratch);

/* A worker's distorted micro-batch. */
typedef struct dt_augmenter dt_augmenter;

/* NULL: no memory. config->augment is not DT_AUGMENT_NONE. */
dt_augmenter *dt_augmenter_create(const dt_device_config *config);
void dt_augmenter_free(dt_augmenter **augmenter);
/* *images and *samples of a micro-batch become those of its distorted copies, which stay until the
 * next call: [m] pictures in a row, numbered 0 .. m - 1, or -1 where there was no sample. */
void dt_augmenter_run(dt_augmenter *augmenter, uint32_t epoch, const uint8_t **images,
                      const int64_t **samples);

#endif
