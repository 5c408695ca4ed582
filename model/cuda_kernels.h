/* model/cuda_kernels.h - the own kernels of the cuda back end, as C functions that enqueue one
 * launch each.
 *
 * Tensors are [m][row][column][channel], of floats or (bf16) of bfloat16. What changes from step
 * to step is in a cuda_control in device memory, so that captured launches can be replayed. All
 * are deterministic: floats are summed in one fixed order, only integers by atomic additions. */
#ifndef DT_MODEL_CUDA_KERNELS_H
#define DT_MODEL_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "model/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In front of the gradient lie these integers, summed over ranks with it: dt_sum, then votes. */
enum { CUDA_VOTES = DT_N_SUMS, CUDA_HEAD = 8 };

/* One update's scalars, worked out on the host as model/optim.c does. */
typedef struct {
    float rate;             /* SGD: learning rate; AdamW: with the bias correction of m */
    float keep, new1, new2; /* AdamW: 1 - rate * decay, 1 - beta1, 1 - beta2 */
    float root2;            /* AdamW: the bias correction of sqrt(v) */
} cuda_scalars;

/* What cuda_begin() tells the device of the work that follows. */
typedef struct {
    const uint8_t *images;  /* [..][m][pixels], in the order of samples */
    const uint8_t *labels;  /* [..][m] */
    const int64_t *samples; /* [..][m]; -1: no sample */
    int64_t row;            /* the first micro-batch */
    uint32_t epoch;
    int idle;  /* there is no work: all samples count as -1 */
    int reset; /* the gradient starts from nothing */
    int slot;  /* of the outcome */
    int vote;
    cuda_scalars scalars;
} cuda_work;

typedef struct {
    cuda_work work;                     /* work.row moves on */
    int first;                          /* the next micro-batch overwrites the gradient */
    int go;                             /* the update may be applied */
    int stopped;                        /* a step diverged: no more updates */
    int params_bad;                     /* a parameter is not finite */
    float scale;                        /* of the gradient */
    unsigned long long at[DT_N_STAMPS]; /* the device's clock, ns; COMPUTED is 0 with one rank */
} cuda_control;

typedef struct {
    int64_t sums[DT_N_SUMS];
    int64_t votes;
    double norm;
    int64_t diverged;
    unsigned long long at[DT_N_STAMPS];
} cuda_outcome;

/* The weight or the bias of a layer: where it lies in the flat arrays, its copy that layers
 * compute with, and its gradient of a micro-batch. */
typedef struct {
    size_t at;
    int n, c, s; /* n = out * c * s: [out][c][s] in the flat array, [out][s][c] in the copies */
    int slices;  /* > 0: gradient is float [slices][n], to be added up; 0: one [n] */
    int is_bf16; /* the gradient (slices == 0) */
    void *copy;  /* float, or bfloat16 */
    const void *gradient;
} cuda_segment;

/* x[m][h][w][c] = table[image]; 0 where there is no sample. */
cudaError_t cuda_gather(bool bf16, const cuda_control *control, const float *table, int m,
                        dt_shape in, void *x, cudaStream_t stream);
/* The same of the pictures as model/augment.h distorts them; kind is not DT_AUGMENT_NONE. */
cudaError_t cuda_augment(bool bf16, const cuda_control *control, const float *table,
                         dt_augment kind, uint64_t seed, int m, dt_shape in, void *x,
                         cudaStream_t stream);
/* y[rows][columns] = pre + bias, relu if asked for; y may be pre. */
cudaError_t cuda_bias(bool bf16, const float *pre, const void *bias, void *y, int rows, int columns,
                      bool relu, cudaStream_t stream);
/* arg: the place of the maximum in the window, row * kernel + column (max pooling). */
cudaError_t cuda_pool(bool bf16, const dt_layer *layer, int m, bool relu, const void *x, void *y,
                      uint16_t *arg, cudaStream_t stream);
/* mask: dy counts as 0 where y <= 0, for a ReLU behind or (max) in front of the pooling. */
cudaError_t cuda_pool_backward(bool bf16, const dt_layer *layer, int m, bool mask, const void *dy,
                               const void *y, const uint16_t *arg, void *dx, cudaStream_t stream);
cudaError_t cuda_relu(bool bf16, void *x, int n, cudaStream_t stream);
cudaError_t cuda_relu_backward(bool bf16, void *dy, const void *y, int n, cudaStream_t stream);
/* x *= the mask of model/dropout.h; for values and gradients alike. */
cudaError_t cuda_dropout(bool bf16, const cuda_control *control, uint64_t seed, int layer, float p,
                         int m, dt_shape shape, void *x, cudaStream_t stream);

enum { CUDA_SLICE_ROWS = 512 };
/* partial[slice][columns] = sums of dy over rows, CUDA_SLICE_ROWS a slice. With y, dy is set to 0
 * where y <= 0 first. */
cudaError_t cuda_bias_gradient(bool bf16, void *dy, const void *y, float *partial, int rows,
                               int columns, cudaStream_t stream);

typedef struct {
    int m, classes;
    float smoothing;
    float *logits; /* [m][classes]; the bias is added */
    const float *bias;
    void *dlogits;      /* or NULL */
    int64_t *head;      /* added to */
    int64_t *confusion; /* or NULL; added to */
} cuda_loss_args;
cudaError_t cuda_loss(bool bf16, const cuda_control *control, const cuda_loss_args *args,
                      cudaStream_t stream);

/* head may be NULL: there is nothing to start from. */
cudaError_t cuda_begin(cuda_control *control, const cuda_work *work, int64_t *head,
                       cudaStream_t stream);
/* The gradient is complete: DT_STAMP_COMPUTED. */
cudaError_t cuda_stamp(cuda_control *control, cudaStream_t stream);
/* The next micro-batch. */
cudaError_t cuda_advance(cuda_control *control, cudaStream_t stream);

/* Where gradients are added up. exact: sums as fixed point, else floats; the other is NULL. */
typedef struct {
    int64_t *head, *sums;
    float *floats;
    size_t n;
    float limit; /* of fixed.h */
} cuda_gradient;
/* The gradients of segments table[0 .. n_segments) of a micro-batch, each of at most max_n values.
 */
cudaError_t cuda_accumulate(const cuda_control *control, const cuda_segment *table, int n_segments,
                            int max_n, cuda_gradient to, cudaStream_t stream);

/* The three launches of an update. chunks: one double for each DT_NORM_CHUNK parameters. */
cudaError_t cuda_norm(cuda_control *control, cuda_gradient g, double *chunks, cudaStream_t stream);
cudaError_t cuda_decide(cuda_control *control, const cuda_gradient *g, const double *chunks,
                        float clip, cuda_outcome *outcomes, cudaStream_t stream);
typedef struct {
    float *params, *slots[2];
    dt_optim_config optim;
    int n_slots;
} cuda_state;
/* g and outcomes NULL: only copies are written, from all parameters. */
cudaError_t cuda_apply(bool bf16, cuda_control *control, const cuda_segment *table, int n_segments,
                       int max_n, const cuda_gradient *g, const cuda_state *state,
                       cuda_outcome *outcomes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
