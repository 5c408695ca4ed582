/* model/cuda.c - the cuda back end: the table of backend.h over plan, launches and steps.
 *
 * gradient() and update() show the gradient in pinned host memory, for tests and checks; training
 * goes by epoch(), step() and collect(), and leaves it on the device. One thread calls all of it;
 * workers do not exist, the device is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/file.h"
#include "model/cuda_impl.h"
#include "model/cuda_versions.h"
#include "model/fixed.h"
#include "model/loss.h"

dt_status cuda_check(cudaError_t error, const char *what) {
    if (error == cudaSuccess)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "%s: %s (CUDA error %d)", what, cudaGetErrorString(error),
                   (int)error);
}

bool cuda_is_pending(cudaError_t error) {
    if (error != cudaErrorNotReady)
        return false;
    cudaError_t last = cudaGetLastError();
    (void)last;
    return true;
}

dt_status cuda_take(dt_device *d, size_t nbytes, void *out) {
    char what[96];
    void *block, **blocks = realloc(d->blocks, (size_t)(d->n_blocks + 1) * sizeof *blocks);
    if (!blocks)
        return dt_fail(DT_EDEVICE, "no memory for a list of %d blocks", d->n_blocks + 1);
    d->blocks = blocks;
    snprintf(what, sizeof what, "no %zu bytes on GPU %d beside the %zu that are held", nbytes,
             d->config.index, d->bytes);
    DT_TRY(cuda_check(cudaMalloc(&block, nbytes > 0 ? nbytes : 1), what));
    d->blocks[d->n_blocks++] = block;
    d->bytes += nbytes;
    memcpy(out, &block, sizeof block);
    return DT_OK;
}

static dt_status take_pinned(size_t nbytes, void *out) {
    void *block;
    char what[64];
    snprintf(what, sizeof what, "no %zu bytes of pinned memory", nbytes);
    DT_TRY(cuda_check(cudaMallocHost(&block, nbytes), what));
    memcpy(out, &block, sizeof block);
    return DT_OK;
}

static void free_pinned(void *block) {
    if (block)
        cudaFreeHost(block);
}

static void cuda_close(dt_device **device) {
    dt_device *d = device ? *device : NULL;
    if (!d)
        return;
    cudaSetDevice(d->config.index);
    cudaDeviceSynchronize(); /* what is queued may use all of it; see idle() */
    cuda_steps_close(d);
    cuda_plan_free(&d->plan);
    for (int i = 0; i < 2; i++) {
        cuda_source_close(&d->epochs[i]);
        cuda_source_close(&d->chunk[i]);
    }
    while (d->n_blocks > 0)
        cudaFree(d->blocks[--d->n_blocks]);
    free(d->blocks);
    free_pinned(d->collected);
    free_pinned(d->mirror);
    free_pinned(d->mirror_floats);
    free_pinned(d->scratch);
    free_pinned(d->logits);
    if (d->dnn)
        cudnnDestroy(d->dnn);
    if (d->blas)
        cublasDestroy(d->blas);
    for (int i = 0; i < CUDA_MAX_RANGES; i++)
        if (d->ready[i])
            cudaEventDestroy(d->ready[i]);
    for (int i = 0; i < DT_MAX_QUEUED; i++)
        if (d->done[i])
            cudaEventDestroy(d->done[i]);
    if (d->joined)
        cudaEventDestroy(d->joined);
    if (d->used)
        cudaEventDestroy(d->used);
    cudaStream_t streams[] = {d->main, d->comm, d->copy};
    for (int i = 0; i < 3; i++)
        if (streams[i])
            cudaStreamDestroy(streams[i]);
    free(d);
    *device = NULL;
}

/* Whether GPU index exists and can compute in this precision. */
static dt_status check_gpu(const dt_device_config *config, int *major) {
    struct cudaDeviceProp gpu;
    static const char *const names[] = {"f32", "bf16", "tf32"};
    DT_TRY(cuda_check(cudaSetDevice(config->index), "the GPU cannot be used"));
    DT_TRY(cuda_check(cudaGetDeviceProperties(&gpu, config->index), "the GPU cannot be asked"));
    *major = gpu.major;
    if (gpu.major * 10 + gpu.minor < 75)
        return dt_fail(DT_EDEVICE, "%s has compute capability %d.%d, older than 7.5", gpu.name,
                       gpu.major, gpu.minor);
    if (config->precision != DT_F32 && gpu.major < 8)
        return dt_fail(DT_EUSAGE,
                       "--precision %s needs compute capability 8.0; %s has %d.%d and computes in "
                       "f32",
                       names[config->precision], gpu.name, gpu.major, gpu.minor);
    return DT_OK;
}

static dt_status check_dnn(cudnnStatus_t status) {
    if (status == CUDNN_STATUS_SUCCESS)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "cuDNN cannot start: %s", cudnnGetErrorString(status));
}

static dt_status check_blas(cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "cuBLAS cannot start: %s", cublasGetStatusString(status));
}

static dt_status make_event(cudaEvent_t *event) {
    return cuda_check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "no event");
}

static dt_status make_streams(dt_device *d) {
    cudaStream_t *streams[] = {&d->main, &d->comm, &d->copy};
    int least, greatest;
    DT_TRY(cuda_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "no priorities"));
    for (int i = 0; i < 3; i++) /* sums go before what is computed beside them: others wait */
        DT_TRY(cuda_check(cudaStreamCreateWithPriority(streams[i], cudaStreamNonBlocking,
                                                       i == 1 ? greatest : least),
                          "no stream"));
    for (int i = 0; i < CUDA_MAX_RANGES; i++)
        DT_TRY(make_event(&d->ready[i]));
    for (int i = 0; i < DT_MAX_QUEUED; i++)
        DT_TRY(make_event(&d->done[i]));
    DT_TRY(make_event(&d->joined));
    return make_event(&d->used);
}

static dt_status make_handles(dt_device *d, int major) {
    size_t nbytes = (size_t)(major >= 9 ? 32 : 4) << 20; /* what cuBLAS recommends */
    DT_TRY(check_dnn(cudnnCreate(&d->dnn)));
    DT_TRY(check_dnn(cudnnSetStream(d->dnn, d->main)));
    DT_TRY(check_blas(cublasCreate(&d->blas)));
    DT_TRY(check_blas(cublasSetStream(d->blas, d->main)));
    DT_TRY(cuda_take(d, nbytes, &d->plan.product_workspace));
    return check_blas(cublasSetWorkspace(d->blas, d->plan.product_workspace, nbytes));
}

/* Parameters, optimizer, gradient, and what shows them on the host. */
static dt_status make_state(dt_device *d) {
    const dt_net *net = d->config.net;
    size_t n = net->n_params, classes = (size_t)net->classes, m = (size_t)d->config.micro_batch;
    size_t n_cells = classes * classes, n_scratch = n + CUDA_HEAD;
    size_t n_head = d->config.exact ? CUDA_HEAD + n : CUDA_HEAD;
    d->state.optim = d->config.optim;
    d->state.n_slots = dt_optim_slots(&d->config.optim);
    DT_TRY(cuda_take(d, n * sizeof(float), &d->state.params));
    for (int i = 0; i < d->state.n_slots; i++)
        DT_TRY(cuda_take(d, n * sizeof(float), &d->state.slots[i]));
    d->gradient = (cuda_gradient){.n = n, .limit = dt_fixed_limit(d->config.max_micros)};
    DT_TRY(cuda_take(d, n_head * sizeof(int64_t), &d->gradient.head));
    if (d->config.exact)
        d->gradient.sums = d->gradient.head + CUDA_HEAD;
    else
        DT_TRY(cuda_take(d, n * sizeof(float), &d->gradient.floats));
    DT_TRY(cuda_take(d, sizeof *d->control, &d->control));
    DT_TRY(cuda_take(d, CUDA_HEAD * sizeof(int64_t), &d->eval_head));
    DT_TRY(cuda_take(d, n_cells * sizeof(int64_t), &d->confusion));
    DT_TRY(cuda_take(d, (n / DT_NORM_CHUNK + 1) * sizeof(double), &d->chunks));
    DT_TRY(cuda_take(d, (DT_MAX_QUEUED + 1) * sizeof *d->outcomes, &d->outcomes));
    DT_TRY(take_pinned((DT_MAX_QUEUED + 1) * sizeof *d->collected, &d->collected));
    DT_TRY(take_pinned((n + DT_N_SUMS) * sizeof *d->mirror, &d->mirror));
    if (!d->config.exact)
        DT_TRY(take_pinned(n * sizeof *d->mirror_floats, &d->mirror_floats));
    n_scratch = n_cells > n_scratch ? n_cells : n_scratch;
    DT_TRY(take_pinned(n_scratch * sizeof *d->scratch, &d->scratch));
    DT_TRY(take_pinned(CUDA_CHUNK * m * classes * sizeof *d->logits, &d->logits));
    for (int i = 0; i < 2; i++) {
        DT_TRY(cuda_source_open(d, &d->chunk[i], CUDA_CHUNK));
        if (d->config.epoch_micros > 0)
            DT_TRY(cuda_source_open(d, &d->epochs[i], d->config.epoch_micros));
    }
    return DT_OK;
}

static dt_status fill_constants(dt_device *d) {
    float table[256];
    dt_input_table(d->config.mean, d->config.std, table);
    DT_TRY(cuda_take(d, sizeof table, &d->plan.table));
    DT_TRY(cuda_check(cudaMemsetAsync(d->control, 0, sizeof *d->control, d->main),
                      "the device cannot be written"));
    DT_TRY(cuda_check(
        cudaMemcpyAsync(d->plan.table, table, sizeof table, cudaMemcpyHostToDevice, d->main),
        "the device cannot be written"));
    return cuda_check(cudaStreamSynchronize(d->main), "the device failed"); /* table ends here */
}

static dt_status make_device(dt_device *d) {
    int major;
    char text[8192];
    const char *choices = d->config.choices;
    DT_TRY(check_gpu(&d->config, &major));
    DT_TRY(make_streams(d));
    DT_TRY(cuda_plan_ops(d->config.net, &d->plan));
    DT_TRY(make_handles(d, major));
    if (!choices) {
        const conv_place place = {.handle = d->dnn};
        DT_TRY(cuda_plan_choose(&place, &d->plan, &d->config, text, sizeof text));
        choices = text;
    }
    DT_TRY(make_state(d));
    DT_TRY(cuda_plan_memory(d, choices));
    return fill_constants(d);
}

static dt_status cuda_open(const dt_device_config *config, dt_device **out) {
    dt_device *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d)
        return dt_fail(DT_EDEVICE, "no memory for a device");
    d->config = *config;
    d->bf16 = config->precision == DT_BF16;
    dt_status status = make_device(d);
    d->config.choices = NULL; /* the caller's */
    if (status != DT_OK)
        cuda_close(&d);
    *out = d;
    return status;
}

static dt_status cuda_choose(const dt_device_config *config, char *text, size_t nbytes) {
    cuda_plan plan = {0};
    conv_place place = {0};
    int major;
    DT_TRY(check_gpu(config, &major));
    dt_status status = cuda_plan_ops(config->net, &plan);
    if (status == DT_OK)
        status = check_dnn(cudnnCreate(&place.handle));
    if (status == DT_OK)
        status = cuda_plan_choose(&place, &plan, config, text, nbytes);
    if (place.handle)
        cudnnDestroy(place.handle);
    cuda_plan_free(&plan);
    return status;
}

static dt_status cuda_load(dt_device *d, dt_set set, const uint8_t *images, const uint8_t *labels,
                           size_t n) {
    DT_TRY(dt_loss_check_labels(labels, n, d->config.net->classes));
    d->sets[set].images = images;
    d->sets[set].labels = labels;
    return DT_OK;
}

static dt_status wait_main(dt_device *d) {
    return cuda_check(cudaStreamSynchronize(d->main), "the device failed");
}

static dt_status copy(dt_device *d, void *to, const void *from, size_t nbytes,
                      enum cudaMemcpyKind kind) {
    return cuda_check(cudaMemcpyAsync(to, from, nbytes, kind, d->main), "a copy failed");
}

static dt_status cuda_set_state(dt_device *d, const float *params, const float *const *slots) {
    size_t nbytes = d->config.net->n_params * sizeof *params;
    DT_TRY(copy(d, d->state.params, params, nbytes, cudaMemcpyHostToDevice));
    for (int i = 0; i < d->state.n_slots; i++)
        if (slots)
            DT_TRY(copy(d, d->state.slots[i], slots[i], nbytes, cudaMemcpyHostToDevice));
        else
            DT_TRY(cuda_check(cudaMemsetAsync(d->state.slots[i], 0, nbytes, d->main),
                              "the device cannot be written"));
    DT_TRY(cuda_check(cudaMemsetAsync(d->control, 0, sizeof *d->control, d->main),
                      "the device cannot be written"));
    DT_TRY(cuda_copies(d));
    return wait_main(d);
}

static dt_status cuda_get_state(dt_device *d, float *params, float *const *slots) {
    size_t nbytes = d->config.net->n_params * sizeof *params;
    DT_TRY(copy(d, params, d->state.params, nbytes, cudaMemcpyDeviceToHost));
    for (int i = 0; slots && i < d->state.n_slots; i++)
        DT_TRY(copy(d, slots[i], d->state.slots[i], nbytes, cudaMemcpyDeviceToHost));
    return wait_main(d);
}

static dt_gradient cuda_buffer(dt_device *d) {
    size_t n = d->config.exact ? d->config.net->n_params : 0;
    return (dt_gradient){.sums = d->mirror, .n_sums = n + DT_N_SUMS, .floats = d->mirror_floats};
}

static int cuda_ranges(dt_device *d, int max, size_t *from, size_t *n) {
    for (int i = 0; i < d->plan.n_ranges && i < max; i++) {
        from[i] = d->plan.ranges[i].from;
        n[i] = d->plan.ranges[i].n;
    }
    return d->plan.n_ranges;
}

/* Micro-batches [first, ...) of work, as many as a chunk holds, are on the device and begun. */
static dt_status begin_chunk(dt_device *d, dt_set set, const dt_work *work, int first, int *n,
                             int64_t *head) {
    cuda_source *s = &d->chunk[first / CUDA_CHUNK % 2];
    size_t at = (size_t)first * (size_t)d->config.micro_batch;
    *n = work->n_micros - first < CUDA_CHUNK ? work->n_micros - first : CUDA_CHUNK;
    s->epoch = work->epoch;
    const dt_work chunk = {.samples = work->samples + at, .n_micros = *n};
    DT_TRY(cuda_source_gather(d, s, set, &chunk));
    DT_TRY(cuda_source_upload(d, s, d->main));
    cuda_work todo = cuda_source_work(d, s);
    todo.reset = first == 0;
    return cuda_check(cuda_begin(d->control, &todo, head, d->main), "a kernel cannot be launched");
}

/* The gradient of work, on the device. Without micro-batches: one without samples. */
static dt_status add_up(dt_device *d, const dt_work *work) {
    const cuda_work nothing = {.epoch = work->epoch, .idle = 1, .reset = 1};
    int n;
    if (work->n_micros == 0) {
        DT_TRY(cuda_check(cuda_begin(d->control, &nothing, d->gradient.head, d->main),
                          "a kernel cannot be launched"));
        return cuda_micro(d, false);
    }
    for (int first = 0; first < work->n_micros; first += n) {
        DT_TRY(begin_chunk(d, DT_TRAIN, work, first, &n, d->gradient.head));
        for (int j = 0; j < n; j++)
            DT_TRY(cuda_micro(d, false));
    }
    return DT_OK;
}

static dt_status cuda_gradient_of(dt_device *d, const dt_work *work, dt_ready ready, void *ctx) {
    dt_gradient g = cuda_buffer(d);
    size_t n = d->config.net->n_params;
    DT_TRY(add_up(d, work));
    if (g.floats)
        DT_TRY(copy(d, g.floats, d->gradient.floats, n * sizeof *g.floats, cudaMemcpyDeviceToHost));
    else
        DT_TRY(copy(d, g.sums, d->gradient.sums, n * sizeof *g.sums, cudaMemcpyDeviceToHost));
    DT_TRY(copy(d, g.sums + g.n_sums - DT_N_SUMS, d->gradient.head, DT_N_SUMS * sizeof *g.sums,
                cudaMemcpyDeviceToHost));
    DT_TRY(wait_main(d));
    for (int i = 0; ready && i < d->plan.n_ranges; i++)
        ready(ctx, i);
    return DT_OK;
}

static dt_status cuda_update_from(dt_device *d, const dt_update *u, double *norm) {
    dt_gradient g = cuda_buffer(d);
    size_t n = d->config.net->n_params;
    const cuda_work work = {
        .idle = 1, .slot = DT_MAX_QUEUED, .scalars = cuda_scalars_of(&d->config.optim, u)};
    cuda_outcome *outcome = &d->collected[DT_MAX_QUEUED];
    DT_TRY(cuda_check(cudaMemsetAsync(&d->control->stopped, 0, sizeof d->control->stopped, d->main),
                      "the device cannot be written"));
    DT_TRY(cuda_check(cuda_begin(d->control, &work, NULL, d->main), "a kernel cannot be launched"));
    if (g.floats)
        DT_TRY(copy(d, d->gradient.floats, g.floats, n * sizeof *g.floats, cudaMemcpyHostToDevice));
    else
        DT_TRY(copy(d, d->gradient.sums, g.sums, n * sizeof *g.sums, cudaMemcpyHostToDevice));
    DT_TRY(copy(d, d->gradient.head, g.sums + g.n_sums - DT_N_SUMS, DT_N_SUMS * sizeof *g.sums,
                cudaMemcpyHostToDevice));
    DT_TRY(cuda_check(cudaMemsetAsync(d->gradient.head + DT_N_SUMS, 0,
                                      (CUDA_HEAD - DT_N_SUMS) * sizeof *g.sums, d->main),
                      "the device cannot be written"));
    DT_TRY(cuda_update(d));
    DT_TRY(copy(d, outcome, &d->outcomes[DT_MAX_QUEUED], sizeof *outcome, cudaMemcpyDeviceToHost));
    DT_TRY(wait_main(d));
    *norm = outcome->norm;
    return cuda_verdict(outcome);
}

/* Micro-batches first to first + n of an evaluation, with their logits. */
static dt_status evaluate_chunk(dt_device *d, dt_set set, const dt_work *work, int first, int *n,
                                const dt_eval *out) {
    size_t n_logits = (size_t)d->config.micro_batch * (size_t)d->config.net->classes;
    DT_TRY(begin_chunk(d, set, work, first, n, NULL));
    for (int j = 0; j < *n; j++) {
        DT_TRY(cuda_evaluate_micro(d, out->confusion != NULL));
        if (out->logits)
            DT_TRY(copy(d, d->logits + (size_t)j * n_logits, d->plan.logits,
                        n_logits * sizeof *d->logits, cudaMemcpyDeviceToHost));
        DT_TRY(cuda_check(cuda_advance(d->control, d->main), "a kernel cannot be launched"));
    }
    if (!out->logits)
        return DT_OK;
    DT_TRY(wait_main(d));
    memcpy(out->logits + (size_t)first * n_logits, d->logits,
           (size_t)*n * n_logits * sizeof *d->logits);
    return DT_OK;
}

static dt_status cuda_evaluate(dt_device *d, dt_set set, const dt_work *work, dt_eval *out) {
    size_t n_cells = (size_t)d->config.net->classes * (size_t)d->config.net->classes;
    DT_TRY(cuda_check(cudaMemsetAsync(d->eval_head, 0, CUDA_HEAD * sizeof(int64_t), d->main),
                      "the device cannot be written"));
    DT_TRY(cuda_check(cudaMemsetAsync(d->confusion, 0, n_cells * sizeof(int64_t), d->main),
                      "the device cannot be written"));
    for (int first = 0, n; first < work->n_micros; first += n)
        DT_TRY(evaluate_chunk(d, set, work, first, &n, out));
    DT_TRY(copy(d, d->scratch, d->eval_head, sizeof out->sums, cudaMemcpyDeviceToHost));
    DT_TRY(wait_main(d));
    memcpy(out->sums, d->scratch, sizeof out->sums);
    if (!out->confusion)
        return DT_OK;
    DT_TRY(copy(d, d->scratch, d->confusion, n_cells * sizeof(int64_t), cudaMemcpyDeviceToHost));
    DT_TRY(wait_main(d));
    dt_fixed_merge(out->confusion, d->scratch, n_cells);
    return DT_OK;
}

static dt_status cuda_fingerprint(dt_device *d, int worker, const int64_t *samples, uint32_t epoch,
                                  char hex[65]) {
    const dt_work work = {.samples = samples, .n_micros = 1, .epoch = epoch};
    size_t n = d->config.net->n_params, head = DT_N_SUMS * sizeof(int64_t);
    size_t nbytes = n * (d->config.exact ? sizeof(int64_t) : sizeof(float));
    const void *sums = d->config.exact ? (const void *)d->gradient.sums : d->gradient.floats;
    (void)worker; /* there is one */
    DT_TRY(add_up(d, &work));
    DT_TRY(copy(d, d->scratch, d->gradient.head, head, cudaMemcpyDeviceToHost));
    DT_TRY(copy(d, d->scratch + DT_N_SUMS, sums, nbytes, cudaMemcpyDeviceToHost));
    DT_TRY(wait_main(d));
    dt_sha256(d->scratch, head + nbytes, hex);
    return DT_OK;
}

/* The libraries, and the GPU that this process uses. */
static void cuda_describe(char *text, size_t nbytes) {
    int index;
    struct cudaDeviceProp gpu;
    dt_cuda_versions(text, nbytes);
    size_t at = strlen(text);
    if (cudaGetDevice(&index) == cudaSuccess && cudaGetDeviceProperties(&gpu, index) == cudaSuccess)
        snprintf(text + at, nbytes - at, ", %s (%d.%d)", gpu.name, gpu.major, gpu.minor);
}

static void cuda_usage(const dt_device *d, dt_device_usage *out) {
    size_t row = (size_t)d->config.micro_batch * (9 + dt_shape_size(d->config.net->in));
    *out = (dt_device_usage){.device_bytes = d->bytes};
    for (int i = 0; i < 2; i++) {
        out->calls[i] = d->calls[i];
        out->nodes[i] = d->nodes[i];
        out->graphs += d->graphs[i] ? 1 : 0;
        out->device_bytes += (size_t)(d->epochs[i].capacity + d->chunk[i].capacity) * row;
    }
}

const dt_backend dt_backend_cuda = {
    .name = "cuda",
    .default_micro_batch = 128,
    .open = cuda_open,
    .close = cuda_close,
    .load = cuda_load,
    .set_state = cuda_set_state,
    .get_state = cuda_get_state,
    .buffer = cuda_buffer,
    .ranges = cuda_ranges,
    .gradient = cuda_gradient_of,
    .update = cuda_update_from,
    .evaluate = cuda_evaluate,
    .fingerprint = cuda_fingerprint,
    .describe = cuda_describe,
    .choose = cuda_choose,
    .epoch = cuda_epoch,
    .depth = cuda_depth,
    .step = cuda_step,
    .collect = cuda_collect,
    .idle = cuda_idle,
    .usage = cuda_usage,
};
