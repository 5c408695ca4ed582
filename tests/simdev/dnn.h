/* tests/simdev/dnn.h - what the double of cuDNN understands of a graph: one convolution. */
#ifndef DT_SIMDEV_DNN_H
#define DT_SIMDEV_DNN_H

#include <cudnn.h>
#include "sim.h"

typedef struct {
    int64_t uid, dim[4], stride[4]; /* n, c, h, w; of filters k, c, r, s */
    cudnnDataType_t type;
    bool is_virtual;
    int n_dims;
} dnn_tensor;

typedef enum { DNN_FORWARD, DNN_DATA, DNN_FILTER } dnn_pass;

typedef struct {
    dnn_pass pass;
    dnn_tensor x, w, y;
    int64_t pad[2], stride[2], dilation[2];
    float alpha, beta;
    bool has_bias, relu, relu_keeps_nan;
    dnn_tensor bias;
} dnn_graph;

typedef struct {
    dnn_graph graph;
    bool is_tf32; /* what is multiplied is rounded */
    void *x, *w, *y, *bias, *workspace;
    size_t workspace_bytes;
} dnn_job;

int dnn_run(void *job); /* a sim_work */
/* Height or width of the output; below 1: there is none. */
int64_t dnn_output(int64_t in, int64_t before, int64_t after, int64_t kernel, int64_t stride,
                   int64_t dilation);

#endif
