/* model/cpu_avx2_fc.c - fully connected layers for AVX2.
 *
 * A small micro-batch gives each weight few operations, and all of them together do not fit into
 * the second-level cache: what counts is that every pass reads or writes them once, in order, and
 * long before it needs them. oneDNN 2.6 takes 1.7 times as long.
 *
 * Forward and backward are one matrix product, of tiles of 6 samples x 16 columns over a stretch of
 * weights that stays in the first-level cache. The weight gradient is summed over the samples in
 * registers, 4 x 24 weights at a time, and goes into its sums from there. */
#include "model/cpu_avx2.h"

#include <string.h>

#include "model/backend.h"
#include "model/cpu_kernels.h"
#include "model/fixed.h"
#include "model/simd.h"

#if DT_SIMD_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE TARGET static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { LANES = 8, COLUMNS = 16, SAMPLES = 6, STRETCH = 128 };

/* ---- product ---- */

typedef struct {
    const float *a; /* rows of `a_line` elements */
    const float *b; /* rows of COLUMNS */
    const float *ahead;
    float *c;
    size_t a_line, c_line, n; /* n: of the stretch */
    const float *bias;        /* the sum begins with it, or with c if NULL */
    bool relu;
} product;

/* c[r][0..16) += sum over t < n of a[r][t] * b[t][0..16). */
INLINE void product_tile(const product *p, size_t row, int rows, bool prefetch) {
    const float *a = p->a + row * p->a_line, *b = p->b;
    float *c = p->c + row * p->c_line;
    __m256 sum[SAMPLES][2];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 2; v++) sum[r][v] =
        _mm256_loadu_ps((p->bias ? p->bias : c + (size_t)r * p->c_line) + v * LANES);
    for (size_t t = 0; t < p->n; t++, b += COLUMNS) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + LANES);
        if (prefetch)
            _mm_prefetch(p->ahead + t * COLUMNS, _MM_HINT_T0);
        UNROLL for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(a + (size_t)r * p->a_line + t);
            sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 2; v++) {
        __m256 y = sum[r][v];
        if (p->relu) /* NaN stays NaN */
            y = _mm256_max_ps(_mm256_setzero_ps(), y);
        _mm256_storeu_ps(c + (size_t)r * p->c_line + v * LANES, y);
    }
}

/* All m samples of a stretch; while the first are computed, the next stretch comes. */
INLINE void product_stretch(const product *p, size_t m) {
    size_t s = 0;
    if (m >= SAMPLES) {
        product_tile(p, 0, SAMPLES, true);
        for (s = SAMPLES; s + SAMPLES <= m; s += SAMPLES)
            product_tile(p, s, SAMPLES, false);
    }
    for (; s + 4 <= m; s += 4)
        product_tile(p, s, 4, false);
    for (; s < m; s++)
        product_tile(p, s, 1, false);
}

/* Columns [0, COLUMNS) of c = a[m][k] x b[k][COLUMNS] + bias. */
INLINE void multiply_columns(const float *a, const float *b, const float *bias, bool relu, size_t m,
                             size_t k, float *c, size_t c_line) {
    for (size_t at = 0; at < k; at += STRETCH) {
        size_t part = k - at < STRETCH ? k - at : STRETCH;
        const float *stretch = b + at * COLUMNS;
        product p = {.a = a + at,
                     .b = stretch,
                     .ahead = stretch + part * COLUMNS,
                     .c = c,
                     .a_line = k,
                     .c_line = c_line,
                     .n = part,
                     .bias = at > 0 ? NULL : bias,
                     .relu = relu && at + part == k};
        product_stretch(&p, m);
    }
}

TARGET void dt_avx2_fc(const dt_avx2_fc_shape *s, const float *x, const float *weights,
                       const float *bias, bool relu, float *y, float *scratch) {
    size_t o = 0;
    for (; o + COLUMNS <= s->n_out; o += COLUMNS)
        multiply_columns(x, weights + o * s->n_in, bias + o, relu, s->m, s->n_in, y + o, s->n_out);
    if (o == s->n_out)
        return;
    multiply_columns(x, weights + o * s->n_in, bias + o, relu, s->m, s->n_in, scratch, COLUMNS);
    for (size_t r = 0; r < s->m; r++)
        memcpy(y + r * s->n_out + o, scratch + r * COLUMNS, (s->n_out - o) * sizeof *y);
}

TARGET void dt_avx2_fc_backward(const dt_avx2_fc_shape *s, const float *dy, const float *weights,
                                float *dx) {
    static const float zeros[COLUMNS];
    for (size_t i = 0; i < s->n_in; i += COLUMNS)
        multiply_columns(dy, weights + i * s->n_out, zeros, false, s->m, s->n_out, dx + i, s->n_in);
}

void dt_avx2_fc_turn(const dt_avx2_fc_shape *s, const float *forward, float *backward, size_t from,
                     size_t to) {
    for (size_t o = from; o < to; o += COLUMNS) {
        size_t n = to - o < COLUMNS ? to - o : COLUMNS;
        for (size_t i = 0; i < s->n_in; i += COLUMNS) {
            const float *in = forward + o * s->n_in + i * COLUMNS;
            float *out = backward + i * s->n_out + o * COLUMNS;
            for (size_t c = 0; c < n; c++)
                for (size_t r = 0; r < COLUMNS; r++)
                    out[c * COLUMNS + r] = in[r * COLUMNS + c];
        }
    }
}

/* ---- weight gradient ---- */

enum { ROWS = 4, VECTORS = 3, PANEL = 96 };

typedef struct {
    const float *x; /* [m][n_in] */
    size_t m, n_in;
    float limit;
    bool set;
} gradient;

/* Are all of them small enough for add_exact()? Magnitudes are compared as integers: NaN is above
 * all. */
INLINE bool are_small(__m256 c[ROWS][VECTORS], int rows, int vectors, float limit) {
    const float most = 0x1p51f / (float)((int64_t)1 << DT_GRADIENT_BITS);
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i largest = _mm256_setzero_si256();
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) largest =
        _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(c[r][v]), magnitude));
    __m256i bound = _mm256_castps_si256(_mm256_set1_ps(limit < most ? limit : most));
    return _mm256_movemask_epi8(_mm256_cmpgt_epi32(bound, largest)) == -1;
}

/* 8 gradients into 8 integers: adding 1.5 * 2^52 rounds a double below 2^51 to the nearest integer,
 * which then stands in its low bits. */
INLINE void add_exact(int64_t *to, __m256 g, bool set) {
    const __m256d scale = _mm256_set1_pd((double)((int64_t)1 << DT_GRADIENT_BITS));
    const __m256d magic = _mm256_set1_pd(0x1.8p52);
    const __m128 half[2] = {_mm256_castps256_ps128(g), _mm256_extractf128_ps(g, 1)};
    for (int h = 0; h < 2; h++) { /* the product is exact, so that fusing changes nothing */
        __m256d shifted = _mm256_fmadd_pd(_mm256_cvtps_pd(half[h]), scale, magic);
        __m256i v = _mm256_sub_epi64(_mm256_castpd_si256(shifted), _mm256_castpd_si256(magic));
        __m256i *at = (__m256i *)(void *)(to + 4 * h);
        if (!set)
            v = _mm256_add_epi64(v, _mm256_loadu_si256(at));
        _mm256_storeu_si256(at, v);
    }
}

static int64_t add_slowly(int64_t *to, const float g[LANES], float limit, bool set) {
    return set ? dt_fixed_set(to, g, LANES, limit) : dt_fixed_add(to, g, LANES, limit);
}

/* A tile into its sums, of which the first row's first is at `sums`. */
INLINE int64_t add_tile(const gradient *g, __m256 c[ROWS][VECTORS], int rows, int vectors,
                        bool exact, bool set, void *sums) {
    int64_t bad = 0;
    bool small = exact && are_small(c, rows, vectors, g->limit);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) {
        size_t at = (size_t)r * g->n_in + (size_t)v * LANES;
        float *floats = (float *)sums + at, values[LANES];
        if (small) {
            add_exact((int64_t *)sums + at, c[r][v], set);
        } else if (exact) {
            _mm256_storeu_ps(values, c[r][v]);
            bad += add_slowly((int64_t *)sums + at, values, g->limit, set);
        } else {
            __m256 sum = set ? c[r][v] : _mm256_add_ps(c[r][v], _mm256_loadu_ps(floats));
            _mm256_storeu_ps(floats, sum);
        }
    }
    return bad;
}

/* Gradients of `rows` x `vectors` * 8 weights from column i on. dy: [m] lines of `line` elements;
 * sums: the first row's. */
INLINE int64_t gradient_tile(const gradient *g, size_t i, const float *dy, size_t line, int rows,
                             int vectors, bool exact, char *sums) {
    const float *x = g->x + i;
    void *at = sums + i * (exact ? sizeof(int64_t) : sizeof(float));
    __m256 c[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) c[r][v] =
        _mm256_setzero_ps();
    for (size_t t = 0; t < g->m; t++, x += g->n_in, dy += line) {
        __m256 in[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) in[v] = _mm256_loadu_ps(x + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            __m256 d = _mm256_broadcast_ss(dy + r);
            UNROLL for (int v = 0; v < vectors; v++) c[r][v] = _mm256_fmadd_ps(d, in[v], c[r][v]);
        }
    }
    return g->set ? add_tile(g, c, rows, vectors, exact, true, at)
                  : add_tile(g, c, rows, vectors, exact, false, at);
}

/* Columns [from, to) of `rows` rows; ahead: the sums that come next. */
INLINE int64_t gradient_rows(const gradient *g, size_t from, size_t to, const float *dy,
                             size_t line, int rows, bool exact, char *sums, const char *ahead) {
    const size_t element = exact ? sizeof(int64_t) : sizeof(float), step = VECTORS * LANES;
    int64_t bad = 0;
    size_t i = from;
    for (; i + step <= to; i += step) {
        for (int r = 0; r < rows; r++)
            for (size_t b = 0; b < step * element; b += 64)
                _mm_prefetch(ahead + ((size_t)r * g->n_in + i) * element + b, _MM_HINT_T0);
        bad += gradient_tile(g, i, dy, line, rows, VECTORS, exact, sums);
    }
    for (; i < to; i += LANES)
        bad += gradient_tile(g, i, dy, line, rows, 1, exact, sums);
    return bad;
}

/* turned[o / ROWS][s][ROWS] = dy[s][o], for whole groups of ROWS. */
static void turn_rows(const float *dy, size_t m, size_t n_out, float *turned) {
    for (size_t s = 0; s < m; s++)
        for (size_t o = 0; o + ROWS <= n_out; o += ROWS)
            memcpy(turned + o * m + s * ROWS, dy + s * n_out + o, ROWS * sizeof *dy);
}

/* Panels of columns, whose inputs stay in the first-level cache, and in them all rows. */
INLINE int64_t gradient_all(const gradient *g, const float *dy, size_t n_out, bool exact,
                            char *sums, float *turned) {
    const size_t element = exact ? sizeof(int64_t) : sizeof(float);
    int64_t bad = 0;
    turn_rows(dy, g->m, n_out, turned);
    for (size_t from = 0; from < g->n_in; from += PANEL) {
        size_t to = from + PANEL < g->n_in ? from + PANEL : g->n_in, o = 0;
        for (; o + ROWS <= n_out; o += ROWS) {
            char *row = sums + o * g->n_in * element;
            bad += gradient_rows(g, from, to, turned + o * g->m, ROWS, ROWS, exact, row,
                                 row + ROWS * g->n_in * element);
        }
        for (; o < n_out; o++) {
            char *row = sums + o * g->n_in * element;
            bad += gradient_rows(g, from, to, dy + o, n_out, 1, exact, row, row);
        }
    }
    return bad;
}

TARGET static int64_t gradient_exact(const gradient *g, const float *dy, size_t n_out, char *sums,
                                     float *turned) {
    return gradient_all(g, dy, n_out, true, sums, turned);
}

TARGET static int64_t gradient_float(const gradient *g, const float *dy, size_t n_out, char *sums,
                                     float *turned) {
    return gradient_all(g, dy, n_out, false, sums, turned);
}

int64_t dt_avx2_fc_gradient(const dt_fc_gradient *g, const float *x, const float *dy, void *sums,
                            bool set) {
    gradient job = {x, g->m, g->n_in, g->limit, set};
    return g->exact ? gradient_exact(&job, dy, g->n_out, sums, g->scratch)
                    : gradient_float(&job, dy, g->n_out, sums, g->scratch);
}

#else
/* clang-format off: never called, see dt_avx2_fits() */
void dt_avx2_fc(const dt_avx2_fc_shape *s, const float *x, const float *weights, const float *bias,
                bool relu, float *y, float *scratch) {
    (void)s, (void)x, (void)weights, (void)bias, (void)relu, (void)y, (void)scratch;
}
void dt_avx2_fc_backward(const dt_avx2_fc_shape *s, const float *dy, const float *weights,
                         float *dx) {
    (void)s, (void)dy, (void)weights, (void)dx;
}
void dt_avx2_fc_turn(const dt_avx2_fc_shape *s, const float *forward, float *backward, size_t from,
                     size_t to) {
    (void)s, (void)forward, (void)backward, (void)from, (void)to;
}
int64_t dt_avx2_fc_gradient(const dt_fc_gradient *g, const float *x, const float *dy, void *sums,
                            bool set) {
    (void)g, (void)x, (void)dy, (void)sums, (void)set;
    return 0;
}
/* clang-format on */
#endif

bool dt_avx2_fc_fits(const dt_avx2_fc_shape *s) {
    return dt_avx2_fits() && s->n_in % 16 == 0;
}
