/* model/cpu_kernels.c - pooling, ReLU, input and layout changes.
 *
 * Each function is a plain loop. What costs time has other versions, chosen at run time: 2x2
 * pooling for AVX-512 (blocks of 16) and AVX2 (blocks of 8, in cpu_avx2.c), input and weights for
 * AVX2. Loads and stores take a constant bf16 flag, so that the compiler makes one loop a type. */
#include "model/cpu_kernels.h"

#include <math.h>
#include <string.h>

#include "model/cpu_avx2.h"
#include "model/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#endif

#define INLINE static inline __attribute__((always_inline))

static bool has_avx2(void) {
    return dt_simd_level() >= DT_SIMD_AVX2; /* elsewhere there is but DT_SIMD_BASE */
}

INLINE uint16_t round_bf16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t nearest_even = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    uint32_t quiet_nan = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet_nan : nearest_even);
}

INLINE void store(void *x, size_t i, float f, bool bf16) {
    if (bf16)
        ((uint16_t *)x)[i] = round_bf16(f);
    else
        ((float *)x)[i] = f;
}

static size_t size_of(bool bf16) {
    return bf16 ? sizeof(uint16_t) : sizeof(float);
}

static void *advance(void *x, size_t n, bool bf16) {
    return (char *)x + n * size_of(bf16);
}

static const void *advance_const(const void *x, size_t n, bool bf16) {
    return (const char *)x + n * size_of(bf16);
}

/* ---- input ---- */

INLINE void input_row(void *x, const uint8_t *image, size_t n, float scale, float shift,
                      bool bf16) {
    for (size_t i = 0; i < n; i++)
        store(x, i, (float)image[i] * scale + shift, bf16);
}

#if defined(__x86_64__)
DT_TARGET_AVX2 static void input_row_avx2(void *x, const uint8_t *image, size_t n, float scale,
                                          float shift) {
    input_row(x, image, n, scale, shift, false);
}
#else
#define input_row_avx2(x, image, n, scale, shift) (void)0
#endif

void dt_cpu_input(void *x, bool bf16, const uint8_t *images, const int64_t *samples, int m,
                  size_t n_pixels, float scale, float shift) {
    for (int s = 0; s < m; s++) {
        void *row = advance(x, (size_t)s * n_pixels, bf16);
        if (s + 1 < m && samples[s + 1] >= 0) /* images lie anywhere in memory */
            for (size_t i = 0; i < n_pixels; i += 64)
                __builtin_prefetch(images + (size_t)samples[s + 1] * n_pixels + i);
        if (samples[s] < 0) {
            memset(row, 0, n_pixels * size_of(bf16));
            continue;
        }
        const uint8_t *image = images + (size_t)samples[s] * n_pixels;
        if (bf16)
            input_row(row, image, n_pixels, scale, shift, true);
        else if (has_avx2())
            input_row_avx2(row, image, n_pixels, scale, shift);
        else
            input_row(row, image, n_pixels, scale, shift, false);
    }
}

/* ---- max pooling ---- */

/* One output position: the maxima of a block of channels. */
INLINE void max_window(const dt_pool2d *p, const void *x, int oy, int ox, void *y, uint16_t *which,
                       bool bf16) {
    size_t b = (size_t)p->block;
    for (size_t c = 0; c < b; c++) {
        float best = -INFINITY;
        int place = -1;
        for (int ky = 0; ky < p->kernel; ky++)
            for (int kx = 0; kx < p->kernel; kx++) {
                int iy = oy * p->stride - p->pad + ky, ix = ox * p->stride - p->pad + kx;
                if (iy < 0 || ix < 0 || iy >= p->h || ix >= p->w)
                    continue;
                float v = dt_cpu_load(x, ((size_t)iy * (size_t)p->w + (size_t)ix) * b + c, bf16);
                if (place < 0 || v > best || isnan(v)) {
                    best = v;
                    place = ky * p->kernel + kx;
                }
            }
        bool dead = p->relu && best <= 0;
        store(y, c, dead ? 0 : best, bf16);
        which[c] = (uint16_t)(dead ? DT_POOL_NONE : place);
    }
}

INLINE void maxpool_any(const dt_pool2d *p, const void *x, void *y, uint16_t *which, bool bf16) {
    size_t b = (size_t)p->block, in = (size_t)p->h * (size_t)p->w * b;
    size_t out = (size_t)p->out_h * (size_t)p->out_w * b;
    for (size_t plane = 0; plane < p->planes; plane++)
        for (int oy = 0; oy < p->out_h; oy++)
            for (int ox = 0; ox < p->out_w; ox++) {
                size_t at = plane * out + ((size_t)oy * (size_t)p->out_w + (size_t)ox) * b;
                max_window(p, advance_const(x, plane * in, bf16), oy, ox, advance(y, at, bf16),
                           which + at, bf16);
            }
}

INLINE void maxpool_backward_any(const dt_pool2d *p, const void *dy, const uint16_t *which,
                                 void *dx, bool bf16) {
    size_t b = (size_t)p->block, in = (size_t)p->h * (size_t)p->w * b;
    size_t at = 0;
    memset(dx, 0, p->planes * in * size_of(bf16));
    for (size_t plane = 0; plane < p->planes; plane++) {
        void *to = advance(dx, plane * in, bf16);
        for (int oy = 0; oy < p->out_h; oy++)
            for (int ox = 0; ox < p->out_w; ox++)
                for (size_t c = 0; c < b; c++, at++) {
                    if (which[at] == DT_POOL_NONE)
                        continue;
                    int iy = oy * p->stride - p->pad + which[at] / p->kernel;
                    int ix = ox * p->stride - p->pad + which[at] % p->kernel;
                    size_t i = ((size_t)iy * (size_t)p->w + (size_t)ix) * b + c;
                    store(to, i, dt_cpu_load(to, i, bf16) + dt_cpu_load(dy, at, bf16), bf16);
                }
    }
}

#if defined(__x86_64__)

AVX512 INLINE __m512 load16(const void *x, size_t i, bool bf16) {
    if (!bf16)
        return _mm512_loadu_ps((const float *)x + i);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)x + i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* bf16 values here are copies of bf16 values: the lower half is zero, nothing is rounded. */
AVX512 INLINE void store16(void *x, size_t i, __mmask16 keep, __m512 v, bool bf16) {
    if (!bf16) {
        _mm512_storeu_ps((float *)x + i, _mm512_maskz_mov_ps(keep, v));
        return;
    }
    __m512i upper = _mm512_maskz_srli_epi32(keep, _mm512_castps_si512(v), 16);
    _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)x + i), _mm512_cvtepi32_epi16(upper));
}

AVX512 INLINE void take_larger(__m512 v, int place, __m512 *best, __m512i *which) {
    __mmask16 wins =
        _mm512_cmp_ps_mask(v, *best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    *best = _mm512_mask_mov_ps(*best, wins, v);
    *which = _mm512_mask_mov_epi32(*which, wins, _mm512_set1_epi32(place));
}

AVX512 INLINE void maxpool_2x2(const dt_pool2d *p, const void *x, void *y, uint16_t *which,
                               bool bf16) {
    size_t row = (size_t)p->w * 16, at = 0;
    const __m512 floor = _mm512_set1_ps(p->relu ? 0 : -INFINITY);
    for (size_t plane = 0; plane < p->planes; plane++)
        for (int oy = 0; oy < p->out_h; oy++) {
            size_t from = (plane * (size_t)p->h + 2 * (size_t)oy) * row;
            for (int ox = 0; ox < p->out_w; ox++, from += 32, at += 16) {
                __m512 best = load16(x, from, bf16);
                __m512i place = _mm512_setzero_si512();
                take_larger(load16(x, from + 16, bf16), 1, &best, &place);
                take_larger(load16(x, from + row, bf16), 2, &best, &place);
                take_larger(load16(x, from + row + 16, bf16), 3, &best, &place);
                __mmask16 alive = p->relu ? _mm512_cmp_ps_mask(best, floor, _CMP_NLE_UQ) : 0xFFFF;
                store16(y, at, alive, best, bf16);
                place = _mm512_mask_mov_epi32(_mm512_set1_epi32(DT_POOL_NONE), alive, place);
                _mm256_storeu_si256((__m256i *)(void *)(which + at), _mm512_cvtepi32_epi16(place));
            }
        }
}

AVX512 INLINE void maxpool_backward_2x2(const dt_pool2d *p, const void *dy, const uint16_t *which,
                                        void *dx, bool bf16) {
    size_t row = (size_t)p->w * 16, at = 0;
    for (size_t plane = 0; plane < p->planes; plane++)
        for (int oy = 0; oy < p->out_h; oy++) {
            size_t to = (plane * (size_t)p->h + 2 * (size_t)oy) * row;
            for (int ox = 0; ox < p->out_w; ox++, to += 32, at += 16) {
                __m512 g = load16(dy, at, bf16);
                __m256i place = _mm256_loadu_si256((const __m256i *)(const void *)(which + at));
                for (int k = 0; k < 4; k++)
                    store16(dx, to + (size_t)(k / 2) * row + (size_t)(k % 2) * 16,
                            _mm256_cmpeq_epi16_mask(place, _mm256_set1_epi16((short)k)), g, bf16);
            }
        }
}

AVX512 static void maxpool_fast(const dt_pool2d *p, const void *x, void *y, uint16_t *which) {
    if (p->bf16)
        maxpool_2x2(p, x, y, which, true);
    else
        maxpool_2x2(p, x, y, which, false);
}

AVX512 static void maxpool_backward_fast(const dt_pool2d *p, const void *dy, const uint16_t *which,
                                         void *dx) {
    if (p->bf16)
        maxpool_backward_2x2(p, dy, which, dx, true);
    else
        maxpool_backward_2x2(p, dy, which, dx, false);
}

/* Whole 2x2 windows cover the input, in blocks of one register. */
static bool is_fast(const dt_pool2d *p) {
    return p->kernel == 2 && p->stride == 2 && p->pad == 0 && p->block == 16 && p->h % 2 == 0 &&
           p->w % 2 == 0 && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}

#else
static bool is_fast(const dt_pool2d *p) {
    (void)p;
    return false;
}
#define maxpool_fast(p, x, y, which)            (void)0
#define maxpool_backward_fast(p, dy, which, dx) (void)0
#endif

static bool is_avx2(const dt_pool2d *p) {
    return p->kernel == 2 && p->stride == 2 && p->pad == 0 && p->block == 8 && p->h % 2 == 0 &&
           p->w % 2 == 0 && !p->bf16 && dt_avx2_fits();
}

void dt_cpu_maxpool(const dt_pool2d *p, const void *x, void *y, uint16_t *which) {
    if (is_avx2(p))
        dt_avx2_maxpool(p->planes, p->h, p->w, p->relu, x, y, which);
    else if (is_fast(p))
        maxpool_fast(p, x, y, which);
    else if (p->bf16)
        maxpool_any(p, x, y, which, true);
    else
        maxpool_any(p, x, y, which, false);
}

void dt_cpu_maxpool_backward(const dt_pool2d *p, const void *dy, const uint16_t *which, void *dx) {
    if (is_avx2(p))
        dt_avx2_maxpool_backward(p->planes, p->h, p->w, dy, which, dx);
    else if (is_fast(p))
        maxpool_backward_fast(p, dy, which, dx);
    else if (p->bf16)
        maxpool_backward_any(p, dy, which, dx, true);
    else
        maxpool_backward_any(p, dy, which, dx, false);
}

/* ---- average pooling ---- */

/* Rows or columns of window o that lie inside [0, size): [*from, *to). */
static void clip(const dt_pool2d *p, int o, int size, int *from, int *to) {
    *from = o * p->stride - p->pad;
    *to = *from + p->kernel;
    if (*from < 0)
        *from = 0;
    if (*to > size)
        *to = size;
}

void dt_cpu_avgpool(const dt_pool2d *p, const void *x, void *y) {
    size_t b = (size_t)p->block, in = (size_t)p->h * (size_t)p->w * b, at = 0;
    const float share = 1.0f / (float)(p->kernel * p->kernel);
    for (size_t plane = 0; plane < p->planes; plane++)
        for (int oy = 0; oy < p->out_h; oy++)
            for (int ox = 0; ox < p->out_w; ox++)
                for (size_t c = 0; c < b; c++, at++) {
                    int y0, y1, x0, x1;
                    float sum = 0;
                    clip(p, oy, p->h, &y0, &y1);
                    clip(p, ox, p->w, &x0, &x1);
                    for (int iy = y0; iy < y1; iy++)
                        for (int ix = x0; ix < x1; ix++)
                            sum += dt_cpu_load(
                                x, plane * in + ((size_t)iy * (size_t)p->w + (size_t)ix) * b + c,
                                p->bf16);
                    store(y, at, sum * share, p->bf16);
                }
}

void dt_cpu_avgpool_backward(const dt_pool2d *p, const void *dy, void *dx) {
    size_t b = (size_t)p->block, in = (size_t)p->h * (size_t)p->w * b, at = 0;
    const float share = 1.0f / (float)(p->kernel * p->kernel);
    memset(dx, 0, p->planes * in * size_of(p->bf16));
    for (size_t plane = 0; plane < p->planes; plane++)
        for (int oy = 0; oy < p->out_h; oy++)
            for (int ox = 0; ox < p->out_w; ox++)
                for (size_t c = 0; c < b; c++, at++) {
                    int y0, y1, x0, x1;
                    float g = dt_cpu_load(dy, at, p->bf16) * share;
                    clip(p, oy, p->h, &y0, &y1);
                    clip(p, ox, p->w, &x0, &x1);
                    for (int iy = y0; iy < y1; iy++)
                        for (int ix = x0; ix < x1; ix++) {
                            size_t i =
                                plane * in + ((size_t)iy * (size_t)p->w + (size_t)ix) * b + c;
                            store(dx, i, dt_cpu_load(dx, i, p->bf16) + g, p->bf16);
                        }
                }
}

/* ---- element by element ---- */

INLINE void relu(void *y, size_t n, bool bf16) {
    for (size_t i = 0; i < n; i++) {
        float v = dt_cpu_load(y, i, bf16);
        store(y, i, v <= 0 ? 0 : v, bf16);
    }
}

INLINE void relu_backward(void *dy, const void *y, size_t n, bool bf16) {
    for (size_t i = 0; i < n; i++) {
        float g = dt_cpu_load(dy, i, bf16);
        store(dy, i, dt_cpu_load(y, i, bf16) <= 0 ? 0 : g, bf16);
    }
}

INLINE void multiply(void *y, const float *factor, size_t n, bool bf16) {
    for (size_t i = 0; i < n; i++)
        store(y, i, dt_cpu_load(y, i, bf16) * factor[i], bf16);
}

void dt_cpu_relu(void *y, bool bf16, size_t n) {
    if (bf16)
        relu(y, n, true);
    else
        relu(y, n, false);
}

void dt_cpu_relu_backward(void *dy, const void *y, bool bf16, size_t n) {
    if (bf16)
        relu_backward(dy, y, n, true);
    else
        relu_backward(dy, y, n, false);
}

void dt_cpu_multiply(void *y, const float *factor, bool bf16, size_t n) {
    if (bf16)
        multiply(y, factor, n, true);
    else
        multiply(y, factor, n, false);
}

void dt_cpu_to_bf16(void *out, const float *x, size_t n) {
    uint16_t *to = out;
    for (size_t i = 0; i < n; i++)
        to[i] = round_bf16(x[i]);
}

/* ---- weights between plain and laid out ----
 *
 * Outputs are the fast dimension of most layouts, in blocks of 8, 16 or more. Rows are taken 16 at
 * a time: in squares of 8 x 8 where that can be, else with features in the order of the layout, so
 * that the laid-out side is walked line by line, and the lines of the plain side that are open at a
 * time stay in the first-level cache. */

enum { ROWS = 16 };

/* Do 16 rows from o on lie side by side? */
static bool side_by_side(const dnn_weights *at, size_t o, size_t to) {
    if (to - o < ROWS)
        return false;
    for (size_t r = 1; r < ROWS; r++)
        if (at->at_o[o + r] != at->at_o[o] + r)
            return false;
    return true;
}

#if defined(__x86_64__)
/* to[c * stride[c]][r] = from[r][c], 8 x 8; rows of `from` are `line` apart. */
DT_TARGET_AVX2 INLINE void transpose_8(const float *from, size_t line, float *to,
                                       const size_t stride[8]) {
    __m256 a[8], b[8];
    for (size_t r = 0; r < 8; r++)
        a[r] = _mm256_loadu_ps(from + r * line);
    for (int r = 0; r < 8; r += 2) {
        b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < 8; r += 4)
        for (int h = 0; h < 2; h++) {
            a[r + 2 * h] = _mm256_shuffle_ps(b[r + h], b[r + h + 2], 0x44);
            a[r + 2 * h + 1] = _mm256_shuffle_ps(b[r + h], b[r + h + 2], 0xEE);
        }
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_ps(to + stride[c], _mm256_permute2f128_ps(a[c], a[c + 4], 0x20));
        _mm256_storeu_ps(to + stride[c + 4], _mm256_permute2f128_ps(a[c], a[c + 4], 0x31));
    }
}

/* 16 rows that lie side by side, features in the plain order: both sides are whole lines. Returns
 * how many features were done, a multiple of 8. */
DT_TARGET_AVX2 static size_t out_lines(const dnn_weights *at, const float *rows, float *laid_out) {
    size_t j = 0;
    for (; j + 8 <= at->n_j; j += 8)
        for (size_t r = 0; r < ROWS; r += 8)
            transpose_8(rows + r * at->n_j + j, at->n_j, laid_out + r, at->at_j + j);
    return j;
}

#else
static size_t out_lines(const dnn_weights *at, const float *rows, float *laid_out) {
    (void)at, (void)rows, (void)laid_out;
    return 0;
}
#endif

void dt_cpu_weights_out(const dnn_weights *at, const float *plain, void *laid_out, bool bf16,
                        size_t from, size_t to) {
    const size_t n_j = at->n_j;
    for (size_t o = from; o < to; o += ROWS) {
        size_t n = to - o < ROWS ? to - o : ROWS, j = 0;
        const float *rows = plain + o * n_j;
        bool fast = !bf16 && has_avx2() && side_by_side(at, o, to);
        if (fast)
            j = out_lines(at, rows, (float *)laid_out + at->at_o[o]);
        for (; j < n_j; j++) {
            size_t i = fast ? j : at->order[j];
            for (size_t r = 0; r < n; r++)
                store(laid_out, at->at_o[o + r] + at->at_j[i], rows[r * n_j + i], bf16);
        }
    }
}

/* 16 rows whose elements lie side by side: a line of the parts at a time. */
static void gather_lines(const dnn_weights *at, const int64_t *const *parts, int n_parts,
                         int64_t *plain, size_t o) {
    const size_t n_j = at->n_j;
    for (size_t k = 0; k < n_j; k++) {
        size_t j = at->order[k];
        int64_t *row = plain + o * n_j + j, sum[ROWS] = {0};
        for (int p = 0; p < n_parts; p++) {
            const int64_t *line = parts[p] + at->at_o[o] + at->at_j[j];
            for (size_t r = 0; r < ROWS; r++)
                sum[r] += line[r];
        }
        for (size_t r = 0; r < ROWS; r++)
            row[r * n_j] = sum[r];
    }
}

INLINE void gather_row(const dnn_weights *at, const int64_t *const *parts, int n_parts, size_t o,
                       int64_t *row) {
    for (size_t j = 0; j < at->n_j; j++) {
        size_t place = at->at_o[o] + at->at_j[j];
        int64_t sum = 0;
        for (int p = 0; p < n_parts; p++)
            sum += parts[p][place];
        row[j] = sum;
    }
}

void dt_cpu_gather_i64(const dnn_weights *at, const int64_t *const *parts, int n_parts,
                       int64_t *plain, size_t from, size_t to) {
    for (size_t o = from; o < to;) {
        int64_t *row = plain + o * at->n_j;
        if (side_by_side(at, o, to)) {
            gather_lines(at, parts, n_parts, plain, o);
            o += ROWS;
            continue;
        }
        if (n_parts == 1)
            gather_row(at, parts, 1, o, row);
        else
            gather_row(at, parts, n_parts, o, row);
        o++;
    }
}

void dt_cpu_gather_f32(const dnn_weights *at, const float *const *parts, int n_parts, float *plain,
                       size_t from, size_t to) {
    for (size_t o = from; o < to; o++)
        for (size_t j = 0; j < at->n_j; j++) {
            float sum = 0;
            for (int p = 0; p < n_parts; p++)
                sum += parts[p][at->at_o[o] + at->at_j[j]];
            plain[o * at->n_j + j] = sum;
        }
}
