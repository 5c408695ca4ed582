/* tests/simdev/probe_dnn.c - the plugin's convolutions on the simulated device against plain loops.
 *
 * Forward with bias, with and without ReLU, and both gradients; odd sizes, strides and paddings.
 * Also that the engine with the "not deterministic" note is never chosen.
 */
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "model/cuda_dnn.h"
#include "tests/t.h"

typedef struct { /* sizes of one case and its arrays in double, channels first */
    dt_layer layer;
    int m;
    size_t nx, nw, ny;
    double *x, *w, *y, *bias;
} problem;

static double *doubles(size_t n) {
    double *p = calloc(n, sizeof *p);
    if (!p)
        abort();
    return p;
}

static void fill(double *p, size_t n) {
    static uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)((double)(state >> 8) * 0x1p-23 - 1);
    }
}

static problem make(int m, dt_shape in, int channels, int kernel, int stride, int pad) {
    dt_shape out = {channels, (in.h + 2 * pad - kernel) / stride + 1,
                    (in.w + 2 * pad - kernel) / stride + 1};
    problem p = {.layer = {.kind = DT_CONV, .name = "conv1", .in = in, .out = out}, .m = m};
    p.layer.kernel = kernel, p.layer.stride = stride, p.layer.pad = pad;
    p.nx = (size_t)m * dt_shape_size(in), p.ny = (size_t)m * dt_shape_size(out);
    p.nw = (size_t)(channels * in.c * kernel * kernel);
    p.x = doubles(p.nx), p.w = doubles(p.nw), p.y = doubles(p.ny);
    p.bias = doubles((size_t)channels);
    fill(p.x, p.nx), fill(p.w, p.nw), fill(p.y, p.ny), fill(p.bias, (size_t)channels);
    return p;
}

/* Every product of the convolution: forward y += x w, data x += w y, filter w += x y. */
static void truth(const problem *p, conv_pass pass, double *x, double *w, double *y) {
    const dt_layer *l = &p->layer;
    const int k = l->kernel;
    for (int n = 0; n < p->m; n++)
        for (int o = 0; o < l->out.c; o++)
            for (int i = 0; i < l->out.h * l->out.w; i++)
                for (int t = 0; t < l->in.c * k * k; t++) {
                    int row = i / l->out.w * l->stride - l->pad + t / k % k;
                    int column = i % l->out.w * l->stride - l->pad + t % k;
                    if (row < 0 || row >= l->in.h || column < 0 || column >= l->in.w)
                        continue;
                    int at = ((n * l->in.c + t / k / k) * l->in.h + row) * l->in.w + column;
                    int weight = o * l->in.c * k * k + t;
                    int out = (n * l->out.c + o) * l->out.h * l->out.w + i;
                    if (pass == CONV_FORWARD)
                        y[out] += x[at] * w[weight];
                    else if (pass == CONV_DATA)
                        x[at] += w[weight] * y[out];
                    else
                        w[weight] += x[at] * y[out];
                }
}

/* Index of element i of [n][c][h][w] in the order with the channel last. */
static size_t turned(size_t i, int c, int h, int w) {
    size_t column = i % (size_t)w, row = i / (size_t)w % (size_t)h;
    size_t channel = i / (size_t)(w * h) % (size_t)c, n = i / (size_t)(w * h * c);
    return ((n * (size_t)h + row) * (size_t)w + column) * (size_t)c + channel;
}

static float *upload(const double *v, size_t n, int c, int h, int w) {
    float *host = malloc(n * sizeof *host), *device = NULL;
    for (size_t i = 0; i < n; i++)
        host[turned(i, c, h, w)] = (float)v[i];
    T_CHECK(cudaMalloc((void **)&device, n * sizeof *host) == cudaSuccess);
    T_CHECK(cudaMemcpy(device, host, n * sizeof *host, cudaMemcpyHostToDevice) == cudaSuccess);
    free(host);
    return device;
}

static void compare(const float *device, const double *want, size_t n, int c, int h, int w) {
    float *host = malloc(n * sizeof *host);
    double worst = 0;
    T_CHECK(cudaMemcpy(host, device, n * sizeof *host, cudaMemcpyDeviceToHost) == cudaSuccess);
    for (size_t i = 0; i < n; i++) {
        double off = fabs(host[turned(i, c, h, w)] - want[i]);
        worst = off > worst ? off : worst;
    }
    T_CHECK(worst < 2e-5);
    free(host);
}

static void run(const conv_place *place, const conv_spec *spec, const conv_pointers *at) {
    char text[CONV_TEXT_MAX];
    conv_plan *plan = NULL;
    conv_pointers pointers = *at;
    T_OK(conv_choose(place, spec, text));
    T_CHECK(strcmp(text, "0") == 0);
    T_OK(conv_plan_make(place, spec, text, &plan));
    if (!plan)
        return;
    T_CHECK(cudaMalloc(&pointers.workspace, conv_plan_workspace(plan)) == cudaSuccess);
    T_OK(conv_bind(plan, &pointers));
    T_OK(conv_run(plan, place->handle));
    T_CHECK(cudaDeviceSynchronize() == cudaSuccess);
    cudaFree(pointers.workspace);
    conv_plan_free(&plan);
}

static void finish_forward(const problem *p, bool relu, double *y) {
    size_t pixels = (size_t)(p->layer.out.h * p->layer.out.w);
    for (size_t i = 0; i < p->ny; i++) {
        y[i] += p->bias[i / pixels % (size_t)p->layer.out.c];
        y[i] = relu && y[i] < 0 ? 0 : y[i];
    }
}

static void check(const conv_place *place, const problem *p, conv_pass pass, bool relu) {
    const dt_layer *l = &p->layer;
    const int k = l->kernel;
    conv_spec spec = {.layer = l, .m = p->m, .relu = relu, .pass = pass};
    conv_pointers at = {.x = upload(p->x, p->nx, l->in.c, l->in.h, l->in.w),
                        .w = upload(p->w, p->nw, l->in.c, k, k),
                        .y = upload(p->y, p->ny, l->out.c, l->out.h, l->out.w),
                        .bias = upload(p->bias, (size_t)l->out.c, 1, 1, 1)};
    double *x = doubles(p->nx), *w = doubles(p->nw), *y = doubles(p->ny);
    truth(p, pass, pass == CONV_DATA ? x : p->x, pass == CONV_FILTER ? w : p->w,
          pass == CONV_FORWARD ? y : p->y);
    run(place, &spec, &at);
    if (pass == CONV_FORWARD) {
        finish_forward(p, relu, y);
        compare(at.y, y, p->ny, l->out.c, l->out.h, l->out.w);
    } else if (pass == CONV_DATA) {
        compare(at.x, x, p->nx, l->in.c, l->in.h, l->in.w);
    } else {
        compare(at.w, w, p->nw, l->in.c, k, k);
    }
    free(x), free(w), free(y);
    cudaFree(at.x), cudaFree(at.w), cudaFree(at.y), cudaFree(at.bias);
}

int main(void) {
    T_BEGIN(60);
    conv_place place = {0};
    T_CHECK(cudnnCreate(&place.handle) == CUDNN_STATUS_SUCCESS);
    problem problems[] = {
        make(3, (dt_shape){1, 9, 7}, 4, 3, 1, 1), make(2, (dt_shape){3, 8, 8}, 5, 5, 1, 0),
        make(2, (dt_shape){2, 11, 10}, 3, 3, 2, 1), make(1, (dt_shape){4, 6, 6}, 6, 1, 1, 0)};
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        problem *p = &problems[i];
        check(&place, p, CONV_FORWARD, false);
        check(&place, p, CONV_FORWARD, true);
        check(&place, p, CONV_DATA, false);
        check(&place, p, CONV_FILTER, false);
        free(p->x), free(p->w), free(p->y), free(p->bias);
    }
    conv_spec spec = {.layer = &problems[0].layer, .m = 3, .precision = DT_BF16};
    char text[CONV_TEXT_MAX];
    snprintf(problems[0].layer.name, sizeof problems[0].layer.name, "conv1");
    T_FAILS(conv_choose(&place, &spec, text), DT_EDEVICE, "the forward of conv1 in bf16"); /* 7.5 */
    T_FAILS(conv_choose(&place, &spec, text), DT_EDEVICE, "another --precision, or --device cpu");
    cudnnDestroy(place.handle);
    return t_finish();
}
