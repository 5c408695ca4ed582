/* io/runfile.c - run.h5: tables that grow in memory, written whole; and log.jsonl.
 *
 * Layout, version 1:
 *
 *   /                    what the trainer sets with dt_run_set_*(), as attributes
 *   /epochs/<column>     [row] float64, by the dimension scale /epochs/epoch
 *   /steps/<column>      [row] float64, by /steps/step
 *   /ranks/<column>      [row][rank] float64, by /ranks/epoch and /ranks/rank; with many ranks
 *                        [row][statistic], by /ranks/statistic
 *   /confusion           [row][true][predicted] int64, by /epochs/epoch and /class
 *   /mistakes            io/mistakes.c
 *
 * Every data set has the attributes units and description. A column that an earlier version did not
 * know is NaN when its file is read. tests/golden/run-v1.h5 is a file of version 1. */
#include "io/runfile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/h5.h"

enum { OBJECT_PATH = 128, STATISTICS = 4 };

static const char format[] = "dtrain-run";

static const dt_column epoch_columns[DT_EPOCH_COLUMNS] = {
    {"train_loss", "nat", "mean cross-entropy of the epoch's training samples, while it trains",
     NULL},
    {"train_accuracy", "percent", "of the epoch's training samples, while it trains", NULL},
    {"validation_loss", "nat", "mean cross-entropy of the validation set after the epoch", NULL},
    {"validation_accuracy", "percent", "of the validation set after the epoch", NULL},
    {"test_loss", "nat", "mean cross-entropy of the test set after the epoch", NULL},
    {"test_accuracy", "percent", "of the test set after the epoch", NULL},
    {"learning_rate", "1", "of the epoch's last update", NULL},
    {"seconds", "s", "time of the epoch's training, evaluation not counted", NULL},
    {"images_per_second", "1/s", "training samples of all ranks a second", NULL},
    {"slowest_rank", "1", "the rank that held up the others; NaN: none stood out", NULL},
    {"slowest_seconds", "s", "what that cost: the epoch would be shorter by it", NULL},
};

static const dt_column step_columns[DT_STEP_COLUMNS] = {
    {"loss", "nat", "mean cross-entropy of the global batch before the update", NULL},
    {"learning_rate", "1", "of the update", NULL},
    {"gradient_norm", "1", "Euclidean norm of the mean gradient, before clipping", NULL},
};

static const dt_column rank_columns[DT_RANK_COLUMNS] = {
    {"compute_seconds", "s", "forward and backward passes and the update", NULL},
    {"reduce_seconds", "s", "summing gradients, as far as it is not hidden behind computing", NULL},
    {"wait_seconds", "s", "waiting for other ranks", NULL},
    {"input_seconds", "s", "making batches", NULL},
    {"checkpoint_seconds", "s", "making checkpoints", NULL},
    {"images", "1", "training samples", NULL},
};

/* --- tables --- */

/* Make room for n rows. Nothing is lost on failure. */
static dt_status reserve(dt_table *t, size_t n) {
    if (n <= t->capacity)
        return DT_OK;
    size_t capacity = n + n / 2 + 16;
    int64_t *key = realloc(t->key, capacity * sizeof *key);
    if (key)
        t->key = key;
    bool grown = key != NULL;
    for (int c = 0; grown && c < t->n_columns; c++) {
        double *v = realloc(t->column[c].v, capacity * t->width * sizeof *v);
        if (v)
            t->column[c].v = v;
        grown = v != NULL;
    }
    if (!grown)
        return dt_fail(DT_EDEVICE, "no memory for %zu rows of the table %s", capacity, t->name);
    t->capacity = capacity;
    return DT_OK;
}

dt_status dt_table_add(dt_table *t, int64_t key, const double *values) {
    DT_TRY(reserve(t, t->n + 1));
    t->key[t->n] = key;
    for (int c = 0; c < t->n_columns; c++)
        memcpy(t->column[c].v + t->n * t->width, values + (size_t)c * t->width,
               t->width * sizeof *values);
    t->n++;
    return DT_OK;
}

void dt_table_cut(dt_table *t, int64_t last) {
    size_t kept = 0;
    for (size_t r = 0; r < t->n; r++) {
        if (t->key[r] > last)
            continue;
        t->key[kept] = t->key[r];
        for (int c = 0; c < t->n_columns; c++)
            memmove(t->column[c].v + kept * t->width, t->column[c].v + r * t->width,
                    t->width * sizeof(double));
        kept++;
    }
    t->n = kept;
}

void dt_table_free(dt_table *t) {
    free(t->key);
    t->key = NULL;
    for (int c = 0; c < t->n_columns; c++) {
        free(t->column[c].v);
        t->column[c].v = NULL;
    }
    t->n = t->capacity = 0;
}

static dt_table make_table(const char *name, const char *scale, const dt_column *columns, int n,
                           size_t width) {
    dt_table t = {.name = name, .scale = scale, .n_columns = n, .width = width};
    memcpy(t.column, columns, (size_t)n * sizeof *columns);
    return t;
}

dt_status dt_run_create(int n_ranks, int classes, dt_run **out) {
    dt_run *run = calloc(1, sizeof *run);
    *out = run;
    if (!run)
        return dt_fail(DT_EDEVICE, "no memory for the tables of run.h5");
    size_t width = n_ranks > DT_RANKS_FULL ? STATISTICS : (size_t)n_ranks;
    run->epochs = make_table("epochs", "epoch", epoch_columns, DT_EPOCH_COLUMNS, 1);
    run->steps = make_table("steps", "step", step_columns, DT_STEP_COLUMNS, 1);
    run->ranks = make_table("ranks", "epoch", rank_columns, DT_RANK_COLUMNS, width);
    run->n_ranks = n_ranks;
    run->classes = classes;
    return DT_OK;
}

static void free_rows(dt_run *run) {
    dt_table_free(&run->epochs);
    dt_table_free(&run->steps);
    dt_table_free(&run->ranks);
    free(run->confusion);
    dt_mistakes_free(&run->mistakes);
    run->confusion = NULL;
    run->n_confusion = 0;
}

static void free_values(dt_attribute *a) {
    for (size_t i = 0; a->kind == DT_RUN_TEXT && i < a->n; i++)
        free(a->value.texts[i]);
    free(a->value.texts); /* whichever it is */
    a->value.texts = NULL;
    a->n = 0;
}

void dt_run_free(dt_run **run) {
    if (!run || !*run)
        return;
    free_rows(*run);
    for (int i = 0; i < (*run)->n_attributes; i++) {
        free((*run)->attribute[i].name);
        free_values(&(*run)->attribute[i]);
    }
    free(*run);
    *run = NULL;
}

/* --- attributes --- */

/* The attribute of this name; made, without a value, where it is new. */
static dt_status attribute_for(dt_run *run, const char *name, dt_attribute **out) {
    static const char *const own[] = {"format", "format_version", "dtrain_version", "created"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name, own[i]) == 0)
            return dt_fail(DT_EIO, "run.h5 sets its attribute %s itself", name);
    dt_attribute *a = run->attribute;
    dt_attribute *end = a + run->n_attributes;
    while (a < end && strcmp(a->name, name) != 0)
        a++;
    if (a == end) {
        if (run->n_attributes == DT_RUN_ATTRIBUTES)
            return dt_fail(DT_EIO, "run.h5 has room for %d attributes, %s is one more",
                           DT_RUN_ATTRIBUTES, name);
        memset(a, 0, sizeof *a);
        a->name = strdup(name);
        if (!a->name)
            return dt_fail(DT_EDEVICE, "no memory for the attribute %s", name);
        run->n_attributes++;
    }
    *out = a;
    return DT_OK;
}

/* Replaces the value only when the new one, which may be a part of the old, is complete. */
static dt_status set(dt_run *run, const char *name, dt_attribute *value) {
    dt_attribute *a = NULL;
    dt_status status = attribute_for(run, name, &a);
    if (status != DT_OK) {
        free_values(value);
        return status;
    }
    free_values(a);
    value->name = a->name;
    *a = *value;
    return DT_OK;
}

dt_status dt_run_set_texts(dt_run *run, const char *name, size_t n, const char *const *texts) {
    dt_attribute new = {.kind = DT_RUN_TEXT, .value.texts = calloc(n, sizeof(char *))};
    while (new.value.texts &&new.n < n && (new.value.texts[new.n] = strdup(texts[new.n])) != NULL)
        new.n++;
    if (new.n == n)
        return set(run, name, &new);
    free_values(&new);
    return dt_fail(DT_EDEVICE, "no memory for the attribute %s", name);
}

/* Whole or other numbers: both are 8 bytes. */
static dt_status set_numbers(dt_run *run, const char *name, dt_run_kind kind, size_t n,
                             const void *values) {
    dt_attribute new = {.kind = kind, .n = n, .value.ints = malloc(n * sizeof(int64_t))};
    if (!new.value.ints)
        return dt_fail(DT_EDEVICE, "no memory for the attribute %s", name);
    memcpy(new.value.ints, values, n * sizeof(int64_t));
    return set(run, name, &new);
}

dt_status dt_run_set_ints(dt_run *run, const char *name, size_t n, const int64_t *values) {
    return set_numbers(run, name, DT_RUN_INT, n, values);
}

dt_status dt_run_set_text(dt_run *run, const char *name, const char *text) {
    return dt_run_set_texts(run, name, 1, &text);
}

dt_status dt_run_set_int(dt_run *run, const char *name, int64_t value) {
    return set_numbers(run, name, DT_RUN_INT, 1, &value);
}

dt_status dt_run_set_number(dt_run *run, const char *name, double value) {
    return set_numbers(run, name, DT_RUN_NUMBER, 1, &value);
}

/* --- rows that need more than dt_table_add() --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* out = minimum, median, maximum of v[0..n) and the index of the maximum. sorted: room for n. */
static void summarise(const double *v, size_t n, double *sorted, double out[STATISTICS]) {
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[top])
            top = i;
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_value);
    out[0] = sorted[0];
    out[1] = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    out[2] = v[top];
    out[3] = (double)top;
}

dt_status dt_run_add_ranks(dt_run *run, int64_t epoch, const double *values) {
    size_t n = (size_t)run->n_ranks;
    double summary[DT_RANK_COLUMNS][STATISTICS];
    if (run->n_ranks <= DT_RANKS_FULL)
        return dt_table_add(&run->ranks, epoch, values);
    double *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return dt_fail(DT_EDEVICE, "no memory for the figures of %zu ranks", n);
    for (size_t c = 0; c < DT_RANK_COLUMNS; c++)
        summarise(values + c * n, n, sorted, summary[c]);
    free(sorted);
    return dt_table_add(&run->ranks, epoch, summary[0]);
}

/* Make confusion n matrices long; new ones are zero. */
static dt_status resize_confusion(dt_run *run, size_t n) {
    size_t size = (size_t)run->classes * (size_t)run->classes;
    if (n == 0 || size == 0) {
        run->n_confusion = n;
        return DT_OK;
    }
    int64_t *grown = realloc(run->confusion, n * size * sizeof *grown);
    if (!grown)
        return dt_fail(DT_EDEVICE, "no memory for %zu confusion matrices of %d classes", n,
                       run->classes);
    run->confusion = grown;
    if (n > run->n_confusion)
        memset(grown + run->n_confusion * size, 0, (n - run->n_confusion) * size * sizeof *grown);
    run->n_confusion = n;
    return DT_OK;
}

dt_status dt_run_add_confusion(dt_run *run, const int64_t *confusion) {
    size_t size = (size_t)run->classes * (size_t)run->classes;
    if (run->n_confusion > run->epochs.n) /* rows were cut since */
        run->n_confusion = run->epochs.n;
    DT_TRY(resize_confusion(run, run->n_confusion + 1));
    memcpy(run->confusion + (run->n_confusion - 1) * size, confusion, size * sizeof *confusion);
    return DT_OK;
}

/* --- writing --- */

static void describe(dt_h5 *file, const char *path, const char *units, const char *about) {
    dt_h5_put_text(file, path, "units", units);
    dt_h5_put_text(file, path, "description", about);
}

/* A dimension scale of n whole numbers. */
static void put_scale(dt_h5 *file, const char *path, size_t n, const int64_t *values,
                      const char *about) {
    int64_t dims[1] = {(int64_t)n};
    dt_h5_put_data(file, path, DT_H5_I64, 1, dims, values);
    describe(file, path, "1", about);
}

/* Second dimension of /ranks; its path is put into path. */
static dt_status put_rank_scale(dt_h5 *file, const dt_run *run, char path[OBJECT_PATH]) {
    bool full = run->n_ranks <= DT_RANKS_FULL;
    int64_t *number = malloc(run->ranks.width * sizeof *number);
    if (!number)
        return dt_fail(DT_EDEVICE, "no memory for the numbers of %zu ranks", run->ranks.width);
    for (size_t i = 0; i < run->ranks.width; i++)
        number[i] = (int64_t)i;
    snprintf(path, OBJECT_PATH, "/ranks/%s", full ? "rank" : "statistic");
    put_scale(file, path, run->ranks.width, number,
              full ? "number of the rank"
                   : "over the ranks: 0 minimum, 1 median, 2 maximum, 3 number of the rank that "
                     "has the maximum");
    free(number);
    return DT_OK;
}

/* second: the data set that labels the second dimension, or NULL for tables of one value a row. */
static void put_columns(dt_h5 *file, const dt_table *t, const char *first, const char *second) {
    char path[OBJECT_PATH];
    int64_t dims[2] = {(int64_t)t->n, (int64_t)t->width};
    for (int c = 0; c < t->n_columns; c++) {
        const dt_column *column = &t->column[c];
        snprintf(path, sizeof path, "/%s/%s", t->name, column->name);
        dt_h5_put_data(file, path, DT_H5_F64, second ? 2 : 1, dims, column->v);
        describe(file, path, column->units, column->about);
        dt_h5_put_scale(file, path, 0, t->scale, first);
        if (second)
            dt_h5_put_scale(file, path, 1, strrchr(second, '/') + 1, second);
    }
}

static void put_table_scale(dt_h5 *file, const dt_table *t, char path[OBJECT_PATH],
                            const char *about) {
    snprintf(path, OBJECT_PATH, "/%s", t->name);
    dt_h5_put_group(file, path);
    snprintf(path, OBJECT_PATH, "/%s/%s", t->name, t->scale);
    put_scale(file, path, t->n, t->key, about);
}

static dt_status put_tables(dt_h5 *file, const dt_run *run) {
    char row[OBJECT_PATH], second[OBJECT_PATH];
    int64_t n_ranks = run->n_ranks;
    put_table_scale(file, &run->epochs, row,
                    "epochs completed; 0, with --init, is the network before training");
    put_columns(file, &run->epochs, row, NULL);
    put_table_scale(file, &run->steps, row, "updates done, over all epochs");
    put_columns(file, &run->steps, row, NULL);
    put_table_scale(file, &run->ranks, row, "epochs completed");
    dt_h5_put(file, "/ranks", "ranks", DT_H5_I64, 1, &n_ranks);
    DT_TRY(put_rank_scale(file, run, second));
    put_columns(file, &run->ranks, row, second);
    return DT_OK;
}

static dt_status put_confusion(dt_h5 *file, const dt_run *run) {
    int64_t dims[3] = {(int64_t)run->epochs.n, run->classes, run->classes};
    int64_t *number = malloc(((size_t)run->classes + 1) * sizeof *number);
    if (!number)
        return dt_fail(DT_EDEVICE, "no memory for the numbers of %d classes", run->classes);
    for (int i = 0; i < run->classes; i++)
        number[i] = i;
    put_scale(file, "/class", (size_t)run->classes, number,
              "number of the class, as in the labels");
    free(number);
    dt_h5_put_data(file, "/confusion", DT_H5_I64, 3, dims, run->confusion);
    describe(file, "/confusion", "1",
             "test images of each true class, by the class that was predicted");
    dt_h5_put_scale(file, "/confusion", 0, "epoch", "/epochs/epoch");
    dt_h5_put_scale(file, "/confusion", 1, "true", "/class");
    dt_h5_put_scale(file, "/confusion", 2, "predicted", "/class");
    return DT_OK;
}

static void put_attributes(dt_h5 *file, const dt_run *run) {
    for (int i = 0; i < run->n_attributes; i++) {
        const dt_attribute *a = &run->attribute[i];
        if (a->kind == DT_RUN_TEXT)
            dt_h5_put_texts(file, "/", a->name, a->n, (const char *const *)a->value.texts);
        else
            dt_h5_put(file, "/", a->name, a->kind == DT_RUN_INT ? DT_H5_I64 : DT_H5_F64, a->n,
                      a->value.ints);
    }
}

dt_status dt_run_write(const char *path, dt_run *run) {
    char created[DT_H5_CREATED];
    dt_h5 *file;
    if (run->n_confusion != run->epochs.n)
        DT_TRY(resize_confusion(run, run->epochs.n));
    DT_TRY(dt_h5_create(path, format, DT_RUN_VERSION, created, &file));
    put_attributes(file, run);
    dt_status status = put_tables(file, run);
    if (status == DT_OK)
        status = put_confusion(file, run);
    dt_mistakes_put(file, &run->mistakes);
    if (status != DT_OK) {
        dt_h5_close(&file);
        return status;
    }
    return dt_h5_finish(&file, path);
}

/* --- reading --- */

/* Row keys of a table into t, room made for its rows. */
static dt_status get_keys(dt_h5 *file, dt_table *t) {
    char path[OBJECT_PATH];
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    snprintf(path, sizeof path, "/%s/%s", t->name, t->scale);
    DT_TRY(dt_h5_dims(file, path, DT_H5_I64, &n_dims, dims, &n));
    if (n_dims != 1)
        return dt_fail(DT_EIO, "%s: %s has %d dimensions, not 1", dt_h5_name(file), path, n_dims);
    DT_TRY(reserve(t, n));
    DT_TRY(dt_h5_get_data(file, path, DT_H5_I64, n, t->key));
    for (size_t r = 1; r < n; r++)
        if (t->key[r] <= t->key[r - 1])
            return dt_fail(DT_EIO, "%s: %s does not ascend at row %zu", dt_h5_name(file), path, r);
    t->n = n;
    return DT_OK;
}

static dt_status get_column(dt_h5 *file, dt_table *t, int wanted_dims, dt_column *column) {
    char path[OBJECT_PATH];
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    snprintf(path, sizeof path, "/%s/%s", t->name, column->name);
    if (!dt_h5_has(file, path)) {
        for (size_t i = 0; i < t->n * t->width; i++)
            column->v[i] = NAN;
        return DT_OK;
    }
    DT_TRY(dt_h5_dims(file, path, DT_H5_F64, &n_dims, dims, &n));
    if (n_dims != wanted_dims || (size_t)dims[0] != t->n ||
        (n_dims == 2 && (size_t)dims[1] != t->width))
        return dt_fail(DT_EIO, "%s: %s does not have %zu rows of %zu", dt_h5_name(file), path, t->n,
                       t->width);
    return dt_h5_get_data(file, path, DT_H5_F64, n, column->v);
}

static dt_status get_table(dt_h5 *file, dt_table *t, int n_dims) {
    DT_TRY(get_keys(file, t));
    for (int c = 0; c < t->n_columns; c++)
        DT_TRY(get_column(file, t, n_dims, &t->column[c]));
    return DT_OK;
}

static dt_status get_confusion(dt_h5 *file, dt_run *run) {
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    DT_TRY(dt_h5_dims(file, "/confusion", DT_H5_I64, &n_dims, dims, &n));
    if (n_dims != 3 || (size_t)dims[0] != run->epochs.n || dims[1] != run->classes ||
        dims[2] != run->classes)
        return dt_fail(DT_EIO, "%s: /confusion is not %zu matrices of %d classes", dt_h5_name(file),
                       run->epochs.n, run->classes);
    DT_TRY(resize_confusion(run, run->epochs.n));
    return dt_h5_get_data(file, "/confusion", DT_H5_I64, n, run->confusion);
}

static dt_status get_rows(dt_h5 *file, dt_run *run) {
    int64_t n_ranks;
    DT_TRY(get_table(file, &run->epochs, 1));
    DT_TRY(get_confusion(file, run));
    DT_TRY(dt_mistakes_get(file, &run->mistakes));
    DT_TRY(get_table(file, &run->steps, 1));
    DT_TRY(dt_h5_get(file, "/ranks", "ranks", DT_H5_I64, 1, &n_ranks));
    return n_ranks == run->n_ranks ? get_table(file, &run->ranks, 2) : DT_OK;
}

dt_status dt_run_restore(const char *path, int64_t last_epoch, int64_t last_step, dt_run *run) {
    dt_h5 *file;
    DT_TRY(dt_h5_open(path, format, DT_RUN_VERSION, &file));
    dt_status status = get_rows(file, run);
    dt_h5_close(&file);
    if (status != DT_OK) {
        free_rows(run);
        return status;
    }
    if (run->epochs.n > 0 && run->epochs.key[run->epochs.n - 1] > last_epoch)
        dt_mistakes_free(&run->mistakes); /* of a row that goes */
    dt_table_cut(&run->epochs, last_epoch);
    dt_table_cut(&run->steps, last_step);
    dt_table_cut(&run->ranks, last_epoch);
    run->n_confusion = run->epochs.n; /* keys ascend: the first ones were kept */
    return DT_OK;
}

/* Attributes of one value that the file has. */
static dt_status get_attributes(dt_h5 *file, dt_run *run) {
    static const char *const texts[] = {"model",         "config",       "fingerprint", "data",
                                        "params_sha256", "command_line", "hosts",       "devices",
                                        "start_time",    "comm_library", "end_time",    "best_kind",
                                        "build"};
    static const char *const ints[] = {"epoch",
                                       "step",
                                       "seed",
                                       "parameters",
                                       "exit_status",
                                       "ranks",
                                       "threads",
                                       "workers",
                                       "train_samples",
                                       "test_samples",
                                       "steps_per_epoch",
                                       "validation_samples"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *text = NULL;
        if (dt_h5_get_text(file, "/", texts[i], &text) != DT_OK)
            continue;
        dt_status status = dt_run_set_text(run, texts[i], text);
        free(text);
        DT_TRY(status);
    }
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t value;
        if (dt_h5_get(file, "/", ints[i], DT_H5_I64, 1, &value) == DT_OK)
            DT_TRY(dt_run_set_int(run, ints[i], value));
    }
    char *sha256[4];
    if (dt_h5_get_texts(file, "/", "data_sha256", 4, sha256) == DT_OK) {
        dt_status status = dt_run_set_texts(run, "data_sha256", 4, (const char *const *)sha256);
        for (int i = 0; i < 4; i++)
            free(sha256[i]);
        DT_TRY(status);
    }
    DT_TRY(dt_h5_copy_text(file, "/", "created", run->created, sizeof run->created));
    return dt_h5_copy_text(file, "/", "dtrain_version", run->version, sizeof run->version);
}

dt_status dt_run_read(const char *path, dt_run **out) {
    int64_t ranks = 0, classes = 0;
    dt_h5 *file;
    *out = NULL;
    DT_TRY(dt_h5_open(path, format, DT_RUN_VERSION, &file));
    dt_status status;
    DT_TRY_GOTO(status, dt_h5_get(file, "/ranks", "ranks", DT_H5_I64, 1, &ranks), done);
    DT_TRY_GOTO(status, dt_h5_get(file, "/", "classes", DT_H5_I64, 1, &classes), done);
    if (ranks < 1 || ranks > INT32_MAX || classes < 1 || classes > 65536)
        status = dt_fail(DT_EIO, "%s: %lld ranks and %lld classes cannot be", path,
                         (long long)ranks, (long long)classes);
    if (status != DT_OK)
        goto done;
    DT_TRY_GOTO(status, dt_run_create((int)ranks, (int)classes, out), done);
    DT_TRY_GOTO(status, get_rows(file, *out), done);
    status = get_attributes(file, *out);
done:
    dt_h5_close(&file);
    if (status != DT_OK)
        dt_run_free(out);
    return status;
}

static const dt_attribute *attribute_named(const dt_run *run, const char *name) {
    for (int i = 0; i < run->n_attributes; i++)
        if (strcmp(run->attribute[i].name, name) == 0)
            return &run->attribute[i];
    return NULL;
}

const char *dt_run_text(const dt_run *run, const char *name) {
    const dt_attribute *a = attribute_named(run, name);
    return a && a->kind == DT_RUN_TEXT && a->n == 1 ? a->value.texts[0] : "";
}

double dt_run_number(const dt_run *run, const char *name) {
    const dt_attribute *a = attribute_named(run, name);
    if (!a || a->n != 1 || a->kind == DT_RUN_TEXT)
        return NAN;
    return a->kind == DT_RUN_INT ? (double)a->value.ints[0] : a->value.numbers[0];
}

/* --- log.jsonl --- */

/* Does the file end within a line, of which a crash or a full disk took the rest? */
static bool ends_within_line(int fd) {
    struct stat st;
    char last;
    return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
           last != '\n';
}

/* In one write, unless the system splits it. A part that was written is taken back. */
static dt_status append(int fd, const char *path, const char *text, size_t n) {
    struct stat st;
    bool is_known = fstat(fd, &st) == 0;
    for (size_t done = 0; done < n;) {
        ssize_t more = write(fd, text + done, n - done);
        if (more < 0 && errno == EINTR)
            continue;
        if (more > 0) {
            done += (size_t)more;
            continue;
        }
        dt_status status = dt_fail(DT_EIO, "cannot append to %s: %s", path,
                                   more < 0 ? strerror(errno) : "nothing is taken");
        bool is_back = done == 0 || (is_known && ftruncate(fd, st.st_size) == 0);
        (void)is_back; /* if not, the next line begins on a new one all the same */
        return status;
    }
    return DT_OK;
}

dt_status dt_log_append(const char *path, const char *json_line) {
    size_t n = strlen(json_line);
    char *text = malloc(n + 3);
    if (!text)
        return dt_fail(DT_EDEVICE, "no memory for a line of %s", path);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        free(text);
        return dt_fail(DT_EIO, "cannot append to %s: %s", path, strerror(errno));
    }
    int length = snprintf(text, n + 3, "%s%s\n", ends_within_line(fd) ? "\n" : "", json_line);
    dt_status status = append(fd, path, text, (size_t)length);
    if (close(fd) != 0 && status == DT_OK && errno != EINTR)
        status = dt_fail(DT_EIO, "cannot append to %s: %s", path, strerror(errno));
    free(text);
    return status;
}
