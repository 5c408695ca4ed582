/* dist/plan.c - the arithmetic that turns (epoch, step) into micro-batches, and micro-batches into
 * work for ranks.
 *
 * Everything here is a pure function of the plan, computed anew on every call: there is no table to
 * build, to keep in step between ranks or to store in a checkpoint. What a micro-batch contains
 * depends on (n, B, m, seed, epoch, step) and never on the ranks; the ranks only decide who
 * computes it. Workers are dealt micro-batches round robin (j mod W), so that nobody has more than
 * ceil(k / W), and in a short last step the first workers get the work.
 *
 * Nothing is checked here: options are, where they come in. */
#include "dist/plan.h"

#include "io/rng.h"

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Workers of rank are numbered from first[0]; total over all ranks is returned. */
static int number_workers(const dt_plan *plan, int rank, int *first) {
    int total = 0;
    for (int r = 0; r < plan->n_ranks; r++) {
        if (r == rank)
            *first = total;
        total += plan->workers[r];
    }
    return total;
}

int64_t dt_plan_steps(const dt_plan *plan) {
    return ceil_div(plan->n, plan->batch);
}

int dt_plan_max_micros(const dt_plan *plan) {
    return (int)ceil_div(plan->batch, plan->micro);
}

int dt_plan_samples(const dt_plan *plan, int64_t step) {
    int64_t left = plan->n - step * plan->batch;
    return left < plan->batch ? (int)left : plan->batch;
}

int dt_plan_micros(const dt_plan *plan, int64_t step) {
    return (int)ceil_div(dt_plan_samples(plan, step), plan->micro);
}

int dt_plan_total_workers(const dt_plan *plan) {
    int first = 0;
    return number_workers(plan, 0, &first);
}

/* Micro-batches 0 .. n_micros-1, dealt to the workers. */
static int64_t deal(const dt_plan *plan, int64_t n_micros, int rank, int64_t *micros, int64_t max) {
    int first = 0, total = number_workers(plan, rank, &first);
    int64_t n = 0;
    for (int64_t round = first; round < n_micros; round += total)
        for (int64_t j = round; j < round + plan->workers[rank] && j < n_micros; j++) {
            if (n < max)
                micros[n] = j;
            n++;
        }
    return n;
}

int dt_plan_owned(const dt_plan *plan, int64_t step, int rank, int64_t *micros, int max) {
    return (int)deal(plan, dt_plan_micros(plan, step), rank, micros, max);
}

int dt_plan_fill(const dt_plan *plan, uint32_t epoch, int64_t step, int64_t micro,
                 int64_t *samples) {
    int from = (int)micro * plan->micro, left = dt_plan_samples(plan, step) - from;
    int real = left < plan->micro ? left : plan->micro;
    for (int i = 0; i < plan->micro; i++) {
        uint64_t position = (uint64_t)(step * plan->batch + from + i);
        samples[i] = i < real ? (int64_t)dt_permute((uint64_t)plan->n, position, plan->seed,
                                                    DT_RNG_SHUFFLE, epoch)
                              : -1;
    }
    return real;
}

int64_t dt_plan_eval_micros(int64_t n, int micro) {
    return ceil_div(n, micro);
}

int64_t dt_plan_eval_owned(const dt_plan *plan, int64_t n_micros, int rank, int64_t *micros,
                           int64_t max) {
    return deal(plan, n_micros, rank, micros, max);
}
