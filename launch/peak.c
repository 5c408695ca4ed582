/* launch/peak.c - kernels that do nothing but multiply and add, timed.
 *
 * A core starts two multiply-adds a cycle, each of which takes four or more: only with many
 * independent sums in registers are both units always busy. The kernels below keep 12 to 16 (AMX: 6
 * tiles), touch no memory, and are compiled each for its instruction set; the best that the CPU has
 * is chosen at run time. Threads start together; the slowest one's time counts. The best run is the
 * machine's peak, the median tells how quiet it is. */
#include "launch/peak.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "io/clock.h"

enum { N_RUNS = 99, N_ROUNDS = 2000, TRIAD_ELEMENTS = 4 << 20 };
static const double run_seconds =
    0.005; /* short, so that a neighbour disturbs some runs and not all */

/* --- kernels: rounds of multiply-adds; the result keeps the compiler from dropping them --- */

typedef float (*kernel)(long rounds);

typedef struct {
    const char *instructions;
    kernel run;
    double flop; /* a round */
} peak_kernel;

/* Four floats a register on any CPU; multiply and add are separate instructions. */
typedef float float4 __attribute__((vector_size(16)));

static float f32_base(long rounds) {
    static float4 half = {0.5f, 0.5f, 0.5f, 0.5f};
    float4 sum[12], a = *(volatile float4 *)&half;
    for (int i = 0; i < 12; i++)
        sum[i] = a;
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sum[i] = sum[i] * a + a;
    for (int i = 1; i < 12; i++)
        sum[0] += sum[i];
    return sum[0][0];
}

#if defined(__x86_64__)
/* Nothing may be known of the operands, or the compiler computes the result itself. */
#define HIDE(x) __asm__ volatile("" : "+v"(x))

__attribute__((target("avx2,fma"))) static float f32_avx2(long rounds) {
    __m256 sum[12], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_setzero_ps();
    __asm__ volatile("" : "+x"(a), "+x"(b));
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
    for (int i = 1; i < 12; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) static float f32_avx512(long rounds) {
    __m512 sum[16], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    for (int i = 0; i < 16; i++)
        sum[i] = _mm512_setzero_ps();
    HIDE(a);
    HIDE(b);
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
    for (int i = 1; i < 16; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float bf16_avx512(long rounds) {
    __m512 sum[16];
    __m512i bits = _mm512_set1_epi16(0x3f00); /* 0.5 */
    HIDE(bits);
    __m512bh a = (__m512bh)bits, b = a;
    for (int i = 0; i < 16; i++)
        sum[i] = _mm512_setzero_ps();
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    for (int i = 1; i < 16; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_cvtss_f32(sum[0]);
}

/* Tiles of 16 rows of 64 bytes: 0..5 are sums, 6 and 7 the factors. */
__attribute__((target("amx-tile,amx-bf16"))) static float bf16_amx(long rounds) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (long r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    _tile_release();
    return 0;
}

/* The CPU has AMX, and Linux lets this process use its large registers. */
static bool may_use_amx(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 24) || !(d & 1u << 22))
        return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static peak_kernel find_kernel(dt_peak_kind kind) {
    bool avx512 = __builtin_cpu_supports("avx512f");
    if (kind == DT_PEAK_BF16) {
        if (may_use_amx())
            return (peak_kernel){"AMX TDPBF16PS", bf16_amx, 6.0 * 16 * 16 * 32 * 2};
        if (avx512 && __builtin_cpu_supports("avx512bf16"))
            return (peak_kernel){"AVX-512 VDPBF16PS", bf16_avx512, 16.0 * 16 * 2 * 2};
        return (peak_kernel){0};
    }
    if (avx512)
        return (peak_kernel){"AVX-512 FMA", f32_avx512, 16.0 * 16 * 2};
    if (has_avx2())
        return (peak_kernel){"AVX2 FMA", f32_avx2, 12.0 * 8 * 2};
    return (peak_kernel){"SSE multiply and add", f32_base, 12.0 * 4 * 2};
}

const char *dt_peak_instruction_sets(char *text, size_t nbytes) {
    bool avx512 = __builtin_cpu_supports("avx512f");
    snprintf(text, nbytes, "%s%s%s%s", has_avx2() ? "AVX2" : "SSE2", avx512 ? ", AVX-512" : "",
             avx512 && __builtin_cpu_supports("avx512bf16") ? ", AVX512-BF16" : "",
             may_use_amx() ? ", AMX-BF16" : "");
    return text;
}
#else
static peak_kernel find_kernel(dt_peak_kind kind) {
    if (kind == DT_PEAK_BF16)
        return (peak_kernel){0};
    return (peak_kernel){"128-bit multiply and add", f32_base, 12.0 * 4 * 2};
}

const char *dt_peak_instruction_sets(char *text, size_t nbytes) {
    snprintf(text, nbytes, "%s", "");
    return text;
}
#endif

/* --- threads --- */

typedef struct { /* a gate that opens when all have come */
    atomic_int n_waiting;
    atomic_bool cancelled;
    int n;
} gate;

typedef struct {
    kernel run; /* NULL: triad */
    long rounds;
    double *a, *b, *c; /* triad: [TRIAD_ELEMENTS] each */
    gate *start;
    double begin, end;
    float result;
} worker;

static void triad(const worker *w) {
    for (long r = 0; r < w->rounds; r++)
        for (size_t i = 0; i < TRIAD_ELEMENTS; i++)
            w->a[i] = w->b[i] + 3.0 * w->c[i];
}

static void *work(void *arg) {
    worker *w = arg;
    atomic_fetch_add(&w->start->n_waiting, 1);
    while (atomic_load(&w->start->n_waiting) < w->start->n)
        if (atomic_load(&w->start->cancelled))
            return NULL;
        else
            sched_yield();
    w->begin = dt_now();
    if (w->run)
        w->result = w->run(w->rounds);
    else
        triad(w);
    w->end = dt_now();
    return NULL;
}

/* Seconds from the first start to the last end of all workers, each with rounds to do. The caller
 * is one of them. */
static dt_status run_all(worker *workers, pthread_t *threads, int n, long rounds, double *seconds) {
    gate start = {.n = n};
    int n_started = 1;
    for (int i = 0; i < n; i++) {
        workers[i].rounds = rounds;
        workers[i].start = &start;
    }
    while (n_started < n &&
           pthread_create(&threads[n_started], NULL, work, &workers[n_started]) == 0)
        n_started++;
    if (n_started < n)
        atomic_store(&start.cancelled, true);
    else
        work(&workers[0]);
    double begin = workers[0].begin, end = workers[0].end;
    for (int i = 1; i < n_started; i++) {
        pthread_join(threads[i], NULL);
        begin = workers[i].begin < begin ? workers[i].begin : begin;
        end = workers[i].end > end ? workers[i].end : end;
    }
    *seconds = end - begin;
    return n_started == n
               ? DT_OK
               : dt_fail(DT_EDEVICE, "only %d of %d threads could be started", n_started, n);
}

static int compare_rates(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* amount: of one thread's round, in units of out. */
static dt_status time_runs(worker *workers, int n, long rounds, double amount, dt_peak *out) {
    double rates[N_RUNS], seconds;
    pthread_t *threads = calloc((size_t)n, sizeof *threads);
    dt_status status = threads ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d threads", n);
    if (status == DT_OK) /* warm up, and see how long it takes */
        status = run_all(workers, threads, n, rounds, &seconds);
    if (status == DT_OK && seconds < run_seconds)
        rounds = (long)((double)rounds * run_seconds / (seconds > 1e-6 ? seconds : 1e-6)) + 1;
    for (int i = 0; i < N_RUNS && status == DT_OK; i++) {
        status = run_all(workers, threads, n, rounds, &seconds);
        rates[i] = 1e-9 * amount * (double)rounds * n / seconds;
    }
    free(threads);
    if (status != DT_OK)
        return status;
    qsort(rates, N_RUNS, sizeof *rates, compare_rates);
    out->best = rates[N_RUNS - 1];
    out->median = rates[N_RUNS / 2];
    return DT_OK;
}

static dt_status measure_memory(worker *workers, int n, dt_peak *out) {
    size_t nbytes = TRIAD_ELEMENTS * sizeof(double);
    for (int i = 0; i < n; i++) {
        double *block = malloc(3 * nbytes);
        if (!block)
            return dt_fail(DT_EDEVICE, "no memory for %d arrays of %zu bytes", 3 * n, nbytes);
        memset(block, 0, 3 * nbytes);
        workers[i].a = block;
        workers[i].b = block + TRIAD_ELEMENTS;
        workers[i].c = block + 2 * TRIAD_ELEMENTS;
    }
    out->instructions = "a = b + s * c";
    return time_runs(workers, n, 1, 3.0 * (double)nbytes, out);
}

dt_status dt_peak_measure(dt_peak_kind kind, int n_threads, dt_peak *out) {
    *out = (dt_peak){0};
    worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!workers)
        return dt_fail(DT_EDEVICE, "no memory for %d threads", n_threads);
    dt_status status = DT_OK;
    peak_kernel best = kind == DT_PEAK_MEMORY ? (peak_kernel){0} : find_kernel(kind);
    for (int i = 0; i < n_threads; i++)
        workers[i].run = best.run;
    out->instructions = best.instructions;
    if (kind == DT_PEAK_MEMORY)
        status = measure_memory(workers, n_threads, out);
    else if (best.run)
        status = time_runs(workers, n_threads, N_ROUNDS, best.flop, out);
    for (int i = 0; i < n_threads; i++)
        free(workers[i].a);
    free(workers);
    return status;
}
