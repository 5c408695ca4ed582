/* launch/devices.h - `dtrain devices`: what each rank can compute with, and why not. */
#ifndef DT_LAUNCH_DEVICES_H
#define DT_LAUNCH_DEVICES_H

#include "dist/comm.h"
#include "launch/options.h"
#include "launch/plugin.h"

typedef struct { /* plain data without gaps left unset, to be gathered and compared as bytes */
    char host[64], cpu[128], instruction_sets[128], libraries[256];
    int cores_allowed, cores_open, cores_total; /* as in dt_topology */
    int job_cores;                              /* that all ranks of the host may use */
    int threads;                                /* that this rank computes with */
    char cuda_libraries[256];                   /* "" without a plugin */
    char no_cuda[DT_ERROR_MAX];                 /* why this rank has no GPU; "": it has */
    int n_gpus;                                 /* that it sees */
    dt_gpu gpu;                                 /* that it would use */
} dt_sight;

/* What this rank sees. Collective. That there is no GPU is no failure. */
DT_NODISCARD dt_status dt_sight_look(const dt_options *options, dt_comm *comm, dt_sight *mine);

/* Collective; rank 0 prints, text or JSON. */
DT_NODISCARD dt_status dt_devices(const dt_options *options, dt_comm *comm);

#endif
