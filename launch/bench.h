/* launch/bench.h - `dtrain bench`: arithmetic peak, memory bandwidth, all-reduce; every sum is
 * checked. */
#ifndef DT_LAUNCH_BENCH_H
#define DT_LAUNCH_BENCH_H

#include "dist/comm.h"
#include "launch/gpu.h"
#include "launch/options.h"

/* Collective; rank 0 prints, text or JSON. DT_EPEER: an all-reduce gave a wrong sum. */
DT_NODISCARD dt_status dt_bench(const dt_options *options, dt_gpus *gpus, dt_comm *comm);

#endif
