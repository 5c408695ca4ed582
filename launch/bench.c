/* launch/bench.c - `dtrain bench`: what this machine can do, and whether it adds up right.
 *
 * Peaks are measured on all ranks at once, with one thread each and then with all threads, and
 * summed; all-reduces as launch/reduce_speed.h says. */
#include "launch/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dist/topology.h"
#include "io/progress.h"
#include "launch/bench_gpu.h"
#include "launch/peak.h"
#include "launch/reduce_speed.h"
#include "launch/term.h"

enum { MIN_BYTES = 8, MAX_BYTES = 64 << 20, N_SIZES = 24 };
enum { PLAIN = DT_TF32 + 1, N_SPEEDS };
static const double seconds_a_size = 0.1;
static const char *const speed_names[N_SPEEDS] = {"f32", "bf16", "tf32", "f32, no graph"};

typedef struct {
    const char *instructions; /* NULL: the CPU has none */
    dt_peak one, all;         /* summed over the ranks */
} peak_row;

typedef struct {
    size_t nbytes;
    dt_reduce_speed i64, f32;
} reduce_row;

typedef struct {
    int ranks, threads; /* threads of all ranks */
    peak_row peaks[3];  /* by dt_peak_kind */
    reduce_row reduce[N_SIZES];
    int n_reduce; /* 0 for one rank */
    bool has_gpu;
    const char *gpu_sums;
    double gpu_peak[N_SPEEDS];  /* GFLOP/s; 0: not told */
    dt_gpu_speed gpu[N_SPEEDS]; /* by dt_precision; the last: float32 without graphs */
} bench;

/* --- peaks --- */

/* Sums over the ranks; they are whole megas then, which is finer than they can be measured. */
static dt_status sum_peak(dt_comm *comm, dt_peak *peak) {
    int64_t v[2] = {(int64_t)(1e3 * peak->best), (int64_t)(1e3 * peak->median)};
    DT_TRY(dt_comm_sum_i64(comm, v, 2));
    peak->best = 1e-3 * (double)v[0];
    peak->median = 1e-3 * (double)v[1];
    return DT_OK;
}

static dt_status measure_peak(dt_comm *comm, dt_peak_kind kind, int threads, dt_peak *out) {
    DT_TRY(dt_comm_barrier(comm));
    dt_status status = dt_peak_measure(kind, threads, out);
    DT_TRY(dt_comm_agree(comm, status));
    return sum_peak(comm, out);
}

static dt_status measure_peaks(dt_comm *comm, int threads, bench *b) {
    for (int kind = DT_PEAK_F32; kind <= DT_PEAK_MEMORY; kind++) {
        peak_row *row = &b->peaks[kind];
        DT_TRY(measure_peak(comm, (dt_peak_kind)kind, 1, &row->one));
        DT_TRY(measure_peak(comm, (dt_peak_kind)kind, threads, &row->all));
        row->instructions = row->one.instructions;
    }
    return DT_OK;
}

/* --- all-reduce --- */

static dt_status measure_reduce(dt_comm *comm, bench *b) {
    if (dt_comm_size(comm) == 1)
        return DT_OK;
    void *buffer = malloc(MAX_BYTES);
    dt_status status =
        buffer ? DT_OK : dt_fail(DT_EDEVICE, "no memory for a message of %d bytes", MAX_BYTES);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    for (int i = 0; i < N_SIZES; i++) {
        reduce_row *row = &b->reduce[i];
        row->nbytes = (size_t)MIN_BYTES << i;
        DT_TRY_GOTO(status,
                    dt_reduce_measure(comm, buffer, row->nbytes, false, seconds_a_size, &row->i64),
                    done);
        DT_TRY_GOTO(status,
                    dt_reduce_measure(comm, buffer, row->nbytes, true, seconds_a_size, &row->f32),
                    done);
        b->n_reduce = i + 1;
    }
done:
    free(buffer);
    return status;
}

/* --- GPUs --- */

static dt_status measure_gpus(dt_gpus *gpus, const dt_options *options, bench *b) {
    if (!gpus->plugin)
        return DT_OK;
    b->has_gpu = true;
    b->gpu_peak[DT_F32] = b->gpu_peak[PLAIN] = dt_gpu_peak(gpus);
    DT_TRY(dt_gpus_connect(gpus, options, MAX_BYTES));
    b->gpu_sums = dt_gpus_transport(gpus);
    for (int p = DT_F32; p <= DT_TF32; p++) {
        DT_TRY(dt_gpu_measure(gpus, (dt_precision)p, !options->no_graph, (int)options->micro_batch,
                              &b->gpu[p]));
        if (p != DT_F32 && !b->gpu[p].refused[0])
            DT_TRY(dt_gpu_product_peak(gpus, (dt_precision)p, &b->gpu_peak[p]));
    }
    return dt_gpu_measure(gpus, DT_F32, false, (int)options->micro_batch, &b->gpu[PLAIN]);
}

/* --- output --- */

static void json_result(dt_json *j, const char *key, const dt_reduce_speed *r) {
    dt_json_open(j, key, '{');
    dt_json_num(j, "microseconds", r->microseconds);
    dt_json_num(j, "algbw_gb_per_second", r->algbw);
    dt_json_num(j, "busbw_gb_per_second", r->busbw);
    dt_json_int(j, "wrong", r->wrong);
    dt_json_close(j, '}');
}

static void json_peak(dt_json *j, const char *key, const peak_row *row, const char *unit) {
    char name[64];
    dt_json_open(j, key, '{');
    dt_json_str(j, "instructions", row->instructions);
    snprintf(name, sizeof name, "one_thread_%s", unit);
    dt_json_num(j, name, row->one.best);
    snprintf(name, sizeof name, "one_thread_median_%s", unit);
    dt_json_num(j, name, row->one.median);
    snprintf(name, sizeof name, "all_threads_%s", unit);
    dt_json_num(j, name, row->all.best);
    snprintf(name, sizeof name, "all_threads_median_%s", unit);
    dt_json_num(j, name, row->all.median);
    dt_json_close(j, '}');
}

static void json_gpu(dt_json *j, const bench *b) {
    dt_json_open(j, "gpu", '{');
    dt_json_num(j, "peak_f32_gflops", b->gpu_peak[DT_F32]);
    dt_json_num(j, "product_bf16_gflops", b->gpu_peak[DT_BF16]);
    dt_json_num(j, "product_tf32_gflops", b->gpu_peak[DT_TF32]);
    dt_json_str(j, "sums", b->gpu_sums);
    for (int i = 0; i < N_SPEEDS; i++) {
        const dt_gpu_speed *s = &b->gpu[i];
        dt_json_open(j, speed_names[i], '{');
        if (s->refused[0]) {
            dt_json_str(j, "refused", s->refused);
        } else {
            dt_json_int(j, "micro_batch", s->micro_batch);
            dt_json_num(j, "images_per_second", s->images_per_second);
            dt_json_num(j, "gflops", s->gflops);
            dt_json_int(j, "gpu_memory_bytes", (int64_t)s->usage.device_bytes);
            dt_json_int(j, "calls_a_micro_batch", s->usage.calls[0]);
            dt_json_int(j, "calls_of_the_last", s->usage.calls[1]);
            dt_json_int(j, "graph_nodes_a_micro_batch", s->usage.nodes[0]);
            dt_json_int(j, "graph_nodes_of_the_last", s->usage.nodes[1]);
            dt_json_int(j, "graphs_a_step", s->usage.graphs);
        }
        dt_json_close(j, '}');
    }
    dt_json_close(j, '}');
}

static dt_status print_json(const bench *b, const char *library) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_int(&j, "ranks", b->ranks);
    dt_json_int(&j, "threads", b->threads);
    dt_json_str(&j, "comm", library);
    json_peak(&j, "f32", &b->peaks[DT_PEAK_F32], "gflops");
    json_peak(&j, "bf16", &b->peaks[DT_PEAK_BF16], "gflops");
    json_peak(&j, "memory", &b->peaks[DT_PEAK_MEMORY], "gb_per_second");
    dt_json_open(&j, "all_reduce", '[');
    for (int i = 0; i < b->n_reduce; i++) {
        dt_json_open(&j, NULL, '{');
        dt_json_int(&j, "bytes", (int64_t)b->reduce[i].nbytes);
        json_result(&j, "int64", &b->reduce[i].i64);
        json_result(&j, "float32", &b->reduce[i].f32);
        dt_json_close(&j, '}');
    }
    dt_json_close(&j, ']');
    if (b->has_gpu)
        json_gpu(&j, b);
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static void print_peak(const char *name, const peak_row *row) {
    if (row->instructions)
        printf("  %-10s%10.1f%10.1f%12.1f%10.1f    %s\n", name, row->one.best, row->one.median,
               row->all.best, row->all.median, row->instructions);
    else
        printf("  %-10s%10s%10s%12s%10s    this CPU has no instructions for it\n", name, "-", "-",
               "-", "-");
}

static void print_reduce(const bench *b) {
    char size[DT_NUMBER_MAX];
    printf("                    ------------- int64 --------------    ------------ float32 "
           "-------------\n");
    printf("  %10s%10s%9s%9s%8s  %10s%9s%9s%8s\n", "bytes", "us", "algbw", "busbw", "wrong", "us",
           "algbw", "busbw", "wrong");
    for (int i = 0; i < b->n_reduce; i++) {
        const dt_reduce_speed *x = &b->reduce[i].i64, *y = &b->reduce[i].f32;
        printf("  %10s%10.1f%9.2f%9.2f%8lld  %10.1f%9.2f%9.2f%8lld\n",
               dt_text_thousands((int64_t)b->reduce[i].nbytes, size), x->microseconds, x->algbw,
               x->busbw, (long long)x->wrong, y->microseconds, y->algbw, y->busbw,
               (long long)y->wrong);
    }
}

static void print_gpu(const bench *b, const dt_term *term) {
    printf("\n%sGPU%s: steps of the network cnn, two micro-batches of %d a rank%s%s\n", term->bold,
           term->plain, b->gpu[DT_F32].micro_batch, b->gpu_sums[0] ? "; sums by " : "",
           b->gpu_sums);
    printf("  %-14s%12s%12s%10s\n", "", "images/s", "GFLOP/s", "of peak");
    for (int i = 0; i < N_SPEEDS; i++) {
        const dt_gpu_speed *s = &b->gpu[i];
        char share[16] = "-";
        if (b->gpu_peak[i] > 0)
            snprintf(share, sizeof share, "%.1f %%", 100 * s->gflops / b->gpu_peak[i]);
        if (s->refused[0])
            printf("  %-14s%s\n", speed_names[i], s->refused);
        else
            printf("  %-14s%12.0f%12.1f%10s\n", speed_names[i], s->images_per_second, s->gflops,
                   share);
    }
    printf("  peak: of f32 cores x clock x 2, of bf16 and tf32 a large product by cuBLAS\n");
    const dt_device_usage *u = &b->gpu[DT_F32].usage;
    printf(
        "  launches a step: %lld graphs, of %lld nodes for a micro-batch and %lld for the last one "
        "with sum and update;\n"
        "                   with --no-graph %lld and %lld kernels and calls of cuDNN and cuBLAS\n",
        (long long)u->graphs, (long long)u->nodes[0], (long long)u->nodes[1],
        (long long)u->calls[0], (long long)u->calls[1]);
}

static dt_status print_text(const bench *b, const char *library) {
    dt_term term = dt_term_of(STDOUT_FILENO);
    printf("%sArithmetic%s, GFLOP/s%s: a multiply-add counts 2\n", term.bold, term.plain,
           b->ranks > 1 ? ", all ranks together" : "");
    printf("  %-10s%20s%22s\n", "", b->ranks > 1 ? "one thread a rank" : "one thread",
           "all threads");
    printf("  %-10s%10s%10s%12s%10s\n", "", "best", "median", "best", "median");
    print_peak("f32", &b->peaks[DT_PEAK_F32]);
    print_peak("bf16", &b->peaks[DT_PEAK_BF16]);
    printf("\n%sMemory%s, GB/s: 24 bytes an element of a triad\n", term.bold, term.plain);
    print_peak("triad", &b->peaks[DT_PEAK_MEMORY]);
    printf("\n%sAll-reduce%s", term.bold, term.plain);
    if (b->n_reduce == 0)
        printf(": not measured, one rank has nobody to add to; mpirun -np 2 dtrain bench\n");
    else
        printf(", %d ranks, %s, in place; GB/s, busbw = algbw x 2 (n - 1) / n\n", b->ranks,
               library);
    if (b->n_reduce)
        print_reduce(b);
    if (b->has_gpu)
        print_gpu(b, &term);
    return dt_stdout_flush();
}

static dt_status count_threads(const dt_options *options, dt_comm *comm, int *threads) {
    dt_topology topology;
    dt_core_share share;
    DT_TRY(dt_comm_agree(comm, dt_topology_read(&topology)));
    DT_TRY(dt_topology_share(&topology, comm, &share));
    *threads = options->threads > 0 ? (int)options->threads : share.threads;
    return DT_OK;
}

static dt_status check_sums(const bench *b) {
    int64_t wrong = 0;
    for (int i = 0; i < b->n_reduce; i++)
        wrong += b->reduce[i].i64.wrong + b->reduce[i].f32.wrong;
    if (wrong > 0)
        return dt_fail(DT_EPEER,
                       "all-reduce gave %lld wrong sums between %d ranks: see the column 'wrong'",
                       (long long)wrong, b->ranks);
    return DT_OK;
}

dt_status dt_bench(const dt_options *options, dt_gpus *gpus, dt_comm *comm) {
    static bench b; /* too large for a stack */
    bool first = dt_comm_rank(comm) == 0;
    int threads;
    DT_TRY(count_threads(options, comm, &threads));
    int64_t all_threads = threads;
    DT_TRY(dt_comm_sum_i64(comm, &all_threads, 1));
    b = (bench){.ranks = dt_comm_size(comm), .threads = (int)all_threads};
    if (first && !options->json)
        printf("dtrain bench: %d rank%s, %d thread%s in all; takes some seconds\n\n", b.ranks,
               b.ranks == 1 ? "" : "s", b.threads, b.threads == 1 ? "" : "s");
    fflush(stdout);
    dt_phase before = dt_progress_phase(DT_PHASE_MEASURING);
    DT_TRY(measure_peaks(comm, threads, &b));
    DT_TRY(measure_reduce(comm, &b));
    dt_progress_phase(before); /* plugin, plans and graphs of a GPU may take long */
    DT_TRY(measure_gpus(gpus, options, &b));
    dt_status status = DT_OK;
    if (first) {
        dt_progress_output(true);
        status = (options->json ? print_json : print_text)(&b, dt_comm_library(comm));
        dt_progress_output(false);
    }
    DT_TRY(dt_comm_agree(comm, status));
    return check_sums(&b);
}
