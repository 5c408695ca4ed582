/* launch/trainer.c - the loop. Joins data, plan, device and communicator, and keeps what they
 * produce.
 *
 * All ranks run the same code and take the same turns: whatever decides a turn (a result, a request
 * to stop, a failure) is summed or agreed on first. Rank 0 also shows, records and saves; its files
 * are written by a thread of their own (launch/saver.c) while training goes on. The position of a
 * run is (epoch, step, seed) and never a rank or a thread, so that a stopped run can go on with any
 * number.
 *
 *   begin      data, network, device, run directory; state from a checkpoint or the seed
 *   run        an evaluation of the network that --init gave, then epochs:
 *                train_epoch   steps (launch/step.c), a checkpoint now and then
 *                end_epoch     ranks compared (launch/check.c), evaluation, record, checkpoint
 *   finish     what is not saved yet; no rank leaves before rank 0 has closed its files */
#include "launch/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/progress.h"
#include "launch/check.h"
#include "launch/evaluate.h"
#include "launch/history.h"
#include "launch/resume.h"
#include "launch/rundir.h"
#include "launch/saver.h"
#include "launch/setup.h"
#include "launch/step.h"
#include "launch/straggler.h"
#include "launch/trace.h"
#include "launch/ui.h"

typedef struct {
    dt_setup setup;
    char dir[DT_PATH_MAX];
    int claim; /* on dir, of rank 0 */
    dt_position at;
    int64_t steps;     /* an epoch */
    int64_t submitted; /* updates of the run that were; at.step: that are done */
    bool stops;        /* some rank voted to */
    dt_schedule_config schedule;
    dt_stepper *stepper;
    dt_trace *trace;      /* or NULL */
    int64_t *confusion;   /* [classes][classes], of the last evaluation of the test set */
    dt_mistakes mistakes; /* of the same */
    dt_phases *phases;    /* [size] of the last epoch */
    dt_saver *saver;      /* these three: on rank 0, elsewhere NULL */
    dt_history *history;
    dt_ui *ui;
    int64_t saved_step, saved_epoch; /* where the newest checkpoint was taken; -1: nowhere yet */
    double checkpoint_seconds;       /* since they were last noted */
    struct {                         /* speed, of this process's steps alone */
        double began, mark;          /* the epoch; the last second or so */
        int64_t images, mark_images;
        double rate;               /* images a second, of the last second or so */
        double evaluation_seconds; /* of the last one */
    } meter;
} trainer;

/* -- Stopping -------------------------------------------------------------------------------- */

static bool is_out_of_time(const trainer *t) {
    double limit = t->setup.options.time_limit;
    return limit > 0 && t->setup.rank == 0 && dt_now() - t->setup.started >= limit;
}

/* This rank's vote. */
static bool wants_stop(void *ctx) {
    return dt_signals_pending() || is_out_of_time(ctx);
}

static void stop_reason(const trainer *t, char *text, size_t nbytes) {
    if (dt_signals_pending())
        snprintf(text, nbytes, "%s", dt_signal_name(dt_signals_pending()));
    else
        snprintf(text, nbytes, "%s", is_out_of_time(t) ? "time limit" : "a signal to another rank");
}

/* What was seen, and what it means. The same on every rank, hence told once. Collective: rank 0
 * knows what is on the disk. */
static dt_status diverged(const trainer *t) {
    char what[DT_ERROR_MAX];
    dt_error_copy(what);
    char kept[160] = "there is no checkpoint yet";
    int64_t saved = t->at.resumed_step;
    if (t->saver) {
        dt_saver_report report = dt_saver_result(t->saver);
        saved = report.saved_step >= 0 ? report.saved_step : saved;
    }
    DT_TRY(dt_comm_bcast(t->setup.comm, &saved, sizeof saved, 0));
    if (saved >= 0)
        snprintf(kept, sizeof kept, "the last good checkpoint, of step %lld, is kept in %.80s",
                 (long long)saved, t->dir);
    return dt_fail(
        DT_EDIVERGED, "diverged at step %lld (epoch %lld): %s; %s; try a smaller --lr than %g",
        (long long)t->at.step + 1, (long long)t->at.epoch + 1, what, kept, t->setup.options.lr);
}

/* -- Keeping --------------------------------------------------------------------------------- */

/* Collective. Rank 0 copies its state and hands it to the writer; with the record, so that both
 * tell of the same step. */
static dt_status save(trainer *t, bool is_best) {
    double begin = dt_now();
    dt_phase before = dt_progress_phase(DT_PHASE_CHECKPOINT);
    dt_status status = dt_stepper_late(t->stepper);
    dt_checkpoint *checkpoint = NULL;
    if (status == DT_OK && t->setup.rank == 0)
        status = dt_snapshot(&t->setup, &t->at, &checkpoint);
    if (checkpoint) {
        dt_saver_wait(t->saver);
        dt_saver_submit(t->saver, &checkpoint, is_best, dt_history_tables(t->history, -1));
    }
    status = dt_comm_agree(t->setup.comm, status);
    dt_progress_phase(before);
    DT_TRY(status);
    t->saved_step = t->at.step;
    t->saved_epoch = t->at.epoch;
    t->checkpoint_seconds += dt_now() - begin;
    dt_trace_span(t->trace, "checkpoint", begin, dt_now());
    return DT_OK;
}

static void record_epoch(trainer *t, const dt_epoch_line *line, const dt_phases *phases) {
    if (t->setup.rank != 0)
        return;
    dt_phase before = dt_progress_phase(DT_PHASE_CHECKPOINT);
    dt_saver_wait(t->saver);
    dt_history_epoch(t->history, line, t->confusion, &t->mistakes, phases);
    dt_ui_epoch(t->ui, line);
    dt_progress_phase(before);
}

/* -- Steps ----------------------------------------------------------------------------------- */

static void meter_begin(trainer *t) {
    t->meter.began = t->meter.mark = dt_now();
    t->meter.images = t->meter.mark_images = 0;
}

static void meter_count(trainer *t, int64_t images) {
    double now = dt_now(), elapsed = now - t->meter.mark;
    t->meter.images += images;
    t->meter.mark_images += images;
    bool is_early = t->meter.mark <= t->meter.began;
    if (elapsed < 1 && !is_early)
        return;
    t->meter.rate = elapsed > 0 ? (double)t->meter.mark_images / elapsed : 0;
    if (elapsed >= 1) {
        t->meter.mark = now;
        t->meter.mark_images = 0;
    }
}

/* To the end of the run: what is left of the images, at the present rate, and the evaluations. */
static double seconds_left(const trainer *t) {
    double epochs = (double)(t->setup.options.epochs - t->at.epoch);
    double images = epochs * (double)t->setup.n_train - (double)t->at.sums[DT_SUM_COUNT];
    return t->meter.rate > 0 ? images / t->meter.rate + epochs * t->meter.evaluation_seconds : NAN;
}

static double mean_loss(const int64_t *sums) {
    return ldexp((double)sums[DT_SUM_LOSS], -DT_LOSS_BITS) / (double)sums[DT_SUM_COUNT];
}

static double percent_correct(const int64_t *sums) {
    return 100.0 * (double)sums[DT_SUM_CORRECT] / (double)sums[DT_SUM_COUNT];
}

static void show_step(trainer *t, const dt_update *update, const dt_step_result *result) {
    const int64_t *sums = t->at.sums;
    dt_step_row row = {.epoch = t->at.epoch + 1,
                       .step = t->at.step,
                       .loss = mean_loss(result->sums),
                       .learning_rate = (double)update->learning_rate,
                       .gradient_norm = result->norm,
                       .epoch_loss = mean_loss(sums),
                       .epoch_accuracy = percent_correct(sums),
                       .images_per_second = t->meter.rate};
    dt_step_line line = {.epoch = row.epoch,
                         .epochs = t->setup.options.epochs,
                         .step = t->at.step - t->at.epoch * t->steps,
                         .steps = t->steps,
                         .loss = row.epoch_loss,
                         .accuracy = row.epoch_accuracy,
                         .learning_rate = row.learning_rate,
                         .gradient_norm = row.gradient_norm,
                         .images_per_second = row.images_per_second,
                         .eta_seconds = seconds_left(t)};
    dt_history_step(t->history, &row);
    dt_ui_step(t->ui, &line);
}

/* Of the update after `step` updates. */
static dt_update update_after(const trainer *t, int64_t step) {
    return (dt_update){.step = step + 1, .learning_rate = dt_schedule_at(&t->schedule, step)};
}

static dt_status submit_step(trainer *t) {
    dt_update update = update_after(t, t->submitted);
    int64_t step = t->submitted - t->at.epoch * t->steps;
    t->submitted++;
    return dt_stepper_submit(t->stepper, t->at.epoch, step, &update, wants_stop(t));
}

static dt_status collect_step(trainer *t) {
    dt_step_result result;
    dt_update update = update_after(t, t->at.step);
    dt_status status = dt_stepper_collect(t->stepper, &result);
    if (status == DT_EDIVERGED)
        return diverged(t);
    DT_TRY(status);
    dt_trace_step(t->trace, t->at.step, result.at);
    t->at.step++;
    dt_progress_step(t->at.step);
    t->stops = t->stops || result.stop;
    t->at.samples_seen += result.sums[DT_SUM_COUNT];
    for (int i = 0; i < DT_N_SUMS; i++)
        t->at.sums[i] += result.sums[i];
    meter_count(t, result.sums[DT_SUM_COUNT]);
    if (t->setup.rank == 0)
        show_step(t, &update, &result);
    return DT_OK;
}

/* Steps up to `end`, submitted as far ahead as may be. After a vote to stop no rank submits more,
 * and all have submitted the same, since each collects one before it submits the next. */
static dt_status train_steps(trainer *t, int64_t end) {
    int depth = dt_stepper_depth(t->stepper);
    while (t->at.step < end) {
        while (!t->stops && t->submitted < end && t->submitted - t->at.step < depth)
            DT_TRY(submit_step(t));
        DT_TRY(collect_step(t));
        if (t->stops && t->at.step == t->submitted)
            return dt_fail(DT_ESTOPPED, "stopped after step %lld, as asked", (long long)t->at.step);
    }
    return DT_OK;
}

/* In pieces that end where the state is to be saved. */
static dt_status train_epoch(trainer *t) {
    int64_t end = (t->at.epoch + 1) * t->steps, every = t->setup.options.checkpoint_every;
    dt_progress_phase(DT_PHASE_TRAINING);
    meter_begin(t); /* first: what a device's first step waits for is of the epoch's time */
    DT_TRY(dt_stepper_begin(t->stepper, t->at.epoch));
    t->submitted = t->at.step;
    while (t->at.step < end) {
        int64_t next = every ? (t->at.step / every + 1) * every : end;
        DT_TRY(train_steps(t, next < end ? next : end));
        if (t->at.step < end)
            DT_TRY(save(t, false));
    }
    return DT_OK;
}

/* -- Epochs ---------------------------------------------------------------------------------- */

/* Evaluate into line. A loss that is not finite shows that the last update was one too many. */
static dt_status evaluate(trainer *t, dt_epoch_line *line) {
    dt_setup *s = &t->setup;
    double begin = dt_now();
    dt_evaluation held = {.loss = NAN, .accuracy = NAN}, test = {0};
    dt_status status = DT_OK;
    if (s->n_validation > 0)
        status = dt_evaluate_set(s, DT_TRAIN, s->chosen + s->n_train, s->n_validation, wants_stop,
                                 t, NULL, &held);
    if (status == DT_OK)
        status = dt_evaluate_set(s, DT_TEST, NULL, (int64_t)s->data->test.n, wants_stop, t,
                                 t->confusion, &test);
    if (status == DT_EDIVERGED)
        return diverged(t);
    DT_TRY(status);
    line->validation_loss = held.loss;
    line->validation_accuracy = held.accuracy;
    t->mistakes = test.mistakes;
    line->test_loss = test.loss;
    line->test_accuracy = test.accuracy;
    t->meter.evaluation_seconds = dt_now() - begin;
    dt_trace_span(t->trace, "evaluation", begin, dt_now());
    return DT_OK;
}

/* Epoch 0: how good the network of --init is before any training. */
static dt_status evaluate_initial(trainer *t) {
    dt_epoch_line line = {
        .epochs = t->setup.options.epochs, .train_loss = NAN, .train_accuracy = NAN};
    DT_TRY(evaluate(t, &line));
    record_epoch(t, &line, NULL);
    return DT_OK;
}

static dt_status gather_phases(trainer *t, dt_epoch_line *line) {
    DT_TRY(dt_stepper_phases(t->stepper, t->checkpoint_seconds, t->phases));
    t->checkpoint_seconds = 0;
    int n = t->setup.size;
    for (int r = 0; r < n; r++) {
        line->compute_seconds += t->phases[r].compute / n;
        line->reduce_seconds += t->phases[r].reduce / n;
        line->wait_seconds += t->phases[r].wait / n;
    }
    dt_straggler slowest = dt_straggler_find(t->phases, n);
    line->slowest_rank = slowest.rank;
    line->slowest_host = slowest.rank < 0 ? NULL : dt_comm_host(t->setup.comm, slowest.rank);
    line->slowest_seconds = slowest.seconds;
    return DT_OK;
}

/* The running epoch is over: its numbers into line, the position to the next one. */
static void close_epoch(trainer *t, dt_epoch_line *line) {
    dt_position *at = &t->at;
    float rate = dt_schedule_at(&t->schedule, at->step - 1);
    line->epoch = at->epoch + 1;
    line->epochs = t->setup.options.epochs;
    line->train_loss = mean_loss(at->sums);
    line->train_accuracy = percent_correct(at->sums);
    line->learning_rate = (double)rate;
    line->images_per_second = line->seconds > 0 ? (double)t->meter.images / line->seconds : 0;
    double value = t->setup.n_validation > 0 ? line->validation_accuracy : line->test_accuracy;
    line->is_best = !(value <= at->best_value); /* the first one too: NaN compares false */
    if (line->is_best) {
        at->best_value = value;
        at->best_step = at->step;
    }
    memset(at->sums, 0, sizeof at->sums);
    at->epoch++;
}

static dt_status end_epoch(trainer *t) {
    dt_epoch_line line = {.seconds = dt_now() - t->meter.began};
    DT_TRY(gather_phases(t, &line));
    DT_TRY(dt_check_ranks(&t->setup, t->at.epoch));
    DT_TRY(evaluate(t, &line));
    close_epoch(t, &line);
    record_epoch(t, &line, t->phases);
    return save(t, line.is_best);
}

static bool has_reached_target(const trainer *t) {
    double target = t->setup.options.target_accuracy;
    return target > 0 && t->at.best_value >= target;
}

static dt_status run(trainer *t) {
    if (t->at.step == 0 && t->setup.options.init[0])
        DT_TRY(evaluate_initial(t));
    if (t->at.step == 0 && t->setup.rank == 0) /* run.h5 is there from the start */
        dt_saver_submit(t->saver, NULL, false, dt_history_tables(t->history, -1));
    while (t->at.epoch < t->setup.options.epochs && !has_reached_target(t)) {
        DT_TRY(train_epoch(t));
        DT_TRY(end_epoch(t));
    }
    return DT_OK;
}

/* -- Begin ----------------------------------------------------------------------------------- */

static dt_status choose_directory(trainer *t) {
    dt_setup *s = &t->setup;
    dt_status status = s->rank == 0 ? dt_rundir_choose(&s->options, t->dir, &t->claim) : DT_OK;
    DT_TRY(dt_comm_agree(s->comm, status));
    return dt_comm_bcast(s->comm, t->dir, sizeof t->dir, 0);
}

static dt_status open_outputs(trainer *t) {
    const dt_setup *s = &t->setup;
    size_t classes = (size_t)s->net->classes;
    t->confusion = calloc(classes * classes, sizeof *t->confusion);
    t->phases = calloc((size_t)s->size, sizeof *t->phases);
    if (!t->confusion || !t->phases)
        return dt_fail(DT_EDEVICE, "no memory for the tables of %d ranks", s->size);
    if (s->rank != 0)
        return DT_OK;
    DT_TRY(dt_saver_open(t->dir, (int)s->options.keep, &t->saver));
    dt_saver_tidy(t->saver, t->at.resumed_step, t->at.best_step);
    DT_TRY(dt_history_open(s, t->dir, &t->at, &t->history));
    t->ui = dt_ui_open(&s->options);
    return DT_OK;
}

static void show_banner(const trainer *t) {
    const dt_setup *s = &t->setup;
    dt_banner banner = {.options = &s->options,
                        .net = s->net,
                        .places = s->places,
                        .n_ranks = s->size,
                        .n_hosts = dt_comm_hosts(s->comm),
                        .batch = s->plan.batch,
                        .micro = s->plan.micro,
                        .max_micros = dt_plan_max_micros(&s->plan),
                        .total_workers = dt_plan_total_workers(&s->plan),
                        .n_train = s->n_train,
                        .n_validation = s->n_validation,
                        .n_test = (int64_t)s->data->test.n,
                        .steps_per_epoch = t->steps,
                        .fingerprint = s->fingerprint,
                        .comm_library = dt_comm_library(s->comm),
                        .sums = dt_gpus_transport(s->gpus),
                        .no_gpu = s->gpus->why,
                        .out_dir = t->dir,
                        .resumed_step = t->at.resumed_step};
    dt_ui_banner(t->ui, &banner);
}

static dt_status begin(trainer *t) {
    dt_setup *s = &t->setup;
    const dt_options *o = &s->options;
    DT_TRY(dt_setup_data(s));
    DT_TRY(dt_setup_samples(s));
    DT_TRY(dt_setup_network(s, o->model));
    DT_TRY(dt_setup_device(s, s->data->mean, s->data->std));
    if (o->resume)
        DT_TRY(choose_directory(t));
    DT_TRY(dt_resume(s, t->dir, &t->at));
    if (!o->resume) /* a new one only when nothing else can be wrong */
        DT_TRY(choose_directory(t));
    DT_TRY(dt_stepper_open(s, &t->stepper));
    DT_TRY(dt_comm_agree(s->comm, open_outputs(t)));
    t->steps = dt_plan_steps(&s->plan);
    t->schedule = (dt_schedule_config){.kind = (dt_schedule)o->schedule,
                                       .peak = (float)o->lr,
                                       .warmup = o->warmup,
                                       .total = o->epochs * t->steps};
    t->saved_step = t->at.resumed_step;
    t->saved_epoch = t->saved_step >= 0 ? t->at.epoch : -1;
    dt_progress_step(t->at.step);
    show_banner(t);
    return dt_trace_open(s->comm, o->trace, &t->trace);
}

/* -- Finish ---------------------------------------------------------------------------------- */

/* What the files' fate makes of status. A run that was stopped only needs its last state; a
 * finished one, all. */
static dt_status judge_files(const trainer *t, dt_status status) {
    dt_saver_report report = dt_saver_result(t->saver);
    int64_t failures = report.failures + dt_history_failures(t->history);
    bool is_saved = report.saved_step < 0 ? t->saved_step == t->at.resumed_step
                                          : report.saved_step == t->at.step;
    if (failures == 0 || (status == DT_ESTOPPED && is_saved))
        return status;
    return dt_fail(DT_EIO,
                   "%lld files or lines could not be written to %s (%s); the last state is %s",
                   (long long)failures, t->dir, report.error[0] ? report.error : "see above",
                   is_saved ? "saved all the same" : "not saved");
}

static void digest_parameters(const dt_setup *s, char digest[DT_SHA256_HEX]) {
    float *params = malloc(s->net->n_params * sizeof *params);
    digest[0] = 0;
    if (params && s->backend->get_state(s->device, params, NULL) == DT_OK)
        dt_sha256(params, s->net->n_params * sizeof *params, digest);
    free(params);
}

/* error: the sentence of a failure. */
static void show_summary(const trainer *t, dt_status status, const char *error) {
    const dt_setup *s = &t->setup;
    char reason[64], digest[DT_SHA256_HEX] = "";
    stop_reason(t, reason, sizeof reason);
    if (status == DT_OK || status == DT_ESTOPPED)
        digest_parameters(s, digest);
    dt_summary summary = {.status = status,
                          .reason = status == DT_ESTOPPED ? reason
                                    : status              ? error
                                                          : "",
                          .test_accuracy = dt_history_test_accuracy(t->history),
                          .best_value = t->at.best_value,
                          .best_kind = dt_best_kind(s),
                          .best_epoch = t->at.best_step < 0 ? -1 : t->at.best_step / t->steps,
                          .seconds = dt_now() - s->started,
                          .out_dir = t->dir,
                          .params_sha256 = digest};
    dt_ui_finish(t->ui, &summary);
}

/* Rank 0: the last words into run.h5, and all files closed. */
static dt_status close_files(trainer *t, dt_status status) {
    bool is_whole = status == DT_OK || status == DT_ESTOPPED;
    char error[DT_ERROR_MAX];
    dt_error_copy(error);
    if (is_whole)
        status = judge_files(t, status);
    dt_saver_wait(t->saver);
    dt_saver_submit(t->saver, NULL, false, dt_history_tables(t->history, (int)status));
    if (is_whole)
        status = judge_files(t, status);
    dt_history_end(t->history, status);
    if (is_whole) {
        status = judge_files(t, status);
        dt_error_copy(error);
    }
    show_summary(t, status, error);
    dt_error_set(error);
    dt_saver_close(&t->saver);
    return status;
}

/* The outcome is rank 0's, since all others are of one mind already; waiting for it, they stay
 * until its files are closed. */
static dt_status finish(trainer *t, dt_status status) {
    bool is_whole = status == DT_OK || status == DT_ESTOPPED;
    dt_progress_phase(DT_PHASE_END);
    if (is_whole && (t->saved_step != t->at.step || t->saved_epoch != t->at.epoch)) {
        dt_status saved = save(t, false);
        status = saved == DT_OK ? status : saved;
    }
    dt_status outcome = t->setup.rank == 0 ? close_files(t, status) : status;
    DT_TRY(dt_comm_bcast(t->setup.comm, &outcome, sizeof outcome, 0));
    if (outcome != status && t->setup.rank != 0)
        return dt_fail(outcome, "rank 0 (%s) could not write all its files",
                       dt_comm_host(t->setup.comm, 0));
    return outcome;
}

/* Collective. A trace that cannot be written fails a run that is else well. */
static dt_status close_trace(trainer *t, dt_status status) {
    char error[DT_ERROR_MAX];
    dt_error_copy(error);
    dt_status traced = dt_trace_close(&t->trace);
    if (status == DT_OK)
        return traced;
    dt_error_set(error);
    return status;
}

static void end(trainer *t) {
    dt_saver_close(&t->saver);
    dt_history_close(&t->history);
    dt_ui_close(&t->ui);
    dt_rundir_release(&t->claim);
    dt_stepper_close(&t->stepper);
    dt_setup_close(&t->setup);
    free(t->confusion);
    free(t->phases);
}

dt_status dt_train(const dt_options *options, const dt_backend *backend, dt_gpus *gpus,
                   dt_comm *comm) {
    trainer t = {.claim = -1, .saved_step = -1, .saved_epoch = -1};
    dt_status status = dt_setup_open(&t.setup, options, backend, gpus, comm);
    if (status == DT_OK)
        status = begin(&t);
    if (status == DT_OK)
        status = close_trace(&t, finish(&t, run(&t)));
    end(&t);
    return status;
}
