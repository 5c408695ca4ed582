/* launch/infer.h - a trained network that answers: pictures in, logits and what lies between out.
 *
 * One process, on the CPU. A handle is used by one thread at a time. Pictures are those of the
 * network's own kind, [height][width] bytes with 0 = background; launch/digit.h makes them of
 * others. */
#ifndef DT_LAUNCH_INFER_H
#define DT_LAUNCH_INFER_H

#include "io/checkpoint.h"
#include "launch/digit.h"
#include "model/net.h"

typedef struct {
    char path[DT_PATH_MAX];    /* the file */
    dt_checkpoint *checkpoint; /* all of it but the optimizer's state */
    dt_net *net;
    struct dt_device *one, *many; /* private */
    float **acts, **grads;        /* private */
    float *gradient;              /* private */
} dt_infer;

/* file_or_dir: a checkpoint, or a run directory (then best.h5, or latest.h5 if last). Zeroed on
 * failure. DT_EIO: it cannot be read. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_infer_open(const char *file_or_dir, bool last, dt_infer *infer);
void dt_infer_close(dt_infer *infer);

/* logits[n][classes] of images[n][height * width]. One at a time takes least time each for a
 * single one; many share the cores. DT_EDEVICE. */
DT_NODISCARD dt_status dt_infer_run(dt_infer *infer, const uint8_t *images, size_t n,
                                    float *logits);
/* probabilities[classes] = softmax(logits). */
void dt_infer_softmax(const float *logits, int classes, double *probabilities);

typedef struct {
    int first, second;        /* the most probable classes */
    double p_first, p_second; /* their probabilities */
    bool is_digit;            /* false: why says what speaks against it, with the figure */
    char why[128];
} dt_verdict;

/* What the logits say. found: how the picture was prepared; NULL if it was taken as it is. */
void dt_infer_judge(const float *logits, int classes, const dt_digit *found, dt_verdict *verdict);

/* What one picture becomes, layer by layer: acts[0] is the normalised input, acts[i + 1] the output
 * of net->layers[i], the last the logits. Valid until the next call. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_infer_look(dt_infer *infer, const uint8_t *image,
                                     const float *const **acts);
/* gradient[height * width] of the target's logit with respect to each pixel (0..255 = 0..1), at the
 * picture of the last dt_infer_look() (K. Simonyan, A. Vedaldi, A. Zisserman, Deep inside
 * convolutional networks, 2013, section 3). DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_infer_saliency(dt_infer *infer, int target, float *gradient);

#endif
