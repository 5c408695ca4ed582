/* io/sweepfile.c - sweep.h5: made from two tables of columns, read by the same.
 *
 * Layout, version 1:
 *
 *   /                  what a sweep was: config, fingerprint, data, model, ..., as attributes
 *   /cells/<column>    [cell] int64 or float64, by the dimension scale /cells/cell
 *   /cells             attributes params_sha256, reason and slowest_host: a text a cell
 *   /curves/<column>   [cell][point] float64, by /cells/cell and /curves/point
 *
 * Every data set has the attributes units and description. A column that a file lacks is NaN, 0 for
 * whole numbers. */
#include "io/sweepfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "io/h5.h"

enum { OBJECT_PATH = 96 };

static const char format[] = "dtrain-sweep";

typedef struct {
    const char *name;
    size_t at;
    const char *units, *about;
} column;

#define INT(field, about)                                                                          \
    { #field, offsetof(dt_cell, field), "1", about }
static const column int_columns[] = {
    INT(kind, "0 accuracy: trained to its end; 1 time: some steps, alone on the machine"),
    INT(scaling, "of time cells, added up: 1 strong, 2 weak, 4 for the model of scaling"),
    INT(budget, "of accuracy cells: 0 so many epochs, 1 as many updates as the largest set gets"),
    INT(samples, "training samples"),
    INT(batch, "samples an update, over all ranks"),
    INT(epochs,
        "of accuracy cells: --epochs; of time cells: 1 for a whole epoch, 0 for some steps"),
    INT(seed, "of everything random"),
    INT(repeat, "of time cells: which measurement of the same, from 0"),
    INT(ranks, "that computed the cell"),
    INT(threads, "workers of each rank"),
    INT(alone, "1: nothing else ran meanwhile; 0: other cells did, and times mean nothing"),
    INT(status, "0 done, else the exit code of the failure"),
    INT(steps, "updates; of time cells those that were timed"),
    INT(warmup_steps, "of time cells: updates before those"),
    INT(slowest_rank, "of the job, that computed longest; -1 unknown"),
    INT(all_reduce_bytes, "of the gradient that all_reduce_seconds is of; 0 for one rank"),
    INT(test_correct, "test images classified correctly at the end; -1 not evaluated"),
};
#define NUMBER(field, units, about)                                                                \
    { #field, offsetof(dt_cell, field), units, about }
static const column number_columns[] = {
    NUMBER(seconds, "s", "time of training; evaluations and start-up not counted"),
    NUMBER(evaluation_seconds, "s",
           "time of all evaluations of the test set; of time cells of one"),
    NUMBER(startup_seconds, "s", "until the first step: devices opened, parameters made"),
    NUMBER(images_per_second, "1/s", "training samples of all ranks a second of training"),
    NUMBER(step_seconds, "s", "median of a step"),
    NUMBER(step_low, "s", "lower end of the median's 95 % confidence interval"),
    NUMBER(step_high, "s", "upper end of the median's 95 % confidence interval"),
    NUMBER(input_seconds, "s", "a step, mean over the ranks: making batches"),
    NUMBER(compute_seconds, "s", "a step, mean over the ranks: forward and backward passes"),
    NUMBER(reduce_seconds, "s",
           "a step, mean over the ranks: summing gradients, as far as it is exposed"),
    NUMBER(wait_seconds, "s", "a step, mean over the ranks: waiting for the slowest rank"),
    NUMBER(update_seconds, "s", "a step, mean over the ranks: the optimizer"),
    NUMBER(compute_max_seconds, "s", "a step: compute_seconds of the slowest rank"),
    NUMBER(latency_seconds, "s", "an all-reduce of 8 bytes"),
    NUMBER(all_reduce_seconds, "s", "an all-reduce of the gradient, nothing else going on"),
    NUMBER(train_loss, "nat", "mean cross-entropy of training samples, last stretch of the curve"),
    NUMBER(test_loss, "nat", "mean cross-entropy of the test set at the end"),
    NUMBER(train_accuracy, "percent", "of training samples, last stretch of the curve"),
    NUMBER(test_accuracy, "percent", "of the test set at the end"),
};
static const column curve_columns[DT_CURVE_COLUMNS] = {
    {"step", 0, "1", "updates done"},
    {"epoch", 0, "1", "passes over the cell's samples; not always whole"},
    {"train_loss", 0, "nat", "mean cross-entropy since the point before, while it trains"},
    {"train_accuracy", 0, "percent", "since the point before, while it trains"},
    {"test_loss", 0, "nat", "mean cross-entropy of the test set"},
    {"test_accuracy", 0, "percent", "of the test set"},
    {"seconds", 0, "s", "of training so far, evaluations not counted"},
};
/* One text a cell. */
static const struct {
    const char *name;
    size_t at, size;
} text_columns[] = {
    {"params_sha256", offsetof(dt_cell, params_sha256), DT_SHA256_HEX},
    {"reason", offsetof(dt_cell, reason), DT_CELL_REASON_MAX},
    {"slowest_host", offsetof(dt_cell, slowest_host), DT_CELL_HOST_MAX},
};
/* Attributes of the root. */
static const struct {
    const char *name;
    size_t at;
} text_attributes[] =
    {
        {"config", offsetof(dt_sweep, config)},
        {"command_line", offsetof(dt_sweep, command_line)},
        {"hosts", offsetof(dt_sweep, hosts)},
        {"devices", offsetof(dt_sweep, devices)},
        {"comm_library", offsetof(dt_sweep, comm_library)},
        {"fingerprint", offsetof(dt_sweep, fingerprint)},
        {"data", offsetof(dt_sweep, data)},
        {"model", offsetof(dt_sweep, model)},
        {"start_time", offsetof(dt_sweep, start_time)},
        {"end_time", offsetof(dt_sweep, end_time)},
        {"build", offsetof(dt_sweep, build)}, /* the last: files of dtrain 0.1.0 lack it */
},
  int_attributes[] = {
      {"ranks", offsetof(dt_sweep, ranks)},
      {"threads", offsetof(dt_sweep, threads)},
      {"micro_batch", offsetof(dt_sweep, micro_batch)},
      {"parameters", offsetof(dt_sweep, parameters)},
      {"classes", offsetof(dt_sweep, classes)},
      {"train_samples", offsetof(dt_sweep, train_samples)},
      {"test_samples", offsetof(dt_sweep, test_samples)},
      {"planned", offsetof(dt_sweep, planned)},
      {"exit_status", offsetof(dt_sweep, exit_status)},
};

#define COUNT(array)                   (sizeof(array) / sizeof *(array))
#define MEMBER(type, object, at)       ((type *)(void *)((char *)(object) + (at)))
#define CONST_MEMBER(type, object, at) ((const type *)(const void *)((const char *)(object) + (at)))

/* --- in memory --- */

dt_status dt_sweep_create(int64_t points, dt_sweep **out) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return dt_fail(DT_EDEVICE, "no memory for a sweep");
    (*out)->points = points;
    (*out)->exit_status = -1;
    return DT_OK;
}

void dt_sweep_free(dt_sweep **sweep) {
    if (!sweep || !*sweep)
        return;
    for (size_t i = 0; i < (*sweep)->n; i++)
        free((*sweep)->cells[i].curve);
    free((*sweep)->cells);
    for (size_t i = 0; i < COUNT(text_attributes); i++)
        free(*MEMBER(char *, *sweep, text_attributes[i].at));
    free(*sweep);
    *sweep = NULL;
}

dt_status dt_sweep_set(char **text, const char *value) {
    char *copy = strdup(value);
    if (!copy)
        return dt_fail(DT_EDEVICE, "no memory for the text of a sweep");
    free(*text);
    *text = copy;
    return DT_OK;
}

dt_cell dt_cell_unknown(void) {
    dt_cell cell = {.slowest_rank = -1, .test_correct = -1};
    for (size_t i = 0; i < COUNT(number_columns); i++)
        *MEMBER(double, &cell, number_columns[i].at) = NAN;
    return cell;
}

bool dt_cell_same(const dt_cell *a, const dt_cell *b) {
    return a->kind == b->kind && a->scaling == b->scaling && a->budget == b->budget &&
           a->samples == b->samples && a->batch == b->batch && a->epochs == b->epochs &&
           a->seed == b->seed && a->repeat == b->repeat &&
           (a->kind != DT_CELL_TIME || (a->ranks == b->ranks && a->threads == b->threads));
}

const dt_cell *dt_sweep_find(const dt_sweep *sweep, const dt_cell *name) {
    for (size_t i = 0; i < sweep->n; i++)
        if (dt_cell_same(&sweep->cells[i], name))
            return &sweep->cells[i];
    return NULL;
}

bool dt_cell_done(const dt_cell *cell) {
    return cell->status == DT_OK || cell->status == DT_EDIVERGED;
}

static size_t curve_values(const dt_sweep *sweep) {
    return DT_CURVE_COLUMNS * (size_t)sweep->points;
}

/* Room for n cells. Nothing is lost on failure. */
static dt_status reserve(dt_sweep *sweep, size_t n) {
    if (n <= sweep->capacity)
        return DT_OK;
    size_t capacity = n + n / 2 + 16;
    dt_cell *cells = realloc(sweep->cells, capacity * sizeof *cells);
    if (!cells)
        return dt_fail(DT_EDEVICE, "no memory for %zu cells", capacity);
    sweep->cells = cells;
    sweep->capacity = capacity;
    return DT_OK;
}

dt_status dt_sweep_add(dt_sweep *sweep, const dt_cell *cell) {
    size_t n = curve_values(sweep);
    DT_TRY(reserve(sweep, sweep->n + 1));
    double *curve = malloc((n + 1) * sizeof *curve);
    if (!curve)
        return dt_fail(DT_EDEVICE, "no memory for the curve of a cell");
    for (size_t i = 0; i < n; i++)
        curve[i] = cell->curve ? cell->curve[i] : NAN;
    sweep->cells[sweep->n] = *cell;
    sweep->cells[sweep->n++].curve = curve;
    return DT_OK;
}

dt_status dt_sweep_put(dt_sweep *sweep, const dt_cell *cell) {
    const dt_cell *old = dt_sweep_find(sweep, cell);
    size_t at = old ? (size_t)(old - sweep->cells) : sweep->n;
    DT_TRY(dt_sweep_add(sweep, cell));
    if (at == sweep->n - 1)
        return DT_OK;
    free(sweep->cells[at].curve);
    sweep->n--;
    memmove(&sweep->cells[at], &sweep->cells[at + 1], (sweep->n - at) * sizeof *sweep->cells);
    return DT_OK;
}

/* --- writing --- */

static void describe(dt_h5 *file, const char *path, const char *units, const char *about) {
    dt_h5_put_text(file, path, "units", units);
    dt_h5_put_text(file, path, "description", about);
}

static void put_scale(dt_h5 *file, const char *path, size_t n, int64_t *room, const char *about) {
    int64_t dims[1] = {(int64_t)n};
    for (size_t i = 0; i < n; i++)
        room[i] = (int64_t)i;
    dt_h5_put_data(file, path, DT_H5_I64, 1, dims, room);
    describe(file, path, "1", about);
}

/* A column of cells; int64 and double are both 8 bytes. room: [n]. */
static void put_column(dt_h5 *file, const dt_sweep *s, const column *c, dt_h5_kind kind,
                       int64_t *room) {
    char path[OBJECT_PATH];
    int64_t dims[1] = {(int64_t)s->n};
    for (size_t i = 0; i < s->n; i++)
        memcpy(&room[i], CONST_MEMBER(char, &s->cells[i], c->at), sizeof *room);
    snprintf(path, sizeof path, "/cells/%s", c->name);
    dt_h5_put_data(file, path, kind, 1, dims, room);
    describe(file, path, c->units, c->about);
    dt_h5_put_scale(file, path, 0, "cell", "/cells/cell");
}

static void put_curve(dt_h5 *file, const dt_sweep *s, int index, double *room) {
    char path[OBJECT_PATH];
    const column *c = &curve_columns[index];
    size_t width = (size_t)s->points;
    int64_t dims[2] = {(int64_t)s->n, s->points};
    for (size_t i = 0; i < s->n; i++)
        memcpy(room + i * width, s->cells[i].curve + (size_t)index * width, width * sizeof *room);
    snprintf(path, sizeof path, "/curves/%s", c->name);
    dt_h5_put_data(file, path, DT_H5_F64, 2, dims, room);
    describe(file, path, c->units, c->about);
    dt_h5_put_scale(file, path, 0, "cell", "/cells/cell");
    dt_h5_put_scale(file, path, 1, "point", "/curves/point");
}

static void put_texts(dt_h5 *file, const dt_sweep *s, const char **room) {
    for (size_t t = 0; s->n > 0 && t < COUNT(text_columns); t++) {
        for (size_t i = 0; i < s->n; i++)
            room[i] = CONST_MEMBER(char, &s->cells[i], text_columns[t].at);
        dt_h5_put_texts(file, "/cells", text_columns[t].name, s->n, room);
    }
}

static void put_attributes(dt_h5 *file, const dt_sweep *s) {
    const char *sha256[4];
    for (size_t i = 0; i < COUNT(text_attributes); i++) {
        const char *text = *CONST_MEMBER(char *, s, text_attributes[i].at);
        dt_h5_put_text(file, "/", text_attributes[i].name, text ? text : "");
    }
    for (size_t i = 0; i < COUNT(int_attributes); i++)
        dt_h5_put(file, "/", int_attributes[i].name, DT_H5_I64, 1,
                  CONST_MEMBER(int64_t, s, int_attributes[i].at));
    dt_h5_put(file, "/", "flop_per_image", DT_H5_F64, 1, &s->flop_per_image);
    for (int f = 0; f < 4; f++)
        sha256[f] = s->data_sha256[f];
    dt_h5_put_texts(file, "/", "data_sha256", 4, sha256);
}

/* room: for one column of curves, and of anything else. */
static void put_all(dt_h5 *file, const dt_sweep *s, void *room) {
    put_attributes(file, s);
    dt_h5_put_group(file, "/cells");
    put_texts(file, s, room);
    put_scale(file, "/cells/cell", s->n, room, "number of the cell, in the order of their ends");
    for (size_t i = 0; i < COUNT(int_columns); i++)
        put_column(file, s, &int_columns[i], DT_H5_I64, room);
    for (size_t i = 0; i < COUNT(number_columns); i++)
        put_column(file, s, &number_columns[i], DT_H5_F64, room);
    dt_h5_put_group(file, "/curves");
    put_scale(file, "/curves/point", (size_t)s->points, room,
              "of the curve: 0 the untrained network, then evenly to the end");
    for (int i = 0; i < DT_CURVE_COLUMNS; i++)
        put_curve(file, s, i, room);
}

/* What is at path gets a second name, unless it cannot: file systems without hard links keep none.
 */
static void keep_before(const char *path) {
    char before[DT_PATH_MAX];
    if ((size_t)snprintf(before, sizeof before, "%s.before", path) >= sizeof before)
        return;
    if (dt_path_exists(path) && (unlink(before) == 0 || !dt_path_exists(before)) &&
        link(path, before) != 0)
        unlink(before);
}

dt_status dt_sweep_write(const char *path, const dt_sweep *sweep) {
    char created[DT_H5_CREATED];
    dt_h5 *file;
    void *room = malloc((sweep->n + 1) * ((size_t)sweep->points + 1) * sizeof(double));
    if (!room)
        return dt_fail(DT_EDEVICE, "no memory to write %s", path);
    dt_status status = dt_h5_create(path, format, DT_SWEEP_VERSION, created, &file);
    if (status == DT_OK) {
        put_all(file, sweep, room);
        keep_before(path);
        status = dt_h5_finish(&file, path);
    }
    free(room);
    return status;
}

/* --- reading --- */

/* A data set of this shape; *is_there: it may be that an older file lacks it. */
static dt_status get_shape(dt_h5 *file, const char *path, dt_h5_kind kind, int wanted_dims,
                           int64_t first, int64_t second, bool *is_there) {
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    *is_there = dt_h5_has(file, path);
    if (!*is_there)
        return DT_OK;
    DT_TRY(dt_h5_dims(file, path, kind, &n_dims, dims, &n));
    if (n_dims != wanted_dims || dims[0] != first || (n_dims == 2 && dims[1] != second))
        return dt_fail(DT_EIO, "%s: %s is not of %lld cells", dt_h5_name(file), path,
                       (long long)first);
    return DT_OK;
}

static dt_status get_column(dt_h5 *file, dt_sweep *s, const column *c, dt_h5_kind kind,
                            int64_t *room) {
    char path[OBJECT_PATH];
    bool is_there;
    snprintf(path, sizeof path, "/cells/%s", c->name);
    DT_TRY(get_shape(file, path, kind, 1, (int64_t)s->n, 0, &is_there));
    if (!is_there)
        return DT_OK;
    DT_TRY(dt_h5_get_data(file, path, kind, s->n, room));
    for (size_t i = 0; i < s->n; i++)
        memcpy(MEMBER(char, &s->cells[i], c->at), &room[i], sizeof *room);
    return DT_OK;
}

static dt_status get_curve(dt_h5 *file, dt_sweep *s, int index, double *room) {
    char path[OBJECT_PATH];
    size_t width = (size_t)s->points;
    bool is_there;
    snprintf(path, sizeof path, "/curves/%s", curve_columns[index].name);
    DT_TRY(get_shape(file, path, DT_H5_F64, 2, (int64_t)s->n, s->points, &is_there));
    if (!is_there)
        return DT_OK;
    DT_TRY(dt_h5_get_data(file, path, DT_H5_F64, s->n * width, room));
    for (size_t i = 0; i < s->n; i++)
        memcpy(s->cells[i].curve + (size_t)index * width, room + i * width, width * sizeof *room);
    return DT_OK;
}

static dt_status get_texts(dt_h5 *file, dt_sweep *s, char **room) {
    for (size_t t = 0; s->n > 0 && t < COUNT(text_columns); t++) {
        DT_TRY(dt_h5_get_texts(file, "/cells", text_columns[t].name, s->n, room));
        for (size_t i = 0; i < s->n; i++) {
            snprintf(MEMBER(char, &s->cells[i], text_columns[t].at), text_columns[t].size, "%s",
                     room[i]);
            free(room[i]);
        }
    }
    return DT_OK;
}

static dt_status get_attributes(dt_h5 *file, dt_sweep *s) {
    char *sha256[4];
    for (size_t i = 0; i < COUNT(text_attributes); i++) {
        dt_status status = dt_h5_get_text(file, "/", text_attributes[i].name,
                                          MEMBER(char *, s, text_attributes[i].at));
        if (i + 1 < COUNT(text_attributes))
            DT_TRY(status);
    }
    for (size_t i = 0; i < COUNT(int_attributes); i++)
        DT_TRY(dt_h5_get(file, "/", int_attributes[i].name, DT_H5_I64, 1,
                         MEMBER(int64_t, s, int_attributes[i].at)));
    DT_TRY(dt_h5_get(file, "/", "flop_per_image", DT_H5_F64, 1, &s->flop_per_image));
    DT_TRY(dt_h5_get_texts(file, "/", "data_sha256", 4, sha256));
    for (int f = 0; f < 4; f++) {
        snprintf(s->data_sha256[f], DT_SHA256_HEX, "%s", sha256[f]);
        free(sha256[f]);
    }
    return DT_OK;
}

/* How many cells and points there are, and as many unknown cells. */
static dt_status get_size(dt_h5 *file, dt_sweep *s) {
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    DT_TRY(dt_h5_dims(file, "/curves/point", DT_H5_I64, &n_dims, dims, &n));
    s->points = (int64_t)n;
    DT_TRY(dt_h5_dims(file, "/cells/cell", DT_H5_I64, &n_dims, dims, &n));
    dt_cell unknown = dt_cell_unknown();
    while (s->n < n)
        DT_TRY(dt_sweep_add(s, &unknown));
    return DT_OK;
}

static dt_status get_all(dt_h5 *file, dt_sweep *s) {
    DT_TRY(get_attributes(file, s));
    DT_TRY(get_size(file, s));
    void *room = malloc((s->n + 1) * ((size_t)s->points + 1) * sizeof(double));
    dt_status status = room ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %zu cells", s->n);
    for (size_t i = 0; status == DT_OK && i < COUNT(int_columns); i++)
        status = get_column(file, s, &int_columns[i], DT_H5_I64, room);
    for (size_t i = 0; status == DT_OK && i < COUNT(number_columns); i++)
        status = get_column(file, s, &number_columns[i], DT_H5_F64, room);
    for (int i = 0; status == DT_OK && i < DT_CURVE_COLUMNS; i++)
        status = get_curve(file, s, i, room);
    if (status == DT_OK)
        status = get_texts(file, s, room);
    free(room);
    return status;
}

dt_status dt_sweep_is(const char *path, bool *is_sweep) {
    dt_h5 *file;
    char text[64];
    DT_TRY(dt_h5_open(path, NULL, 0, &file));
    dt_status status = dt_h5_copy_text(file, "/", "format", text, sizeof text);
    *is_sweep = status == DT_OK && strcmp(text, format) == 0;
    dt_h5_close(&file);
    return status;
}

dt_status dt_sweep_read(const char *path, dt_sweep **out) {
    dt_h5 *file;
    *out = NULL;
    DT_TRY(dt_h5_open(path, format, DT_SWEEP_VERSION, &file));
    dt_status status = dt_sweep_create(0, out);
    if (status == DT_OK)
        status = get_all(file, *out);
    dt_h5_close(&file);
    if (status != DT_OK)
        dt_sweep_free(out);
    return status;
}
