/* tests/simdev/probe.c CASE - one small program a case, right or wrong on purpose.
 *
 * cli_simdev.sh runs them on the simulated device and looks for the violation that each must give,
 * or for none. Compiled against the real headers and linked with the real libraries' names. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simdev/probe_kernels.h"

enum { N = 1000 };

#define MUST(call)                                                                                 \
    do {                                                                                           \
        cudaError_t must_error = (call);                                                           \
        if (must_error) {                                                                          \
            printf("%s: %s\n", #call, cudaGetErrorString(must_error));                             \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static float *x, *y, *pinned;
static cudaStream_t one, two;
static cudaEvent_t event;

static int open_all(void) {
    MUST(cudaMalloc((void **)&x, N * sizeof *x));
    MUST(cudaMalloc((void **)&y, N * sizeof *y));
    MUST(cudaMallocHost((void **)&pinned, N * sizeof *pinned));
    MUST(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
    MUST(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
    MUST(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return 0;
}

static int close_all(int verdict) {
    cudaFree(x);
    cudaFree(y);
    cudaFreeHost(pinned);
    if (one)
        cudaStreamDestroy(one);
    if (two)
        cudaStreamDestroy(two);
    if (event)
        cudaEventDestroy(event);
    return verdict;
}

/* ---- programs that are right ---- */
/* x = 1, then on the other stream y = 2 + x, and back; with or without the waits. */
static int exchange(bool first_wait, bool second_wait) {
    probe_fill(x, N, 1, one);
    MUST(cudaEventRecord(event, one));
    probe_fill(y, N, 2, two);
    if (first_wait)
        MUST(cudaStreamWaitEvent(two, event, 0));
    probe_add(y, x, N, two);
    MUST(cudaEventRecord(event, two));
    if (second_wait)
        MUST(cudaStreamWaitEvent(one, event, 0));
    probe_add(x, y, N, one);
    MUST(cudaMemcpyAsync(pinned, x, N * sizeof *x, cudaMemcpyDeviceToHost, one));
    MUST(cudaStreamSynchronize(one));
    MUST(cudaStreamSynchronize(two));
    return 0;
}

static int streams(void) {
    if (exchange(true, true))
        return 1;
    for (int i = 0; i < N; i++)
        if (pinned[i] != 4)
            return 1;
    return 0;
}

/* The same as a graph, launched thrice: each doubles x and adds 2. */
static int graph_of(bool join, unsigned long long flags) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    probe_fill(x, N, 1, one);
    MUST(cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal));
    MUST(cudaEventRecord(event, one));
    MUST(cudaStreamWaitEvent(two, event, 0));
    probe_fill(y, N, 2, two);
    probe_add(y, x, N, two);
    MUST(cudaEventRecord(event, two));
    if (join)
        MUST(cudaStreamWaitEvent(one, event, 0));
    probe_add(x, y, N, one);
    cudaError_t error = cudaStreamEndCapture(one, &graph);
    if (error)
        return 1;
    MUST(cudaGraphInstantiate(&exec, graph, flags));
    MUST(cudaGraphDestroy(graph));
    for (int i = 0; i < 3; i++)
        MUST(cudaGraphLaunch(exec, one));
    MUST(cudaMemcpyAsync(pinned, x, N * sizeof *x, cudaMemcpyDeviceToHost, one));
    MUST(cudaStreamSynchronize(one));
    MUST(cudaGraphExecDestroy(exec));
    return pinned[0] == 22 && pinned[N - 1] == 22 ? 0 : 1;
}
static int graph(void) {
    return graph_of(true, 0);
}
static int graph_unjoined(void) {
    return graph_of(false, 0);
}
static int graph_of_priorities(unsigned long long flags) {
    int least, greatest;
    MUST(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    MUST(cudaStreamDestroy(two));
    MUST(cudaStreamCreateWithPriority(&two, cudaStreamNonBlocking, greatest));
    return graph_of(true, flags);
}
static int priorities(void) {
    return graph_of_priorities(cudaGraphInstantiateFlagUseNodePriority);
}
static int priorities_lost(void) {
    return graph_of_priorities(0);
}

static int kernels(void) {
    unsigned long long *sum, counted = 0;
    MUST(cudaMalloc((void **)&sum, sizeof *sum));
    MUST(cudaMemsetAsync(sum, 0, sizeof *sum, one));
    probe_count(sum, N, one);
    probe_fill(x, N, 0.5f, one);
    probe_sum(y, x, 15, true, one);
    probe_warp_sum(y + 15, x, one);
    MUST(cudaMemcpyAsync(pinned, y, 16 * sizeof *y, cudaMemcpyDeviceToHost, one));
    MUST(cudaStreamSynchronize(one));
    MUST(cudaMemcpy(&counted, sum, sizeof counted, cudaMemcpyDeviceToHost));
    MUST(cudaFree(sum));
    bool right = counted == (unsigned long long)N * (N - 1) / 2 && pinned[15] == 16;
    for (int i = 0; i < 15; i++)
        right = right && pinned[i] == 32;
    return right ? 0 : 1;
}

/* Results of math_kernel on the host; expf and logf may differ in the last bits. */
static bool agrees(int i, double v, const double *got) {
    float f = (float)v;
    uint32_t u = (uint32_t)i * 2654435761u;
    const double want[8] = {expf(f),
                            logf(fabsf(f) + 1e-3f),
                            sqrtf(fabsf(f)) / (f * f + 1.0f),
                            nearbyint(v * 1048576.0),
                            (double)((uint64_t)u * 0xD2511F53u >> 32),
                            (double)(((u >> 7) ^ (u << 3)) | (u & 0x55u)),
                            i % 7 - i / 3,
                            fmaxf(f, 0.25f) - fminf(f, -0.25f)};
    for (int k = 0; k < 8; k++) {
        double near = k < 2 ? 4e-7 * fabs(want[k]) + 1e-7 : 0;
        if (!(fabs(got[k] - want[k]) <= near) && k != 2)
            return printf("function %d of %g: %.9g, not %.9g\n", k, v, got[k], want[k]), false;
        if (k == 2 && fabs(got[k] - want[k]) > 1e-6)
            return printf("function 2 of %g: %.9g, not %.9g\n", v, got[k], want[k]), false;
    }
    return true;
}

static int math(void) {
    static double in[N], out[8 * N];
    double *dx, *dy;
    for (int i = 0; i < N; i++)
        in[i] = (i - N / 2) * 0.0371;
    MUST(cudaMalloc((void **)&dx, sizeof in));
    MUST(cudaMalloc((void **)&dy, sizeof out));
    MUST(cudaMemcpy(dx, in, sizeof in, cudaMemcpyHostToDevice));
    probe_math(dy, dx, N, NULL);
    MUST(cudaMemcpy(out, dy, sizeof out, cudaMemcpyDeviceToHost));
    MUST(cudaFree(dx));
    MUST(cudaFree(dy));
    for (int i = 0; i < N; i++)
        if (!agrees(i, in[i], out + 8 * i))
            return 1;
    return 0;
}

static int narrow(void) {
    static uint16_t got[N / 2];
    MUST(cudaMemsetAsync(x, 7, N, one));
    probe_narrow((uint16_t *)y, (const uint8_t *)x, N / 2, one);
    MUST(cudaMemcpyAsync(got, y, sizeof got, cudaMemcpyDeviceToHost, one));
    MUST(cudaStreamSynchronize(one));
    for (int i = 0; i < N / 2; i++)
        if (got[i] != 21 + i)
            return 1;
    return 0;
}

static int poll_event(void) {
    probe_fill(x, N, 1, one);
    MUST(cudaEventRecord(event, one));
    cudaError_t error;
    while ((error = cudaEventQuery(event)) == cudaErrorNotReady)
        ;
    MUST(error);
    probe_add(x, x, N, two); /* the host has seen the event: in order */
    MUST(cudaStreamSynchronize(two));
    return 0;
}

/* ---- programs that are wrong ---- */
static int missing_wait(void) {
    return exchange(false, true);
}
static int missing_wait_back(void) {
    return exchange(true, false);
}
static int pinned_reused(void) {
    float *slow;
    MUST(cudaMallocHost((void **)&slow, N * sizeof *slow));
    MUST(cudaMemsetAsync(x, 0, N * sizeof *x, one));
    MUST(cudaMemcpyAsync(slow, x, N * sizeof *x, cudaMemcpyDeviceToHost, one));
    MUST(cudaMemcpyAsync(y, slow, N * sizeof *x, cudaMemcpyHostToDevice, two)); /* not after it */
    MUST(cudaDeviceSynchronize());
    MUST(cudaFreeHost(slow));
    return 0;
}
static int collide(void) {
    probe_collide(x, one);
    MUST(cudaStreamSynchronize(one));
    return 0;
}
static int no_barrier(void) {
    probe_fill(x, N, 1, one);
    probe_sum(y, x, 2, false, one);
    return cudaStreamSynchronize(one) ? 1 : 0;
}
static int diverge(void) {
    probe_diverge(y, one);
    return cudaStreamSynchronize(one) ? 1 : 0;
}
static int out_of_bounds(void) {
    probe_fill(x, N + 1, 1, one);
    return cudaStreamSynchronize(one) ? 1 : 0;
}
static int uninitialised(void) {
    probe_add(x, y, N, one);
    MUST(cudaStreamSynchronize(one));
    return 0;
}
static int use_after_free(void) {
    float *z;
    MUST(cudaMalloc((void **)&z, 4096));
    MUST(cudaFree(z));
    probe_fill(z, 8, 1, one);
    cudaError_t first = cudaStreamSynchronize(one), second = cudaMemset(x, 0, 4);
    printf("%s, then %s\n", cudaGetErrorName(first), cudaGetErrorName(second));
    return 1;
}
static int double_free(void) {
    float *z;
    MUST(cudaMalloc((void **)&z, 4096));
    MUST(cudaFree(z));
    return cudaFree(z) ? 1 : 0;
}
static int leak(void) {
    float *z;
    MUST(cudaMalloc((void **)&z, 4096));
    return 0;
}
static int host_access(void) {
    return *(volatile float *)x == 0;
}
static int wrong_kind(void) {
    return cudaMemcpy(pinned, x, 16, cudaMemcpyHostToDevice) ? 1 : 0;
}
static int wait_in_capture(void) {
    cudaGraph_t g;
    MUST(cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal));
    cudaError_t error = cudaDeviceSynchronize();
    cudaStreamEndCapture(one, &g);
    cudaGraphDestroy(g);
    return error ? 1 : 0;
}
static int not_waited(void) {
    probe_fill(x, N, 1, one);
    probe_fill(x, N, 2, two);
    MUST(cudaStreamSynchronize(one));
    MUST(cudaStreamSynchronize(two));
    return 0;
}
static int pageable_of(bool wait) {
    float *source = calloc(N, sizeof *source);
    MUST(cudaMemcpyAsync(x, source, N * sizeof *x, cudaMemcpyHostToDevice, one));
    if (wait)
        MUST(cudaStreamSynchronize(one));
    free(source);
    MUST(cudaStreamSynchronize(one));
    return 0;
}
static int pageable(void) {
    return pageable_of(true);
}
static int pageable_freed(void) {
    return pageable_of(false);
}
static int destroyed_stream(void) {
    cudaStream_t gone;
    MUST(cudaStreamCreate(&gone));
    MUST(cudaStreamDestroy(gone));
    return cudaStreamSynchronize(gone) ? 1 : 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(void);
    } cases[] = {{"streams", streams},
                 {"graph", graph},
                 {"kernels", kernels},
                 {"math", math},
                 {"narrow", narrow},
                 {"poll_event", poll_event},
                 {"graph_unjoined", graph_unjoined},
                 {"priorities", priorities},
                 {"priorities_lost", priorities_lost},
                 {"missing_wait", missing_wait},
                 {"missing_wait_back", missing_wait_back},
                 {"pinned_reused", pinned_reused},
                 {"collide", collide},
                 {"no_barrier", no_barrier},
                 {"diverge", diverge},
                 {"out_of_bounds", out_of_bounds},
                 {"uninitialised", uninitialised},
                 {"use_after_free", use_after_free},
                 {"double_free", double_free},
                 {"leak", leak},
                 {"host_access", host_access},
                 {"wrong_kind", wrong_kind},
                 {"wait_in_capture", wait_in_capture},
                 {"not_waited", not_waited},
                 {"pageable", pageable},
                 {"pageable_freed", pageable_freed},
                 {"destroyed_stream", destroyed_stream}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc == 2 && !strcmp(cases[i].name, argv[1]))
            return close_all(open_all() ? 1 : cases[i].run());
    fprintf(stderr, "usage: probe CASE\n");
    return 2;
}
