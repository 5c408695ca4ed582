/* launch/live.c - where a training is, read from its files while it writes them. */
#include "launch/live.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/runfile.h"

enum {
    CURVE_POINTS = 600,
    COLUMNS_MAX = 10,
    MODEL_MAX = 1024,
    LOG_TAIL = 1 << 26, /* bytes of a log that are read, its last ones */
    CHUNK = 1 << 16,
    LINE_MAX_BYTES = 1 << 14
};

/* Rows of a curve; the first column is its axis. */
typedef struct {
    const char *const *names;
    int columns;
    double *v; /* [capacity][columns] */
    size_t n, capacity;
} curve;

enum { STEP_LOSS = 1, STEP_ACCURACY, STEP_COLUMNS = 4 };
static const char *const step_names[STEP_COLUMNS] = {"step", "loss", "accuracy",
                                                     "images_per_second"};
enum { EPOCH, EPOCH_RATE = 9, EPOCH_COLUMNS = 10 };
static const char *const epoch_names[EPOCH_COLUMNS] = {
    "epoch",     "train_loss",    "train_accuracy", "validation_loss", "validation_accuracy",
    "test_loss", "test_accuracy", "learning_rate",  "seconds",         "images_per_second"};

/* A line of the log: the members that are numbers, by name, and the two texts. */
typedef struct {
    char event[16], model[MODEL_MAX];
    double time, step, epochs, steps_per_epoch, ranks, workers, loss, accuracy;
    double epoch[EPOCH_COLUMNS];
} line;

struct dt_live {
    char dir[DT_PATH_MAX], log[DT_PATH_MAX], file[DT_PATH_MAX];
    curve steps, epochs;
    line begin;   /* the last start or resume */
    double time;  /* of the last line */
    line before;  /* the step before, in this epoch: running means become those of an interval */
    off_t log_at; /* read up to here */
    ino_t log_inode;
    char rest[LINE_MAX_BYTES]; /* of a line whose end is not there yet */
    size_t n_rest;
    bool skips; /* the line is too long: up to its end nothing is taken */
    dt_run *run;
    struct stat run_stat; /* of the file that run is */
};

/* -- Curves ---------------------------------------------------------------------------------- */

static void curve_add(curve *c, const double *row) {
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 256;
        double *v = realloc(c->v, capacity * (size_t)c->columns * sizeof *v);
        if (!v)
            return; /* a point is missing, no more */
        c->v = v;
        c->capacity = capacity;
    }
    memcpy(c->v + c->n++ * (size_t)c->columns, row, (size_t)c->columns * sizeof *row);
}

static void curve_cut(curve *c, double last) {
    while (c->n > 0 && c->v[(c->n - 1) * (size_t)c->columns] > last)
        c->n--;
}

/* Column of k rows from row at on: of the axis and the like the last one, else their mean. */
static double bucket(const curve *c, size_t at, size_t k, int column, bool is_mean) {
    double sum = 0;
    size_t n = 0;
    if (!is_mean)
        return c->v[(at + k - 1) * (size_t)c->columns + (size_t)column];
    for (size_t i = at; i < at + k; i++) {
        double v = c->v[i * (size_t)c->columns + (size_t)column];
        if (isfinite(v)) {
            sum += v;
            n++;
        }
    }
    return n ? sum / (double)n : NAN;
}

static void curve_json(const curve *c, const char *key, bool is_mean, dt_json *j) {
    size_t k = c->n / CURVE_POINTS + 1;
    dt_json_open(j, key, '{');
    for (int column = 0; column < c->columns; column++) {
        dt_json_open(j, c->names[column], '[');
        for (size_t at = 0; at < c->n; at += k)
            dt_json_num(
                j, NULL,
                bucket(c, at, at + k < c->n ? k : c->n - at, column, is_mean && column > 0));
        dt_json_close(j, ']');
    }
    dt_json_close(j, '}');
}

/* -- The log --------------------------------------------------------------------------------- */

static void visit(void *ctx, const char *key, const char *value) {
    line *l = ctx;
    const struct {
        const char *key;
        double *value;
    } numbers[] = {{"time", &l->time},     {"step", &l->step},
                   {"epochs", &l->epochs}, {"steps_per_epoch", &l->steps_per_epoch},
                   {"ranks", &l->ranks},   {"workers", &l->workers},
                   {"loss", &l->loss},     {"accuracy", &l->accuracy}};
    if (!value)
        return;
    if (strcmp(key, "event") == 0)
        snprintf(l->event, sizeof l->event, "%s", value);
    else if (strcmp(key, "model") == 0)
        snprintf(l->model, sizeof l->model, "%s", value);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(key, numbers[i].key) == 0)
            *numbers[i].value = strtod(value, NULL);
    for (int i = 0; i < EPOCH_COLUMNS; i++)
        if (strcmp(key, epoch_names[i]) == 0)
            l->epoch[i] = strtod(value, NULL);
}

/* The log has means over the epoch so far. With the line before, those of the steps between. */
static void take_step(dt_live *live, const line *l) {
    double first =
        live->begin.steps_per_epoch >= 1
            ? floor((l->step - 1) / live->begin.steps_per_epoch) * live->begin.steps_per_epoch
            : 0;
    double n = l->step - first, m = live->before.step - first;
    double row[STEP_COLUMNS] = {l->step, l->loss, l->accuracy, l->epoch[EPOCH_RATE]};
    if (m > 0 && m < n) {
        row[STEP_LOSS] = (n * l->loss - m * live->before.loss) / (n - m);
        row[STEP_ACCURACY] = (n * l->accuracy - m * live->before.accuracy) / (n - m);
    }
    curve_add(&live->steps, row);
    live->before = *l;
}

static void take_line(dt_live *live, const char *text) {
    line l = {.step = NAN, .loss = NAN, .accuracy = NAN};
    for (int i = 0; i < EPOCH_COLUMNS; i++)
        l.epoch[i] = NAN;
    if (dt_json_each(text, visit, &l) != DT_OK)
        return; /* a crash can leave half a line */
    live->time = l.time;
    if (strcmp(l.event, "start") == 0 || strcmp(l.event, "resume") == 0) {
        bool is_new = strcmp(l.event, "start") == 0;
        curve_cut(&live->steps, is_new ? -1 : l.step);
        curve_cut(&live->epochs, is_new ? -1 : l.epoch[EPOCH]);
        live->begin = l;
        live->before = (line){0};
    } else if (strcmp(l.event, "step") == 0 && isfinite(l.step)) {
        take_step(live, &l);
    } else if (strcmp(l.event, "epoch") == 0 && isfinite(l.epoch[EPOCH])) {
        curve_cut(&live->epochs, l.epoch[EPOCH] - 1);
        curve_add(&live->epochs, l.epoch);
        live->before = (line){0};
    }
}

static void take_bytes(dt_live *live, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            live->rest[live->n_rest] = '\0';
            if (!live->skips && live->n_rest > 0)
                take_line(live, live->rest);
            live->n_rest = 0;
            live->skips = false;
        } else if (live->n_rest + 1 < sizeof live->rest) {
            live->rest[live->n_rest++] = bytes[i];
        } else {
            live->skips = true;
        }
    }
}

static void forget_log(dt_live *live) {
    live->steps.n = live->epochs.n = 0;
    live->begin = live->before = (line){0};
    live->log_at = 0;
    live->n_rest = 0;
    live->skips = false;
}

/* What was appended since the last time. */
static void read_log(dt_live *live, int fd) {
    char *bytes = malloc(CHUNK);
    struct stat st;
    if (!bytes || fstat(fd, &st) != 0)
        goto done;
    if (st.st_ino != live->log_inode || st.st_size < live->log_at)
        forget_log(live);
    live->log_inode = st.st_ino;
    if (st.st_size - live->log_at > LOG_TAIL) {
        live->log_at = st.st_size - LOG_TAIL;
        live->skips = true; /* in the middle of a line */
    }
    for (ssize_t n; (n = pread(fd, bytes, CHUNK, live->log_at)) > 0; live->log_at += n)
        take_bytes(live, bytes, (size_t)n);
done:
    free(bytes);
}

/* A run that goes on has its log locked. */
static bool is_locked(int fd) {
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        flock(fd, LOCK_UN);
        return false;
    }
    return errno == EWOULDBLOCK;
}

/* -- run.h5 ---------------------------------------------------------------------------------- */

/* Read again when it is another file than last time: it is never changed in place. */
static void read_run(dt_live *live) {
    struct stat st;
    dt_run *run = NULL;
    if (stat(live->file, &st) != 0 || (live->run && st.st_ino == live->run_stat.st_ino &&
                                       st.st_mtim.tv_sec == live->run_stat.st_mtim.tv_sec &&
                                       st.st_mtim.tv_nsec == live->run_stat.st_mtim.tv_nsec))
        return;
    if (dt_run_read(live->file, &run) != DT_OK)
        return; /* what was read before stays; the next look tries again */
    dt_run_free(&live->run);
    live->run = run;
    live->run_stat = st;
}

/* images/s of every rank, epoch by epoch; with very many ranks the file has no single ones. */
static void rates_json(const dt_run *run, dt_json *j) {
    const dt_table *ranks = &run->ranks, *epochs = &run->epochs;
    size_t k = ranks->n / CURVE_POINTS + 1;
    dt_json_open(j, "ranks_images_per_second", '{');
    dt_json_open(j, "epoch", '[');
    for (size_t i = 0; i < ranks->n; i += k)
        dt_json_int(j, NULL, ranks->key[i]);
    dt_json_close(j, ']');
    dt_json_open(j, "rank", '[');
    for (size_t r = 0; r < ranks->width && run->n_ranks <= DT_RANKS_FULL; r++) {
        dt_json_open(j, NULL, '[');
        for (size_t i = 0, e = 0; i < ranks->n; i += k) {
            while (e < epochs->n && epochs->key[e] < ranks->key[i])
                e++;
            double seconds = e < epochs->n ? epochs->column[DT_EPOCH_SECONDS].v[e] : NAN;
            dt_json_num(j, NULL, ranks->column[DT_RANK_IMAGES].v[i * ranks->width + r] / seconds);
        }
        dt_json_close(j, ']');
    }
    dt_json_close(j, ']');
    dt_json_close(j, '}');
}

/* Of the last epoch: where each rank's time went. */
static void phases_json(const dt_run *run, dt_json *j) {
    const dt_table *ranks = &run->ranks;
    dt_json_open(j, "phases", '{');
    for (int c = 0; c < ranks->n_columns && ranks->n > 0 && run->n_ranks <= DT_RANKS_FULL; c++) {
        dt_json_open(j, ranks->column[c].name, '[');
        for (size_t r = 0; r < ranks->width; r++)
            dt_json_num(j, NULL, ranks->column[c].v[(ranks->n - 1) * ranks->width + r]);
        dt_json_close(j, ']');
    }
    dt_json_close(j, '}');
}

static void run_json(const dt_run *run, dt_json *j) {
    static const char *const texts[] = {"hosts",    "devices",   "data",        "start_time",
                                        "end_time", "best_kind", "command_line"};
    static const char *const numbers[] = {"parameters", "train_samples", "test_samples",
                                          "threads",    "best_value",    "best_step"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        dt_json_str(j, texts[i], dt_run_text(run, texts[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        dt_json_num(j, numbers[i], dt_run_number(run, numbers[i]));
    rates_json(run, j);
    phases_json(run, j);
}

/* -------------------------------------------------------------------------------------------- */

/* A run file from before the last start tells nothing of how that went. */
static const char *state_of(const dt_live *live, bool locked) {
    const struct timespec *written = &live->run_stat.st_mtim;
    bool is_old = (double)written->tv_sec + 1e-9 * (double)written->tv_nsec < live->begin.time;
    double status = live->run && !is_old ? dt_run_number(live->run, "exit_status") : NAN;
    if (locked)
        return "running";
    if (!live->run)
        return live->begin.event[0] ? "lost" : "waiting";
    return status == DT_OK         ? "finished"
           : status == DT_ESTOPPED ? "stopped"
           : status > 0            ? "failed"
                                   : "lost";
}

void dt_live_json(dt_live *live, const char *key, dt_json *j) {
    bool locked = false;
    int fd = open(live->log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        locked = is_locked(fd); /* before the log: its last line may be that of the end */
        read_log(live, fd);
        close(fd);
    }
    read_run(live);
    const curve *steps = &live->steps;
    dt_json_open(j, key, '{');
    dt_json_str(j, "dir", live->dir);
    dt_json_str(j, "state", state_of(live, locked));
    if (live->run)
        dt_json_num(j, "exit_status", dt_run_number(live->run, "exit_status"));
    dt_json_num(j, "time", live->time);
    dt_json_num(j, "begun", live->begin.time);
    dt_json_num(j, "epochs_planned", live->begin.epochs);
    dt_json_num(j, "steps_per_epoch", live->begin.steps_per_epoch);
    dt_json_num(j, "ranks", live->begin.ranks);
    dt_json_num(j, "workers", live->begin.workers);
    dt_json_str(j, "model", live->begin.model);
    dt_json_num(j, "step", steps->n ? steps->v[(steps->n - 1) * STEP_COLUMNS] : NAN);
    curve_json(steps, "steps", true, j);
    curve_json(&live->epochs, "epochs", false, j);
    if (live->run)
        run_json(live->run, j);
    dt_json_close(j, '}');
}

dt_status dt_live_open(const char *dir, dt_live **out) {
    dt_live *live = calloc(1, sizeof *live);
    *out = live;
    if (!live)
        return dt_fail(DT_EDEVICE, "no memory to watch %s", dir);
    live->steps = (curve){.names = step_names, .columns = STEP_COLUMNS};
    live->epochs = (curve){.names = epoch_names, .columns = EPOCH_COLUMNS};
    dt_status status = dt_path_join(live->log, dir, "log.jsonl");
    if (status == DT_OK)
        status = dt_path_join(live->file, dir, "run.h5");
    if (status != DT_OK)
        dt_live_close(out);
    else
        memcpy(live->dir, dir, strlen(dir) + 1);
    return status;
}

void dt_live_close(dt_live **live) {
    dt_live *l = *live;
    if (!l)
        return;
    dt_run_free(&l->run);
    free(l->steps.v);
    free(l->epochs.v);
    free(l);
    *live = NULL;
}
