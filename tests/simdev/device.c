/* tests/simdev/device.c - the runtime's functions about devices, versions and error texts.
 *
 * SIMDEV_DEVICES devices (8), all the same and all this machine's CPU. They share one memory and
 * one queue: a process is to use one of them, as the trainer does. */
#include "sim.h"

#include <stdlib.h>

static __thread int current;

static int n_devices(void) {
    return (int)sim_setting("SIMDEV_DEVICES", 8);
}

SIM_API cudaError_t cudaGetDeviceCount(int *n) {
    cudaError_t error = sim_begin("cudaGetDeviceCount", cudaErrorInsufficientDriver);
    if (error)
        return sim_return(error);
    if (sim_setting("SIMDEV_DRIVER", CUDART_VERSION) / 1000 < CUDART_VERSION / 1000)
        return sim_return(cudaErrorInsufficientDriver);
    *n = n_devices();
    return sim_return(*n > 0 ? cudaSuccess : cudaErrorNoDevice);
}

SIM_API cudaError_t cudaSetDevice(int index) {
    cudaError_t error = sim_begin("cudaSetDevice", cudaErrorDevicesUnavailable);
    if (error)
        return sim_return(error);
    if (index < 0 || index >= n_devices())
        return sim_return(cudaErrorInvalidDevice);
    current = index;
    return cudaSuccess;
}

SIM_API cudaError_t cudaGetDevice(int *index) {
    *index = current;
    return cudaSuccess;
}

SIM_API cudaError_t cudaSetDeviceFlags(unsigned flags) {
    (void)flags; /* how the host waits */
    return sim_return(sim_begin("cudaSetDeviceFlags", cudaErrorUnknown));
}

SIM_API cudaError_t cudaDeviceReset(void) {
    return sim_return(cudaErrorNotSupported); /* it would free what other libraries hold */
}

/* Devices can be told apart; SIMDEV_SAME_DEVICE=1 gives all one identity, 2 only one address, as
 * parts of one GPU have. */
static int identity(int index) {
    return sim_setting("SIMDEV_SAME_DEVICE", 0) == 1 ? 0 : index;
}
static int address(int index) {
    return sim_setting("SIMDEV_SAME_DEVICE", 0) ? 0 : index;
}

/* Of SIMDEV_CAPABILITY=75,80 the index-th, or the last. */
static int capability_of(int index) {
    const char *at = getenv("SIMDEV_CAPABILITY"), *comma;
    for (; at && index > 0 && (comma = strchr(at, ',')); index--)
        at = comma + 1;
    return at && *at ? atoi(at) : 75;
}

SIM_API cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int index) {
    cudaError_t error = sim_begin("cudaGetDeviceProperties", cudaErrorUnknown);
    if (error)
        return sim_return(error);
    if (index < 0 || index >= n_devices())
        return sim_return(cudaErrorInvalidDevice);
    int capability = capability_of(index);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "simdev (CPU)");
    memcpy(p->uuid.bytes, "simulated device", sizeof p->uuid.bytes);
    p->uuid.bytes[15] = (char)identity(index);
    p->major = capability / 10, p->minor = capability % 10;
    p->totalGlobalMem = sim_memory_total();
    p->sharedMemPerBlock = 48 << 10, p->sharedMemPerBlockOptin = 64 << 10;
    p->sharedMemPerMultiprocessor = 64 << 10;
    p->regsPerBlock = 65536, p->regsPerMultiprocessor = 65536;
    p->warpSize = 32, p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 1024;
    p->maxBlocksPerMultiProcessor = 16;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = INT32_MAX, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->multiProcessorCount = 2, p->pciBusID = 1 + address(index);
    p->unifiedAddressing = 1, p->canMapHostMemory = 1, p->asyncEngineCount = 2;
    p->concurrentKernels = 1, p->l2CacheSize = 4 << 20;
    return cudaSuccess;
}

SIM_API cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int index) {
    struct cudaDeviceProp p;
    cudaError_t error = sim_begin("cudaDeviceGetAttribute", cudaErrorNotSupported);
    if (!error)
        error = cudaGetDeviceProperties(&p, index);
    if (error)
        return sim_return(error);
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        break;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
        *value = 0; /* not told */
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)p.sharedMemPerBlockOptin;
        break;
    case cudaDevAttrMaxThreadsPerBlock:
        *value = p.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = p.maxThreadsPerMultiProcessor;
        break;
    case cudaDevAttrPciBusId:
        *value = p.pciBusID;
        break;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
        *value = 0;
        break;
    default:
        return sim_return(cudaErrorNotSupported);
    }
    return cudaSuccess;
}

SIM_API cudaError_t cudaDeviceGetPCIBusId(char *text, int nbytes, int index) {
    cudaError_t error = sim_begin("cudaDeviceGetPCIBusId", cudaErrorUnknown);
    if (error)
        return sim_return(error);
    if (index < 0 || index >= n_devices())
        return sim_return(cudaErrorInvalidDevice);
    snprintf(text, (size_t)nbytes, "0000:%02x:00.0", 1 + address(index));
    return cudaSuccess;
}

SIM_API cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

SIM_API cudaError_t cudaDriverGetVersion(int *version) {
    *version = (int)sim_setting("SIMDEV_DRIVER", CUDART_VERSION);
    return cudaSuccess;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

SIM_API const char *cudaGetErrorString(cudaError_t error) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].error == error)
            return texts[i].text;
    return "unknown error";
}

SIM_API const char *cudaGetErrorName(cudaError_t error) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].error == error)
            return texts[i].name;
    return "cudaErrorUnknown";
}
