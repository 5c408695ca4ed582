/* model/ref.c - the reference back end: the whole table of backend.h over the loops of
 * ref_layers.h.
 *
 * It is slow and obvious: every layer has its own tensors, every worker its own everything. Worker
 * w takes micro-batches w, w + n, ...; when all are done, the caller adds up the workers' sums.
 * Tests hold the other back ends against it, and run the trainer on it where they look for races.
 */
#include "model/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/file.h"
#include "model/augment.h"
#include "model/dropout.h"
#include "model/fixed.h"
#include "model/loss.h"
#include "model/pool.h"
#include "model/ref_layers.h"
#include "model/update.h"
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

typedef struct {
    float **acts;            /* [n_layers + 1] tensors of m samples; acts[0] is the input */
    float **grads;           /* the same; grads[0] is NULL */
    float **masks;           /* [n_layers]; NULL but for dropout */
    float *dparams;          /* [n_params] of one micro-batch */
    int64_t *sums;           /* [n_params + DT_N_SUMS] of this worker's micro-batches */
    float *floats;           /* !exact: [n_params], likewise */
    int64_t *confusion;      /* [classes][classes] */
    dt_augmenter *augmenter; /* NULL: pictures as they are */
} worker_t;

typedef struct {
    const uint8_t *images, *labels;
} set_t;

typedef struct block {
    struct block *next;
    max_align_t data[];
} block;

struct dt_device {
    dt_device_config config;
    dt_pool *pool;
    worker_t *workers;
    dt_host_state state;
    dt_gradient gradient;
    set_t sets[DT_N_SETS];
    float table[256];
    float limit;
    block *blocks; /* all memory but the pool */
};

/* Zeroed memory that lives as long as the device; NULL with *ok = false when there is none. */
static void *take(dt_device *d, bool *ok, size_t n, size_t size) {
    block *b = n < SIZE_MAX / 2 / size ? calloc(1, sizeof *b + n * size) : NULL;
    if (!b) {
        *ok = false;
        return NULL;
    }
    b->next = d->blocks;
    d->blocks = b;
    return b->data;
}

static void ref_close(dt_device **device) {
    dt_device *d = device ? *device : NULL;
    if (!d)
        return;
    dt_pool_free(&d->pool);
    for (int i = 0; d->workers && i < d->config.threads; i++)
        dt_augmenter_free(&d->workers[i].augmenter);
    for (block *next; d->blocks; d->blocks = next) {
        next = d->blocks->next;
        free(d->blocks);
    }
    free(d);
    *device = NULL;
}

static void plan_worker(dt_device *d, worker_t *w, bool *ok) {
    const dt_net *net = d->config.net;
    size_t n_layers = (size_t)net->n_layers, m = (size_t)d->config.micro_batch;
    w->acts = take(d, ok, n_layers + 1, sizeof *w->acts);
    w->grads = take(d, ok, n_layers + 1, sizeof *w->grads);
    w->masks = take(d, ok, n_layers, sizeof *w->masks);
    w->dparams = take(d, ok, net->n_params, sizeof *w->dparams);
    w->sums = take(d, ok, net->n_params + DT_N_SUMS, sizeof *w->sums);
    w->confusion = take(d, ok, (size_t)net->classes * (size_t)net->classes, sizeof *w->confusion);
    if (!d->config.exact)
        w->floats = take(d, ok, net->n_params, sizeof *w->floats);
    if (d->config.augment != DT_AUGMENT_NONE) {
        w->augmenter = dt_augmenter_create(&d->config);
        *ok = *ok && w->augmenter;
    }
    if (!*ok)
        return;
    w->acts[0] = take(d, ok, m * dt_shape_size(net->in), sizeof **w->acts);
    for (size_t i = 0; i < n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        w->acts[i + 1] = take(d, ok, m * dt_shape_size(l->out), sizeof **w->acts);
        w->grads[i + 1] = take(d, ok, m * dt_shape_size(l->out), sizeof **w->grads);
        if (l->kind == DT_DROPOUT)
            w->masks[i] = take(d, ok, m * dt_shape_size(l->in), sizeof **w->masks);
    }
}

static dt_status plan(dt_device *d) {
    const dt_net *net = d->config.net;
    bool ok = true;
    d->workers = take(d, &ok, (size_t)d->config.threads, sizeof *d->workers);
    for (int i = 0; ok && i < d->config.threads; i++)
        plan_worker(d, &d->workers[i], &ok);

    d->gradient.n_sums = (d->config.exact ? net->n_params : 0) + DT_N_SUMS;
    d->gradient.sums = d->config.exact ? d->config.sums : NULL;
    if (!d->gradient.sums)
        d->gradient.sums = take(d, &ok, d->gradient.n_sums, sizeof *d->gradient.sums);
    if (!d->config.exact)
        d->gradient.floats = take(d, &ok, net->n_params, sizeof *d->gradient.floats);

    d->state.optim = &d->config.optim;
    d->state.n_params = net->n_params;
    d->state.params = take(d, &ok, net->n_params, sizeof *d->state.params);
    for (int i = 0; i < dt_optim_slots(&d->config.optim); i++)
        d->state.slots[i] = take(d, &ok, net->n_params, sizeof *d->state.slots[i]);
    d->state.chunks = take(d, &ok, dt_update_chunks(net->n_params), sizeof *d->state.chunks);
    if (!ok)
        return dt_fail(DT_EDEVICE, "no memory for %d workers with micro-batches of %d",
                       d->config.threads, d->config.micro_batch);
    return dt_pool_create(d->config.threads, &d->pool);
}

static dt_status ref_open(const dt_device_config *config, dt_device **out) {
    *out = NULL;
    if (config->precision != DT_F32)
        return dt_fail(DT_EUSAGE, "the reference back end computes in f32 only");
    dt_device *d = calloc(1, sizeof *d);
    if (!d)
        return dt_fail(DT_EDEVICE, "no memory for a device");
    d->config = *config;
    d->limit = dt_fixed_limit(config->max_micros);
    dt_input_table(config->mean, config->std, d->table);
    dt_status status = plan(d);
    if (status != DT_OK)
        ref_close(&d);
    *out = d;
    return status;
}

static dt_status ref_load(dt_device *d, dt_set set, const uint8_t *images, const uint8_t *labels,
                          size_t n) {
    DT_TRY(dt_loss_check_labels(labels, n, d->config.net->classes));
    d->sets[set] = (set_t){images, labels};
    return DT_OK;
}

static dt_status ref_set_state(dt_device *d, const float *params, const float *const *slots) {
    size_t nbytes = d->state.n_params * sizeof *params;
    memcpy(d->state.params, params, nbytes);
    for (int i = 0; i < dt_optim_slots(&d->config.optim); i++) {
        if (slots)
            memcpy(d->state.slots[i], slots[i], nbytes);
        else
            memset(d->state.slots[i], 0, nbytes);
    }
    return DT_OK;
}

static dt_status ref_get_state(dt_device *d, float *params, float *const *slots) {
    size_t nbytes = d->state.n_params * sizeof *params;
    memcpy(params, d->state.params, nbytes);
    for (int i = 0; slots && i < dt_optim_slots(&d->config.optim); i++)
        memcpy(slots[i], d->state.slots[i], nbytes);
    return DT_OK;
}

static dt_gradient ref_buffer(dt_device *d) {
    return d->gradient;
}

static int ref_ranges(dt_device *d, int max, size_t *from, size_t *n) {
    if (max > 0) {
        from[0] = 0;
        n[0] = d->config.net->n_params;
    }
    return 1;
}

/* With epoch (training) dropout and augmentation are active. */
static float *forward(const dt_device *d, worker_t *w, dt_set set, const int64_t *samples,
                      const uint32_t *epoch) {
    const dt_net *net = d->config.net;
    const uint8_t *images = d->sets[set].images;
    int m = d->config.micro_batch;
    if (epoch && w->augmenter)
        dt_augmenter_run(w->augmenter, *epoch, &images, &samples);
    dt_input_gather(d->table, images, dt_shape_size(net->in), samples, m, w->acts[0]);
    dt_ref_net_forward_f32(net, m, d->state.params, epoch ? w->masks : NULL, w->acts);
    return w->acts[net->n_layers];
}

static void draw_masks(const dt_device *d, worker_t *w, const int64_t *samples, uint32_t epoch) {
    const dt_net *net = d->config.net;
    for (int i = 0; i < net->n_layers; i++) {
        size_t n = dt_shape_size(net->layers[i].in);
        for (size_t j = 0; w->masks[i] && j < (size_t)d->config.micro_batch; j++)
            dt_dropout_mask(d->config.seed, epoch, samples[j], i, net->layers[i].drop,
                            w->masks[i] + j * n, n);
    }
}

/* Forward, loss (added to sums) and backward of one micro-batch; its gradient is in w->dparams. */
static void compute(const dt_device *d, worker_t *w, const int64_t *samples, uint32_t epoch,
                    int64_t sums[DT_N_SUMS]) {
    const dt_net *net = d->config.net;
    int m = d->config.micro_batch;
    draw_masks(d, w, samples, epoch);
    const float *logits = forward(d, w, DT_TRAIN, samples, &epoch);
    dt_loss_softmax(logits, m, net->classes, samples, d->sets[DT_TRAIN].labels,
                    d->config.label_smoothing, w->grads[net->n_layers], sums, NULL);
    dt_ref_net_backward_f32(net, m, d->state.params, w->masks, w->acts, w->grads, w->dparams);
}

/* w->sums += the gradient of one micro-batch, as integers or (add_float) in w->floats. */
static void add_exact(const dt_device *d, worker_t *w, const int64_t *samples, uint32_t epoch) {
    size_t n = d->config.net->n_params;
    compute(d, w, samples, epoch, w->sums + n);
    w->sums[n + DT_SUM_BAD] += dt_fixed_add(w->sums, w->dparams, n, d->limit);
}

static void add_float(const dt_device *d, worker_t *w, const int64_t *samples, uint32_t epoch) {
    size_t n = d->config.net->n_params;
    compute(d, w, samples, epoch, w->sums + n);
    for (size_t i = 0; i < n; i++) {
        w->floats[i] += w->dparams[i];
        w->sums[n + DT_SUM_BAD] += !isfinite(w->dparams[i]);
    }
}

typedef struct {
    dt_device *device;
    const dt_work *work;
    dt_set set;
    dt_eval *out;
    int only; /* fingerprint: the worker that computes */
} job_t;

static void gradient_job(void *ctx, int worker) {
    job_t *job = ctx;
    const dt_device *d = job->device;
    worker_t *w = &d->workers[worker];
    size_t n = d->config.net->n_params;
    memset(w->sums, 0, (n + DT_N_SUMS) * sizeof *w->sums);
    if (w->floats)
        memset(w->floats, 0, n * sizeof *w->floats);
    for (int j = worker; j < job->work->n_micros; j += d->config.threads) {
        const int64_t *samples = job->work->samples + (size_t)j * (size_t)d->config.micro_batch;
        if (d->config.exact)
            add_exact(d, w, samples, job->work->epoch);
        else
            add_float(d, w, samples, job->work->epoch);
    }
}

static dt_status ref_gradient(dt_device *d, const dt_work *work, dt_ready ready, void *ctx) {
    job_t job = {.device = d, .work = work};
    dt_pool_run(d->pool, gradient_job, &job);
    const dt_gradient *g = &d->gradient;
    size_t n = d->config.net->n_params, skipped = n + DT_N_SUMS - g->n_sums;
    memset(g->sums, 0, g->n_sums * sizeof *g->sums);
    if (g->floats)
        memset(g->floats, 0, n * sizeof *g->floats);
    for (int i = 0; i < d->config.threads; i++) {
        dt_fixed_merge(g->sums, d->workers[i].sums + skipped, g->n_sums);
        for (size_t k = 0; g->floats && k < n; k++)
            g->floats[k] += d->workers[i].floats[k];
    }
    if (ready)
        ready(ctx, 0);
    return DT_OK;
}

static dt_status ref_update(dt_device *d, const dt_update *u, double *norm) {
    return dt_update_run(d->pool, &d->state, &d->gradient, u, norm);
}

static void evaluate_job(void *ctx, int worker) {
    job_t *job = ctx;
    const dt_device *d = job->device;
    const dt_net *net = d->config.net;
    worker_t *w = &d->workers[worker];
    size_t m = (size_t)d->config.micro_batch, classes = (size_t)net->classes;
    memset(w->sums, 0, DT_N_SUMS * sizeof *w->sums);
    memset(w->confusion, 0, classes * classes * sizeof *w->confusion);
    for (int j = worker; j < job->work->n_micros; j += d->config.threads) {
        const int64_t *samples = job->work->samples + (size_t)j * m;
        const float *logits = forward(d, w, job->set, samples, NULL);
        dt_loss_softmax(logits, (int)m, net->classes, samples, d->sets[job->set].labels, 0.0f, NULL,
                        w->sums, w->confusion);
        if (job->out->logits)
            memcpy(job->out->logits + (size_t)j * m * classes, logits,
                   m * classes * sizeof *logits);
    }
}

static dt_status ref_evaluate(dt_device *d, dt_set set, const dt_work *work, dt_eval *out) {
    job_t job = {.device = d, .work = work, .set = set, .out = out};
    size_t n_cells = (size_t)d->config.net->classes * (size_t)d->config.net->classes;
    memset(out->sums, 0, sizeof out->sums);
    dt_pool_run(d->pool, evaluate_job, &job);
    for (int i = 0; i < d->config.threads; i++) {
        dt_fixed_merge(out->sums, d->workers[i].sums, DT_N_SUMS);
        if (out->confusion)
            dt_fixed_merge(out->confusion, d->workers[i].confusion, n_cells);
    }
    return DT_OK;
}

static void fingerprint_job(void *ctx, int worker) {
    job_t *job = ctx;
    const dt_device *d = job->device;
    worker_t *w = &d->workers[worker];
    size_t n = d->config.net->n_params;
    if (worker != job->only)
        return;
    memset(w->sums, 0, (n + DT_N_SUMS) * sizeof *w->sums);
    add_exact(d, w, job->work->samples, job->work->epoch);
}

static dt_status ref_fingerprint(dt_device *d, int worker, const int64_t *samples, uint32_t epoch,
                                 char hex[65]) {
    dt_work work = {.samples = samples, .n_micros = 1, .epoch = epoch};
    job_t job = {.device = d, .work = &work, .only = worker};
    dt_pool_run(d->pool, fingerprint_job, &job);
    size_t n = d->config.net->n_params + DT_N_SUMS;
    dt_sha256(d->workers[worker].sums, n * sizeof(int64_t), hex);
    return DT_OK;
}

static void ref_describe(char *text, size_t nbytes) {
    const char *libc = "another C library";
#ifdef __GLIBC__
    libc = gnu_get_libc_version();
#endif
    snprintf(text, nbytes, "reference loops, libm %s", libc);
}

const dt_backend dt_backend_ref = {
    .name = "ref",
    .default_micro_batch = 16,
    .open = ref_open,
    .close = ref_close,
    .load = ref_load,
    .set_state = ref_set_state,
    .get_state = ref_get_state,
    .buffer = ref_buffer,
    .ranges = ref_ranges,
    .gradient = ref_gradient,
    .update = ref_update,
    .evaluate = ref_evaluate,
    .fingerprint = ref_fingerprint,
    .describe = ref_describe,
};
