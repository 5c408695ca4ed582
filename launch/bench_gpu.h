/* launch/bench_gpu.h - how fast the GPUs train the default network, and what the host launches for
 * it. */
#ifndef DT_LAUNCH_BENCH_GPU_H
#define DT_LAUNCH_BENCH_GPU_H

#include "launch/gpu.h"

typedef struct {
    char refused[DT_ERROR_MAX]; /* why this precision cannot be had; "": the rest holds */
    double images_per_second;   /* all ranks together */
    int micro_batch;
    double gflops;         /* of the model's own products, all ranks together */
    dt_device_usage usage; /* of rank 0 */
} dt_gpu_speed;

/* Train on made-up images for about a second, in micro-batches of so many; 0: the back end's own.
 * Collective. The ranks' GPUs are connected. */
DT_NODISCARD dt_status dt_gpu_measure(dt_gpus *gpus, dt_precision precision, bool graph,
                                      int micro_batch, dt_gpu_speed *out);
/* float32 multiply-adds by the cores of all ranks' GPUs, GFLOP/s: cores x clock x 2, as told by the
 * devices; 0: not told. */
double dt_gpu_peak(const dt_gpus *gpus);
/* Products of large matrices in a precision that all ranks' GPUs have, GFLOP/s, all together.
 * Collective. DT_EDEVICE. */
DT_NODISCARD dt_status dt_gpu_product_peak(dt_gpus *gpus, dt_precision precision, double *gflops);

#endif
