/* launch/predict.c - `dtrain predict`: files in, a line for each picture out.
 *
 * Pictures are prepared one by one and answered in batches, in their order. One that cannot be read
 * is told and passed over. */
#include "launch/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/idx.h"
#include "io/json.h"
#include "io/log.h"
#include "launch/term.h"

enum { BATCH = 512, WIDEST_NAME = 48, MOST_COUNTED = 10 };

typedef struct {
    const char *name;
    int64_t index; /* in an IDX file; -1: the file is the picture */
    dt_digit found;
} picture;

typedef struct {
    const dt_options *options;
    dt_infer *infer;
    size_t pixels, classes;
    int name_width;
    picture pictures[BATCH];
    uint8_t *images; /* [BATCH][pixels] */
    float *logits;   /* [BATCH][classes] */
    double *probabilities;
    size_t n;        /* in the batch */
    int64_t *counts; /* [classes + 1] of the IDX file at hand, the last: no digit */
    int64_t n_unread, n_read;
} session;

dt_status dt_alone(const char *command, dt_comm *comm) {
    if (dt_comm_size(comm) == 1)
        return DT_OK;
    return dt_fail(DT_EUSAGE, "%s is for one process, this job has %d: run it without mpirun",
                   command, dt_comm_size(comm));
}

/* --- out --- */

static void write_figures(dt_json *j, const dt_digit *found) {
    dt_json_num(j, "contrast", found->contrast);
    dt_json_num(j, "noise", found->noise);
    dt_json_num(j, "cover", found->cover);
    dt_json_int(j, "pieces", found->pieces);
    dt_json_open(j, "box", '[');
    dt_json_int(j, NULL, found->left);
    dt_json_int(j, NULL, found->top);
    dt_json_int(j, NULL, found->width);
    dt_json_int(j, NULL, found->height);
    dt_json_close(j, ']');
}

static dt_status print_json(session *s, const picture *p, const float *logits,
                            const dt_verdict *v) {
    dt_json j = {0};
    dt_infer_softmax(logits, (int)s->classes, s->probabilities);
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "image", p->name);
    if (p->index >= 0)
        dt_json_int(&j, "index", p->index);
    if (v->is_digit)
        dt_json_int(&j, "digit", v->first);
    else
        dt_json_raw(&j, "digit", "null");
    if (!v->is_digit)
        dt_json_str(&j, "why", v->why);
    dt_json_int(&j, "nearest", v->first);
    dt_json_open(&j, "probabilities", '[');
    for (size_t i = 0; i < s->classes; i++)
        dt_json_num(&j, NULL, s->probabilities[i]);
    dt_json_close(&j, ']');
    dt_json_open(&j, "logits", '[');
    for (size_t i = 0; i < s->classes; i++)
        dt_json_num(&j, NULL, (double)logits[i]);
    dt_json_close(&j, ']');
    if (p->index < 0)
        write_figures(&j, &p->found);
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static void print_line(const session *s, const picture *p, const dt_verdict *v) {
    char name[DT_PATH_MAX + 32];
    if (p->index >= 0)
        snprintf(name, sizeof name, "%s:%lld", p->name, (long long)p->index);
    else
        snprintf(name, sizeof name, "%s", p->name);
    if (v->is_digit)
        printf("%-*s  %2d  %5.1f%%  then %2d  %5.1f%%\n", s->name_width, name, v->first,
               100 * v->p_first, v->second, 100 * v->p_second);
    else
        printf("%-*s  no digit: %s\n", s->name_width, name, v->why);
}

/* Answers the batch and empties it. */
static dt_status flush(session *s) {
    DT_TRY(dt_infer_run(s->infer, s->images, s->n, s->logits));
    for (size_t i = 0; i < s->n; i++) {
        const picture *p = &s->pictures[i];
        const float *logits = s->logits + i * s->classes;
        dt_verdict v;
        dt_infer_judge(logits, (int)s->classes, p->index < 0 ? &p->found : NULL, &v);
        s->counts[v.is_digit ? (size_t)v.first : s->classes]++;
        if (s->options->json)
            DT_TRY(print_json(s, p, logits, &v));
        else
            print_line(s, p, &v);
    }
    s->n = 0;
    return dt_stdout_flush();
}

/* How many pictures of an IDX file were called what. */
static void print_counts(const session *s, const char *name, uint32_t n) {
    if (s->options->json)
        return;
    printf("%s: %u picture%s:", name, n, n == 1 ? "" : "s");
    for (size_t i = 0; i < s->classes; i++)
        if (s->counts[i] || s->classes <= MOST_COUNTED)
            printf(" %zu x %lld,", i, (long long)s->counts[i]);
    printf(" no digit x %lld\n", (long long)s->counts[s->classes]);
}

/* --- in --- */

static bool is_idx(const void *bytes, size_t nbytes) {
    const uint8_t *b = bytes;
    return nbytes >= 2 && ((b[0] == 0 && b[1] == 0) || (b[0] == 0x1f && b[1] == 0x8b));
}

static dt_status check_idx(const session *s, const char *name, const dt_idx *idx) {
    dt_shape in = s->infer->net->in;
    if (idx->n_dims != 3)
        return dt_fail(DT_EDATA, "%s: %d dimensions; pictures have 3: how many, height, width",
                       name, idx->n_dims);
    if (in.c != 1 || idx->dims[1] != (uint32_t)in.h || idx->dims[2] != (uint32_t)in.w)
        return dt_fail(DT_EDATA, "%s: pictures of %u x %u; the network takes %d x %d x %d", name,
                       idx->dims[1], idx->dims[2], in.c, in.h, in.w);
    return DT_OK;
}

static dt_status answer_idx(session *s, const char *name, const void *bytes, size_t nbytes) {
    dt_idx idx;
    DT_TRY(dt_idx_parse(name, bytes, nbytes, &idx));
    dt_status status = check_idx(s, name, &idx);
    if (status == DT_OK)
        status = flush(s);
    memset(s->counts, 0, (s->classes + 1) * sizeof *s->counts);
    for (uint32_t i = 0; status == DT_OK && i < idx.dims[0]; i++) {
        s->pictures[s->n] = (picture){.name = name, .index = i};
        memcpy(s->images + s->n * s->pixels, idx.data + i * s->pixels, s->pixels);
        if (++s->n == BATCH)
            status = flush(s);
    }
    if (status == DT_OK)
        status = flush(s);
    if (status == DT_OK)
        print_counts(s, name, idx.dims[0]);
    dt_idx_close(&idx);
    return status;
}

/* DT_EUSAGE unless the network takes what dt_digit_prepare() makes. */
static dt_status check_input(const dt_infer *infer) {
    dt_shape in = infer->net->in;
    if (in.c == 1 && in.h == DT_DIGIT_SIDE && in.w == DT_DIGIT_SIDE)
        return DT_OK;
    return dt_fail(
        DT_EUSAGE,
        "%s takes pictures of %d x %d x %d; only for 1 x 28 x 28 are they prepared: give "
        "it IDX files of its own size",
        infer->path, in.c, in.h, in.w);
}

static dt_status prepare(const char *name, const void *bytes, size_t nbytes, uint8_t *image,
                         dt_digit *found) {
    dt_image decoded;
    DT_TRY(dt_image_parse(name, bytes, nbytes, &decoded));
    dt_status status = dt_digit_prepare(&decoded, image, found);
    dt_image_free(&decoded);
    return status;
}

static dt_status answer_file(session *s, const char *name) {
    void *bytes;
    size_t nbytes;
    if (dt_file_read(name, DT_IMAGE_FILE_BYTES, &bytes, &nbytes) != DT_OK)
        return dt_fail(DT_EDATA, "%s", dt_error());
    dt_status status;
    picture *p = &s->pictures[s->n];
    if (is_idx(bytes, nbytes)) {
        status = answer_idx(s, name, bytes, nbytes);
    } else if ((status = check_input(s->infer)) == DT_OK) {
        *p = (picture){.name = name, .index = -1};
        status = prepare(name, bytes, nbytes, s->images + s->n * s->pixels, &p->found);
        s->n += status == DT_OK;
    }
    free(bytes);
    return status == DT_OK && s->n == BATCH ? flush(s) : status;
}

dt_status dt_predict_load(const dt_infer *infer, const char *path, uint8_t *image,
                          dt_digit *found) {
    void *bytes;
    size_t nbytes;
    DT_TRY(check_input(infer));
    if (dt_file_read(path, DT_IMAGE_FILE_BYTES, &bytes, &nbytes) != DT_OK)
        return dt_fail(DT_EDATA, "%s", dt_error());
    dt_status status = prepare(path, bytes, nbytes, image, found);
    free(bytes);
    return status;
}

/* --- all --- */

/* A picture that cannot be read: said in its place. */
static dt_status tell_unread(session *s, const char *name) {
    dt_json j = {0};
    DT_TRY(flush(s));
    s->n_unread++;
    dt_warn("%s", dt_error());
    if (!s->options->json)
        return DT_OK;
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "image", name);
    dt_json_str(&j, "error", dt_error());
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static dt_status session_open(session *s, const dt_options *options, dt_infer *infer) {
    s->options = options;
    s->infer = infer;
    s->pixels = dt_shape_size(infer->net->in);
    s->classes = (size_t)infer->net->classes;
    s->images = malloc(BATCH * s->pixels);
    s->logits = malloc(BATCH * s->classes * sizeof *s->logits);
    s->probabilities = malloc(s->classes * sizeof *s->probabilities);
    s->counts = calloc(s->classes + 1, sizeof *s->counts);
    for (const char *at = options->subjects; *at; at += strlen(at) + 1)
        if ((int)strlen(at) > s->name_width)
            s->name_width = (int)strlen(at);
    if (s->name_width > WIDEST_NAME)
        s->name_width = WIDEST_NAME;
    if (!s->images || !s->logits || !s->probabilities || !s->counts)
        return dt_fail(DT_EDEVICE, "no memory for %d pictures", BATCH);
    return DT_OK;
}

static void session_free(session *s) {
    free(s->images);
    free(s->logits);
    free(s->probabilities);
    free(s->counts);
    free(s);
}

static dt_status answer_all(session *s) {
    for (const char *at = s->options->subjects; *at; at += strlen(at) + 1) {
        dt_status status = answer_file(s, at);
        s->n_read += status == DT_OK;
        if (status == DT_EDATA)
            status = tell_unread(s, at);
        DT_TRY(status);
    }
    DT_TRY(flush(s));
    long long n_unread = s->n_unread, n = n_unread + s->n_read;
    if (n_unread > 0)
        return dt_fail(DT_EDATA, "%lld of %lld files could not be read", n_unread, n);
    return DT_OK;
}

dt_status dt_predict(const dt_options *options, dt_comm *comm) {
    dt_infer infer;
    dt_status status;
    DT_TRY(dt_alone("predict", comm));
    DT_TRY(dt_infer_open(options->checkpoint, options->last, &infer));
    session *s = calloc(1, sizeof *s);
    status = s ? session_open(s, options, &infer) : dt_fail(DT_EDEVICE, "no memory for pictures");
    if (status == DT_OK)
        status = answer_all(s);
    if (s)
        session_free(s);
    dt_infer_close(&infer);
    return status;
}
