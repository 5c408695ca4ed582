/* model/cuda_impl.h - the cuda back end's device and plan, shared by model/cuda*.c.
 *
 * A plan is the network as operations with their buffers. cuda_run.c enqueues them, cuda_data.c
 * brings samples onto the device, cuda_step.c makes steps of both, and cuda.c is the table. */
#ifndef DT_MODEL_CUDA_IMPL_H
#define DT_MODEL_CUDA_IMPL_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include "model/cuda_dnn.h"
#include "model/cuda_kernels.h"

enum { CUDA_MAX_RANGES = 16, CUDA_CHUNK = 16 };

/* A layer, with the ReLU behind it. Layers that work in place have y == x. */
typedef struct {
    const dt_layer *layer;
    int index;   /* of layer in the network */
    bool relu;   /* a ReLU follows and is done here */
    bool mask;   /* max pooling: backward does the ReLU's part, behind it or in front */
    bool masked; /* conv, fc: the pooling behind has done the ReLU's part */
    bool needs_dx;
    void *x, *y;
    uint16_t *arg; /* max pooling */
    conv_plan *plans[CONV_N_PASSES];
    void *weight, *bias, *dweight; /* copies that it computes with, and the weight's gradient */
    float *dbias;                  /* [slices][out.c] */
    int slices;
    int range;   /* that its parameters belong to; -1: none */
    bool closes; /* the range is complete when this operation is */
} cuda_op;

typedef struct {
    size_t from, n;
    int segment, n_segments, max_n; /* in the table of segments */
} cuda_range;

typedef struct {
    cuda_op *ops;
    int n_ops, first; /* the first operation with parameters: backward ends there */
    cuda_range ranges[CUDA_MAX_RANGES];
    int n_ranges, n_segments, max_n; /* largest segment */
    cuda_segment *segments;          /* in device memory */
    float *table, *logits, *pre;     /* pre: products of bf16 in float, before the bias */
    void *input, *grads[2];
    void *workspace, *product_workspace;
    size_t workspace_bytes;
} cuda_plan;

/* Samples on their way to the device: pinned memory and device memory of one layout. */
typedef struct {
    uint8_t *host, *device;
    int64_t capacity, n_micros; /* micro-batches */
    uint32_t epoch;
    bool held, awaited; /* it is whole; the main stream waits for the upload */
    cudaEvent_t uploaded;
} cuda_source;

struct dt_device {
    dt_device_config config;
    bool bf16;
    cudaStream_t main, comm, copy;
    cudnnHandle_t dnn;
    cublasHandle_t blas;
    void **blocks; /* all device memory but the sources' */
    int n_blocks;
    size_t bytes;
    cuda_plan plan;
    cuda_control *control;
    cuda_state state;
    cuda_gradient gradient;
    int64_t *eval_head, *confusion;
    double *chunks;
    cuda_outcome *outcomes;  /* [DT_MAX_QUEUED + 1] on the device, the last for update() */
    cuda_outcome *collected; /* the same, pinned */
    int64_t *mirror;         /* pinned: head and sums, what buffer() shows */
    float *mirror_floats;
    int64_t *scratch; /* pinned: a fingerprint's */
    float *logits;    /* pinned [CUDA_CHUNK][m][classes] */
    struct {
        const uint8_t *images, *labels;
        size_t n;
    } sets[DT_N_SETS];
    cuda_source epochs[2], chunk[2];
    cudaEvent_t ready[CUDA_MAX_RANGES], joined, used;
    cudaEvent_t done[DT_MAX_QUEUED];
    double submitted[DT_MAX_QUEUED]; /* when, as dt_now() */
    int64_t n_queued, n_collected;
    struct { /* dt_now() = offset + 1e-9 (device's clock - zero) */
        unsigned long long zero;
        double offset;
    } clock;
    cudaGraphExec_t graphs[2]; /* one micro-batch; the last, with sums over ranks and update */
    bool is_warm[2];           /* was launched piece by piece */
    int64_t launches, calls[2], nodes[2]; /* see dt_device_usage */
    bool range_open;                      /* the profiler's range of an epoch */
    uint32_t range_epoch;
    uint64_t range;
};

DT_NODISCARD dt_status cuda_check(cudaError_t error, const char *what);
/* Whether a poll says "not yet". The runtime may keep that as its last error, which launches of
 * kernels ask for: it is forgotten. */
bool cuda_is_pending(cudaError_t error);
/* Device memory that lives as long as the device; its address is a multiple of 256. */
DT_NODISCARD dt_status cuda_take(dt_device *d, size_t nbytes, void *out);

/* cuda_plan.c */
DT_NODISCARD dt_status cuda_plan_ops(const dt_net *net, cuda_plan *plan); /* no device needed */
DT_NODISCARD dt_status cuda_plan_choose(const conv_place *place, const cuda_plan *plan,
                                        const dt_device_config *config, char *text, size_t nbytes);
DT_NODISCARD dt_status cuda_plan_memory(dt_device *d, const char *choices);
void cuda_plan_free(cuda_plan *plan);

/* cuda_run.c: each enqueues on the main stream */
DT_NODISCARD dt_status cuda_forward(dt_device *d, bool train);
DT_NODISCARD dt_status cuda_micro(dt_device *d, bool last); /* last: with sums over ranks, update */
DT_NODISCARD dt_status cuda_update(dt_device *d);
DT_NODISCARD dt_status cuda_copies(dt_device *d); /* of all parameters */
DT_NODISCARD dt_status cuda_evaluate_micro(dt_device *d, bool confusion);
cuda_scalars cuda_scalars_of(const dt_optim_config *optim, const dt_update *update);

/* cuda_data.c */
DT_NODISCARD dt_status cuda_source_open(dt_device *d, cuda_source *s, int64_t capacity);
void cuda_source_close(cuda_source *s);
/* Micro-batches of a set are gathered in host memory, the first of them, those between, the last.
 */
DT_NODISCARD dt_status cuda_source_gather(dt_device *d, cuda_source *s, dt_set set,
                                          const dt_work *work);
DT_NODISCARD dt_status cuda_source_upload(dt_device *d, cuda_source *s, cudaStream_t stream);
cuda_work cuda_source_work(const dt_device *d, const cuda_source *s);

/* cuda_step.c */
DT_NODISCARD dt_status cuda_epoch(dt_device *d, const dt_work *work);
int cuda_depth(const dt_device *d, int n_micros);
DT_NODISCARD dt_status cuda_step(dt_device *d, const dt_queued_step *step);
DT_NODISCARD dt_status cuda_collect(dt_device *d, bool wait, bool *done, dt_step_outcome *out);
DT_NODISCARD dt_status cuda_idle(dt_device *d, bool *idle);
DT_NODISCARD dt_status cuda_verdict(const cuda_outcome *outcome);
void cuda_steps_close(dt_device *d);

#endif
