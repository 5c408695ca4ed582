/* model/cpu_fc.c - the weight gradient of a fully connected layer, straight into its sums.
 *
 * A fully connected layer holds most of the parameters, and a small micro-batch gives each of them
 * few operations: to write the gradient as floats, only to read it again for conversion, costs
 * about as much as to compute it. Here a tile of 8 x 48 gradients is summed over the samples in
 * registers, converted there, and added to the sums in memory, whose rows are walked in order. With
 * AVX2 cpu_avx2_fc.c does the same. On older processors oneDNN computes the gradient and
 * model/fixed.c converts it. */
#include <string.h>

#include "model/backend.h"
#include "model/cpu_avx2.h"
#include "model/cpu_kernels.h"
#include "model/fixed.h"
#include "model/simd.h"

#if DT_SIMD_X86
#include <immintrin.h>

#define TARGET_F32 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#define TARGET_BF16                                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")))
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { ROWS = 8, VECTORS = 3, LANES = 16, COLUMNS = VECTORS * LANES };

typedef struct {
    const float *x, *dy; /* [terms][n_in], [terms][n_out]; bf16: a word holds two samples */
    size_t terms, n_in, n_out;
    float limit;
    bool set;
} job_t;

/* c[r][v] = sum over terms of dy[t][o + r] * x[t][i + 16 v ...]. */
#define DEFINE_TILE(name, target, multiply_add)                                                    \
    target INLINE void name(const job_t *j, size_t o, size_t i, const __mmask16 *lanes, int rows,  \
                            __m512 c[ROWS][VECTORS]) {                                             \
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < VECTORS; v++) c[r][v] =   \
            _mm512_setzero_ps();                                                                   \
        for (size_t t = 0; t < j->terms; t++) {                                                    \
            const float *x = j->x + t * j->n_in + i, *dy = j->dy + t * j->n_out + o;               \
            __m512 in[VECTORS];                                                                    \
            UNROLL for (int v = 0; v < VECTORS; v++) in[v] =                                       \
                _mm512_maskz_loadu_ps(lanes[v], x + v * LANES);                                    \
            UNROLL for (int r = 0; r < rows; r++) {                                                \
                __m512 d = _mm512_set1_ps(dy[r]);                                                  \
                UNROLL for (int v = 0; v < VECTORS; v++) c[r][v] =                                 \
                    multiply_add(c[r][v], d, in[v]);                                               \
            }                                                                                      \
        }                                                                                          \
    }

#define FMA_F32(c, a, b)  _mm512_fmadd_ps(a, b, c)
#define FMA_BF16(c, a, b) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
DEFINE_TILE(tile_f32, TARGET_F32, FMA_F32)
DEFINE_TILE(tile_bf16, TARGET_BF16, FMA_BF16)

/* 16 gradients into 16 integers; returns how many were bad (model/fixed.h) and added 0. */
TARGET_F32 INLINE int add_exact(int64_t *to, __m512 g, __mmask16 lanes, float limit, bool set) {
    const __m512 one = _mm512_set1_ps((float)((int64_t)1 << DT_GRADIENT_BITS));
    __mmask16 good = _mm512_cmp_ps_mask(_mm512_abs_ps(g), _mm512_set1_ps(limit), _CMP_LT_OQ);
    __m512 scaled = _mm512_mul_ps(g, one);
    __m256 half[2] = {_mm512_castps512_ps256(scaled), _mm512_extractf32x8_ps(scaled, 1)};
    for (int h = 0; h < 2; h++) {
        __mmask8 here = (__mmask8)(lanes >> 8 * h);
        __m512i v = _mm512_maskz_cvtps_epi64((__mmask8)(good >> 8 * h), half[h]);
        if (!set)
            v = _mm512_add_epi64(v, _mm512_maskz_loadu_epi64(here, to + 8 * h));
        _mm512_mask_storeu_epi64(to + 8 * h, here, v);
    }
    return __builtin_popcount((unsigned)(lanes & ~good));
}

TARGET_F32 INLINE void add_float(float *to, __m512 g, __mmask16 lanes, bool set) {
    if (!set)
        g = _mm512_add_ps(g, _mm512_maskz_loadu_ps(lanes, to));
    _mm512_mask_storeu_ps(to, lanes, g);
}

static __mmask16 lanes_left(size_t n, size_t i) {
    return i >= n ? 0 : n - i >= LANES ? 0xFFFF : (__mmask16)((1u << (n - i)) - 1);
}

/* Rows [o, o + rows) of the gradient, all columns; and all rows. */
#define DEFINE_ROWS(name, target, tile)                                                            \
    target INLINE int64_t name(const job_t *j, size_t o, int rows, bool exact, void *sums) {       \
        int64_t bad = 0;                                                                           \
        for (size_t i = 0; i < j->n_in; i += COLUMNS) {                                            \
            __m512 c[ROWS][VECTORS];                                                               \
            __mmask16 lanes[VECTORS];                                                              \
            for (int v = 0; v < VECTORS; v++)                                                      \
                lanes[v] = lanes_left(j->n_in, i + (size_t)v * LANES);                             \
            tile(j, o, i, lanes, rows, c);                                                         \
            UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < VECTORS; v++) {       \
                size_t at = (o + (size_t)r) * j->n_in + i + (size_t)v * LANES;                     \
                if (exact)                                                                         \
                    bad += add_exact((int64_t *)sums + at, c[r][v], lanes[v], j->limit, j->set);   \
                else                                                                               \
                    add_float((float *)sums + at, c[r][v], lanes[v], j->set);                      \
            }                                                                                      \
        }                                                                                          \
        return bad;                                                                                \
    }                                                                                              \
    target static int64_t name##_all(const job_t *j, bool exact, void *sums) {                     \
        int64_t bad = 0;                                                                           \
        size_t o = 0;                                                                              \
        for (; o + ROWS <= j->n_out; o += ROWS)                                                    \
            bad += exact ? name(j, o, ROWS, true, sums) : name(j, o, ROWS, false, sums);           \
        for (; o < j->n_out; o++)                                                                  \
            bad += exact ? name(j, o, 1, true, sums) : name(j, o, 1, false, sums);                 \
        return bad;                                                                                \
    }

DEFINE_ROWS(rows_f32, TARGET_F32, tile_f32)
DEFINE_ROWS(rows_bf16, TARGET_BF16, tile_bf16)

/* out[t][i] = samples 2t (low half) and 2t + 1 (0 if there is none). */
static void pair_samples(uint32_t *out, const uint16_t *x, size_t m, size_t n) {
    for (size_t t = 0; 2 * t < m; t++) {
        const uint16_t *low = x + 2 * t * n, *high = low + n;
        bool both = 2 * t + 1 < m;
        for (size_t i = 0; i < n; i++)
            out[t * n + i] = low[i] | (both ? (uint32_t)high[i] << 16 : 0);
    }
}

bool dt_cpu_fc_fits(bool bf16, size_t n_in) {
    if (!__builtin_cpu_supports("fma"))
        return false;
    if (dt_simd_level() == DT_SIMD_AVX2)
        return !bf16 && n_in % 8 == 0;
    return dt_simd_level() == DT_SIMD_AVX512 && __builtin_cpu_supports("avx512bw") &&
           (!bf16 || __builtin_cpu_supports("avx512bf16"));
}

int64_t dt_cpu_fc_gradient(const dt_fc_gradient *g, const void *x, const void *dy, void *sums,
                           bool set) {
    job_t j = {x, dy, g->m, g->n_in, g->n_out, g->limit, set};
    if (dt_simd_level() == DT_SIMD_AVX2)
        return dt_avx2_fc_gradient(g, x, dy, sums, set);
    if (!g->bf16)
        return rows_f32_all(&j, g->exact, sums);
    uint32_t *x_pairs = g->scratch, *dy_pairs = x_pairs + (g->m + 1) / 2 * g->n_in;
    pair_samples(x_pairs, x, g->m, g->n_in);
    pair_samples(dy_pairs, dy, g->m, g->n_out);
    j.x = (const float *)(const void *)x_pairs;
    j.dy = (const float *)(const void *)dy_pairs;
    j.terms = (g->m + 1) / 2;
    return rows_bf16_all(&j, g->exact, sums);
}

#else

bool dt_cpu_fc_fits(bool bf16, size_t n_in) {
    (void)bf16, (void)n_in;
    return false;
}

int64_t dt_cpu_fc_gradient(const dt_fc_gradient *g, const void *x, const void *dy, void *sums,
                           bool set) {
    (void)g, (void)x, (void)dy, (void)sums, (void)set;
    return 0; /* never called: see dt_cpu_fc_fits() */
}
#endif

size_t dt_cpu_fc_scratch(const dt_fc_gradient *g) {
    return g->bf16 ? (g->m + 1) / 2 * (g->n_in + g->n_out) * sizeof(uint32_t)
                   : g->m * g->n_out * sizeof(float);
}

void dt_cpu_bias_gradient(const void *dy, bool bf16, size_t m, size_t n_out, float *dbias) {
    memset(dbias, 0, n_out * sizeof *dbias);
    for (size_t s = 0; s < m; s++)
        for (size_t o = 0; o < n_out; o++)
            dbias[o] += dt_cpu_load(dy, s * n_out + o, bf16);
}
