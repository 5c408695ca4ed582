/* Fixed point: rounding at every corner, bad values, limits, the same bits at every SIMD level. */
#include "model/fixed.h"
#include <float.h>
#include <limits.h>
#include "model/backend.h"
#include "model/simd.h"
#include "tests/t.h"

/* The truth: exact in long double (64 bits of mantissa hold 24 + 40), ties by hand. */
static int64_t slow(float g) {
    long double x = (long double)g * 0x1p40L, down = floorl(x), part = x - down;
    int64_t i = (int64_t)down;
    return part > 0.5L || (part == 0.5L && (i & 1)) ? i + 1 : i;
}

static float bits_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

enum { N_VALUES = 1 << 20 };

/* Halves and their neighbours around 0, every exponent with mantissas at both ends, and a sweep of
 * the bit patterns of floats. Returns how many; those not below the limit are meant. */
static size_t make_values(float *v) {
    size_t n = 0;
    for (int i = -4096; i <= 4096; i++) {
        float half = (float)i * 0x1p-41f;
        v[n++] = half;
        v[n++] = nextafterf(half, INFINITY);
        v[n++] = nextafterf(half, -INFINITY);
    }
    for (uint32_t sign_exponent = 0; sign_exponent < 512; sign_exponent++)
        for (uint32_t m = 0; m < 16; m++)
            v[n++] = bits_float(sign_exponent << 23 | (m < 8 ? m : 0x7fffffu - (m - 8)));
    for (uint32_t i = 0; n < N_VALUES; i++)
        v[n++] = bits_float(i * 4099u);
    return n;
}

static void test_rounding(const float *v, size_t n, dt_simd level) {
    const float limit = dt_fixed_limit(1);
    int64_t *acc = malloc(n * sizeof *acc), *set = malloc(n * sizeof *set);
    for (size_t i = 0; i < n; i++)
        acc[i] = (int64_t)i - 1000;
    int64_t bad = dt_fixed_add(acc, v, n, limit), want_bad = 0;
    T_CHECK(dt_fixed_set(set, v, n, limit) == bad);
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) {
        bool good = fabsf(v[i]) < limit;
        int64_t want = good ? slow(v[i]) : 0;
        want_bad += !good;
        wrong += acc[i] != want + (int64_t)i - 1000 || set[i] != want;
    }
    if (!T_CHECK(wrong == 0) || !T_CHECK(bad == want_bad))
        fprintf(stderr, "    %s: %zu wrong\n", dt_simd_name(level), wrong);
    T_CHECK(want_bad > 1000 && want_bad < (int64_t)n / 2);
    free(acc);
    free(set);
}

static void test_corners(void) {
    static const struct {
        float g;
        int64_t want;
    } cases[] = {
        {0.0f, 0},
        {-0.0f, 0},
        {1.0f, (int64_t)1 << 40},
        {0x1p-41f, 0},
        {-0x1p-41f, 0},
        {0x1.8p-40f, 2},
        {-0x1.8p-40f, -2},
        {0x1.4p-39f, 2},
        {-0x1.4p-39f, -2},
        {0x1.cp-39f, 4},
        {0x1.000002p-41f, 1},
        {0x1.fffffep-42f, 0},
        {0x1p-149f, 0},
        {0x1p21f, (int64_t)1 << 61},
        {-0x1.fffffep21f, -((int64_t)0x1ffffff - 1) * ((int64_t)1 << 37)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t acc = 5;
        T_CHECK(dt_fixed_add(&acc, &cases[i].g, 1, dt_fixed_limit(1)) == 0);
        if (!T_CHECK(acc == cases[i].want + 5))
            fprintf(stderr, "    %a gave %lld\n", (double)cases[i].g, (long long)acc - 5);
    }
}

static void test_bad(void) {
    const float limit = dt_fixed_limit(16);
    float g[19] = {0};
    for (int at = 0; at < 19; at++) {
        static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0x1p18f, -0x1p18f, FLT_MAX};
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            int64_t acc[20];
            for (int i = 0; i < 20; i++)
                acc[i] = 42;
            g[at] = bad[k];
            T_CHECK(dt_fixed_add(acc, g, 19, limit) == 1);
            for (int i = 0; i < 20; i++)
                if (acc[i] != 42)
                    T_CHECK(!"a bad value was added, or the guard was touched");
            T_CHECK(dt_fixed_set(acc, g, 19, limit) == 1);
            T_CHECK(acc[at] == 0 && acc[19] == 42);
        }
        g[at] = nextafterf(limit, 0);
        int64_t acc[19] = {0};
        T_CHECK(dt_fixed_add(acc, g, 19, limit) == 0);
        g[at] = 0;
    }
}

/* As many of the largest values as a step may have do not overflow. */
static void test_limits(void) {
    static const int counts[] = {0, 1, 2, 3, 7, 16, 100, 4097, 65535, INT_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        float limit = dt_fixed_limit(counts[i]);
        float g = nextafterf(limit, 0);
        int64_t one = 0;
        T_CHECK(dt_fixed_add(&one, &g, 1, limit) == 0);
        T_CHECK((long double)one * (counts[i] > 1 ? counts[i] : 1) < 0x1p63L);
        T_CHECK((long double)one * (counts[i] > 1 ? counts[i] : 1) > 0x1p61L);
    }
}

static void test_back(dt_simd level) {
    enum { N = 4001 };
    int64_t *acc = malloc(N * sizeof *acc), *to = malloc(N * sizeof *to);
    float *g = malloc((N + 1) * sizeof *g);
    uint64_t x = 88172645463325252u;
    size_t wrong = 0;
    for (size_t i = 0; i < N; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* Marsaglia's xorshift */
        acc[i] = (int64_t)x >> (1 + x % 63);
        to[i] = (int64_t)i * 7 - 99;
    }
    acc[0] = (1 << 24) + 1; /* ties, once to each side */
    acc[1] = (1 << 24) + 3;
    g[N] = 42.0f;
    dt_fixed_get(g, acc, N);
    dt_fixed_merge(to, acc, N);
    for (size_t i = 0; i < N; i++) {
        wrong += g[i] != (float)((long double)acc[i] * 0x1p-40L);
        wrong += to[i] != acc[i] + (int64_t)i * 7 - 99;
    }
    if (!T_CHECK(wrong == 0))
        fprintf(stderr, "    %s: %zu wrong\n", dt_simd_name(level), wrong);
    T_CHECK(g[0] == 0x1p-16f && g[1] == 0x1.000004p-16f && g[N] == 42.0f);

    const int64_t edge = (int64_t)1 << 51;
    const int64_t edges[] = {edge,      edge - 1,  edge + 1,  -edge,
                             -edge - 1, -edge + 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 64; i++) /* each in every lane, small ones beside it */
        for (size_t lane = 0; lane < 8; lane++)
            acc[8 * i + lane] = lane == i % 8 ? edges[i / 8] : (int64_t)lane - 3;
    dt_fixed_get(g, acc, 8 * 64);
    for (size_t i = 0; i < (size_t)8 * 64; i++)
        T_CHECK(g[i] == (float)((long double)acc[i] * 0x1p-40L));
    free(acc);
    free(to);
    free(g);
}

static void test_lengths(void) {
    float g[64];
    int64_t acc[65];
    for (size_t i = 0; i < 64; i++)
        g[i] = (float)i;
    for (size_t n = 0; n <= 64; n++) {
        memset(acc, 0x11, sizeof acc);
        dt_fixed_set(acc, g, n, dt_fixed_limit(1));
        size_t right = 0;
        for (size_t i = 0; i <= 64; i++)
            right += acc[i] == (i < n ? (int64_t)i << 40 : 0x1111111111111111);
        T_CHECK(right == 65);
    }
}

static void test_loss_sums(void) {
    T_CHECK(dt_fixed_loss(1.0) == (int64_t)1 << 32);
    T_CHECK(dt_fixed_loss(0x1.8p-32) == 2 && dt_fixed_loss(0x1p-33) == 0);
    T_CHECK(dt_fixed_loss_get(dt_fixed_loss(2.302585)) == nearbyint(2.302585 * 0x1p32) * 0x1p-32);
}

int main(void) {
    T_BEGIN(300);
    float *v = malloc(N_VALUES * sizeof *v);
    size_t n = make_values(v);
    dt_simd best = dt_simd_level();
    for (int level = DT_SIMD_BASE; level <= (int)best; level++) {
        dt_simd_limit((dt_simd)level);
        T_CHECK((int)dt_simd_level() == level);
        test_rounding(v, n, (dt_simd)level);
        test_corners();
        test_bad();
        test_limits();
        test_back((dt_simd)level);
        test_lengths();
    }
    test_loss_sums();
    free(v);
    return t_finish();
}
