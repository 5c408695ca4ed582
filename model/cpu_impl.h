/* model/cpu_impl.h - private to the cpu back end's files.
 *
 * The network becomes a list of operations (cpu_plan.c). What they need once is held by the plan;
 * what each worker needs for itself, activations and gradient sums, by cpu_worker (cpu_worker.c).
 * cpu.c is the table. */
#ifndef DT_MODEL_CPU_IMPL_H
#define DT_MODEL_CPU_IMPL_H

#include "model/augment.h"
#include "model/backend.h"
#include "model/cpu_avx2.h"
#include "model/cpu_kernels.h"
#include "model/dnn.h"

/* OP_STEM: the first convolution with the pooling behind it, by cpu_avx2.c. */
typedef enum { OP_MATMUL, OP_STEM, OP_POOL, OP_RELU, OP_DROPOUT } op_kind;

typedef struct {
    op_kind kind;
    const dt_layer *layer; /* the net's */
    int layer_index;
    dt_shape out;
    int block;    /* of the output: see dnn.h */
    size_t n_out; /* elements of the output for a micro-batch, padding included */
    /* OP_MATMUL: conv and fc; OP_STEM, whose dnn only tells where its weights lie */
    dnn_layer *dnn;
    bool relu;           /* applied in the forward pass */
    size_t ddst_bytes;   /* of the output's gradient */
    bool fused_gradient; /* cpu_fc.c computes the weight gradient, not oneDNN: */
    dt_fc_gradient fc;   /* scratch is the worker's */
    bool own_conv;       /* cpu_avx2.c does a convolution, oneDNN its input's gradient only */
    dt_avx2_conv conv;   /* for it, and for OP_STEM */
    bool own_fc;         /* cpu_avx2_fc.c does all; dnn is but tables: */
    dt_avx2_fc_shape fc_shape;
    void *w_forward, *w_backward; /* shared by the workers, written after each update */
    float *bias;
    int range; /* see dt_backend.ranges */
    /* OP_POOL */
    dt_pool2d pool;
    bool average;
    /* OP_DROPOUT */
    size_t *place; /* [c*h*w]: where an element of a sample lies in its block layout */
} cpu_op;

static inline bool cpu_has_weights(const cpu_op *op) {
    return op->kind == OP_MATMUL || op->kind == OP_STEM;
}

enum { CPU_MAX_RANGES = 8 };

typedef struct {
    cpu_op *ops;
    int n_ops;
    bool is_slow;                 /* see dnn.h */
    size_t scratch_bytes, max_dw; /* the largest of all layers: bytes; floats */
    int n_ranges;                 /* the sums are one more, the last */
    size_t range_from[CPU_MAX_RANGES], range_n[CPU_MAX_RANGES];
} cpu_plan;

DT_NODISCARD dt_status cpu_plan_make(const dt_device_config *config, cpu_plan *plan);
void cpu_plan_free(cpu_plan *plan);

/* What a worker keeps for one operation. y and dy of an operation that works in place are those
 * before it. */
typedef struct {
    void *y, *dy;
    uint16_t *which; /* max pooling */
    float *mask;     /* dropout: [n_out] */
    dnn_binding *binding;
    int64_t *acc_w, *acc_b; /* exact: gradient sums, laid out as the operation's dnn->gradient */
    float *sum_w, *sum_b;   /* !exact */
} worker_op;

typedef struct {
    worker_op *ops;
    void **blocks; /* all memory, to be freed */
    int n_blocks, max_blocks;
    void *input, *scratch;
    float *dw, *dbias; /* of the layer at hand */
    float *logits, *dlogits;
    void *dlogits_out;       /* where the last operation wants the gradient: dlogits, or bf16 */
    float *dropout;          /* one sample's mask in plain order */
    dt_augmenter *augmenter; /* NULL: pictures as they are */
    int64_t sums[DT_N_SUMS];
    int64_t *confusion;
    bool active; /* has micro-batches in this step, so its sums count */
    bool used;   /* has finished one: the next is added to the sums, the first sets them */
    dt_status status;
    char error[DT_ERROR_MAX];
} cpu_worker;

typedef struct {
    const dt_device_config *config;
    const cpu_plan *plan;
    const uint8_t *images, *labels;
} cpu_context;

DT_NODISCARD dt_status cpu_worker_create(const cpu_context *context, cpu_worker *worker);
void cpu_worker_free(cpu_worker *worker, const cpu_plan *plan);
/* Logits of m samples; with epoch (training) dropout and augmentation are active. */
DT_NODISCARD dt_status cpu_worker_forward(const cpu_context *context, cpu_worker *worker,
                                          const int64_t *samples, const uint32_t *epoch);
/* Loss and gradient of one micro-batch, added to the worker's sums (set, if !worker->used). After
 * each range that is complete, done(ctx, range) is called if this was the worker's last
 * micro-batch. */
typedef struct {
    void (*done)(void *ctx, int range);
    void *ctx;
} cpu_done;
DT_NODISCARD dt_status cpu_worker_gradient(const cpu_context *context, cpu_worker *worker,
                                           const int64_t *samples, uint32_t epoch,
                                           const cpu_done *done);

void *cpu_alloc(size_t nbytes); /* zeroed, 64-byte aligned; free() */

#endif
