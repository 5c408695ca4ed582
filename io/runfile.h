/* io/runfile.h - run.h5: what happened, epoch by epoch, for h5py and the report; and log.jsonl beside it.
 *
 * The whole file is written anew once an epoch, atomically and with a digest like a checkpoint: a reader never meets
 * half a file. In memory it is a set of tables that grow. */
#ifndef DT_IO_RUNFILE_H
#define DT_IO_RUNFILE_H

#include <stdint.h>
#include "io/file.h"

enum { DT_TABLE_COLUMNS = 24, DT_RUN_ATTRIBUTES = 48, DT_RANKS_FULL = 256 };

typedef struct {
    const char *name, *units, *about; /* HDF5 attributes "units" and "description"; static strings */
    double *v;                        /* [capacity][width] */
} dt_column;

typedef struct {
    const char *name;  /* group: "epochs", "steps", "ranks" */
    const char *scale; /* name of the row's dimension scale: "epoch", "step" */
    int n_columns;
    dt_column column[DT_TABLE_COLUMNS];
    size_t width;      /* values a row and column: 1, or the ranks (then the data sets are 2-D [row, rank]) */
    int64_t *key;      /* [capacity]: the scale's values, e.g. epoch numbers */
    size_t n, capacity; /* rows */
} dt_table;

/* Append a row with this key and values[n_columns][width]. */
DT_NODISCARD dt_status dt_table_add(dt_table *table, int64_t key, const double *values);
/* Drop rows whose key is > last. */
void dt_table_cut(dt_table *table, int64_t last);
void dt_table_free(dt_table *table);

typedef struct {
    char *name;
    char *text;   /* a string attribute; or NULL: */
    double number;
    int is_integer;
} dt_attribute;

typedef struct {
    dt_table epochs, steps, ranks;
    int classes;
    int64_t *confusion; /* [epochs.n][classes][classes] */
    dt_attribute attribute[DT_RUN_ATTRIBUTES]; /* of the root */
    int n_attributes;
} dt_run;

/* Tables with no rows and their columns set up: see README for names and units. n_ranks > DT_RANKS_FULL: the ranks
 * table has width 4: minimum, median, maximum and the number of the slowest rank. */
DT_NODISCARD dt_status dt_run_create(int n_ranks, int classes, dt_run **out);
void dt_run_free(dt_run **run);
/* Set (or replace) a root attribute. */
DT_NODISCARD dt_status dt_run_set_text(dt_run *run, const char *name, const char *text);
DT_NODISCARD dt_status dt_run_set_int(dt_run *run, const char *name, int64_t value);
DT_NODISCARD dt_status dt_run_set_number(dt_run *run, const char *name, double value);
/* Append an epoch's confusion matrix [classes][classes]; call once for each row of epochs. */
DT_NODISCARD dt_status dt_run_add_confusion(dt_run *run, const int64_t *confusion);

DT_NODISCARD dt_status dt_run_write(const char *path, dt_run *run);
/* Rows of an earlier run.h5 into *run (just created): epochs and confusion up to last_epoch, steps up to last_step; ranks only if their
 * number is the same. DT_EIO if it cannot be read: the caller warns and starts new tables. */
DT_NODISCARD dt_status dt_run_restore(const char *path, int64_t last_epoch, int64_t last_step, dt_run *run);

/* Append one line of JSON to path with a single write(2). */
DT_NODISCARD dt_status dt_log_append(const char *path, const char *json_line);

#endif
