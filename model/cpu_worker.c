/* model/cpu_worker.c - one micro-batch on one thread: forward, loss, backward, gradient into
 * integers.
 *
 * Everything is allocated and bound when the worker is made. The sequence of operations is fixed,
 * so the bits of the result depend on the parameters and the samples alone. */
#include "model/cpu_impl.h"

#include <stdlib.h>
#include <string.h>
#include "model/dropout.h"
#include "model/fixed.h"
#include "model/loss.h"

static void *take(cpu_worker *w, size_t nbytes) {
    if (w->n_blocks == w->max_blocks) {
        int max = w->max_blocks ? 2 * w->max_blocks : 32;
        void **blocks = realloc(w->blocks, (size_t)max * sizeof *blocks);
        if (!blocks)
            return NULL;
        w->blocks = blocks;
        w->max_blocks = max;
    }
    void *p = cpu_alloc(nbytes);
    if (p)
        w->blocks[w->n_blocks++] = p;
    return p;
}

/* The gradient of an output may take the output's place when nothing needs the output any more. */
static bool gradient_in_place(const cpu_plan *plan, int i) {
    const cpu_op *op = &plan->ops[i];
    return op->kind == OP_MATMUL && !op->relu && op->ddst_bytes == op->dnn->dst_bytes &&
           i + 1 < plan->n_ops && plan->ops[i + 1].kind == OP_POOL;
}

static bool alloc_sums(const cpu_context *c, cpu_worker *w, const cpu_op *op, worker_op *o) {
    size_t n_w = op->dnn->gradient.n, n_b = op->layer->n_b;
    if (c->config->exact) {
        o->acc_w = take(w, n_w * sizeof *o->acc_w);
        o->acc_b = take(w, n_b * sizeof *o->acc_b);
        return o->acc_w && o->acc_b;
    }
    o->sum_w = take(w, n_w * sizeof *o->sum_w);
    o->sum_b = take(w, n_b * sizeof *o->sum_b);
    return o->sum_w && o->sum_b;
}

static bool alloc_op(const cpu_context *c, cpu_worker *w, int i, const worker_op *before) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    size_t element = c->config->precision == DT_BF16 ? 2 : 4;
    switch (op->kind) {
    case OP_MATMUL:
        o->y = take(w, op->dnn->dst_bytes);
        o->dy = gradient_in_place(c->plan, i) ? o->y : take(w, op->ddst_bytes);
        return o->y && o->dy && alloc_sums(c, w, op, o);
    case OP_STEM:
        if (!alloc_sums(c, w, op, o))
            return false;
        /* fall through */
    case OP_POOL:
        o->y = take(w, op->n_out * element);
        o->dy = take(w, op->n_out * element);
        o->which = take(w, op->n_out * sizeof *o->which);
        return o->y && o->dy && o->which;
    case OP_DROPOUT:
        o->mask = take(w, op->n_out * sizeof *o->mask);
        break;
    case OP_RELU:
        break;
    }
    o->y = before->y;
    o->dy = before->dy;
    return op->kind == OP_RELU || o->mask;
}

static dt_status bind_op(const cpu_context *c, cpu_worker *w, int i, const worker_op *before) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    dnn_memory memory = {.src = before->y,
                         .dst = o->y,
                         .dsrc = before->dy,
                         .ddst = o->dy,
                         .w_forward = op->w_forward,
                         .w_backward = op->w_backward,
                         .bias = op->bias,
                         .dw = w->dw,
                         .dbias = w->dbias,
                         .scratch = w->scratch};
    return dnn_bind(op->dnn, &memory, &o->binding);
}

dt_status cpu_worker_create(const cpu_context *c, cpu_worker *w) {
    const dt_net *net = c->config->net;
    size_t m = (size_t)c->config->micro_batch, classes = (size_t)net->classes, largest = 0,
           bias = 0;
    bool bf16 = c->config->precision == DT_BF16;
    *w = (cpu_worker){0};
    w->ops = calloc((size_t)c->plan->n_ops, sizeof *w->ops);
    if (!w->ops)
        goto no_memory;
    for (int i = 0; i < net->n_layers; i++) {
        if (dt_shape_size(net->layers[i].in) > largest)
            largest = dt_shape_size(net->layers[i].in);
        if (net->layers[i].n_b > bias)
            bias = net->layers[i].n_b;
    }
    w->input = take(w, m * dt_shape_size(net->in) * (bf16 ? 2 : 4));
    w->scratch = take(w, c->plan->scratch_bytes);
    w->dw = take(w, c->plan->max_dw * sizeof *w->dw);
    w->dbias = take(w, bias * sizeof *w->dbias);
    w->dlogits = take(w, m * classes * sizeof *w->dlogits);
    w->confusion = take(w, classes * classes * sizeof *w->confusion);
    w->dropout = take(w, largest * sizeof *w->dropout);
    if (c->config->augment != DT_AUGMENT_NONE)
        w->augmenter = dt_augmenter_create(c->config);
    if (!w->input || !w->scratch || !w->dw || !w->dbias || !w->dlogits || !w->confusion ||
        !w->dropout || (c->config->augment != DT_AUGMENT_NONE && !w->augmenter))
        goto no_memory;
    const worker_op input = {.y = w->input};
    const worker_op *before = &input;
    for (int i = 0; i < c->plan->n_ops; before = &w->ops[i++]) {
        if (!alloc_op(c, w, i, before))
            goto no_memory;
        if (c->plan->ops[i].kind == OP_MATMUL && c->plan->ops[i].dnn->impl)
            DT_TRY(bind_op(c, w, i, before));
    }
    w->logits = before->y;
    w->dlogits_out = before->dy;
    return DT_OK;
no_memory:
    return dt_fail(DT_EDEVICE, "out of memory for a worker's activations");
}

void cpu_worker_free(cpu_worker *w, const cpu_plan *plan) {
    for (int i = 0; w->ops && i < plan->n_ops; i++)
        dnn_binding_free(&w->ops[i].binding);
    for (int i = 0; i < w->n_blocks; i++)
        free(w->blocks[i]);
    free(w->blocks);
    free(w->ops);
    dt_augmenter_free(&w->augmenter);
    *w = (cpu_worker){0};
}

/* ---- forward ---- */

static void drop(const cpu_context *c, cpu_worker *w, int i, const int64_t *samples,
                 uint32_t epoch) {
    const cpu_op *op = &c->plan->ops[i];
    size_t n = dt_shape_size(op->out), stride = op->n_out / (size_t)c->config->micro_batch;
    float *mask = w->ops[i].mask;
    for (int s = 0; s < c->config->micro_batch; s++) {
        if (samples[s] < 0)
            continue; /* its gradient is zero whatever the mask */
        dt_dropout_mask(c->config->seed, epoch, samples[s], op->layer_index, op->layer->drop,
                        w->dropout, n);
        for (size_t j = 0; j < n; j++)
            mask[(size_t)s * stride + op->place[j]] = w->dropout[j];
    }
    dt_cpu_multiply(w->ops[i].y, mask, c->config->precision == DT_BF16, op->n_out);
}

static dt_status forward_op(const cpu_context *c, cpu_worker *w, int i, const void *x) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    if (op->own_fc)
        dt_avx2_fc(&op->fc_shape, x, op->w_forward, op->bias, op->relu, o->y, w->scratch);
    else if (op->own_conv)
        dt_avx2_conv_run(&op->conv, x, op->w_forward, op->bias, o->y, w->scratch);
    else if (op->kind == OP_MATMUL)
        return dnn_run(o->binding, DNN_FORWARD);
    else if (op->kind == OP_STEM)
        dt_avx2_stem(&op->conv, x, op->w_forward, op->bias, o->y, o->which, w->scratch);
    else if (op->kind == OP_RELU)
        dt_cpu_relu(o->y, c->config->precision == DT_BF16, op->n_out);
    else if (op->average)
        dt_cpu_avgpool(&op->pool, x, o->y);
    else
        dt_cpu_maxpool(&op->pool, x, o->y, o->which);
    return DT_OK;
}

static void input(const cpu_context *c, cpu_worker *w, const int64_t *samples,
                  const uint32_t *epoch) {
    double std = c->config->std > 0 ? c->config->std : 1;
    const uint8_t *images = c->images;
    if (epoch && w->augmenter)
        dt_augmenter_run(w->augmenter, *epoch, &images, &samples);
    dt_cpu_input(w->input, c->config->precision == DT_BF16, images, samples, c->config->micro_batch,
                 dt_shape_size(c->config->net->in), (float)(1 / (255 * std)),
                 (float)(-c->config->mean / std));
}

dt_status cpu_worker_forward(const cpu_context *c, cpu_worker *w, const int64_t *samples,
                             const uint32_t *epoch) {
    input(c, w, samples, epoch);
    const void *x = w->input;
    for (int i = 0; i < c->plan->n_ops; x = w->ops[i++].y) {
        if (c->plan->ops[i].kind != OP_DROPOUT)
            DT_TRY(forward_op(c, w, i, x));
        else if (epoch)
            drop(c, w, i, samples, *epoch);
    }
    return DT_OK;
}

/* ---- backward ---- */

static void add_floats(float *to, const float *from, size_t n, bool set) {
    for (size_t i = 0; i < n; i++)
        to[i] = set ? from[i] : to[i] + from[i];
}

/* n floats into a worker's sums. */
static void accumulate(const cpu_context *c, cpu_worker *w, const float *g, size_t n, int64_t *acc,
                       float *sum) {
    float limit = dt_fixed_limit(c->config->max_micros);
    if (!c->config->exact)
        add_floats(sum, g, n, !w->used);
    else if (w->used)
        w->sums[DT_SUM_BAD] += dt_fixed_add(acc, g, n, limit);
    else
        w->sums[DT_SUM_BAD] += dt_fixed_set(acc, g, n, limit);
}

/* The gradients of an operation's weights and bias from that of its output. x: its input. */
static dt_status backward_weights(const cpu_context *c, cpu_worker *w, int i, const void *x) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    if (op->fused_gradient) {
        dt_fc_gradient fc = op->fc;
        fc.scratch = w->scratch;
        void *sums = fc.exact ? (void *)o->acc_w : o->sum_w;
        w->sums[DT_SUM_BAD] += dt_cpu_fc_gradient(&fc, x, o->dy, sums, !w->used);
        dt_cpu_bias_gradient(o->dy, fc.bf16, fc.m, fc.n_out, w->dbias);
    } else {
        if (op->kind == OP_STEM)
            dt_avx2_stem_gradient(&op->conv, x, o->dy, o->which, w->dw, w->dbias, w->scratch);
        else if (op->own_conv)
            dt_avx2_conv_gradient(&op->conv, x, o->dy, w->dw, w->dbias, w->scratch);
        else
            DT_TRY(dnn_run(o->binding, DNN_BACKWARD_WEIGHTS));
        accumulate(c, w, w->dw, op->dnn->gradient.n, o->acc_w, o->sum_w);
    }
    accumulate(c, w, w->dbias, op->layer->n_b, o->acc_b, o->sum_b);
    return DT_OK;
}

static dt_status backward_matmul(const cpu_context *c, cpu_worker *w, int i, bool is_first) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    if (op->relu)
        dt_cpu_relu_backward(o->dy, o->y, c->config->precision == DT_BF16, op->n_out);
    DT_TRY(backward_weights(c, w, i, i > 0 ? w->ops[i - 1].y : w->input));
    if (is_first)
        return DT_OK;
    if (!op->own_fc)
        return dnn_run(o->binding, DNN_BACKWARD_DATA);
    dt_avx2_fc_backward(&op->fc_shape, o->dy, op->w_backward, w->ops[i - 1].dy);
    return DT_OK;
}

static void backward_other(const cpu_context *c, cpu_worker *w, int i) {
    const cpu_op *op = &c->plan->ops[i];
    worker_op *o = &w->ops[i];
    bool bf16 = c->config->precision == DT_BF16;
    if (op->kind == OP_DROPOUT)
        dt_cpu_multiply(o->dy, o->mask, bf16, op->n_out);
    else if (op->kind == OP_RELU)
        dt_cpu_relu_backward(o->dy, o->y, bf16, op->n_out);
    else if (op->average)
        dt_cpu_avgpool_backward(&op->pool, o->dy, w->ops[i - 1].dy);
    else
        dt_cpu_maxpool_backward(&op->pool, o->dy, o->which, w->ops[i - 1].dy);
}

/* The range that is complete when the gradient of operation i is done, or -1. */
static int range_completed(const cpu_plan *plan, int i) {
    for (int before = i - 1; before >= 0; before--)
        if (cpu_has_weights(&plan->ops[before]))
            return plan->ops[before].range == plan->ops[i].range ? -1 : plan->ops[i].range;
    return plan->ops[i].range;
}

dt_status cpu_worker_gradient(const cpu_context *c, cpu_worker *w, const int64_t *samples,
                              uint32_t epoch, const cpu_done *done) {
    const dt_net *net = c->config->net;
    int first = 0;
    while (!cpu_has_weights(&c->plan->ops[first]))
        first++;
    if (!w->used)
        memset(w->sums, 0, sizeof w->sums);
    DT_TRY(cpu_worker_forward(c, w, samples, &epoch));
    bool bf16 = c->config->precision == DT_BF16;
    float *dlogits = bf16 ? w->dlogits : w->dlogits_out;
    dt_loss_softmax(w->logits, c->config->micro_batch, net->classes, samples, c->labels,
                    c->config->label_smoothing, dlogits, w->sums, NULL);
    if (bf16)
        dt_cpu_to_bf16(w->dlogits_out, dlogits,
                       (size_t)c->config->micro_batch * (size_t)net->classes);
    for (int i = c->plan->n_ops - 1; i >= first; i--) {
        if (!cpu_has_weights(&c->plan->ops[i])) {
            backward_other(c, w, i);
            continue;
        }
        DT_TRY(backward_matmul(c, w, i, i == first));
        int range = range_completed(c->plan, i);
        if (done && range >= 0)
            done->done(done->ctx, range);
    }
    w->used = true;
    return DT_OK;
}
