/* model/optim.c - SGD and AdamW over ranges, gradient norms in fixed chunks, learning-rate
 * schedules.
 *
 * Nothing here mixes elements but the norm, and that has one fixed order. Compiled without
 * contraction of multiply and add, each SIMD level and each split into ranges then gives the same
 * bits. */
#include "model/optim.h"

#include <math.h>
#include "model/simd.h"

int dt_optim_slots(const dt_optim_config *config) {
    if (config->kind == DT_ADAMW)
        return 2;
    return config->momentum > 0.0f ? 1 : 0;
}

const char *dt_optim_slot_name(const dt_optim_config *config, int slot) {
    static const char *const adamw[] = {"m", "v"};
    return config->kind == DT_ADAMW ? adamw[slot] : "momentum";
}

/* Plain SGD, slots[0] unused. */
DT_ALWAYS_INLINE void plain_body(float rate, float scale, float decay, const float *restrict g,
                                 float *restrict p, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] -= rate * (g[i] * scale + decay * p[i]);
}

DT_ALWAYS_INLINE void momentum_body(float rate, float scale, float decay, float momentum,
                                    const float *restrict g, float *restrict p, float *restrict b,
                                    size_t n) {
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * scale + decay * p[i];
        b[i] = momentum * b[i] + d;
        p[i] -= rate * b[i];
    }
}

DT_ALWAYS_INLINE void nesterov_body(float rate, float scale, float decay, float momentum,
                                    const float *restrict g, float *restrict p, float *restrict b,
                                    size_t n) {
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * scale + decay * p[i];
        b[i] = momentum * b[i] + d;
        p[i] -= rate * (d + momentum * b[i]);
    }
}

/* One step's scalars of AdamW, worked out once. */
typedef struct {
    float scale, keep, beta1, new1, beta2, new2, rate, root2, epsilon;
} adamw;

static adamw adamw_scalars(const dt_optim_config *c, const dt_update *u) {
    double beta1 = (double)c->momentum, beta2 = (double)c->beta2, rate = (double)u->learning_rate;
    return (adamw){
        .scale = u->gradient_scale,
        .keep = (float)(1.0 - rate * (double)c->weight_decay),
        .beta1 = c->momentum,
        .new1 = (float)(1.0 - beta1),
        .beta2 = c->beta2,
        .new2 = (float)(1.0 - beta2),
        .rate = (float)(rate / (1.0 - pow(beta1, (double)u->step))),
        .root2 = (float)(1.0 / sqrt(1.0 - pow(beta2, (double)u->step))),
        .epsilon = c->epsilon,
    };
}

DT_ALWAYS_INLINE void adamw_body(const adamw *a, const float *restrict g, float *restrict p,
                                 float *restrict m, float *restrict v, size_t n) {
    const adamw s = *a;
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * s.scale;
        m[i] = s.beta1 * m[i] + s.new1 * d;
        v[i] = s.beta2 * v[i] + s.new2 * (d * d);
        p[i] = p[i] * s.keep - s.rate * m[i] / (sqrtf(v[i]) * s.root2 + s.epsilon);
    }
}

/* All optimizers over n elements: the body that is compiled for every SIMD level. */
DT_ALWAYS_INLINE void apply_body(const dt_optim_config *c, const dt_update *u, const adamw *a,
                                 const float *g, float *p, float *s0, float *s1, size_t n) {
    float rate = u->learning_rate, scale = u->gradient_scale, decay = c->weight_decay;
    if (c->kind == DT_ADAMW)
        adamw_body(a, g, p, s0, s1, n);
    else if (dt_optim_slots(c) == 0)
        plain_body(rate, scale, decay, g, p, n);
    else if (c->nesterov)
        nesterov_body(rate, scale, decay, c->momentum, g, p, s0, n);
    else
        momentum_body(rate, scale, decay, c->momentum, g, p, s0, n);
}

/* Sixteen partial sums, element i to sum i mod 16, added in one fixed tree: a vector's worth of
 * additions that does not depend on the width of the machine's vectors. */
enum { LANES = 16 };

DT_ALWAYS_INLINE double squares_body(const float *restrict x, size_t n) {
    double sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sums[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i + j < n; j++)
        sums[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; j++)
            sums[j] += sums[j + half];
    return sums[0];
}

#if DT_SIMD_X86
static DT_TARGET_AVX2 void apply_avx2(const dt_optim_config *c, const dt_update *u, const adamw *a,
                                      const float *g, float *p, float *s0, float *s1, size_t n) {
    apply_body(c, u, a, g, p, s0, s1, n);
}

static DT_TARGET_AVX512 void apply_avx512(const dt_optim_config *c, const dt_update *u,
                                          const adamw *a, const float *g, float *p, float *s0,
                                          float *s1, size_t n) {
    apply_body(c, u, a, g, p, s0, s1, n);
}

static DT_TARGET_AVX2 double squares_avx2(const float *x, size_t n) {
    return squares_body(x, n);
}

static DT_TARGET_AVX512 double squares_avx512(const float *x, size_t n) {
    return squares_body(x, n);
}
#endif

void dt_optim_apply(const dt_optim_config *config, const dt_update *update, const float *gradient,
                    float *params, float *const slots[2], size_t from, size_t to) {
    int n_slots = dt_optim_slots(config);
    adamw a = {0};
    if (config->kind == DT_ADAMW)
        a = adamw_scalars(config, update);
    const float *g = gradient + from;
    float *p = params + from, *s0 = n_slots > 0 ? slots[0] + from : NULL;
    float *s1 = n_slots > 1 ? slots[1] + from : NULL;
    size_t n = to - from;
    switch (dt_simd_level()) {
#if DT_SIMD_X86
    case DT_SIMD_AVX512:
        apply_avx512(config, update, &a, g, p, s0, s1, n);
        break;
    case DT_SIMD_AVX2:
        apply_avx2(config, update, &a, g, p, s0, s1, n);
        break;
#endif
    default:
        apply_body(config, update, &a, g, p, s0, s1, n);
    }
}

double dt_norm_chunk(const float *x, size_t n, size_t chunk) {
    size_t from = chunk * DT_NORM_CHUNK;
    size_t count = n - from < DT_NORM_CHUNK ? n - from : DT_NORM_CHUNK;
    switch (dt_simd_level()) {
#if DT_SIMD_X86
    case DT_SIMD_AVX512:
        return squares_avx512(x + from, count);
    case DT_SIMD_AVX2:
        return squares_avx2(x + from, count);
#endif
    default:
        return squares_body(x + from, count);
    }
}

double dt_norm_total(const double *chunks, size_t n_chunks) {
    double sum = 0;
    for (size_t i = 0; i < n_chunks; i++)
        sum += chunks[i];
    return sqrt(sum);
}

/* From a to b as t goes from 0 to 1, flat at both ends. */
static double cosine(double a, double b, double t) {
    return b + (a - b) * 0.5 * (1.0 + cos(3.141592653589793 * t));
}

/* One cycle in the time of PyTorch: step 0 has the first value, step up - 1 the peak, step total -
 * 1 the last; up may be a fraction. *t becomes the position in the half of the cycle; true: going
 * up. */
static bool cycle_position(const dt_schedule_config *c, int64_t step, double *t) {
    double up = (c->warmup > 0 ? (double)c->warmup : 0.3 * (double)c->total) - 1.0;
    double end = (double)c->total - 1.0, s = (double)step;
    bool rising = s < up;
    *t = rising ? s / up : end > up ? (s - up) / (end - up) : 0.0;
    *t = *t < 1.0 ? *t : 1.0;
    return rising;
}

float dt_schedule_at(const dt_schedule_config *config, int64_t step) {
    double peak = (double)config->peak, rate = peak, t;
    if (step >= config->total && config->total > 0)
        step = config->total - 1;
    if (config->kind == DT_ONECYCLE) {
        bool rising = cycle_position(config, step, &t);
        rate = rising ? cosine(peak / 25.0, peak, t) : cosine(peak, peak / 1e4, t);
    } else if (step < config->warmup) {
        rate = peak * (double)(step + 1) / (double)config->warmup;
    } else if (config->kind == DT_COSINE && config->total > config->warmup) {
        t = (double)(step - config->warmup) / (double)(config->total - config->warmup);
        rate = cosine(peak, 0.0, t);
    }
    return (float)rate;
}
