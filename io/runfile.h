/* io/runfile.h - run.h5: what happened, epoch by epoch, for h5py and the report; and log.jsonl
 * beside it.
 *
 * The whole file is written anew once an epoch, atomically and with a digest like a checkpoint: a
 * reader never meets half a file. In memory it is a set of tables that grow. */
#ifndef DT_IO_RUNFILE_H
#define DT_IO_RUNFILE_H

#include <stddef.h>
#include <stdint.h>
#include "io/file.h"
#include "io/mistakes.h"

enum { DT_RUN_VERSION = 1, DT_TABLE_COLUMNS = 24, DT_RUN_ATTRIBUTES = 48, DT_RANKS_FULL = 256 };

typedef struct {
    const char *name;
    const char *units, *about; /* HDF5 attributes "units" and "description"; static strings */
    double *v;                 /* [capacity][width] */
} dt_column;

typedef struct {
    const char *name;  /* group: "epochs", "steps", "ranks" */
    const char *scale; /* name of the row's dimension scale: "epoch", "step" */
    int n_columns;
    dt_column column[DT_TABLE_COLUMNS];
    size_t width; /* values a row and column: 1, or the ranks: data sets are then [row][rank] */
    int64_t *key; /* [capacity]: the scale's values, e.g. epoch numbers */
    size_t n, capacity; /* rows */
} dt_table;

/* Columns of epochs, in the order of values[]. Accuracies are in percent, validation is NaN without
 * a validation set; row 0, with --init, is the network
 * before training. */
enum {
    DT_EPOCH_TRAIN_LOSS,
    DT_EPOCH_TRAIN_ACCURACY,
    DT_EPOCH_VALIDATION_LOSS,
    DT_EPOCH_VALIDATION_ACCURACY,
    DT_EPOCH_TEST_LOSS,
    DT_EPOCH_TEST_ACCURACY,
    DT_EPOCH_LEARNING_RATE,
    DT_EPOCH_SECONDS,
    DT_EPOCH_IMAGES_PER_SECOND,
    DT_EPOCH_SLOWEST_RANK,
    DT_EPOCH_SLOWEST_SECONDS,
    DT_EPOCH_COLUMNS
};
/* Columns of steps and of ranks. */
enum { DT_STEP_LOSS, DT_STEP_LEARNING_RATE, DT_STEP_GRADIENT_NORM, DT_STEP_COLUMNS };
enum {
    DT_RANK_COMPUTE_SECONDS,
    DT_RANK_REDUCE_SECONDS,
    DT_RANK_WAIT_SECONDS,
    DT_RANK_INPUT_SECONDS,
    DT_RANK_CHECKPOINT_SECONDS,
    DT_RANK_IMAGES,
    DT_RANK_COLUMNS
};

/* Append a row with this key and values[n_columns][width]. */
DT_NODISCARD dt_status dt_table_add(dt_table *table, int64_t key, const double *values);
/* Drop rows whose key is > last. */
void dt_table_cut(dt_table *table, int64_t last);
void dt_table_free(dt_table *table);

typedef enum { DT_RUN_TEXT, DT_RUN_INT, DT_RUN_NUMBER } dt_run_kind;

typedef struct {
    char *name;
    dt_run_kind kind;
    size_t n; /* a scalar if 1 */
    union {
        char **texts;
        int64_t *ints;
        double *numbers;
    } value; /* [n] */
} dt_attribute;

typedef struct {
    dt_table epochs, steps, ranks;
    int n_ranks;
    int classes;
    int64_t *confusion;   /* [n_confusion][classes][classes]: true, predicted */
    size_t n_confusion;   /* epochs.n when the epoch's row and matrix are both there */
    dt_mistakes mistakes; /* of the last row of epochs; empty if there is none, or no test image was
                             mistaken */
    dt_attribute attribute[DT_RUN_ATTRIBUTES]; /* of the root */
    int n_attributes;
    char created[32],
        version[64]; /* of a file that was read: when it was written, by which dtrain */
} dt_run;

/* Tables with no rows and their columns set up. n_ranks > DT_RANKS_FULL: the ranks table has width
 * 4: minimum, median, maximum and the number of the rank that has the maximum. */
DT_NODISCARD dt_status dt_run_create(int n_ranks, int classes, dt_run **out);
void dt_run_free(dt_run **run);
/* Set (or replace) a root attribute of n values, at least one. format, format_version,
 * dtrain_version and created are the file's own. */
DT_NODISCARD dt_status dt_run_set_texts(dt_run *run, const char *name, size_t n,
                                        const char *const *texts);
DT_NODISCARD dt_status dt_run_set_ints(dt_run *run, const char *name, size_t n,
                                       const int64_t *values);
/* The same with one value. */
DT_NODISCARD dt_status dt_run_set_text(dt_run *run, const char *name, const char *text);
DT_NODISCARD dt_status dt_run_set_int(dt_run *run, const char *name, int64_t value);
DT_NODISCARD dt_status dt_run_set_number(dt_run *run, const char *name, double value);
/* Append an epoch's row of ranks from values[DT_RANK_COLUMNS][n_ranks], summed up where there are
 * too many ranks. */
DT_NODISCARD dt_status dt_run_add_ranks(dt_run *run, int64_t epoch, const double *values);
/* Append an epoch's confusion matrix [classes][classes]; call once for each row of epochs. */
DT_NODISCARD dt_status dt_run_add_confusion(dt_run *run, const int64_t *confusion);

/* Write path atomically. DT_EIO: the message has the path and the system's reason; path is as it
 * was. */
DT_NODISCARD dt_status dt_run_write(const char *path, dt_run *run);
/* Rows of an earlier run.h5 into *run (just created): epochs and confusion up to last_epoch, steps
 * up to last_step; ranks only if their number is the same. DT_EIO if it cannot be read, and *run is
 * as it was: the caller warns and starts new tables. */
DT_NODISCARD dt_status dt_run_restore(const char *path, int64_t last_epoch, int64_t last_step,
                                      dt_run *run);

/* All of a run.h5, for reading only. Attributes that it lacks are not set. DT_EIO: missing,
 * damaged, not a run's, newer. */
DT_NODISCARD dt_status dt_run_read(const char *path, dt_run **out);
/* An attribute of one value, "" or NaN if there is none of this kind. */
const char *dt_run_text(const dt_run *run, const char *name);
double dt_run_number(const dt_run *run, const char *name);

/* Append one line of JSON to path with a single write(2); on a new line, whatever a crash or a full
 * disk has left of the one before. Nothing of a line that fails stays. */
DT_NODISCARD dt_status dt_log_append(const char *path, const char *json_line);

#endif
