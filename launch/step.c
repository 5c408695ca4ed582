/* launch/step.c - one step over all ranks.
 *
 * A rank fills the sample lists of the micro-batches that it owns, has the device add up their
 * gradients, has the ranks add up those, and updates its own copy of the parameters. With overlap
 * the sum of a range of the gradient (the last layers first) is started as soon as the device says
 * that the range is final, from whichever worker thread says so. All ranks start the same sums in
 * the same order: the ranges in theirs, the rest behind, a rank without work too.
 *
 * Two integers travel behind the gradient: votes to stop, and failures. A rank that fails takes
 * part in the sums of that step all the same, so nobody is left waiting; then all know and leave.
 *
 * What is submitted waits until it is collected. A back end that has a queue of its own takes steps
 * as they come instead (launch/queued.c), and none of this here.
 *
 * Waiting is told from reducing without a barrier and without a common clock: all ranks leave an
 * all-reduce together, so the time from there to the next arrival can be compared between
 * ranks. Arrivals are exchanged once an epoch, for at most N_SAMPLED of its steps. */
#include "launch/step.h"

#include <pthread.h>
#include <stdlib.h>

#include "launch/queued.h"

enum { MAX_RANGES = 64, N_SAMPLED = 512 };
enum { VOTES, FAILURES, N_CONTROL };

struct dt_stepper {
    dt_setup *setup;
    dt_queue *queue; /* of a back end that has one; for it, of the rest only the phases are used */
    dt_gradient buffer;
    dt_work work;
    int64_t *samples; /* [k][m], of the owned micro-batches */
    int64_t *micros;  /* [k] */
    dt_status late;   /* an update failed on this rank alone: told in the next step */
    char late_error[DT_ERROR_MAX];
    struct { /* what was submitted */
        int64_t epoch, step;
        dt_update update;
        bool vote_stop;
    } next;

    bool overlap;
    int n_ranges;
    size_t from[MAX_RANGES], n[MAX_RANGES];
    pthread_mutex_t lock; /* for the rest of this block */
    bool is_final[MAX_RANGES];
    int n_started;
    dt_status start_status;
    char start_error[DT_ERROR_MAX];

    dt_phases phases; /* wait is still part of reduce here */
    double left;      /* when the last all-reduce was over */
    int64_t n_steps, stride;
    float came[N_SAMPLED], spent[N_SAMPLED]; /* of sampled steps: left -> arrival -> done */
};

/* -- Sums ------------------------------------------------------------------------------------ */

static dt_status start_range(dt_stepper *p, int i) {
    dt_comm *comm = p->setup->comm;
    if (p->buffer.floats)
        return dt_comm_start_sum_f32(comm, p->buffer.floats + p->from[i], p->n[i]);
    return dt_comm_start_sum_i64(comm, p->buffer.sums + p->from[i], p->n[i]);
}

/* Start what is final and next in the order. The lock is held. */
static void start_final_ranges(dt_stepper *p) {
    while (p->n_started < p->n_ranges && p->is_final[p->n_started]) {
        if (p->start_status == DT_OK) {
            p->start_status = start_range(p, p->n_started);
            if (p->start_status != DT_OK)
                dt_error_copy(p->start_error);
        }
        p->n_started++;
    }
}

/* The device's callback, from any of its threads. */
static void range_is_final(void *ctx, int range) {
    dt_stepper *p = ctx;
    pthread_mutex_lock(&p->lock);
    p->is_final[range] = true;
    start_final_ranges(p);
    pthread_mutex_unlock(&p->lock);
}

/* Sums behind the ranges: those that no range covers, and with --reduce float all of them. */
static dt_status start_rest(dt_stepper *p) {
    size_t covered = 0;
    for (int i = 0; i < p->n_ranges && !p->buffer.floats; i++)
        if (p->from[i] + p->n[i] > covered)
            covered = p->from[i] + p->n[i];
    if (covered == p->buffer.n_sums)
        return DT_OK;
    return dt_comm_start_sum_i64(p->setup->comm, p->buffer.sums + covered,
                                 p->buffer.n_sums - covered);
}

/* Start whatever the callbacks have not, and wait for all. */
static dt_status reduce(dt_stepper *p, int64_t control[N_CONTROL]) {
    dt_comm *comm = p->setup->comm;
    if (p->setup->size == 1)
        return DT_OK;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->n_ranges; i++)
        p->is_final[i] = true;
    start_final_ranges(p);
    dt_status status = p->start_status;
    pthread_mutex_unlock(&p->lock);
    if (status != DT_OK) {
        dt_error_set(p->start_error);
        return status;
    }
    DT_TRY(start_rest(p));
    DT_TRY(dt_comm_start_sum_i64(comm, control, N_CONTROL));
    return dt_comm_wait(comm);
}

dt_status dt_stepper_late(const dt_stepper *p) {
    if (p->late != DT_OK)
        dt_error_set(p->late_error);
    return p->late;
}

/* -- A step ---------------------------------------------------------------------------------- */

static void fill_work(dt_stepper *p, int64_t epoch, int64_t step) {
    const dt_setup *s = p->setup;
    const dt_plan *plan = &s->plan;
    size_t m = (size_t)plan->micro;
    int n = dt_plan_owned(plan, step, s->rank, p->micros, dt_plan_max_micros(plan));
    for (int i = 0; i < n; i++) {
        int64_t *samples = p->samples + (size_t)i * m;
        p->phases.images += dt_plan_fill(plan, (uint32_t)epoch, step, p->micros[i], samples);
        for (size_t j = 0; j < m; j++)
            samples[j] = dt_setup_sample(s, samples[j]);
    }
    p->work = (dt_work){.samples = p->samples, .n_micros = n, .epoch = (uint32_t)epoch};
    for (int i = 0; i < p->n_ranges; i++)
        p->is_final[i] = false;
    p->n_started = 0;
}

static dt_status compute(dt_stepper *p) {
    DT_TRY(dt_stepper_late(p));
    const dt_setup *s = p->setup;
    return s->backend->gradient(s->device, &p->work, p->overlap ? range_is_final : NULL, p);
}

static void note_phases(dt_stepper *p, const double at[DT_STEP_MOMENTS]) {
    double came = at[DT_STEP_REDUCE], reduced = at[DT_STEP_UPDATE];
    int64_t i = p->n_steps / p->stride;
    if (p->n_steps % p->stride == 0 && i < N_SAMPLED) {
        p->came[i] = (float)(came - p->left);
        p->spent[i] = (float)(reduced - came);
    }
    p->n_steps++;
    p->left = reduced;
    p->phases.input += at[DT_STEP_COMPUTE] - at[DT_STEP_INPUT];
    p->phases.update += at[DT_STEP_END] - reduced;
    p->phases.compute += came - at[DT_STEP_COMPUTE] + at[DT_STEP_END] - reduced;
    p->phases.reduce += reduced - came;
}

int dt_stepper_depth(const dt_stepper *p) {
    return p->queue ? dt_queue_depth(p->queue) : 1;
}

dt_status dt_stepper_submit(dt_stepper *p, int64_t epoch, int64_t step, const dt_update *update,
                            bool vote_stop) {
    if (p->queue)
        return dt_queue_submit(p->queue, epoch, step, update, vote_stop);
    p->next.epoch = epoch;
    p->next.step = step;
    p->next.update = *update;
    p->next.vote_stop = vote_stop;
    return DT_OK;
}

static dt_status run(dt_stepper *p, dt_step_result *out) {
    const dt_setup *s = p->setup;
    double begin = dt_now();
    fill_work(p, p->next.epoch, p->next.step);
    double filled = dt_now();
    dt_status mine = compute(p);
    double came = dt_now();
    int64_t control[N_CONTROL] = {p->next.vote_stop, mine != DT_OK};
    DT_TRY(reduce(p, control));
    double reduced = dt_now();
    if (control[FAILURES])
        return dt_comm_agree(s->comm, mine);

    const int64_t *sums = p->buffer.sums + (p->buffer.n_sums - DT_N_SUMS);
    *out = (dt_step_result){.stop = control[VOTES] != 0, .at = {begin, filled, came, reduced}};
    for (int i = 0; i < DT_N_SUMS; i++)
        out->sums[i] = sums[i];
    dt_status status = s->backend->update(s->device, &p->next.update, &out->norm);
    out->at[DT_STEP_END] = dt_now();
    note_phases(p, out->at);
    if (status == DT_EDIVERGED) /* judged by the sums, so by all ranks alike */
        return status;
    p->late = status;
    if (status != DT_OK)
        dt_error_copy(p->late_error);
    return s->size == 1 ? status : DT_OK;
}

dt_status dt_stepper_collect(dt_stepper *p, dt_step_result *out) {
    if (!p->queue)
        return run(p, out);
    DT_TRY(dt_queue_collect(p->queue, out));
    note_phases(p, out->at);
    return DT_OK;
}

/* -- Phases ---------------------------------------------------------------------------------- */

dt_status dt_stepper_begin(dt_stepper *p, int64_t epoch) {
    p->phases = (dt_phases){0};
    p->n_steps = 0;
    dt_status status = p->queue ? dt_queue_begin(p->queue, epoch) : DT_OK;
    p->left = dt_now();
    return status;
}

dt_status dt_stepper_go_on(dt_stepper *p, int64_t epoch) {
    return p->queue ? dt_queue_go_on(p->queue, epoch) : DT_OK;
}

/* all: [size][n], the sampled arrivals of every rank. */
static double seconds_waited(const dt_stepper *p, const float *all, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float last = p->came[i];
        for (int r = 0; r < p->setup->size; r++)
            if (all[(size_t)r * n + i] > last)
                last = all[(size_t)r * n + i];
        float waited = last - p->came[i];
        sum += (double)(waited < p->spent[i] ? waited : p->spent[i]);
    }
    return n ? sum * (double)p->n_steps / (double)n : 0;
}

dt_status dt_stepper_phases(dt_stepper *p, double checkpoint_seconds, dt_phases *all) {
    dt_setup *s = p->setup;
    size_t n = (size_t)((p->n_steps + p->stride - 1) / p->stride);
    if (n > N_SAMPLED)
        n = N_SAMPLED;
    float *came = malloc((n * (size_t)s->size + 1) * sizeof *came);
    dt_status status = dt_stepper_late(p);
    if (status == DT_OK && !came)
        status = dt_fail(DT_EDEVICE, "no memory for the arrivals of %d ranks", s->size);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    if (n)
        DT_TRY_GOTO(status, dt_comm_allgather(s->comm, p->came, n * sizeof *came, came), done);
    dt_phases mine = p->phases;
    double waited = seconds_waited(p, came, n);
    mine.wait = waited < mine.reduce ? waited : mine.reduce;
    mine.reduce -= mine.wait;
    if (p->queue)
        mine.images = dt_queue_images(p->queue);
    mine.checkpoint = checkpoint_seconds;
    status = dt_comm_allgather(s->comm, &mine, sizeof mine, all);
done:
    free(came);
    return status;
}

/* -- Opening --------------------------------------------------------------------------------- */

static void plan_ranges(dt_stepper *p) {
    const dt_setup *s = p->setup;
    if (p->overlap)
        p->n_ranges = s->backend->ranges(s->device, MAX_RANGES, p->from, p->n);
    if (!p->overlap || p->n_ranges > MAX_RANGES) {
        p->overlap = false;
        p->n_ranges = 1;
        p->from[0] = 0;
        p->n[0] = p->buffer.floats ? s->net->n_params : p->buffer.n_sums;
    }
}

dt_status dt_stepper_open(dt_setup *setup, dt_stepper **out) {
    int overlap = setup->options.overlap;
    size_t k = (size_t)dt_plan_max_micros(&setup->plan);
    dt_stepper *p = calloc(1, sizeof *p);
    if (p) {
        p->micros = malloc(k * sizeof *p->micros);
        p->samples = malloc(k * (size_t)setup->plan.micro * sizeof *p->samples);
        pthread_mutex_init(&p->lock, NULL);
    }
    *out = p;
    dt_status status = DT_OK;
    if (!p || !p->micros || !p->samples)
        status = dt_fail(DT_EDEVICE, "no memory for the sample numbers of a batch");
    else if (setup->backend->step)
        status = dt_queue_open(setup, &p->queue);
    status = dt_comm_agree(setup->comm, status);
    if (status != DT_OK) {
        dt_stepper_close(out);
        return status;
    }
    p->setup = setup;
    p->stride = (dt_plan_steps(&setup->plan) + N_SAMPLED - 1) / N_SAMPLED;
    if (p->queue)
        return DT_OK;
    p->buffer = setup->backend->buffer(setup->device);
    p->overlap = setup->size > 1 && (overlap == DT_OVERLAP_ON || (overlap == DT_OVERLAP_AUTO &&
                                                                  dt_comm_hosts(setup->comm) > 1));
    plan_ranges(p);
    return DT_OK;
}

void dt_stepper_close(dt_stepper **stepper) {
    dt_stepper *p = *stepper;
    if (!p)
        return;
    dt_queue_close(&p->queue);
    pthread_mutex_destroy(&p->lock);
    free(p->micros);
    free(p->samples);
    free(p);
    *stepper = NULL;
}
