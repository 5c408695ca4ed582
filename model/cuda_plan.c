/* model/cuda_plan.c - from a network to operations, ranges, engines and memory.
 *
 * A ReLU is done by the layer in front of it. Behind a convolution with ReLU, a max pooling's
 * backward pass leaves out what the ReLU would: the value that won is 0 exactly there. Dropout and
 * ReLUs that stand alone work in place, which hurts nobody: what others read of that tensor (is it
 * positive?) stays true wherever the gradient is not 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model/cuda_impl.h"

enum { RANGE_MIN = 1 << 15 }; /* parameters that are worth a sum over ranks of their own */

static bool has_parameters(const cuda_op *op) {
    return op->layer->kind == DT_CONV || op->layer->kind == DT_FC;
}

static bool follows(const dt_net *net, int i, dt_layer_kind kind) {
    return i + 1 < net->n_layers && net->layers[i + 1].kind == kind;
}

static void make_ops(const dt_net *net, cuda_plan *plan) {
    plan->first = -1;
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        cuda_op *op = &plan->ops[plan->n_ops], *before = plan->n_ops > 0 ? op - 1 : NULL;
        *op = (cuda_op){.layer = l, .index = i, .range = -1};
        bool may_fuse = l->kind == DT_CONV || l->kind == DT_FC || l->kind == DT_POOL;
        op->relu = l->kind == DT_RELU || (may_fuse && follows(net, i, DT_RELU));
        op->needs_dx = plan->first >= 0;
        if (l->kind == DT_POOL) {
            op->mask = op->relu;
            if (!l->average && before && has_parameters(before) && before->relu)
                op->mask = before->masked = true;
        }
        if (has_parameters(op) && plan->first < 0)
            plan->first = plan->n_ops;
        if (has_parameters(op))
            plan->n_segments += 2;
        plan->n_ops++;
        i += may_fuse && op->relu;
    }
}

/* Last layers first, closed when large enough to be summed while the rest is computed. */
static void make_ranges(const dt_net *net, cuda_plan *plan) {
    size_t end = net->n_params;
    int segment = 0;
    cuda_range *r = &plan->ranges[0];
    for (int i = plan->n_ops - 1; i >= 0; i--) {
        cuda_op *op = &plan->ops[i];
        if (!has_parameters(op))
            continue;
        size_t from = op->layer->w_at;
        int n = (int)op->layer->n_w;
        op->range = plan->n_ranges;
        *r = (cuda_range){from, end - from, r->segment, r->n_segments + 2,
                          n > r->max_n ? n : r->max_n};
        segment += 2;
        plan->max_n = n > plan->max_n ? n : plan->max_n;
        op->closes =
            i == plan->first || (r->n >= RANGE_MIN && plan->n_ranges + 2 < CUDA_MAX_RANGES);
        if (!op->closes)
            continue;
        end = from;
        *++r = (cuda_range){.segment = segment};
        plan->n_ranges++;
    }
}

dt_status cuda_plan_ops(const dt_net *net, cuda_plan *plan) {
    *plan = (cuda_plan){0};
    plan->ops = calloc((size_t)net->n_layers, sizeof *plan->ops);
    if (!plan->ops)
        return dt_fail(DT_EDEVICE, "no memory for a plan of %d layers", net->n_layers);
    make_ops(net, plan);
    make_ranges(net, plan);
    return DT_OK;
}

void cuda_plan_free(cuda_plan *plan) {
    for (int i = 0; plan->ops && i < plan->n_ops; i++)
        for (int pass = 0; pass < CONV_N_PASSES; pass++)
            conv_plan_free(&plan->ops[i].plans[pass]);
    free(plan->ops);
    *plan = (cuda_plan){0};
}

/* Whether this operation has this pass. */
static bool has_pass(const cuda_op *op, int pass) {
    return op->layer->kind == DT_CONV && (pass != CONV_DATA || op->needs_dx);
}

static conv_spec spec_of(const dt_device_config *config, const cuda_op *op, int pass) {
    return (conv_spec){op->layer, config->micro_batch, config->precision, op->relu,
                       (conv_pass)pass};
}

static const char *const pass_letters[CONV_N_PASSES] = {"f", "d", "w"};

dt_status cuda_plan_choose(const conv_place *place, const cuda_plan *plan,
                           const dt_device_config *config, char *text, size_t nbytes) {
    size_t at = (size_t)snprintf(text, nbytes, "1"); /* of this notation */
    for (int i = 0; i < plan->n_ops; i++)
        for (int pass = 0; pass < CONV_N_PASSES; pass++) {
            char engine[CONV_TEXT_MAX];
            conv_spec spec = spec_of(config, &plan->ops[i], pass);
            if (!has_pass(&plan->ops[i], pass))
                continue;
            DT_TRY(conv_choose(place, &spec, engine));
            if (at < nbytes)
                at += (size_t)snprintf(text + at, nbytes - at, " %s.%s=%s", spec.layer->name,
                                       pass_letters[pass], engine);
        }
    if (at >= nbytes)
        return dt_fail(DT_EDEVICE, "the names of the convolutions' engines take %zu bytes, not %zu",
                       at, nbytes);
    return DT_OK;
}

/* The engine that choices name for a pass of a layer. */
static dt_status find_choice(const char *choices, const char *layer, int pass,
                             char out[CONV_TEXT_MAX]) {
    char key[32];
    snprintf(key, sizeof key, " %s.%s=", layer, pass_letters[pass]);
    const char *at = strstr(choices, key);
    if (!at)
        return dt_fail(DT_EDEVICE, "no engine was chosen for the %s of %s", conv_pass_names[pass],
                       layer);
    at += strlen(key);
    snprintf(out, CONV_TEXT_MAX, "%.*s", (int)strcspn(at, " "), at);
    return DT_OK;
}

static dt_status plan_convolutions(dt_device *d, const char *choices) {
    const conv_place place = {.handle = d->dnn};
    for (int i = 0; i < d->plan.n_ops; i++)
        for (int pass = 0; pass < CONV_N_PASSES; pass++) {
            cuda_op *op = &d->plan.ops[i];
            char engine[CONV_TEXT_MAX];
            conv_spec spec = spec_of(&d->config, op, pass);
            if (!has_pass(op, pass))
                continue;
            DT_TRY(find_choice(choices, op->layer->name, pass, engine));
            DT_TRY(conv_plan_make(&place, &spec, engine, &op->plans[pass]));
            size_t nbytes = conv_plan_workspace(op->plans[pass]);
            if (nbytes > d->plan.workspace_bytes)
                d->plan.workspace_bytes = nbytes;
        }
    return DT_OK;
}

/* Values of the largest tensor of a micro-batch. */
static dt_status largest(const dt_device *d, size_t *out) {
    const dt_net *net = d->config.net;
    size_t m = (size_t)d->config.micro_batch, n = dt_shape_size(net->in);
    for (int i = 0; i < net->n_layers; i++)
        if (dt_shape_size(net->layers[i].out) > n)
            n = dt_shape_size(net->layers[i].out);
    *out = m * n;
    if (n >= ((size_t)1 << 30) / m || net->n_params >= (size_t)1 << 30)
        return dt_fail(DT_EUSAGE,
                       "a tensor of %zu samples of %zu values, or %zu parameters: the cuda back "
                       "end counts up to 2^30; choose a smaller --micro-batch or network",
                       m, n, net->n_params);
    return DT_OK;
}

static dt_status parameter_memory(dt_device *d, cuda_op *op, cuda_segment table[2]) {
    const dt_layer *l = op->layer;
    size_t size = d->bf16 ? 2 : 4;
    bool half_gradient = d->bf16 && l->kind == DT_CONV;
    int rows = d->config.micro_batch * l->out.h * l->out.w;
    op->slices = (rows + CUDA_SLICE_ROWS - 1) / CUDA_SLICE_ROWS;
    DT_TRY(cuda_take(d, l->n_w * size, &op->weight));
    DT_TRY(cuda_take(d, l->n_b * size, &op->bias));
    DT_TRY(cuda_take(d, l->n_w * (half_gradient ? 2 : 4), &op->dweight));
    DT_TRY(cuda_take(d, (size_t)op->slices * l->n_b * 4, &op->dbias));
    bool is_conv = l->kind == DT_CONV;
    table[0] = (cuda_segment){.at = l->w_at,
                              .n = (int)l->n_w,
                              .c = l->in.c,
                              .s = is_conv ? l->kernel * l->kernel : l->in.h * l->in.w,
                              .is_bf16 = half_gradient,
                              .copy = op->weight,
                              .gradient = op->dweight};
    table[1] = (cuda_segment){.at = l->b_at,
                              .n = (int)l->n_b,
                              .c = 1,
                              .s = 1,
                              .slices = op->slices,
                              .copy = op->bias,
                              .gradient = op->dbias};
    return DT_OK;
}

/* The table of segments, in the order of ranges: from the last layer to the first. */
static dt_status segment_memory(dt_device *d) {
    cuda_plan *plan = &d->plan;
    size_t nbytes = (size_t)plan->n_segments * sizeof *plan->segments;
    cuda_segment *table = malloc(nbytes);
    if (!table)
        return dt_fail(DT_EDEVICE, "no memory for a table of %d segments", plan->n_segments);
    dt_status status = cuda_take(d, nbytes, &plan->segments);
    int n = 0;
    for (int i = plan->n_ops - 1; i >= 0 && status == DT_OK; i--)
        if (has_parameters(&plan->ops[i])) {
            status = parameter_memory(d, &plan->ops[i], &table[n]);
            n += 2;
        }
    if (status == DT_OK)
        status = cuda_check(
            cudaMemcpyAsync(plan->segments, table, nbytes, cudaMemcpyHostToDevice, d->main),
            "the plan cannot be copied to the device");
    /* A device may read pageable memory when the copy runs, not when it is queued. Nothing of other
     * ranks is queued yet that could keep this from returning. */
    dt_status waited = cuda_check(cudaStreamSynchronize(d->main), "the device failed");
    free(table);
    return status == DT_OK ? waited : status;
}

static dt_status tensor_memory(dt_device *d) {
    cuda_plan *plan = &d->plan;
    size_t size = d->bf16 ? 2 : 4, m = (size_t)d->config.micro_batch, n;
    DT_TRY(largest(d, &n));
    DT_TRY(cuda_take(d, m * dt_shape_size(d->config.net->in) * size, &plan->input));
    DT_TRY(cuda_take(d, n * size, &plan->grads[0]));
    DT_TRY(cuda_take(d, n * size, &plan->grads[1]));
    DT_TRY(cuda_take(d, m * (size_t)d->config.net->classes * 4, &plan->logits));
    void *x = plan->input;
    size_t widest = 0;
    for (int i = 0; i < plan->n_ops; i++) {
        cuda_op *op = &plan->ops[i];
        const dt_layer *l = op->layer;
        size_t n_out = m * dt_shape_size(l->out);
        op->x = op->y = x;
        if (i == plan->n_ops - 1)
            op->y = plan->logits;
        else if (l->kind != DT_RELU && l->kind != DT_DROPOUT)
            DT_TRY(cuda_take(d, n_out * size, &op->y));
        if (l->kind == DT_POOL && !l->average)
            DT_TRY(cuda_take(d, n_out * sizeof *op->arg, &op->arg));
        if (l->kind == DT_FC && n_out > widest)
            widest = n_out;
        x = op->y;
    }
    return d->bf16 ? cuda_take(d, widest * 4, &plan->pre) : DT_OK;
}

static dt_status bind_convolutions(dt_device *d) {
    cuda_plan *plan = &d->plan;
    int turn = 0; /* which of the two gradients is the output's */
    for (int i = plan->n_ops - 1; i >= plan->first; i--) {
        cuda_op *op = &plan->ops[i];
        conv_pointers p = {op->x, op->weight, op->y, op->bias, plan->workspace};
        if (op->layer->kind == DT_CONV) {
            DT_TRY(conv_bind(op->plans[CONV_FORWARD], &p));
            p.y = plan->grads[turn];
            p.x = plan->grads[!turn];
            if (op->needs_dx)
                DT_TRY(conv_bind(op->plans[CONV_DATA], &p));
            p.x = op->x;
            p.w = op->dweight;
            DT_TRY(conv_bind(op->plans[CONV_FILTER], &p));
        }
        if (op->layer->kind != DT_RELU && op->layer->kind != DT_DROPOUT)
            turn = !turn;
    }
    return DT_OK;
}

dt_status cuda_plan_memory(dt_device *d, const char *choices) {
    DT_TRY(plan_convolutions(d, choices));
    DT_TRY(tensor_memory(d));
    DT_TRY(segment_memory(d));
    DT_TRY(cuda_take(d, d->plan.workspace_bytes + 256, &d->plan.workspace));
    return bind_convolutions(d);
}
