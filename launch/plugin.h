/* launch/plugin.h - what libdtrain_cuda.so gives the program: one table behind one exported name.
 *
 * The plugin links the CUDA libraries, the program does not: loading them costs half a second and
 * is done only where a GPU may be. The plugin in turn uses the program's io, dist and model, which
 * the program exports to it. Both come from one build: DT_PLUGIN_ABI and the version are compared,
 * and others are refused. */
#ifndef DT_LAUNCH_PLUGIN_H
#define DT_LAUNCH_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include "dist/comm.h"
#include "io/err.h"
#include "model/backend.h"

enum { DT_PLUGIN_ABI = 5 };
#define DT_PLUGIN_ENTRY "dtrain_cuda_plugin"

typedef struct {
    char name[128];   /* "NVIDIA H100 80GB HBM3" */
    char pci[32];     /* "0000:1b:00.0" */
    char uuid[48];    /* "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" */
    int major, minor; /* compute capability */
    int processors;   /* streaming multiprocessors */
    int clock_khz;    /* of a multiprocessor; 0: not told */
    size_t memory;    /* bytes */
} dt_gpu;

typedef struct dt_nccl dt_nccl;
typedef struct dt_stage dt_stage;

typedef struct {
    int abi;                   /* DT_PLUGIN_ABI */
    const char *version;       /* of dtrain that it was built with */
    const dt_backend *backend; /* "cuda" */

    /* How many of the devices that this process sees can be used, and which of those the rank of
     * this number on its host takes: they are dealt out in turn. DT_EDEVICE with the reason when
     * there is none: no driver, driver too old for the runtime, no device, all too old. */
    dt_status (*pick)(int local_rank, int *n, int *index);
    dt_status (*gpu)(int index, dt_gpu *out);
    /* "CUDA 13.0, cuDNN 9.19.0, cuBLAS 13.1.0; driver 13.0, NCCL 2.28.9"; driver "none" without. */
    void (*libraries)(char *text, size_t nbytes);

    /* The ranks' NCCL communicator on device `index`; the unique id travels over comm. Collective.
     * The ranks' devices must differ. To be closed after a failure too. DT_EPEER: no answer within
     * seconds. DT_EDEVICE. */
    dt_status (*nccl_open)(dt_comm *comm, int index, double seconds, dt_nccl **out);
    dt_reducer (*nccl_reducer)(dt_nccl *nccl);
    /* DT_OK, or why the communicator failed since: a peer was lost. Never waits. */
    dt_status (*nccl_poll)(dt_nccl *nccl);
    /* Bounded in time; true: it returned, false: the process must exit hard. */
    bool (*nccl_abort)(dt_nccl *nccl, double seconds);
    bool (*nccl_close)(dt_nccl **nccl); /* false as for nccl_abort() */
    /* The same sums through host memory and comm, for ranks that share a device. */
    dt_status (*stage_open)(dt_comm *comm, int index, size_t max_bytes, dt_stage **out);
    dt_reducer (*stage_reducer)(dt_stage *stage);
    void (*stage_close)(dt_stage **stage);
    /* seconds[calls]: of sums of n int64 on device index. Collective. DT_EDEVICE, DT_EPEER. */
    dt_status (*time_sum)(const dt_reducer *reducer, int index, size_t n, int calls,
                          double *seconds);
    /* *seconds: of one product of n x n matrices on device index. DT_EDEVICE. */
    dt_status (*time_product)(int index, dt_precision precision, int n, double *seconds);
} dt_plugin;

/* The one exported entry. */
typedef const dt_plugin *(*dt_plugin_entry)(void);

/* Load it, once a process; it stays until the end. DT_EDEVICE: it is not there, a library that it
 * needs is not, or it belongs to another build. */
DT_NODISCARD dt_status dt_plugin_open(const dt_plugin **out);
/* Whether NVIDIA's driver can be loaded: there may be a GPU. Costs next to nothing where not. */
bool dt_plugin_has_driver(void);

#endif
