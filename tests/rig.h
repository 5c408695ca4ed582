/* tests/rig.h - a network on a device with made-up images: what tests of back ends start from. */
#ifndef DT_TESTS_RIG_H
#define DT_TESTS_RIG_H

#include "model/backend.h"
#include "tests/t.h"

enum { RIG_SAMPLES = 64 };

typedef struct {
    const dt_backend *be;
    dt_net *net;
    dt_device *device;
    dt_device_config config;
    uint8_t *images, labels[RIG_SAMPLES];
    float *params; /* initial ones */
} rig;

/* A config to change before rig_open(). */
static inline dt_device_config rig_config(void) {
    return (dt_device_config){
        .precision = DT_F32,
        .micro_batch = 8,
        .threads = 1,
        .seed = 7,
        .exact = true,
        .max_micros = 16,
        .optim = {.kind = DT_SGD, .momentum = 0.9f, .weight_decay = 1e-4f},
        .mean = 0.3,
        .std = 0.4,
    };
}

/* Smooth blobs that differ from sample to sample, so that a network can tell labels apart. */
static inline void rig_images(rig *r) {
    size_t n = dt_shape_size(r->net->in), w = (size_t)r->net->in.w;
    r->images = malloc(RIG_SAMPLES * n);
    for (size_t i = 0; i < RIG_SAMPLES; i++) {
        r->labels[i] = (uint8_t)(i * 7 % (size_t)r->net->classes);
        double a = 0.3 + 0.05 * r->labels[i], b = 0.11 * (double)(i % 5);
        for (size_t j = 0; j < n; j++)
            r->images[i * n + j] =
                (uint8_t)(127.5 * (1 + sin(a * (double)(j % w) + b) * cos(a * (double)(j / w))));
    }
}

static inline dt_status rig_open(rig *r, const dt_backend *be, const char *spec, dt_shape in,
                                 dt_device_config config) {
    *r = (rig){.be = be, .config = config};
    DT_TRY(dt_net_parse(spec, in, &r->net));
    r->config.net = r->net;
    rig_images(r);
    r->params = malloc(r->net->n_params * sizeof *r->params);
    dt_net_init(r->net, config.seed, r->params);
    for (int i = 0; i < r->net->n_layers; i++) /* biases that matter */
        for (size_t j = 0; j < r->net->layers[i].n_b; j++)
            r->params[r->net->layers[i].b_at + j] = 0.02f * (float)(j % 7) - 0.05f;
    DT_TRY(be->open(&r->config, &r->device));
    DT_TRY(be->load(r->device, DT_TRAIN, r->images, r->labels, RIG_SAMPLES));
    DT_TRY(be->load(r->device, DT_TEST, r->images, r->labels, RIG_SAMPLES));
    return be->set_state(r->device, r->params, NULL);
}

static inline void rig_close(rig *r) {
    if (r->device)
        r->be->close(&r->device);
    dt_net_free(&r->net);
    free(r->images);
    free(r->params);
}

static inline double rig_gradient(const rig *r, size_t i) {
    dt_gradient g = r->be->buffer(r->device);
    return g.floats ? (double)g.floats[i] : (double)g.sums[i] * 0x1p-40;
}

static inline const int64_t *rig_sums(const rig *r) {
    dt_gradient g = r->be->buffer(r->device);
    return g.sums + g.n_sums - DT_N_SUMS;
}

/* Samples from, from + 1, ... for n_micros micro-batches; those at or past end are missing. */
static inline dt_work rig_work(const rig *r, int64_t *samples, int64_t from, int64_t end,
                               int n_micros) {
    for (int i = 0; i < n_micros * r->config.micro_batch; i++)
        samples[i] = from + i < end ? from + i : -1;
    return (dt_work){.samples = samples, .n_micros = n_micros, .epoch = 1};
}

#endif
