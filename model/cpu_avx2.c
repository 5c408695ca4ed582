/* model/cpu_avx2.c - convolutions and pooling for AVX2.
 *
 * A vector holds 8 output channels. Loops over taps and positions are arranged so that about ten
 * sums live in registers: fewer would wait for the four cycles of a multiply-add, more do not fit.
 * Inputs are copied with their padding first, one sample (and block) at a time: the copy stays in
 * the first-level cache, and no loop has edges. */
#include "model/cpu_avx2.h"

#include <math.h>
#include <string.h>

#include "model/cpu_kernels.h"
#include "model/simd.h"

static int out_size(const dt_avx2_conv *c, int in) {
    return in + 2 * c->pad - c->kernel + 1;
}

static size_t square(int n) {
    return (size_t)n * (size_t)n;
}

static size_t padded_width(const dt_avx2_conv *c) {
    return (size_t)c->w + 2 * (size_t)c->pad;
}

static size_t padded_area(const dt_avx2_conv *c) {
    return ((size_t)c->h + 2 * (size_t)c->pad) * padded_width(c);
}

static size_t out_area(const dt_avx2_conv *c) {
    return (size_t)out_size(c, c->h) * (size_t)out_size(c, c->w);
}

/* A padded plane, and for kernels of 5 the gradients of two blocks before the pooling. */
size_t dt_avx2_stem_scratch(const dt_avx2_conv *c) {
    return (padded_area(c) + (c->kernel == 5 ? 2 * out_area(c) * 8 : 0)) * sizeof(float);
}

size_t dt_avx2_conv_scratch(const dt_avx2_conv *c) {
    return (size_t)c->in_blocks * padded_area(c) * 8 * sizeof(float);
}

bool dt_avx2_stem_fits(const dt_avx2_conv *c) {
    int rows = out_size(c, c->h), columns = out_size(c, c->w);
    return dt_avx2_fits() && (c->kernel == 3 || c->kernel == 5) && rows >= 2 && columns >= 2 &&
           rows % 2 == 0 && columns % 2 == 0;
}

bool dt_avx2_conv_fits(const dt_avx2_conv *c) {
    return dt_avx2_fits() && (c->kernel == 3 || c->kernel == 5) && c->n_blocks % 2 == 0 &&
           out_size(c, c->h) >= 1 && out_size(c, c->w) >= 1;
}

#if DT_SIMD_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE TARGET static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL   _Pragma("unroll")
#define UNROLL_4 _Pragma("unroll 4")
#else
#define UNROLL   _Pragma("GCC unroll 25")
#define UNROLL_4 _Pragma("GCC unroll 4") /* by more, gcc 12 keeps sums in memory */
#endif

bool dt_avx2_fits(void) {
    return dt_simd_level() == DT_SIMD_AVX2 && __builtin_cpu_supports("fma");
}

/* to[h + 2 pad][w + 2 pad][block] = from[h][w][block] with zeros around. */
static void pad_plane(const dt_avx2_conv *c, const float *from, size_t block, float *to) {
    size_t line = padded_width(c) * block, row = (size_t)c->w * block;
    size_t side = (size_t)c->pad * block;
    memset(to, 0, (size_t)c->pad * line * sizeof *to);
    to += (size_t)c->pad * line;
    for (int y = 0; y < c->h; y++, to += line, from += row) {
        memset(to, 0, side * sizeof *to);
        memcpy(to + side, from, row * sizeof *to);
        memset(to + side + row, 0, side * sizeof *to);
    }
    memset(to, 0, (size_t)c->pad * line * sizeof *to);
}

/* ---- maximum of a window ---- */

INLINE void take_larger(__m256 v, int place, __m256 *best, __m256i *which) {
    __m256 wins =
        _mm256_or_ps(_mm256_cmp_ps(v, *best, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    *best = _mm256_blendv_ps(*best, v, wins);
    *which = _mm256_blendv_epi8(*which, _mm256_set1_epi32(place), _mm256_castps_si256(wins));
}

/* The largest of four, first wins, NaN wins; with relu what is not above 0 becomes 0. */
INLINE void write_max(const __m256 v[4], bool relu, float *y, uint16_t *which) {
    __m256 best = v[0];
    __m256i place = _mm256_setzero_si256();
    for (int k = 1; k < 4; k++)
        take_larger(v[k], k, &best, &place);
    if (relu) {
        __m256 alive = _mm256_cmp_ps(best, _mm256_setzero_ps(), _CMP_NLE_UQ);
        best = _mm256_and_ps(best, alive);
        place =
            _mm256_blendv_epi8(_mm256_set1_epi32(DT_POOL_NONE), place, _mm256_castps_si256(alive));
    }
    _mm256_storeu_ps(y, best);
    __m128i low = _mm256_castsi256_si128(place), high = _mm256_extracti128_si256(place, 1);
    _mm_storeu_si128((__m128i *)(void *)which, _mm_packus_epi32(low, high));
}

INLINE __m256i read_which(const uint16_t *which) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)which));
}

/* g where the window's maximum stood at place k, else 0. */
INLINE __m256 at_place(__m256 g, __m256i which, int k) {
    __m256i here = _mm256_cmpeq_epi32(which, _mm256_set1_epi32(k));
    return _mm256_and_ps(g, _mm256_castsi256_ps(here));
}

TARGET void dt_avx2_maxpool(size_t planes, int h, int w, bool relu, const float *x, float *y,
                            uint16_t *which) {
    size_t row = (size_t)w * 8;
    for (size_t i = 0; i < planes * (size_t)(h / 2); i++, x += row)
        for (int ox = 0; ox < w / 2; ox++, x += 16, y += 8, which += 8) {
            const __m256 v[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8),
                                 _mm256_loadu_ps(x + row), _mm256_loadu_ps(x + row + 8)};
            write_max(v, relu, y, which);
        }
}

TARGET void dt_avx2_maxpool_backward(size_t planes, int h, int w, const float *dy,
                                     const uint16_t *which, float *dx) {
    size_t row = (size_t)w * 8;
    for (size_t i = 0; i < planes * (size_t)(h / 2); i++, dx += row)
        for (int ox = 0; ox < w / 2; ox++, dx += 16, dy += 8, which += 8) {
            __m256 g = _mm256_loadu_ps(dy);
            __m256i place = read_which(which);
            _mm256_storeu_ps(dx, at_place(g, place, 0));
            _mm256_storeu_ps(dx + 8, at_place(g, place, 1));
            _mm256_storeu_ps(dx + row, at_place(g, place, 2));
            _mm256_storeu_ps(dx + row + 8, at_place(g, place, 3));
        }
}

/* ---- stem ---- */

/* One window for n <= 3 blocks: 4 n sums. x: the window's corner in the padded plane. */
INLINE void stem_window(const float *x, size_t line, const float *weights, const float *bias,
                        int kernel, int n, bool relu, float *y, uint16_t *which, size_t y_stride) {
    size_t taps = square(kernel);
    __m256 v[3][4], tap[3];
    UNROLL for (int b = 0; b < n; b++) UNROLL for (int k = 0; k < 4; k++) v[b][k] =
        _mm256_loadu_ps(bias + 8 * b);
    for (int ky = 0; ky < kernel; ky++)
        for (int kx = 0; kx < kernel; kx++, weights += 8) {
            const float *p = x + (size_t)ky * line + kx;
            const float *const place[4] = {p, p + 1, p + line, p + line + 1};
            UNROLL for (int b = 0; b < n; b++) tap[b] =
                _mm256_loadu_ps(weights + (size_t)b * taps * 8);
            UNROLL for (int k = 0; k < 4; k++) {
                __m256 pixel = _mm256_broadcast_ss(place[k]);
                UNROLL for (int b = 0; b < n; b++) v[b][k] =
                    _mm256_fmadd_ps(tap[b], pixel, v[b][k]);
            }
        }
    UNROLL for (int b = 0; b < n; b++)
        write_max(v[b], relu, y + (size_t)b * y_stride, which + (size_t)b * y_stride);
}

/* n blocks of all windows of one sample. */
INLINE void stem_blocks(const dt_avx2_conv *c, const float *plane, const float *weights,
                        const float *bias, int kernel, int n, float *y, uint16_t *which) {
    int rows = out_size(c, c->h) / 2, columns = out_size(c, c->w) / 2;
    size_t line = padded_width(c), stride = (size_t)rows * (size_t)columns * 8;
    for (int oy = 0; oy < rows; oy++)
        for (int ox = 0; ox < columns; ox++, y += 8, which += 8)
            stem_window(plane + (size_t)(2 * oy) * line + 2 * ox, line, weights, bias, kernel, n,
                        c->relu, y, which, stride);
}

/* One block alone has too few sums to keep the units busy: threes and twos as far as that goes. */
INLINE void stem_sample(const dt_avx2_conv *c, const float *plane, const float *weights,
                        const float *bias, int kernel, float *y, uint16_t *which) {
    size_t taps = square(kernel) * 8;
    size_t area = (size_t)(out_size(c, c->h) / 2) * (size_t)(out_size(c, c->w) / 2) * 8;
    for (int left = c->n_blocks, n; left > 0; left -= n) {
        n = left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3;
        if (n == 3)
            stem_blocks(c, plane, weights, bias, kernel, 3, y, which);
        else if (n == 2)
            stem_blocks(c, plane, weights, bias, kernel, 2, y, which);
        else
            stem_blocks(c, plane, weights, bias, kernel, 1, y, which);
        weights += (size_t)n * taps;
        bias += 8 * n;
        y += (size_t)n * area;
        which += (size_t)n * area;
    }
}

TARGET void dt_avx2_stem(const dt_avx2_conv *c, const float *x, const float *weights,
                         const float *bias, float *y, uint16_t *which, float *scratch) {
    size_t in = (size_t)c->h * (size_t)c->w;
    size_t out =
        (size_t)c->n_blocks * (size_t)(out_size(c, c->h) / 2) * (size_t)(out_size(c, c->w) / 2) * 8;
    for (int s = 0; s < c->m; s++, x += in, y += out, which += out) {
        pad_plane(c, x, 1, scratch);
        if (c->kernel == 3)
            stem_sample(c, scratch, weights, bias, 3, y, which);
        else
            stem_sample(c, scratch, weights, bias, 5, y, which);
    }
}

/* Add one sample's share to the 9 taps of one block. */
INLINE void stem_taps_3(const dt_avx2_conv *c, const float *plane, const float *dy,
                        const uint16_t *which, float *dweights) {
    size_t line = padded_width(c);
    __m256 sum[9];
    UNROLL for (int t = 0; t < 9; t++) sum[t] = _mm256_loadu_ps(dweights + 8 * t);
    for (int oy = 0; oy < out_size(c, c->h) / 2; oy++)
        for (int ox = 0; ox < out_size(c, c->w) / 2; ox++, dy += 8, which += 8) {
            const float *x = plane + (size_t)(2 * oy) * line + 2 * ox;
            UNROLL for (int k = 0; k < 4; k++) {
                const float *p = x + (size_t)(k / 2) * line + k % 2;
                __m256 g = at_place(_mm256_loadu_ps(dy), read_which(which), k);
                UNROLL for (int t = 0; t < 9; t++) sum[t] = _mm256_fmadd_ps(
                    g, _mm256_broadcast_ss(p + (size_t)(t / 3) * line + t % 3), sum[t]);
            }
        }
    UNROLL for (int t = 0; t < 9; t++) _mm256_storeu_ps(dweights + 8 * t, sum[t]);
}

/* Add one sample's share to `rows` rows of 5 taps, from that of plane on, of n blocks: 10 sums. dy:
 * [n][out_area][8], before the pooling. */
INLINE void stem_taps_5(const dt_avx2_conv *c, const float *plane, const float *dy, int rows, int n,
                        float *dweights) {
    const int taps = rows * 5;
    size_t line = padded_width(c), area = out_area(c) * 8;
    __m256 sum[10]; /* [n][taps] */
    UNROLL for (int b = 0; b < n; b++) UNROLL for (int t = 0; t < taps; t++) sum[b * taps + t] =
        _mm256_loadu_ps(dweights + (size_t)b * 25 * 8 + 8 * t);
    for (int oy = 0; oy < out_size(c, c->h); oy++, plane += line)
        for (int ox = 0; ox < out_size(c, c->w); ox++, dy += 8) {
            __m256 g[2];
            UNROLL for (int b = 0; b < n; b++) g[b] = _mm256_loadu_ps(dy + (size_t)b * area);
            UNROLL for (int t = 0; t < taps; t++) {
                __m256 pixel = _mm256_broadcast_ss(plane + (size_t)(t / 5) * line + ox + t % 5);
                UNROLL for (int b = 0; b < n; b++) sum[b * taps + t] =
                    _mm256_fmadd_ps(g[b], pixel, sum[b * taps + t]);
            }
        }
    UNROLL for (int b = 0; b < n; b++) UNROLL for (int t = 0; t < taps; t++)
        _mm256_storeu_ps(dweights + (size_t)b * 25 * 8 + 8 * t, sum[b * taps + t]);
}

/* The bias gradient of one block of one sample: the same sum without pixels. */
INLINE void stem_bias(const float *dy, const uint16_t *which, size_t area, float *dbias) {
    __m256 sum = _mm256_loadu_ps(dbias);
    for (size_t i = 0; i < area; i += 8) {
        __m256i none = _mm256_cmpeq_epi32(read_which(which + i), _mm256_set1_epi32(DT_POOL_NONE));
        sum = _mm256_add_ps(sum,
                            _mm256_andnot_ps(_mm256_castsi256_ps(none), _mm256_loadu_ps(dy + i)));
    }
    _mm256_storeu_ps(dbias, sum);
}

INLINE void stem_gradient_3(const dt_avx2_conv *c, const float *plane, const float *dy,
                            const uint16_t *which, float *dweights, size_t area) {
    for (int b = 0; b < c->n_blocks; b++)
        stem_taps_3(c, plane, dy + (size_t)b * area, which + (size_t)b * area,
                    dweights + (size_t)b * 9 * 8);
}

/* 25 taps are more than registers: rows of taps, each with all positions, so that finding the
 * places of the maxima first, once, pays. */
INLINE void stem_gradient_5(const dt_avx2_conv *c, const float *plane, const float *dy,
                            const uint16_t *which, float *dweights, size_t area, float *unpooled) {
    size_t line = padded_width(c);
    for (int b = 0, n; b < c->n_blocks; b += n) {
        n = c->n_blocks - b >= 2 ? 2 : 1;
        float *to = dweights + (size_t)b * 25 * 8;
        dt_avx2_maxpool_backward((size_t)n, out_size(c, c->h), out_size(c, c->w),
                                 dy + (size_t)b * area, which + (size_t)b * area, unpooled);
        for (int ky = 0; ky < 5; ky++) {
            const float *x = plane + (size_t)ky * line;
            if (n == 2)
                stem_taps_5(c, x, unpooled, 1, 2, to + (size_t)ky * 5 * 8);
            else if (ky == 4)
                stem_taps_5(c, x, unpooled, 1, 1, to + (size_t)ky * 5 * 8);
            else if (ky % 2 == 0)
                stem_taps_5(c, x, unpooled, 2, 1, to + (size_t)ky * 5 * 8);
        }
    }
}

TARGET void dt_avx2_stem_gradient(const dt_avx2_conv *c, const float *x, const float *dy,
                                  const uint16_t *which, float *dweights, float *dbias,
                                  float *scratch) {
    size_t area = (size_t)(out_size(c, c->h) / 2) * (size_t)(out_size(c, c->w) / 2) * 8;
    size_t in = (size_t)c->h * (size_t)c->w, out = (size_t)c->n_blocks * area;
    size_t n = (size_t)c->n_blocks * 8;
    memset(dweights, 0, n * square(c->kernel) * sizeof *dweights);
    memset(dbias, 0, n * sizeof *dbias);
    for (int s = 0; s < c->m; s++, x += in, dy += out, which += out) {
        pad_plane(c, x, 1, scratch);
        if (c->kernel == 3)
            stem_gradient_3(c, scratch, dy, which, dweights, area);
        else
            stem_gradient_5(c, scratch, dy, which, dweights, area, scratch + padded_area(c));
        for (int b = 0; b < c->n_blocks; b++)
            stem_bias(dy + (size_t)b * area, which + (size_t)b * area, area, dbias + 8 * b);
    }
}

/* ---- convolution ---- */

enum { WIDEST = 6, WEIGHT_BYTES = 20480 };

/* A convolution as this section sees it, of one sample. */
typedef struct {
    const dt_avx2_conv *c;
    const float *planes, *weights, *bias; /* planes: in_blocks of them, padded */
    float *y;
    size_t line, plane; /* elements of a padded row and plane */
    size_t pair, apart; /* of the weights of an input and an output block; of an output block */
    size_t area;        /* of an output block */
} conv_job;

/* The rows of taps that meet row oy and are not all padding: [*from, *to). */
static void tap_rows(const dt_avx2_conv *c, int oy, int *from, int *to) {
    *from = c->pad > oy ? c->pad - oy : 0;
    *to = c->h + c->pad - oy < c->kernel ? c->h + c->pad - oy : c->kernel;
}

/* `width` outputs of row oy from column ox on, of 2 output blocks from b on, over input blocks
 * [from, to): 2 * width sums. */
INLINE void conv_tile(const conv_job *j, int b, int from, int to, int oy, int ox, int width) {
    const dt_avx2_conv *c = j->c;
    const float *w = j->weights + (size_t)b * j->apart + (size_t)from * j->pair;
    const float *x = j->planes + (size_t)from * j->plane + (size_t)oy * j->line + 8 * ox;
    float *y =
        j->y + (size_t)b * j->area + ((size_t)oy * (size_t)out_size(c, c->w) + (size_t)ox) * 8;
    const size_t row = (size_t)c->kernel * 64;
    int first, last;
    __m256 sum[WIDEST][2];
    tap_rows(c, oy, &first, &last);
    UNROLL for (int q = 0; q < width; q++) UNROLL for (int k = 0; k < 2; k++) sum[q][k] =
        _mm256_loadu_ps(from > 0 ? y + (size_t)k * j->area + 8 * q : j->bias + 8 * (b + k));
    for (int i = from; i < to; i++, x += j->plane, w += j->pair)
        for (int ky = first; ky < last; ky++) {
            const float *p = x + (size_t)ky * j->line, *tap = w + (size_t)ky * row;
            for (const float *end = tap + row; tap < end; tap += 64, p += 8)
                UNROLL_4 for (int k = 0; k < 8; k++) {
                    __m256 w0 = _mm256_loadu_ps(tap + 8 * k);
                    __m256 w1 = _mm256_loadu_ps(tap + j->apart + 8 * k);
                    UNROLL for (int q = 0; q < width; q++) {
                        __m256 in = _mm256_broadcast_ss(p + 8 * q + k);
                        sum[q][0] = _mm256_fmadd_ps(w0, in, sum[q][0]);
                        sum[q][1] = _mm256_fmadd_ps(w1, in, sum[q][1]);
                    }
                }
        }
    UNROLL for (int q = 0; q < width; q++) UNROLL for (int k = 0; k < 2; k++) {
        __m256 v = sum[q][k];
        if (c->relu && to == c->in_blocks) /* NaN stays NaN */
            v = _mm256_max_ps(_mm256_setzero_ps(), v);
        _mm256_storeu_ps(y + (size_t)k * j->area + 8 * q, v);
    }
}

/* A row of outputs, in tiles of nearly the same width. */
TARGET static void conv_row(const conv_job *j, int b, int from, int to, int oy) {
    int columns = out_size(j->c, j->c->w), tiles = (columns + WIDEST - 1) / WIDEST;
    for (int ox = 0, width; ox < columns; ox += width, tiles--) {
        width = (columns - ox + tiles - 1) / tiles;
        switch (width) {
        case 6:
            conv_tile(j, b, from, to, oy, ox, 6);
            break;
        case 5:
            conv_tile(j, b, from, to, oy, ox, 5);
            break;
        case 4:
            conv_tile(j, b, from, to, oy, ox, 4);
            break;
        case 3:
            conv_tile(j, b, from, to, oy, ox, 3);
            break;
        case 2:
            conv_tile(j, b, from, to, oy, ox, 2);
            break;
        default:
            conv_tile(j, b, from, to, oy, ox, 1);
        }
    }
}

void dt_avx2_conv_run(const dt_avx2_conv *c, const float *x, const float *weights,
                      const float *bias, float *y, float *scratch) {
    size_t in = (size_t)c->h * (size_t)c->w * 8, pair = square(c->kernel) * 64;
    conv_job j = {.c = c,
                  .weights = weights,
                  .bias = bias,
                  .y = y,
                  .line = padded_width(c) * 8,
                  .plane = padded_area(c) * 8,
                  .pair = pair,
                  .apart = (size_t)c->in_blocks * pair,
                  .area = out_area(c) * 8};
    /* as many input blocks at a time as leave their weights in the first-level cache */
    int most = (int)(WEIGHT_BYTES / (2 * pair * sizeof(float)));
    most = most > 1 ? most : 1;
    for (int s = 0; s < c->m; s++, j.y += (size_t)c->n_blocks * j.area) {
        j.planes = c->pad > 0 ? scratch : x;
        for (int i = 0; i < c->in_blocks; i++, x += in)
            if (c->pad > 0)
                pad_plane(c, x, 8, scratch + (size_t)i * j.plane);
        for (int b = 0; b < c->n_blocks; b += 2)
            for (int from = 0; from < c->in_blocks; from += most)
                for (int oy = 0; oy < out_size(c, c->h); oy++)
                    conv_row(&j, b, from, from + most < c->in_blocks ? from + most : c->in_blocks,
                             oy);
    }
}

/* ---- weight gradient of a convolution ---- */

/* Add one sample's share to a row of taps of n input channels and 2 output blocks: kernel * n * 2
 * sums. x: in the padded plane, at the row of taps and the first of the channels; to: the first
 * block's, the second's lies `apart` behind. */
INLINE void gradient_taps(const float *x, size_t line, const float *dy, size_t area, int rows,
                          int columns, int kernel, int n, float *to, size_t apart) {
    __m256 sum[2][6];
    UNROLL for (int b = 0; b < 2; b++) UNROLL for (int t = 0; t < kernel * n; t++) sum[b][t] =
        _mm256_loadu_ps(to + (size_t)b * apart + (size_t)(t / n) * 64 + (size_t)(t % n) * 8);
    for (int oy = 0; oy < rows; oy++, x += line) {
        const float *p = x;
        for (int ox = 0; ox < columns; ox++, p += 8, dy += 8) {
            __m256 g0 = _mm256_loadu_ps(dy), g1 = _mm256_loadu_ps(dy + area);
            UNROLL for (int t = 0; t < kernel * n; t++) {
                __m256 in = _mm256_broadcast_ss(p + (size_t)(t / n) * 8 + t % n);
                sum[0][t] = _mm256_fmadd_ps(g0, in, sum[0][t]);
                sum[1][t] = _mm256_fmadd_ps(g1, in, sum[1][t]);
            }
        }
    }
    UNROLL for (int b = 0; b < 2; b++) UNROLL for (int t = 0; t < kernel * n; t++) _mm256_storeu_ps(
        to + (size_t)b * apart + (size_t)(t / n) * 64 + (size_t)(t % n) * 8, sum[b][t]);
}

/* One sample, one input block, all output blocks. plane: padded. */
INLINE void gradient_plane(const dt_avx2_conv *c, const float *plane, const float *dy, int kernel,
                           int n, float *to) {
    int rows = out_size(c, c->h), columns = out_size(c, c->w);
    size_t line = padded_width(c) * 8, area = (size_t)rows * (size_t)columns * 8;
    size_t apart = (size_t)c->in_blocks * square(kernel) * 64;
    for (int b = 0; b < c->n_blocks; b += 2)
        for (int ky = 0; ky < kernel; ky++) {
            /* rows of outputs that do not meet padding only */
            int first = c->pad > ky ? c->pad - ky : 0;
            int last = c->h + c->pad - ky < rows ? c->h + c->pad - ky : rows;
            for (int i = 0; i < 8; i += n)
                gradient_taps(plane + (size_t)(ky + first) * line + i, line,
                              dy + (size_t)b * area + (size_t)first * (size_t)columns * 8, area,
                              last - first, columns, kernel, n,
                              to + (size_t)b * apart + (size_t)(ky * kernel) * 64 + (size_t)i * 8,
                              apart);
        }
}

INLINE void gradient_bias(const float *dy, size_t area, float *dbias) {
    __m256 sum = _mm256_loadu_ps(dbias);
    for (size_t i = 0; i < area; i += 8)
        sum = _mm256_add_ps(sum, _mm256_loadu_ps(dy + i));
    _mm256_storeu_ps(dbias, sum);
}

TARGET void dt_avx2_conv_gradient(const dt_avx2_conv *c, const float *x, const float *dy,
                                  float *dweights, float *dbias, float *scratch) {
    size_t in = (size_t)c->h * (size_t)c->w * 8;
    size_t area = (size_t)out_size(c, c->h) * (size_t)out_size(c, c->w) * 8;
    size_t block = square(c->kernel) * 64; /* of weights */
    memset(dbias, 0, (size_t)c->n_blocks * 8 * sizeof *dbias);
    memset(dweights, 0, (size_t)c->n_blocks * (size_t)c->in_blocks * block * sizeof *dweights);
    for (int s = 0; s < c->m; s++, dy += (size_t)c->n_blocks * area) {
        for (int i = 0; i < c->in_blocks; i++, x += in) {
            pad_plane(c, x, 8, scratch);
            if (c->kernel == 3)
                gradient_plane(c, scratch, dy, 3, 2, dweights + (size_t)i * block);
            else
                gradient_plane(c, scratch, dy, 5, 1, dweights + (size_t)i * block);
        }
        for (int b = 0; b < c->n_blocks; b++)
            gradient_bias(dy + (size_t)b * area, area, dbias + 8 * b);
    }
}

#else

bool dt_avx2_fits(void) {
    return false;
}
/* clang-format off: never called, see dt_avx2_fits() */
void dt_avx2_stem(const dt_avx2_conv *c, const float *x, const float *weights, const float *bias,
                  float *y, uint16_t *which, float *scratch) {
    (void)c, (void)x, (void)weights, (void)bias, (void)y, (void)which, (void)scratch;
}
void dt_avx2_stem_gradient(const dt_avx2_conv *c, const float *x, const float *dy,
                           const uint16_t *which, float *dweights, float *dbias, float *scratch) {
    (void)c, (void)x, (void)dy, (void)which, (void)dweights, (void)dbias, (void)scratch;
}
void dt_avx2_conv_run(const dt_avx2_conv *c, const float *x, const float *weights,
                      const float *bias, float *y, float *scratch) {
    (void)c, (void)x, (void)weights, (void)bias, (void)y, (void)scratch;
}
void dt_avx2_conv_gradient(const dt_avx2_conv *c, const float *x, const float *dy, float *dweights,
                           float *dbias, float *scratch) {
    (void)c, (void)x, (void)dy, (void)dweights, (void)dbias, (void)scratch;
}
void dt_avx2_maxpool(size_t planes, int h, int w, bool relu, const float *x, float *y,
                     uint16_t *which) {
    (void)planes, (void)h, (void)w, (void)relu, (void)x, (void)y, (void)which;
}
void dt_avx2_maxpool_backward(size_t planes, int h, int w, const float *dy, const uint16_t *which,
                              float *dx) {
    (void)planes, (void)h, (void)w, (void)dy, (void)which, (void)dx;
}
/* clang-format on */
#endif
