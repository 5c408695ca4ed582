/* tests/simdev/dnn_run.c - a convolution and its two gradients in float, by lowering to a product;
 * tensors of bfloat16 are widened before and rounded after.
 *
 * Any strides are taken (channels first or last): samples are packed, computed, and written back.
 * Slow but plain; what it computes is compared with the trainer's own reference in tests. */
#include "dnn.h"

#include <stdlib.h>
#include "gemm.h"
#include "rounding.h"

typedef struct {
    int64_t c, h, w, k, r, s, oh, ow;
    size_t pixels, rows; /* oh * ow, c * r * s */
} shape;

static shape shape_of(const dnn_graph *g) {
    shape z = {.c = g->x.dim[1],
               .h = g->x.dim[2],
               .w = g->x.dim[3],
               .k = g->w.dim[0],
               .r = g->w.dim[2],
               .s = g->w.dim[3],
               .oh = g->y.dim[2],
               .ow = g->y.dim[3]};
    z.pixels = (size_t)(z.oh * z.ow);
    z.rows = (size_t)(z.c * z.r * z.s);
    return z;
}

static size_t extent(const dnn_tensor *t) {
    int64_t last = 0;
    for (int i = 0; i < t->n_dims; i++)
        last += (t->dim[i] - 1) * t->stride[i];
    return (size_t)(last + 1);
}

static size_t bytes_of(const dnn_tensor *t) {
    return extent(t) * (t->type == CUDNN_DATA_BFLOAT16 ? 2 : 4);
}

static float *floats(size_t n) {
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

/* Element n of the first dimension, [c][h][w] packed, from or to where its strides say. */
static void pack(const dnn_tensor *t, int64_t n, const float *from, float *to) {
    for (int64_t c = 0; c < t->dim[1]; c++)
        for (int64_t h = 0; h < t->dim[2]; h++)
            for (int64_t w = 0; w < t->dim[3]; w++)
                *to++ =
                    from[n * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3]];
}
static void unpack(const dnn_tensor *t, int64_t n, const float *from, float *to) {
    for (int64_t c = 0; c < t->dim[1]; c++)
        for (int64_t h = 0; h < t->dim[2]; h++)
            for (int64_t w = 0; w < t->dim[3]; w++)
                to[n * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3]] =
                    *from++;
}

/* Where output pixel (oy, ox) meets tap (r, s): an index into a packed channel; -1: in the pad. */
static int64_t meet(const dnn_graph *g, const shape *z, int64_t oy, int64_t ox, int64_t r,
                    int64_t s) {
    int64_t y = oy * g->stride[0] - g->pad[0] + r * g->dilation[0];
    int64_t x = ox * g->stride[1] - g->pad[1] + s * g->dilation[1];
    return y >= 0 && y < z->h && x >= 0 && x < z->w ? y * z->w + x : -1;
}

/* columns [c * r * s][pixels] of a packed sample; with back: add them to the sample instead. */
static void lower(const dnn_graph *g, const shape *z, float *sample, float *columns, bool back) {
    for (int64_t c = 0; c < z->c; c++)
        for (int64_t r = 0; r < z->r; r++)
            for (int64_t s = 0; s < z->s; s++)
                for (int64_t oy = 0; oy < z->oh; oy++)
                    for (int64_t ox = 0; ox < z->ow; ox++, columns++) {
                        int64_t at = meet(g, z, oy, ox, r, s);
                        float *pixel = sample + c * z->h * z->w + (at < 0 ? 0 : at);
                        if (back && at >= 0)
                            *pixel += *columns;
                        else if (!back)
                            *columns = at < 0 ? 0 : *pixel;
                    }
}

static float activate(const dnn_graph *g, float v) {
    if (!g->relu || v > 0)
        return v;
    return v != v && g->relu_keeps_nan ? v : 0;
}

static float *packed_filter(const dnn_graph *g, const shape *z, const float *w) {
    float *packed = floats((size_t)z->k * z->rows);
    for (int64_t k = 0; k < z->k; k++)
        pack(&g->w, k, w, packed + (size_t)k * z->rows);
    return packed;
}

static void forward(const dnn_graph *g, const float *x, const float *w, const float *bias,
                    float *y) {
    shape z = shape_of(g);
    float *filter = packed_filter(g, &z, w), *sample = floats((size_t)(z.c * z.h * z.w));
    float *columns = floats(z.rows * z.pixels), *out = floats((size_t)z.k * z.pixels);
    for (int64_t n = 0; n < g->x.dim[0]; n++) {
        pack(&g->x, n, x, sample);
        lower(g, &z, sample, columns, false);
        memset(out, 0, (size_t)z.k * z.pixels * sizeof *out);
        sim_gemm((size_t)z.k, z.pixels, z.rows, filter, z.rows, 1, columns, out);
        for (size_t i = 0; i < (size_t)z.k * z.pixels; i++)
            out[i] = activate(g, out[i] + (bias ? bias[i / z.pixels] : 0));
        unpack(&g->y, n, out, y);
    }
    free(filter), free(sample), free(columns), free(out);
}

static void data_gradient(const dnn_graph *g, float *dx, const float *w, const float *dy) {
    shape z = shape_of(g);
    size_t n_sample = (size_t)(z.c * z.h * z.w);
    float *filter = packed_filter(g, &z, w), *sample = floats(n_sample);
    float *columns = floats(z.rows * z.pixels), *out = floats((size_t)z.k * z.pixels);
    for (int64_t n = 0; n < g->x.dim[0]; n++) {
        pack(&g->y, n, dy, out);
        memset(columns, 0, z.rows * z.pixels * sizeof *columns);
        sim_gemm(z.rows, z.pixels, (size_t)z.k, filter, 1, z.rows, out, columns);
        memset(sample, 0, n_sample * sizeof *sample);
        lower(g, &z, sample, columns, true);
        unpack(&g->x, n, sample, dx);
    }
    free(filter), free(sample), free(columns), free(out);
}

static void filter_gradient(const dnn_graph *g, const float *x, float *dw, const float *dy) {
    shape z = shape_of(g);
    float *sum = floats((size_t)z.k * z.rows), *sample = floats((size_t)(z.c * z.h * z.w));
    float *columns = floats(z.rows * z.pixels), *turned = floats(z.rows * z.pixels);
    float *out = floats((size_t)z.k * z.pixels);
    for (int64_t n = 0; n < g->x.dim[0]; n++) {
        pack(&g->x, n, x, sample);
        pack(&g->y, n, dy, out);
        lower(g, &z, sample, columns, false);
        for (size_t i = 0; i < z.rows; i++)
            for (size_t p = 0; p < z.pixels; p++)
                turned[p * z.rows + i] = columns[i * z.pixels + p];
        sim_gemm((size_t)z.k, z.rows, z.pixels, out, z.pixels, 1, turned, sum);
    }
    for (int64_t k = 0; k < z.k; k++)
        unpack(&g->w, k, sum + (size_t)k * z.rows, dw);
    free(sum), free(sample), free(columns), free(turned), free(out);
}

/* A tensor's values as floats, in memory of the caller's; those of a result are written back. */
static float *open_tensor(const dnn_job *j, const dnn_tensor *t, void *device, bool result,
                          const char *name, void **bytes) {
    *bytes = sim_use(device, bytes_of(t), result ? SIM_WRITE : SIM_READ, name);
    return result ? floats(extent(t))
                  : sim_widened(*bytes, extent(t), t->type == CUDNN_DATA_BFLOAT16, j->is_tf32);
}

static void write_back(const dnn_tensor *t, const float *values, void *bytes) {
    for (size_t i = 0; i < extent(t); i++)
        if (t->type == CUDNN_DATA_BFLOAT16)
            ((uint16_t *)bytes)[i] = sim_to_bf16(values[i]);
        else
            ((float *)bytes)[i] = values[i];
}

int dnn_run(void *args) {
    const dnn_job *j = args;
    const dnn_graph *g = &j->graph;
    void *bytes[3], *bias_bytes;
    float *bias = NULL;
    if (j->workspace_bytes) /* two plans that share it must be in order */
        sim_use(j->workspace, j->workspace_bytes, SIM_WRITE, "cuDNN's workspace");
    float *x = open_tensor(j, &g->x, j->x, g->pass == DNN_DATA, "x", &bytes[0]);
    float *w = open_tensor(j, &g->w, j->w, g->pass == DNN_FILTER, "w", &bytes[1]);
    float *y = open_tensor(j, &g->y, j->y, g->pass == DNN_FORWARD, "y", &bytes[2]);
    if (g->has_bias) {
        bias_bytes = sim_use(j->bias, bytes_of(&g->bias), SIM_READ, "bias");
        bias = sim_widened(bias_bytes, extent(&g->bias), g->bias.type == CUDNN_DATA_BFLOAT16, 0);
    }
    if (g->pass == DNN_FORWARD) {
        forward(g, x, w, bias, y);
        write_back(&g->y, y, bytes[2]);
    } else if (g->pass == DNN_DATA) {
        data_gradient(g, x, w, y);
        write_back(&g->x, x, bytes[0]);
    } else {
        filter_gradient(g, x, w, y);
        write_back(&g->w, w, bytes[1]);
    }
    free(x), free(w), free(y), free(bias);
    return SIM_DONE;
}
