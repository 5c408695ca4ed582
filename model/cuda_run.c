/* model/cuda_run.c - one micro-batch as a sequence of launches: forward, loss, backward, update.
 *
 * Everything goes to the main stream in one fixed order; sums over ranks go to the communication
 * stream as soon as a range of the gradient is complete, and the update waits for them. All of it
 * can be captured: nothing here asks the device for anything. */
#include <math.h>
#include <nvtx3/nvToolsExt.h>
#include "model/cuda_impl.h"

static dt_status check_blas(cublasStatus_t status, const dt_layer *layer) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "cuBLAS: a product of %s failed: %s", layer->name,
                   cublasGetStatusString(status));
}

/* One of our kernels was enqueued. */
static dt_status launched(dt_device *d, cudaError_t error) {
    d->launches++;
    return cuda_check(error, "a kernel cannot be launched");
}

/* c[columns][rows] = a . b in cuBLAS's terms: column-major, rows x inner by inner x columns. */
typedef struct {
    cublasOperation_t op_a, op_b;
    int rows, columns, inner;
    const void *a, *b;
    int lda, ldb;
    void *c;
    bool half; /* c is bfloat16 */
} product;

static dt_status multiply(dt_device *d, const dt_layer *l, const product *p) {
    const float one = 1, zero = 0;
    const cudaDataType type = d->bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasComputeType_t compute =
        d->config.precision == DT_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    d->launches++;
    return check_blas(cublasGemmEx(d->blas, p->op_a, p->op_b, p->rows, p->columns, p->inner, &one,
                                   p->a, type, p->lda, p->b, type, p->ldb, &zero, p->c,
                                   p->half ? CUDA_R_16BF : CUDA_R_32F, p->rows, compute,
                                   CUBLAS_GEMM_DEFAULT),
                      l);
}

static dt_status fc_forward(dt_device *d, const cuda_op *op) {
    const dt_layer *l = op->layer;
    int n_in = (int)dt_shape_size(l->in), n_out = l->out.c, m = d->config.micro_batch;
    bool is_last = op->y == (void *)d->plan.logits;
    float *pre = d->bf16 && !is_last ? d->plan.pre : op->y;
    product p = {CUBLAS_OP_T, CUBLAS_OP_N, n_out, m,   n_in, op->weight,
                 op->x,       n_in,        n_in,  pre, false};
    DT_TRY(multiply(d, l, &p));
    if (is_last) /* the loss adds the bias */
        return DT_OK;
    return launched(d, cuda_bias(d->bf16, pre, op->bias, op->y, m, n_out, op->relu, d->main));
}

static dt_status fc_backward(dt_device *d, const cuda_op *op, void *dy, void *dx) {
    const dt_layer *l = op->layer;
    int n_in = (int)dt_shape_size(l->in), n_out = l->out.c, m = d->config.micro_batch;
    product w = {CUBLAS_OP_N, CUBLAS_OP_T, n_in,  n_out,       m,    op->x,
                 dy,          n_in,        n_out, op->dweight, false};
    product x = {CUBLAS_OP_N, CUBLAS_OP_N, n_in,  m,  n_out,  op->weight,
                 dy,          n_in,        n_out, dx, d->bf16};
    DT_TRY(multiply(d, l, &w));
    return op->needs_dx ? multiply(d, l, &x) : DT_OK;
}

static dt_status run_convolution(dt_device *d, const cuda_op *op, conv_pass pass) {
    d->launches++;
    return conv_run(op->plans[pass], d->dnn);
}

static dt_status forward(dt_device *d, const cuda_op *op, bool train) {
    const dt_layer *l = op->layer;
    int m = d->config.micro_batch;
    switch (l->kind) {
    case DT_CONV:
        return run_convolution(d, op, CONV_FORWARD);
    case DT_FC:
        return fc_forward(d, op);
    case DT_POOL:
        return launched(d, cuda_pool(d->bf16, l, m, op->relu, op->x, op->y, op->arg, d->main));
    case DT_RELU:
        return launched(d, cuda_relu(d->bf16, op->y, m * (int)dt_shape_size(l->out), d->main));
    case DT_DROPOUT:
        break;
    }
    if (!train)
        return DT_OK;
    return launched(d, cuda_dropout(d->bf16, d->control, d->config.seed, op->index, l->drop, m,
                                    l->in, op->y, d->main));
}

dt_status cuda_forward(dt_device *d, bool train) {
    const dt_device_config *c = &d->config;
    bool augment = train && c->augment != DT_AUGMENT_NONE;
    DT_TRY(launched(d, augment
                           ? cuda_augment(d->bf16, d->control, d->plan.table, c->augment, c->seed,
                                          c->micro_batch, c->net->in, d->plan.input, d->main)
                           : cuda_gather(d->bf16, d->control, d->plan.table, c->micro_batch,
                                         c->net->in, d->plan.input, d->main)));
    for (int i = 0; i < d->plan.n_ops; i++)
        DT_TRY(forward(d, &d->plan.ops[i], train));
    return DT_OK;
}

static dt_status loss(dt_device *d, int64_t *head, int64_t *confusion, float smoothing,
                      void *dlogits) {
    const dt_net *net = d->config.net;
    const cuda_loss_args args = {.m = d->config.micro_batch,
                                 .classes = net->classes,
                                 .smoothing = smoothing,
                                 .logits = d->plan.logits,
                                 .bias = d->state.params + net->layers[net->n_layers - 1].b_at,
                                 .dlogits = dlogits,
                                 .head = head,
                                 .confusion = confusion};
    return launched(d, cuda_loss(d->bf16, d->control, &args, d->main));
}

dt_status cuda_evaluate_micro(dt_device *d, bool confusion) {
    DT_TRY(cuda_forward(d, false));
    return loss(d, d->eval_head, confusion ? d->confusion : NULL, 0.0f, NULL);
}

/* dx, or dy itself in layers that work in place. */
static dt_status backward(dt_device *d, const cuda_op *op, void *dy, void *dx) {
    const dt_layer *l = op->layer;
    int m = d->config.micro_batch, n = m * (int)dt_shape_size(l->out);
    const void *y = op->relu && !op->masked ? op->y : NULL;
    switch (l->kind) {
    case DT_CONV:
    case DT_FC:
        DT_TRY(launched(
            d, cuda_bias_gradient(d->bf16, dy, y, op->dbias, n / l->out.c, l->out.c, d->main)));
        if (l->kind == DT_FC)
            return fc_backward(d, op, dy, dx);
        DT_TRY(run_convolution(d, op, CONV_FILTER));
        return op->needs_dx ? run_convolution(d, op, CONV_DATA) : DT_OK;
    case DT_POOL:
        return launched(
            d, cuda_pool_backward(d->bf16, l, m, op->mask, dy, op->y, op->arg, dx, d->main));
    case DT_RELU:
        return launched(d, cuda_relu_backward(d->bf16, dy, op->y, n, d->main));
    case DT_DROPOUT:
        break;
    }
    return launched(d, cuda_dropout(d->bf16, d->control, d->config.seed, op->index, l->drop, m,
                                    l->in, dy, d->main));
}

/* The sum over ranks of a complete part [from, from + n), on the other stream. The last one begins
 * at 0 and carries the head. */
static dt_status reduce(dt_device *d, size_t from, size_t n, cudaEvent_t ready) {
    const dt_reducer *r = d->config.reduce;
    const cuda_gradient *g = &d->gradient;
    DT_TRY(cuda_check(cudaEventRecord(ready, d->main), "an event cannot be recorded"));
    DT_TRY(cuda_check(cudaStreamWaitEvent(d->comm, ready, 0), "a stream cannot wait"));
    if (g->floats) {
        DT_TRY(r->sum_f32(r->ctx, g->floats + from, n, d->comm));
        return from == 0 ? r->sum_i64(r->ctx, g->head, CUDA_HEAD, d->comm) : DT_OK;
    }
    if (from == 0) /* the head lies in front */
        return r->sum_i64(r->ctx, g->head, CUDA_HEAD + n, d->comm);
    return r->sum_i64(r->ctx, g->sums + from, n, d->comm);
}

static dt_status complete(dt_device *d, int range, bool last) {
    const cuda_range *r = &d->plan.ranges[range];
    DT_TRY(launched(d, cuda_accumulate(d->control, d->plan.segments + r->segment, r->n_segments,
                                       r->max_n, d->gradient, d->main)));
    if (!last || !d->config.reduce)
        return DT_OK;
    bool is_last = range == d->plan.n_ranges - 1, waits = !d->config.reduce->captures;
    if (is_last)
        DT_TRY(launched(d, cuda_stamp(d->control, d->main)));
    if (waits && !is_last) /* the host would: one sum at the end takes as long, and is fewer */
        return DT_OK;
    nvtxRangePushA("reduce");
    dt_status status = reduce(d, r->from, waits ? d->gradient.n : r->n, d->ready[range]);
    nvtxRangePop();
    return status;
}

static dt_status join(dt_device *d) {
    DT_TRY(cuda_check(cudaEventRecord(d->joined, d->comm), "an event cannot be recorded"));
    return cuda_check(cudaStreamWaitEvent(d->main, d->joined, 0), "a stream cannot wait");
}

static dt_status run_micro(dt_device *d, bool last) {
    const cuda_plan *plan = &d->plan;
    int turn = 0;
    DT_TRY(cuda_forward(d, true));
    DT_TRY(loss(d, d->gradient.head, NULL, d->config.label_smoothing, plan->grads[0]));
    for (int i = plan->n_ops - 1; i >= plan->first; i--) {
        const cuda_op *op = &plan->ops[i];
        DT_TRY(backward(d, op, plan->grads[turn], plan->grads[!turn]));
        if (op->layer->kind != DT_RELU && op->layer->kind != DT_DROPOUT)
            turn = !turn;
        if (op->closes)
            DT_TRY(complete(d, op->range, last));
    }
    if (!last)
        return launched(d, cuda_advance(d->control, d->main));
    if (d->config.reduce)
        DT_TRY(join(d));
    return cuda_update(d);
}

dt_status cuda_micro(dt_device *d, bool last) {
    nvtxRangePushA("micro-batch");
    dt_status status = run_micro(d, last);
    nvtxRangePop();
    return status;
}

dt_status cuda_update(dt_device *d) {
    nvtxRangePushA("update");
    dt_status status = launched(d, cuda_norm(d->control, d->gradient, d->chunks, d->main));
    if (status == DT_OK)
        status = launched(d, cuda_decide(d->control, &d->gradient, d->chunks,
                                         d->config.optim.clip_norm, d->outcomes, d->main));
    if (status == DT_OK)
        status =
            launched(d, cuda_apply(d->bf16, d->control, d->plan.segments, d->plan.n_segments,
                                   d->plan.max_n, &d->gradient, &d->state, d->outcomes, d->main));
    nvtxRangePop();
    return status;
}

dt_status cuda_copies(dt_device *d) {
    return launched(d, cuda_apply(d->bf16, d->control, d->plan.segments, d->plan.n_segments,
                                  d->plan.max_n, NULL, &d->state, NULL, d->main));
}

cuda_scalars cuda_scalars_of(const dt_optim_config *c, const dt_update *u) {
    double beta1 = (double)c->momentum, beta2 = (double)c->beta2, rate = (double)u->learning_rate;
    if (c->kind != DT_ADAMW)
        return (cuda_scalars){.rate = u->learning_rate};
    return (cuda_scalars){
        .rate = (float)(rate / (1.0 - pow(beta1, (double)u->step))),
        .keep = (float)(1.0 - rate * (double)c->weight_decay),
        .new1 = (float)(1.0 - beta1),
        .new2 = (float)(1.0 - beta2),
        .root2 = (float)(1.0 / sqrt(1.0 - pow(beta2, (double)u->step))),
    };
}
