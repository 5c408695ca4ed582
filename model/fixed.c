/* model/fixed.c - one pass over a gradient: scale, check, round, add.
 *
 * AVX-512 converts eight floats to eight int64 in one instruction that rounds as wanted. Other
 * instruction sets have none, and there the body works in doubles with the old trick: x + 1.5 *
 * 2^52 forces the rounding of x to an integer into the addition, and leaves that integer in the low
 * bits. The trick holds for 51 bits and a sum needs 62, hence two halves: x = high * 2^32 + low,
 * both exact. */
#include "model/fixed.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "model/backend.h"
#include "model/simd.h"
#if DT_SIMD_X86
#include <immintrin.h>
#endif

static const double gradient_one = 1.0 * ((int64_t)1 << DT_GRADIENT_BITS);
static const double loss_one = 1.0 * ((int64_t)1 << DT_LOSS_BITS);

float dt_fixed_limit(int max_micros) {
    return (float)(0x1p62 / gradient_one / (max_micros > 1 ? max_micros : 1));
}

static const double magic = 0x1.8p52;

/* The integer that adding magic has left in the low bits of shifted. */
DT_ALWAYS_INLINE int64_t low_bits(double shifted) {
    int64_t bits, zero;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&zero, &magic, sizeof zero);
    return bits - zero;
}

/* Magnitudes are compared as integers, which orders floats the same way and NaN above all: floating
 * point comparisons may trap, and keep compilers from vectorising. */
DT_ALWAYS_INLINE int64_t convert_body(int64_t *restrict acc, const float *restrict g, size_t n,
                                      float limit, bool add) {
    int64_t bad = 0;
    int32_t bound;
    memcpy(&bound, &limit, sizeof bound);
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        float v;
        memcpy(&bits, &g[i], sizeof bits);
        int32_t good = (bits & 0x7fffffff) < bound ? -1 : 0;
        bits &= good;
        memcpy(&v, &bits, sizeof v);
        double x = (double)v * gradient_one;
        double high = x * 0x1p-32 + magic;
        double low = x - (high - magic) * 0x1p32 + magic;
        int64_t whole = (int64_t)((uint64_t)low_bits(high) << 32) + low_bits(low);
        acc[i] = add ? acc[i] + whole : whole;
        bad += 1 + good;
    }
    return bad;
}

DT_ALWAYS_INLINE void get_body(float *restrict g, const int64_t *restrict acc, size_t n) {
    for (size_t i = 0; i < n; i++)
        g[i] = (float)acc[i] * (float)(1.0 / gradient_one); /* a power of two: exact */
}

DT_ALWAYS_INLINE void merge_body(int64_t *restrict to, const int64_t *restrict from, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

#if DT_SIMD_X86
/* n <= 8 lanes from i on, the rest of the vector stays untouched. */
DT_ALWAYS_INLINE DT_TARGET_AVX512 int convert_lanes(int64_t *acc, const float *g, __mmask8 lanes,
                                                    __m256 limit, bool add) {
    const __m256 one = _mm256_set1_ps(1.0f * ((int64_t)1 << DT_GRADIENT_BITS));
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 v = _mm256_maskz_loadu_ps(lanes, g);
    __mmask8 good = _mm256_cmp_ps_mask(_mm256_and_ps(v, magnitude), limit, _CMP_LT_OQ);
    __m512i whole = _mm512_maskz_cvtps_epi64(good, _mm256_mul_ps(v, one));
    if (add)
        whole = _mm512_add_epi64(whole, _mm512_maskz_loadu_epi64(lanes, acc));
    _mm512_mask_storeu_epi64(acc, lanes, whole);
    return __builtin_popcount((unsigned)(lanes & ~good));
}

DT_ALWAYS_INLINE DT_TARGET_AVX512 int64_t convert_avx512(int64_t *acc, const float *g, size_t n,
                                                         float limit, bool add) {
    const __m256 bound = _mm256_set1_ps(limit);
    int64_t bad = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        bad += convert_lanes(acc + i, g + i, 0xff, bound, add);
    if (i < n)
        bad += convert_lanes(acc + i, g + i, (__mmask8)((1u << (n - i)) - 1), bound, add);
    return bad;
}

static DT_TARGET_AVX512 int64_t add_avx512(int64_t *acc, const float *g, size_t n, float limit) {
    return convert_avx512(acc, g, n, limit, true);
}

static DT_TARGET_AVX512 int64_t set_avx512(int64_t *acc, const float *g, size_t n, float limit) {
    return convert_avx512(acc, g, n, limit, false);
}

static DT_TARGET_AVX512 void get_avx512(float *g, const int64_t *acc, size_t n) {
    get_body(g, acc, n);
}

static DT_TARGET_AVX512 void merge_avx512(int64_t *to, const int64_t *from, size_t n) {
    merge_body(to, from, n);
}

static DT_TARGET_AVX2 int64_t add_avx2(int64_t *acc, const float *g, size_t n, float limit) {
    return convert_body(acc, g, n, limit, true);
}

static DT_TARGET_AVX2 int64_t set_avx2(int64_t *acc, const float *g, size_t n, float limit) {
    return convert_body(acc, g, n, limit, false);
}

/* An integer below 2^51 becomes a double by the same trick, backwards; what does not fit, or is
 * left over, goes the plain way. */
static DT_TARGET_AVX2 void get_avx2(float *g, const int64_t *acc, size_t n) {
    const __m256i bits = _mm256_castpd_si256(_mm256_set1_pd(magic));
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 51);
    const __m256i beyond = _mm256_set1_epi64x((int64_t)(~(uint64_t)0 << 52));
    const __m256d one = _mm256_set1_pd(1.0 / gradient_one);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(acc + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(acc + i + 4));
        __m256i both = _mm256_or_si256(_mm256_add_epi64(a, half), _mm256_add_epi64(b, half));
        if (!_mm256_testz_si256(both, beyond)) {
            get_body(g + i, acc + i, 8);
            continue;
        }
        __m256d x = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(a, bits)),
                                  _mm256_castsi256_pd(bits));
        __m256d y = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(b, bits)),
                                  _mm256_castsi256_pd(bits));
        _mm_storeu_ps(g + i, _mm256_cvtpd_ps(_mm256_mul_pd(x, one)));
        _mm_storeu_ps(g + i + 4, _mm256_cvtpd_ps(_mm256_mul_pd(y, one)));
    }
    get_body(g + i, acc + i, n - i);
}

static DT_TARGET_AVX2 void merge_avx2(int64_t *to, const int64_t *from, size_t n) {
    merge_body(to, from, n);
}
#endif

int64_t dt_fixed_add(int64_t *acc, const float *g, size_t n, float limit) {
#if DT_SIMD_X86
    dt_simd level = dt_simd_level();
    if (level == DT_SIMD_AVX512)
        return add_avx512(acc, g, n, limit);
    if (level == DT_SIMD_AVX2)
        return add_avx2(acc, g, n, limit);
#endif
    return convert_body(acc, g, n, limit, true);
}

int64_t dt_fixed_set(int64_t *acc, const float *g, size_t n, float limit) {
#if DT_SIMD_X86
    dt_simd level = dt_simd_level();
    if (level == DT_SIMD_AVX512)
        return set_avx512(acc, g, n, limit);
    if (level == DT_SIMD_AVX2)
        return set_avx2(acc, g, n, limit);
#endif
    return convert_body(acc, g, n, limit, false);
}

void dt_fixed_get(float *g, const int64_t *acc, size_t n) {
#if DT_SIMD_X86
    dt_simd level = dt_simd_level();
    if (level == DT_SIMD_AVX512) {
        get_avx512(g, acc, n);
        return;
    }
    if (level == DT_SIMD_AVX2) {
        get_avx2(g, acc, n);
        return;
    }
#endif
    get_body(g, acc, n);
}

void dt_fixed_merge(int64_t *to, const int64_t *from, size_t n) {
#if DT_SIMD_X86
    dt_simd level = dt_simd_level();
    if (level == DT_SIMD_AVX512) {
        merge_avx512(to, from, n);
        return;
    }
    if (level == DT_SIMD_AVX2) {
        merge_avx2(to, from, n);
        return;
    }
#endif
    merge_body(to, from, n);
}

int64_t dt_fixed_loss(double loss) {
    return (int64_t)nearbyint(loss * loss_one);
}

double dt_fixed_loss_get(int64_t sum) {
    return (double)sum / loss_one;
}
