/* launch/cuda_time.h - timing the ranks' sums on their devices. */
#ifndef DT_LAUNCH_CUDA_TIME_H
#define DT_LAUNCH_CUDA_TIME_H

#include "io/err.h"
#include "model/backend.h"

/* seconds[calls]: of sums of n int64 in the memory of device index, one after another. Collective:
 * every rank with the same n and calls. DT_EDEVICE, DT_EPEER. */
DT_NODISCARD dt_status dt_cuda_time_sum(const dt_reducer *reducer, int index, size_t n, int calls,
                                        double *seconds);

#endif
