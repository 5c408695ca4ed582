/* model/net.h - a network in words: parsed, checked, with every shape and parameter offset known.
 *
 *   conv C K [stride S] [pad P]    C filters of K x K, zero padding P (K/2 if not given)
 *   pool K [max|avg] [stride S] [pad P]   window K; stride K, no padding if not given; rounds down
 *   relu
 *   dropout P                      probability P of dropping, 0 <= P < 1
 *   fc C                           C outputs; flattens what comes in (channel, row, column)
 *
 * Layers are separated by ';' or new lines. The last layer must be fc: its outputs are the logits.
 * Preset names: cnn, fast, lenet5, mlp (dt_net_presets). Parameters live in one flat float array in
 * network order, each layer's weight then its bias, in PyTorch's layouts: conv (out, in, h, w), fc
 * (out, in). */
#ifndef DT_MODEL_NET_H
#define DT_MODEL_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

typedef struct {
    int c, h, w; /* channels, rows, columns */
} dt_shape;

typedef enum { DT_CONV, DT_POOL, DT_RELU, DT_DROPOUT, DT_FC } dt_layer_kind;

typedef struct {
    dt_layer_kind kind;
    char name[16];    /* conv1, conv2, fc1 ... ; pool1, relu1 ... for those without parameters */
    dt_shape in, out; /* fc: out = {C, 1, 1} */
    int kernel, stride, pad; /* conv and pool */
    bool average;            /* pool */
    float drop;              /* dropout */
    size_t w_at, n_w; /* weight: offset into the flat array, count; 0, 0 without parameters */
    size_t b_at, n_b; /* bias */
} dt_layer;

typedef struct {
    dt_layer *layers;
    int n_layers;
    dt_shape in;
    int classes;         /* outputs of the last layer */
    size_t n_params;     /* floats in the flat array */
    double flop_forward; /* multiply and add counted apart, of conv and fc, one image */
    double flop_step;    /* forward + backward, without the first layer's input gradient */
    char *spec;          /* normalised words: parses to the same network; what files record */
} dt_net;

typedef struct {
    const char *name, *spec, *about;
} dt_net_preset;
extern const dt_net_preset dt_net_presets[]; /* ends with name == NULL */

/* text: a preset's name or layers in words. DT_EUSAGE: the message repeats the spec with a caret
 * under the word that cannot be. Free with dt_net_free(). */
DT_NODISCARD dt_status dt_net_parse(const char *text, dt_shape in, dt_net **out);
void dt_net_free(dt_net **net);
size_t dt_shape_size(dt_shape shape); /* c * h * w */

/* params[0..n_params) = initial values from the counter-based generator (index = parameter).
 * Weights followed by a ReLU: He et al. 2015, normal with variance 2 / fan_in; others: Glorot &
 * Bengio 2010, uniform in +-sqrt(6 / (fan_in + fan_out)). Biases 0. */
void dt_net_init(const dt_net *net, uint64_t seed, float *params);

#endif
