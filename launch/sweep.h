/* launch/sweep.h - `dtrain sweep`: many trainings in one job, for the report. */
#ifndef DT_LAUNCH_SWEEP_H
#define DT_LAUNCH_SWEEP_H

#include "dist/comm.h"
#include "launch/gpu.h"
#include "launch/options.h"
#include "model/backend.h"

/* Collective. DT_OK: all cells are done. DT_ESTOPPED: asked to stop, to go on when started again.
 * DT_EUSAGE: lists that cannot be, or a file of another configuration. DT_EPEER: cells that must
 * have the same bits do not. Otherwise the code of the first cell that failed. */
DT_NODISCARD dt_status dt_sweep_main(const dt_options *options, const dt_backend *backend,
                                     dt_gpus *gpus, dt_comm *comm);

#endif
