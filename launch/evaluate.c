/* launch/evaluate.c - loss, accuracy and confusion over a set; each sample once, for any number of
 * ranks.
 *
 * The set is cut into micro-batches, which are dealt out like a step's. They are computed in
 * chunks; between two chunks the ranks agree on whether to go on, so that a request to stop is
 * heard within a fraction of a second. Sums are integers: their total does not depend on who
 * computed what. */
#include "launch/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/progress.h"

enum { CHUNK = 16 }; /* micro-batches a worker between two agreements */
enum { VOTES, FAILURES, N_CONTROL };

typedef struct {
    dt_setup *setup;
    dt_set set;
    const int64_t *chosen;
    int64_t n, n_micros;
    int64_t *owned; /* [n_owned] micro-batches of this rank, ascending */
    int64_t n_owned, next;
    int64_t *samples; /* [CHUNK * workers][m] */
    int64_t *totals;  /* [DT_N_SUMS][classes * classes] */
    size_t n_totals;
    float *logits; /* [CHUNK * workers][m][classes] */
    dt_mistakes mistakes;
} evaluation;

static void fill_micro(const evaluation *e, int64_t micro, int64_t *samples) {
    int64_t m = e->setup->plan.micro;
    for (int64_t j = 0; j < m; j++) {
        int64_t i = micro * m + j;
        samples[j] = i >= e->n ? -1 : e->chosen ? e->chosen[i] : i;
    }
}

/* A sample whose largest logit, the first of equal ones, is not its label's. */
static void look_at(evaluation *e, int64_t sample, const float *logits) {
    const dt_setup *s = e->setup;
    const dt_samples *set = e->set == DT_TEST ? &s->data->test : &s->data->train;
    int best = 0, classes = s->net->classes;
    double sum = 0;
    for (int c = 1; c < classes; c++)
        best = logits[c] > logits[best] ? c : best;
    if (set->labels[sample] == best)
        return;
    for (int c = 0; c < classes; c++)
        sum += exp((double)logits[c] - (double)logits[best]);
    dt_mistake one = {
        .sample = sample, .label = set->labels[sample], .predicted = best, .probability = 1 / sum};
    if (isfinite(one.probability))
        dt_mistakes_add(&e->mistakes, &one);
}

/* This rank's micro-batches below end, added to the totals. */
static dt_status run_chunk(evaluation *e, int64_t end) {
    const dt_setup *s = e->setup;
    int n = 0;
    for (; e->next < e->n_owned && e->owned[e->next] < end; e->next++, n++)
        fill_micro(e, e->owned[e->next], e->samples + (size_t)n * (size_t)s->plan.micro);
    if (n == 0)
        return DT_OK;
    dt_work work = {.samples = e->samples, .n_micros = n};
    dt_eval result = {.confusion = e->totals + DT_N_SUMS, .logits = e->logits};
    DT_TRY(s->backend->evaluate(s->device, e->set, &work, &result));
    for (int i = 0; i < DT_N_SUMS; i++)
        e->totals[i] += result.sums[i];
    for (size_t i = 0; i < (size_t)n * (size_t)s->plan.micro; i++)
        if (e->samples[i] >= 0)
            look_at(e, e->samples[i], e->logits + i * (size_t)s->net->classes);
    return DT_OK;
}

static dt_status run_chunks(evaluation *e, bool (*wants_stop)(void *ctx), void *ctx) {
    dt_setup *s = e->setup;
    int64_t chunk = (int64_t)CHUNK * dt_plan_total_workers(&s->plan);
    for (int64_t end = chunk; end < e->n_micros + chunk; end += chunk) {
        dt_status mine = run_chunk(e, end);
        dt_progress_tick();
        int64_t control[N_CONTROL] = {wants_stop && wants_stop(ctx), mine != DT_OK};
        DT_TRY(dt_comm_sum_i64(s->comm, control, N_CONTROL));
        if (control[FAILURES])
            return dt_comm_agree(s->comm, mine);
        if (control[VOTES])
            return dt_fail(DT_ESTOPPED, "stopped in an evaluation, as asked");
    }
    return DT_OK;
}

static dt_status evaluation_open(evaluation *e) {
    dt_setup *s = e->setup;
    size_t m = (size_t)s->plan.micro, classes = (size_t)s->net->classes;
    e->n_micros = dt_plan_eval_micros(e->n, s->plan.micro);
    e->n_totals = DT_N_SUMS + classes * classes;
    e->owned = malloc(((size_t)e->n_micros + 1) * sizeof *e->owned);
    e->samples = malloc(CHUNK * (size_t)s->workers[s->rank] * m * sizeof *e->samples);
    e->totals = calloc(e->n_totals, sizeof *e->totals);
    e->logits = malloc(CHUNK * (size_t)s->workers[s->rank] * m * classes * sizeof *e->logits);
    dt_status status = DT_OK;
    if (!e->owned || !e->samples || !e->totals || !e->logits)
        status =
            dt_fail(DT_EDEVICE, "no memory for an evaluation of %lld samples", (long long)e->n);
    DT_TRY(dt_comm_agree(s->comm, status));
    e->n_owned = dt_plan_eval_owned(&s->plan, e->n_micros, s->rank, e->owned, e->n_micros);
    return DT_OK;
}

/* Those of all ranks become everybody's. */
static dt_status share_mistakes(evaluation *e) {
    const dt_setup *s = e->setup;
    dt_mistakes *all = calloc((size_t)s->size, sizeof *all);
    dt_status status = all ? DT_OK : dt_fail(DT_EDEVICE, "no memory for mistakes");
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(s->comm, &e->mistakes, sizeof *all, all), done);
    e->mistakes = (dt_mistakes){0};
    for (int r = 0; r < s->size; r++)
        for (size_t i = 0; i < all[r].n; i++)
            dt_mistakes_add(&e->mistakes, &all[r].worst[i]);
done:
    free(all);
    return status;
}

static dt_status finish(const evaluation *e, int64_t *confusion, dt_evaluation *out) {
    const int64_t *sums = e->totals;
    int64_t count = sums[DT_SUM_COUNT];
    *out =
        (dt_evaluation){.samples = count, .correct = sums[DT_SUM_CORRECT], .mistakes = e->mistakes};
    out->loss = count ? ldexp((double)sums[DT_SUM_LOSS], -DT_LOSS_BITS) / (double)count : NAN;
    out->accuracy = count ? 100.0 * (double)out->correct / (double)count : NAN;
    if (confusion)
        memcpy(confusion, sums + DT_N_SUMS, (e->n_totals - DT_N_SUMS) * sizeof *confusion);
    if (sums[DT_SUM_BAD])
        return dt_fail(DT_EDIVERGED, "the loss of %lld of %lld samples is not finite",
                       (long long)sums[DT_SUM_BAD], (long long)e->n);
    return DT_OK;
}

dt_status dt_evaluate_set(dt_setup *setup, dt_set set, const int64_t *chosen, int64_t n,
                          bool (*wants_stop)(void *ctx), void *ctx, int64_t *confusion,
                          dt_evaluation *out) {
    evaluation e = {.setup = setup, .set = set, .chosen = chosen, .n = n};
    dt_phase before = dt_progress_phase(DT_PHASE_EVALUATION);
    dt_status status;
    DT_TRY_GOTO(status, evaluation_open(&e), done);
    DT_TRY_GOTO(status, run_chunks(&e, wants_stop, ctx), done);
    DT_TRY_GOTO(status, dt_comm_sum_i64(setup->comm, e.totals, e.n_totals), done);
    DT_TRY_GOTO(status, share_mistakes(&e), done);
    status = finish(&e, confusion, out);
done:
    dt_progress_phase(before);
    free(e.owned);
    free(e.samples);
    free(e.totals);
    free(e.logits);
    return status;
}
