/* model/cpu.c - the cpu back end: worker threads over oneDNN primitives.
 *
 * Workers take micro-batches from a queue, each with its own activations and its own gradient sums
 * in the layers' layouts. When all are done, the workers' sums are added into the plain gradient,
 * rows shared among them; or, when the trainer wants to send early, whoever completes a range last
 * adds it up alone and says so. After an update the parameters are written out in the layers'
 * layouts. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "model/cpu_impl.h"
#include "model/loss.h"
#include "model/pool.h"
#include "model/update.h"

enum { MAX_THREADS = 1024 };

struct dt_device {
    dt_device_config config;
    cpu_plan plan;
    cpu_context set[DT_N_SETS];
    dt_pool *pool;
    cpu_worker *workers; /* [config.threads] */
    dt_host_state state;
    dt_gradient buffer;
    int64_t *own_sums; /* the buffer's, unless the caller gave memory */

    /* the step or evaluation at hand */
    const dt_work *work;
    dt_queue queue;
    dt_ready ready;
    void *ready_ctx;
    atomic_int missing[CPU_MAX_RANGES]; /* workers that have not completed a range */
    const cpu_context *context;
    dt_eval *eval;
    dt_work one;     /* fingerprint: one micro-batch, */
    int only_worker; /* by this worker */
};

/* ---- parameters in the layers' layouts ---- */

/* A worker's share of n rows, in whole groups of 16. */
static void share(size_t n, int worker, int n_workers, size_t *from, size_t *to) {
    size_t groups = (n + 15) / 16, w = (size_t)worker, all = (size_t)n_workers;
    *from = groups * w / all * 16;
    *to = groups * (w + 1) / all * 16;
    *from = *from > n ? n : *from;
    *to = *to > n ? n : *to;
}

static void weights_out(void *ctx, int worker) {
    dt_device *d = ctx;
    bool bf16 = d->config.precision == DT_BF16;
    for (int i = 0; i < d->plan.n_ops; i++) {
        const cpu_op *op = &d->plan.ops[i];
        size_t from, to;
        if (!cpu_has_weights(op))
            continue;
        const float *plain = d->state.params + op->layer->w_at;
        share(op->dnn->forward.n_o, worker, d->config.threads, &from, &to);
        dt_cpu_weights_out(&op->dnn->forward, plain, op->w_forward, bf16, from, to);
        if (op->own_fc && op->w_backward != op->w_forward)
            dt_avx2_fc_turn(&op->fc_shape, op->w_forward, op->w_backward, from, to);
        else if (op->w_backward != op->w_forward)
            dt_cpu_weights_out(&op->dnn->backward, plain, op->w_backward, bf16, from, to);
        if (worker == 0)
            memcpy(op->bias, d->state.params + op->layer->b_at, op->layer->n_b * sizeof(float));
    }
}

/* ---- gradient ---- */

/* Weight rows [from, to) of an operation, and its bias if wanted, summed over the workers. */
static void merge_exact(dt_device *d, int i, size_t from, size_t to, bool bias) {
    const cpu_op *op = &d->plan.ops[i];
    const int64_t *parts[MAX_THREADS];
    int64_t *sums = d->buffer.sums;
    int n = 0;
    if (bias)
        memset(sums + op->layer->b_at, 0, op->layer->n_b * sizeof *sums);
    for (int w = 0; w < d->config.threads; w++) {
        const worker_op *o = &d->workers[w].ops[i];
        if (!d->workers[w].active)
            continue;
        parts[n++] = o->acc_w;
        for (size_t b = 0; bias && b < op->layer->n_b; b++)
            sums[op->layer->b_at + b] += o->acc_b[b];
    }
    dt_cpu_gather_i64(&op->dnn->gradient, parts, n, sums + op->layer->w_at, from, to);
}

static void merge_float(dt_device *d, int i, size_t from, size_t to, bool bias) {
    const cpu_op *op = &d->plan.ops[i];
    const float *parts[MAX_THREADS];
    float *sums = d->buffer.floats;
    int n = 0;
    if (bias)
        memset(sums + op->layer->b_at, 0, op->layer->n_b * sizeof *sums);
    for (int w = 0; w < d->config.threads; w++) {
        const worker_op *o = &d->workers[w].ops[i];
        if (!d->workers[w].active)
            continue;
        parts[n++] = o->sum_w;
        for (size_t b = 0; bias && b < op->layer->n_b; b++)
            sums[op->layer->b_at + b] += o->sum_b[b];
    }
    dt_cpu_gather_f32(&op->dnn->gradient, parts, n, sums + op->layer->w_at, from, to);
}

static void merge(dt_device *d, int i, size_t from, size_t to, bool bias) {
    if (d->config.exact)
        merge_exact(d, i, from, to, bias);
    else
        merge_float(d, i, from, to, bias);
}

static void merge_share(void *ctx, int worker) {
    dt_device *d = ctx;
    for (int i = 0; i < d->plan.n_ops; i++) {
        size_t from, to;
        if (!cpu_has_weights(&d->plan.ops[i]))
            continue;
        share(d->plan.ops[i].dnn->gradient.n_o, worker, d->config.threads, &from, &to);
        merge(d, i, from, to, worker == 0);
    }
}

/* This worker has completed a range; the last one to do so adds it up. Ranges become ready in
 * order: who completes the last of one has itself been through those before. */
static void complete(void *ctx, int range) {
    dt_device *d = ctx;
    if (atomic_fetch_sub(&d->missing[range], 1) != 1)
        return;
    for (int i = 0; i < d->plan.n_ops; i++) {
        const cpu_op *op = &d->plan.ops[i];
        if (cpu_has_weights(op) && op->range == range)
            merge(d, i, 0, op->dnn->gradient.n_o, true);
    }
    d->ready(d->ready_ctx, range);
}

static void fail_worker(cpu_worker *w, dt_status status) {
    w->status = status;
    dt_error_copy(w->error);
}

static void gradient_job(void *ctx, int worker) {
    dt_device *d = ctx;
    cpu_worker *w = &d->workers[worker];
    const cpu_done done = {complete, d};
    size_t m = (size_t)d->config.micro_batch;
    int next = dt_queue_next(&d->queue);
    dnn_single_thread();
    w->active = next >= 0;
    w->used = false;
    w->status = DT_OK;
    if (next < 0 && d->ready)
        for (int r = 0; r < d->plan.n_ranges; r++)
            complete(d, r);
    while (next >= 0) {
        const int64_t *samples = d->work->samples + (size_t)next * m;
        next = dt_queue_next(&d->queue);
        dt_status status = cpu_worker_gradient(d->context, w, samples, d->work->epoch,
                                               next < 0 && d->ready ? &done : NULL);
        if (status != DT_OK) {
            fail_worker(w, status);
            return;
        }
    }
}

/* A failed worker's status and sentence become the caller's. */
static dt_status workers_status(const dt_device *d) {
    for (int w = 0; w < d->config.threads; w++)
        if (d->workers[w].status != DT_OK) {
            dt_error_set(d->workers[w].error);
            return d->workers[w].status;
        }
    return DT_OK;
}

static dt_status cpu_gradient(dt_device *d, const dt_work *work, dt_ready ready, void *ctx) {
    d->work = work;
    d->context = &d->set[DT_TRAIN];
    d->ready = ready;
    d->ready_ctx = ctx;
    dt_queue_set(&d->queue, work->n_micros);
    for (int r = 0; r < d->plan.n_ranges; r++)
        atomic_store(&d->missing[r], d->config.threads);
    dt_pool_run(d->pool, gradient_job, d);
    DT_TRY(workers_status(d));
    if (!ready)
        dt_pool_run(d->pool, merge_share, d);
    int64_t *sums = d->buffer.sums + d->buffer.n_sums - DT_N_SUMS;
    memset(sums, 0, DT_N_SUMS * sizeof *sums);
    for (int w = 0; w < d->config.threads; w++)
        for (int s = 0; s < DT_N_SUMS; s++)
            sums[s] += d->workers[w].active ? d->workers[w].sums[s] : 0;
    return DT_OK;
}

static dt_status cpu_update(dt_device *d, const dt_update *update, double *norm) {
    DT_TRY(dt_update_run(d->pool, &d->state, &d->buffer, update, norm));
    dt_pool_run(d->pool, weights_out, d);
    return DT_OK;
}

/* ---- evaluation ---- */

static void evaluate_job(void *ctx, int worker) {
    dt_device *d = ctx;
    cpu_worker *w = &d->workers[worker];
    size_t m = (size_t)d->config.micro_batch, classes = (size_t)d->config.net->classes;
    dnn_single_thread();
    w->status = DT_OK;
    memset(w->sums, 0, sizeof w->sums);
    memset(w->confusion, 0, classes * classes * sizeof *w->confusion);
    for (int i; (i = dt_queue_next(&d->queue)) >= 0;) {
        const int64_t *samples = d->work->samples + (size_t)i * m;
        dt_status status = cpu_worker_forward(d->context, w, samples, NULL);
        if (status != DT_OK) {
            fail_worker(w, status);
            return;
        }
        dt_loss_softmax(w->logits, (int)m, (int)classes, samples, d->context->labels, 0, NULL,
                        w->sums, w->confusion);
        if (d->eval->logits)
            memcpy(d->eval->logits + (size_t)i * m * classes, w->logits,
                   m * classes * sizeof(float));
    }
}

static dt_status cpu_evaluate(dt_device *d, dt_set set, const dt_work *work, dt_eval *out) {
    size_t classes = (size_t)d->config.net->classes;
    d->work = work;
    d->context = &d->set[set];
    d->eval = out;
    dt_queue_set(&d->queue, work->n_micros);
    dt_pool_run(d->pool, evaluate_job, d);
    DT_TRY(workers_status(d));
    memset(out->sums, 0, sizeof out->sums);
    for (int w = 0; w < d->config.threads; w++) {
        for (int s = 0; s < DT_N_SUMS; s++)
            out->sums[s] += d->workers[w].sums[s];
        for (size_t i = 0; out->confusion && i < classes * classes; i++)
            out->confusion[i] += d->workers[w].confusion[i];
    }
    return DT_OK;
}

/* ---- fingerprint ---- */

static void fingerprint_job(void *ctx, int worker) {
    dt_device *d = ctx;
    cpu_worker *w = &d->workers[worker];
    if (worker != d->only_worker)
        return;
    dnn_single_thread();
    w->used = false;
    w->status = cpu_worker_gradient(d->context, w, d->work->samples, d->work->epoch, NULL);
    if (w->status != DT_OK)
        dt_error_copy(w->error);
}

static dt_status cpu_fingerprint(dt_device *d, int worker, const int64_t *samples, uint32_t epoch,
                                 char hex[65]) {
    const cpu_worker *w = &d->workers[worker];
    dt_sha256_state *hash;
    d->one = (dt_work){.samples = samples, .n_micros = 1, .epoch = epoch};
    d->work = &d->one;
    d->context = &d->set[DT_TRAIN];
    d->only_worker = worker;
    dt_pool_run(d->pool, fingerprint_job, d);
    if (w->status != DT_OK) {
        dt_error_set(w->error);
        return w->status;
    }
    DT_TRY(dt_sha256_begin(&hash));
    for (int i = 0; i < d->plan.n_ops; i++) {
        const cpu_op *op = &d->plan.ops[i];
        const worker_op *o = &w->ops[i];
        if (!cpu_has_weights(op))
            continue;
        bool exact = d->config.exact;
        size_t element = exact ? sizeof *o->acc_w : sizeof *o->sum_w;
        dt_sha256_add(hash, exact ? (void *)o->acc_w : o->sum_w, op->dnn->gradient.n * element);
        dt_sha256_add(hash, exact ? (void *)o->acc_b : o->sum_b, op->layer->n_b * element);
    }
    dt_sha256_add(hash, w->sums, sizeof w->sums);
    dt_sha256_end(&hash, hex);
    return DT_OK;
}

/* ---- life ---- */

static void cpu_close(dt_device **device) {
    dt_device *d = *device;
    if (!d)
        return;
    dt_pool_free(&d->pool);
    for (int w = 0; d->workers && w < d->config.threads; w++)
        cpu_worker_free(&d->workers[w], &d->plan);
    free(d->workers);
    cpu_plan_free(&d->plan);
    free(d->state.params);
    free(d->state.slots[0]);
    free(d->state.slots[1]);
    free(d->state.chunks);
    free(d->own_sums);
    free(d->buffer.floats);
    free(d);
    *device = NULL;
}

static bool alloc_state(dt_device *d) {
    size_t n = d->config.net->n_params;
    dt_host_state *s = &d->state;
    s->optim = &d->config.optim;
    s->n_params = n;
    s->params = cpu_alloc(n * sizeof *s->params);
    s->chunks = cpu_alloc(dt_update_chunks(n) * sizeof *s->chunks);
    d->buffer.n_sums = (d->config.exact ? n : 0) + DT_N_SUMS;
    d->buffer.sums = d->config.exact ? d->config.sums : NULL;
    if (!d->buffer.sums)
        d->buffer.sums = d->own_sums = cpu_alloc(d->buffer.n_sums * sizeof *d->own_sums);
    d->buffer.floats = d->config.exact ? NULL : cpu_alloc(n * sizeof *d->buffer.floats);
    bool ok = s->params && s->chunks && d->buffer.sums && (d->config.exact || d->buffer.floats);
    for (int i = 0; i < dt_optim_slots(s->optim); i++) {
        s->slots[i] = cpu_alloc(n * sizeof *s->slots[i]);
        ok = ok && s->slots[i];
    }
    d->workers = calloc((size_t)d->config.threads, sizeof *d->workers);
    return ok && d->workers;
}

static dt_status open_parts(dt_device *d) {
    if (!alloc_state(d))
        return dt_fail(DT_EDEVICE, "out of memory for %zu parameters", d->config.net->n_params);
    dnn_single_thread();
    DT_TRY(cpu_plan_make(&d->config, &d->plan));
    for (int set = 0; set < DT_N_SETS; set++)
        d->set[set] = (cpu_context){.config = &d->config, .plan = &d->plan};
    for (int w = 0; w < d->config.threads; w++)
        DT_TRY(cpu_worker_create(&d->set[DT_TRAIN], &d->workers[w]));
    return dt_pool_create(d->config.threads, &d->pool);
}

static dt_status cpu_open(const dt_device_config *config, dt_device **out) {
    *out = NULL;
    if (config->threads < 1 || config->threads > MAX_THREADS)
        return dt_fail(DT_EUSAGE, "--threads %d: 1 to %d", config->threads, MAX_THREADS);
    if (config->precision == DT_TF32)
        return dt_fail(DT_EUSAGE, "--precision tf32: only NVIDIA GPUs have it; use f32 or bf16");
    if (config->precision == DT_BF16 && !dnn_has_bf16())
        return dt_fail(DT_EUSAGE,
                       "--precision bf16: this CPU has neither AVX512-BF16 nor AMX; use f32");
    dt_device *d = calloc(1, sizeof *d);
    if (!d)
        return dt_fail(DT_EDEVICE, "out of memory for a device");
    d->config = *config;
    dt_status status = open_parts(d);
    if (status != DT_OK)
        cpu_close(&d);
    *out = d;
    return status;
}

static dt_status cpu_load(dt_device *d, dt_set set, const uint8_t *images, const uint8_t *labels,
                          size_t n) {
    DT_TRY(dt_loss_check_labels(labels, n, d->config.net->classes));
    d->set[set].images = images;
    d->set[set].labels = labels;
    return DT_OK;
}

static dt_status cpu_set_state(dt_device *d, const float *params, const float *const *slots) {
    size_t nbytes = d->config.net->n_params * sizeof *params;
    memcpy(d->state.params, params, nbytes);
    for (int i = 0; i < dt_optim_slots(&d->config.optim); i++) {
        if (slots)
            memcpy(d->state.slots[i], slots[i], nbytes);
        else
            memset(d->state.slots[i], 0, nbytes);
    }
    dt_pool_run(d->pool, weights_out, d);
    return DT_OK;
}

static dt_status cpu_get_state(dt_device *d, float *params, float *const *slots) {
    size_t nbytes = d->config.net->n_params * sizeof *params;
    memcpy(params, d->state.params, nbytes);
    for (int i = 0; slots && i < dt_optim_slots(&d->config.optim); i++)
        memcpy(slots[i], d->state.slots[i], nbytes);
    return DT_OK;
}

static dt_gradient cpu_buffer(dt_device *d) {
    return d->buffer;
}

static int cpu_ranges(dt_device *d, int max, size_t *from, size_t *n) {
    for (int i = 0; i < d->plan.n_ranges && i < max; i++) {
        from[i] = d->plan.range_from[i];
        n[i] = d->plan.range_n[i];
    }
    return d->plan.n_ranges;
}

const dt_backend dt_backend_cpu = {
    .name = "cpu",
    .default_micro_batch = 16,
    .open = cpu_open,
    .close = cpu_close,
    .load = cpu_load,
    .set_state = cpu_set_state,
    .get_state = cpu_get_state,
    .buffer = cpu_buffer,
    .ranges = cpu_ranges,
    .gradient = cpu_gradient,
    .update = cpu_update,
    .evaluate = cpu_evaluate,
    .fingerprint = cpu_fingerprint,
    .describe = dnn_describe,
};
