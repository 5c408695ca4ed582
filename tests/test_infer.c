/* A checkpoint that answers: one picture at a time as many at once, and as the layers in between
 * say; the saliency is the slope of the logit; a verdict names what speaks against a digit. And the
 * sheets of features: their sizes, and colours where values are known. */
#include "launch/canvas.h"
#include "launch/features.h"
#include "launch/infer.h"
#include "tests/t.h"

enum { N = 37 };

static dt_infer infer;
static uint8_t *images;
static size_t pixels, classes;

static void add_tensor(dt_checkpoint *c, const char *layer, const char *what, size_t from, size_t n,
                       int n_dims, const int64_t *dims) {
    dt_tensor *t = &c->tensors[c->n_tensors++];
    snprintf(t->name, sizeof t->name, "%s/%s", layer, what);
    t->n_dims = n_dims;
    memcpy(t->dims, dims, (size_t)n_dims * sizeof *dims);
    t->at = from;
    t->n = n;
}

/* A network with the parameters that a run would begin with, in a file. */
static void write_checkpoint(const char *path) {
    dt_net *net;
    dt_tensor tensors[8];
    T_OK(dt_net_parse("conv 5 3; relu; pool 2; dropout 0.5; fc 7; relu; fc 4",
                      (dt_shape){1, 12, 10}, &net));
    dt_checkpoint c = {.model = net->spec,
                       .input_shape = {1, 12, 10},
                       .classes = 4,
                       .mean = 0.3,
                       .std = 0.4,
                       .best_step = -1,
                       .config = (char *)"{}",
                       .fingerprint = (char *)"none",
                       .data_name = (char *)"none",
                       .tensors = tensors,
                       .n_params = net->n_params};
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        int64_t out = l->out.c, in = l->kind == DT_CONV ? l->in.c : (int64_t)dt_shape_size(l->in);
        if (l->n_w == 0)
            continue;
        add_tensor(&c, l->name, "weight", l->w_at, l->n_w, l->kind == DT_CONV ? 4 : 2,
                   (int64_t[]){out, in, l->kernel, l->kernel});
        add_tensor(&c, l->name, "bias", l->b_at, l->n_b, 1, &out);
    }
    c.params = malloc(c.n_params * sizeof *c.params);
    dt_net_init(net, 5, c.params);
    T_OK(dt_checkpoint_write(path, &c));
    free(c.params);
    dt_net_free(&net);
}

static void open_network(void) {
    write_checkpoint("network.h5");
    T_OK(dt_infer_open("network.h5", false, &infer));
    pixels = dt_shape_size(infer.net->in);
    classes = (size_t)infer.net->classes;
    images = malloc(N * pixels);
    uint32_t state = 1;
    for (size_t i = 0; i < N * pixels; i++) {
        state = state * 1664525u + 1013904223u;
        images[i] = (uint8_t)(state >> 24);
    }
}

static void test_answers(void) {
    float *many = malloc(N * classes * sizeof *many), *one = malloc(classes * sizeof *one);
    double *p = malloc(classes * sizeof *p);
    const float *const *acts;
    T_OK(dt_infer_run(&infer, images, N, many));
    T_OK(dt_infer_run(&infer, images, 0, many));
    for (size_t i = 0; i < N; i++) {
        T_OK(dt_infer_run(&infer, images + i * pixels, 1, one));
        T_OK(dt_infer_look(&infer, images + i * pixels, &acts));
        double sum = 0;
        dt_infer_softmax(one, (int)classes, p);
        for (size_t c = 0; c < classes; c++) {
            T_NEAR((double)one[c], (double)many[i * classes + c], 1e-5, 1e-5);
            T_NEAR((double)acts[infer.net->n_layers][c], (double)one[c], 1e-5, 1e-5);
            T_NEAR(p[c] / p[0], exp((double)one[c] - (double)one[0]), 0, 1e-12);
            sum += p[c];
        }
        T_NEAR(sum, 1, 1e-12, 0);
    }
    const dt_checkpoint *c = infer.checkpoint;
    T_NEAR((double)acts[0][3], (images[(N - 1) * pixels + 3] / 255.0 - c->mean) / c->std, 1e-6, 0);
    free(many);
    free(one);
    free(p);
}

/* The logit of target with pixel i one level lighter, less that with it one level darker. */
static double slope(uint8_t *image, size_t i, int target, float *logits) {
    uint8_t was = image[i];
    image[i] = (uint8_t)(was + 1);
    T_OK(dt_infer_run(&infer, image, 1, logits));
    double above = (double)logits[target];
    image[i] = (uint8_t)(was - 1);
    T_OK(dt_infer_run(&infer, image, 1, logits));
    image[i] = was;
    return (above - (double)logits[target]) * 255 / 2;
}

static void test_saliency(void) {
    float *gradient = malloc(pixels * sizeof *gradient), *logits = malloc(classes * sizeof *logits);
    const float *const *acts;
    int n_near = 0, n = 0;
    for (size_t i = 0; i < pixels; i++)
        images[i] = (uint8_t)(images[i] < 1 ? 1 : images[i] > 254 ? 254 : images[i]);
    T_OK(dt_infer_look(&infer, images, &acts));
    T_OK(dt_infer_saliency(&infer, 1, gradient));
    double most = 0;
    for (size_t i = 0; i < pixels; i++)
        most = fmax(most, fabs((double)gradient[i]));
    for (size_t i = 0; i < pixels; i++, n++) /* kinks of ReLU and pooling lie within some steps */
        n_near += fabs(slope(images, i, 1, logits) - (double)gradient[i]) < 0.03 * most;
    T_CHECK(most > 0);
    T_CHECK(n_near > 0.9 * n);
    free(gradient);
    free(logits);
}

static void refused(const float *logits, const dt_digit *found, const char *words) {
    dt_verdict v;
    dt_infer_judge(logits, 4, found, &v);
    T_CHECK(v.first == 2 && v.second == 0);
    T_CHECK(v.is_digit == (words == NULL));
    if (words && !T_CHECK(strstr(v.why, words) != NULL))
        fprintf(stderr, "    %s\n", v.why);
}

static void test_verdicts(void) {
    static const float sure[4] = {1, -2, 4, 0}, unsure[4] = {1, 0.9f, 1.01f, 0.8f};
    dt_digit good = {.has_ink = true, .width = 12, .height = 20, .pieces = 1, .cover = 100}, d;
    dt_verdict v;
    dt_infer_judge(sure, 4, &good, &v);
    double sum = exp(1 - 4.0) + exp(-2 - 4.0) + 1 + exp(0 - 4.0);
    T_NEAR(v.p_first, 1 / sum, 1e-12, 0);
    T_NEAR(v.p_second, exp(-3.0) / sum, 1e-12, 0);
    refused(sure, &good, NULL);
    refused(sure, NULL, NULL);
    refused(unsure, &good, "far from any: 2 is the nearest, with 27.");
    refused(unsure, NULL, "far from any");
    d = good;
    d.has_ink = false;
    d.contrast = 7;
    refused(sure, &d, "no ink: contrast 7 of 255");
    d = good;
    d.pieces = 4;
    refused(sure, &d, "4 pieces of ink");
    d = good;
    d.width = 60;
    refused(sure, &d, "60 x 20 pixels");
    d = good;
    d.cover = 390;
    refused(sure, &d, "98 % of its box");
}

static uint32_t at(const dt_image *sheet, int x, int y) {
    const uint8_t *p = sheet->pixels + 3 * ((size_t)y * (size_t)sheet->width + (size_t)x);
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static void test_canvas(void) {
    dt_image sheet;
    static const float values[] = {-2, 0, 1, 2};
    T_OK(dt_canvas_open(40, 30, &sheet));
    T_CHECK(at(&sheet, 0, 0) == DT_GROUND && at(&sheet, 39, 29) == DT_GROUND);
    dt_canvas_box(&sheet, -5, -5, 7, 7, 0x112233);
    dt_canvas_box(&sheet, 38, 28, 70, 70, 0x445566);
    T_CHECK(at(&sheet, 1, 1) == 0x112233 && at(&sheet, 2, 2) == DT_GROUND);
    T_CHECK(at(&sheet, 39, 29) == 0x445566 && at(&sheet, 37, 28) == DT_GROUND);
    dt_canvas_map(&sheet, 10, 5, 3, values, 2, 2, 2, DT_PALETTE_SIGNED);
    T_CHECK(at(&sheet, 12, 7) == 0x053061 && at(&sheet, 13, 5) == 0xf7f7f7);
    T_CHECK(at(&sheet, 10, 8) == 0xd6924a && at(&sheet, 15, 10) == 0x6b3a00);
    T_CHECK(at(&sheet, 16, 10) == DT_GROUND);
    dt_canvas_text(&sheet, 20, 20, 1, 0, "1");
    T_CHECK(at(&sheet, 22, 20) == 0 && at(&sheet, 20, 20) == DT_GROUND && at(&sheet, 22, 26) == 0);
    dt_canvas_text(&sheet, 28, 20, 1, 0, "b"); /* its stem is at the left */
    T_CHECK(at(&sheet, 28, 20) == 0 && at(&sheet, 32, 20) == DT_GROUND);
    T_CHECK(dt_canvas_text_width(2, "abc") == 36);
    T_CHECK(dt_canvas_colour(DT_PALETTE_GREY, 0.5f) == 0x808080);
    T_CHECK(dt_canvas_colour(DT_PALETTE_HEAT, 9) == 0xfcfdbf);
    dt_image_free(&sheet);
}

static void test_sheets(void) {
    const float *const *acts;
    dt_image sheet;
    T_OK(dt_infer_look(&infer, images, &acts));
    for (int i = 0; i < infer.net->n_layers; i++) {
        T_OK(dt_features_layer(&infer, acts, i, &sheet));
        T_CHECK(sheet.channels == 3 && sheet.width > 200 && sheet.height > 100);
        T_CHECK(at(&sheet, 0, 0) == DT_GROUND);
        dt_image_free(&sheet);
    }
    T_OK(dt_features_filters(&infer, &sheet));
    T_CHECK(sheet.pixels != NULL);
    dt_image_free(&sheet);
    T_OK(dt_features_saliency(&infer, images, acts, &sheet));
    int zoom = 280 / (infer.net->in.w > infer.net->in.h ? infer.net->in.w : infer.net->in.h);
    T_CHECK(at(&sheet, 20 + zoom / 2, 54 + zoom / 2) == images[0] * 0x10101u); /* the picture */
    dt_image_free(&sheet);
}

int main(void) {
    T_BEGIN(60);
    open_network();
    test_answers();
    test_saliency();
    test_verdicts();
    test_canvas();
    test_sheets();
    dt_infer_close(&infer);
    dt_infer_close(&infer); /* is fine */
    T_CHECK(infer.net == NULL);
    T_FAILS(dt_infer_open("/no/such.h5", false, &infer), DT_EIO, "/no/such.h5");
    free(images);
    return t_finish();
}
