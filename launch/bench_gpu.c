/* launch/bench_gpu.c - the GPU's part of `dtrain bench`.
 *
 * The real step, without data files: two micro-batches a rank, one of either kind that a step has
 * (the last one carries the all-reduce and the update). Steps are queued ahead as in a training,
 * and timed from an empty queue to an empty queue. */
#include "launch/bench_gpu.h"

#include <stdlib.h>

#include "io/clock.h"

enum { MICROS = 2, WARM = 2, MOST_STEPS = 2000, SIDE = 28 };
enum { LEAST_PRODUCT = 256, MOST_PRODUCT = 8192 }; /* rows of a matrix */
static const double seconds_wanted = 1, product_seconds = 1e-3;

typedef struct {
    dt_gpus *gpus;
    const dt_backend *backend;
    dt_net *net;
    dt_device *device;
    char *choices;
    uint8_t *images, *labels; /* [n] */
    int64_t *samples;         /* [n] */
    int micro_batch;
    size_t n;        /* of a step */
    int64_t n_steps; /* so far */
} course;

enum { MAX_CHOICES = 1 << 16 };

static dt_status allocate(course *c) {
    DT_TRY(dt_net_parse("cnn", (dt_shape){1, SIDE, SIDE}, &c->net));
    c->n = (size_t)MICROS * (size_t)c->micro_batch;
    c->images = malloc(c->n * SIDE * SIDE);
    c->labels = malloc(c->n);
    c->samples = malloc(c->n * sizeof *c->samples);
    c->choices = calloc(1, MAX_CHOICES);
    if (!c->images || !c->labels || !c->samples || !c->choices)
        return dt_fail(DT_EDEVICE, "no memory for %zu images", c->n);
    for (size_t i = 0; i < c->n * SIDE * SIDE; i++)
        c->images[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < c->n; i++) {
        c->labels[i] = (uint8_t)(i % 10);
        c->samples[i] = (int64_t)i;
    }
    return DT_OK;
}

static dt_status set_parameters(course *c) {
    float *params = malloc(c->net->n_params * sizeof *params);
    if (!params)
        return dt_fail(DT_EDEVICE, "no memory for %zu parameters", c->net->n_params);
    dt_net_init(c->net, 1, params);
    dt_status status = c->backend->set_state(c->device, params, NULL);
    free(params);
    return status;
}

static dt_status open_device(course *c, const dt_device_config *config) {
    DT_TRY(dt_gpus_explain(c->gpus, c->backend->open(config, &c->device)));
    DT_TRY(c->backend->load(c->device, DT_TRAIN, c->images, c->labels, c->n));
    DT_TRY(set_parameters(c));
    dt_work work = {.samples = c->samples, .n_micros = MICROS};
    return c->backend->epoch(c->device, &work);
}

/* Collective. */
static dt_status open_course(course *c, dt_precision precision, bool graph) {
    dt_comm *comm = c->gpus->comm;
    DT_TRY(dt_comm_agree(comm, allocate(c)));
    dt_device_config config = {.net = c->net,
                               .precision = precision,
                               .micro_batch = c->micro_batch,
                               .threads = 1,
                               .seed = 1,
                               .exact = true,
                               .max_micros = MICROS * dt_comm_size(comm),
                               .optim = {.kind = DT_SGD, .momentum = 0.9f},
                               .mean = 0.5,
                               .std = 0.3,
                               .index = c->gpus->index,
                               .epoch_micros = MICROS,
                               .graph = graph,
                               .reduce = dt_gpus_reducer(c->gpus)};
    dt_status status = DT_OK;
    if (c->backend->choose && dt_comm_rank(comm) == 0)
        status = c->backend->choose(&config, c->choices, MAX_CHOICES);
    DT_TRY(dt_comm_agree(comm, status));
    DT_TRY(dt_comm_bcast(comm, c->choices, MAX_CHOICES, 0));
    config.choices = c->choices;
    return dt_comm_agree(comm, open_device(c, &config));
}

static void close_course(course *c) {
    if (c->device) {
        dt_gpus_settle(c->gpus, c->backend, c->device, DT_SETTLE_SECONDS);
        c->backend->close(&c->device);
    }
    dt_net_free(&c->net);
    free(c->images);
    free(c->labels);
    free(c->samples);
    free(c->choices);
}

static dt_status submit(course *c) {
    dt_queued_step step = {.n_micros = MICROS,
                           .update = {.step = ++c->n_steps, .learning_rate = 1e-6f}};
    return c->backend->step(c->device, &step);
}

/* n steps, at most half a queue ahead, and no further than never waits in a launch. */
static dt_status run_steps(course *c, int n) {
    int submitted = 0, ahead = DT_MAX_QUEUED / 2;
    dt_step_outcome outcome;
    if (c->backend->depth && c->backend->depth(c->device, MICROS) < ahead)
        ahead = c->backend->depth(c->device, MICROS);
    for (int collected = 0; collected < n; collected++) {
        for (; submitted < n && submitted - collected < ahead; submitted++)
            DT_TRY(submit(c));
        DT_TRY(dt_gpus_collect(c->gpus, c->backend, c->device, &outcome));
    }
    return DT_OK;
}

/* A rank that fails here leaves the others waiting on their devices. */
static dt_status timed_steps(course *c, int n, double *seconds) {
    DT_TRY(dt_comm_barrier(c->gpus->comm));
    double begin = dt_now();
    dt_status status = run_steps(c, n);
    if (status != DT_OK && dt_comm_size(c->gpus->comm) > 1)
        dt_gpus_abort(c->gpus, status);
    DT_TRY(status);
    *seconds = dt_now() - begin;
    return dt_comm_bcast(c->gpus->comm, seconds, sizeof *seconds, 0); /* all decide alike */
}

static dt_status measure(course *c, dt_gpu_speed *out) {
    double seconds;
    DT_TRY(timed_steps(c, WARM, &seconds)); /* libraries load and graphs are made */
    DT_TRY(timed_steps(c, WARM, &seconds));
    double wanted = seconds > 0 ? seconds_wanted * WARM / seconds : MOST_STEPS;
    int n = wanted > MOST_STEPS ? MOST_STEPS : wanted < WARM ? WARM : (int)wanted;
    DT_TRY(timed_steps(c, n, &seconds));
    double images = (double)c->n * n * dt_comm_size(c->gpus->comm);
    out->images_per_second = images / seconds;
    out->gflops = 1e-9 * c->net->flop_step * out->images_per_second;
    c->backend->usage(c->device, &out->usage);
    return DT_OK;
}

dt_status dt_gpu_measure(dt_gpus *gpus, dt_precision precision, bool graph, int micro_batch,
                         dt_gpu_speed *out) {
    course c = {.gpus = gpus, .backend = gpus->plugin->backend, .micro_batch = micro_batch};
    if (micro_batch == 0)
        c.micro_batch = c.backend->default_micro_batch;
    *out = (dt_gpu_speed){.micro_batch = c.micro_batch};
    dt_status status = open_course(&c, precision, graph);
    if (status == DT_EUSAGE) { /* on all ranks alike: this precision is not for these devices */
        dt_error_copy(out->refused);
        status = DT_OK;
    } else if (status == DT_OK) {
        status = measure(&c, out);
    }
    close_course(&c);
    return status;
}

/* float32 multiply-adds a cycle of one multiprocessor. */
static int cores(const dt_gpu *gpu) {
    bool has_64 = gpu->major == 7 || (gpu->major == 8 && gpu->minor == 0);
    return has_64 ? 64 : 128;
}

double dt_gpu_peak(const dt_gpus *gpus) {
    double sum = 0;
    for (int r = 0; r < dt_comm_size(gpus->comm); r++) {
        const dt_gpu *gpu = &gpus->all[r];
        sum += 2e-6 * gpu->processors * cores(gpu) * gpu->clock_khz;
    }
    return sum;
}

/* Larger until a product takes long enough to be timed well. */
static dt_status time_products(const dt_gpus *gpus, dt_precision precision, int64_t *mflops) {
    double seconds = 0;
    for (int n = LEAST_PRODUCT; n <= MOST_PRODUCT && seconds < product_seconds; n *= 2) {
        DT_TRY(gpus->plugin->time_product(gpus->index, precision, n, &seconds));
        *mflops = (int64_t)(2e-6 * n * n * n / seconds);
    }
    return DT_OK;
}

dt_status dt_gpu_product_peak(dt_gpus *gpus, dt_precision precision, double *gflops) {
    int64_t mflops = 0;
    DT_TRY(dt_comm_agree(gpus->comm, time_products(gpus, precision, &mflops)));
    DT_TRY(dt_comm_sum_i64(gpus->comm, &mflops, 1));
    *gflops = 1e-3 * (double)mflops;
    return DT_OK;
}
