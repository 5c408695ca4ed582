/* model/dnn.c - the only file that sees oneDNN.
 *
 * oneDNN 2.x describes an operation in a struct and memory by value; 3.x passes all arguments to
 * one function and memory by handle. md_t and the plan_* functions below hide that; all else is the
 * same. Weights may have any layout oneDNN likes ("any"), and so may dst; src comes in the layout
 * that the layer before left, so no activation is ever reordered. */
#include "model/dnn.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
#define DNN_3 1
typedef const_dnnl_memory_desc_t md_t;
#else
#define DNN_3 0
typedef const dnnl_memory_desc_t *md_t;
#endif

enum { MAX_ARGS = 5 };

/* libgomp comes with oneDNN; its header comes with gcc alone. */
extern void omp_set_num_threads(int n);

typedef struct {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
} pass_t;

typedef struct {
    pass_t pass[DNN_N_PASSES];
    bool input_gradient, weight_gradient;
} impl_t;

struct dnn_binding {
    const dnn_layer *layer;
    dnnl_stream_t stream;
    dnnl_exec_arg_t arg[DNN_N_PASSES][MAX_ARGS];
    int n_args[DNN_N_PASSES];
};

#define DNN_TRY(call) DT_TRY(check((call), #call))

static dt_status check(dnnl_status_t status, const char *call) {
    static const char *const word[] = {"success",       "out of memory", "invalid arguments",
                                       "unimplemented", "iterator ends", "runtime error",
                                       "not required"};
    if (status == dnnl_success)
        return DT_OK;
    size_t i = (size_t)status;
    return dt_fail(DT_EDEVICE, "oneDNN: %s (%.60s)",
                   i < sizeof word / sizeof *word ? word[i] : "unknown status", call);
}

static dnnl_engine_t the_engine; /* one CPU engine serves the process; made once, never freed */
static dnnl_status_t engine_status;

static void make_engine(void) {
    engine_status = dnnl_engine_create(&the_engine, dnnl_cpu, 0);
}

static dt_status engine(dnnl_engine_t *out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_engine);
    *out = the_engine;
    return check(engine_status, "dnnl_engine_create");
}

void dnn_single_thread(void) {
    omp_set_num_threads(1);
}

/* ---- memory descriptors: owned here until the plan is made ---- */

typedef struct {
#if DNN_3
    dnnl_memory_desc_t md;
#else
    dnnl_memory_desc_t value;
    md_t md;
#endif
} owned_md;

static dt_status md_make(owned_md *m, int n_dims, const dnnl_dims_t dims, dnnl_data_type_t type,
                         dnnl_format_tag_t tag) {
#if DNN_3
    return check(dnnl_memory_desc_create_with_tag(&m->md, n_dims, dims, type, tag), "memory desc");
#else
    m->md = &m->value;
    return check(dnnl_memory_desc_init_by_tag(&m->value, n_dims, dims, type, tag), "memory desc");
#endif
}

static void md_free(owned_md *m) {
#if DNN_3
    if (m->md)
        dnnl_memory_desc_destroy(m->md);
#endif
    memset(m, 0, sizeof *m);
}

/* The physical shape of a descriptor: padded sizes, outer strides, inner blocks. */
typedef struct {
    int n_dims, n_blocks;
    dnnl_dims_t dims, padded, strides, block, block_dim;
} layout_t;

static dt_status md_layout(md_t md, layout_t *l) {
#if DNN_3
    dnnl_dims_t *p;
    int n;
    dnnl_format_kind_t kind;
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_format_kind, &kind));
    if (kind != dnnl_blocked)
        return dt_fail(DT_EDEVICE, "oneDNN: chose a memory layout that is not blocked");
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &l->n_dims));
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &n));
    l->n_blocks = n;
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_dims, &p));
    memcpy(l->dims, *p, sizeof(dnnl_dim_t) * (size_t)l->n_dims);
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_padded_dims, &p));
    memcpy(l->padded, *p, sizeof(dnnl_dim_t) * (size_t)l->n_dims);
    DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_strides, &p));
    memcpy(l->strides, *p, sizeof(dnnl_dim_t) * (size_t)l->n_dims);
    if (n > 0) {
        DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_inner_blks, &p));
        memcpy(l->block, *p, sizeof(dnnl_dim_t) * (size_t)n);
        DNN_TRY(dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &p));
        memcpy(l->block_dim, *p, sizeof(dnnl_dim_t) * (size_t)n);
    }
#else
    if (md->format_kind != dnnl_blocked)
        return dt_fail(DT_EDEVICE, "oneDNN: chose a memory layout that is not blocked");
    l->n_dims = md->ndims;
    l->n_blocks = md->format_desc.blocking.inner_nblks;
    memcpy(l->dims, md->dims, sizeof l->dims);
    memcpy(l->padded, md->padded_dims, sizeof l->padded);
    memcpy(l->strides, md->format_desc.blocking.strides, sizeof l->strides);
    memcpy(l->block, md->format_desc.blocking.inner_blks, sizeof l->block);
    memcpy(l->block_dim, md->format_desc.blocking.inner_idxs, sizeof l->block_dim);
#endif
    return DT_OK;
}

/* Offset, in elements, that coordinate x of dimension d adds. Inner blocks are peeled from the last
 * (unit stride) to the first; what is left of x counts whole outer strides. */
static size_t layout_offset(const layout_t *l, int d, int64_t x) {
    int64_t inner_stride = 1, offset = 0;
    for (int b = l->n_blocks - 1; b >= 0; b--) {
        if (l->block_dim[b] == d) {
            offset += x % l->block[b] * inner_stride;
            x /= l->block[b];
        }
        inner_stride *= l->block[b];
    }
    return (size_t)(offset + x * l->strides[d]);
}

/* The block of an activation [m][C/block][h][w][block]; 0 if it is laid out in another way. */
static int activation_block(const layout_t *l) {
    if (l->n_dims == 2)
        return l->n_blocks == 0 && l->strides[1] == 1 ? 1 : 0;
    int64_t h = l->dims[2], w = l->dims[3];
    int64_t block = l->n_blocks == 0 ? (l->strides[1] == 1 ? l->dims[1] : 1) : l->block[0];
    if (l->n_blocks > 1 || (l->n_blocks == 1 && l->block_dim[0] != 1))
        return 0;
    int64_t groups = l->padded[1] / block,
            want[4] = {groups * h * w * block, h * w * block, w * block, block};
    int64_t steps[4] = {l->dims[0], groups, h, w}; /* a stride counts where steps are taken */
    for (int d = 0; d < 4; d++)
        if (steps[d] > 1 && l->strides[d] != want[d])
            return 0;
    return (int)block;
}

static dnnl_format_tag_t activation_tag(int block, int channels) {
    if (block == 16 || block == 8) /* with as many channels NHWC is the same, but not to oneDNN */
        return block == 16 ? dnnl_aBcd16b : dnnl_aBcd8b;
    return block == channels && channels > 1 ? dnnl_acdb : dnnl_abcd;
}

void dnn_weights_free(dnn_weights *w) {
    free(w->at_o);
    free(w->at_j);
    free(w->order);
    memset(w, 0, sizeof *w);
}

/* Sorting by the pair (at_j, j) needs no context, and at_j are distinct. */
typedef struct {
    size_t at, j;
} place_t;

static int by_place(const void *a, const void *b) {
    const place_t *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

dt_status dnn_weights_sort(dnn_weights *w) {
    place_t *places = malloc(w->n_j * sizeof *places);
    free(w->order);
    w->order = malloc(w->n_j * sizeof *w->order);
    if (!places || !w->order) {
        free(places);
        return dt_fail(DT_EDEVICE, "out of memory for the layout of %zu weights", w->n);
    }
    for (size_t j = 0; j < w->n_j; j++)
        places[j] = (place_t){w->at_j[j], j};
    qsort(places, w->n_j, sizeof *places, by_place);
    for (size_t j = 0; j < w->n_j; j++)
        w->order[j] = places[j].j;
    free(places);
    return DT_OK;
}

static dt_status weights_place(md_t md, size_t element_bytes, dnn_weights *w) {
    layout_t l = {0};
    DT_TRY(md_layout(md, &l));
    w->n_o = (size_t)l.dims[0];
    w->n_j = (size_t)l.dims[1];
    for (int d = 2; d < l.n_dims; d++)
        w->n_j *= (size_t)l.dims[d];
    w->n = dnnl_memory_desc_get_size(md) / element_bytes;
    w->at_o = malloc(w->n_o * sizeof *w->at_o);
    w->at_j = malloc(w->n_j * sizeof *w->at_j);
    if (!w->at_o || !w->at_j)
        return dt_fail(DT_EDEVICE, "out of memory for the layout of %zu weights", w->n);
    for (size_t o = 0; o < w->n_o; o++)
        w->at_o[o] = layout_offset(&l, 0, (int64_t)o);
    for (size_t j = 0; j < w->n_j; j++) {
        int64_t rest = (int64_t)j;
        w->at_j[j] = 0;
        for (int d = l.n_dims - 1; d >= 1; d--) {
            w->at_j[j] += layout_offset(&l, d, rest % l.dims[d]);
            rest /= l.dims[d];
        }
    }
    return dnn_weights_sort(w);
}

/* ---- planning ---- */

typedef struct {
    owned_md src, dst, ddst, w, dw, bias; /* w: any layout, in the compute type; dw: any, float */
    dnnl_primitive_attr_t attr, attr_forward;
    dnnl_dims_t stride, pad, dilate;
} plan_t;

static void plan_free(plan_t *p) {
    md_free(&p->src);
    md_free(&p->dst);
    md_free(&p->ddst);
    md_free(&p->w);
    md_free(&p->dw);
    md_free(&p->bias);
    if (p->attr)
        dnnl_primitive_attr_destroy(p->attr);
    if (p->attr_forward)
        dnnl_primitive_attr_destroy(p->attr_forward);
}

static dt_status make_attr(bool relu, dnnl_primitive_attr_t *attr) {
    DNN_TRY(dnnl_primitive_attr_create(attr));
    DNN_TRY(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user));
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 4)
    DNN_TRY(dnnl_primitive_attr_set_deterministic(*attr, 1));
#endif
    if (!relu)
        return DT_OK;
    dnnl_post_ops_t ops;
    DNN_TRY(dnnl_post_ops_create(&ops));
#if DNN_3
    dnnl_status_t status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
#else
    dnnl_status_t status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
#endif
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attr, ops); /* copies */
    dnnl_post_ops_destroy(ops);
    return check(status, "ReLU post-op");
}

/* dst_tag: dnnl_format_tag_any, or what replaces it when "any" is not of the form we understand. */
static dt_status plan_begin(const dnn_spec *s, dnnl_format_tag_t dst_tag, plan_t *p) {
    memset(p, 0, sizeof *p);
    int n = s->is_conv ? 4 : 2;
    dnnl_data_type_t type = s->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_data_type_t dst_type = s->dst_f32 ? dnnl_f32 : type;
    dnnl_dims_t src = {s->m, s->in_c, s->in_h, s->in_w};
    dnnl_dims_t dst = {s->m, s->out_c, s->out_h, s->out_w};
    dnnl_dims_t w = {s->out_c, s->in_c, s->kernel, s->kernel};
    dnnl_dims_t bias = {s->out_c};
    dnnl_format_tag_t src_tag = s->is_conv ? activation_tag(s->src_block, s->in_c) : dnnl_ab;
    for (int i = 0; i < 2; i++) {
        p->stride[i] = s->stride;
        p->pad[i] = s->pad;
    }
    DT_TRY(md_make(&p->src, n, src, type, src_tag));
    DT_TRY(md_make(&p->dst, n, dst, dst_type, dst_tag));
    DT_TRY(md_make(&p->ddst, n, dst, type, dst_tag));
    DT_TRY(md_make(&p->w, n, w, type, dnnl_format_tag_any));
    DT_TRY(md_make(&p->dw, n, w, dnnl_f32, dnnl_format_tag_any));
    DT_TRY(md_make(&p->bias, 1, bias, dnnl_f32, dnnl_a));
    DT_TRY(make_attr(false, &p->attr));
    return make_attr(s->relu, &p->attr_forward);
}

#if DNN_3
static dnnl_status_t desc_conv(dnnl_engine_t e, const plan_t *p, dnn_pass pass,
                               const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out) {
    if (pass == DNN_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            out, e, dnnl_forward_training, dnnl_convolution_direct, p->src.md, p->w.md, p->bias.md,
            p->dst.md, p->stride, p->dilate, p->pad, p->pad, p->attr_forward);
    if (pass == DNN_BACKWARD_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, e, dnnl_convolution_direct, p->src.md, p->w.md, p->ddst.md, p->stride, p->dilate,
            p->pad, p->pad, hint, p->attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, e, dnnl_convolution_direct, p->src.md, p->dw.md, p->bias.md, p->ddst.md, p->stride,
        p->dilate, p->pad, p->pad, hint, p->attr);
}

static dnnl_status_t desc_fc(dnnl_engine_t e, const plan_t *p, dnn_pass pass,
                             const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out) {
    if (pass == DNN_FORWARD)
        return dnnl_inner_product_forward_primitive_desc_create(out, e, dnnl_forward_training,
                                                                p->src.md, p->w.md, p->bias.md,
                                                                p->dst.md, p->attr_forward);
    if (pass == DNN_BACKWARD_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(out, e, p->src.md, p->w.md,
                                                                      p->ddst.md, hint, p->attr);
    return dnnl_inner_product_backward_weights_primitive_desc_create(
        out, e, p->src.md, p->dw.md, p->bias.md, p->ddst.md, hint, p->attr);
}
#else
static dnnl_status_t desc_conv(dnnl_engine_t e, const plan_t *p, dnn_pass pass,
                               const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out) {
    dnnl_convolution_desc_t d;
    dnnl_status_t status;
    if (pass == DNN_FORWARD)
        status = dnnl_convolution_forward_desc_init(
            &d, dnnl_forward_training, dnnl_convolution_direct, p->src.md, p->w.md, p->bias.md,
            p->dst.md, p->stride, p->pad, p->pad);
    else if (pass == DNN_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_desc_init(
            &d, dnnl_convolution_direct, p->src.md, p->w.md, p->ddst.md, p->stride, p->pad, p->pad);
    else
        status = dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, p->src.md,
                                                             p->dw.md, p->bias.md, p->ddst.md,
                                                             p->stride, p->pad, p->pad);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &d, pass == DNN_FORWARD ? p->attr_forward : p->attr, e,
                                      hint);
}

static dnnl_status_t desc_fc(dnnl_engine_t e, const plan_t *p, dnn_pass pass,
                             const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out) {
    dnnl_inner_product_desc_t d;
    dnnl_status_t status;
    if (pass == DNN_FORWARD)
        status = dnnl_inner_product_forward_desc_init(&d, dnnl_forward_training, p->src.md, p->w.md,
                                                      p->bias.md, p->dst.md);
    else if (pass == DNN_BACKWARD_DATA)
        status = dnnl_inner_product_backward_data_desc_init(&d, p->src.md, p->w.md, p->ddst.md);
    else
        status = dnnl_inner_product_backward_weights_desc_init(&d, p->src.md, p->dw.md, p->bias.md,
                                                               p->ddst.md);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &d, pass == DNN_FORWARD ? p->attr_forward : p->attr, e,
                                      hint);
}
#endif

static md_t queried(const pass_t *pass, dnnl_query_t what, int index) {
    return dnnl_primitive_desc_query_md(pass->desc, what, index);
}

static dt_status plan_pass(const dnn_spec *s, const plan_t *p, dnn_pass which, impl_t *impl,
                           dnn_layer *layer) {
    dnnl_engine_t e;
    DT_TRY(engine(&e));
    pass_t *pass = &impl->pass[which];
    const_dnnl_primitive_desc_t hint = which == DNN_FORWARD ? NULL : impl->pass[DNN_FORWARD].desc;
    dnnl_status_t status = s->is_conv ? desc_conv(e, p, which, hint, &pass->desc)
                                      : desc_fc(e, p, which, hint, &pass->desc);
    DT_TRY(check(status, s->is_conv ? "convolution" : "inner product"));
    DNN_TRY(dnnl_primitive_create(&pass->primitive, pass->desc));
    size_t scratch = dnnl_memory_desc_get_size(queried(pass, dnnl_query_scratchpad_md, 0));
    if (scratch > layer->scratch_bytes)
        layer->scratch_bytes = scratch;
    DNN_TRY(
        dnnl_primitive_desc_query(pass->desc, dnnl_query_impl_info_str, 0, &layer->name[which]));
    layer->is_slow |= strncmp(layer->name[which], "ref", 3) == 0;
    return DT_OK;
}

/* Can the gradient of dst be laid out like dst? If not, dst_block becomes 0: plan anew. */
static dt_status compare_block(md_t ddst, dnn_layer *layer) {
    layout_t l = {0};
    DT_TRY(md_layout(ddst, &l));
    if (activation_block(&l) != layer->dst_block)
        layer->dst_block = 0;
    layer->ddst_bytes = dnnl_memory_desc_get_size(ddst);
    return DT_OK;
}

/* The layouts that oneDNN chose, in our words. dst_block stays 0 if there are no words for it. */
static dt_status plan_layouts(const dnn_spec *s, impl_t *impl, dnn_layer *layer) {
    const pass_t *f = &impl->pass[DNN_FORWARD], *d = &impl->pass[DNN_BACKWARD_DATA];
    const pass_t *w = &impl->pass[DNN_BACKWARD_WEIGHTS];
    md_t dst = queried(f, dnnl_query_dst_md, 0);
    md_t w_forward = queried(f, dnnl_query_weights_md, 0);
    layout_t l = {0};
    DT_TRY(md_layout(dst, &l));
    layer->dst_block = activation_block(&l);
    layer->dst_bytes = dnnl_memory_desc_get_size(dst);
    layer->ddst_bytes = s->dst_f32 ? layer->dst_bytes / 2 : layer->dst_bytes;
    layer->weight_bytes = s->bf16 ? 2 : 4;
    DT_TRY(weights_place(w_forward, layer->weight_bytes, &layer->forward));
    if (s->weight_gradient) {
        DT_TRY(compare_block(queried(w, dnnl_query_diff_dst_md, 0), layer));
        DT_TRY(weights_place(queried(w, dnnl_query_diff_weights_md, 0), 4, &layer->gradient));
    }
    if (!s->input_gradient)
        return DT_OK;
    md_t w_backward = queried(d, dnnl_query_weights_md, 0);
    DT_TRY(compare_block(queried(d, dnnl_query_diff_dst_md, 0), layer));
    layer->same_weights = dnnl_memory_desc_equal(w_forward, w_backward) != 0;
    return weights_place(w_backward, layer->weight_bytes, &layer->backward);
}

static dt_status plan_with(const dnn_spec *s, dnnl_format_tag_t dst_tag, dnn_layer **out) {
    dnn_layer *layer = calloc(1, sizeof *layer);
    impl_t *impl = calloc(1, sizeof *impl);
    plan_t plan = {0};
    dt_status status = DT_OK;
    if (!layer || !impl) {
        free(layer);
        free(impl);
        return dt_fail(DT_EDEVICE, "out of memory for a layer");
    }
    layer->impl = impl;
    impl->input_gradient = s->input_gradient;
    impl->weight_gradient = s->weight_gradient;
    DT_TRY_GOTO(status, plan_begin(s, dst_tag, &plan), done);
    DT_TRY_GOTO(status, plan_pass(s, &plan, DNN_FORWARD, impl, layer), done);
    if (s->input_gradient)
        DT_TRY_GOTO(status, plan_pass(s, &plan, DNN_BACKWARD_DATA, impl, layer), done);
    if (s->weight_gradient)
        DT_TRY_GOTO(status, plan_pass(s, &plan, DNN_BACKWARD_WEIGHTS, impl, layer), done);
    DT_TRY_GOTO(status, plan_layouts(s, impl, layer), done);
done:
    plan_free(&plan);
    if (status != DT_OK)
        dnn_layer_free(&layer);
    *out = layer;
    return status;
}

dt_status dnn_layer_plan(const dnn_spec *spec, dnn_layer **out) {
    dnnl_format_tag_t plain = spec->is_conv ? dnnl_abcd : dnnl_ab;
    DT_TRY(plan_with(spec, spec->dst_plain ? plain : dnnl_format_tag_any, out));
    if ((*out)->dst_block != 0)
        return DT_OK;
    dnn_layer_free(out);
    DT_TRY(plan_with(spec, plain, out));
    if ((*out)->dst_block != 0)
        return DT_OK;
    dnn_layer_free(out);
    return dt_fail(DT_EDEVICE, "oneDNN: no layout for %d outputs of %dx%d", spec->out_c,
                   spec->out_h, spec->out_w);
}

void dnn_layer_free(dnn_layer **layer) {
    if (!*layer)
        return;
    impl_t *impl = (*layer)->impl;
    for (int i = 0; impl && i < DNN_N_PASSES; i++) {
        if (impl->pass[i].primitive)
            dnnl_primitive_destroy(impl->pass[i].primitive);
        if (impl->pass[i].desc)
            dnnl_primitive_desc_destroy(impl->pass[i].desc);
    }
    dnn_weights_free(&(*layer)->forward);
    dnn_weights_free(&(*layer)->backward);
    dnn_weights_free(&(*layer)->gradient);
    free(impl);
    free(*layer);
    *layer = NULL;
}

/* ---- running ---- */

static dt_status bind_arg(dnn_binding *b, dnn_pass pass, int name, md_t md, void *data) {
    dnnl_engine_t e;
    DT_TRY(engine(&e));
    dnnl_exec_arg_t *arg = &b->arg[pass][b->n_args[pass]];
    DNN_TRY(dnnl_memory_create(&arg->memory, md, e, data));
    arg->arg = name;
    b->n_args[pass]++;
    return DT_OK;
}

static dt_status bind_forward(dnn_binding *b, const pass_t *p, const dnn_memory *m) {
    const dnn_pass f = DNN_FORWARD;
    DT_TRY(bind_arg(b, f, DNNL_ARG_SRC, queried(p, dnnl_query_src_md, 0), m->src));
    DT_TRY(bind_arg(b, f, DNNL_ARG_WEIGHTS, queried(p, dnnl_query_weights_md, 0), m->w_forward));
    DT_TRY(bind_arg(b, f, DNNL_ARG_BIAS, queried(p, dnnl_query_weights_md, 1), m->bias));
    DT_TRY(bind_arg(b, f, DNNL_ARG_DST, queried(p, dnnl_query_dst_md, 0), m->dst));
    return bind_arg(b, f, DNNL_ARG_SCRATCHPAD, queried(p, dnnl_query_scratchpad_md, 0), m->scratch);
}

static dt_status bind_data(dnn_binding *b, const pass_t *p, const dnn_memory *m) {
    const dnn_pass d = DNN_BACKWARD_DATA;
    DT_TRY(bind_arg(b, d, DNNL_ARG_DIFF_SRC, queried(p, dnnl_query_diff_src_md, 0), m->dsrc));
    DT_TRY(bind_arg(b, d, DNNL_ARG_WEIGHTS, queried(p, dnnl_query_weights_md, 0), m->w_backward));
    DT_TRY(bind_arg(b, d, DNNL_ARG_DIFF_DST, queried(p, dnnl_query_diff_dst_md, 0), m->ddst));
    return bind_arg(b, d, DNNL_ARG_SCRATCHPAD, queried(p, dnnl_query_scratchpad_md, 0), m->scratch);
}

static dt_status bind_weights(dnn_binding *b, const pass_t *p, const dnn_memory *m) {
    const dnn_pass w = DNN_BACKWARD_WEIGHTS;
    DT_TRY(bind_arg(b, w, DNNL_ARG_SRC, queried(p, dnnl_query_src_md, 0), m->src));
    DT_TRY(bind_arg(b, w, DNNL_ARG_DIFF_DST, queried(p, dnnl_query_diff_dst_md, 0), m->ddst));
    DT_TRY(bind_arg(b, w, DNNL_ARG_DIFF_WEIGHTS, queried(p, dnnl_query_diff_weights_md, 0), m->dw));
    DT_TRY(bind_arg(b, w, DNNL_ARG_DIFF_BIAS, queried(p, dnnl_query_diff_weights_md, 1), m->dbias));
    return bind_arg(b, w, DNNL_ARG_SCRATCHPAD, queried(p, dnnl_query_scratchpad_md, 0), m->scratch);
}

dt_status dnn_bind(const dnn_layer *layer, const dnn_memory *memory, dnn_binding **out) {
    const impl_t *impl = layer->impl;
    dnnl_engine_t e;
    dt_status status;
    *out = NULL;
    DT_TRY(engine(&e));
    dnn_binding *b = calloc(1, sizeof *b);
    if (!b)
        return dt_fail(DT_EDEVICE, "out of memory for a layer's memory");
    b->layer = layer;
    DT_TRY_GOTO(
        status,
        check(dnnl_stream_create(&b->stream, e, dnnl_stream_default_flags), "dnnl_stream_create"),
        fail);
    DT_TRY_GOTO(status, bind_forward(b, &impl->pass[DNN_FORWARD], memory), fail);
    if (impl->input_gradient)
        DT_TRY_GOTO(status, bind_data(b, &impl->pass[DNN_BACKWARD_DATA], memory), fail);
    if (impl->weight_gradient)
        DT_TRY_GOTO(status, bind_weights(b, &impl->pass[DNN_BACKWARD_WEIGHTS], memory), fail);
    *out = b;
    return DT_OK;
fail:
    dnn_binding_free(&b);
    return status;
}

void dnn_binding_free(dnn_binding **binding) {
    dnn_binding *b = *binding;
    if (!b)
        return;
    for (int p = 0; p < DNN_N_PASSES; p++)
        for (int i = 0; i < b->n_args[p]; i++)
            dnnl_memory_destroy(b->arg[p][i].memory);
    if (b->stream)
        dnnl_stream_destroy(b->stream);
    free(b);
    *binding = NULL;
}

dt_status dnn_run(dnn_binding *binding, dnn_pass pass) {
    const impl_t *impl = binding->layer->impl;
    DNN_TRY(dnnl_primitive_execute(impl->pass[pass].primitive, binding->stream,
                                   binding->n_args[pass], binding->arg[pass]));
    return check(dnnl_stream_wait(binding->stream), "dnnl_stream_wait");
}

/* ---- the machine ---- */

static const struct {
    dnnl_cpu_isa_t isa;
    const char *name;
    bool bf16;
} isas[] = {
    {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx", true},
    {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16", true},
    {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni", false},
    {dnnl_cpu_isa_avx512_core, "avx512_core", false},
    {dnnl_cpu_isa_avx2_vnni, "avx2_vnni", false},
    {dnnl_cpu_isa_avx2, "avx2", false},
    {dnnl_cpu_isa_avx, "avx", false},
    {dnnl_cpu_isa_sse41, "sse41", false},
};

/* Index into isas of what oneDNN uses here; newer, wider sets count as the widest listed that they
 * contain. */
static int effective_isa(void) {
    int isa = (int)dnnl_get_effective_cpu_isa();
    for (int i = 0; i < (int)(sizeof isas / sizeof *isas); i++)
        if ((isa & (int)isas[i].isa) == (int)isas[i].isa)
            return i;
    return -1;
}

bool dnn_has_bf16(void) {
    int i = effective_isa();
    return i >= 0 && isas[i].bf16;
}

void dnn_describe(char *text, size_t nbytes) {
    const dnnl_version_t *v = dnnl_version();
    int i = effective_isa();
    snprintf(text, nbytes, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch,
             i >= 0 ? isas[i].name : "generic");
}
