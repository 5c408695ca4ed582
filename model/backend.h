/* model/backend.h - one rank's device behind a table of functions: ref, cpu (and cuda as a plugin).
 *
 * A device holds the parameters, the optimizer's state, both data sets and the gradient of a step,
 * and computes micro-batches. It knows nothing of other ranks: the trainer takes the summed
 * gradient out by (pointer, count, stream), has it all-reduced, and calls update().
 *
 * The bits of a micro-batch's gradient depend on the parameters, the samples, the micro-batch size
 * and (seed, epoch) alone. They are added up as integers (fixed.h, 2^40 for 1). Integer addition is
 * associative: who adds what in which order does not matter.
 *
 * Per step: gradient() -> all-reduce of the whole buffer -> update(). All functions are called
 * by one thread; a device may have worker threads of its own. */
#ifndef DT_MODEL_BACKEND_H
#define DT_MODEL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"
#include "model/net.h"
#include "model/optim.h"

typedef enum { DT_F32, DT_BF16, DT_TF32 } dt_precision;
typedef enum { DT_TRAIN, DT_TEST, DT_N_SETS } dt_set;
/* What training does to its pictures, never evaluation: model/augment.h. */
typedef enum { DT_AUGMENT_NONE, DT_AUGMENT_AFFINE, DT_AUGMENT_ELASTIC } dt_augment;

/* Gradients and losses as fixed-point integers. A summed gradient g is stored as
 * round(g * 2^DT_GRADIENT_BITS), a loss as round(l * 2^DT_LOSS_BITS). */
enum { DT_GRADIENT_BITS = 40, DT_LOSS_BITS = 32 };

/* Behind the n_params gradients lie these sums; one all-reduce carries them all. */
typedef enum {
    DT_SUM_LOSS,    /* fixed point, DT_LOSS_BITS, with label smoothing if asked for */
    DT_SUM_CORRECT, /* training samples whose largest logit was the label's (first wins a tie) */
    DT_SUM_COUNT,   /* samples */
    DT_SUM_BAD,     /* values that were NaN, infinite or too large: the update is then a no-op */
    DT_N_SUMS
} dt_sum;

typedef struct {
    const dt_net *net; /* must outlive the device */
    dt_precision precision;
    int micro_batch; /* m */
    int threads;     /* worker threads, >= 1 */
    uint64_t seed;
    float label_smoothing;
    dt_augment augment;
    bool exact;     /* false: gradients are float sums (--reduce float) */
    int max_micros; /* micro-batches in a global batch, over all ranks: bounds the sum */
    dt_optim_config optim;
    double mean, std; /* of pixels / 255: x = (p / 255 - mean) / std */
    int64_t *sums;    /* [n_params + DT_N_SUMS], the caller's, zeroed, for the gradient of an exact
                         back end on the host; it must outlive the device. NULL: the device's own */

    /* Of queued back ends; the others ignore them. */
    int index;            /* which device of this host */
    int64_t epoch_micros; /* of the longest list that epoch() will get; 0: not known */
    bool graph;           /* replay captured work; false: plain launches, the same bits */
    const struct dt_reducer *reduce; /* NULL: one rank. Must outlive the device */
    const char *choices;             /* what choose() said on rank 0; NULL: choose here */
} dt_device_config;

/* The gradient of a step: int64 [n_params + DT_N_SUMS]; with !exact float [n_params] (summed
 * gradient) and the sums apart. Host memory when stream is NULL. */
typedef struct {
    int64_t *sums; /* exact: n = n_params + DT_N_SUMS, else n = DT_N_SUMS */
    size_t n_sums;
    float *floats; /* !exact: [n_params]; else NULL */
    void *stream;
} dt_gradient;

/* Values that a queued back end sums beside the gradient, at most. */
enum { DT_SUMS_BEYOND = 64 };

/* How a queued back end sums over the ranks: on its own stream, in the order of the calls. */
typedef struct dt_reducer {
    void *ctx;
    /* Enqueue on stream: v[0..n), device memory, becomes its sum over the ranks. All ranks enqueue
     * the same sums in the same order. DT_EPEER, DT_EDEVICE. */
    dt_status (*sum_i64)(void *ctx, int64_t *v, size_t n, void *stream);
    dt_status (*sum_f32)(void *ctx, float *v, size_t n, void *stream);
    bool captures; /* may be called while stream is being captured; false: it waits for stream */
} dt_reducer;

/* What a rank has to do in a step or an evaluation. */
typedef struct {
    const int64_t *samples; /* [n_micros][m], index into the set; -1 = no sample (weight 0) */
    int n_micros;           /* may be 0: the gradient is then 0 */
    uint32_t epoch;
    int64_t first, rest; /* of epoch() alone: its micro-batches before and after these */
} dt_work;

/* Called, from any worker thread, once floats/sums [from, from + n) of this step are final: the
 * trainer may start to reduce them. Ranges come in one fixed order (dt_backend.ranges) and cover
 * the n_params gradients. */
typedef void (*dt_ready)(void *ctx, int range);

typedef struct {
    int64_t sums[DT_N_SUMS];
    int64_t *confusion; /* [classes][classes], true x predicted, added to; or NULL */
    float *logits;      /* [n_micros][m][classes], overwritten; or NULL */
} dt_eval;

/* One step of a queued back end: micro-batches [first, first + n_micros) of the list that epoch()
 * was given for this epoch. */
typedef struct {
    uint32_t epoch;
    int64_t first;
    int n_micros; /* may be 0: this rank adds nothing */
    dt_update update;
    bool vote_stop; /* this rank asks to stop */
} dt_queued_step;

/* Moments of a queued step on its device. */
typedef enum {
    DT_STAMP_BEGAN,
    DT_STAMP_COMPUTED, /* the gradient of this rank is complete */
    DT_STAMP_SUMMED,   /* the sums over the ranks are here */
    DT_STAMP_ENDED,    /* the parameters have moved */
    DT_N_STAMPS
} dt_stamp;

typedef struct { /* global, the same on every rank, but for at */
    int64_t sums[DT_N_SUMS];
    int64_t votes;          /* ranks that asked to stop */
    double norm;            /* of the gradient, before clipping */
    double at[DT_N_STAMPS]; /* as dt_now(); differences are good to a microsecond or so */
} dt_step_outcome;

typedef struct {
    size_t device_bytes; /* memory that is held on the device */
    /* [0]: of one micro-batch that is not the last, [1]: of the last one, with sums and update */
    int64_t
        calls[2]; /* kernels of its own, and calls of cuDNN and cuBLAS, which may launch several */
    int64_t nodes[2]; /* of the graph that is replayed: all kernels, copies, fills; 0: none is */
    int64_t graphs;   /* that the host launches a step, one of each kind */
} dt_device_usage;

typedef struct dt_device dt_device; /* each back end has its own */

typedef struct dt_backend {
    const char *name;
    int default_micro_batch;

    /* Plan everything: memory, primitives, worker threads. A step allocates nothing. *out is NULL
     * on failure. DT_EUSAGE: precision or network not possible here. DT_EDEVICE: no memory, library
     * refused. */
    dt_status (*open)(const dt_device_config *config, dt_device **out);
    void (*close)(dt_device **device);

    /* images: [n][in.c * in.h * in.w] bytes, labels: [n]; they stay the caller's and must outlive
     * the device (a GPU copies). */
    dt_status (*load)(dt_device *device, dt_set set, const uint8_t *images, const uint8_t *labels,
                      size_t n);
    /* Host copies in network order; slots as many as dt_optim_slots(); slots may be NULL (set:
     * zeros; get: not wanted). */
    dt_status (*set_state)(dt_device *device, const float *params, const float *const *slots);
    dt_status (*get_state)(dt_device *device, float *params, float *const *slots);

    /* The buffer that gradient() fills and update() reads; the same pointers for the device's life.
     */
    dt_gradient (*buffer)(dt_device *device);
    /* Split of the gradient into ranges that become final one after another, last layers first;
     * returns their number (>= 1), range i is [from[i], from[i] + n[i]) for i < max. The DT_N_SUMS
     * sums belong to none: they are final when gradient() returns. */
    int (*ranges)(dt_device *device, int max, size_t *from, size_t *n);

    /* buffer = sums over work of the gradients of the summed (not averaged) loss. ready may be
     * NULL. */
    dt_status (*gradient)(dt_device *device, const dt_work *work, dt_ready ready, void *ctx);
    /* One update from buffer (all-reduced): the gradient is divided by sums[DT_SUM_COUNT], clipped,
     * applied. *norm = its norm before clipping. DT_EDIVERGED, parameters unchanged, when
     * sums[DT_SUM_BAD] != 0. u->gradient_scale is ignored. */
    dt_status (*update)(dt_device *device, const dt_update *u, double *norm);
    /* Loss (without label smoothing), correct answers and more over work of a set. No dropout, no
     * augmentation. out->sums are overwritten. */
    dt_status (*evaluate)(dt_device *device, dt_set set, const dt_work *work, dt_eval *out);

    /* SHA-256 of the gradient sums of one micro-batch, computed by worker (0 .. threads-1) of this
     * device, in an order of the back end's own; the gradient buffer is not touched. For the
     * neighbour check. */
    dt_status (*fingerprint)(dt_device *device, int worker, const int64_t *samples, uint32_t epoch,
                             char hex[65]);
    /* Libraries, instruction set: what the bits depend on besides the inputs. One line. */
    void (*describe)(char *text, size_t nbytes);

    /* -- Queued back ends: a device with streams of its own. NULL in the others. --
     * Training goes by epoch(), step(), collect() instead of gradient() and update(), which stay
     * for tests. Of these nothing but collect(wait) waits for the device. */

    /* Engines for the network's convolutions, from shapes and device model alone: a text without
     * line breaks that config.choices takes on every rank. Rank 0 calls it before open().
     * DT_EDEVICE: no deterministic engine. */
    dt_status (*choose)(const dt_device_config *config, char *text, size_t nbytes);
    /* This rank's micro-batches of a whole epoch, in the order of its steps, at once or in parts
     * that follow one another: gathered, and uploaded with the last part (rest 0), while what is
     * queued goes on. Two epochs are held: the one that is trained and the next. The list is read
     * before it returns. A list longer than config.epoch_micros needs an empty queue, as memory for
     * it waits for the device. */
    dt_status (*epoch)(dt_device *device, const dt_work *work);
    /* Enqueue one step with its all-reduce (config.reduce) and update. Collective. At most
     * DT_MAX_QUEUED steps may be queued and not collected. After a step whose gradient was bad all
     * later updates are no-ops. */
    dt_status (*step)(dt_device *device, const dt_queued_step *step);
    /* How many steps of n_micros micro-batches, 1 or more, can be queued and not one launch waits
     * for room, though the sums of the first of them never come: a launch that waits could not be
     * ended. By the network, and by whether there are sums. NULL: DT_MAX_QUEUED. */
    int (*depth)(const dt_device *device, int n_micros);
    /* The oldest step that was not collected: *done tells whether it is finished; with wait, until
     * it is. DT_EDIVERGED when its gradient was bad, as for update(). */
    dt_status (*collect)(dt_device *device, bool wait, bool *done, dt_step_outcome *out);
    /* Whether nothing is queued any more. close() waits until it is so; a lost peer keeps it from
     * that. DT_EDEVICE, and *idle: the device has failed, nothing will come. */
    dt_status (*idle)(dt_device *device, bool *idle);
    void (*usage)(const dt_device *device, dt_device_usage *out);
} dt_backend;

enum { DT_MAX_QUEUED = 64 };

extern const dt_backend dt_backend_ref; /* plain loops in float: the truth in tests */
extern const dt_backend dt_backend_cpu; /* oneDNN */
/* Only in libdtrain_cuda.so (launch/plugin.h), which gives it to the program. */
extern const dt_backend dt_backend_cuda; /* cuDNN, cuBLAS and own kernels */

/* "auto" is not a back end. NULL: no such name. */
const dt_backend *dt_backend_find(const char *name);

#endif
