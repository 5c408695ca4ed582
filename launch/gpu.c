/* launch/gpu.c - which GPU each rank uses, if any, and how their sums travel.
 *
 * Every rank looks for itself; then all learn what all have seen, and decide alike. Whether two
 * ranks use one device is told by its UUID and its address on the bus: an index says nothing once
 * CUDA_VISIBLE_DEVICES or a container renumbers, and parts of one GPU (MIG) each have a UUID, but
 * are one to NCCL. */
#include "launch/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dist/watchdog.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/progress.h"

static const double CONNECT_SECONDS = 30, ABORT_SECONDS = 5;
enum { MOST_STAGED = 64 << 20 }; /* bytes of pinned memory */

typedef struct { /* what a rank has seen; gathered as bytes */
    int32_t status;
    int32_t has_driver;
    char why[DT_ERROR_MAX];
    dt_gpu gpu;
} sight;

/* --- finding --- */

static dt_status find_device(dt_gpus *g, sight *mine) {
    int n;
    DT_TRY(dt_plugin_open(&g->plugin));
    DT_TRY(g->plugin->pick(dt_comm_local_rank(g->comm), &n, &g->index));
    return g->plugin->gpu(g->index, &mine->gpu);
}

static void look(dt_gpus *g, bool is_wanted, sight *mine) {
    memset(mine, 0, sizeof *mine);
    mine->has_driver = dt_plugin_has_driver();
    dt_status status = DT_OK;
    if (!is_wanted && !mine->has_driver)
        status = dt_fail(DT_EDEVICE, "NVIDIA's driver (libcuda.so.1) is not on this machine");
    else
        status = find_device(g, mine);
    mine->status = (int32_t)status;
    if (status != DT_OK)
        dt_error_copy(mine->why);
}

/* --device auto: all ranks have a GPU, or none uses one. */
static void choose(dt_gpus *g, const sight *all, int size) {
    int without = 0;
    bool has_driver = false;
    while (without < size && all[without].status == DT_OK)
        without++;
    if (without == size)
        return;
    for (int r = 0; r < size; r++)
        has_driver = has_driver || all[r].has_driver;
    snprintf(g->why, sizeof g->why, "%s", all[without].why);
    g->plugin = NULL;
    if (has_driver && dt_comm_rank(g->comm) == 0)
        dt_warn("the CPU computes: rank %d (%s): %s; --device cpu says so without this line",
                without, dt_comm_host(g->comm, without), g->why);
}

bool dt_gpu_same(const dt_gpu *a, const dt_gpu *b) {
    return strcmp(a->uuid, b->uuid) == 0 || strcmp(a->pci, b->pci) == 0;
}

static bool share(const dt_gpus *g, int a, int b) {
    return dt_comm_host_of(g->comm, a) == dt_comm_host_of(g->comm, b) &&
           dt_gpu_same(&g->all[a], &g->all[b]);
}

/* Two ranks on one device, the first such pair; false: none. */
static bool find_shared(const dt_gpus *g, int *a, int *b) {
    int size = dt_comm_size(g->comm);
    for (*b = 1; *b < size; (*b)++)
        for (*a = 0; *a < *b; (*a)++)
            if (share(g, *a, *b))
                return true;
    return false;
}

static dt_status gather(dt_gpus *g, const sight *mine, sight *all, bool is_wanted) {
    int size = dt_comm_size(g->comm), a, b;
    DT_TRY(dt_comm_allgather(g->comm, mine, sizeof *mine, all));
    if (is_wanted)
        DT_TRY(dt_comm_agree(g->comm, (dt_status)mine->status));
    else
        choose(g, all, size);
    for (int r = 0; r < size; r++)
        g->all[r] = all[r].gpu;
    g->is_shared = g->plugin && find_shared(g, &a, &b);
    return DT_OK;
}

dt_status dt_gpus_open(dt_gpus *g, const dt_options *options, dt_comm *comm) {
    *g = (dt_gpus){.comm = comm};
    if (options->device == DT_DEVICE_CPU)
        return DT_OK;
    size_t size = (size_t)dt_comm_size(comm);
    bool is_wanted = options->device == DT_DEVICE_CUDA;
    sight *mine = malloc(sizeof *mine), *all = malloc(size * sizeof *all);
    g->all = calloc(size, sizeof *g->all);
    dt_status status = DT_OK;
    if (!mine || !all || !g->all)
        status = dt_fail(DT_EDEVICE, "no memory for the GPUs of %zu ranks", size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    look(g, is_wanted, mine);
    status = gather(g, mine, all, is_wanted);
done:
    free(mine);
    free(all);
    return status;
}

dt_status dt_gpus_part(const dt_gpus *whole, dt_comm *part, dt_gpus *out) {
    size_t size = (size_t)dt_comm_size(part);
    int a, b;
    *out = (dt_gpus){.plugin = whole->plugin, .comm = part, .index = whole->index, .is_told = true};
    if (!whole->plugin)
        return DT_OK;
    out->all = calloc(size, sizeof *out->all);
    if (!out->all)
        return dt_fail(DT_EDEVICE, "no memory for the GPUs of %zu ranks", size);
    for (size_t r = 0; r < size; r++)
        out->all[r] = whole->all[dt_comm_number(part, (int)r)];
    out->is_shared = find_shared(out, &a, &b);
    return DT_OK;
}

/* --- connecting --- */

static dt_status refuse_shared(const dt_gpus *g, int a, int b) {
    return dt_fail(DT_EDEVICE,
                   "--comm nccl: ranks %d and %d share one GPU of %s (%s, %s), and NCCL takes one "
                   "rank a GPU: start fewer ranks, or give --comm mpi",
                   a, b, dt_comm_host(g->comm, a), g->all[a].name, g->all[a].pci);
}

/* How the sums go: true by NCCL. */
static dt_status choose_transport(const dt_gpus *g, int wanted, bool *by_nccl) {
    int a, b;
    *by_nccl = wanted == DT_COMM_NCCL || (wanted == DT_COMM_AUTO && !g->is_shared);
    if (!g->is_shared || wanted == DT_COMM_MPI || !find_shared(g, &a, &b))
        return DT_OK;
    if (wanted == DT_COMM_NCCL)
        return refuse_shared(g, a, b);
    if (dt_comm_rank(g->comm) == 0 && !g->is_told)
        dt_warn("ranks %d and %d share one GPU of %s (%s): their sums go through host memory, as "
                "NCCL takes one rank a GPU; --comm mpi says so without this line",
                a, b, dt_comm_host(g->comm, a), g->all[a].pci);
    return DT_OK;
}

dt_status dt_gpus_connect(dt_gpus *g, const dt_options *options, size_t nbytes) {
    bool by_nccl;
    if (!g->plugin && options->comm == DT_COMM_NCCL)
        return dt_fail(DT_EUSAGE, "--comm nccl: the CPU computes, and NCCL sums between GPUs only");
    if (!g->plugin || dt_comm_size(g->comm) == 1)
        return DT_OK;
    DT_TRY(choose_transport(g, options->comm, &by_nccl));
    if (by_nccl) {
        DT_TRY(g->plugin->nccl_open(g->comm, g->index, CONNECT_SECONDS, &g->nccl));
        g->reducer = g->plugin->nccl_reducer(g->nccl);
        return DT_OK;
    }
    if (nbytes > MOST_STAGED)
        nbytes = MOST_STAGED;
    DT_TRY(dt_comm_agree(g->comm, g->plugin->stage_open(g->comm, g->index, nbytes, &g->stage)));
    g->reducer = g->plugin->stage_reducer(g->stage);
    return DT_OK;
}

dt_status dt_gpus_explain(const dt_gpus *g, dt_status status) {
    char why[DT_ERROR_MAX];
    if (status == DT_OK || !g->plugin || dt_comm_rank(g->comm) == 0)
        return status;
    int rank = dt_comm_rank(g->comm);
    const dt_gpu *mine = &g->all[rank], *first = &g->all[0];
    if (strcmp(mine->name, first->name) == 0 && mine->major == first->major &&
        mine->minor == first->minor)
        return status;
    dt_error_copy(why);
    return dt_fail(status,
                   "%s; this rank's GPU is %s (%d.%d), rank 0's, which chooses how convolutions "
                   "are computed, %s (%d.%d): use GPUs of one kind",
                   why, mine->name, mine->major, mine->minor, first->name, first->major,
                   first->minor);
}

const dt_reducer *dt_gpus_reducer(const dt_gpus *g) {
    return g->nccl || g->stage ? &g->reducer : NULL;
}

const char *dt_gpus_transport(const dt_gpus *g) {
    return g->nccl ? "NCCL" : g->stage ? "MPI through host memory" : "";
}

/* The watchdog leaves within a second; until then the peers' NCCL may learn of it. */
static void leave_with_watchdog(dt_gpus *g) {
    if (g->nccl)
        g->plugin->nccl_abort(g->nccl, ABORT_SECONDS);
    for (;;)
        pause();
}

void dt_gpus_time_sum(dt_gpus *g, size_t n, int calls, double *seconds) {
    dt_status status = g->plugin->time_sum(&g->reducer, g->index, n, calls, seconds);
    if (status != DT_OK)
        dt_gpus_abort(g, status);
}

dt_status dt_gpus_poll(dt_gpus *g) {
    if (dt_watchdog_is_ending())
        leave_with_watchdog(g);
    return g->nccl ? g->plugin->nccl_poll(g->nccl) : DT_OK;
}

/* Sleeps between looks: from 20 us, which no step is shorter than, to 1 ms. */
static void nap(long *nanoseconds) {
    struct timespec pause = {.tv_nsec = *nanoseconds ? *nanoseconds : 20000};
    nanosleep(&pause, NULL);
    *nanoseconds = pause.tv_nsec < 1000000 ? 2 * pause.tv_nsec : pause.tv_nsec;
}

dt_status dt_gpus_collect(dt_gpus *g, const dt_backend *backend, dt_device *device,
                          dt_step_outcome *out) {
    dt_status status = DT_OK;
    dt_progress_wait(true); /* the device waits for other ranks' devices, as likely as not */
    for (long pause = 0; status == DT_OK; nap(&pause)) {
        bool done = false;
        status = backend->collect(device, false, &done, out);
        if (status != DT_OK || done)
            break;
        status = dt_gpus_poll(g);
    }
    dt_progress_wait(false);
    return status;
}

void dt_gpus_settle(dt_gpus *g, const dt_backend *backend, dt_device *device, double seconds) {
    double end = dt_now() + seconds;
    for (long pause = 0; backend->idle; nap(&pause)) {
        bool idle = true;
        if (backend->idle(device, &idle) != DT_OK || idle) /* failed: nobody has to wait for it */
            return;
        dt_status status = dt_gpus_poll(g);
        if (status == DT_OK && dt_now() > end)
            status = dt_fail(DT_EPEER,
                             "the GPU is not done with its last steps within %g s: the sums of "
                             "another rank may be missing",
                             seconds);
        if (status != DT_OK)
            dt_gpus_abort(g, status);
    }
}

void dt_gpus_abort(dt_gpus *g, dt_status status) {
    dt_log_error();
    if (g->nccl) /* lets the peers' NCCL know; whether it returns or not, the job ends here */
        g->plugin->nccl_abort(g->nccl, ABORT_SECONDS);
    dt_comm_abort(g->comm, (int)status);
}

/* A process that NCCL holds on to would hang in its exit, and the others in MPI's. */
static void end_hard(dt_gpus *g, dt_status status) {
    if (status == DT_OK)
        status = dt_fail(DT_EPEER, "all is done, but NCCL does not let go of the other ranks: the "
                                   "job is ended");
    dt_gpus_abort(g, status);
}

void dt_gpus_close(dt_gpus *g, dt_status status) {
    if (g->nccl && !g->plugin->nccl_close(&g->nccl))
        end_hard(g, status);
    if (g->stage)
        g->plugin->stage_close(&g->stage);
    free(g->all);
    g->all = NULL;
}
