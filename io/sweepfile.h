/* io/sweepfile.h - sweep.h5: the cells of a sweep, one row each, and their learning curves.
 *
 * A cell is one training on some ranks. Accuracy cells train to their end and say what more data
 * buys; time cells run some steps alone on the machine and say what more ranks buy. The file is
 * written whole, atomically and with a digest like a checkpoint, once a cell; the version before is
 * kept beside it, so that a file that is damaged later costs the last cell and not all of them. */
#ifndef DT_IO_SWEEPFILE_H
#define DT_IO_SWEEPFILE_H

#include <stddef.h>
#include <stdint.h>
#include "io/file.h"

enum { DT_SWEEP_VERSION = 1, DT_CELL_REASON_MAX = 256, DT_CELL_HOST_MAX = 64 };

typedef enum { DT_CELL_ACCURACY, DT_CELL_TIME } dt_cell_kind;
/* What a time cell is for: bits of dt_cell.scaling. The cell of one rank is strong and weak. */
enum {
    DT_SCALING_STRONG = 1, /* the batch is --batch for every number of ranks */
    DT_SCALING_WEAK = 2,   /* the batch grows with the ranks */
    DT_SCALING_MODEL = 4   /* another batch, for the model of scaling */
};
/* What an accuracy cell's length is: so many epochs, or as many updates as the largest set gets. */
typedef enum { DT_BUDGET_EPOCHS, DT_BUDGET_STEPS } dt_cell_budget;

/* Points of a learning curve, evenly over the cell: with a budget of epochs, point i is the end of
 * epoch i. Point 0, before the first update, is evaluated with --init only. */
enum {
    DT_CURVE_STEP,           /* updates done */
    DT_CURVE_EPOCH,          /* passes over the cell's samples, not always whole */
    DT_CURVE_TRAIN_LOSS,     /* since the point before; nat */
    DT_CURVE_TRAIN_ACCURACY, /* the same; percent */
    DT_CURVE_TEST_LOSS,
    DT_CURVE_TEST_ACCURACY, /* percent */
    DT_CURVE_SECONDS,       /* of training so far, evaluations not counted */
    DT_CURVE_COLUMNS
};

typedef struct {
    /* --- what it is; together these are the cell's name: see dt_cell_same() --- */
    int64_t kind;           /* dt_cell_kind */
    int64_t scaling;        /* time cells: DT_SCALING_... bits; else 0 */
    int64_t budget;         /* accuracy cells: dt_cell_budget; else 0 */
    int64_t samples, batch; /* batch is global */
    int64_t epochs;         /* accuracy cells: --epochs; time cells: 1 for all updates of an epoch,
                               0 for some on full batches */
    int64_t seed;
    int64_t repeat; /* time cells: 0 .. --repeats-1 */
    /* --- where it ran --- */
    int64_t ranks, threads; /* threads a rank; an accuracy cell's are whatever was free */
    int64_t alone;          /* 1: nothing else ran; 0: beside others, its times mean nothing */
    /* --- what came out: NaN or 0 where it is not known --- */
    int64_t status;               /* 0 done, else the exit code of its failure: see reason */
    int64_t steps;                /* updates; of time cells those that were timed */
    int64_t warmup_steps;         /* time cells: updates before those */
    double seconds;               /* of training: evaluations and start-up not counted */
    double evaluation_seconds;    /* of all its evaluations; a time cell does one, at its end */
    double startup_seconds;       /* until the first step: devices opened, parameters made */
    double images_per_second;     /* in those seconds */
    double step_seconds;          /* median of a step */
    double step_low, step_high;   /* 95 % confidence interval of that median */
    double input_seconds;         /* a step, the mean over the ranks; these five add up to a step */
    double compute_seconds;       /* forward and backward passes */
    double reduce_seconds;        /* all-reduce, as far as it is exposed */
    double wait_seconds;          /* for the slowest rank */
    double update_seconds;        /* the optimizer */
    double compute_max_seconds;   /* a step: compute_seconds of the slowest rank */
    int64_t slowest_rank;         /* whose that is, as mpirun numbers; -1: unknown */
    double latency_seconds;       /* time cells of several ranks: all-reduce of 8 bytes, */
    double all_reduce_seconds;    /* of the gradient, alone, */
    int64_t all_reduce_bytes;     /* which has so many bytes; 0 for one rank */
    double train_loss, test_loss; /* accuracy cells: at the end */
    double train_accuracy, test_accuracy; /* percent */
    int64_t test_correct;                 /* of the file's test_samples; -1: not evaluated */
    char params_sha256[DT_SHA256_HEX];
    char reason[DT_CELL_REASON_MAX];     /* of a failure: a sentence; "" */
    char slowest_host[DT_CELL_HOST_MAX]; /* of slowest_rank; "" */
    double *curve; /* [DT_CURVE_COLUMNS][points of the sweep]; NaN where there is none */
} dt_cell;

typedef struct {
    /* Root attributes; texts are malloc'ed or NULL (written as ""). */
    char *config; /* all options, resolved, as JSON */
    char *command_line, *hosts, *devices, *comm_library;
    char *fingerprint;           /* what bits and times depend on */
    char *data;                  /* name of the set */
    char *model;                 /* layers in words */
    char *start_time, *end_time; /* ISO 8601, UTC: of the first process, of the last writing */
    char *build;                 /* of dtrain: version and git commit; NULL: not told */
    char data_sha256[4][DT_SHA256_HEX];
    int64_t ranks, threads; /* of the job; workers a rank */
    int64_t micro_batch;    /* samples that a worker computes at a time */
    int64_t parameters, classes;
    int64_t train_samples, test_samples; /* in the whole set */
    int64_t planned;                     /* cells that the whole sweep has */
    int64_t exit_status;                 /* -1 while it goes on */
    double flop_per_image;               /* of a training step's passes */
    /* /cells and /curves */
    int64_t points; /* of each curve: --epochs + 1 */
    dt_cell *cells; /* [n], in the order in which they ended */
    size_t n, capacity;
} dt_sweep;

/* No cells, and nothing known: numbers are 0, exit_status -1. */
DT_NODISCARD dt_status dt_sweep_create(int64_t points, dt_sweep **out);
void dt_sweep_free(dt_sweep **sweep);
/* Set one of the texts above: dt_sweep_set(sweep, &sweep->model, "fc 10"). */
DT_NODISCARD dt_status dt_sweep_set(char **text, const char *value);

/* A cell of which nothing is known: NaN, 0, -1; curve is NULL. */
dt_cell dt_cell_unknown(void);
/* Same name: the same training. Accuracy cells do not ask for ranks, time cells do. */
bool dt_cell_same(const dt_cell *a, const dt_cell *b);
/* Nothing is left to do for it: it came to its end, or diverged, which it would again. */
bool dt_cell_done(const dt_cell *cell);
/* Append a copy; cell->curve may be NULL. */
DT_NODISCARD dt_status dt_sweep_add(dt_sweep *sweep, const dt_cell *cell);
/* The same; a cell of its name that is there goes. */
DT_NODISCARD dt_status dt_sweep_put(dt_sweep *sweep, const dt_cell *cell);
/* The cell of this name, or NULL. */
const dt_cell *dt_sweep_find(const dt_sweep *sweep, const dt_cell *name);

/* Write path atomically; what was there, whole or not, is kept as path + ".before". DT_EIO. */
DT_NODISCARD dt_status dt_sweep_write(const char *path, const dt_sweep *sweep);
/* Is it a sweep's file, by what it says of itself? DT_EIO: it cannot be read, or is damaged. */
DT_NODISCARD dt_status dt_sweep_is(const char *path, bool *is_sweep);
/* DT_EIO: missing, damaged, not a sweep file, newer. Columns and attributes that an older file
 * lacks are unknown. */
DT_NODISCARD dt_status dt_sweep_read(const char *path, dt_sweep **out);

#endif
