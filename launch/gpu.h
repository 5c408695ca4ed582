/* launch/gpu.h - which GPU each rank uses, if any, and how their sums travel.
 *
 * All ranks compute with GPUs or none does, as one run has one back end. On a host where a process
 * sees all GPUs its node-local rank picks one; where it sees one (as Slurm and containers show
 * them) that is it. */
#ifndef DT_LAUNCH_GPU_H
#define DT_LAUNCH_GPU_H

#include "launch/options.h"
#include "launch/plugin.h"

typedef struct {
    const dt_plugin *plugin; /* NULL: the CPU computes, and only why is filled in */
    char why[DT_ERROR_MAX];  /* no GPU with --device auto; "" with --device cpu */
    dt_comm *comm;
    int index;      /* of this rank's device in this process */
    dt_gpu *all;    /* [size] every rank's */
    bool is_shared; /* two ranks use one device */
    bool is_told;   /* that they do, by the whole that this is a part of */
    dt_nccl *nccl;  /* these two: how sums travel; both NULL with one rank, or not connected */
    dt_stage *stage;
    dt_reducer reducer;
} dt_gpus;

/* Decide by --device. Collective. dt_gpus_close() after a failure too. DT_EDEVICE with --device
 * cuda when a rank has no GPU, with its reason; --device auto takes the CPU then, and warns if some
 * rank has a driver. */
DT_NODISCARD dt_status dt_gpus_open(dt_gpus *gpus, const dt_options *options, dt_comm *comm);
/* The same GPUs for the ranks of part, which is a part of whole's group; not connected, and closed
 * on its own. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_gpus_part(const dt_gpus *whole, dt_comm *part, dt_gpus *out);
/* Connect the ranks' GPUs by --comm, for sums of at most nbytes; nothing to do for one rank.
 * Collective. auto: NCCL, or host memory if two ranks share a device, which is said. DT_EDEVICE:
 * --comm nccl with a shared device, named. DT_EUSAGE: --comm nccl without GPUs. */
DT_NODISCARD dt_status dt_gpus_connect(dt_gpus *gpus, const dt_options *options, size_t nbytes);
/* The failure of a back end to open, with the names of two GPUs that differ where that may be why:
 * this rank's and rank 0's. */
DT_NODISCARD dt_status dt_gpus_explain(const dt_gpus *gpus, dt_status status);
/* Whether two GPUs of one host are one to NCCL. */
bool dt_gpu_same(const dt_gpu *a, const dt_gpu *b);
/* NULL: one rank. */
const dt_reducer *dt_gpus_reducer(const dt_gpus *gpus);
/* "NCCL", "MPI through host memory"; "" for one rank. */
const char *dt_gpus_transport(const dt_gpus *gpus);
/* seconds[calls]: of sums of n int64 between the connected devices, nothing else going on.
 * Collective; a failure of one rank ends the job, as the others' devices wait for it. */
void dt_gpus_time_sum(dt_gpus *gpus, size_t n, int calls, double *seconds);
/* DT_OK, or why this rank's sums can no longer come. Never waits. */
DT_NODISCARD dt_status dt_gpus_poll(dt_gpus *gpus);
/* The oldest step of a queued back end that was not collected, as its collect(), but polled: the
 * call ends when a peer is lost. DT_EPEER, DT_EDEVICE, DT_EDIVERGED. */
DT_NODISCARD dt_status dt_gpus_collect(dt_gpus *gpus, const dt_backend *backend, dt_device *device,
                                       dt_step_outcome *out);
/* Before close(): wait until nothing is queued on the device. Where that does not come within
 * seconds, or a peer is lost, the job is ended. Back ends without a queue: nothing to do. */
enum { DT_SETTLE_SECONDS = 60 };
void dt_gpus_settle(dt_gpus *gpus, const dt_backend *backend, dt_device *device, double seconds);
/* This rank cannot go on, and the others' devices wait for its sums: log the error and end the
 * job, within seconds. Does not return. */
void dt_gpus_abort(dt_gpus *gpus, dt_status status) __attribute__((noreturn));
/* Leave the other ranks' GPUs; after the device is closed. status: how the command ended, with its
 * sentence; should NCCL not let go, the job ends here with it. */
void dt_gpus_close(dt_gpus *gpus, dt_status status);

#endif
