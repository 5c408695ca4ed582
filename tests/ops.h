/* tests/ops.h - a back end against the reference over a table of networks: logits, loss and every
 * gradient.
 *
 * A tensor's error is measured by its largest difference over the reference's largest value, and by
 * its normalised mean square error. Bounds: float32 1e-5 and 1e-11, the size of rounding in sums of
 * thousands; bfloat16 (8 bits) has only the second, as single values that cross a maximum or the
 * kink of a ReLU move by their full size. */
#ifndef DT_TESTS_OPS_H
#define DT_TESTS_OPS_H

#include "tests/ops_table.h"
#include "tests/rig.h"

typedef struct {
    double worst, largest, error, power;
    bool same; /* all zeros in both: nothing to compare */
} distance;

static inline distance compare(const double *got, const double *want, size_t n) {
    distance d = {0};
    for (size_t i = 0; i < n; i++) {
        double off = fabs(got[i] - want[i]);
        d.worst = off <= d.worst ? d.worst : off; /* a NaN stays */
        d.largest = fmax(d.largest, fabs(want[i]));
        d.error += off * off;
        d.power += want[i] * want[i];
    }
    d.same = d.worst == 0;
    return d;
}

typedef struct {
    double relative, nmse;
} bounds;

static inline void check(const op_case *c, const char *what, const double *got, const double *want,
                         size_t n, bounds b) {
    distance d = compare(got, want, n);
    bool near = d.same || (d.worst <= b.relative * d.largest && d.error <= b.nmse * d.power);
    if (!T_CHECK(near))
        fprintf(stderr, "    %s (micro-batch %d), %s: off by %.3g of %.3g, NMSE %.3g\n", c->spec,
                c->micro_batch, what, d.worst, d.largest, d.error / d.power);
}

typedef struct {
    double *gradient, *logits, loss;
    int64_t counts[DT_N_SUMS];
} answer;

/* Two micro-batches, the second one short. */
static inline answer ask(rig *r, int64_t *samples) {
    size_t n = r->net->n_params,
           n_logits = 2u * (size_t)r->config.micro_batch * (size_t)r->net->classes;
    answer a = {.gradient = malloc(n * sizeof(double)), .logits = calloc(n_logits, sizeof(double))};
    float *logits = malloc(n_logits * sizeof *logits);
    dt_work work =
        rig_work(r, samples, 1, 1 + 2 * r->config.micro_batch - r->config.micro_batch / 3, 2);
    T_OK(r->be->gradient(r->device, &work, NULL, NULL));
    for (size_t i = 0; i < n; i++)
        a.gradient[i] = rig_gradient(r, i);
    memcpy(a.counts, rig_sums(r), sizeof a.counts);
    a.loss = (double)a.counts[DT_SUM_LOSS] * 0x1p-32;
    dt_eval eval = {.logits = logits};
    T_OK(r->be->evaluate(r->device, DT_TEST, &work, &eval));
    T_CHECK(eval.sums[DT_SUM_COUNT] == a.counts[DT_SUM_COUNT]);
    for (size_t i = 0; i < n_logits; i++)
        if (samples[i / (size_t)r->net->classes] >= 0)
            a.logits[i] = logits[i];
    free(logits);
    return a;
}

/* be against the reference on one network. */
static inline void test_case(const op_case *c, const dt_backend *be, dt_precision precision,
                             bounds forward, bounds backward) {
    rig ref, tried;
    int64_t samples[RIG_SAMPLES];
    dt_device_config config = rig_config();
    config.micro_batch = c->micro_batch;
    config.label_smoothing = 0.1f;
    T_OK(rig_open(&ref, &dt_backend_ref, c->spec, c->in, config));
    config.precision = precision;
    config.threads = 2;
    dt_status status = rig_open(&tried, be, c->spec, c->in, config);
    T_OK(status);
    if (status == DT_OK) {
        answer want = ask(&ref, samples), got = ask(&tried, samples);
        size_t n_logits = 2u * (size_t)c->micro_batch * (size_t)ref.net->classes;
        check(c, "logits", got.logits, want.logits, n_logits, forward);
        check(c, "loss", &got.loss, &want.loss, 1, forward);
        T_CHECK(got.counts[DT_SUM_COUNT] == want.counts[DT_SUM_COUNT]);
        T_CHECK(got.counts[DT_SUM_BAD] == 0 && want.counts[DT_SUM_BAD] == 0);
        for (int i = 0; i < ref.net->n_layers; i++) {
            const dt_layer *l = &ref.net->layers[i];
            if (l->n_w == 0)
                continue;
            check(c, l->name, got.gradient + l->w_at, want.gradient + l->w_at, l->n_w, backward);
            check(c, "its bias", got.gradient + l->b_at, want.gradient + l->b_at, l->n_b, backward);
        }
        free(want.gradient);
        free(want.logits);
        free(got.gradient);
        free(got.logits);
    }
    rig_close(&ref);
    rig_close(&tried);
}

#endif
