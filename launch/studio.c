/* launch/studio.c - what the page of `dtrain serve` works with: a network, a set of digits, a run.
 *
 * The network is that of the subject's file as it is now: a run that is served while it trains gets
 * better under the drawer's hand. What it says of each digit of the set is kept, so that accuracy
 * and confusion are a matter of counting. */
#include "launch/studio.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "io/clock.h"
#include "io/digits.h"
#include "io/json.h"
#include "io/log.h"
#include "launch/infer.h"
#include "launch/live.h"

enum { DIGITS = 10, RECENT = 30, CLASSES_MAX = 256 };
enum { OK = 200, CONFLICT = 409, UNUSABLE = 422, FAILED = 500, NOT_YET = 503 };

struct dt_studio {
    char subject[DT_PATH_MAX]; /* links resolved, so that runs/latest does not move meanwhile */
    bool last;
    dt_infer network;
    bool has_network;
    struct stat network_stat;   /* of its file */
    char why_not[DT_ERROR_MAX]; /* there is no network, or it takes no drawings; "" */
    dt_digits *set;
    uint8_t *said; /* [n_said] what the network says of the first ones of the set */
    size_t n_said, said_capacity;
    dt_live *live; /* NULL: the subject is no run */
};

/* -- The network ----------------------------------------------------------------------------- */

/* What it says of n pictures. */
static dt_status say(dt_studio *s, const uint8_t *images, size_t n, uint8_t *said) {
    enum { PART = 256 };
    size_t classes = (size_t)s->network.net->classes;
    float *logits = malloc(PART * classes * sizeof *logits);
    dt_status status = logits ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d answers", PART);
    for (size_t at = 0; status == DT_OK && at < n; at += PART) {
        size_t part = n - at < PART ? n - at : PART;
        status = dt_infer_run(&s->network, images + at * DT_DIGIT_BYTES, part, logits);
        for (size_t i = 0; status == DT_OK && i < part; i++) {
            const float *l = logits + i * classes;
            size_t best = 0;
            for (size_t c = 1; c < classes; c++)
                best = l[c] > l[best] ? c : best;
            said[at + i] = (uint8_t)best;
        }
    }
    free(logits);
    return status;
}

/* Room for n answers. */
static dt_status reserve(dt_studio *s, size_t n) {
    if (n <= s->said_capacity)
        return DT_OK;
    uint8_t *said = realloc(s->said, 2 * n);
    if (!said)
        return dt_fail(DT_EDEVICE, "no memory for %zu answers", n);
    s->said = said;
    s->said_capacity = 2 * n;
    return DT_OK;
}

/* Of all of the set. */
static dt_status say_rest(dt_studio *s) {
    size_t n = s->set->n, from = s->n_said;
    if (from >= n)
        return DT_OK;
    DT_TRY(reserve(s, n));
    DT_TRY(say(s, dt_digits_image(s->set, from), n - from, s->said + from));
    s->n_said = n;
    return DT_OK;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void judge_network(dt_studio *s) {
    const dt_net *net = s->network.net;
    s->why_not[0] = '\0';
    if (net->in.c != 1 || net->in.h != DT_DIGIT_SIDE || net->in.w != DT_DIGIT_SIDE)
        snprintf(s->why_not, sizeof s->why_not,
                 "the network takes images of %d x %d, a drawing is made into %d x %d", net->in.h,
                 net->in.w, DT_DIGIT_SIDE, DT_DIGIT_SIDE);
    else if (net->classes > CLASSES_MAX)
        snprintf(s->why_not, sizeof s->why_not, "the network has %d classes, at most %d are shown",
                 net->classes, CLASSES_MAX);
}

/* Take the network of the file as it is now. One that cannot be read leaves the one that is there:
 * a run replaces its checkpoints. */
static dt_status refresh(dt_studio *s) {
    char path[DT_PATH_MAX];
    struct stat st;
    dt_infer next;
    DT_TRY(dt_checkpoint_resolve(s->subject, s->last, path));
    if (stat(path, &st) != 0)
        return dt_fail(DT_EIO, "cannot read %s: %s", path, strerror(errno));
    if (s->has_network && is_same_file(&st, &s->network_stat))
        return DT_OK;
    DT_TRY(dt_infer_open(s->subject, s->last, &next));
    if (s->has_network)
        dt_infer_close(&s->network);
    s->network = next;
    s->network_stat = st;
    s->has_network = true;
    s->n_said = 0;
    judge_network(s);
    return DT_OK;
}

/* Is there a network for drawings? Else s->why_not says why. */
static bool is_ready(dt_studio *s) {
    if (refresh(s) != DT_OK && !s->has_network)
        snprintf(s->why_not, sizeof s->why_not, "%s", dt_error());
    return s->has_network && !s->why_not[0];
}

/* -- Parts of answers ------------------------------------------------------------------------ */

static void hex_json(dt_json *j, const char *key, const uint8_t *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * n + 1);
    if (text) {
        for (size_t i = 0; i < n; i++) {
            text[2 * i] = digits[bytes[i] >> 4];
            text[2 * i + 1] = digits[bytes[i] & 15];
        }
        text[2 * n] = '\0';
    }
    dt_json_str(j, key, text);
    free(text);
}

/* Values as bytes around 128: 1 is the most negative that is as far from 0 as 255, the largest. */
static void values_json(dt_json *j, const char *key, const float *v, size_t n) {
    float largest = 0;
    uint8_t *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        largest = fabsf(v[i]) > largest ? fabsf(v[i]) : largest;
    for (size_t i = 0; bytes && i < n; i++)
        bytes[i] = (uint8_t)lrintf(128 + (largest > 0 ? 127 * v[i] / largest : 0));
    dt_json_num(j, "largest", largest);
    if (bytes)
        hex_json(j, key, bytes, n);
    free(bytes);
}

static dt_reply json_reply(int status, dt_json *j) {
    static const char no_memory[] = "{\"error\":\"no memory for an answer\"}";
    dt_reply reply = {.status = status, .type = "application/json"};
    if (j->failed || !j->text) {
        reply.status = FAILED;
        reply.bytes = no_memory;
        reply.nbytes = sizeof no_memory - 1;
        return reply;
    }
    reply.bytes = j->text;
    reply.nbytes = j->n;
    reply.is_owned = true;
    return reply;
}

static dt_reply error_reply(int status, const char *sentence) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "error", sentence);
    dt_json_close(&j, '}');
    return json_reply(status, &j);
}

/* The drawing as the network gets it. */
static dt_status prepare(const dt_request *request, const uint8_t *body, uint8_t *picture,
                         dt_digit *found) {
    const dt_image image = {.width = request->width,
                            .height = request->height,
                            .channels = 1,
                            .pixels = (uint8_t *)(uintptr_t)body};
    return dt_digit_prepare(&image, picture, found);
}

/* -- About ----------------------------------------------------------------------------------- */

static void network_json(dt_studio *s, dt_json *j) {
    const dt_checkpoint *c = s->network.checkpoint;
    dt_json_open(j, "network", '{');
    dt_json_str(j, "path", s->network.path);
    dt_json_str(j, "model", c->model);
    dt_json_int(j, "parameters", (int64_t)s->network.net->n_params);
    dt_json_int(j, "classes", s->network.net->classes);
    dt_json_int(j, "epoch", c->epoch);
    dt_json_int(j, "step", c->step);
    dt_json_str(j, "data", c->data_name);
    dt_json_num(j, "best_value", c->best_value);
    dt_json_str(j, "best_kind", c->best_kind);
    dt_json_close(j, '}');
}

static dt_reply about(dt_studio *s) {
    dt_json j = {0};
    bool ready = is_ready(s);
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "subject", s->subject);
    dt_json_bool(&j, "draws", ready);
    dt_json_str(&j, "why_not", s->why_not);
    dt_json_bool(&j, "watches", s->live != NULL);
    if (s->has_network)
        network_json(s, &j);
    dt_json_close(&j, '}');
    return json_reply(OK, &j);
}

/* -- A drawing's digit ----------------------------------------------------------------------- */

static void verdict_json(const dt_verdict *v, const dt_digit *found, dt_json *j) {
    dt_json_int(j, "digit", v->first);
    dt_json_num(j, "probability", v->p_first);
    dt_json_int(j, "second", v->second);
    dt_json_num(j, "second_probability", v->p_second);
    dt_json_bool(j, "has_ink", found->has_ink);
    dt_json_bool(j, "is_digit", v->is_digit);
    dt_json_str(j, "why", v->is_digit ? "" : v->why);
}

static dt_reply predict(dt_studio *s, const dt_request *request, const uint8_t *body) {
    double began = dt_now(), probabilities[CLASSES_MAX];
    float logits[CLASSES_MAX];
    uint8_t picture[DT_DIGIT_BYTES];
    dt_digit found;
    dt_verdict verdict;
    if (prepare(request, body, picture, &found) != DT_OK ||
        dt_infer_run(&s->network, picture, 1, logits) != DT_OK)
        return error_reply(FAILED, dt_error());
    int classes = s->network.net->classes;
    dt_infer_softmax(logits, classes, probabilities);
    dt_infer_judge(logits, classes, &found, &verdict);
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    verdict_json(&verdict, &found, &j);
    dt_json_open(&j, "probabilities", '[');
    for (int c = 0; c < classes; c++)
        dt_json_num(&j, NULL, probabilities[c]);
    dt_json_close(&j, ']');
    hex_json(&j, "picture", picture, sizeof picture);
    double ms = 1e3 * (dt_now() - began);
    dt_json_num(&j, "ms", ms);
    dt_json_close(&j, '}');
    dt_reply reply = json_reply(OK, &j);
    reply.server_ms = ms;
    return reply;
}

/* -- Inside ---------------------------------------------------------------------------------- */

static void layers_json(const dt_net *net, const float *const *acts, dt_json *j) {
    dt_json_open(j, "layers", '[');
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        dt_json_open(j, NULL, '{');
        dt_json_str(j, "name", l->name);
        dt_json_int(j, "channels", l->out.c);
        dt_json_int(j, "height", l->out.h);
        dt_json_int(j, "width", l->out.w);
        values_json(j, "values", acts[i + 1], dt_shape_size(l->out));
        dt_json_close(j, '}');
    }
    dt_json_close(j, ']');
}

/* The weights of a convolution that comes before all others. */
static void filters_json(const dt_infer *network, dt_json *j) {
    const dt_checkpoint *c = network->checkpoint;
    const dt_tensor *weight = c->n_tensors > 0 ? &c->tensors[0] : NULL;
    if (!weight || weight->n_dims != 4 || weight->dims[1] != 1)
        return;
    dt_json_open(j, "filters", '{');
    dt_json_int(j, "channels", weight->dims[0]);
    dt_json_int(j, "height", weight->dims[2]);
    dt_json_int(j, "width", weight->dims[3]);
    values_json(j, "values", c->params + weight->at, weight->n);
    dt_json_close(j, '}');
}

static dt_reply features(dt_studio *s, const dt_request *request, const uint8_t *body) {
    uint8_t picture[DT_DIGIT_BYTES];
    float gradient[DT_DIGIT_BYTES];
    const float *const *acts;
    dt_digit found;
    const dt_net *net = s->network.net;
    if (prepare(request, body, picture, &found) != DT_OK ||
        dt_infer_look(&s->network, picture, &acts) != DT_OK)
        return error_reply(FAILED, dt_error());
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    layers_json(net, acts, &j);
    filters_json(&s->network, &j);
    const float *logits = acts[net->n_layers];
    int best = 0;
    for (int c = 1; c < net->classes; c++)
        best = logits[c] > logits[best] ? c : best;
    dt_json_int(&j, "digit", best);
    dt_status status = dt_infer_saliency(&s->network, best, gradient);
    dt_json_open(&j, "saliency", '{');
    if (status == DT_OK)
        values_json(&j, "values", gradient, DT_DIGIT_BYTES);
    dt_json_close(&j, '}');
    hex_json(&j, "picture", picture, sizeof picture);
    dt_json_close(&j, '}');
    return json_reply(OK, &j);
}

/* -- The set --------------------------------------------------------------------------------- */

static void recent_json(const dt_studio *s, bool has_said, dt_json *j) {
    size_t n = s->set->n;
    dt_json_open(j, "recent", '[');
    for (size_t i = n; i > 0 && i + RECENT > n; i--) {
        dt_json_open(j, NULL, '{');
        dt_json_int(j, "label", dt_digits_label(s->set, i - 1));
        if (has_said)
            dt_json_int(j, "said", s->said[i - 1]);
        hex_json(j, "picture", dt_digits_image(s->set, i - 1), DT_DIGIT_BYTES);
        dt_json_close(j, '}');
    }
    dt_json_close(j, ']');
}

/* true x said; what is said beyond the digits is in the last column. */
static void counts_json(const dt_studio *s, dt_json *j) {
    int64_t confusion[DIGITS][DIGITS + 1] = {{0}}, correct = 0;
    for (size_t i = 0; i < s->set->n; i++) {
        int label = dt_digits_label(s->set, i), said = s->said[i];
        if (label >= DIGITS)
            continue; /* put there by another program */
        confusion[label][said < DIGITS ? said : DIGITS]++;
        correct += said == label;
    }
    dt_json_int(j, "correct", correct);
    dt_json_open(j, "confusion", '[');
    for (int t = 0; t < DIGITS; t++) {
        dt_json_open(j, NULL, '[');
        for (int p = 0; p < DIGITS; p++)
            dt_json_int(j, NULL, confusion[t][p]);
        dt_json_close(j, ']');
    }
    dt_json_close(j, ']');
}

static dt_reply set_reply(dt_studio *s, bool ready) {
    dt_json j = {0};
    bool has_said = ready && say_rest(s) == DT_OK;
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "dir", s->set->dir);
    dt_json_int(&j, "n", (int64_t)s->set->n);
    if (has_said)
        counts_json(s, &j);
    recent_json(s, has_said, &j);
    dt_json_close(&j, '}');
    return json_reply(OK, &j);
}

static dt_reply add(dt_studio *s, const dt_request *request, const uint8_t *body) {
    uint8_t picture[DT_DIGIT_BYTES];
    dt_digit found;
    if (prepare(request, body, picture, &found) != DT_OK)
        return error_reply(FAILED, dt_error());
    if (!found.has_ink)
        return error_reply(UNUSABLE, "there is no ink: nothing was added");
    dt_status status = dt_digits_add(s->set, picture, (uint8_t)request->label);
    if (status != DT_OK)
        return error_reply(status == DT_EUSAGE ? CONFLICT : FAILED, dt_error());
    return set_reply(s, true);
}

static dt_reply undo(dt_studio *s) {
    dt_status status = dt_digits_undo(s->set);
    if (s->n_said > s->set->n)
        s->n_said = s->set->n;
    if (status != DT_OK)
        return error_reply(status == DT_EUSAGE ? CONFLICT : FAILED, dt_error());
    return set_reply(s, is_ready(s));
}

/* A copy: the set may grow while it is sent. */
static dt_reply file_reply(const dt_digits *set, const dt_digits_file *file) {
    if (set->n == 0)
        return error_reply(CONFLICT, "the set has no digits yet");
    void *copy = malloc(file->nbytes);
    if (!copy)
        return error_reply(FAILED, "no memory for a copy of the set");
    memcpy(copy, file->bytes, file->nbytes);
    return (dt_reply){.status = OK,
                      .type = "application/octet-stream",
                      .bytes = copy,
                      .nbytes = file->nbytes,
                      .is_owned = true,
                      .is_download = true};
}

/* -- The run --------------------------------------------------------------------------------- */

static dt_reply run(dt_studio *s) {
    dt_json j = {0};
    if (!s->live)
        return error_reply(CONFLICT, "a checkpoint is served, which is no run");
    dt_live_json(s->live, NULL, &j);
    return json_reply(OK, &j);
}

/* -------------------------------------------------------------------------------------------- */

static dt_reply asset(int number) {
    const dt_asset *a = &dt_assets[number];
    return (dt_reply){.status = OK, .type = a->type, .bytes = a->bytes, .nbytes = a->nbytes};
}

static dt_reply with_network(dt_studio *s, const dt_request *request, const uint8_t *body) {
    if (!is_ready(s))
        return error_reply(NOT_YET, s->why_not);
    if (request->route == DT_ROUTE_PREDICT)
        return predict(s, request, body);
    return request->route == DT_ROUTE_FEATURES ? features(s, request, body) : add(s, request, body);
}

void dt_studio_answer(void *ctx, const dt_request *request, const uint8_t *body, dt_reply *reply) {
    dt_studio *s = ctx;
    switch (request->route) {
    case DT_ROUTE_ASSET:
        *reply = asset(request->asset);
        break;
    case DT_ROUTE_ABOUT:
        *reply = about(s);
        break;
    case DT_ROUTE_PREDICT:
    case DT_ROUTE_FEATURES:
    case DT_ROUTE_ADD:
        *reply = with_network(s, request, body);
        break;
    case DT_ROUTE_SET:
        *reply = set_reply(s, is_ready(s));
        break;
    case DT_ROUTE_UNDO:
        *reply = undo(s);
        break;
    case DT_ROUTE_IMAGES:
        *reply = file_reply(s->set, &s->set->images);
        break;
    case DT_ROUTE_LABELS:
        *reply = file_reply(s->set, &s->set->labels);
        break;
    case DT_ROUTE_RUN:
        *reply = run(s);
        break;
    }
}

/* -- Opening --------------------------------------------------------------------------------- */

/* subject with its links resolved, but for the last one of a file: best.h5 moves on. */
static dt_status resolve(const char *subject, bool *is_dir, char path[DT_PATH_MAX]) {
    struct stat st;
    if (stat(subject, &st) != 0)
        return dt_fail(DT_EIO, "cannot read %s: %s", subject, strerror(errno));
    *is_dir = S_ISDIR(st.st_mode);
    char *whole = *is_dir ? realpath(subject, NULL) : NULL;
    snprintf(path, DT_PATH_MAX, "%s", whole ? whole : subject);
    free(whole);
    return DT_OK;
}

/* The run of a directory, or that around a checkpoint if there is one. */
static dt_status open_live(dt_studio *s, bool is_dir) {
    char dir[DT_PATH_MAX], log[DT_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", s->subject);
    char *slash = strrchr(dir, '/');
    if (!is_dir && slash)
        *slash = '\0';
    else if (!is_dir)
        snprintf(dir, sizeof dir, ".");
    DT_TRY(dt_path_join(log, dir, "log.jsonl"));
    return is_dir || dt_path_exists(log) ? dt_live_open(dir, &s->live) : DT_OK;
}

static dt_status open_parts(dt_studio *s, const char *subject, const char *digits) {
    char dir[DT_PATH_MAX];
    bool is_dir = false;
    DT_TRY(resolve(subject, &is_dir, s->subject));
    if (digits[0])
        snprintf(dir, sizeof dir, "%s", digits);
    else
        DT_TRY(dt_path_join(dir, is_dir ? s->subject : ".", "digits"));
    DT_TRY(dt_digits_open(dir, DT_DIGIT_SIDE, DT_DIGIT_SIDE, &s->set));
    DT_TRY(open_live(s, is_dir));
    if (!is_ready(s) && !s->live)
        return dt_fail(DT_EIO, "%s", s->why_not);
    return DT_OK;
}

dt_status dt_studio_open(const char *subject, bool last, const char *digits, dt_studio **out) {
    dt_studio *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return dt_fail(DT_EDEVICE, "no memory to serve %s", subject);
    s->last = last;
    dt_status status = open_parts(s, subject, digits);
    if (status != DT_OK)
        dt_studio_close(out);
    return status;
}

void dt_studio_close(dt_studio **studio) {
    dt_studio *s = *studio;
    if (!s)
        return;
    if (s->has_network)
        dt_infer_close(&s->network);
    dt_digits_close(&s->set);
    dt_live_close(&s->live);
    free(s->said);
    free(s);
    *studio = NULL;
}

void dt_studio_describe(const dt_studio *s, char *text, size_t nbytes) {
    if (s->has_network)
        snprintf(text, nbytes, "serving %s (epoch %lld, step %lld), digits in %s", s->network.path,
                 (long long)s->network.checkpoint->epoch, (long long)s->network.checkpoint->step,
                 s->set->dir);
    else
        snprintf(text, nbytes, "serving %s, which has no checkpoint yet, digits in %s", s->subject,
                 s->set->dir);
}
