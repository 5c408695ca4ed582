/* launch/cell.c - one training of a sweep: set up, trained, measured, torn down.
 *
 * A lean sibling of launch/trainer.c: the same set-up and the same steps, so the same bits, but no
 * run directory, no checkpoints and no display. An accuracy cell trains to its end and is evaluated
 * at every point of its curve. A time cell warms up, then times steps on full batches one by one.
 * How many, the first cell of a batch finds out; all others of that batch do the same number, and
 * must end with the same parameters. Of a whole epoch these are as many as an epoch has, the short
 * batch at its end and the change to the next among them. */
#include "launch/cell.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/progress.h"
#include "launch/check.h"
#include "launch/evaluate.h"
#include "launch/resume.h"
#include "launch/setup.h"
#include "launch/step.h"

/* Warm-up: caches, threads, page faults; the last TIMED steps of it tell how long a step takes. */
enum { WARM_UP = 10, TIMED = 5, MIN_STEPS = 30, MAX_STEPS = 2000 };
static const double seconds_to_time = 2;
enum { LATENCY_CALLS = 200, REDUCE_CALLS = 20 };

typedef struct {
    const dt_cell_job *job;
    dt_cell *cell;
    dt_gpus gpus; /* of the cell's ranks */
    dt_setup setup;
    dt_stepper *stepper;
    dt_schedule_config schedule;
    int64_t step, end;       /* updates done; of the whole cell */
    int64_t submitted;       /* updates begun */
    int64_t epoch;           /* that the stepper is in */
    double mark;             /* when the last update was done */
    bool stops;              /* some rank asked to stop */
    int64_t steps_per_epoch; /* time cells of some steps: full batches only */
    int64_t sums[DT_N_SUMS]; /* since the last point */
    int64_t images;
    double train_seconds, evaluation_seconds;
} run;

static bool wants_stop(void *ctx) {
    const run *r = ctx;
    return dt_signals_pending() ||
           (r->job->time_limit_at > 0 && r->setup.rank == 0 && dt_now() >= r->job->time_limit_at);
}

/* -- Set-up ---------------------------------------------------------------------------------- */

static dt_options cell_options(const dt_cell_job *job, const dt_cell *cell) {
    dt_options o = *job->options;
    o.command = DT_CMD_TRAIN;
    o.samples = cell->samples;
    o.batch = cell->batch;
    o.epochs = cell->kind == DT_CELL_TIME ? job->spec->epochs : cell->epochs;
    o.seed = (uint64_t)cell->seed;
    o.threads = job->spec->threads;
    return o;
}

static dt_status begin(run *r) {
    dt_setup *s = &r->setup;
    dt_position at;
    bool is_time = r->cell->kind == DT_CELL_TIME;
    s->data = r->job->data;
    DT_TRY(dt_setup_samples(s));
    DT_TRY(dt_setup_network(s, s->options.model));
    DT_TRY(dt_setup_device(s, s->data->mean, s->data->std));
    DT_TRY(dt_resume(s, "", &at));
    DT_TRY(dt_stepper_open(s, &r->stepper));
    r->end = is_time ? 0 : dt_sweep_steps(r->job->spec, r->cell);
    r->steps_per_epoch =
        is_time && r->cell->epochs == 0 ? s->n_train / s->plan.batch : dt_plan_steps(&s->plan);
    r->schedule = (dt_schedule_config){
        .kind = (dt_schedule)s->options.schedule,
        .peak = (float)s->options.lr,
        .warmup = s->options.warmup,
        .total = is_time ? s->options.epochs * dt_plan_steps(&s->plan) : r->end};
    return DT_OK;
}

static void end(run *r) {
    dt_stepper_close(&r->stepper);
    r->setup.data = NULL; /* the sweep's */
    dt_setup_close(&r->setup);
}

/* -- Steps ----------------------------------------------------------------------------------- */

static dt_status submit(run *r) {
    dt_update update = {.step = r->submitted + 1,
                        .learning_rate = dt_schedule_at(&r->schedule, r->submitted)};
    int64_t in_epoch = r->submitted % r->steps_per_epoch;
    r->submitted++;
    return dt_stepper_submit(r->stepper, r->epoch, in_epoch, &update, wants_stop(r));
}

/* Updates up to until, as far ahead as the device's queue goes and the epoch. After a vote to stop
 * no rank submits more, and all have submitted the same, as in a training. */
static dt_status submit_ahead(run *r, int64_t until) {
    int depth = dt_stepper_depth(r->stepper);
    if (r->submitted == r->step) { /* nothing is under way: the next begins now */
        int64_t epoch = r->step / r->steps_per_epoch;
        r->mark = dt_now();
        if (epoch != r->epoch)
            DT_TRY(dt_stepper_go_on(r->stepper, epoch));
        r->epoch = epoch;
    }
    int64_t end = (r->epoch + 1) * r->steps_per_epoch;
    end = until < end ? until : end;
    while (!r->stops && r->submitted < end && r->submitted - r->step < depth)
        DT_TRY(submit(r));
    return DT_OK;
}

/* One update, of those up to until. seconds: since the one before was done. */
static dt_status step(run *r, int64_t until, double *seconds) {
    dt_step_result result;
    DT_TRY(submit_ahead(r, until));
    dt_status status = dt_stepper_collect(r->stepper, &result);
    if (status == DT_EDIVERGED)
        return dt_fail(status, "diverged at step %lld: a gradient was not finite or too large",
                       (long long)r->step + 1);
    DT_TRY(status);
    double now = dt_now();
    *seconds = now - r->mark;
    r->mark = now;
    dt_trace_step(r->job->trace, r->step, result.at);
    r->step++;
    dt_progress_step(r->step);
    r->train_seconds += *seconds;
    r->images += result.sums[DT_SUM_COUNT];
    for (int i = 0; i < DT_N_SUMS; i++)
        r->sums[i] += result.sums[i];
    r->stops = r->stops || result.stop;
    if (r->stops && r->step == r->submitted)
        return dt_fail(DT_ESTOPPED, "stopped in a cell, as asked");
    return DT_OK;
}

/* -- Accuracy -------------------------------------------------------------------------------- */

static double *curve(const run *r, int column) {
    return r->cell->curve + (size_t)column * (size_t)(r->job->spec->epochs + 1);
}

/* Of the whole test set. */
static dt_status evaluate(run *r, dt_evaluation *test) {
    dt_setup *s = &r->setup;
    double begin = dt_now();
    dt_status status =
        dt_evaluate_set(s, DT_TEST, NULL, (int64_t)s->data->test.n, wants_stop, r, NULL, test);
    dt_trace_span(r->job->trace, "evaluation", begin, dt_now());
    r->evaluation_seconds += dt_now() - begin;
    if (status == DT_EDIVERGED)
        return dt_fail(status, "diverged by step %lld: the test loss is not finite",
                       (long long)r->step);
    return status;
}

static dt_status take_point(run *r, int64_t i) {
    const dt_setup *s = &r->setup;
    dt_evaluation test;
    int64_t count = r->sums[DT_SUM_COUNT];
    dt_cell *cell = r->cell;
    curve(r, DT_CURVE_STEP)[i] = (double)r->step;
    curve(r, DT_CURVE_EPOCH)[i] = (double)r->images / (double)s->n_train;
    curve(r, DT_CURVE_SECONDS)[i] = r->train_seconds;
    if (r->step == 0 && !s->options.init[0]) /* random weights: everybody knows */
        return DT_OK;
    DT_TRY(evaluate(r, &test));
    cell->train_loss =
        count ? ldexp((double)r->sums[DT_SUM_LOSS], -DT_LOSS_BITS) / (double)count : NAN;
    cell->train_accuracy = count ? 100.0 * (double)r->sums[DT_SUM_CORRECT] / (double)count : NAN;
    cell->test_loss = test.loss;
    cell->test_accuracy = test.accuracy;
    cell->test_correct = test.correct;
    curve(r, DT_CURVE_TRAIN_LOSS)[i] = cell->train_loss;
    curve(r, DT_CURVE_TRAIN_ACCURACY)[i] = cell->train_accuracy;
    curve(r, DT_CURVE_TEST_LOSS)[i] = test.loss;
    curve(r, DT_CURVE_TEST_ACCURACY)[i] = test.accuracy;
    memset(r->sums, 0, sizeof r->sums);
    return DT_OK;
}

static dt_status train(run *r) {
    double seconds;
    for (int64_t i = 0; i <= r->cell->epochs; i++) {
        int64_t point = dt_sweep_point(r->job->spec, r->cell, i);
        while (r->step < point)
            DT_TRY(step(r, point, &seconds));
        DT_TRY(take_point(r, i));
    }
    r->cell->steps = r->step;
    return DT_OK;
}

/* -- Time ------------------------------------------------------------------------------------ */

static dt_status warm_up(run *r, int64_t *steps) {
    double seconds = 0, sum = 0;
    for (int i = 0; i < WARM_UP; i++) {
        DT_TRY(step(r, WARM_UP, &seconds));
        sum += i >= WARM_UP - TIMED ? seconds : 0;
    }
    double wanted = seconds_to_time * TIMED / sum;
    *steps = r->cell->epochs ? r->cell->epochs * r->steps_per_epoch : r->job->steps;
    if (*steps == 0)
        *steps = wanted > MAX_STEPS ? MAX_STEPS : wanted < MIN_STEPS ? MIN_STEPS : (int64_t)wanted;
    r->train_seconds = 0;
    r->images = 0;
    return dt_comm_bcast(r->setup.comm, steps, sizeof *steps, 0);
}

/* The median of some calls; all ranks make them. v: for those through host memory. */
static dt_status time_sums(run *r, int64_t *v, size_t n, int calls, double *seconds) {
    double took[LATENCY_CALLS];
    if (dt_gpus_reducer(&r->gpus))
        dt_gpus_time_sum(&r->gpus, n, calls, took);
    for (int i = 0; i < calls && !dt_gpus_reducer(&r->gpus); i++) {
        double begin = dt_now();
        DT_TRY(dt_comm_sum_i64(r->setup.comm, v, n));
        took[i] = dt_now() - begin;
    }
    *seconds = dt_median_interval(took, (size_t)calls).median;
    return DT_OK;
}

/* Of the memory that steps sum, where that is the host's and exact; else of some. */
static dt_status time_all_reduce(run *r) {
    const dt_setup *s = &r->setup;
    size_t n = s->net->n_params + DT_N_SUMS;
    if (s->size == 1)
        return DT_OK;
    dt_gradient buffer = {0};
    if (s->backend->buffer)
        buffer = s->backend->buffer(s->device);
    int64_t *own = NULL, *v = buffer.stream ? NULL : buffer.sums;
    if (!v || buffer.n_sums != n)
        v = own = calloc(n, sizeof *own);
    else
        memset(v, 0, n * sizeof *v); /* sums of sums of sums would not fit */
    dt_status status = v ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %zu sums", n);
    status = dt_comm_agree(s->comm, status);
    if (status == DT_OK)
        status = time_sums(r, v, 1, LATENCY_CALLS, &r->cell->latency_seconds);
    if (status == DT_OK)
        status = time_sums(r, v, n, REDUCE_CALLS, &r->cell->all_reduce_seconds);
    r->cell->all_reduce_bytes = (int64_t)(n * sizeof *v);
    free(own);
    return status;
}

static dt_status time_steps(run *r) {
    int64_t steps;
    DT_TRY(warm_up(r, &steps));
    double *seconds = malloc((size_t)steps * sizeof *seconds);
    dt_status status =
        seconds ? DT_OK
                : dt_fail(DT_EDEVICE, "no memory for the times of %lld steps", (long long)steps);
    DT_TRY_GOTO(status, dt_comm_agree(r->setup.comm, status), done);
    r->epoch = r->step / r->steps_per_epoch;
    DT_TRY_GOTO(status, dt_stepper_begin(r->stepper, r->epoch), done);
    for (int64_t i = 0; status == DT_OK && i < steps; i++)
        status = step(r, WARM_UP + steps, &seconds[i]);
    if (status != DT_OK)
        goto done;
    dt_median m = dt_median_interval(seconds, (size_t)steps);
    r->cell->step_seconds = m.median;
    r->cell->step_low = m.low;
    r->cell->step_high = m.high;
    r->cell->steps = steps;
    r->cell->warmup_steps = WARM_UP;
done:
    free(seconds);
    return status;
}

/* -- What came out --------------------------------------------------------------------------- */

static dt_status gather_phases(run *r) {
    const dt_setup *s = &r->setup;
    dt_cell *cell = r->cell;
    double n = (double)cell->steps * s->size;
    int slowest = 0, whole = dt_comm_rank(r->job->whole);
    dt_phases *all = calloc((size_t)s->size, sizeof *all);
    int *numbers = calloc((size_t)s->size, sizeof *numbers);
    dt_status status =
        all && numbers ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d ranks", s->size);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(s->comm, &whole, sizeof whole, numbers), done);
    DT_TRY_GOTO(status, dt_stepper_phases(r->stepper, 0, all), done);
    cell->input_seconds = cell->compute_seconds = cell->update_seconds = 0;
    cell->reduce_seconds = cell->wait_seconds = 0;
    for (int i = 0; i < s->size; i++) {
        cell->input_seconds += all[i].input / n;
        cell->compute_seconds += (all[i].compute - all[i].update) / n;
        cell->update_seconds += all[i].update / n;
        cell->reduce_seconds += all[i].reduce / n;
        cell->wait_seconds += all[i].wait / n;
        if (all[i].compute - all[i].update > all[slowest].compute - all[slowest].update)
            slowest = i;
    }
    cell->compute_max_seconds = (all[slowest].compute - all[slowest].update) / (double)cell->steps;
    cell->slowest_rank = numbers[slowest];
    snprintf(cell->slowest_host, sizeof cell->slowest_host, "%s",
             dt_comm_host(r->job->whole, numbers[slowest]));
done:
    free(all);
    free(numbers);
    return status;
}

static dt_status digest_parameters(run *r) {
    const dt_setup *s = &r->setup;
    float *params = malloc(s->net->n_params * sizeof *params);
    dt_status status = params
                           ? s->backend->get_state(s->device, params, NULL)
                           : dt_fail(DT_EDEVICE, "no memory for %zu parameters", s->net->n_params);
    if (status == DT_OK)
        dt_sha256(params, s->net->n_params * sizeof *params, r->cell->params_sha256);
    free(params);
    return dt_comm_agree(s->comm, status);
}

/* What a time cell measures besides its steps. */
static dt_status time_others(run *r) {
    dt_evaluation unused;
    DT_TRY(time_all_reduce(r));
    return evaluate(r, &unused);
}

static dt_status run_cell(run *r, double started) {
    DT_TRY(begin(r));
    dt_progress_phase(DT_PHASE_TRAINING);
    r->cell->startup_seconds = dt_now() - started;
    DT_TRY(dt_stepper_begin(r->stepper, 0));
    DT_TRY(r->cell->kind == DT_CELL_TIME ? time_steps(r) : train(r));
    DT_TRY(gather_phases(r));
    r->cell->seconds = r->train_seconds;
    r->cell->images_per_second = (double)r->images / r->train_seconds;
    DT_TRY(dt_check_ranks(&r->setup, r->step / r->steps_per_epoch));
    if (r->cell->kind == DT_CELL_TIME)
        DT_TRY(time_others(r));
    r->cell->evaluation_seconds = r->evaluation_seconds;
    return digest_parameters(r);
}

dt_status dt_cell_run(const dt_cell_job *job, dt_cell *cell) {
    run r = {.job = job, .cell = cell};
    dt_phase before = dt_progress_phase(DT_PHASE_STARTUP);
    double started = dt_now();
    dt_options options = cell_options(job, cell);
    cell->ranks = dt_comm_size(job->comm);
    for (int64_t i = 0; i < DT_CURVE_COLUMNS * (job->spec->epochs + 1); i++)
        cell->curve[i] = NAN;
    dt_status status = dt_comm_agree(job->comm, dt_gpus_part(job->gpus, job->comm, &r.gpus));
    if (status == DT_OK)
        status = dt_setup_open(&r.setup, &options, job->backend, &r.gpus, job->comm);
    if (status == DT_OK)
        status = run_cell(&r, started);
    cell->status = status;
    if (status != DT_OK)
        snprintf(cell->reason, sizeof cell->reason, "%.*s", (int)sizeof cell->reason - 1,
                 dt_error());
    end(&r);
    dt_gpus_close(&r.gpus, status);
    dt_progress_phase(before);
    return status;
}
