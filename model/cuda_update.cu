/* model/cuda_update.cu - from a micro-batch's gradients to new parameters, and the word of control
 * between them.
 *
 * Gradients become integers as in fixed.c and are added up over micro-batches; after the sum over
 * ranks, the norm, one decision and the optimizer of optim.c follow, all on the device. The algebra
 * is optim.c's, compiled without contraction of multiply and add. */
#include <cuda_bf16.h>
#include "model/cuda_kernels.h"

enum { THREADS = 256 };

static unsigned blocks(size_t n, size_t threads) {
    return (unsigned)((n + threads - 1) / threads);
}

/* The device's clock, in ns; it ticks every microsecond or oftener. */
static __device__ unsigned long long now(void) {
    unsigned long long t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
}

static __global__ void begin_kernel(cuda_control *k, cuda_work work, int64_t *head) {
    k->work = work;
    k->first = work.reset;
    k->at[DT_STAMP_BEGAN] = now();
    k->at[DT_STAMP_COMPUTED] = 0;
    if (!head || !work.reset)
        return;
    for (int i = 0; i < CUDA_HEAD; i++)
        head[i] = 0;
    head[DT_SUM_BAD] = k->params_bad;
    head[CUDA_VOTES] = work.vote;
}

extern "C" cudaError_t cuda_begin(cuda_control *control, const cuda_work *work, int64_t *head,
                                  cudaStream_t stream) {
    begin_kernel<<<1, 1, 0, stream>>>(control, *work, head);
    return cudaPeekAtLastError();
}

static __global__ void stamp_kernel(cuda_control *k) {
    k->at[DT_STAMP_COMPUTED] = now();
}

extern "C" cudaError_t cuda_stamp(cuda_control *control, cudaStream_t stream) {
    stamp_kernel<<<1, 1, 0, stream>>>(control);
    return cudaPeekAtLastError();
}

static __global__ void advance_kernel(cuda_control *k) {
    k->work.row++;
    k->first = 0;
}

extern "C" cudaError_t cuda_advance(cuda_control *control, cudaStream_t stream) {
    advance_kernel<<<1, 1, 0, stream>>>(control);
    return cudaPeekAtLastError();
}

/* Where value i of the flat array lies in a segment's copies. */
static __device__ int place_of(const cuda_segment &t, int i) {
    int inner = t.c * t.s, o = i / inner, rest = i % inner;
    return o * inner + rest % t.s * t.c + rest / t.s;
}

static __device__ float gradient_of(const cuda_segment &t, int i) {
    if (t.slices == 0)
        return t.is_bf16 ? __bfloat162float(((const __nv_bfloat16 *)t.gradient)[place_of(t, i)])
                         : ((const float *)t.gradient)[place_of(t, i)];
    float sum = 0.0f;
    for (int slice = 0; slice < t.slices; slice++)
        sum += ((const float *)t.gradient)[slice * t.n + i];
    return sum;
}

/* A row of blocks for each segment. */
static __global__ void accumulate_kernel(const cuda_control *k, const cuda_segment *table,
                                         cuda_gradient to) {
    const cuda_segment t = table[blockIdx.y];
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= t.n)
        return;
    float g = gradient_of(t, i);
    bool good = to.floats ? isfinite(g) : fabsf(g) < to.limit; /* false for NaN */
    size_t at = t.at + (size_t)i;
    if (to.floats) {
        to.floats[at] = k->first ? g : to.floats[at] + g;
    } else {
        int64_t whole = good ? __float2ll_rn(g * (float)((int64_t)1 << DT_GRADIENT_BITS)) : 0;
        to.sums[at] = k->first ? whole : to.sums[at] + whole;
    }
    if (!good)
        atomicAdd((unsigned long long *)&to.head[DT_SUM_BAD], 1ull);
}

extern "C" cudaError_t cuda_accumulate(const cuda_control *control, const cuda_segment *table,
                                       int n_segments, int max_n, cuda_gradient to,
                                       cudaStream_t stream) {
    dim3 grid(blocks((size_t)max_n, THREADS), (unsigned)n_segments);
    accumulate_kernel<<<grid, THREADS, 0, stream>>>(control, table, to);
    return cudaPeekAtLastError();
}

static __device__ float summed(const cuda_gradient &g, size_t at) {
    return g.floats ? g.floats[at]
                    : __ll2float_rn(g.sums[at]) * (1.0f / (float)((int64_t)1 << DT_GRADIENT_BITS));
}

/* The sum of all threads' values, in one fixed tree; for thread 0. */
static __device__ double add_up(double v) {
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = v;
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}

static __global__ void norm_kernel(cuda_control *k, cuda_gradient g, double *chunks) {
    size_t from = (size_t)blockIdx.x * DT_NORM_CHUNK;
    double sum = 0.0;
    if (blockIdx.x == 0 && threadIdx.x == 0)
        k->at[DT_STAMP_SUMMED] = now();
    for (size_t i = threadIdx.x; i < DT_NORM_CHUNK && from + i < g.n; i += THREADS) {
        double v = (double)summed(g, from + i);
        sum += v * v;
    }
    sum = add_up(sum);
    if (threadIdx.x == 0)
        chunks[blockIdx.x] = sum;
}

extern "C" cudaError_t cuda_norm(cuda_control *control, cuda_gradient g, double *chunks,
                                 cudaStream_t stream) {
    norm_kernel<<<blocks(g.n, DT_NORM_CHUNK), THREADS, 0, stream>>>(control, g, chunks);
    return cudaPeekAtLastError();
}

/* One block. After a step that diverged nothing moves any more. */
static __global__ void decide_kernel(cuda_control *k, cuda_gradient g, const double *chunks,
                                     unsigned n_chunks, float clip, cuda_outcome *outcomes) {
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < n_chunks; i += THREADS)
        sum += chunks[i];
    sum = add_up(sum);
    if (threadIdx.x != 0)
        return;
    int64_t count = g.head[DT_SUM_COUNT];
    double mean = count > 0 ? 1.0 / (double)count : 0.0, norm = sqrt(sum) * mean, by = 1.0;
    if (clip > 0.0f && norm > (double)clip)
        by = (double)clip / norm;
    bool good = g.head[DT_SUM_BAD] == 0 && count > 0 && isfinite(norm);
    k->stopped |= !good;
    k->go = !k->stopped;
    k->scale = (float)(mean * by);
    cuda_outcome *out = &outcomes[k->work.slot];
    for (int i = 0; i < DT_N_SUMS; i++)
        out->sums[i] = g.head[i];
    out->votes = g.head[CUDA_VOTES];
    out->norm = norm;
    out->diverged = k->stopped;
    for (int i = 0; i < DT_STAMP_ENDED; i++)
        out->at[i] = k->at[i];
    out->at[DT_STAMP_ENDED] = now(); /* and later, where parameters move */
}

extern "C" cudaError_t cuda_decide(cuda_control *control, const cuda_gradient *g,
                                   const double *chunks, float clip, cuda_outcome *outcomes,
                                   cudaStream_t stream) {
    decide_kernel<<<1, THREADS, 0, stream>>>(control, *g, chunks, blocks(g->n, DT_NORM_CHUNK), clip,
                                             outcomes);
    return cudaPeekAtLastError();
}

static __device__ float sgd(const dt_optim_config &c, float rate, int n_slots, float g, float p,
                            float *b) {
    float d = g + c.weight_decay * p;
    if (n_slots == 0)
        return p - rate * d;
    *b = c.momentum * *b + d;
    return p - rate * (c.nesterov ? d + c.momentum * *b : *b);
}

static __device__ float adamw(const dt_optim_config &c, const cuda_scalars &s, float g, float p,
                              float *m, float *v) {
    *m = c.momentum * *m + s.new1 * g;
    *v = c.beta2 * *v + s.new2 * (g * g);
    return p * s.keep - s.rate * *m / (sqrtf(*v) * s.root2 + c.epsilon);
}

template <typename T, bool MOVES>
static __global__ void apply_kernel(cuda_control *k, const cuda_segment *table, cuda_gradient g,
                                    cuda_state state, cuda_outcome *outcomes) {
    const cuda_segment t = table[blockIdx.y];
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= t.n || (MOVES && !k->go))
        return;
    size_t at = t.at + (size_t)i;
    float p = state.params[at];
    if (MOVES) {
        float d = summed(g, at) * k->scale;
        float *s0 = state.n_slots > 0 ? &state.slots[0][at] : nullptr;
        if (state.optim.kind == DT_ADAMW)
            p = adamw(state.optim, k->work.scalars, d, p, s0, &state.slots[1][at]);
        else
            p = sgd(state.optim, k->work.scalars.rate, state.n_slots, d, p, s0);
        state.params[at] = p;
    }
    if (!isfinite(p)) /* cuDNN's ReLU may hide it: the next gradient counts it */
        atomicOr(&k->params_bad, 1);
    ((T *)t.copy)[place_of(t, i)] = (T)p;
    if (MOVES && threadIdx.x == 0)
        atomicMax(&outcomes[k->work.slot].at[DT_STAMP_ENDED], now());
}

extern "C" cudaError_t cuda_apply(bool bf16, cuda_control *control, const cuda_segment *table,
                                  int n_segments, int max_n, const cuda_gradient *g,
                                  const cuda_state *state, cuda_outcome *outcomes,
                                  cudaStream_t stream) {
    dim3 grid(blocks((size_t)max_n, THREADS), (unsigned)n_segments);
    cuda_gradient none = {};
    if (bf16 && g)
        apply_kernel<__nv_bfloat16, true>
            <<<grid, THREADS, 0, stream>>>(control, table, *g, *state, outcomes);
    else if (bf16)
        apply_kernel<__nv_bfloat16, false>
            <<<grid, THREADS, 0, stream>>>(control, table, none, *state, outcomes);
    else if (g)
        apply_kernel<float, true>
            <<<grid, THREADS, 0, stream>>>(control, table, *g, *state, outcomes);
    else
        apply_kernel<float, false>
            <<<grid, THREADS, 0, stream>>>(control, table, none, *state, outcomes);
    return cudaPeekAtLastError();
}
