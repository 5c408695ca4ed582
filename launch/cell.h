/* launch/cell.h - one training of a sweep, on the ranks of its own group. */
#ifndef DT_LAUNCH_CELL_H
#define DT_LAUNCH_CELL_H

#include "io/sweepfile.h"
#include "launch/sweep_plan.h"
#include "launch/trace.h"
#include "launch/trainer.h"

typedef struct {
    const dt_options *options; /* of the sweep, resolved */
    const dt_sweep_spec *spec;
    const dt_backend *backend;
    dt_comm *comm;        /* the cell's ranks */
    const dt_comm *whole; /* of the sweep: rank numbers and hosts are its */
    const dt_gpus *gpus;  /* of the sweep */
    dt_dataset *data;     /* lent */
    int64_t steps; /* of a time cell of some steps: as many as others of its batch had; 0: find
                      out */
    double time_limit_at; /* dt_now() when it is time to stop; 0: never */
    dt_trace *trace;      /* or NULL */
} dt_cell_job;

/* Collective over job->comm. *cell: in its name, out all the rest, curve[DT_CURVE_COLUMNS][points]
 * included; what came out is rank 0's of the group. DT_OK, or how it failed: cell->status and
 * cell->reason then say so too. DT_ESTOPPED: a signal or the time limit, and the cell is to be done
 * again. */
DT_NODISCARD dt_status dt_cell_run(const dt_cell_job *job, dt_cell *cell);

#endif
