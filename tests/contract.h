/* tests/contract.h - what backend.h promises, checked on any back end. */
#ifndef DT_TESTS_CONTRACT_H
#define DT_TESTS_CONTRACT_H

#include "io/file.h"
#include "model/augment.h"
#include "tests/rig.h"

/* Each operation once; a test may put another network of ten classes in its place. */
static const char *contract_spec =
    "conv 4 3; relu; pool 2; conv 6 3; pool 2; relu; dropout 0.3; fc 16; relu; fc 10";
static const dt_shape contract_in = {1, 12, 12};

static inline void contract_open(rig *r, const dt_backend *be, dt_device_config config) {
    dt_status status = rig_open(r, be, contract_spec, contract_in, config);
    T_OK(status);
    if (status != DT_OK)
        exit(t_finish());
}

/* Everything that a short training leaves behind. */
typedef struct {
    int64_t sums[16384];
    float params[16384], momentum[16384], logits[4 * 8 * 10];
    int64_t confusion[100], evaluated[DT_N_SUMS];
    double norms[3];
    char print[DT_SHA256_HEX];
} contract_trace;

static inline void contract_train(const dt_backend *be, int threads, contract_trace *t) {
    rig r;
    int64_t samples[RIG_SAMPLES];
    dt_device_config config = rig_config();
    config.threads = threads;
    config.label_smoothing = 0.1f;
    config.augment = DT_AUGMENT_ELASTIC;
    memset(t, 0, sizeof *t);
    contract_open(&r, be, config);
    for (int step = 0; step < 3; step++) {
        dt_work work = rig_work(&r, samples, 20 * step, 20 * step + 18 + step, 3);
        dt_update u = {.step = step + 1, .learning_rate = 0.1f};
        T_OK(be->gradient(r.device, &work, NULL, NULL));
        dt_gradient g = be->buffer(r.device);
        memcpy(t->sums, g.sums, g.n_sums * sizeof *g.sums);
        T_OK(be->update(r.device, &u, &t->norms[step]));
    }
    T_OK(be->get_state(r.device, t->params, (float *const[2]){t->momentum, NULL}));
    dt_work all = rig_work(&r, samples, 0, 29, 4);
    dt_eval eval = {.confusion = t->confusion, .logits = t->logits};
    T_OK(be->evaluate(r.device, DT_TEST, &all, &eval));
    memcpy(t->evaluated, eval.sums, sizeof eval.sums);
    memset(t->logits + 29 * 10, 0, 3 * 10 * sizeof *t->logits); /* rows without sample */
    T_OK(be->fingerprint(r.device, threads - 1, samples, 2, t->print));
    rig_close(&r);
}

static inline void contract_same_bits(const dt_backend *be) {
    static contract_trace one, more;
    contract_train(be, 1, &one);
    T_CHECK(one.evaluated[DT_SUM_COUNT] == 29 && strlen(one.print) == 64);
    T_CHECK(one.norms[0] > 0.01 && one.norms[2] < 100);
    for (int threads = 2; threads <= 5; threads++) {
        contract_train(be, threads, &more);
        T_CHECK(memcmp(&one, &more, sizeof one) == 0);
    }
}

/* Two devices that share the work add up to one that does it all. */
static inline void contract_split(const dt_backend *be) {
    rig r;
    int64_t samples[RIG_SAMPLES], part[RIG_SAMPLES];
    contract_open(&r, be, rig_config());
    dt_gradient g = be->buffer(r.device);
    int64_t *whole = calloc(g.n_sums, sizeof *whole), *sum = calloc(g.n_sums, sizeof *sum);
    dt_work work = rig_work(&r, samples, 3, 35, 4);
    T_OK(be->gradient(r.device, &work, NULL, NULL));
    memcpy(whole, g.sums, g.n_sums * sizeof *sum);
    for (int k = 0; k < 2; k++) {
        static const int order[2][2] = {{3, 1}, {0, 2}};
        for (int j = 0; j < 2; j++)
            memcpy(part + 8 * j, samples + 8 * order[k][j], 8 * sizeof *part);
        dt_work half = {.samples = part, .n_micros = 2, .epoch = 1};
        T_OK(be->gradient(r.device, &half, NULL, NULL));
        T_CHECK(be->buffer(r.device).sums == g.sums);
        for (size_t i = 0; i < g.n_sums; i++)
            sum[i] += g.sums[i];
    }
    T_CHECK(memcmp(whole, sum, g.n_sums * sizeof *sum) == 0);
    T_CHECK(rig_sums(&r)[DT_SUM_COUNT] == 16 && rig_sums(&r)[DT_SUM_BAD] == 0);

    dt_work nothing = {.n_micros = 0};
    T_OK(be->gradient(r.device, &nothing, NULL, NULL));
    int64_t any = 0;
    for (size_t i = 0; i < g.n_sums; i++)
        any |= g.sums[i];
    T_CHECK(any == 0);
    free(whole);
    free(sum);
    rig_close(&r);
}

/* One value for all workers of all devices with these parameters, and another for other work. */
static inline void contract_fingerprint(const dt_backend *be) {
    char hex[DT_SHA256_HEX], want[DT_SHA256_HEX] = "";
    for (int threads = 1; threads <= 3; threads++) {
        rig r;
        int64_t samples[RIG_SAMPLES];
        dt_device_config config = rig_config();
        config.threads = threads;
        contract_open(&r, be, config);
        dt_work work = rig_work(&r, samples, 0, 25, 4);
        T_OK(be->gradient(r.device, &work, NULL, NULL)); /* leaves something behind */
        dt_gradient g = be->buffer(r.device);
        int64_t *keep = malloc(g.n_sums * sizeof *keep);
        memcpy(keep, g.sums, g.n_sums * sizeof *keep);
        work = rig_work(&r, samples, 40, 47, 1);
        for (int worker = 0; worker < threads; worker++) {
            T_OK(be->fingerprint(r.device, worker, samples, work.epoch, hex));
            if (!want[0])
                strcpy(want, hex);
            T_CHECK(strlen(hex) == 64 && strcmp(hex, want) == 0);
        }
        T_CHECK(memcmp(keep, g.sums, g.n_sums * sizeof *keep) == 0);
        T_OK(be->fingerprint(r.device, 0, samples, work.epoch + 1, hex)); /* other masks */
        T_CHECK(strcmp(hex, want) != 0);
        samples[6]++;
        T_OK(be->fingerprint(r.device, 0, samples, work.epoch, hex));
        T_CHECK(strcmp(hex, want) != 0);
        samples[6]--;
        r.params[0] = nextafterf(r.params[0], 9);
        T_OK(be->set_state(r.device, r.params, NULL));
        T_OK(be->fingerprint(r.device, 0, samples, work.epoch, hex));
        T_CHECK(strcmp(hex, want) != 0);
        free(keep);
        rig_close(&r);
    }
}

static inline void contract_diverged(const dt_backend *be) {
    rig r;
    int64_t samples[RIG_SAMPLES];
    contract_open(&r, be, rig_config());
    size_t nbytes = r.net->n_params * sizeof(float);
    float *got = malloc(nbytes), *slot = malloc(nbytes);
    dt_work work = rig_work(&r, samples, 0, 16, 2);
    dt_update u = {.step = 1, .learning_rate = 0.1f};
    double norm;
    T_OK(be->gradient(r.device, &work, NULL, NULL));
    dt_gradient g = be->buffer(r.device);
    g.sums[g.n_sums - DT_N_SUMS + DT_SUM_BAD] = 1; /* another rank saw it */
    T_CHECK(be->update(r.device, &u, &norm) == DT_EDIVERGED);
    T_OK(be->get_state(r.device, got, (float *const[2]){slot, NULL}));
    T_CHECK(memcmp(got, r.params, nbytes) == 0);
    float any = 0;
    for (size_t i = 0; i < r.net->n_params; i++)
        any += fabsf(slot[i]);
    T_CHECK(any == 0);

    static const float poison[] = {NAN, INFINITY,
                                   1e30f}; /* in the first weight, then the last bias */
    for (size_t k = 0; k < 6; k++) {
        memcpy(got, r.params, nbytes);
        got[k < 3 ? 0 : r.net->n_params - 1] = poison[k % 3];
        T_OK(be->set_state(r.device, got, NULL));
        T_OK(be->gradient(r.device, &work, NULL, NULL));
        T_CHECK(rig_sums(&r)[DT_SUM_BAD] > 0);
        T_CHECK(be->update(r.device, &u, &norm) == DT_EDIVERGED);
    }
    T_OK(be->set_state(r.device, r.params, NULL)); /* as good as new */
    T_OK(be->gradient(r.device, &work, NULL, NULL));
    T_CHECK(rig_sums(&r)[DT_SUM_BAD] == 0);
    T_OK(be->update(r.device, &u, &norm));
    T_CHECK(norm > 0);
    free(got);
    free(slot);
    rig_close(&r);
}

/* Loss, answers and confusion are those of the logits, without smoothing and without dropout. */
static inline void contract_evaluate(const dt_backend *be) {
    rig r;
    int64_t samples[RIG_SAMPLES], confusion[100] = {[37] = 5}, want[100] = {[37] = 5};
    float logits[4 * 8 * 10], again[4 * 8 * 10];
    dt_device_config config = rig_config();
    config.label_smoothing = 0.3f;
    config.threads = 2;
    contract_open(&r, be, config);
    dt_work work = rig_work(&r, samples, 11, 11 + 27, 4);
    dt_eval eval = {.sums = {9, 9, 9, 9}, .confusion = confusion, .logits = logits};
    T_OK(be->evaluate(r.device, DT_TEST, &work, &eval));
    double loss = 0;
    int correct = 0;
    for (int i = 0; i < 27; i++) {
        const float *z = logits + i * 10;
        int label = r.labels[samples[i]], best = 0;
        double total = 0;
        for (int k = 0; k < 10; k++) {
            total += exp((double)z[k]);
            best = z[k] > z[best] ? k : best;
        }
        loss += log(total) - (double)z[label];
        correct += best == label;
        want[label * 10 + best]++;
    }
    T_NEAR((double)eval.sums[DT_SUM_LOSS] * 0x1p-32, loss, 0, 1e-6);
    T_CHECK(eval.sums[DT_SUM_CORRECT] == correct && eval.sums[DT_SUM_COUNT] == 27);
    T_CHECK(eval.sums[DT_SUM_BAD] == 0);
    T_CHECK(memcmp(confusion, want, sizeof want) == 0); /* added to */
    work.epoch++;
    T_OK(be->evaluate(r.device, DT_TRAIN, &work, &(dt_eval){.logits = again}));
    T_CHECK(memcmp(logits, again, 27 * 10 * sizeof *logits) == 0);
    work.n_micros = 0;
    T_OK(be->evaluate(r.device, DT_TEST, &work, &eval));
    T_CHECK(eval.sums[DT_SUM_COUNT] == 0 && eval.sums[DT_SUM_LOSS] == 0);
    rig_close(&r);
}

/* params and slots go in and come out; NULL slots are zeros. */
static inline void contract_state(const dt_backend *be) {
    rig r;
    dt_device_config config = rig_config();
    config.optim = (dt_optim_config){.kind = DT_ADAMW, .momentum = 0.9f, .beta2 = 0.99f};
    contract_open(&r, be, config);
    size_t n = r.net->n_params, nbytes = n * sizeof(float);
    float *in[3], *out[3];
    for (int k = 0; k < 3; k++) {
        in[k] = malloc(nbytes);
        out[k] = malloc(nbytes);
        for (size_t i = 0; i < n; i++)
            in[k][i] = (float)(i + 1) * (float)(k + 1);
    }
    T_OK(be->set_state(r.device, in[0], (const float *const[2]){in[1], in[2]}));
    T_OK(be->get_state(r.device, out[0], (float *const[2]){out[1], out[2]}));
    for (int k = 0; k < 3; k++)
        T_CHECK(memcmp(in[k], out[k], nbytes) == 0);
    T_OK(be->set_state(r.device, in[1], NULL));
    T_OK(be->get_state(r.device, out[0], (float *const[2]){out[1], out[2]}));
    memset(in[0], 0, nbytes);
    T_CHECK(memcmp(out[0], in[1], nbytes) == 0);
    T_CHECK(memcmp(out[1], in[0], nbytes) == 0 && memcmp(out[2], in[0], nbytes) == 0);
    T_OK(be->get_state(r.device, out[0], NULL));
    for (int k = 0; k < 3; k++) {
        free(in[k]);
        free(out[k]);
    }
    rig_close(&r);
}

/* Clipping scales the step: with SGD lr 1 and no momentum, |params moved| = min(norm, clip). */
static inline void contract_clip(const dt_backend *be) {
    static const float clips[] = {0.0f, 1e3f, 0.125f};
    for (int k = 0; k < 3; k++) {
        rig r;
        int64_t samples[RIG_SAMPLES];
        dt_device_config config = rig_config();
        config.optim = (dt_optim_config){.kind = DT_SGD, .clip_norm = clips[k]};
        contract_open(&r, be, config);
        float *got = malloc(r.net->n_params * sizeof *got);
        dt_work work = rig_work(&r, samples, 0, 13, 2);
        dt_update u = {.step = 1, .learning_rate = 1.0f};
        double norm, moved = 0, mean = 0;
        T_OK(be->gradient(r.device, &work, NULL, NULL));
        T_CHECK(rig_sums(&r)[DT_SUM_COUNT] == 13);
        for (size_t i = 0; i < r.net->n_params; i++)
            mean += pow(rig_gradient(&r, i) / 13, 2);
        T_OK(be->update(r.device, &u, &norm));
        T_OK(be->get_state(r.device, got, NULL));
        for (size_t i = 0; i < r.net->n_params; i++)
            moved += pow((double)got[i] - r.params[i], 2);
        T_NEAR(norm, sqrt(mean), 0, 1e-5);
        T_CHECK(norm > 0.25);
        T_NEAR(sqrt(moved), k == 2 ? 0.125 : norm, 0, 1e-4);
        free(got);
        rig_close(&r);
    }
}

/* Float sums are the integers' values, but for rounding; a NaN among them stops the update, too. */
static inline void contract_float(const dt_backend *be) {
    rig r, f;
    int64_t samples[RIG_SAMPLES];
    dt_device_config config = rig_config();
    config.threads = 2;
    contract_open(&r, be, config);
    config.exact = false;
    contract_open(&f, be, config);
    dt_work work = rig_work(&r, samples, 0, 30, 4);
    T_OK(be->gradient(r.device, &work, NULL, NULL));
    T_OK(be->gradient(f.device, &work, NULL, NULL));
    double worst = 0, largest = 0;
    for (size_t i = 0; i < r.net->n_params; i++) {
        worst = fmax(worst, fabs(rig_gradient(&r, i) - rig_gradient(&f, i)));
        largest = fmax(largest, fabs(rig_gradient(&r, i)));
    }
    T_CHECK(be->buffer(r.device).floats == NULL && be->buffer(f.device).floats != NULL);
    T_CHECK(largest > 0.1 && worst < 1e-5 * largest);
    T_CHECK(memcmp(rig_sums(&r), rig_sums(&f), DT_N_SUMS * sizeof(int64_t)) == 0);
    double norms[2];
    dt_update u = {.step = 1, .learning_rate = 0.1f};
    T_OK(be->update(r.device, &u, &norms[0]));
    T_OK(be->update(f.device, &u, &norms[1]));
    T_NEAR(norms[0], norms[1], 0, 1e-5);
    f.params[0] = NAN;
    T_OK(be->set_state(f.device, f.params, NULL));
    T_OK(be->gradient(f.device, &work, NULL, NULL));
    T_CHECK(be->update(f.device, &u, &norms[1]) == DT_EDIVERGED);
    rig_close(&r);
    rig_close(&f);
}

typedef struct {
    rig *r;
    int next, wrong;
    int64_t *seen;
    size_t from[64], n[64];
} contract_watch;

/* Ranges come in order, what they cover is final by then, and no bit depends on being told. */
static inline void contract_note(void *ctx, int range) {
    contract_watch *w = ctx;
    w->wrong += range != w->next++;
    const int64_t *sums = w->r->be->buffer(w->r->device).sums;
    memcpy(w->seen + w->from[range], sums + w->from[range], w->n[range] * sizeof *sums);
}

static inline void contract_ranges(const dt_backend *be) {
    for (int threads = 1; threads <= 3; threads++)
        for (int n_micros = 0; n_micros <= 4; n_micros++) {
            rig r;
            contract_watch w = {.r = &r};
            int64_t samples[RIG_SAMPLES];
            dt_device_config config = rig_config();
            config.threads = threads;
            contract_open(&r, be, config);
            dt_gradient g = be->buffer(r.device);
            w.seen = calloc(g.n_sums, sizeof *w.seen);
            int n = be->ranges(r.device, 64, w.from, w.n);
            T_CHECK(n >= 1 && n <= 64 && be->ranges(r.device, 0, NULL, NULL) == n);
            size_t total = 0;
            for (int i = 0; i < n; i++)
                total += w.n[i];
            T_CHECK(total == r.net->n_params && w.from[n - 1] == 0); /* last layers first */
            dt_work work = rig_work(&r, samples, 0, 31, n_micros);
            int64_t *want = malloc(g.n_sums * sizeof *want);
            T_OK(be->gradient(r.device, &work, NULL, NULL));
            memcpy(want, g.sums, g.n_sums * sizeof *want);
            for (int round = 0; round < 5; round++) {
                w.next = 0;
                memset(w.seen, 0xff, g.n_sums * sizeof *w.seen);
                T_OK(be->gradient(r.device, &work, contract_note, &w));
                T_CHECK(w.next == n && w.wrong == 0);
                T_CHECK(memcmp(w.seen, want, total * sizeof *want) == 0);
                T_CHECK(memcmp(g.sums, want, g.n_sums * sizeof *want) == 0);
            }
            free(want);
            free(w.seen);
            rig_close(&r);
        }
}

/* The device's pictures become those of the samples that epoch distorts, by augment.h itself. */
static inline void contract_distort(rig *r, dt_augment kind, uint32_t epoch) {
    size_t n = dt_shape_size(r->net->in);
    uint8_t *plain = malloc(RIG_SAMPLES * n);
    void *scratch = malloc(dt_augment_scratch(r->net->in));
    memcpy(plain, r->images, RIG_SAMPLES * n);
    for (int64_t i = 0; i < RIG_SAMPLES; i++) {
        dt_distortion d;
        dt_augment_draw(kind, r->config.seed, epoch, i, r->net->in, &d);
        dt_augment_apply(&d, r->net->in, plain + (size_t)i * n, r->images + (size_t)i * n, scratch);
    }
    T_CHECK(memcmp(plain, r->images, RIG_SAMPLES * n) != 0);
    T_OK(r->be->load(r->device, DT_TRAIN, r->images, r->labels, RIG_SAMPLES));
    free(plain);
    free(scratch);
}

/* A device that augments computes, to the last bit, what one computes that is given the distorted
 * pictures: gradient and fingerprint, whole and short micro-batches. Evaluation sees them as they
 * are. */
static inline void contract_augment(const dt_backend *be, dt_shape in) {
    for (dt_augment kind = DT_AUGMENT_AFFINE; kind <= DT_AUGMENT_ELASTIC; kind++) {
        rig plain, r;
        int64_t samples[RIG_SAMPLES];
        static float logits[2][32 * 10];
        char hex[2][DT_SHA256_HEX];
        dt_device_config config = rig_config();
        config.threads = 2;
        T_OK(rig_open(&plain, be, contract_spec, in, config));
        config.augment = kind;
        T_OK(rig_open(&r, be, contract_spec, in, config));
        dt_work work = rig_work(&r, samples, 3, 33, 4);
        dt_eval eval[2] = {{.logits = logits[0]}, {.logits = logits[1]}};
        T_OK(be->evaluate(r.device, DT_TRAIN, &work, &eval[0]));
        T_OK(be->evaluate(plain.device, DT_TRAIN, &work, &eval[1]));
        T_CHECK(memcmp(logits[0], logits[1], 30 * 10 * sizeof **logits) == 0);
        size_t n = be->buffer(r.device).n_sums * sizeof(int64_t);
        T_OK(be->gradient(r.device, &work, NULL, NULL));
        T_OK(be->gradient(plain.device, &work, NULL, NULL));
        T_CHECK(memcmp(be->buffer(r.device).sums, be->buffer(plain.device).sums, n) != 0);
        contract_distort(&plain, kind, work.epoch);
        T_OK(be->gradient(plain.device, &work, NULL, NULL));
        T_CHECK(memcmp(be->buffer(r.device).sums, be->buffer(plain.device).sums, n) == 0);
        T_OK(be->fingerprint(r.device, 1, samples + 24, work.epoch, hex[0]));
        T_OK(be->fingerprint(plain.device, 0, samples + 24, work.epoch, hex[1]));
        T_CHECK(strcmp(hex[0], hex[1]) == 0);
        rig_close(&plain);
        rig_close(&r);
    }
}

static inline void contract_refusals(const dt_backend *be) {
    rig r;
    dt_device_config config = rig_config();
    char text[256] = "";
    config.precision = DT_TF32;
    T_FAILS(rig_open(&r, be, contract_spec, contract_in, config), DT_EUSAGE, "32");
    T_CHECK(r.device == NULL);
    rig_close(&r);
    contract_open(&r, be, rig_config());
    r.labels[33] = 10;
    T_FAILS(be->load(r.device, DT_TRAIN, r.images, r.labels, RIG_SAMPLES), DT_EDATA,
            "label 10 of sample 33");
    rig_close(&r);
    be->describe(text, sizeof text);
    T_CHECK(strlen(text) > 5 && strlen(text) < sizeof text - 1 && !strchr(text, '\n'));
    T_CHECK(dt_backend_find(be->name) == be && !dt_backend_find("auto"));
}

static inline void contract_all(const dt_backend *be) {
    contract_same_bits(be);
    contract_split(be);
    contract_fingerprint(be);
    contract_diverged(be);
    contract_evaluate(be);
    contract_state(be);
    contract_clip(be);
    contract_float(be);
    contract_ranges(be);
    contract_augment(be, contract_in);
    contract_augment(be, (dt_shape){1, 9, 14});
    contract_refusals(be);
}

#endif
