/* Every layer kind and option by central differences, in double: dL/dx and dL/dparams of L = sum r
 * * logits. */
#include "model/dropout.h"
#include "model/ref_layers.h"
#include "tests/t.h"

enum { M = 3, MAX_LAYERS = 16 };

typedef struct {
    dt_net *net;
    double *params, *dparams, *acts[MAX_LAYERS], *grads[MAX_LAYERS];
    float *masks[MAX_LAYERS];
    double *weights; /* r */
} fixture;

/* Irregular values in (-1, 1), all different: no two meet in a maximum, none sits on a kink. */
static void fill(double *x, size_t n, double phase) {
    for (size_t i = 0; i < n; i++)
        x[i] = fmod(0.618033988749895 * (double)(i + 1) + phase, 1.0) * 2 - 1;
}

static double *garbage(size_t n) {
    double *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i <= n; i++)
        x[i] = 1e30;
    return x;
}

static void setup(fixture *f, const char *spec, dt_shape in) {
    T_OK(dt_net_parse(spec, in, &f->net));
    if (!f->net)
        exit(t_finish());
    const dt_net *net = f->net;
    f->params = garbage(net->n_params);
    f->dparams = garbage(net->n_params);
    fill(f->params, net->n_params, 0.1);
    for (int i = 0; i <= net->n_layers; i++) {
        size_t n = M * dt_shape_size(i == 0 ? net->in : net->layers[i - 1].out);
        f->acts[i] = garbage(n);
        f->grads[i] = garbage(n);
        f->masks[i] = NULL;
        if (i == net->n_layers || net->layers[i].kind != DT_DROPOUT)
            continue;
        f->masks[i] = malloc(n * sizeof(float));
        for (size_t s = 0; s < M; s++)
            dt_dropout_mask(3, 1, (int64_t)s, i, net->layers[i].drop, f->masks[i] + s * (n / M),
                            n / M);
    }
    fill(f->acts[0], M * dt_shape_size(in), 0.37);
    f->weights = f->grads[net->n_layers];
    fill(f->weights, M * (size_t)net->classes, 0.7);
}

static void teardown(fixture *f) {
    for (int i = 0; i <= f->net->n_layers; i++) {
        free(f->acts[i]);
        free(f->grads[i]);
        free(f->masks[i]);
    }
    free(f->params);
    free(f->dparams);
    dt_net_free(&f->net);
}

static double loss(fixture *f) {
    double sum = 0;
    dt_ref_net_forward_f64(f->net, M, f->params, f->masks, f->acts);
    for (size_t i = 0; i < M * (size_t)f->net->classes; i++)
        sum += f->weights[i] * f->acts[f->net->n_layers][i];
    return sum;
}

/* The derivative by x[0..n), about 200 of them, against d. */
static int check(fixture *f, double *x, const double *d, size_t n) {
    const double h = 1e-6;
    size_t step = n > 200 ? n / 200 : 1;
    int wrong = 0;
    for (size_t i = 0; i < n; i += step) {
        double keep = x[i];
        x[i] = keep + h;
        double up = loss(f);
        x[i] = keep - h;
        double down = loss(f);
        x[i] = keep;
        double slope = (up - down) / (2 * h);
        wrong += !(fabs(slope - d[i]) <= 1e-7 + 1e-6 * fabs(slope));
    }
    return wrong;
}

static void test_spec(const char *spec, dt_shape in) {
    fixture f = {0};
    setup(&f, spec, in);
    size_t n_in = M * dt_shape_size(in), n_params = f.net->n_params;
    loss(&f);
    dt_ref_net_backward_f64(f.net, M, f.params, f.masks, f.acts, f.grads, f.dparams);
    int by_input = check(&f, f.acts[0], f.grads[0], n_in);
    int by_params = check(&f, f.params, f.dparams, n_params);
    if (!T_CHECK(by_input == 0) || !T_CHECK(by_params == 0))
        fprintf(stderr, "    %s: %d wrong by input, %d by parameter\n", spec, by_input, by_params);
    T_CHECK(f.grads[0][n_in] == 1e30 && f.dparams[n_params] == 1e30);

    /* without the input gradient the rest has the same bits */
    double *again = garbage(n_params), *dx = f.grads[0];
    f.grads[0] = NULL;
    loss(&f);
    dt_ref_net_backward_f64(f.net, M, f.params, f.masks, f.acts, f.grads, again);
    T_CHECK(memcmp(again, f.dparams, n_params * sizeof *again) == 0);
    f.grads[0] = dx;
    free(again);
    teardown(&f);
}

/* What central differences cannot see: ties, and values that are no numbers. */
static void test_pool_corners(void) {
    dt_net *net;
    T_OK(dt_net_parse("pool 2; pool 3 stride 1 pad 1; fc 1", (dt_shape){1, 4, 4}, &net));
    const dt_layer *two = &net->layers[0], *padded = &net->layers[1];
    const float x[16] = {1, 1, -5, -5, 1, 1, -4, -5, 0, NAN, 2, 3, 7, 8, 3, 3};
    const float dy[4] = {1, 2, 4, 8};
    float y[4], dx[16];
    dt_ref_pool_forward_f32(two, 1, x, y);
    T_CHECK(y[0] == 1 && y[1] == -4 && isnan(y[2]) && y[3] == 3);
    dt_ref_pool_backward_f32(two, 1, x, dy, dx);
    for (int i = 0; i < 16; i++) /* the first of equals, and the NaN */
        T_CHECK(dx[i] == (i == 0 ? 1 : i == 6 ? 2 : i == 9 ? 4 : i == 11 ? 8 : 0));
    const float low[4] = {-3, -2, -7, -9}; /* padding is not a 0 that wins */
    dt_ref_pool_forward_f32(padded, 1, low, y);
    T_CHECK(y[0] == -2 && y[3] == -2);
    dt_net_free(&net);
}

static void test_relu_corners(void) {
    dt_net *net;
    T_OK(dt_net_parse("relu; fc 1", (dt_shape){1, 1, 4}, &net));
    const float x[4] = {0.0f, -1.0f, NAN, 2.0f}, dy[4] = {1, 1, 1, 1};
    float y[4], dx[4];
    dt_ref_relu_forward_f32(&net->layers[0], 1, x, y);
    T_CHECK(y[0] == 0 && y[1] == 0 && isnan(y[2]) && y[3] == 2);
    dt_ref_relu_backward_f32(&net->layers[0], 1, x, dy, dx);
    T_CHECK(dx[0] == 0 && dx[1] == 0 && dx[3] == 1);
    dt_net_free(&net);
}

int main(void) {
    T_BEGIN(300);
    static const char *const specs[] = {
        "fc 4",
        "conv 3 3; fc 2",
        "conv 3 3 pad 0; fc 2",
        "conv 2 5 stride 2 pad 1; fc 2",
        "conv 2 2; fc 2",
        "conv 4 1 stride 3; fc 2",
        "conv 2 3 stride 2 pad 2; fc 2",
        "conv 2 5 pad 4; fc 2",
        "pool 2; fc 2",
        "pool 3 stride 1 pad 1; fc 2",
        "pool 3 stride 2; fc 2",
        "pool 2 avg; fc 2",
        "pool 3 avg stride 2 pad 1; fc 2",
        "pool 3 avg stride 1; fc 2",
        "relu; fc 2",
        "dropout 0.4; fc 2",
        "fc 5; relu; dropout 0.5; fc 3",
        "conv 4 3; relu; pool 2; conv 5 3 pad 0; relu; fc 6; relu; fc 3",
        "pool 2 avg; conv 3 3; dropout 0.2; pool 2 pad 1 stride 1; fc 4; conv 3 1; fc 2",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        test_spec(specs[i], (dt_shape){2, 7, 8});
        test_spec(specs[i], (dt_shape){1, 9, 6});
    }
    test_pool_corners();
    test_relu_corners();
    return t_finish();
}
