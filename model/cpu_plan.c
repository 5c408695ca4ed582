/* model/cpu_plan.c - from a network to a list of operations: what oneDNN does, what is fused, which
 * layouts.
 *
 * ReLU goes into the convolution or fully connected layer before it, except beside a max pooling:
 * max(relu(x)) = relu(max(x)), so the pooling does it on a quarter of the values, and its backward
 * pass is one pass over memory for both. Activations keep the layout in which oneDNN leaves them; a
 * fully connected layer that follows has its weights permuted instead. Where one layer likes a
 * layout for which oneDNN has only slow code in the next, all are planned in NCHW. Where there is
 * AVX2 at most, the first convolution and the pooling behind it are one operation of our own, and
 * convolutions in blocks of 8 (3 x 3 or 5 x 5, stride 1) and most fully connected layers are ours
 * too (cpu_avx2.h says why).
 */
#include "model/cpu_impl.h"

#include <stdlib.h>
#include <string.h>
#include "model/fixed.h"

enum { RANGE_MIN = 32768 }; /* parameters: a smaller range is not worth a message of its own */

void *cpu_alloc(size_t nbytes) {
    size_t rounded = (nbytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, rounded ? rounded : 64);
    if (p)
        memset(p, 0, rounded ? rounded : 64);
    return p;
}

static size_t padded_size(dt_shape s, int block) {
    size_t b = (size_t)block, groups = ((size_t)s.c + b - 1) / b;
    return groups * b * (size_t)s.h * (size_t)s.w;
}

/* Where element j (channel, row, column) of a sample lies in its layout. */
static size_t place_of(dt_shape s, int block, size_t j) {
    size_t area = (size_t)s.h * (size_t)s.w, c = j / area, b = (size_t)block;
    return (c / b * area + j % area) * b + c % b;
}

static dt_status fail_memory(const dt_layer *layer) {
    return dt_fail(DT_EDEVICE, "out of memory for layer %s", layer->name);
}

static dt_fc_gradient fused_gradient(const dt_device_config *config, const dnn_spec *s) {
    return (dt_fc_gradient){.m = (size_t)s->m,
                            .n_in = (size_t)s->in_c,
                            .n_out = (size_t)s->out_c,
                            .bf16 = s->bf16,
                            .exact = config->exact,
                            .limit = dt_fixed_limit(config->max_micros)};
}

/* Row by row, features as they lie in the input. */
static dt_status place_rows(dnn_weights *w, size_t n_o, size_t n_j) {
    w->at_o = malloc(n_o * sizeof *w->at_o);
    w->at_j = malloc(n_j * sizeof *w->at_j);
    if (!w->at_o || !w->at_j)
        return dt_fail(DT_EDEVICE, "out of memory for the layout of %zu weights", n_o * n_j);
    for (size_t o = 0; o < n_o; o++)
        w->at_o[o] = o * n_j;
    for (size_t j = 0; j < n_j; j++)
        w->at_j[j] = j;
    w->n_o = n_o;
    w->n_j = n_j;
    w->n = n_o * n_j;
    return dnn_weights_sort(w);
}

/* Let table entry j stand for plain feature j, wherever the layout has put it. */
static dt_status permute_features(dnn_weights *w, dt_shape in, int block) {
    size_t n = dt_shape_size(in);
    if (!w->at_j)
        return DT_OK;
    size_t *at_j = malloc(n * sizeof *at_j);
    if (!at_j)
        return dt_fail(DT_EDEVICE, "out of memory for %zu features", n);
    for (size_t j = 0; j < n; j++)
        at_j[j] = w->at_j[place_of(in, block, j)];
    free(w->at_j);
    w->at_j = at_j;
    w->n_j = n;
    return dnn_weights_sort(w);
}

static dnn_spec matmul_spec(const dt_device_config *config, const cpu_op *op, int block, bool plain,
                            bool is_first, bool is_last) {
    const dt_layer *l = op->layer;
    dnn_spec s = {.is_conv = l->kind == DT_CONV,
                  .m = config->micro_batch,
                  .out_c = l->out.c,
                  .out_h = l->out.h,
                  .out_w = l->out.w,
                  .bf16 = config->precision == DT_BF16,
                  .relu = op->relu,
                  .dst_plain = plain,
                  .input_gradient = !is_first};
    s.dst_f32 = s.bf16 && is_last;
    if (s.is_conv) {
        s.in_c = l->in.c, s.in_h = l->in.h, s.in_w = l->in.w;
        s.kernel = l->kernel, s.stride = l->stride, s.pad = l->pad;
        s.src_block = block;
    } else {
        s.in_c = (int)padded_size(l->in, block);
        s.in_h = s.in_w = s.src_block = 1;
    }
    return s;
}

/* Blocks of 8 x 8 channels, taps in rows; stem: rows of 8 outputs. */
static dt_status place_blocks(dnn_weights *w, const dt_layer *l, bool stem) {
    size_t area = (size_t)l->kernel * (size_t)l->kernel, in = stem ? 1 : 8;
    size_t in_blocks = stem ? 1 : ((size_t)l->in.c + 7) / 8, block = area * in * 8;
    DT_TRY(place_rows(w, (size_t)l->out.c, (size_t)l->in.c * area));
    for (size_t o = 0; o < w->n_o; o++)
        w->at_o[o] = o / 8 * in_blocks * block + o % 8;
    for (size_t j = 0; j < w->n_j; j++) {
        size_t c = j / area;
        w->at_j[j] = c / in * block + (j % area * in + c % in) * 8;
    }
    w->n = (w->n_o + 7) / 8 * in_blocks * block;
    return dnn_weights_sort(w);
}

static dt_avx2_conv blocked_conv(const dt_device_config *config, const dt_layer *l) {
    return (dt_avx2_conv){.m = config->micro_batch,
                          .h = l->in.h,
                          .w = l->in.w,
                          .in_blocks = (l->in.c + 7) / 8,
                          .n_blocks = (l->out.c + 7) / 8,
                          .kernel = l->kernel,
                          .pad = l->pad};
}

static dt_status plan_stem(const dt_device_config *config, cpu_op *op) {
    const dt_layer *l = op->layer;
    op->conv = blocked_conv(config, l);
    op->conv.relu = op->pool.relu;
    op->block = 8;
    op->dnn = calloc(1, sizeof *op->dnn);
    if (!op->dnn)
        return fail_memory(l);
    op->dnn->same_weights = true;
    DT_TRY(place_blocks(&op->dnn->forward, l, true));
    DT_TRY(place_blocks(&op->dnn->gradient, l, true));
    op->w_forward = op->w_backward = cpu_alloc(op->dnn->forward.n * sizeof(float));
    op->bias = cpu_alloc((size_t)op->conv.n_blocks * 8 * sizeof *op->bias);
    return op->w_forward && op->bias ? DT_OK : fail_memory(l);
}

/* oneDNN for the input's gradient of a convolution, cpu_avx2.c for the rest: where both want blocks
 * of 8. *done is false where they do not. */
static dt_status plan_own_conv(const dt_device_config *config, cpu_op *op, dnn_spec spec,
                               bool *done) {
    const dt_layer *l = op->layer;
    op->conv = blocked_conv(config, l);
    op->conv.relu = spec.relu;
    *done = false;
    if (!spec.is_conv || spec.src_block != 8 || spec.bf16 || spec.dst_plain || l->stride != 1 ||
        !dt_avx2_conv_fits(&op->conv))
        return DT_OK;
    spec.weight_gradient = false;
    DT_TRY(dnn_layer_plan(&spec, &op->dnn));
    if (op->dnn->dst_block != 8) {
        dnn_layer_free(&op->dnn);
        return DT_OK;
    }
    op->own_conv = *done = true;
    op->dnn->same_weights = false;
    dnn_weights_free(&op->dnn->forward);
    if (op->dnn->scratch_bytes < dt_avx2_conv_scratch(&op->conv))
        op->dnn->scratch_bytes = dt_avx2_conv_scratch(&op->conv);
    DT_TRY(place_blocks(&op->dnn->forward, l, false));
    return place_blocks(&op->dnn->gradient, l, false);
}

/* Weights in columns of 16 outputs, the features of each together. */
static dt_status place_columns(dnn_weights *w, size_t n_o, size_t n_j) {
    DT_TRY(place_rows(w, n_o, n_j));
    for (size_t o = 0; o < n_o; o++)
        w->at_o[o] = o / 16 * 16 * n_j + o % 16;
    for (size_t j = 0; j < n_j; j++)
        w->at_j[j] = j * 16;
    w->n = (n_o + 15) / 16 * 16 * n_j;
    return dnn_weights_sort(w);
}

/* cpu_avx2_fc.c for all of a fully connected layer. *done is false where it cannot. */
static dt_status plan_own_fc(cpu_op *op, const dnn_spec *spec, bool *done) {
    size_t m = (size_t)spec->m, n_in = (size_t)spec->in_c, n_out = (size_t)spec->out_c;
    op->fc_shape = (dt_avx2_fc_shape){m, n_in, n_out};
    *done = false;
    if (spec->is_conv || spec->bf16 || !op->fused_gradient || !dt_avx2_fc_fits(&op->fc_shape))
        return DT_OK;
    op->dnn = calloc(1, sizeof *op->dnn);
    if (!op->dnn)
        return fail_memory(op->layer);
    op->own_fc = *done = true;
    op->dnn->dst_block = 1;
    op->dnn->dst_bytes = op->dnn->ddst_bytes = m * n_out * sizeof(float);
    op->dnn->weight_bytes = sizeof(float);
    op->dnn->scratch_bytes = m * 16 * sizeof(float);
    op->dnn->backward.n = n_in * n_out; /* no table: dt_avx2_fc_turn() fills it */
    return place_columns(&op->dnn->forward, n_out, n_in);
}

static dt_status plan_matmul(const dt_device_config *config, cpu_op *op, int block, bool plain,
                             bool is_first, bool is_last) {
    const dt_layer *l = op->layer;
    dnn_spec spec = matmul_spec(config, op, block, plain, is_first, is_last);
    op->fused_gradient = !spec.is_conv && dt_cpu_fc_fits(spec.bf16, (size_t)spec.in_c);
    spec.weight_gradient = !op->fused_gradient;
    bool planned;
    DT_TRY(plan_own_fc(op, &spec, &planned));
    if (!planned)
        DT_TRY(plan_own_conv(config, op, spec, &planned));
    if (!planned)
        DT_TRY(dnn_layer_plan(&spec, &op->dnn));
    op->fc = fused_gradient(config, &spec);
    if (op->fused_gradient)
        DT_TRY(place_rows(&op->dnn->gradient, op->fc.n_out, op->fc.n_in));
    if (!spec.is_conv) {
        DT_TRY(permute_features(&op->dnn->forward, l->in, block));
        DT_TRY(permute_features(&op->dnn->backward, l->in, block));
        DT_TRY(permute_features(&op->dnn->gradient, l->in, block));
    }
    op->block = op->dnn->dst_block;
    op->ddst_bytes = op->dnn->ddst_bytes;
    op->w_forward = cpu_alloc(op->dnn->forward.n * op->dnn->weight_bytes);
    op->w_backward = op->w_forward;
    if (spec.input_gradient && !op->dnn->same_weights)
        op->w_backward = cpu_alloc(op->dnn->backward.n * op->dnn->weight_bytes);
    op->bias = cpu_alloc((l->n_b + 15) / 16 * 16 * sizeof *op->bias);
    return op->w_forward && op->w_backward && op->bias ? DT_OK : fail_memory(l);
}

static void plan_pool(const dt_device_config *config, cpu_op *op, int block) {
    const dt_layer *l = op->layer;
    bool relu = op->pool.relu;
    op->average = l->average;
    op->block = block;
    op->pool = (dt_pool2d){.planes = (size_t)config->micro_batch *
                                     (((size_t)l->in.c + (size_t)block - 1) / (size_t)block),
                           .h = l->in.h,
                           .w = l->in.w,
                           .out_h = l->out.h,
                           .out_w = l->out.w,
                           .block = block,
                           .kernel = l->kernel,
                           .stride = l->stride,
                           .pad = l->pad,
                           .relu = relu,
                           .bf16 = config->precision == DT_BF16};
}

static dt_status plan_dropout(cpu_op *op, int block) {
    size_t n = dt_shape_size(op->layer->in);
    op->block = block;
    op->place = malloc(n * sizeof *op->place);
    if (!op->place)
        return fail_memory(op->layer);
    for (size_t j = 0; j < n; j++)
        op->place[j] = place_of(op->layer->in, block, j);
    return DT_OK;
}

static bool is_max_pool(const dt_net *net, int i) {
    return i < net->n_layers && net->layers[i].kind == DT_POOL && !net->layers[i].average;
}

static bool is_relu(const dt_net *net, int i) {
    return i < net->n_layers && net->layers[i].kind == DT_RELU;
}

/* A first convolution, ReLU before or behind a pooling of 2 x 2 or nowhere: how many layers that
 * is, 0 if it is something else or cpu_avx2.c cannot do it. */
static int stem_length(const dt_device_config *config, int i, bool plain, bool *relu) {
    const dt_net *net = config->net;
    const dt_layer *l = &net->layers[i];
    int pool = i + 1 + is_relu(net, i + 1);
    if (i > 0 || l->kind != DT_CONV || l->in.c != 1 || l->stride != 1 || plain ||
        config->precision != DT_F32 || !is_max_pool(net, pool))
        return 0;
    const dt_layer *p = &net->layers[pool];
    dt_avx2_conv conv = blocked_conv(config, l);
    if (p->kernel != 2 || p->stride != 2 || p->pad != 0 || !dt_avx2_stem_fits(&conv))
        return 0;
    *relu = pool > i + 1 || is_relu(net, pool + 1);
    return pool + 1 - i + (pool == i + 1 && *relu);
}

/* One operation from layers [i, ...); returns how many layers it stands for. */
static int choose(const dt_device_config *config, int i, bool plain, cpu_op *op) {
    const dt_net *net = config->net;
    const dt_layer *l = &net->layers[i];
    bool relu_next = is_relu(net, i + 1);
    int stem = stem_length(config, i, plain, &op->pool.relu);
    if (stem) {
        op->kind = OP_STEM;
        op->layer = l;
        op->layer_index = i;
        op->out = net->layers[i + stem - 1].out;
        return stem;
    }
    op->layer = l;
    op->layer_index = i;
    op->out = l->out;
    switch (l->kind) {
    case DT_CONV:
    case DT_FC:
        op->kind = OP_MATMUL;
        op->relu = relu_next && !is_max_pool(net, i + 2);
        return op->relu ? 2 : 1;
    case DT_POOL:
        op->kind = OP_POOL;
        op->pool.relu = !l->average && relu_next;
        return op->pool.relu ? 2 : 1;
    case DT_RELU:
        if (is_max_pool(net, i + 1)) {
            op->kind = OP_POOL;
            op->layer = l + 1;
            op->layer_index = i + 1;
            op->out = l[1].out;
            op->pool.relu = true;
            return 2;
        }
        op->kind = OP_RELU;
        return 1;
    case DT_DROPOUT:
        break;
    }
    op->kind = OP_DROPOUT;
    return 1;
}

/* Last layers first; a range is closed when it is large enough to be sent while the rest is
 * computed. */
static void plan_ranges(cpu_plan *plan, size_t n_params) {
    size_t end = n_params;
    int first = -1;
    for (int i = plan->n_ops - 1; i >= 0; i--)
        if (cpu_has_weights(&plan->ops[i]))
            first = i;
    for (int i = plan->n_ops - 1; i >= 0; i--) {
        cpu_op *op = &plan->ops[i];
        if (!cpu_has_weights(op))
            continue;
        int r = op->range = plan->n_ranges;
        plan->range_from[r] = op->layer->w_at;
        plan->range_n[r] = end - op->layer->w_at;
        bool is_large = plan->range_n[r] >= RANGE_MIN && r + 2 < CPU_MAX_RANGES;
        if (i == first || is_large) {
            end = op->layer->w_at;
            plan->n_ranges++;
        }
    }
}

/* A worker needs this much, for one operation at a time. */
static void need(cpu_plan *plan, size_t scratch_bytes, size_t n_dw) {
    if (scratch_bytes > plan->scratch_bytes)
        plan->scratch_bytes = scratch_bytes;
    if (n_dw > plan->max_dw)
        plan->max_dw = n_dw;
}

static dt_status plan_op(const dt_device_config *config, cpu_plan *plan, cpu_op *op, int block,
                         bool plain, bool is_first, bool is_last) {
    switch (op->kind) {
    case OP_MATMUL:
        DT_TRY(plan_matmul(config, op, block, plain, is_first, is_last));
        plan->is_slow |= op->dnn->is_slow;
        need(plan, op->dnn->scratch_bytes, op->fused_gradient ? 0 : op->dnn->gradient.n);
        if (op->fused_gradient)
            need(plan, dt_cpu_fc_scratch(&op->fc), 0);
        break;
    case OP_STEM:
        DT_TRY(plan_stem(config, op));
        need(plan, dt_avx2_stem_scratch(&op->conv), op->dnn->gradient.n);
        break;
    case OP_POOL:
        plan_pool(config, op, block);
        break;
    case OP_DROPOUT:
        DT_TRY(plan_dropout(op, block));
        break;
    case OP_RELU:
        op->block = block;
        break;
    }
    op->n_out = (size_t)config->micro_batch * padded_size(op->out, op->block);
    return DT_OK;
}

/* plain: all activations in NCHW. */
static dt_status plan_ops(const dt_device_config *config, bool plain, cpu_plan *plan) {
    const dt_net *net = config->net;
    int block = 1;
    bool is_first = true; /* nothing before it has parameters or needs a gradient */
    cpu_plan_free(plan);
    plan->ops = calloc((size_t)net->n_layers, sizeof *plan->ops);
    if (!plan->ops)
        return dt_fail(DT_EDEVICE, "out of memory for %d layers", net->n_layers);
    for (int i = 0; i < net->n_layers;) {
        cpu_op *op = &plan->ops[plan->n_ops++];
        i += choose(config, i, plain, op);
        DT_TRY(plan_op(config, plan, op, block, plain, is_first, i == net->n_layers));
        block = op->block;
        is_first &= !cpu_has_weights(op);
    }
    return DT_OK;
}

dt_status cpu_plan_make(const dt_device_config *config, cpu_plan *plan) {
    const dt_net *net = config->net;
    *plan = (cpu_plan){0};
    if (net->in.c > 1)
        return dt_fail(DT_EUSAGE,
                       "images with %d channels: only grey ones (1 channel) are supported",
                       net->in.c);
    DT_TRY(plan_ops(config, false, plan));
    if (plan->is_slow)
        DT_TRY(plan_ops(config, true, plan));
    if (plan->is_slow)
        DT_TRY(plan_ops(config, false, plan));
    plan_ranges(plan, net->n_params);
    return DT_OK;
}

void cpu_plan_free(cpu_plan *plan) {
    for (int i = 0; i < plan->n_ops; i++) {
        cpu_op *op = &plan->ops[i];
        if (op->dnn)
            dnn_layer_free(&op->dnn);
        if (op->w_backward != op->w_forward)
            free(op->w_backward);
        free(op->w_forward);
        free(op->bias);
        free(op->place);
    }
    free(plan->ops);
    *plan = (cpu_plan){0};
}
