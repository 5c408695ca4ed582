/* launch/eval.c - `dtrain eval CHECKPOINT`: how good is a network, and where is it wrong?
 *
 * Rank 0 reads the checkpoint, all ranks compute, rank 0 prints. Pixels are normalised with the
 * checkpoint's constants, since those are what the network was trained with. The numbers are counts
 * and fixed-point sums: the same for any number of ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/evaluate.h"
#include "launch/option_table.h"
#include "launch/resume.h"
#include "launch/term.h"
#include "launch/trainer.h"

typedef struct { /* what all ranks must know of the checkpoint; plain bytes */
    char path[DT_PATH_MAX], model[DT_TEXT_MAX];
    int input_shape[3];
    double mean, std;
    int64_t epoch, step, micro_batch;
} subject;

typedef struct {
    int64_t samples, predicted, correct;
    double precision, recall, f1; /* 0 where a class does not occur */
} class_figures;

/* -- The checkpoint -------------------------------------------------------------------------- */

static void visit_config(void *ctx, const char *key, const char *value) {
    int64_t *micro_batch = ctx, n;
    if (strcmp(key, "micro_batch") != 0 || !value)
        return;
    n = strtoll(value, NULL, 10);
    if (n >= 1 &&
        (double)n <= dt_option_find("micro-batch", strlen("micro-batch"), DT_CMD_EVAL)->max)
        *micro_batch = n;
}

/* Rank 0's part. */
static dt_status read_subject(const dt_options *options, subject *what, dt_checkpoint **out) {
    DT_TRY(dt_checkpoint_resolve(options->checkpoint, options->last, what->path));
    DT_TRY(dt_checkpoint_read(what->path, out));
    const dt_checkpoint *c = *out;
    if (strlen(c->model) >= sizeof what->model)
        return dt_fail(DT_EIO, "%s: its network takes %zu words' bytes to say, more than %d",
                       what->path, strlen(c->model), DT_TEXT_MAX - 1);
    snprintf(what->model, sizeof what->model, "%s", c->model);
    memcpy(what->input_shape, c->input_shape, sizeof what->input_shape);
    what->mean = c->mean;
    what->std = c->std;
    what->epoch = c->epoch;
    what->step = c->step;
    dt_status status = dt_json_each(c->config, visit_config, &what->micro_batch);
    if (status == DT_EIO)
        return dt_fail(status, "%s: its options: %s", what->path, dt_error());
    return status;
}

static dt_status check_shape(const dt_setup *s, const subject *what) {
    if (what->input_shape[0] == 1 && what->input_shape[1] == s->data->height &&
        what->input_shape[2] == s->data->width)
        return DT_OK;
    return dt_fail(DT_EDATA, "%s has images of 1 x %d x %d, the network of %s takes %d x %d x %d",
                   s->data->path[2], s->data->height, s->data->width, what->path,
                   what->input_shape[0], what->input_shape[1], what->input_shape[2]);
}

/* Rank 0's parameters into every rank's device. */
static dt_status share_parameters(dt_setup *s, const dt_checkpoint *c, const char *path) {
    float *params = malloc(s->net->n_params * sizeof *params);
    dt_status status = DT_OK;
    if (!params)
        status = dt_fail(DT_EDEVICE, "no memory for %zu parameters", s->net->n_params);
    if (status == DT_OK && c)
        status = dt_checkpoint_fits(c, s->net, path);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    if (c)
        memcpy(params, c->params, s->net->n_params * sizeof *params);
    DT_TRY_GOTO(status, dt_comm_bcast(s->comm, params, s->net->n_params * sizeof *params, 0), done);
    status = dt_comm_agree(s->comm, s->backend->set_state(s->device, params, NULL));
done:
    free(params);
    return status;
}

static dt_status load_subject(dt_setup *s, const dt_options *options, subject *what) {
    dt_checkpoint *c = NULL;
    dt_status status = s->rank == 0 ? read_subject(options, what, &c) : DT_OK;
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_bcast(s->comm, what, sizeof *what, 0), done);
    if (options->micro_batch == 0 && what->micro_batch > 0) /* as it was evaluated in training */
        s->options.micro_batch = what->micro_batch;
    DT_TRY_GOTO(status, dt_setup_data(s), done);
    DT_TRY_GOTO(status, check_shape(s, what), done);
    DT_TRY_GOTO(status, dt_setup_network(s, what->model), done);
    DT_TRY_GOTO(status, dt_setup_device(s, what->mean, what->std), done);
    status = share_parameters(s, c, what->path);
done:
    dt_checkpoint_free(&c);
    return status;
}

/* -- The answer ------------------------------------------------------------------------------ */

static double share_of(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

static class_figures figures_of(const int64_t *confusion, int classes, int class) {
    class_figures f = {.correct = confusion[class * classes + class]};
    for (int i = 0; i < classes; i++) {
        f.samples += confusion[class * classes + i];
        f.predicted += confusion[i * classes + class];
    }
    f.precision = share_of((double)f.correct, (double)f.predicted);
    f.recall = share_of((double)f.correct, (double)f.samples);
    f.f1 = share_of(2 * f.precision * f.recall, f.precision + f.recall);
    return f;
}

static void write_confusion(dt_json *j, const int64_t *confusion, int classes) {
    dt_json_open(j, "confusion", '[');
    for (int t = 0; t < classes; t++) {
        dt_json_open(j, NULL, '[');
        for (int p = 0; p < classes; p++)
            dt_json_int(j, NULL, confusion[t * classes + p]);
        dt_json_close(j, ']');
    }
    dt_json_close(j, ']');
}

static dt_status print_json(const subject *what, const dt_evaluation *e, const int64_t *confusion,
                            int classes) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "checkpoint", what->path);
    dt_json_int(&j, "epoch", what->epoch);
    dt_json_int(&j, "step", what->step);
    dt_json_num(&j, "loss", e->loss);
    dt_json_num(&j, "accuracy", e->accuracy);
    dt_json_int(&j, "samples", e->samples);
    dt_json_int(&j, "correct", e->correct);
    write_confusion(&j, confusion, classes);
    dt_json_open(&j, "classes", '[');
    for (int c = 0; c < classes; c++) {
        class_figures f = figures_of(confusion, classes, c);
        dt_json_open(&j, NULL, '{');
        dt_json_int(&j, "class", c);
        dt_json_int(&j, "samples", f.samples);
        dt_json_num(&j, "precision", f.precision);
        dt_json_num(&j, "recall", f.recall);
        dt_json_num(&j, "f1", f.f1);
        dt_json_close(&j, '}');
    }
    dt_json_close(&j, ']');
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static void print_tables(const int64_t *confusion, int classes) {
    printf("\nconfusion (rows: true, columns: predicted)\n      ");
    for (int p = 0; p < classes; p++)
        printf(" %6d", p);
    for (int t = 0; t < classes; t++) {
        printf("\n%6d", t);
        for (int p = 0; p < classes; p++)
            printf(" %6lld", (long long)confusion[t * classes + p]);
    }
    printf("\n\n class samples precision  recall      f1\n");
    for (int c = 0; c < classes; c++) {
        class_figures f = figures_of(confusion, classes, c);
        printf("%6d %7lld %8.2f%% %6.2f%% %6.2f%%\n", c, (long long)f.samples, 100 * f.precision,
               100 * f.recall, 100 * f.f1);
    }
}

static dt_status print_answer(const dt_setup *s, const subject *what, const dt_evaluation *e,
                              const int64_t *confusion) {
    if (s->options.json)
        return print_json(what, e, confusion, s->net->classes);
    if (!s->options.quiet)
        printf("%s (epoch %lld, step %lld) on the test set of %s\n", what->path,
               (long long)what->epoch, (long long)what->step, s->options.data);
    printf("loss %.4f  accuracy %.2f%%  (%lld of %lld)\n", e->loss, e->accuracy,
           (long long)e->correct, (long long)e->samples);
    if (!s->options.quiet)
        print_tables(confusion, s->net->classes);
    return dt_stdout_flush();
}

dt_status dt_evaluate(const dt_options *options, const dt_backend *backend, dt_gpus *gpus,
                      dt_comm *comm) {
    subject *what = calloc(1, sizeof *what);
    int64_t *confusion = NULL;
    dt_evaluation result;
    dt_status status = what ? DT_OK : dt_fail(DT_EDEVICE, "no memory for an evaluation");
    dt_setup s = {0};
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, dt_setup_open(&s, options, backend, gpus, comm), done);
    DT_TRY_GOTO(status, load_subject(&s, options, what), done);
    size_t classes = (size_t)s.net->classes;
    confusion = calloc(classes * classes, sizeof *confusion);
    if (!confusion)
        status = dt_fail(DT_EDEVICE, "no memory for %zu x %zu counts", classes, classes);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(
        status,
        dt_evaluate_set(&s, DT_TEST, NULL, (int64_t)s.data->test.n, NULL, NULL, confusion, &result),
        done);
    if (s.rank == 0)
        status = print_answer(&s, what, &result, confusion);
    status = dt_comm_agree(comm, status);
done:
    dt_setup_close(&s);
    free(confusion);
    free(what);
    return status;
}
