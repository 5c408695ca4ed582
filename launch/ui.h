/* launch/ui.h - what rank 0 shows on stdout while it trains: banner, progress, one line an epoch;
 * or JSON lines.
 *
 * --progress bar redraws one line in place (only on a terminal unless asked for), lines prints a
 * line every few seconds and one an epoch, none prints neither; --quiet prints nothing but
 * warnings; --json prints one object a line with the same numbers instead of all of it. All numbers
 * are global (summed over the ranks). NO_COLOR is respected. */
#ifndef DT_LAUNCH_UI_H
#define DT_LAUNCH_UI_H

#include "launch/options.h"
#include "model/net.h"

typedef struct dt_ui dt_ui;

typedef struct { /* a rank's place, for the banner and `devices` */
    char host[64];
    char device[192];         /* "AMD EPYC 9B14: AVX2, AVX-512"; "NVIDIA H100 80GB HBM3, 9.0" */
    int threads;              /* 1 on a GPU */
    char pci[32], uuid[48];   /* of a GPU: which one of the host; else "" */
    int64_t gpu_memory_bytes; /* of it, held by this run */
    int local_rank;
    int job_cores, cores_open; /* of the host: that its ranks may use; that they could */
} dt_place;

typedef struct {
    const dt_options *options;
    const dt_net *net;
    const dt_place *places; /* [n_ranks] */
    int n_ranks, n_hosts;
    int batch, micro, max_micros, total_workers;
    int64_t n_train, n_validation, n_test, steps_per_epoch;
    const char *fingerprint, *comm_library, *out_dir;
    const char *sums;     /* between GPUs: "NCCL"; "" on CPUs and for one rank */
    const char *no_gpu;   /* why --device auto found none; "": it did, or was not asked */
    int64_t resumed_step; /* -1: a new run */
} dt_banner;

typedef struct {
    int64_t epoch, epochs; /* epoch that is running, from 1; all */
    int64_t step, steps;   /* done in this epoch; in all of it */
    double loss, accuracy; /* of the epoch so far; percent */
    double learning_rate, gradient_norm;
    double images_per_second; /* of the last second or so */
    double eta_seconds;       /* to the end of the run */
} dt_step_line;

typedef struct {
    int64_t epoch, epochs;                       /* epoch 0: before any training */
    double train_loss, train_accuracy;           /* NaN for epoch 0 */
    double validation_loss, validation_accuracy; /* NaN without --validation */
    double test_loss, test_accuracy;
    double learning_rate, seconds, images_per_second;
    double compute_seconds, reduce_seconds, wait_seconds; /* mean over the ranks */
    int slowest_rank;                                     /* that held up the others; -1: none */
    const char *slowest_host;                             /* its host, or NULL */
    double slowest_seconds;                               /* what that cost */
    bool is_best;
} dt_epoch_line;

typedef struct {
    dt_status status;   /* DT_OK, DT_ESTOPPED, ... */
    const char *reason; /* for DT_ESTOPPED: "SIGUSR1", "time limit"; else what failed, or "" */
    double test_accuracy, best_value, seconds;
    const char *best_kind; /* "test" or "validation" */
    int64_t best_epoch;    /* -1: none yet */
    const char *out_dir, *params_sha256;
} dt_summary;

/* NULL on other ranks than 0 and out of memory; every function accepts NULL and does nothing. */
dt_ui *dt_ui_open(const dt_options *options);
void dt_ui_banner(dt_ui *ui, const dt_banner *banner);
void dt_ui_step(
    dt_ui *ui, const dt_step_line *line); /* call every step: it draws at most ten times a second */
void dt_ui_epoch(dt_ui *ui, const dt_epoch_line *line);
void dt_ui_finish(dt_ui *ui, const dt_summary *summary);
void dt_ui_close(dt_ui **ui);

#endif
