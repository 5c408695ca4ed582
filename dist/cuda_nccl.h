/* dist/cuda_nccl.h - sums over the ranks by NCCL, from one GPU's memory to the others'.
 *
 * One communicator a process, on one device. Sums are only enqueued; whether a peer was lost shows
 * in dt_nccl_poll(), which never waits. All calls come from one thread. Nothing here waits without
 * a limit: a communicator that does not answer is aborted, and an abort that does not return is
 * left behind. */
#ifndef DT_DIST_CUDA_NCCL_H
#define DT_DIST_CUDA_NCCL_H

#include "dist/comm.h"

typedef struct dt_nccl dt_nccl;

/* Join the ranks of comm on device index; the unique id travels over comm. Collective. To be closed
 * after a failure too. DT_EPEER: no answer within seconds. DT_EDEVICE: NCCL refuses, with its
 * reason. */
DT_NODISCARD dt_status dt_nccl_open(dt_comm *comm, int index, double seconds, dt_nccl **out);
/* Enqueue on stream (a cudaStream_t): v[0..n), device memory, becomes its sum over the ranks. All
 * ranks enqueue the same sums in the same order. May be captured into a graph. nccl is a dt_nccl,
 * as a context of callbacks. DT_EPEER, DT_EDEVICE. */
DT_NODISCARD dt_status dt_nccl_sum_i64(void *nccl, int64_t *v, size_t n, void *stream);
DT_NODISCARD dt_status dt_nccl_sum_f32(void *nccl, float *v, size_t n, void *stream);
/* DT_OK, or why the communicator has failed: DT_EPEER, DT_EDEVICE. */
DT_NODISCARD dt_status dt_nccl_poll(dt_nccl *nccl);
/* Give up what is under way, so that the device's streams come to an end. true: NCCL let go within
 * seconds; false: it hangs, and so would exit(). */
bool dt_nccl_abort(dt_nccl *nccl, double seconds);
/* After a failure or an abort the ranks are not waited for. NULL and *nccl == NULL are fine. false:
 * NCCL does not let go, as for dt_nccl_abort(). */
DT_NODISCARD bool dt_nccl_close(dt_nccl **nccl);
/* "NCCL 2.28.9" */
void dt_nccl_library(char *text, size_t nbytes);
/* DT_EDEVICE: the library is older than the one that this was compiled for. Names both. */
DT_NODISCARD dt_status dt_nccl_check_version(void);

#endif
