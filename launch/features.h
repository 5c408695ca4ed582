/* launch/features.h - `dtrain features`: what a network makes of a picture, layer by layer, as
 * pictures. */
#ifndef DT_LAUNCH_FEATURES_H
#define DT_LAUNCH_FEATURES_H

#include "dist/comm.h"
#include "launch/infer.h"
#include "launch/options.h"

/* Write the sheets of options->subjects' one picture to the folder options->report. One process.
 * DT_EUSAGE: several ranks. DT_EDATA: the picture cannot be read. DT_EIO: the checkpoint cannot be
 * read, a sheet not be written. */
DT_NODISCARD dt_status dt_features(const dt_options *options, dt_comm *comm);

/* The sheets one by one; free *sheet with dt_image_free(). acts are those of dt_infer_look().
 * DT_EDEVICE: no memory. */

/* The output of layer, 0 .. n_layers - 1. */
DT_NODISCARD dt_status dt_features_layer(const dt_infer *infer, const float *const *acts, int layer,
                                         dt_image *sheet);
/* The filters of the convolution on the pixels: *sheet has no pixels if there is none. */
DT_NODISCARD dt_status dt_features_filters(const dt_infer *infer, dt_image *sheet);
/* The picture that the network was given, the gradient of the most probable class with respect to
 * its pixels, and both in one. */
DT_NODISCARD dt_status dt_features_saliency(dt_infer *infer, const uint8_t *image,
                                            const float *const *acts, dt_image *sheet);

#endif
