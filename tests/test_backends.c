/* The cpu back end against the reference over a table of networks: logits, loss and every gradient.
 * timeout: 120
 *
 * A tensor's error is measured by its largest difference over the reference's largest value, and by
 * its normalised mean square error. Bounds: float32 1e-5 and 1e-11, the size of rounding in sums of
 * thousands; bfloat16 (8 bits) has only the second, as single values that cross a maximum or the
 * kink of a ReLU move by their full size. */
#include "tests/ops_table.h"
#include "tests/rig.h"

typedef struct {
    double worst, largest, error, power;
    bool same; /* all zeros in both: nothing to compare */
} distance;

static distance compare(const double *got, const double *want, size_t n) {
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

static void check(const op_case *c, const char *what, const double *got, const double *want,
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
static answer ask(rig *r, int64_t *samples) {
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

static void test_case(const op_case *c, dt_precision precision, bounds forward, bounds backward) {
    rig ref, cpu;
    int64_t samples[RIG_SAMPLES];
    dt_device_config config = rig_config();
    config.micro_batch = c->micro_batch;
    config.label_smoothing = 0.1f;
    T_OK(rig_open(&ref, &dt_backend_ref, c->spec, c->in, config));
    config.precision = precision;
    config.threads = 2;
    dt_status status = rig_open(&cpu, &dt_backend_cpu, c->spec, c->in, config);
    T_OK(status);
    if (status == DT_OK) {
        answer want = ask(&ref, samples), got = ask(&cpu, samples);
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
    rig_close(&cpu);
}

/* bf16 is there where the CPU has it, and refused in words elsewhere. */
static bool has_bf16(void) {
    rig r;
    dt_device_config config = rig_config();
    config.precision = DT_BF16;
    dt_status status = rig_open(&r, &dt_backend_cpu, "fc 10", (dt_shape){1, 8, 8}, config);
    bool cpu_has = __builtin_cpu_supports("avx512bf16");
    if (status == DT_OK)
        T_CHECK(r.device != NULL);
    else
        T_CHECK(status == DT_EUSAGE && strstr(dt_error(), "bf16") != NULL);
    T_CHECK(status == DT_OK || !cpu_has);
    rig_close(&r);
    return status == DT_OK;
}

int main(void) {
    T_BEGIN(600);
    const bounds f32 = {1e-5, 1e-11}, bf16_forward = {INFINITY, 1e-3},
                 bf16_backward = {INFINITY, 2e-2};
    bool bf16 = has_bf16();
    for (size_t i = 0; i < sizeof ops_table / sizeof *ops_table; i++) {
        test_case(&ops_table[i], DT_F32, f32, f32);
        if (bf16)
            test_case(&ops_table[i], DT_BF16, bf16_forward, bf16_backward);
    }
    return t_finish();
}
