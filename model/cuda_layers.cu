/* model/cuda_layers.cu - input, pooling, ReLU, dropout, bias and loss: one thread for one value,
 * mostly.
 *
 * The formulas are those of ref_layers.inc.h, loss.c and dropout.c. Indices are ints: the plan sees
 * to it that no tensor has 2^31 values. */
#include "model/cuda_device.h"

/* A NaN stays one. */
static __device__ float relu(float v) {
    return v <= 0.0f ? 0.0f : v;
}

template <typename T>
static __global__ void gather_kernel(const cuda_control *k, const float *table, int m, int c,
                                     int n_points, T *x) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x), pixels = c * n_points;
    if (at >= m * pixels)
        return;
    int i = at / pixels, rest = at % pixels, point = rest / c, channel = rest % c;
    float v = 0.0f;
    if (sample_at(k, m, i) >= 0) {
        const uint8_t *image = k->work.images + (size_t)(k->work.row * m + i) * pixels;
        v = table[image[channel * n_points + point]];
    }
    put(x, at, v);
}

extern "C" cudaError_t cuda_gather(bool bf16, const cuda_control *control, const float *table,
                                   int m, dt_shape in, void *x, cudaStream_t stream) {
    int n_points = in.h * in.w, n = m * in.c * n_points;
    FOR_TYPE(bf16, gather_kernel, blocks(n, THREADS), THREADS, stream,
             (control, table, m, in.c, n_points, (float *)x),
             (control, table, m, in.c, n_points, (bf16_t *)x));
}

template <typename T>
static __global__ void bias_kernel(const float *pre, const T *bias, T *y, int n, int columns,
                                   bool with_relu) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (at >= n)
        return;
    float v = pre[at] + get(bias, at % columns);
    put(y, at, with_relu ? relu(v) : v);
}

extern "C" cudaError_t cuda_bias(bool bf16, const float *pre, const void *bias, void *y, int rows,
                                 int columns, bool with_relu, cudaStream_t stream) {
    int n = rows * columns;
    FOR_TYPE(bf16, bias_kernel, blocks(n, THREADS), THREADS, stream,
             (pre, (const float *)bias, (float *)y, n, columns, with_relu),
             (pre, (const bf16_t *)bias, (bf16_t *)y, n, columns, with_relu));
}

struct pool_shape {
    int m, c, h, w, oh, ow, kernel, stride, pad;
    bool average, flag; /* flag: relu forward, mask backward */
};

static pool_shape shape_of(const dt_layer *l, int m, bool flag) {
    return {m,         l->in.c,   l->in.h, l->in.w,    l->out.h, l->out.w,
            l->kernel, l->stride, l->pad,  l->average, flag};
}

/* Padding never wins, and counts as zeros in the mean. */
template <typename T>
static __global__ void pool_kernel(pool_shape p, const T *x, T *y, uint16_t *arg) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (at >= p.m * p.oh * p.ow * p.c)
        return;
    int channel = at % p.c, column = at / p.c % p.ow, row = at / p.c / p.ow % p.oh;
    int i = at / p.c / p.ow / p.oh, place = -1;
    float sum = 0.0f, best = 0.0f;
    for (int u = 0; u < p.kernel; u++)
        for (int v = 0; v < p.kernel; v++) {
            int r = row * p.stride - p.pad + u, s = column * p.stride - p.pad + v;
            if (r < 0 || r >= p.h || s < 0 || s >= p.w)
                continue;
            float value = get(x, ((i * p.h + r) * p.w + s) * p.c + channel);
            sum += value;
            if (place < 0 || value > best || value != value) {
                place = u * p.kernel + v;
                best = value;
            }
        }
    if (p.average)
        best = sum / (float)(p.kernel * p.kernel);
    else
        arg[at] = (uint16_t)place;
    put(y, at, p.flag ? relu(best) : best);
}

extern "C" cudaError_t cuda_pool(bool bf16, const dt_layer *l, int m, bool with_relu, const void *x,
                                 void *y, uint16_t *arg, cudaStream_t stream) {
    pool_shape p = shape_of(l, m, with_relu);
    int n = m * p.oh * p.ow * p.c;
    FOR_TYPE(bf16, pool_kernel, blocks(n, THREADS), THREADS, stream,
             (p, (const float *)x, (float *)y, arg), (p, (const bf16_t *)x, (bf16_t *)y, arg));
}

/* Gathers: one thread for each value of dx looks at the windows that it is in. */
template <typename T>
static __global__ void pool_backward_kernel(pool_shape p, const T *dy, const T *y,
                                            const uint16_t *arg, T *dx) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (at >= p.m * p.h * p.w * p.c)
        return;
    int channel = at % p.c, s = at / p.c % p.w + p.pad, r = at / p.c / p.w % p.h + p.pad;
    int i = at / p.c / p.w / p.h;
    int row0 = r < p.kernel ? 0 : (r - p.kernel) / p.stride + 1;
    int column0 = s < p.kernel ? 0 : (s - p.kernel) / p.stride + 1;
    float sum = 0.0f;
    for (int row = row0; row < p.oh && row * p.stride <= r; row++)
        for (int column = column0; column < p.ow && column * p.stride <= s; column++) {
            int out = ((i * p.oh + row) * p.ow + column) * p.c + channel;
            int place = (r - row * p.stride) * p.kernel + s - column * p.stride;
            if (!p.average && arg[out] != place)
                continue;
            float d = p.flag && get(y, out) <= 0.0f ? 0.0f : get(dy, out);
            sum += p.average ? d / (float)(p.kernel * p.kernel) : d;
        }
    put(dx, at, sum);
}

extern "C" cudaError_t cuda_pool_backward(bool bf16, const dt_layer *l, int m, bool mask,
                                          const void *dy, const void *y, const uint16_t *arg,
                                          void *dx, cudaStream_t stream) {
    pool_shape p = shape_of(l, m, mask);
    int n = m * p.h * p.w * p.c;
    FOR_TYPE(bf16, pool_backward_kernel, blocks(n, THREADS), THREADS, stream,
             (p, (const float *)dy, (const float *)y, arg, (float *)dx),
             (p, (const bf16_t *)dy, (const bf16_t *)y, arg, (bf16_t *)dx));
}

template <typename T> static __global__ void relu_kernel(T *x, int n) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (at < n)
        put(x, at, relu(get(x, at)));
}

extern "C" cudaError_t cuda_relu(bool bf16, void *x, int n, cudaStream_t stream) {
    FOR_TYPE(bf16, relu_kernel, blocks(n, THREADS), THREADS, stream, ((float *)x, n),
             ((bf16_t *)x, n));
}

template <typename T> static __global__ void relu_backward_kernel(T *dy, const T *y, int n) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (at < n && get(y, at) <= 0.0f)
        put(dy, at, 0.0f);
}

extern "C" cudaError_t cuda_relu_backward(bool bf16, void *dy, const void *y, int n,
                                          cudaStream_t stream) {
    FOR_TYPE(bf16, relu_backward_kernel, blocks(n, THREADS), THREADS, stream,
             ((float *)dy, (const float *)y, n), ((bf16_t *)dy, (const bf16_t *)y, n));
}

enum { MAX_LAYERS = 1024, PURPOSE_DROPOUT = 4 }; /* of dropout.c and io/rng.h */

/* A thread for four elements in the order of the masks, which is (channel, point). */
template <typename T>
static __global__ void dropout_kernel(const cuda_control *k, uint64_t seed, int layer,
                                      uint64_t dropped, float kept, int m, int c, int n_points,
                                      T *x) {
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x), n = c * n_points, groups = (n + 3) / 4;
    if (at >= m * groups)
        return;
    int i = at / groups, group = at % groups;
    int64_t sample = sample_at(k, m, i);
    if (sample < 0)
        return;
    uint32_t name[4], bits[4];
    uint64_t index = (uint64_t)sample * MAX_LAYERS + (uint64_t)layer;
    philox((uint32_t)index, (uint32_t)(index >> 32), k->work.epoch, PURPOSE_DROPOUT, (uint32_t)seed,
           (uint32_t)(seed >> 32), name);
    philox((uint32_t)group, 0, name[2], name[3], name[0], name[1], bits);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        int e = group * 4 + j;
        if (e < n) {
            int place = i * n + e % n_points * c + e / n_points;
            put(x, place, get(x, place) * (bits[j] < dropped ? 0.0f : kept));
        }
    }
}

extern "C" cudaError_t cuda_dropout(bool bf16, const cuda_control *control, uint64_t seed,
                                    int layer, float p, int m, dt_shape shape, void *x,
                                    cudaStream_t stream) {
    int n_points = shape.h * shape.w, n = m * ((shape.c * n_points + 3) / 4);
    uint64_t dropped = (uint64_t)((double)p * 4294967296.0);
    float kept = 1.0f / (1.0f - p);
    FOR_TYPE(bf16, dropout_kernel, blocks(n, THREADS), THREADS, stream,
             (control, seed, layer, dropped, kept, m, shape.c, n_points, (float *)x),
             (control, seed, layer, dropped, kept, m, shape.c, n_points, (bf16_t *)x));
}

enum { TILE_COLUMNS = 32, TILE_ROWS = 8 };

/* A block for a slice of rows and 32 columns: eight sums a column, added up in their order. */
template <typename T>
static __global__ void bias_gradient_kernel(T *dy, const T *y, float *partial, int rows,
                                            int columns) {
    __shared__ float sums[TILE_ROWS][TILE_COLUMNS];
    int column = (int)(blockIdx.y * TILE_COLUMNS + threadIdx.x);
    int from = (int)blockIdx.x * CUDA_SLICE_ROWS;
    int to = from + CUDA_SLICE_ROWS < rows ? from + CUDA_SLICE_ROWS : rows;
    float sum = 0.0f;
    for (int r = from + (int)threadIdx.y; column < columns && r < to; r += TILE_ROWS) {
        int at = r * columns + column;
        float d = get(dy, at);
        if (y && get(y, at) <= 0.0f) {
            d = 0.0f;
            put(dy, at, 0.0f);
        }
        sum += d;
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns)
        return;
    for (int j = 1; j < TILE_ROWS; j++)
        sum += sums[j][threadIdx.x];
    partial[(int)blockIdx.x * columns + column] = sum;
}

extern "C" cudaError_t cuda_bias_gradient(bool bf16, void *dy, const void *y, float *partial,
                                          int rows, int columns, cudaStream_t stream) {
    dim3 grid(blocks(rows, CUDA_SLICE_ROWS), blocks(columns, TILE_COLUMNS));
    dim3 block(TILE_COLUMNS, TILE_ROWS);
    FOR_TYPE(bf16, bias_gradient_kernel, grid, block, stream,
             ((float *)dy, (const float *)y, partial, rows, columns),
             ((bf16_t *)dy, (const bf16_t *)y, partial, rows, columns));
}

static __device__ void add(int64_t *sum, int64_t v) {
    atomicAdd((unsigned long long *)sum, (unsigned long long)v);
}

enum { LOSS_LIMIT = 1 << 14 }; /* DT_LOSS_LIMIT of loss.h */

/* One thread for a row, which is short. Integers are added up, so their order is free. */
template <typename T>
static __global__ void loss_kernel(const cuda_control *k, cuda_loss_args a, T *dlogits) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), n = a.classes, answer = 0;
    if (i >= a.m)
        return;
    float *z = a.logits + i * n, total = 0.0f, mean = 0.0f;
    for (int j = 0; j < n; j++) {
        z[j] += a.bias[j];
        answer = z[j] > z[answer] ? j : answer;
    }
    bool weighs = sample_at(k, a.m, i) >= 0;
    int label = weighs ? k->work.labels[k->work.row * a.m + i] : 0;
    float top = z[answer], rest = a.smoothing / (float)n;
    for (int j = 0; j < n; j++) {
        total += expf(z[j] - top);
        mean += (top - z[j]) / (float)n;
    }
    for (int j = 0; dlogits && j < n; j++) {
        float target = rest + (j == label ? 1.0f - a.smoothing : 0.0f);
        put(dlogits, i * n + j, weighs ? expf(z[j] - top) / total - target : 0.0f);
    }
    if (!weighs)
        return;
    float loss = logf(total) + (1.0f - a.smoothing) * (top - z[label]) + a.smoothing * mean;
    bool good = loss < (float)LOSS_LIMIT; /* false for NaN */
    add(&a.head[good ? DT_SUM_LOSS : DT_SUM_BAD],
        good ? __double2ll_rn((double)loss * (double)((int64_t)1 << DT_LOSS_BITS)) : 1);
    add(&a.head[DT_SUM_COUNT], 1);
    if (answer == label)
        add(&a.head[DT_SUM_CORRECT], 1);
    if (a.confusion)
        add(&a.confusion[label * n + answer], 1);
}

extern "C" cudaError_t cuda_loss(bool bf16, const cuda_control *control, const cuda_loss_args *args,
                                 cudaStream_t stream) {
    FOR_TYPE(bf16, loss_kernel, blocks(args->m, 32), 32, stream,
             (control, *args, (float *)args->dlogits), (control, *args, (bf16_t *)args->dlogits));
}
