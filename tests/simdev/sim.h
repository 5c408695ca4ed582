/* tests/simdev/sim.h - the simulated device from inside: what its libraries and kernels share.
 *
 * libcudart holds all of it: memory with its shadow, the queue, the report. The doubles of cuDNN,
 * cuBLAS and NCCL and the translated kernels call these functions.
 *
 * Shadow of device memory, by which misuse is found:
 *   state     one byte for each byte: nobody's, not yet written, written
 *   granule   for each 4 bytes: which operation wrote and which read them last, and by which thread
 *             of it; two accesses with no order between them, of which one writes, are a race
 * Order: every operation has an epoch (slot of its stream, count within it), every stream a vector
 * of how far it has followed the others (vector clocks, as race detectors of threads use them). */
#ifndef DT_SIMDEV_SIM_H
#define DT_SIMDEV_SIM_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SIM_API __attribute__((visibility("default")))

/* ---- report.c ---- */
/* A misuse: printed (the first 20), counted, and the process ends with 86. */
SIM_API void sim_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Should this call of the function fail? As SIMDEV_FAIL=function:n[@rank] asks. */
SIM_API bool sim_fails(const char *function);
SIM_API void sim_count(const char *kind, int delta); /* what is not 0 at exit is a leak */
SIM_API long sim_setting(const char *name, long otherwise);
SIM_API void sim_at_exit(void); /* the verdict; registered by sim_start() */

/* ---- memory.c ---- */
enum {
    SIM_GONE = 0, /* nobody's: never allocated, or freed */
    SIM_RAW = 1,
    SIM_SET = 2
};
#define SIM_DEVICE_PART (48ull << 30) /* of the arena; no address is ever used twice */
#define SIM_PINNED_PART (16ull << 30)

typedef enum { SIM_READ = 1, SIM_WRITE = 2, SIM_UPDATE = 3, SIM_ATOMIC = 4 } sim_mode;

enum { SIM_SLOTS = 64, SIM_CLOCK_BITS = 26 };
#define SIM_CLOCK_MASK ((1u << SIM_CLOCK_BITS) - 1)
typedef struct {
    uint32_t v[SIM_SLOTS];
} sim_clock;

typedef struct { /* who touched 4 bytes; block and thread tell threads of one kernel apart */
    uint32_t w, w_block;
    uint16_t w_thread, w_phase;
    uint32_t r, r_block;
    uint16_t r_thread, r_phase;
    uint32_t r2; /* another reader, of another stream */
} sim_granule;
#define SIM_ANY_BLOCK  UINT32_MAX
#define SIM_ANY_THREAD ((uint16_t)UINT16_MAX)
#define SIM_PART       ((uint16_t)(UINT16_MAX - 2)) /* less than all 4 bytes */
#define SIM_ATOM       ((uint16_t)(UINT16_MAX - 1)) /* written by atomic operations only */

typedef struct {
    uintptr_t device; /* what programs see: no access by the host */
    uintptr_t bytes;  /* the same offset here: the content; of pinned memory also its address */
    uint8_t *state;
    sim_granule *granules;
} sim_arena;
SIM_API extern sim_arena sim_memory;

typedef struct { /* what runs right now, on the queue's thread */
    uint32_t epoch;
    uint32_t block;
    uint16_t thread, phase; /* phase: barriers passed */
    bool part;              /* the access is of less than a granule */
    bool fences;            /* threads of the kernel order themselves: not compared */
    const sim_clock *seen;
    const char *name;
} sim_actor;
SIM_API extern sim_actor sim_now;

/* Check [p, p + n) for an operation of a library; the content, or no return (the operation ends
 * with a sticky error, as on a device). */
SIM_API void *sim_use(const void *p, size_t n, sim_mode mode, const char *what);
/* The same for one access of a kernel, of 1 to 16 bytes. */
SIM_API void *sim_access(uint64_t address, unsigned n, sim_mode mode);
/* Ends the operation. */
SIM_API void sim_fault(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
bool sim_is_device(const void *p);
bool sim_is_pinned(const void *p, size_t n);
void sim_memory_start(void);
void sim_memory_leaks(int *leaks);
size_t sim_memory_used(void);
size_t sim_memory_total(void);
/* *p is NULL without memory, or for n = 0. Freeing waits for the device, as CUDA does. */
cudaError_t sim_allocate(void **p, size_t n, bool pinned);
cudaError_t sim_release(void *p, bool pinned, const char *function);

/* ---- queue.c ---- */
enum { SIM_DONE, SIM_AGAIN }; /* SIM_AGAIN: waits for another process, call again */
typedef int (*sim_work)(void *args);
/* Append to a stream, or to the graph that it is captured into. args are copied. */
SIM_API cudaError_t sim_enqueue(cudaStream_t stream, sim_work work, const void *args, size_t nbytes,
                                const char *name);
SIM_API cudaError_t sim_sticky(void);
SIM_API cudaError_t sim_return(cudaError_t error); /* remembers it for cudaGetLastError */
SIM_API void sim_start(void);                      /* called by all that may come first */
void sim_queue_leaks(int *leaks);                  /* work that nobody waited for */
/* Waits for all streams. cudaErrorStreamCaptureUnsupported, and a violation, during a capture. */
SIM_API cudaError_t sim_drain_all(void);
const char *sim_epoch_name(uint32_t epoch); /* of the operation, for messages */
/* What every function of the runtime begins with: starts the device, plans failures, passes on a
 * sticky error. */
cudaError_t sim_begin(const char *function, cudaError_t planned);

/* ---- exec.c and the kernels that translate.py writes ---- */
typedef struct {
    uint16_t offset, nbytes;
} sim_param;
typedef struct {
    const char *name; /* mangled */
    const sim_param *params;
    int n_params;
    unsigned shared_bytes;
    bool waits;  /* has barriers or operations of a warp: its threads need stacks of their own */
    bool fences; /* orders its threads through memory */
    void (*thread)(const unsigned char *params);
} sim_kernel;

typedef struct {
    unsigned tid[3], linear;
    int state;
    const char *site; /* of the barrier */
    /* an operation of a warp: what was asked for, what came out */
    int op, arg, predicate;
    unsigned mask;
    uint64_t value, result;
    void *sp, *stack;
} sim_thread;
typedef struct {
    unsigned id[3], dim[3], grid[3];
    unsigned char *shared;
    unsigned shared_bytes;
} sim_block;
SIM_API extern sim_thread *sim_t;
SIM_API extern sim_block *sim_b;

SIM_API void sim_register(const sim_kernel *kernel);
SIM_API const sim_kernel *sim_kernel_find(const char *name);
int sim_run_grid(const sim_kernel *k, const unsigned grid[3], const unsigned block[3],
                 unsigned dynamic, const unsigned char *params);
SIM_API void *sim_shared(uint64_t offset, unsigned n, sim_mode mode, int line);
SIM_API void sim_barrier(const char *site);
SIM_API uint64_t sim_nanoseconds(void); /* of the device's clock, which is none of the host's */
enum { SIM_IDX, SIM_UP, SIM_DOWN, SIM_BFLY, SIM_SYNC, SIM_BALLOT };
SIM_API uint64_t sim_warp(int op, unsigned mask, uint64_t value, int arg, unsigned clamp,
                          int *predicate);

#endif
