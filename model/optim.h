/* model/optim.h - from the sum of a step's gradients to new parameters; learning-rate schedules.
 *
 * Plain functions over ranges of flat arrays, so that threads can share the work: every element
 * depends on nothing but itself and the scalars, hence any split gives the same bits. */
#ifndef DT_MODEL_OPTIM_H
#define DT_MODEL_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { DT_SGD, DT_ADAMW } dt_optimizer;
typedef enum { DT_CONSTANT, DT_COSINE, DT_ONECYCLE } dt_schedule;

typedef struct {
    dt_optimizer kind;
    bool nesterov;        /* SGD (Sutskever et al. 2013, as in PyTorch) */
    float momentum;       /* SGD: momentum; AdamW: beta1 */
    float beta2, epsilon; /* AdamW (Loshchilov & Hutter 2019) */
    float weight_decay;   /* SGD: L2, added to the gradient; AdamW: decoupled */
    float clip_norm;      /* gradients are scaled down to this norm; 0 = off */
} dt_optim_config;

/* Slots an optimizer keeps a parameter, and their names in files: SGD with momentum 1 ("momentum"),
 * without 0; AdamW 2 ("m", "v"). */
int dt_optim_slots(const dt_optim_config *config);
const char *dt_optim_slot_name(const dt_optim_config *config, int slot);

typedef struct {
    int64_t step; /* 1 for the first update of a run: AdamW's bias correction */
    float learning_rate;
    float gradient_scale; /* what the summed gradient is multiplied with: 1 / samples, times
                             clipping */
} dt_update;

/* params, slots[..] at [from, to): one update from gradient[from, to). SGD as in PyTorch: b =
 * momentum * b
 * + g, then p -= rate * b (Nesterov: rate * (g + momentum * b)). */
void dt_optim_apply(const dt_optim_config *config, const dt_update *update, const float *gradient,
                    float *params, float *const slots[2], size_t from, size_t to);

/* Sum of squares of x[0..n) as doubles, in chunks of DT_NORM_CHUNK: chunk c covers
 * [c * DT_NORM_CHUNK, ...) and is summed in one fixed order; dt_norm_total adds the chunks in
 * order. The result does not depend on who computed which chunk. */
enum { DT_NORM_CHUNK = 4096 };
double dt_norm_chunk(const float *x, size_t n, size_t chunk);
double dt_norm_total(const double *chunks, size_t n_chunks); /* the square root of their sum */

typedef struct {
    dt_schedule kind;
    float peak;     /* --lr */
    int64_t warmup; /* linear from 0 over this many steps (onecycle: 0 = 30 % of all) */
    int64_t total;  /* steps of the whole run */
} dt_schedule_config;

/* The learning rate of step (0 = first). Warm-up: peak * (step + 1) / warmup, the first step
 * learns. cosine: after it towards 0, which the step after the last would reach (Loshchilov &
 * Hutter 2017). onecycle: from peak/25 up to peak and down to peak/10^4, both by cosine (Smith &
 * Topin 2018; PyTorch's OneCycleLR with final_div_factor = 400). Steps from total on get the last
 * one's rate. Momentum is not cycled: at a
 * constant 0.7 the presets reach the same accuracy. */
float dt_schedule_at(const dt_schedule_config *config, int64_t step);

#endif
