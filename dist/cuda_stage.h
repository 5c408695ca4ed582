/* dist/cuda_stage.h - sums over the ranks for GPUs that NCCL cannot join: through host memory.
 *
 * For ranks that share a device, and for comparisons (--comm mpi). A sum waits for its stream,
 * copies to pinned memory, adds up over comm, and copies back: nothing overlaps. */
#ifndef DT_DIST_CUDA_STAGE_H
#define DT_DIST_CUDA_STAGE_H

#include "dist/comm.h"

typedef struct dt_stage dt_stage;

/* For comm's ranks, this one on device index, in pieces of at most max_bytes. Not collective. *out
 * is NULL on failure: DT_EDEVICE. */
DT_NODISCARD dt_status dt_stage_open(dt_comm *comm, int index, size_t max_bytes, dt_stage **out);
/* v[0..n), device memory, becomes its sum over the ranks for later work on stream (a cudaStream_t).
 * Collective, and waits. stage is a dt_stage. DT_EPEER, DT_EDEVICE. */
DT_NODISCARD dt_status dt_stage_sum_i64(void *stage, int64_t *v, size_t n, void *stream);
DT_NODISCARD dt_status dt_stage_sum_f32(void *stage, float *v, size_t n, void *stream);
/* NULL and *stage == NULL are fine. */
void dt_stage_close(dt_stage **stage);

#endif
