/* The cpu back end's own kernels, by themselves: what a network rarely shows, as values that are
 * large, bad or not finite. */
#include "t.h"

#include <math.h>

#include "model/cpu_avx2.h"
#include "model/fixed.h"
#include "model/simd.h"

enum { MOST_IN = 104, MOST_OUT = 20, MOST_M = 16, GUARD = 16 };

static uint32_t state = 2463534242u;

static uint32_t next(void) { /* Marsaglia's xorshift */
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

static float uniform(void) {
    return (float)(next() >> 8) * 0x1p-23f - 1.0f;
}

/* Sample by sample with one rounding each, as the kernels add. */
static float dot(const float *x, const float *dy, size_t m, size_t n_in, size_t n_out) {
    float sum = 0;
    for (size_t s = 0; s < m; s++)
        sum = fmaf(dy[s * n_out], x[s * n_in], sum);
    return sum;
}

/* Gradients around 2^scale: with 12 beyond what the fast way converts, with 22 around the limit. */
static void test_fc_gradient(size_t m, size_t n_in, size_t n_out, int scale, bool is_bad) {
    static float x[MOST_M * MOST_IN], dy[MOST_M * MOST_OUT], scratch[MOST_M * MOST_OUT];
    static int64_t sums[MOST_OUT * MOST_IN + GUARD], want[MOST_OUT * MOST_IN + GUARD];
    const float limit = dt_fixed_limit(1), bad_values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < m * n_in; i++)
        x[i] = uniform();
    for (size_t i = 0; i < m * n_out; i++)
        dy[i] = ldexpf(uniform(), next() % 4 ? 0 : scale);
    for (size_t i = 0; is_bad && i < 3; i++)
        x[next() % (m * n_in)] = bad_values[i];
    for (size_t i = 0; i < n_out * n_in + GUARD; i++)
        sums[i] = want[i] = (int64_t)i - 77;
    const dt_fc_gradient g = {m, n_in, n_out, false, true, limit, scratch};
    for (int set = 1; set >= 0; set--) {
        int64_t bad = 0;
        for (size_t o = 0; o < n_out; o++)
            for (size_t i = 0; i < n_in; i++) {
                float value = dot(x + i, dy + o, m, n_in, n_out);
                int64_t *to = &want[o * n_in + i];
                bad +=
                    set ? dt_fixed_set(to, &value, 1, limit) : dt_fixed_add(to, &value, 1, limit);
            }
        T_CHECK(dt_cpu_fc_gradient(&g, x, dy, sums, set) == bad);
        T_CHECK(memcmp(sums, want, sizeof *sums * (n_out * n_in + GUARD)) == 0);
        T_CHECK(bad > 0 || !is_bad);
    }
}

/* NaN goes through ReLU: max() of the hardware would lose it if asked the other way round. */
static void test_nan(void) {
    enum { M = 7, IN = 16, OUT = 24, SIDE = 5 };
    static float x[M * 8 * SIDE * SIDE], w[2 * 9 * 64 + 32 * IN], y[M * 16 * SIDE * SIDE];
    static float scratch[8 * 7 * 7 + M * 16];
    const float bias[32] = {0};
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = -1;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = 1;
    x[3 * IN + 5] = NAN;
    const dt_avx2_fc_shape fc = {M, IN, OUT};
    dt_avx2_fc(&fc, x, w, bias, true, y, scratch);
    for (size_t i = 0; i < M * OUT; i++)
        T_CHECK(i / OUT == 3 ? isnan(y[i]) : y[i] == 0);

    x[3 * IN + 5] = 1;
    x[0] = NAN; /* channel 0 in the corner of sample 0 */
    const dt_avx2_conv conv = {.m = M,
                               .h = SIDE,
                               .w = SIDE,
                               .in_blocks = 1,
                               .n_blocks = 2,
                               .kernel = 3,
                               .pad = 1,
                               .relu = true};
    dt_avx2_conv_run(&conv, x, w, bias, y, scratch);
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) {
        size_t at = i / 8 % (SIDE * SIDE);
        bool meets = i / (16 * SIDE * SIDE) == 0 && at / SIDE <= 1 && at % SIDE <= 1;
        if (!T_CHECK(meets ? isnan(y[i]) : y[i] == 0))
            break;
    }
}

int main(void) {
    T_BEGIN(60);
    if (!dt_cpu_fc_fits(false, 8)) {
        printf("skipped: this CPU has no AVX2 with FMA\n");
        return 77;
    }
    const size_t columns[] = {8, 24, 96, 104}, rows[] = {1, 3, 4, 7, 20}, samples[] = {1, 5, 16};
    const int scales[] = {0, 12, 22};
    dt_simd best = dt_simd_level();
    for (int level = DT_SIMD_AVX2; level <= (int)best; level++) {
        dt_simd_limit((dt_simd)level);
        for (size_t i = 0; i < 4 * 5 * 3 * 3 * 2; i++)
            test_fc_gradient(samples[i % 3], columns[i / 3 % 4], rows[i / 12 % 5],
                             scales[i / 60 % 3], i / 180 % 2);
    }
    dt_simd_limit(DT_SIMD_AVX2);
    test_nan();
    return t_finish();
}
