/* launch/history.c - what happened, for run.h5 and log.jsonl.
 *
 * Rows of steps wait in a buffer of their own until the tables are free to change: the writer
 * thread reads the tables while the steps go on. The log is for people who follow a run: every
 * epoch, and a step now and then. */
#include "launch/history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dtrain_version.h"
#include "io/events.h"
#include "io/log.h"
#include "launch/describe.h"

enum { LOG_EVERY = 50 }; /* steps between two lines of the log */

struct dt_history {
    const dt_setup *setup;
    const dt_position *at;
    dt_run *run;
    char log[DT_PATH_MAX];
    dt_step_row *pending; /* [n_pending], not in the tables yet */
    size_t n_pending, capacity;
    int64_t failures;
    dt_events *events; /* for TensorBoard, or NULL */
};

/* -- Failures -------------------------------------------------------------------------------- */

static void note(dt_history *h, dt_status status) {
    if (status != DT_OK && h->failures++ == 0)
        dt_warn("%s; training goes on, its record is not whole", dt_error());
}

/* -- The log --------------------------------------------------------------------------------- */

/* Close, append and free what was built. */
static void log_line(dt_history *h, dt_json *j) {
    dt_json_close(j, '}');
    if (j->failed)
        note(h, dt_fail(DT_EDEVICE, "no memory for a line of %s", h->log));
    else
        note(h, dt_log_append(h->log, j->text));
    dt_json_free(j);
}

static void log_event(dt_json *j, const char *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "event", event);
    int64_t ms = now.tv_nsec / 1000000;
    dt_json_num(j, "time", (double)now.tv_sec + 1e-3 * (double)ms);
}

static void log_start(dt_history *h, const dt_position *at) {
    const dt_setup *s = h->setup;
    dt_json j = {0};
    log_event(&j, at->resumed_step >= 0 ? "resume" : "start");
    dt_json_int(&j, "epoch", at->epoch);
    dt_json_int(&j, "step", at->step);
    dt_json_int(&j, "epochs", s->options.epochs);
    dt_json_int(&j, "steps_per_epoch", dt_plan_steps(&s->plan));
    dt_json_int(&j, "ranks", s->size);
    dt_json_int(&j, "workers", dt_plan_total_workers(&s->plan));
    dt_json_str(&j, "model", s->net->spec);
    log_line(h, &j);
}

static void log_step(dt_history *h, const dt_step_row *row) {
    dt_json j = {0};
    log_event(&j, "step");
    dt_json_int(&j, "epoch", row->epoch);
    dt_json_int(&j, "step", row->step);
    dt_json_num(&j, "loss", row->epoch_loss);
    dt_json_num(&j, "accuracy", row->epoch_accuracy);
    dt_json_num(&j, "learning_rate", row->learning_rate);
    dt_json_num(&j, "gradient_norm", row->gradient_norm);
    dt_json_num(&j, "images_per_second", row->images_per_second);
    log_line(h, &j);
}

static void log_epoch(dt_history *h, const dt_epoch_line *line) {
    const struct {
        const char *name;
        double value;
    } fields[] = {{"train_loss", line->train_loss},
                  {"train_accuracy", line->train_accuracy},
                  {"validation_loss", line->validation_loss},
                  {"validation_accuracy", line->validation_accuracy},
                  {"test_loss", line->test_loss},
                  {"test_accuracy", line->test_accuracy},
                  {"learning_rate", line->learning_rate},
                  {"seconds", line->seconds},
                  {"images_per_second", line->images_per_second}};
    dt_json j = {0};
    log_event(&j, "epoch");
    dt_json_int(&j, "epoch", line->epoch);
    dt_json_int(&j, "epochs", line->epochs);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!isnan(fields[i].value))
            dt_json_num(&j, fields[i].name, fields[i].value);
    dt_json_num(&j, "slowest_rank", line->slowest_host ? (double)line->slowest_rank : (double)NAN);
    dt_json_str(&j, "slowest_host", line->slowest_host);
    dt_json_num(&j, "slowest_seconds", line->slowest_host ? line->slowest_seconds : (double)NAN);
    dt_json_bool(&j, "is_best", line->is_best);
    log_line(h, &j);
}

void dt_history_end(dt_history *h, dt_status status) {
    dt_json j = {0};
    log_event(&j, "end");
    dt_json_int(&j, "epoch", h->at->epoch);
    dt_json_int(&j, "step", h->at->step);
    dt_json_int(&j, "exit_code", (int)status);
    log_line(h, &j);
}

/* -- TensorBoard ----------------------------------------------------------------------------- */

static void events_step(const dt_history *h, const dt_step_row *row) {
    if (!h->events)
        return;
    dt_events_scalar(h->events, "step/loss", row->step, row->loss);
    dt_events_scalar(h->events, "step/learning_rate", row->step, row->learning_rate);
    dt_events_scalar(h->events, "step/gradient_norm", row->step, row->gradient_norm);
}

/* Over updates, like the steps' curves; accuracies in percent. */
static void events_epoch(dt_history *h, const dt_epoch_line *line, const dt_phases *phases) {
    const struct {
        const char *tag;
        double value;
    } fields[] = {{"epoch/train_loss", line->train_loss},
                  {"epoch/train_accuracy", line->train_accuracy},
                  {"epoch/validation_loss", line->validation_loss},
                  {"epoch/validation_accuracy", line->validation_accuracy},
                  {"epoch/test_loss", line->test_loss},
                  {"epoch/test_accuracy", line->test_accuracy},
                  {"images_per_second/all", phases ? line->images_per_second : NAN}};
    char tag[64];
    if (!h->events)
        return;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!isnan(fields[i].value))
            dt_events_scalar(h->events, fields[i].tag, h->at->step, fields[i].value);
    for (int r = 0; phases && r < h->setup->size; r++) {
        snprintf(tag, sizeof tag, "images_per_second/rank_%d", r);
        dt_events_scalar(h->events, tag, h->at->step, phases[r].images / line->seconds);
    }
    note(h, dt_events_flush(h->events));
}

/* -- Rows ------------------------------------------------------------------------------------ */

void dt_history_step(dt_history *h, const dt_step_row *row) {
    if (h->n_pending == h->capacity) {
        size_t capacity = h->capacity ? 2 * h->capacity : 256;
        dt_step_row *grown = realloc(h->pending, capacity * sizeof *grown);
        if (!grown) {
            note(h, dt_fail(DT_EDEVICE, "no memory for %zu rows of steps", capacity));
            return;
        }
        h->pending = grown;
        h->capacity = capacity;
    }
    h->pending[h->n_pending++] = *row;
    events_step(h, row);
    if (row->step % LOG_EVERY == 0)
        log_step(h, row);
}

static void flush_steps(dt_history *h) {
    for (size_t i = 0; i < h->n_pending; i++) {
        const dt_step_row *row = &h->pending[i];
        const double values[DT_STEP_COLUMNS] = {[DT_STEP_LOSS] = row->loss,
                                                [DT_STEP_LEARNING_RATE] = row->learning_rate,
                                                [DT_STEP_GRADIENT_NORM] = row->gradient_norm};
        note(h, dt_table_add(&h->run->steps, row->step, values));
    }
    h->n_pending = 0;
}

static dt_status add_epoch(dt_history *h, const dt_epoch_line *line, const int64_t *confusion) {
    const double values[DT_EPOCH_COLUMNS] = {
        [DT_EPOCH_TRAIN_LOSS] = line->train_loss,
        [DT_EPOCH_TRAIN_ACCURACY] = line->train_accuracy,
        [DT_EPOCH_VALIDATION_LOSS] = line->validation_loss,
        [DT_EPOCH_VALIDATION_ACCURACY] = line->validation_accuracy,
        [DT_EPOCH_TEST_LOSS] = line->test_loss,
        [DT_EPOCH_TEST_ACCURACY] = line->test_accuracy,
        [DT_EPOCH_LEARNING_RATE] = line->learning_rate,
        [DT_EPOCH_SECONDS] = line->seconds,
        [DT_EPOCH_IMAGES_PER_SECOND] = line->images_per_second,
        [DT_EPOCH_SLOWEST_RANK] = line->slowest_host ? (double)line->slowest_rank : (double)NAN,
        [DT_EPOCH_SLOWEST_SECONDS] = line->slowest_host ? line->slowest_seconds : NAN};
    DT_TRY(dt_table_add(&h->run->epochs, line->epoch, values));
    return dt_run_add_confusion(h->run, confusion);
}

static dt_status add_phases(dt_history *h, int64_t epoch, const dt_phases *phases) {
    size_t n = (size_t)h->setup->size;
    double *values = malloc(DT_RANK_COLUMNS * n * sizeof *values);
    if (!values)
        return dt_fail(DT_EDEVICE, "no memory for the times of %zu ranks", n);
    for (size_t r = 0; r < n; r++) {
        values[DT_RANK_COMPUTE_SECONDS * n + r] = phases[r].compute;
        values[DT_RANK_REDUCE_SECONDS * n + r] = phases[r].reduce;
        values[DT_RANK_WAIT_SECONDS * n + r] = phases[r].wait;
        values[DT_RANK_INPUT_SECONDS * n + r] = phases[r].input;
        values[DT_RANK_CHECKPOINT_SECONDS * n + r] = phases[r].checkpoint;
        values[DT_RANK_IMAGES * n + r] = phases[r].images;
    }
    dt_status status = dt_run_add_ranks(h->run, epoch, values);
    free(values);
    return status;
}

/* With their pictures. */
static dt_status keep_mistakes(dt_history *h, const dt_mistakes *mistakes) {
    const dt_dataset *data = h->setup->data;
    dt_mistakes_free(&h->run->mistakes);
    h->run->mistakes = *mistakes;
    return dt_mistakes_picture(&h->run->mistakes, data->test.images, data->height, data->width);
}

void dt_history_epoch(dt_history *h, const dt_epoch_line *line, const int64_t *confusion,
                      const dt_mistakes *mistakes, const dt_phases *phases) {
    log_epoch(h, line);
    events_epoch(h, line, phases);
    note(h, add_epoch(h, line, confusion));
    note(h, keep_mistakes(h, mistakes));
    if (phases)
        note(h, add_phases(h, line->epoch, phases));
    note(h,
         dt_run_set_text(h->run, "slowest_host", line->slowest_host ? line->slowest_host : "none"));
}

/* -- Attributes ------------------------------------------------------------------------------ */

/* Set attribute to the text that print() makes. */
static dt_status set_printed(dt_run *run, const char *attribute,
                             void (*print)(FILE *f, const dt_setup *s), const dt_setup *s) {
    char *text = NULL;
    dt_status status = dt_described(print, s, &text);
    if (status == DT_OK)
        status = dt_run_set_text(run, attribute, text);
    free(text);
    return status;
}

static dt_status describe_data(dt_run *run, const dt_setup *s) {
    const char *sha256[4];
    for (int f = 0; f < 4; f++)
        sha256[f] = s->data->sha256[f];
    DT_TRY(dt_run_set_text(run, "data", dt_data_name(s)));
    DT_TRY(dt_run_set_texts(run, "data_files", 4, dt_dataset_files));
    DT_TRY(dt_run_set_texts(run, "data_sha256", 4, sha256));
    DT_TRY(dt_run_set_int(run, "train_samples", s->n_train));
    DT_TRY(dt_run_set_int(run, "validation_samples", s->n_validation));
    DT_TRY(dt_run_set_int(run, "test_samples", (int64_t)s->data->test.n));
    DT_TRY(dt_run_set_number(run, "mean", s->data->mean));
    return dt_run_set_number(run, "std", s->data->std);
}

static dt_status describe_places(dt_run *run, const dt_setup *s) {
    DT_TRY(set_printed(run, "hosts", dt_describe_hosts, s));
    DT_TRY(set_printed(run, "devices", dt_describe_devices, s));
    DT_TRY(dt_run_set_text(run, "fingerprint", s->fingerprint));
    DT_TRY(dt_run_set_text(run, "comm_library", dt_comm_library(s->comm)));
    DT_TRY(dt_run_set_int(run, "ranks", s->size));
    DT_TRY(dt_run_set_int(run, "threads", s->workers[0]));
    return dt_run_set_int(run, "workers", dt_plan_total_workers(&s->plan));
}

static dt_status describe_network(dt_run *run, const dt_setup *s) {
    const int64_t shape[3] = {s->net->in.c, s->net->in.h, s->net->in.w};
    DT_TRY(dt_run_set_text(run, "model", s->net->spec));
    DT_TRY(dt_run_set_int(run, "parameters", (int64_t)s->net->n_params));
    DT_TRY(dt_run_set_ints(run, "input_shape", 3, shape));
    return dt_run_set_int(run, "classes", s->net->classes);
}

static dt_status describe_run(dt_run *run, const dt_setup *s) {
    char now[32];
    dt_json config = {0};
    dt_options_json(&s->options, &config);
    dt_status status = config.failed ? dt_fail(DT_EDEVICE, "no memory for the options")
                                     : dt_run_set_text(run, "config", config.text);
    dt_json_free(&config);
    DT_TRY(status);
    dt_describe_now(now);
    DT_TRY(dt_run_set_text(run, "start_time", now));
    DT_TRY(dt_run_set_text(run, "build", DTRAIN_VERSION_FULL));
    DT_TRY(set_printed(run, "command_line", dt_describe_command_line, s));
    DT_TRY(describe_network(run, s));
    DT_TRY(dt_run_set_int(run, "seed", (int64_t)s->options.seed));
    DT_TRY(dt_run_set_int(run, "steps_per_epoch", dt_plan_steps(&s->plan)));
    DT_TRY(dt_run_set_text(run, "best_kind", dt_best_kind(s)));
    DT_TRY(describe_places(run, s));
    return describe_data(run, s);
}

/* Where the run is: the attributes that a checkpoint has too. */
static dt_status describe_position(dt_run *run, const dt_position *at) {
    DT_TRY(dt_run_set_int(run, "epoch", at->epoch));
    DT_TRY(dt_run_set_int(run, "step", at->step));
    DT_TRY(dt_run_set_int(run, "samples_seen", at->samples_seen));
    DT_TRY(dt_run_set_ints(run, "epoch_sums", DT_N_SUMS, at->sums));
    DT_TRY(dt_run_set_number(run, "best_value", at->best_value));
    return dt_run_set_int(run, "best_step", at->best_step);
}

/* -------------------------------------------------------------------------------------------- */

dt_run *dt_history_tables(dt_history *h, int status) {
    char text[32];
    flush_steps(h);
    dt_describe_now(text);
    note(h, dt_run_set_text(h->run, "end_time", text));
    note(h, dt_run_set_int(h->run, "exit_status", status));
    note(h, describe_position(h->run, h->at));
    return h->run;
}

double dt_history_test_accuracy(const dt_history *h) {
    const dt_table *epochs = &h->run->epochs;
    return epochs->n ? epochs->column[DT_EPOCH_TEST_ACCURACY].v[epochs->n - 1] : NAN;
}

int64_t dt_history_failures(const dt_history *h) {
    return h->failures;
}

/* The rows up to here of the record that is there. One that cannot be read is kept beside the new
 * one. Nothing is to be kept from before the first update: its row is made again. */
static dt_status restore(dt_history *h, const char *dir) {
    char path[DT_PATH_MAX], aside[DT_PATH_MAX];
    if (h->at->resumed_step < 1)
        return DT_OK;
    DT_TRY(dt_path_join(path, dir, "run.h5"));
    DT_TRY(dt_path_join(aside, dir, "run.h5.unreadable"));
    dt_status status = dt_run_restore(path, h->at->epoch, h->at->step, h->run);
    if (status != DT_OK)
        dt_warn("%s: the record starts anew at step %lld%s", dt_error(), (long long)h->at->step,
                rename(path, aside) == 0 ? ", the old one is kept as run.h5.unreadable" : "");
    return dt_run_set_text(h->run, "params_sha256", h->at->resumed_sha256);
}

dt_status dt_history_open(const dt_setup *setup, const char *dir, const dt_position *at,
                          dt_history **out) {
    dt_history *h = calloc(1, sizeof *h);
    *out = h;
    if (!h)
        return dt_fail(DT_EDEVICE, "no memory for the record of %s", dir);
    h->setup = setup;
    h->at = at;
    dt_status status;
    DT_TRY_GOTO(status, dt_path_join(h->log, dir, "log.jsonl"), failed);
    DT_TRY_GOTO(status, dt_run_create(setup->size, setup->net->classes, &h->run), failed);
    DT_TRY_GOTO(status, restore(h, dir), failed);
    DT_TRY_GOTO(status, describe_run(h->run, setup), failed);
    if (setup->options.tensorboard[0])
        DT_TRY_GOTO(status, dt_events_open(setup->options.tensorboard, &h->events), failed);
    log_start(h, at);
    return DT_OK;
failed:
    dt_history_close(out);
    return status;
}

void dt_history_close(dt_history **history) {
    dt_history *h = *history;
    if (!h)
        return;
    dt_run_free(&h->run);
    dt_events_close(&h->events);
    free(h->pending);
    free(h);
    *history = NULL;
}
