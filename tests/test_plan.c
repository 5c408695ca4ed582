/* tests/test_plan.c - properties of the plan over random (n, B, m) and random, uneven workers:
 * every sample exactly once an epoch, the same micro-batches for any ranks, and every micro-batch
 * has one owner. */
#include "t.h"

#include "dist/plan.h"
#include "io/rng.h"

static uint32_t next_bits(void) {
    static uint64_t i;
    uint32_t out[4];
    dt_random(20240817, DT_RNG_CHECK, 0, i++, out);
    return out[0];
}

static int between(int low, int high) {
    return low + (int)(next_bits() % (uint32_t)(high - low + 1));
}

enum { MAX_RANKS = 9, MAX_MICROS = 400 };

static dt_plan random_plan(int workers[MAX_RANKS]) {
    dt_plan plan = {.n = between(1, 3000), .micro = between(1, 40), .seed = next_bits()};
    plan.batch = between(plan.micro, 400);
    plan.n_ranks = between(1, MAX_RANKS);
    for (int r = 0; r < plan.n_ranks; r++)
        workers[r] = between(1, 5);
    plan.workers = workers;
    return plan;
}

/* Marks what rank owns in a step; false when a list is out of order, too long or out of range. */
static int mark_owned(const dt_plan *plan, int64_t step, int rank, char *owners) {
    int64_t micros[MAX_MICROS];
    int n = dt_plan_owned(plan, step, rank, micros, MAX_MICROS);
    int W = dt_plan_total_workers(plan), k = dt_plan_max_micros(plan), ok = n <= MAX_MICROS;
    ok = ok && n <= plan->workers[rank] * ((k + W - 1) / W);
    for (int i = 0; ok && i < n; i++) {
        ok = micros[i] >= 0 && micros[i] < dt_plan_micros(plan, step);
        ok = ok && (i == 0 || micros[i] > micros[i - 1]);
        if (ok)
            owners[micros[i]]++;
    }
    return ok;
}

static int all_ones(const char *counts, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (counts[i] != 1)
            return 0;
    return 1;
}

/* Walk an epoch as the ranks would: what they own, taken together, is every sample once. */
static void test_every_sample_once(const dt_plan *plan, uint32_t epoch) {
    char *seen = calloc((size_t)plan->n, 1);
    int in_range = 1, lists_ok = 1, owners_ok = 1, shape_ok = 1;
    int64_t samples[64], total = 0;
    for (int64_t step = 0; step < dt_plan_steps(plan); step++) {
        char owners[MAX_MICROS] = {0};
        for (int r = 0; r < plan->n_ranks; r++)
            lists_ok &= mark_owned(plan, step, r, owners);
        owners_ok &= all_ones(owners, dt_plan_micros(plan, step));
        for (int j = 0; j < dt_plan_micros(plan, step); j++) {
            int real = dt_plan_fill(plan, epoch, step, j, samples);
            shape_ok &= real >= 1 && real <= plan->micro;
            for (int i = 0; i < plan->micro; i++) {
                shape_ok &= (samples[i] == -1) == (i >= real);
                in_range &= samples[i] >= -1 && samples[i] < plan->n;
                if (samples[i] >= 0 && samples[i] < plan->n)
                    seen[samples[i]]++;
            }
            total += real;
        }
    }
    T_CHECK(lists_ok);
    T_CHECK(owners_ok);
    T_CHECK(shape_ok);
    T_CHECK(in_range);
    T_CHECK(total == plan->n);
    T_CHECK(all_ones(seen, plan->n));
    free(seen);
}

/* Another number of ranks and workers: the same micro-batches, to the last index. */
static void test_ranks_change_nothing(const dt_plan *plan, uint32_t epoch) {
    int one = 1, same = 1;
    dt_plan alone = *plan;
    alone.n_ranks = 1;
    alone.workers = &one;
    T_CHECK(dt_plan_steps(&alone) == dt_plan_steps(plan));
    for (int64_t step = 0; step < dt_plan_steps(plan); step++) {
        same &= dt_plan_micros(&alone, step) == dt_plan_micros(plan, step);
        for (int j = 0; j < dt_plan_micros(plan, step); j++) {
            int64_t a[64], b[64];
            memset(a, 1, sizeof a);
            memset(b, 1, sizeof b);
            same &=
                dt_plan_fill(plan, epoch, step, j, a) == dt_plan_fill(&alone, epoch, step, j, b);
            same &= memcmp(a, b, sizeof a) == 0; /* also: nothing is written behind samples[m] */
        }
    }
    T_CHECK(same);
}

static void test_eval_owners(const dt_plan *plan) {
    int64_t n_micros = dt_plan_eval_micros(plan->n, plan->micro);
    T_CHECK((n_micros - 1) * plan->micro < plan->n && plan->n <= n_micros * plan->micro);
    char *owners = calloc((size_t)n_micros, 1);
    int64_t *micros = malloc((size_t)n_micros * sizeof *micros);
    int ascending = 1;
    for (int r = 0; r < plan->n_ranks; r++) {
        int64_t n = dt_plan_eval_owned(plan, n_micros, r, micros, n_micros);
        for (int64_t i = 0; i < n; i++) {
            ascending &= i == 0 || micros[i] > micros[i - 1];
            owners[micros[i]]++;
        }
    }
    T_CHECK(ascending);
    T_CHECK(all_ones(owners, n_micros));
    free(owners);
    free(micros);
}

/* Worked by hand: batch 10 in micro-batches of 3, 24 samples, two ranks with 1 and 2 workers. */
static void test_by_hand(void) {
    const int workers[] = {1, 2};
    const dt_plan plan = {.n = 24, .batch = 10, .micro = 3, .n_ranks = 2, .workers = workers};
    int64_t micros[8] = {0};
    T_CHECK(dt_plan_steps(&plan) == 3);
    T_CHECK(dt_plan_max_micros(&plan) == 4);
    T_CHECK(dt_plan_total_workers(&plan) == 3);
    T_CHECK(dt_plan_samples(&plan, 0) == 10 && dt_plan_samples(&plan, 2) == 4);
    T_CHECK(dt_plan_micros(&plan, 1) == 4 && dt_plan_micros(&plan, 2) == 2);
    T_CHECK(dt_plan_owned(&plan, 0, 0, micros, 8) == 2 && micros[0] == 0 && micros[1] == 3);
    T_CHECK(dt_plan_owned(&plan, 0, 1, micros, 8) == 2 && micros[0] == 1 && micros[1] == 2);
    T_CHECK(dt_plan_owned(&plan, 2, 1, micros, 8) == 1 && micros[0] == 1);
    int64_t samples[4] = {0, 0, 0, 77};
    T_CHECK(dt_plan_fill(&plan, 1, 2, 1, samples) == 1);
    T_CHECK(samples[0] >= 0 && samples[1] == -1 && samples[2] == -1 && samples[3] == 77);
    /* max bounds what is written, not what is counted */
    micros[1] = 99;
    T_CHECK(dt_plan_owned(&plan, 0, 0, micros, 1) == 2 && micros[1] == 99);
    int64_t eval[2] = {0, 99};
    T_CHECK(dt_plan_eval_owned(&plan, 4, 0, eval, 1) == 2 && eval[0] == 0 && eval[1] == 99);
}

static void test_more_workers_than_micros(void) {
    const int workers[] = {2, 2, 2};
    const dt_plan plan = {.n = 32, .batch = 32, .micro = 16, .n_ranks = 3, .workers = workers};
    int64_t micros[4];
    T_CHECK(dt_plan_owned(&plan, 0, 0, micros, 4) == 2);
    T_CHECK(dt_plan_owned(&plan, 0, 1, micros, 4) == 0);
    T_CHECK(dt_plan_owned(&plan, 0, 2, micros, 4) == 0);
}

static void test_epochs_and_seeds_differ(void) {
    const int one = 1;
    dt_plan plan = {.n = 1000, .batch = 64, .micro = 64, .seed = 1, .n_ranks = 1, .workers = &one};
    int64_t a[64], b[64], c[64], d[64];
    dt_plan_fill(&plan, 1, 0, 0, a);
    dt_plan_fill(&plan, 1, 0, 0, b);
    dt_plan_fill(&plan, 2, 0, 0, c);
    plan.seed = 2;
    dt_plan_fill(&plan, 1, 0, 0, d);
    T_CHECK(memcmp(a, b, sizeof a) == 0);
    T_CHECK(memcmp(a, c, sizeof a) != 0);
    T_CHECK(memcmp(a, d, sizeof a) != 0);
}

/* Sample numbers beyond 32 bits: no product may wrap. */
static void test_large(void) {
    const int one = 1;
    const dt_plan plan = {
        .n = 10000000001, .batch = 256, .micro = 16, .seed = 3, .n_ranks = 1, .workers = &one};
    int64_t last = dt_plan_steps(&plan) - 1, samples[16];
    T_CHECK(last == 39062500);
    T_CHECK(dt_plan_samples(&plan, last) == 1);
    T_CHECK(dt_plan_fill(&plan, 0, last, 0, samples) == 1);
    T_CHECK(samples[0] >= 0 && samples[0] < plan.n && samples[1] == -1);
    T_CHECK(dt_plan_eval_micros(plan.n, 16) == 625000001);
}

int main(void) {
    T_BEGIN(60);
    test_by_hand();
    test_more_workers_than_micros();
    test_epochs_and_seeds_differ();
    test_large();
    for (int i = 0; i < 300; i++) {
        int workers[MAX_RANKS];
        dt_plan plan = random_plan(workers);
        uint32_t epoch = next_bits() % 100;
        test_every_sample_once(&plan, epoch);
        test_ranks_change_nothing(&plan, epoch);
        test_eval_owners(&plan);
    }
    return t_finish();
}
