/* launch/banner.c - the start-up banner.
 *
 * A bug report that carries it carries all that is needed. Ranks that are alike and on one host
 * share a line, and of very many hosts or GPUs only the first are listed. */
#include "launch/banner.h"

#include <string.h>
#include "dtrain_version.h"
#include "io/h5.h"
#include "io/log.h"
#include "model/backend.h"

enum { LABEL = 11, MAX_PLACE_LINES = 8 };

static void label(FILE *to, const dt_term *term, const char *text) {
    fprintf(to, "  %s%-*s%s", term->dim, LABEL, text, term->plain);
}

static const char *plural(int64_t n) {
    return n == 1 ? "" : "s";
}

static bool same_place(const dt_place *a, const dt_place *b) {
    return a->threads == b->threads && strcmp(a->host, b->host) == 0 &&
           strcmp(a->device, b->device) == 0 && strcmp(a->uuid, b->uuid) == 0;
}

static void print_places(FILE *to, const dt_banner *b, const dt_term *term) {
    int lines = 0;
    for (int from = 0, end; from < b->n_ranks; from = end, lines++) {
        const dt_place *place = &b->places[from];
        label(to, term, lines ? "" : b->n_ranks > 1 ? "ranks" : "rank");
        if (lines == MAX_PLACE_LINES) {
            fprintf(to, "%d-%d: dtrain devices, started alike, tells of them; --json too\n", from,
                    b->n_ranks - 1);
            return;
        }
        for (end = from + 1; end < b->n_ranks && same_place(place, &b->places[end]);)
            end++;
        if (end - from > 1)
            fprintf(to, "%d-%d", from, end - 1);
        else
            fprintf(to, "%d", from);
        if (place->uuid[0])
            fprintf(to, " on %s: GPU %s, %s, %s\n", place->host, place->device, place->pci,
                    place->uuid);
        else
            fprintf(to, " on %s: %d thread%s%s, %s\n", place->host, place->threads,
                    plural(place->threads), end - from > 1 ? " each" : "", place->device);
    }
}

static bool equal_threads(const dt_banner *b) {
    for (int r = 1; r < b->n_ranks; r++)
        if (b->places[r].threads != b->places[0].threads)
            return false;
    return true;
}

static void print_work(FILE *to, const dt_banner *b, const dt_term *term) {
    char a[DT_NUMBER_MAX], c[DT_NUMBER_MAX], d[DT_NUMBER_MAX];
    label(to, term, "data");
    fprintf(to, "%s: %s to train, ", b->options->data, dt_text_thousands(b->n_train, a));
    if (b->n_validation > 0)
        fprintf(to, "%s to validate, ", dt_text_thousands(b->n_validation, c));
    fprintf(to, "%s to test\n", dt_text_thousands(b->n_test, d));

    label(to, term, "work");
    fprintf(to, "batch %d = %d x %d", b->batch, b->max_micros, b->micro);
    if (b->batch % b->micro)
        fprintf(to, ", the last one %d,", b->batch % b->micro);
    fprintf(to, " over %d rank%s (", b->n_ranks, plural(b->n_ranks));
    if (b->places[0].uuid[0])
        fprintf(to, "1 GPU each)\n");
    else if (equal_threads(b))
        fprintf(to, "%d thread%s%s)\n", b->places[0].threads, plural(b->places[0].threads),
                b->n_ranks > 1 ? " each" : "");
    else
        fprintf(to, "%d threads in all)\n", b->total_workers);
    label(to, term, "");
    fprintf(to, "%s step%s an epoch, %lld epoch%s\n", dt_text_thousands(b->steps_per_epoch, a),
            plural(b->steps_per_epoch), (long long)b->options->epochs, plural(b->options->epochs));
}

static void print_recipe(FILE *to, const dt_banner *b, const dt_term *term) {
    char optimizer[16], schedule[16], augment[16], precision[16], reduce[16];
    dt_options_text(b->options, "optimizer", optimizer, sizeof optimizer);
    dt_options_text(b->options, "schedule", schedule, sizeof schedule);
    dt_options_text(b->options, "augment", augment, sizeof augment);
    dt_options_text(b->options, "precision", precision, sizeof precision);
    dt_options_text(b->options, "reduce", reduce, sizeof reduce);
    label(to, term, "recipe");
    fprintf(to, "%s, lr %g %s, momentum %g, weight decay %g, ", optimizer, b->options->lr, schedule,
            b->options->momentum, b->options->weight_decay);
    if (b->options->augment != DT_AUGMENT_NONE)
        fprintf(to, "augment %s, ", augment);
    fprintf(to, "%s, %s sums, seed %llu\n", precision, reduce,
            (unsigned long long)b->options->seed);
}

static void print_network(FILE *to, const dt_banner *b, const dt_term *term) {
    char shape[64], number[DT_NUMBER_MAX];
    fprintf(to, "\n  %s%-*s%-16s%12s%s\n", term->dim, LABEL, "layer", "output", "parameters",
            term->plain);
    for (int i = 0; i < b->net->n_layers; i++) {
        const dt_layer *layer = &b->net->layers[i];
        size_t n = layer->n_w + layer->n_b;
        if (layer->out.h == 1 && layer->out.w == 1)
            snprintf(shape, sizeof shape, "%d", layer->out.c);
        else
            snprintf(shape, sizeof shape, "%d x %d x %d", layer->out.c, layer->out.h, layer->out.w);
        if (n)
            fprintf(to, "  %-*s%-16s%12s\n", LABEL, layer->name, shape,
                    dt_text_thousands((int64_t)n, number));
        else
            fprintf(to, "  %-*s%s\n", LABEL, layer->name, shape);
    }
    fprintf(to, "  %s%-*s%-16s%s%12s\n\n", term->dim, LABEL, "all", "", term->plain,
            dt_text_thousands((int64_t)b->net->n_params, number));
}

void dt_banner_print(FILE *to, const dt_banner *b, const dt_term *term) {
    char number[DT_NUMBER_MAX], hdf5[32];
    fprintf(to, "%sdtrain%s %s\n\n", term->bold, term->plain, DTRAIN_VERSION_FULL);
    print_places(to, b, term);
    if (b->no_gpu[0]) {
        label(to, term, "no GPU");
        fprintf(to, "%s\n", b->no_gpu);
    }
    label(to, term, "libraries");
    dt_h5_library(hdf5, sizeof hdf5);
    fprintf(to, "%s; MPI: %s; %s\n", b->fingerprint, b->comm_library, hdf5);
    if (b->sums[0]) {
        label(to, term, "sums");
        fprintf(to, "by %s\n", b->sums);
    }
    print_work(to, b, term);
    print_recipe(to, b, term);
    label(to, term, "output");
    fprintf(to, "%s", b->out_dir);
    if (b->resumed_step >= 0)
        fprintf(to, ", resumed at step %s", dt_text_thousands(b->resumed_step, number));
    fputc('\n', to);
    print_network(to, b, term);
}

void dt_banner_warn(const dt_banner *b) {
    if (b->total_workers > b->max_micros)
        dt_warn("no work for %d of %d workers: a batch of %d is %d micro-batch%s of %d; a larger "
                "--batch or a smaller "
                "--micro-batch gives more",
                b->total_workers - b->max_micros, b->total_workers, b->batch, b->max_micros,
                b->max_micros == 1 ? "" : "es", b->micro);
    for (int r = 0; r < b->n_ranks; r++) {
        const dt_place *place = &b->places[r];
        if (place->uuid[0] || place->job_cores >= place->cores_open)
            continue;
        dt_warn("the job may use only %d of the %d cores of %s: it was bound to them when started; "
                "mpirun --bind-to none, or srun --cpus-per-task, gives it more",
                place->job_cores, place->cores_open, place->host);
        return; /* the other hosts were started in the same way */
    }
}
