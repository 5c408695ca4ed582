/* launch/queued.c - steps on a device that works on its own.
 *
 * The host stays some steps ahead, so that the device never waits for it. What a rank computes in
 * an epoch is known before the epoch begins: the list goes to the device as a whole, the next
 * epoch's while this one trains, gathered piece by piece between its steps. Ranks meet only on
 * their devices, in the sums of a step; the host polls for the oldest step and for NCCL's errors,
 * and never blocks in a call that a lost peer could keep from returning. */
#include "launch/queued.h"

#include <stdlib.h>

struct dt_queue {
    dt_setup *setup;
    int64_t n_steps;  /* an epoch */
    int64_t *first;   /* [n_steps + 1] this rank's micro-batches before each step of an epoch */
    int64_t *micros;  /* [k] */
    int64_t *samples; /* [k][m] of one step */
    int64_t uploaded; /* the newest epoch that the device has; -1: none */
    int64_t coming, n_prepared; /* an epoch, and how many of its steps' samples are gathered */
    int64_t epoch;              /* the one that runs */
    int64_t first_step;         /* of those that run of it */
    int depth;
    int64_t n_submitted, n_collected; /* steps */
    double images;
    double from; /* the device has nothing to do, or has been told to begin */
};

/* -- Failing --------------------------------------------------------------------------------- */

static dt_status judge(dt_queue *q, dt_status status) {
    if (status != DT_OK && status != DT_EDIVERGED && q->setup->size > 1)
        dt_gpus_abort(q->setup->gpus, status);
    return status;
}

/* -- Lists of samples ------------------------------------------------------------------------ */

/* The numbers of this rank's samples in a step; how many micro-batches. */
static int fill_list(dt_queue *q, int64_t epoch, int64_t step) {
    const dt_setup *s = q->setup;
    const dt_plan *plan = &s->plan;
    size_t m = (size_t)plan->micro;
    int owned = dt_plan_owned(plan, step, s->rank, q->micros, dt_plan_max_micros(plan));
    for (int i = 0; i < owned; i++) {
        int64_t *samples = q->samples + (size_t)i * m;
        dt_plan_fill(plan, (uint32_t)epoch, step, q->micros[i], samples);
        for (size_t j = 0; j < m; j++)
            samples[j] = dt_setup_sample(s, samples[j]);
    }
    return owned;
}

/* Real samples of this rank in a step: of its micro-batches only the step's last may be short. */
static int count_images(dt_queue *q, int64_t step) {
    const dt_plan *plan = &q->setup->plan;
    int n = dt_plan_owned(plan, step, q->setup->rank, q->micros, dt_plan_max_micros(plan));
    int64_t images = (int64_t)n * plan->micro;
    if (n && q->micros[n - 1] == dt_plan_micros(plan, step) - 1)
        images -= (int64_t)dt_plan_micros(plan, step) * plan->micro - dt_plan_samples(plan, step);
    return (int)images;
}

/* Gather the samples of an epoch's steps up to `end`, step by step; with the last one they go to
 * the device. */
static dt_status prepare(dt_queue *q, int64_t epoch, int64_t end) {
    const dt_setup *s = q->setup;
    dt_status status = DT_OK;
    if (q->coming != epoch)
        q->n_prepared = 0;
    q->coming = epoch;
    for (; q->n_prepared < end && status == DT_OK; q->n_prepared++) {
        int64_t step = q->n_prepared;
        int n = fill_list(q, epoch, step);
        dt_work work = {.samples = q->samples,
                        .n_micros = n,
                        .epoch = (uint32_t)epoch,
                        .first = q->first[step],
                        .rest = q->first[q->n_steps] - q->first[step + 1]};
        if (n > 0 || (step == 0 && work.rest == 0))
            status = s->backend->epoch(s->device, &work);
    }
    if (q->n_prepared == q->n_steps)
        q->uploaded = epoch;
    return status;
}

/* After each step a share of the next epoch, so that the device is given its next step without
 * delay; all of it is there by the middle of this epoch. */
static dt_status prepare_share(dt_queue *q) {
    int64_t steps = q->n_steps - q->first_step, end = 2 * q->n_steps * q->n_collected;
    end = (end + steps - 1) / steps;
    return prepare(q, q->epoch + 1, end < q->n_steps ? end : q->n_steps);
}

dt_status dt_queue_begin(dt_queue *q, int64_t epoch) {
    q->images = 0;
    return dt_queue_go_on(q, epoch);
}

dt_status dt_queue_go_on(dt_queue *q, int64_t epoch) {
    q->epoch = epoch;
    q->from = dt_now();
    q->n_submitted = q->n_collected = 0;
    if (q->uploaded >= epoch)
        return DT_OK;
    /* Nothing is queued: a failure is everybody's. And no rank's sums wait for another one that
     * still reads its samples from a cold disk. */
    return dt_comm_agree(q->setup->comm, prepare(q, epoch, q->n_steps));
}

/* -- Steps ----------------------------------------------------------------------------------- */

dt_status dt_queue_submit(dt_queue *q, int64_t epoch, int64_t step, const dt_update *update,
                          bool vote_stop) {
    const dt_setup *s = q->setup;
    dt_queued_step queued = {.epoch = (uint32_t)epoch,
                             .first = q->first[step],
                             .n_micros = (int)(q->first[step + 1] - q->first[step]),
                             .update = *update,
                             .vote_stop = vote_stop};
    if (q->n_submitted == 0)
        q->first_step = step;
    if (q->n_submitted > 0 && q->n_submitted == q->n_collected)
        q->from = dt_now(); /* the host did something else meanwhile */
    q->n_submitted++;
    q->images += count_images(q, step);
    return judge(q, s->backend->step(s->device, &queued));
}

/* A step's phases: it has waited for input from the end of the one before to its beginning. */
static void note_times(dt_queue *q, const double stamp[DT_N_STAMPS], double at[DT_STEP_MOMENTS]) {
    at[DT_STEP_INPUT] = q->from;
    at[DT_STEP_COMPUTE] = stamp[DT_STAMP_BEGAN];
    at[DT_STEP_REDUCE] = stamp[DT_STAMP_COMPUTED];
    at[DT_STEP_UPDATE] = stamp[DT_STAMP_SUMMED];
    at[DT_STEP_END] = stamp[DT_STAMP_ENDED];
    for (int i = 1; i < DT_STEP_MOMENTS; i++) /* the device's clock ticks coarsely */
        at[i] = at[i] > at[i - 1] ? at[i] : at[i - 1];
    q->from = at[DT_STEP_END];
}

dt_status dt_queue_collect(dt_queue *q, dt_step_result *out) {
    const dt_setup *s = q->setup;
    dt_step_outcome outcome = {0};
    DT_TRY(judge(q, dt_gpus_collect(s->gpus, s->backend, s->device, &outcome)));
    q->n_collected++;
    *out = (dt_step_result){.norm = outcome.norm, .stop = outcome.votes != 0};
    note_times(q, outcome.at, out->at);
    for (int i = 0; i < DT_N_SUMS; i++)
        out->sums[i] = outcome.sums[i];
    bool is_last = q->epoch + 1 >= q->setup->options.epochs;
    return is_last || q->uploaded > q->epoch ? DT_OK : judge(q, prepare_share(q));
}

double dt_queue_images(const dt_queue *q) {
    return q->images;
}

/* -- Opening --------------------------------------------------------------------------------- */

static dt_status allocate(dt_queue *q) {
    const dt_setup *s = q->setup;
    const dt_plan *plan = &s->plan;
    int k = dt_plan_max_micros(plan);
    q->first = calloc((size_t)q->n_steps + 1, sizeof *q->first);
    q->micros = malloc((size_t)k * sizeof *q->micros);
    if (!q->first || !q->micros)
        return dt_fail(DT_EDEVICE, "no memory for the plan of %lld steps", (long long)q->n_steps);
    for (int64_t step = 0; step < q->n_steps; step++)
        q->first[step + 1] = q->first[step] + dt_plan_owned(plan, step, s->rank, q->micros, k);
    size_t n = (size_t)k * (size_t)plan->micro;
    q->samples = malloc((n + 1) * sizeof *q->samples);
    if (!q->samples)
        return dt_fail(DT_EDEVICE, "no memory for the numbers of a step's %zu samples", n);
    return DT_OK;
}

/* As far ahead as the back end can take it without ever waiting in a launch, for the rank that has
 * most to do: all ranks must find the same. */
static int depth_of(const dt_setup *s) {
    int most = 0, depth = DT_QUEUE_DEPTH;
    for (int r = 0; r < s->size; r++) {
        int n = dt_plan_owned(&s->plan, 0, r, NULL, 0);
        most = n > most ? n : most;
    }
    if (s->backend->depth)
        depth = s->backend->depth(s->device, most);
    return depth < DT_QUEUE_DEPTH ? depth : DT_QUEUE_DEPTH;
}

int dt_queue_depth(const dt_queue *q) {
    return q->depth;
}

dt_status dt_queue_open(dt_setup *setup, dt_queue **out) {
    dt_queue *q = *out = calloc(1, sizeof *q);
    if (!q)
        return dt_fail(DT_EDEVICE, "no memory for a queue of steps");
    q->setup = setup;
    q->n_steps = dt_plan_steps(&setup->plan);
    q->uploaded = q->coming = -1;
    q->depth = depth_of(setup);
    dt_status status = allocate(q);
    if (status != DT_OK)
        dt_queue_close(out);
    return status;
}

void dt_queue_close(dt_queue **queue) {
    dt_queue *q = *queue;
    if (!q)
        return;
    free(q->first);
    free(q->micros);
    free(q->samples);
    free(q);
    *queue = NULL;
}
