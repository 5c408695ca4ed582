/* Every back end against PyTorch's logits, losses, gradients and ten steps of four optimizers. The
 * file is made by tests/golden/make_golden.py in float64; the bounds here are for float32 and
 * stated where used. */
#include <stdarg.h>
#include "model/backend.h"
#include "tests/t.h"

enum { N = 32, M = 8, MAX_RECORDS = 64, STEPS = 10 };

typedef struct {
    char name[32], kind[4];
    uint32_t n;
} record_head;

typedef struct {
    record_head head;
    void *data;
} record;

static record records[MAX_RECORDS];
static int n_records;

static void read_golden(void) {
    char path[4096];
    const char *source = getenv("SRC");
    snprintf(path, sizeof path, "%s/tests/golden/golden.bin", source ? source : ".");
    FILE *file = fopen(path, "rb");
    if (!T_CHECK(file != NULL)) {
        fprintf(stderr, "    %s: set SRC to the source folder\n", path);
        exit(t_finish());
    }
    while (n_records < MAX_RECORDS && fread(&records[n_records].head, 40, 1, file) == 1) {
        record *r = &records[n_records++];
        size_t size = r->head.kind[0] == 'b' ? 1 : r->head.kind[0] == 'f' ? 4 : 8;
        r->data = calloc(r->head.n + 1, size); /* texts end with a 0 */
        T_CHECK(fread(r->data, size, r->head.n, file) == r->head.n);
    }
    T_CHECK(feof(file) && n_records > 20);
    fclose(file);
}

/* Record net.what.variant, of n elements (0: any); without it there is nothing to test. */
static const void *golden(size_t n, const char *format, ...) {
    char name[32];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (int i = 0; i < n_records; i++)
        if (strncmp(records[i].head.name, name, sizeof name) == 0 &&
            (n == 0 || records[i].head.n == n))
            return records[i].data;
    fprintf(stderr, "no record %s of %zu elements\n", name, n);
    exit(1);
}

typedef struct {
    const dt_backend *be;
    dt_net *net;
    dt_device *device;
    dt_device_config config;
    int64_t samples[N];
    dt_work work;
} fixture;

static void open_net(fixture *f, const dt_backend *be, const char *net, float smoothing,
                     dt_optim_config optim) {
    const double *mean_std = golden(2, "mean_std");
    *f = (fixture){.be = be};
    T_OK(dt_net_parse(golden(0, "%s.spec", net), (dt_shape){1, 28, 28}, &f->net));
    f->config = (dt_device_config){.net = f->net,
                                   .micro_batch = M,
                                   .threads = 2,
                                   .label_smoothing = smoothing,
                                   .exact = true,
                                   .max_micros = N / M,
                                   .optim = optim,
                                   .mean = mean_std[0],
                                   .std = mean_std[1]};
    T_OK(be->open(&f->config, &f->device));
    if (!f->device)
        exit(t_finish());
    T_OK(be->load(f->device, DT_TRAIN, golden(N * 784, "images"), golden(N, "labels"), N));
    T_OK(be->set_state(f->device, golden(f->net->n_params, "%s.params", net), NULL));
    for (int i = 0; i < N; i++)
        f->samples[i] = (i * 5 + 3) % N; /* another order than the file's: sums do not care */
    f->work = (dt_work){.samples = f->samples, .n_micros = N / M};
}

static void close_net(fixture *f) {
    f->be->close(&f->device);
    dt_net_free(&f->net);
}

/* Largest difference over largest value: at most bound. */
static void near_all(const char *what, const float *got, const float *want, size_t n,
                     double bound) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        largest = fmax(largest, fabs((double)want[i]));
        if (isnan(got[i]))
            worst = INFINITY;
    }
    if (!T_CHECK(worst <= bound * largest && largest > 0))
        fprintf(stderr, "    %s: off by %g of %g\n", what, worst, largest);
}

static void test_gradients(const dt_backend *be, const char *net, const char *variant,
                           float smoothing) {
    fixture f;
    open_net(&f, be, net, smoothing, (dt_optim_config){.kind = DT_SGD});
    size_t n = f.net->n_params;
    float *g = malloc(n * sizeof *g), logits[N * 10];
    const float *want = golden(n, "%s.gradient.%s", net, variant);
    const double *loss = golden(1, "%s.loss.%s", net, variant);
    T_OK(be->gradient(f.device, &f.work, NULL, NULL));
    dt_gradient sums = be->buffer(f.device);
    for (size_t i = 0; i < n; i++)
        g[i] = (float)((double)sums.sums[i] * 0x1p-40);
    for (int i = 0; i < f.net->n_layers; i++) { /* each tensor by its own size */
        const dt_layer *l = &f.net->layers[i];
        if (l->n_w == 0)
            continue;
        near_all(l->name, g + l->w_at, want + l->w_at, l->n_w, 1e-5);
        near_all(l->name, g + l->b_at, want + l->b_at, l->n_b, 1e-5);
    }
    T_NEAR((double)sums.sums[n + DT_SUM_LOSS] * 0x1p-32, *loss, 0, 1e-6);
    T_CHECK(sums.sums[n + DT_SUM_COUNT] == N);

    dt_eval eval = {.logits = logits};
    float sorted[N * 10];
    T_OK(be->evaluate(f.device, DT_TRAIN, &f.work, &eval));
    for (int i = 0; i < N; i++)
        memcpy(sorted + f.samples[i] * 10, logits + i * 10, 10 * sizeof *logits);
    near_all("logits", sorted, golden(N * 10, "%s.logits", net), N * 10, 1e-5);
    T_CHECK(eval.sums[DT_SUM_CORRECT] == sums.sums[n + DT_SUM_CORRECT]);
    free(g);
    close_net(&f);
}

/* Ten losses within 1e-4, and the last parameters. */
static void test_run(const dt_backend *be, const char *name, float smoothing, float rate,
                     dt_optim_config optim, double bound) {
    fixture f;
    open_net(&f, be, "a", smoothing, optim);
    const double *losses = golden(STEPS, "%s.losses", name);
    size_t n = f.net->n_params;
    float *params = malloc(n * sizeof *params);
    T_CHECK(losses[STEPS - 1] < 0.8 * losses[0]); /* it learns, so there is something to compare */
    for (int step = 0; step < STEPS; step++) {
        dt_update u = {.step = step + 1, .learning_rate = rate};
        double norm;
        T_OK(be->gradient(f.device, &f.work, NULL, NULL));
        T_NEAR((double)be->buffer(f.device).sums[n + DT_SUM_LOSS] * 0x1p-32 / N, losses[step], 0,
               1e-4);
        T_OK(be->update(f.device, &u, &norm));
    }
    T_OK(be->get_state(f.device, params, NULL));
    near_all(name, params, golden(n, "%s.params", name), n, bound);
    free(params);
    close_net(&f);
}

static void test_backend(const dt_backend *be) {
    test_gradients(be, "a", "0.0", 0.0f);
    test_gradients(be, "a", "0.1", 0.1f);
    test_gradients(be, "b", "0.0", 0.0f);
    test_gradients(be, "b", "0.1", 0.1f);
    dt_optim_config sgd = {.kind = DT_SGD, .momentum = 0.9f, .weight_decay = 5e-4f};
    dt_optim_config adamw = {.kind = DT_ADAMW,
                             .momentum = 0.9f,
                             .beta2 = 0.99f,
                             .epsilon = 1e-8f,
                             .weight_decay = 0.02f};
    test_run(be, "sgd", 0.0f, 0.15f, sgd, 1e-4);
    sgd.nesterov = true;
    test_run(be, "nesterov", 0.1f, 0.15f, sgd, 1e-4);
    /* AdamW takes steps of full size where a gradient is next to nothing, in the direction of its
     * rounding */
    test_run(be, "adamw", 0.0f, 1e-2f, adamw, 1e-3);
    test_run(be, "adamw_smooth", 0.1f, 1e-2f, adamw, 1e-3);
}

int main(void) {
    T_BEGIN(300);
    static const char *const names[] = {"ref", "cpu"};
    read_golden();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dt_backend *be = dt_backend_find(names[i]);
        T_CHECK(be != NULL);
        if (be)
            test_backend(be);
    }
    for (int i = 0; i < n_records; i++)
        free(records[i].data);
    return t_finish();
}
