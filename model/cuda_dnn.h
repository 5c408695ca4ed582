/* model/cuda_dnn.h - convolutions by cuDNN's graph (backend) API: engines chosen by name, planned,
 * run.
 *
 * A convolution is one small graph: forward with bias (and ReLU), gradient of the input, gradient
 * of the filter. Which engine computes it, with which knobs, is a text ("12:2=1,8=0") that one
 * process finds by cuDNN's heuristics and all others are given, so that all ranks compute the same
 * bits. Engines that are not deterministic are never chosen; in f32 neither are those that round
 * their inputs (tensor cores). A graph can be planned for a device that is not there, from a
 * description of it in cuDNN's JSON: tests do so. */
#ifndef DT_MODEL_CUDA_DNN_H
#define DT_MODEL_CUDA_DNN_H

#include <cudnn.h>
#include <stdbool.h>
#include <stddef.h>
#include "io/err.h"
#include "model/backend.h"

typedef enum { CONV_FORWARD, CONV_DATA, CONV_FILTER, CONV_N_PASSES } conv_pass;
extern const char *const conv_pass_names[CONV_N_PASSES];

typedef struct {
    const dt_layer *layer; /* its shapes, kernel, stride and padding */
    int m;                 /* samples */
    dt_precision precision;
    bool relu; /* of the forward pass */
    conv_pass pass;
} conv_spec;

/* Where graphs are planned: the device of a handle, or the described one. */
typedef struct {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t description; /* when handle is NULL */
} conv_place;

DT_NODISCARD dt_status conv_place_describe(const char *json, conv_place *out);
void conv_place_free(conv_place *place); /* of conv_place_describe() */

enum { CONV_TEXT_MAX = 256, CONV_WORKSPACE_MAX = 256 << 20 };

/* The first deterministic engine of cuDNN's list that can be planned and wants at most
 * CONV_WORKSPACE_MAX bytes, in words. The bound is a constant, as what is chosen must not depend on
 * what else is in memory. DT_EDEVICE: none. */
DT_NODISCARD dt_status conv_choose(const conv_place *place, const conv_spec *spec,
                                   char text[CONV_TEXT_MAX]);

typedef struct conv_plan conv_plan;

/* text as from conv_choose(). DT_EDEVICE: this device or cuDNN has no such engine for it. */
DT_NODISCARD dt_status conv_plan_make(const conv_place *place, const conv_spec *spec,
                                      const char *text, conv_plan **out);
void conv_plan_free(conv_plan **plan);
size_t conv_plan_workspace(const conv_plan *plan); /* bytes */

/* Device addresses, 16-byte aligned, of floats, or bfloat16 when the precision is; tensors are
 * [m][row][column][channel], filters [out][row][column][in]. Forward: y = relu(conv(x, w) + bias).
 * Data: x is the gradient of x; filter: w that of w; both are overwritten, y is the gradient of y.
 */
typedef struct {
    void *x, *w, *y, *bias;
    void *workspace; /* conv_plan_workspace() bytes */
} conv_pointers;

/* Fixes the addresses that conv_run() works on. */
DT_NODISCARD dt_status conv_bind(conv_plan *plan, const conv_pointers *pointers);
/* Enqueues on the handle's stream. */
DT_NODISCARD dt_status conv_run(const conv_plan *plan, cudnnHandle_t handle);

#endif
