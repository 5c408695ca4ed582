/* model/ref_layers.h - every layer in plain loops, in float and in double, for tests to believe in.
 *
 * Tensors are dense: x[m][c][h][w]. w and b are the layer's slices of the flat parameters, dw and
 * db those of a flat gradient. Backward functions overwrite dx, dw and db; dx == NULL: not wanted.
 * The functions named here are compiled twice from ref_layers.inc.h: for REAL = float with the
 * suffix _f32, for double with _f64. */
#ifndef DT_MODEL_REF_LAYERS_H
#define DT_MODEL_REF_LAYERS_H

#include "model/net.h"

#define DT_REF_DECLARE(REAL, NAME)                                                                 \
    void NAME(dt_ref_conv_forward)(const dt_layer *l, int m, const REAL *x, const REAL *w,         \
                                   const REAL *b, REAL *y);                                        \
    void NAME(dt_ref_conv_backward)(const dt_layer *l, int m, const REAL *x, const REAL *w,        \
                                    const REAL *dy, REAL *dx, REAL *dw, REAL *db);                 \
    void NAME(dt_ref_fc_forward)(const dt_layer *l, int m, const REAL *x, const REAL *w,           \
                                 const REAL *b, REAL *y);                                          \
    void NAME(dt_ref_fc_backward)(const dt_layer *l, int m, const REAL *x, const REAL *w,          \
                                  const REAL *dy, REAL *dx, REAL *dw, REAL *db);                   \
    void NAME(dt_ref_pool_forward)(const dt_layer *l, int m, const REAL *x, REAL *y);              \
    void NAME(dt_ref_pool_backward)(const dt_layer *l, int m, const REAL *x, const REAL *dy,       \
                                    REAL *dx);                                                     \
    void NAME(dt_ref_relu_forward)(const dt_layer *l, int m, const REAL *x, REAL *y);              \
    void NAME(dt_ref_relu_backward)(const dt_layer *l, int m, const REAL *x, const REAL *dy,       \
                                    REAL *dx);                                                     \
    /* mask[m][c][h][w]: multipliers; forward and backward are the same multiplication */          \
    void NAME(dt_ref_dropout)(const dt_layer *l, int m, const REAL *x, const float *mask,          \
                              REAL *y);                                                            \
    /* The whole network. acts[0] is the input, acts[i + 1] the output of layer i; masks[i] of     \
     * dropout layers, masks == NULL: none drops. */                                               \
    void NAME(dt_ref_net_forward)(const dt_net *net, int m, const REAL *params,                    \
                                  float *const *masks, REAL *const *acts);                         \
    /* grads[n_layers] is the gradient of the logits; grads[i] becomes that of acts[i], but        \
     * grads[0] may be NULL. dparams is overwritten. */                                            \
    void NAME(dt_ref_net_backward)(const dt_net *net, int m, const REAL *params,                   \
                                   float *const *masks, REAL *const *acts, REAL *const *grads,     \
                                   REAL *dparams);

#define DT_REF_F32(name) name##_f32
#define DT_REF_F64(name) name##_f64
DT_REF_DECLARE(float, DT_REF_F32)
DT_REF_DECLARE(double, DT_REF_F64)

#endif
