/* launch/resume.c - the state of a run, into and out of checkpoints.
 *
 * Rank 0 reads and judges a checkpoint; then all ranks get the same bytes. What cannot change
 * without changing the result (options, data) is refused, what can only change the last bits
 * (libraries, CPU) is warned about, and what changes nothing (ranks, threads) is not even looked
 * at. */
#include "launch/resume.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/log.h"

/* -- Out: a snapshot ------------------------------------------------------------------------- */

static void add_tensor(dt_checkpoint *c, const dt_layer *l, const char *what, size_t at, size_t n) {
    dt_tensor *t = &c->tensors[c->n_tensors++];
    snprintf(t->name, sizeof t->name, "%s/%s", l->name, what);
    t->at = at;
    t->n = n;
    t->dims[0] = l->out.c;
    t->n_dims = 1;
    if (what[0] == 'b')
        return;
    if (l->kind == DT_CONV) {
        t->dims[1] = l->in.c;
        t->dims[2] = t->dims[3] = l->kernel;
        t->n_dims = 4;
    } else {
        t->dims[1] = (int64_t)dt_shape_size(l->in);
        t->n_dims = 2;
    }
}

/* PyTorch's shapes: conv (out, in, h, w), fc (out, in). */
static dt_status describe_tensors(dt_checkpoint *c, const dt_net *net) {
    c->tensors = calloc(2 * (size_t)net->n_layers, sizeof *c->tensors);
    if (!c->tensors)
        return dt_fail(DT_EDEVICE, "no memory for a checkpoint");
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        if (l->n_w)
            add_tensor(c, l, "weight", l->w_at, l->n_w);
        if (l->n_b)
            add_tensor(c, l, "bias", l->b_at, l->n_b);
    }
    return DT_OK;
}

static dt_optim_config optim_config(const dt_options *o) {
    return (dt_optim_config){.kind = (dt_optimizer)o->optimizer, .momentum = (float)o->momentum};
}

static dt_status allocate_state(dt_checkpoint *c, const dt_setup *s) {
    dt_optim_config optim = optim_config(&s->options);
    c->n_params = s->net->n_params;
    c->n_slots = dt_optim_slots(&optim);
    c->params = malloc(c->n_params * sizeof *c->params);
    bool failed = !c->params;
    for (int i = 0; i < c->n_slots; i++) {
        snprintf(c->slot_name[i], sizeof c->slot_name[i], "%s", dt_optim_slot_name(&optim, i));
        c->slots[i] = malloc(c->n_params * sizeof *c->slots[i]);
        failed = failed || !c->slots[i];
    }
    if (failed)
        return dt_fail(DT_EDEVICE, "no memory for a checkpoint of %zu parameters", c->n_params);
    return DT_OK;
}

static dt_status describe_run(dt_checkpoint *c, const dt_setup *s, const dt_position *at) {
    const dt_dataset *data = s->data;
    dt_json config = {0};
    dt_options_json(&s->options, &config);
    c->config = config.text;
    c->model = strdup(s->net->spec);
    c->fingerprint = strdup(s->fingerprint);
    c->data_name = strdup(dt_data_name(s));
    if (config.failed || !c->model || !c->fingerprint || !c->data_name)
        return dt_fail(DT_EDEVICE, "no memory for a checkpoint");
    c->input_shape[0] = s->net->in.c;
    c->input_shape[1] = s->net->in.h;
    c->input_shape[2] = s->net->in.w;
    c->classes = s->net->classes;
    c->mean = data->mean;
    c->std = data->std;
    memcpy(c->data_sha256, data->sha256, sizeof c->data_sha256);
    c->epoch = at->epoch;
    c->step = at->step;
    c->samples_seen = at->samples_seen;
    c->seed = s->options.seed;
    c->best_value = at->best_value;
    c->best_step = at->best_step;
    snprintf(c->best_kind, sizeof c->best_kind, "%s", dt_best_kind(s));
    for (int i = 0; i < DT_N_SUMS; i++)
        c->epoch_sums[i] = at->sums[i];
    return DT_OK;
}

static dt_status check_finite(const dt_checkpoint *c) {
    for (size_t i = 0; i < c->n_params; i++)
        if (!isfinite(c->params[i]))
            return dt_fail(DT_EDIVERGED, "parameter %zu is not finite after step %lld: not saved",
                           i, (long long)c->step);
    return DT_OK;
}

dt_status dt_snapshot(const dt_setup *setup, const dt_position *at, dt_checkpoint **out) {
    dt_checkpoint *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return dt_fail(DT_EDEVICE, "no memory for a checkpoint");
    dt_status status;
    DT_TRY_GOTO(status, describe_run(c, setup, at), failed);
    DT_TRY_GOTO(status, describe_tensors(c, setup->net), failed);
    DT_TRY_GOTO(status, allocate_state(c, setup), failed);
    DT_TRY_GOTO(status, setup->backend->get_state(setup->device, c->params, c->slots), failed);
    DT_TRY_GOTO(status, check_finite(c), failed);
    *out = c;
    return DT_OK;
failed:
    dt_checkpoint_free(&c);
    return status;
}

const char *dt_data_name(const dt_setup *setup) {
    const char *slash = strrchr(setup->options.data, '/');
    return slash && slash[1] ? slash + 1 : setup->options.data;
}

const char *dt_best_kind(const dt_setup *setup) {
    return setup->n_validation > 0 ? "validation" : "test";
}

/* -- In: judging a checkpoint ---------------------------------------------------------------- */

static bool same_tensor(const dt_tensor *a, const dt_tensor *b) {
    bool same = strcmp(a->name, b->name) == 0 && a->n_dims == b->n_dims && a->n == b->n;
    for (int i = 0; same && i < a->n_dims; i++)
        same = a->dims[i] == b->dims[i];
    return same && a->at == b->at;
}

dt_status dt_checkpoint_fits(const dt_checkpoint *checkpoint, const dt_net *net, const char *path) {
    dt_checkpoint want = {0};
    DT_TRY(describe_tensors(&want, net));
    bool fits = checkpoint->n_params == net->n_params && checkpoint->n_tensors == want.n_tensors;
    for (int i = 0; fits && i < want.n_tensors; i++)
        fits = same_tensor(&checkpoint->tensors[i], &want.tensors[i]);
    free(want.tensors);
    if (!fits)
        return dt_fail(
            DT_EIO,
            "%s is of another network: \"%s\" on %d x %d x %d pixels with %zu parameters, "
            "not \"%s\" on %d x %d x %d with %zu",
            path, checkpoint->model, checkpoint->input_shape[0], checkpoint->input_shape[1],
            checkpoint->input_shape[2], checkpoint->n_params, net->spec, net->in.c, net->in.h,
            net->in.w, net->n_params);
    return DT_OK;
}

static dt_status same_slots(const dt_checkpoint *c, const dt_setup *s, const char *path) {
    dt_optim_config optim = optim_config(&s->options);
    bool same = c->n_slots == dt_optim_slots(&optim);
    for (int i = 0; same && i < c->n_slots; i++)
        same = strcmp(c->slot_name[i], dt_optim_slot_name(&optim, i)) == 0;
    if (!same)
        return dt_fail(DT_EIO,
                       "%s holds the state of another optimizer (%d slots, the first \"%s\")", path,
                       c->n_slots, c->n_slots ? c->slot_name[0] : "");
    return DT_OK;
}

static dt_status same_data(const dt_checkpoint *c, const dt_setup *s, const char *path) {
    for (int f = 0; f < 4; f++)
        if (strcmp(c->data_sha256[f], s->data->sha256[f]) != 0)
            return dt_fail(DT_EDATA,
                           "%s is not what %s was trained on: SHA-256 %.12s..., there %.12s...",
                           s->data->path[f], path, s->data->sha256[f], c->data_sha256[f]);
    return DT_OK;
}

/* An epoch is over after steps updates, or is still to be evaluated. */
static dt_status check_position(const dt_checkpoint *c, const dt_setup *s, const char *path) {
    int64_t steps = dt_plan_steps(&s->plan), epochs = s->options.epochs;
    if (c->epoch <= epochs && c->step >= c->epoch * steps && c->step <= (c->epoch + 1) * steps &&
        c->step <= epochs * steps)
        return DT_OK;
    return dt_fail(DT_EIO,
                   "%s: step %lld after %lld epochs is no place in a run of %lld epochs of %lld "
                   "steps",
                   path, (long long)c->step, (long long)c->epoch, (long long)epochs,
                   (long long)steps);
}

static dt_status accept(const dt_checkpoint *c, const dt_setup *s, const char *path) {
    dt_status status = dt_options_compare(c->config, &s->options);
    if (status == DT_EIO)
        return dt_fail(status, "%s: its options: %s", path, dt_error());
    DT_TRY(status);
    DT_TRY(dt_checkpoint_fits(c, s->net, path));
    DT_TRY(same_slots(c, s, path));
    DT_TRY(same_data(c, s, path));
    DT_TRY(check_position(c, s, path));
    if (strcmp(c->fingerprint, s->fingerprint) != 0)
        dt_warn("%s was computed with \"%s\", this run goes on with \"%s\": bits may differ from "
                "here",
                path, c->fingerprint, s->fingerprint);
    return DT_OK;
}

/* -- In: state for every rank ---------------------------------------------------------------- */

static dt_status read_newest(const dt_setup *s, const char *dir, dt_position *at,
                             dt_checkpoint **out) {
    char path[DT_PATH_MAX];
    DT_TRY(dt_checkpoint_newest(dir, out));
    const dt_checkpoint *c = *out;
    if (!c)
        return DT_OK;
    DT_TRY(dt_checkpoint_path(path, dir, c->step));
    DT_TRY(accept(c, s, path));
    *at = (dt_position){.epoch = c->epoch,
                        .step = c->step,
                        .samples_seen = c->samples_seen,
                        .best_value = c->best_value,
                        .best_step = c->best_step,
                        .resumed_step = c->step};
    memcpy(at->resumed_sha256, c->params_sha256, sizeof at->resumed_sha256);
    for (int i = 0; i < DT_N_SUMS; i++)
        at->sums[i] = c->epoch_sums[i];
    return DT_OK;
}

static dt_status read_init(const dt_setup *s, dt_checkpoint **out) {
    char path[DT_PATH_MAX];
    DT_TRY(dt_checkpoint_resolve(s->options.init, false, path));
    DT_TRY(dt_checkpoint_read(path, out));
    return dt_checkpoint_fits(*out, s->net, path);
}

/* Rank 0: what to start from into state, whose slots are zero. */
static dt_status load(const dt_setup *s, const char *dir, dt_position *at, dt_checkpoint *state) {
    dt_checkpoint *c = NULL;
    dt_status status = s->options.resume ? read_newest(s, dir, at, &c) : DT_OK;
    if (status == DT_OK && !c && s->options.init[0])
        status = read_init(s, &c);
    if (status == DT_OK && c)
        memcpy(state->params, c->params, state->n_params * sizeof *state->params);
    else if (status == DT_OK)
        dt_net_init(s->net, s->options.seed, state->params);
    for (int i = 0; status == DT_OK && at->resumed_step >= 0 && i < state->n_slots; i++)
        memcpy(state->slots[i], c->slots[i], state->n_params * sizeof *state->slots[i]);
    dt_checkpoint_free(&c);
    return status;
}

static dt_status share(dt_setup *s, dt_position *at, dt_checkpoint *state) {
    size_t nbytes = state->n_params * sizeof *state->params;
    DT_TRY(dt_comm_bcast(s->comm, at, sizeof *at, 0));
    DT_TRY(dt_comm_bcast(s->comm, state->params, nbytes, 0));
    for (int i = 0; i < state->n_slots; i++)
        DT_TRY(dt_comm_bcast(s->comm, state->slots[i], nbytes, 0));
    dt_status status =
        s->backend->set_state(s->device, state->params, (const float *const *)state->slots);
    return dt_comm_agree(s->comm, status);
}

dt_status dt_resume(dt_setup *setup, const char *dir, dt_position *at) {
    dt_checkpoint *state = calloc(1, sizeof *state);
    dt_status status = state ? allocate_state(state, setup)
                             : dt_fail(DT_EDEVICE, "no memory for the initial state");
    *at = (dt_position){.best_value = NAN, .best_step = -1, .resumed_step = -1};
    for (int i = 0; status == DT_OK && i < state->n_slots; i++)
        memset(state->slots[i], 0, state->n_params * sizeof *state->slots[i]);
    if (status == DT_OK && setup->rank == 0)
        status = load(setup, dir, at, state);
    DT_TRY_GOTO(status, dt_comm_agree(setup->comm, status), done);
    status = share(setup, at, state);
done:
    dt_checkpoint_free(&state);
    return status;
}
