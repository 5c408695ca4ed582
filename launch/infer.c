/* launch/infer.c - a checkpoint behind two devices and the reference layers.
 *
 * A single picture goes through a device of one thread and one sample, which answers soonest; many
 * go through one with a thread a core. Both are the ordinary CPU back end. What lies between the
 * layers comes from the reference layers, whose tensors are plain. */
#include "launch/infer.h"

#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "launch/resume.h"
#include "model/backend.h"
#include "model/ref_layers.h"

enum { MANY = 16 /* the micro-batch of the CPU */, MOST_THREADS = 64, CHUNK = 4096 };

static int cores(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < MOST_THREADS ? n : MOST_THREADS;
}

static dt_status open_device(const dt_infer *infer, int micro_batch, int threads, dt_device **out) {
    const dt_checkpoint *c = infer->checkpoint;
    dt_device_config config = {.net = infer->net,
                               .precision = DT_F32,
                               .micro_batch = micro_batch,
                               .threads = threads,
                               .exact = true,
                               .max_micros = 1,
                               .optim = {.kind = DT_SGD},
                               .mean = c->mean,
                               .std = c->std};
    DT_TRY(dt_backend_cpu.open(&config, out));
    return dt_backend_cpu.set_state(*out, c->params, NULL);
}

static dt_status open_network(const char *file_or_dir, bool last, dt_infer *infer) {
    DT_TRY(dt_checkpoint_resolve(file_or_dir, last, infer->path));
    DT_TRY(dt_checkpoint_read(infer->path, &infer->checkpoint));
    dt_checkpoint *c = infer->checkpoint;
    for (int i = 0; i < c->n_slots; i++) {
        free(c->slots[i]);
        c->slots[i] = NULL;
    }
    c->n_slots = 0;
    dt_shape in = {c->input_shape[0], c->input_shape[1], c->input_shape[2]};
    DT_TRY(dt_net_parse(c->model, in, &infer->net));
    return dt_checkpoint_fits(c, infer->net, infer->path);
}

dt_status dt_infer_open(const char *file_or_dir, bool last, dt_infer *infer) {
    *infer = (dt_infer){0};
    dt_status status = open_network(file_or_dir, last, infer);
    if (status == DT_OK)
        status = open_device(infer, 1, 1, &infer->one);
    if (status != DT_OK)
        dt_infer_close(infer);
    return status;
}

static void free_tensors(const dt_infer *infer, float ***tensors) {
    for (int i = 0; *tensors && i <= infer->net->n_layers; i++)
        free((*tensors)[i]);
    free(*tensors);
    *tensors = NULL;
}

void dt_infer_close(dt_infer *infer) {
    free_tensors(infer, &infer->acts);
    free_tensors(infer, &infer->grads);
    free(infer->gradient);
    dt_backend_cpu.close(&infer->one);
    dt_backend_cpu.close(&infer->many);
    dt_net_free(&infer->net);
    dt_checkpoint_free(&infer->checkpoint);
    *infer = (dt_infer){0};
}

/* --- answers --- */

/* Up to CHUNK pictures through a device of micro-batches of m. */
static dt_status run_chunk(const dt_infer *infer, dt_device *device, size_t m,
                           const uint8_t *images, size_t n, float *logits) {
    size_t micros = (n + m - 1) / m, classes = (size_t)infer->net->classes;
    int64_t *samples = malloc(micros * m * sizeof *samples);
    uint8_t *labels = calloc(n, 1);
    float *padded = malloc(micros * m * classes * sizeof *padded);
    dt_status status;
    if (!samples || !labels || !padded) {
        status = dt_fail(DT_EDEVICE, "no memory for the answers to %zu pictures", n);
        goto done;
    }
    for (size_t i = 0; i < micros * m; i++)
        samples[i] = i < n ? (int64_t)i : -1;
    dt_work work = {.samples = samples, .n_micros = (int)micros};
    dt_eval eval = {.logits = padded};
    DT_TRY_GOTO(status, dt_backend_cpu.load(device, DT_TEST, images, labels, n), done);
    DT_TRY_GOTO(status, dt_backend_cpu.evaluate(device, DT_TEST, &work, &eval), done);
    memcpy(logits, padded, n * classes * sizeof *logits);
done:
    free(samples);
    free(labels);
    free(padded);
    return status;
}

dt_status dt_infer_run(dt_infer *infer, const uint8_t *images, size_t n, float *logits) {
    size_t pixels = dt_shape_size(infer->net->in), classes = (size_t)infer->net->classes;
    if (n <= 1)
        return n ? run_chunk(infer, infer->one, 1, images, n, logits) : DT_OK;
    if (!infer->many)
        DT_TRY(open_device(infer, MANY, cores(), &infer->many));
    for (size_t from = 0; from < n; from += CHUNK) {
        size_t some = n - from < CHUNK ? n - from : CHUNK;
        DT_TRY(run_chunk(infer, infer->many, MANY, images + from * pixels, some,
                         logits + from * classes));
    }
    return DT_OK;
}

/* The largest of logits[n] but number except; of equals the one before. n >= 2, or except < 0. */
static int largest(const float *logits, int n, int except) {
    int best = except == 0;
    for (int i = best + 1; i < n; i++)
        if (i != except && logits[i] > logits[best])
            best = i;
    return best < n ? best : 0;
}

void dt_infer_softmax(const float *logits, int classes, double *probabilities) {
    float most = logits[largest(logits, classes, -1)];
    double sum = 0;
    for (int i = 0; i < classes; i++)
        sum += probabilities[i] = exp((double)logits[i] - (double)most);
    for (int i = 0; i < classes; i++)
        probabilities[i] /= sum;
}

/* Bounds of what is called a digit. Networks cnn and fast find up to 0.3 % of MNIST's test images
 * beyond one of them: see CONTRIBUTING.md. */
static const double least_probability = 0.35;
static const double most_cover = 300, box_cover = 400; /* pixels of the 28 x 28; of 20 x 20 */
static const double widest = 2.2;                      /* of a box: width / height */
enum { MOST_PIECES = 3 };

static void refuse(dt_verdict *v, const char *format, ...) DT_PRINTF(2, 3);
static void refuse(dt_verdict *v, const char *format, ...) {
    va_list args;
    if (!v->is_digit)
        return;
    v->is_digit = false;
    va_start(args, format);
    vsnprintf(v->why, sizeof v->why, format, args);
    va_end(args);
}

void dt_infer_judge(const float *logits, int classes, const dt_digit *found, dt_verdict *verdict) {
    double sum = 0;
    dt_verdict v = {.first = largest(logits, classes, -1), .is_digit = true};
    v.second = largest(logits, classes, v.first);
    for (int i = 0; i < classes; i++)
        sum += exp((double)logits[i] - (double)logits[v.first]);
    v.p_first = 1 / sum;
    v.p_second = exp((double)logits[v.second] - (double)logits[v.first]) / sum;
    if (found && !found->has_ink)
        refuse(&v, "no ink: contrast %.0f of 255 over noise of %.1f", found->contrast,
               found->noise);
    if (found && found->pieces > MOST_PIECES)
        refuse(&v, "%d pieces of ink, a digit has up to %d", found->pieces, MOST_PIECES);
    if (found && found->width > widest * found->height)
        refuse(&v, "ink of %d x %d pixels, a digit is not wider than %.1f times its height",
               found->width, found->height, widest);
    if (found && found->cover > most_cover)
        refuse(&v, "ink on %.0f %% of its box, a digit has up to %.0f %%",
               100 * found->cover / box_cover, 100 * most_cover / box_cover);
    if (v.p_first < least_probability)
        refuse(&v, "far from any: %d is the nearest, with %.1f %%, %.0f %% are needed", v.first,
               100 * v.p_first, 100 * least_probability);
    *verdict = v;
}

/* --- what lies between --- */

static dt_status take_tensors(const dt_infer *infer, float ***tensors) {
    const dt_net *net = infer->net;
    if (*tensors)
        return DT_OK;
    float **all = calloc((size_t)net->n_layers + 1, sizeof *all);
    bool ok = all != NULL;
    for (int i = 0; ok && i <= net->n_layers; i++) {
        all[i] = calloc(dt_shape_size(i ? net->layers[i - 1].out : net->in), sizeof **all);
        ok = all[i] != NULL;
    }
    *tensors = all;
    if (ok)
        return DT_OK;
    free_tensors(infer, tensors);
    return dt_fail(DT_EDEVICE, "no memory for what lies between %d layers", net->n_layers);
}

dt_status dt_infer_look(dt_infer *infer, const uint8_t *image, const float *const **acts) {
    const dt_checkpoint *c = infer->checkpoint;
    DT_TRY(take_tensors(infer, &infer->acts));
    for (size_t i = 0; i < dt_shape_size(infer->net->in); i++)
        infer->acts[0][i] = (float)((image[i] / 255.0 - c->mean) / c->std);
    dt_ref_net_forward_f32(infer->net, 1, c->params, NULL, infer->acts);
    *acts = (const float *const *)infer->acts;
    return DT_OK;
}

dt_status dt_infer_saliency(dt_infer *infer, int target, float *gradient) {
    const dt_checkpoint *c = infer->checkpoint;
    const dt_net *net = infer->net;
    DT_TRY(take_tensors(infer, &infer->acts));
    DT_TRY(take_tensors(infer, &infer->grads));
    if (!infer->gradient)
        infer->gradient = malloc(net->n_params * sizeof *infer->gradient);
    if (!infer->gradient)
        return dt_fail(DT_EDEVICE, "no memory for %zu gradients", net->n_params);
    for (int i = 0; i < net->classes; i++)
        infer->grads[net->n_layers][i] = i == target ? 1.0f : 0.0f;
    dt_ref_net_backward_f32(net, 1, c->params, NULL, infer->acts, infer->grads, infer->gradient);
    for (size_t i = 0; i < dt_shape_size(net->in); i++)
        gradient[i] = (float)((double)infer->grads[0][i] / c->std);
    return DT_OK;
}
