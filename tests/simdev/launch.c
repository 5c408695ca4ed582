/* tests/simdev/launch.c - kernels: registration, as nvcc's stubs do it, and launch.
 *
 * The stubs tell the mangled name of every kernel; its body comes from the kernels that
 * translate.py made of the same source's PTX: libsimdev_kernels.so beside this library, or
 * SIMDEV_KERNELS. */
#include "sim.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

enum { MAX_KERNELS = 512, MAX_PARAMS = 4096, MAX_PENDING = 8, STATIC_SHARED = 48 << 10 };

static const sim_kernel *bodies[MAX_KERNELS];
static int n_bodies;
static struct {
    const void *stub;
    const char *name;
} kernels[MAX_KERNELS];
static int n_kernels;

typedef struct {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
} configuration;
static __thread configuration pending[MAX_PENDING];
static __thread int n_pending;

void sim_register(const sim_kernel *kernel) {
    if (n_bodies == MAX_KERNELS)
        abort();
    bodies[n_bodies++] = kernel;
}

const sim_kernel *sim_kernel_find(const char *name) {
    for (int i = 0; i < n_bodies; i++)
        if (!strcmp(bodies[i]->name, name))
            return bodies[i];
    return NULL;
}

static void load_bodies(void) {
    char path[PATH_MAX];
    Dl_info self;
    const char *file = getenv("SIMDEV_KERNELS");
    if (!file && dladdr((void *)(uintptr_t)sim_register, &self)) {
        const char *slash = strrchr(self.dli_fname, '/');
        int folder = slash ? (int)(slash - self.dli_fname) : 1;
        snprintf(path, sizeof path, "%.*s/libsimdev_kernels.so", folder,
                 slash ? self.dli_fname : ".");
        file = path;
    }
    if (file && !dlopen(file, RTLD_NOW | RTLD_GLOBAL))
        fprintf(stderr, "simdev: %s\n", dlerror());
}

/* ---- what nvcc's stubs call ---- */
SIM_API void **__cudaRegisterFatBinary(void *binary);
SIM_API void **__cudaRegisterFatBinary(void *binary) {
    static void *handle[1];
    handle[0] = binary;
    return handle;
}

SIM_API void __cudaRegisterFatBinaryEnd(void **handle);
SIM_API void __cudaRegisterFatBinaryEnd(void **handle) {
    (void)handle;
}

SIM_API void __cudaUnregisterFatBinary(void **handle);
SIM_API void __cudaUnregisterFatBinary(void **handle) {
    (void)handle;
}

SIM_API void __cudaRegisterFunction(void **handle, const char *stub, char *function,
                                    const char *name, int limit, uint3 *tid, uint3 *bid,
                                    dim3 *block, dim3 *grid, int *warp);
SIM_API void __cudaRegisterFunction(void **handle, const char *stub, char *function,
                                    const char *name, int limit, uint3 *tid, uint3 *bid,
                                    dim3 *block, dim3 *grid, int *warp) {
    (void)handle, (void)function, (void)limit;
    (void)tid, (void)bid, (void)block, (void)grid, (void)warp;
    if (n_kernels == MAX_KERNELS)
        abort();
    kernels[n_kernels].stub = stub;
    kernels[n_kernels++].name = name;
}

SIM_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                             cudaStream_t stream);
SIM_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                             cudaStream_t stream) {
    if (n_pending == MAX_PENDING)
        return 1;
    pending[n_pending++] = (configuration){grid, block, shared, stream};
    return 0;
}

SIM_API cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared,
                                               void *stream);
SIM_API cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared,
                                               void *stream) {
    if (n_pending == 0)
        return cudaErrorMissingConfiguration;
    configuration c = pending[--n_pending];
    *grid = c.grid, *block = c.block, *shared = c.shared;
    memcpy(stream, &c.stream, sizeof c.stream);
    return cudaSuccess;
}

SIM_API cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub);
SIM_API cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub) {
    *kernel = (cudaKernel_t)(uintptr_t)stub;
    return cudaSuccess;
}

/* ---- launch ---- */
typedef struct {
    const sim_kernel *kernel;
    unsigned grid[3], block[3], dynamic;
    unsigned char params[MAX_PARAMS];
} launch;

static int run_launch(void *args) {
    const launch *l = args;
    return sim_run_grid(l->kernel, l->grid, l->block, l->dynamic, l->params);
}

static const sim_kernel *body_of(const void *stub) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_bodies);
    for (int i = 0; i < n_kernels; i++) {
        if (kernels[i].stub != stub)
            continue;
        const sim_kernel *body = sim_kernel_find(kernels[i].name);
        if (!body)
            sim_violation("kernel %s has no body: was it translated?", kernels[i].name);
        return body;
    }
    sim_violation("launch of a kernel that is not registered");
    return NULL;
}

static bool possible(const sim_kernel *k, dim3 grid, dim3 block, size_t shared) {
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    return grid.x > 0 && grid.x <= INT32_MAX && grid.y > 0 && grid.y <= 65535 && grid.z > 0 &&
           grid.z <= 65535 && threads > 0 && threads <= 1024 && block.z <= 64 &&
           k->shared_bytes + shared <= STATIC_SHARED;
}

SIM_API cudaError_t cudaLaunchKernel(const void *stub, dim3 grid, dim3 block, void **args,
                                     size_t shared, cudaStream_t stream) {
    cudaError_t error = sim_begin("cudaLaunchKernel", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    const sim_kernel *k = body_of(stub);
    if (!k)
        return sim_return(cudaErrorInvalidDeviceFunction);
    if (!possible(k, grid, block, shared))
        return sim_return(cudaErrorInvalidConfiguration);
    launch l = {.kernel = k,
                .grid = {grid.x, grid.y, grid.z},
                .block = {block.x, block.y, block.z},
                .dynamic = (unsigned)shared};
    size_t used = 0;
    for (int i = 0; i < k->n_params; i++) {
        used = (size_t)k->params[i].offset + k->params[i].nbytes;
        memcpy(l.params + k->params[i].offset, args[i], k->params[i].nbytes);
    }
    return sim_return(
        sim_enqueue(stream, run_launch, &l, offsetof(launch, params) + used, k->name));
}

SIM_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                                       size_t shared, cudaStream_t stream);
SIM_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                                       size_t shared, cudaStream_t stream) {
    return cudaLaunchKernel((const void *)kernel, grid, block, args, shared, stream);
}

SIM_API cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *stub) {
    cudaError_t error = sim_begin("cudaFuncGetAttributes", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    const sim_kernel *k = body_of(stub);
    if (!k)
        return sim_return(cudaErrorInvalidDeviceFunction);
    memset(out, 0, sizeof *out);
    out->sharedSizeBytes = k->shared_bytes;
    out->maxThreadsPerBlock = 1024;
    return cudaSuccess;
}
