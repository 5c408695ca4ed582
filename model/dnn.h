/* model/dnn.h - convolutions and fully connected layers by oneDNN, versions 2.6 and 3.x behind one
 * interface.
 *
 * Private to the cpu back end; dnn.c alone sees dnnl.h. A dnn_layer is planned once for a
 * micro-batch and holds the primitives, which any thread may run; a dnn_binding ties it to one
 * worker's memory. The calling thread must have called dnn_single_thread() before it plans and
 * before it runs: oneDNN takes its thread count from OpenMP at creation and again when it runs, and
 * a new thread does not inherit it. */
#ifndef DT_MODEL_DNN_H
#define DT_MODEL_DNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

typedef enum { DNN_FORWARD, DNN_BACKWARD_DATA, DNN_BACKWARD_WEIGHTS, DNN_N_PASSES } dnn_pass;

/* Activations are [m][C/block][h][w][block], C rounded up to whole blocks and the rest zero: block
 * 1 is NCHW, block C is NHWC, 16 and 8 are oneDNN's blocked layouts. */
typedef struct {
    bool is_conv;         /* else fully connected: src is [m][in_c], dst [m][out_c] */
    int m;                /* micro-batch */
    int in_c, in_h, in_w; /* fc: in_c features, padding included; in_h = in_w = 1 */
    int out_c, out_h, out_w;
    int kernel, stride, pad;
    int src_block;        /* of src and its gradient */
    bool bf16;            /* activations and weights; bias and weight gradients stay float */
    bool dst_f32;         /* bf16: dst is float all the same (logits) */
    bool relu;            /* dst = max(0, .) */
    bool input_gradient;  /* plan DNN_BACKWARD_DATA */
    bool weight_gradient; /* plan DNN_BACKWARD_WEIGHTS; if not, gradient is left empty */
    bool dst_plain;       /* dst in NCHW, not as oneDNN likes it best */
} dnn_spec;

/* A weight's place: element (o, j) of the plain [out_c][per_out] array lies at at_o[o] + at_j[j]
 * (elements). All layouts of oneDNN that blocks make are separable in this way. j counts (in_c,
 * kernel, kernel), or features. */
typedef struct {
    size_t *at_o, *at_j;
    size_t *order; /* the j in ascending order of at_j: how memory is walked */
    size_t n_o, n_j;
    size_t n; /* elements of the laid-out array, padding included */
} dnn_weights;

typedef struct {
    int dst_block;                /* of dst and its gradient; fc: 1 */
    size_t dst_bytes, ddst_bytes; /* ddst: gradient of dst: bf16 where dst is float by dst_f32 */
    size_t scratch_bytes;
    dnn_weights forward, backward, gradient; /* backward: for DNN_BACKWARD_DATA */
    bool same_weights;                       /* forward and backward agree: one copy serves both */
    size_t weight_bytes;                     /* of an element of forward and backward: 4 or 2 */
    const char *name[DNN_N_PASSES]; /* oneDNN's implementation, for --version and the fingerprint */
    bool is_slow; /* one of them is a reference loop, a hundred times slower than the others */
    void *impl;   /* NULL: only tables, for code of our own */
} dnn_layer;

typedef struct {
    void *src, *dst, *dsrc, *ddst; /* dsrc may be NULL without input_gradient */
    void *w_forward, *w_backward;
    float *bias, *dw, *dbias;
    void *scratch; /* largest scratch_bytes of the worker's layers */
} dnn_memory;

typedef struct dnn_binding dnn_binding;

/* Sort w->order anew: after at_j was changed. */
DT_NODISCARD dt_status dnn_weights_sort(dnn_weights *w);
void dnn_weights_free(dnn_weights *w); /* its tables */
void dnn_single_thread(void);
/* DT_EDEVICE: oneDNN cannot; the message has its status. Free with dnn_layer_free(). */
DT_NODISCARD dt_status dnn_layer_plan(const dnn_spec *spec, dnn_layer **out);
void dnn_layer_free(dnn_layer **layer);
DT_NODISCARD dt_status dnn_bind(const dnn_layer *layer, const dnn_memory *memory,
                                dnn_binding **out);
void dnn_binding_free(dnn_binding **binding);
/* Overwrites dst; dsrc; or dw and dbias. */
DT_NODISCARD dt_status dnn_run(dnn_binding *binding, dnn_pass pass);

bool dnn_has_bf16(void);                      /* in hardware: AVX512-BF16 or AMX */
void dnn_describe(char *text, size_t nbytes); /* "oneDNN 2.6.3, avx512_core_bf16" */

#endif
