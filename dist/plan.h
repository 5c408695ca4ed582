/* dist/plan.h - which worker computes which samples: pure functions, the same on every rank.
 *
 * An epoch is n samples in the order of a keyed permutation of (seed, epoch). Step s takes
 * positions [s*B, min(n, (s+1)*B)); its micro-batch j takes the j-th m of those, the last may be
 * short. Workers (threads of CPU ranks, or GPUs) are numbered rank by rank; micro-batch j belongs
 * to the rank of worker j mod W. Which rank computes what changes no bit. */
#ifndef DT_DIST_PLAN_H
#define DT_DIST_PLAN_H

#include <stdint.h>

typedef struct {
    int64_t n;        /* samples an epoch */
    int batch, micro; /* B, m; B >= m >= 1 */
    uint64_t seed;
    int n_ranks;
    const int *workers; /* [n_ranks] workers of each rank, >= 1 each */
} dt_plan;

int64_t dt_plan_steps(const dt_plan *plan);             /* ceil(n / B) */
int dt_plan_max_micros(const dt_plan *plan);            /* k = ceil(B / m) */
int dt_plan_samples(const dt_plan *plan, int64_t step); /* B, or what the last step has left */
int dt_plan_micros(const dt_plan *plan, int64_t step);  /* ceil(samples / m) */
int dt_plan_total_workers(const dt_plan *plan);         /* W */

/* The micro-batches of rank in a step, ascending, the first max of them into micros; returns how
 * many there are. A rank never has more than workers[rank] * ceil(k / W). */
int dt_plan_owned(const dt_plan *plan, int64_t step, int rank, int64_t *micros, int max);
/* Sample indices (0 .. n-1) of one micro-batch into samples[m], -1 where it is short; returns how
 * many are real. */
int dt_plan_fill(const dt_plan *plan, uint32_t epoch, int64_t step, int64_t micro,
                 int64_t *samples);

/* Evaluation: micro-batch j of ceil(n / m) takes samples [j*m, ...) in order, owned as above. */
int64_t dt_plan_eval_micros(int64_t n, int micro);
int64_t dt_plan_eval_owned(const dt_plan *plan, int64_t n_micros, int rank, int64_t *micros,
                           int64_t max);

#endif
