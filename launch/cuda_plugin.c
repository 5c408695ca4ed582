/* launch/cuda_plugin.c - the plugin's one exported entry, and what it tells of the devices.
 *
 * A device counts when its compute capability is one that the kernels were compiled for (7.5 and
 * later: older ones have neither code here nor support in CUDA 13). Reasons are in the user's
 * terms: which version there is, and which is needed. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "dist/cuda_nccl.h"
#include "dist/cuda_stage.h"
#include "dtrain_version.h"
#include "launch/cuda_time.h"
#include "launch/plugin.h"
#include "model/cuda_product.h"
#include "model/cuda_versions.h"

enum { LEAST_MAJOR = 7, LEAST_MINOR = 5 };

static bool is_supported(const struct cudaDeviceProp *p) {
    return p->major > LEAST_MAJOR || (p->major == LEAST_MAJOR && p->minor >= LEAST_MINOR);
}

/* Why there is no device, from what cudaGetDeviceCount() says. */
static dt_status no_device(cudaError_t error) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        return dt_fail(DT_EDEVICE, "no usable GPU: NVIDIA's driver (libcuda.so.1) is not loaded");
    if (error == cudaErrorInsufficientDriver)
        return dt_fail(
            DT_EDEVICE,
            "no usable GPU: the driver is for CUDA %d.%d and earlier, this program needs "
            "%d.%d: update the driver",
            driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (error == cudaErrorNoDevice || error == cudaSuccess)
        return dt_fail(
            DT_EDEVICE,
            "no usable GPU: the driver is there, but shows no device; CUDA_VISIBLE_DEVICES "
            "or the job's allocation may hide it");
    return dt_fail(DT_EDEVICE, "no usable GPU: %s", cudaGetErrorString(error));
}

/* The runtime keeps an error until somebody asks for it, and launches of kernels ask: one that was
 * tolerated must not be taken for theirs. */
static void forget_error(void) {
    cudaError_t last = cudaGetLastError();
    (void)last;
}

static dt_status get_properties(int index, struct cudaDeviceProp *out) {
    cudaError_t error = cudaGetDeviceProperties(out, index);
    if (error != cudaSuccess) {
        forget_error();
        return dt_fail(DT_EDEVICE, "GPU %d does not tell what it is: %s", index,
                       cudaGetErrorString(error));
    }
    if (!is_supported(out))
        return dt_fail(DT_EDEVICE,
                       "GPU %d (%s) has compute capability %d.%d; %d.%d is the least that CUDA 13 "
                       "computes with",
                       index, out->name, out->major, out->minor, LEAST_MAJOR, LEAST_MINOR);
    return DT_OK;
}

/* The turn-th device that can be used, from 0; n: how many there are. */
static int usable_device(int n_seen, int turn, int *n) {
    int index = -1;
    *n = 0;
    for (int i = 0; i < n_seen; i++) {
        struct cudaDeviceProp properties;
        if (get_properties(i, &properties) == DT_OK && (*n)++ == turn)
            index = i;
    }
    return index;
}

static dt_status pick(int local_rank, int *n, int *index) {
    int n_seen = 0;
    *n = 0;
    DT_TRY(dt_cuda_check_versions());
    DT_TRY(dt_nccl_check_version());
    cudaError_t error = cudaGetDeviceCount(&n_seen); /* may leave it alone */
    if (error != cudaSuccess || n_seen == 0)
        return no_device(error);
    *index = usable_device(n_seen, local_rank, n);
    if (*n == 0)
        return DT_EDEVICE; /* with the last one's sentence */
    if (*index < 0)
        *index = usable_device(n_seen, local_rank % *n, n);
    return DT_OK;
}

static dt_status gpu(int index, dt_gpu *out) {
    struct cudaDeviceProp p;
    memset(out, 0, sizeof *out);
    DT_TRY(get_properties(index, &p));
    const unsigned char *u = (const unsigned char *)p.uuid.bytes;
    snprintf(out->name, sizeof out->name, "%s", p.name);
    snprintf(out->uuid, sizeof out->uuid,
             "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
    snprintf(out->pci, sizeof out->pci, "%04x:%02x:%02x.0", (unsigned)p.pciDomainID,
             (unsigned)p.pciBusID, (unsigned)p.pciDeviceID);
    out->major = p.major;
    out->minor = p.minor;
    out->processors = p.multiProcessorCount;
    out->memory = p.totalGlobalMem;
    if (cudaDeviceGetAttribute(&out->clock_khz, cudaDevAttrClockRate, index) != cudaSuccess) {
        forget_error();
        out->clock_khz = 0;
    }
    return DT_OK;
}

static void libraries(char *text, size_t nbytes) {
    char ours[256], nccl[64], version[32] = "none";
    int driver = 0;
    dt_cuda_versions(ours, sizeof ours);
    dt_nccl_library(nccl, sizeof nccl);
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0)
        snprintf(version, sizeof version, "%d.%d", driver / 1000, driver % 1000 / 10);
    snprintf(text, nbytes, "%s; driver %s, %s", ours, version, nccl);
}

static dt_reducer nccl_reducer(dt_nccl *nccl) {
    return (dt_reducer){
        .ctx = nccl, .sum_i64 = dt_nccl_sum_i64, .sum_f32 = dt_nccl_sum_f32, .captures = true};
}

static dt_reducer stage_reducer(dt_stage *stage) {
    return (dt_reducer){
        .ctx = stage, .sum_i64 = dt_stage_sum_i64, .sum_f32 = dt_stage_sum_f32, .captures = false};
}

__attribute__((visibility("default"))) const dt_plugin *dtrain_cuda_plugin(void);

const dt_plugin *dtrain_cuda_plugin(void) {
    static const dt_plugin plugin = {
        .abi = DT_PLUGIN_ABI,
        .version = DTRAIN_VERSION,
        .backend = &dt_backend_cuda,
        .pick = pick,
        .gpu = gpu,
        .libraries = libraries,
        .nccl_open = dt_nccl_open,
        .nccl_reducer = nccl_reducer,
        .nccl_poll = dt_nccl_poll,
        .nccl_abort = dt_nccl_abort,
        .nccl_close = dt_nccl_close,
        .stage_open = dt_stage_open,
        .stage_reducer = stage_reducer,
        .stage_close = dt_stage_close,
        .time_sum = dt_cuda_time_sum,
        .time_product = dt_cuda_time_product,
    };
    return &plugin;
}
