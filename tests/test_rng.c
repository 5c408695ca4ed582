/* Random numbers: Philox against the known answers of Random123, the ends of dt_uniform, and a
 * permutation that is a bijection for every n, depends on each of its keys, and looks random to
 * chi-square. */
#include "io/rng.h"
#include "tests/t.h"

/* kat_vectors of Random123: "philox4x32 10", counter, key, answer. */
static void test_known_answers(void) {
    static const uint32_t row[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        dt_philox4x32(row[i], row[i] + 4, out);
        T_CHECK(memcmp(out, row[i] + 6, sizeof out) == 0);
    }
}

/* Files depend on which argument goes where: the third known answer, through dt_random. */
static void test_random_layout(void) {
    uint32_t want[4], got[4];
    const uint32_t counter[4] = {0x89abcdef, 0x01234567, 77, DT_RNG_DROPOUT};
    const uint32_t key[2] = {0xfeedbeef, 0xdeadcafe};
    dt_philox4x32(counter, key, want);
    dt_random(0xdeadcafefeedbeefu, DT_RNG_DROPOUT, 77, 0x0123456789abcdefu, got);
    T_CHECK(memcmp(got, want, sizeof got) == 0);
}

static void test_uniform(void) {
    T_CHECK(dt_uniform(0) > 0.0f);
    T_CHECK(dt_uniform(0) == 0x1p-24f);
    T_CHECK(dt_uniform(UINT32_MAX) < 1.0f);
    T_CHECK(dt_uniform(0x80000000u) > 0.5f && dt_uniform(0x7fffffffu) < 0.5f);
    double sum = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t r[4];
        dt_random(1, DT_RNG_INIT, 0, i, r);
        sum += (double)dt_uniform(r[0]);
    }
    T_NEAR(sum / 100000, 0.5, 0.005, 0); /* 5.5 standard deviations */
}

static int is_bijection(uint64_t n, uint64_t seed) {
    unsigned char *seen = calloc(n, 1);
    int good = seen != NULL;
    for (uint64_t i = 0; good && i < n; i++) {
        uint64_t to = dt_permute(n, i, seed, DT_RNG_SHUFFLE, 3);
        good = to < n && !seen[to];
        if (good)
            seen[to] = 1;
    }
    free(seen);
    return good;
}

static void test_bijection(void) {
    int good = 1;
    for (uint64_t n = 1; n <= 300; n++)
        good &= is_bijection(n, n);
    T_CHECK(good);
    static const uint64_t sizes[] = {1000, 1023,  1024,  1025,  4095, 4096,
                                     4097, 10000, 60000, 65536, 65537};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        T_CHECK(is_bijection(sizes[i], 7));
    /* Too large to walk through: in range, and different for different i. */
    static const uint64_t huge[] = {(1ull << 32) + 1, 1ull << 62, (1ull << 62) + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        uint64_t a = dt_permute(huge[i], 0, 7, DT_RNG_SHUFFLE, 0);
        uint64_t b = dt_permute(huge[i], huge[i] - 1, 7, DT_RNG_SHUFFLE, 0);
        T_CHECK(a < huge[i] && b < huge[i] && a != b);
    }
}

/* Every part of the key gives another order; the same key gives the same one. */
static void test_keys(void) {
    int same[4] = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t a = dt_permute(1000, i, 5, DT_RNG_SHUFFLE, 0);
        same[0] += a == dt_permute(1000, i, 6, DT_RNG_SHUFFLE, 0);
        same[1] += a == dt_permute(1000, i, 5, DT_RNG_SUBSET, 0);
        same[2] += a == dt_permute(1000, i, 5, DT_RNG_SHUFFLE, 1);
        same[3] += a == dt_permute(1000, i, 5 + (1ull << 32), DT_RNG_SHUFFLE, 0);
    }
    for (int k = 0; k < 4; k++)
        T_CHECK(same[k] < 10); /* 1 is expected */
}

/* The order of stored runs: may never change. */
static void test_golden(void) {
    static const uint64_t want[8] = {48890, 56930, 47358, 41404, 22312, 41215, 54885, 56679};
    int good = 1;
    for (uint64_t i = 0; i < 8; i++)
        good &= dt_permute(60000, i, 1, DT_RNG_SHUFFLE, 0) == want[i];
    T_CHECK(good);
}

/* Chi-square of counts that should be equal, as standard deviations from its mean. */
static double chi_square_deviation(const long *count, size_t n_cells, double expected) {
    double chi = 0, freedom = (double)n_cells - 1;
    for (size_t i = 0; i < n_cells; i++)
        chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    return (chi - freedom) / sqrt(2 * freedom);
}

/* Over many seeds, all n! orders of a small set come up equally often. */
static void test_small_orders(void) {
    for (uint64_t n = 2; n <= 6; n++) {
        static long count[46656], used[720];
        memset(count, 0, sizeof count);
        size_t n_orders = 1, n_used = 0;
        for (size_t k = 2; k <= n; k++)
            n_orders *= k;
        for (uint64_t seed = 0; seed < n_orders * 100; seed++) {
            size_t code = 0;
            for (uint64_t i = 0; i < n; i++)
                code = code * n + dt_permute(n, i, seed, DT_RNG_SHUFFLE, 0);
            count[code]++;
        }
        for (size_t code = 0; code < 46656; code++)
            if (count[code] > 0 && n_used < 720)
                used[n_used++] = count[code];
        T_CHECK(n_used == n_orders);
        double deviation = chi_square_deviation(used, n_used, 100);
        printf("orders of %d: chi-square %+.1f deviations\n", (int)n, deviation);
        T_CHECK(deviation < 6);
    }
}

/* Where 60,000 samples go, by sixteenths: from each to each, over seeds; and the distance of
 * neighbours. */
static void test_spread(void) {
    enum { N = 60000, CELLS = 16, SEEDS = 8 };
    static long cell[CELLS * CELLS], step[CELLS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint64_t last = dt_permute(N, N - 1, seed, DT_RNG_SHUFFLE, 0);
        for (uint64_t i = 0; i < N; i++) {
            uint64_t to = dt_permute(N, i, seed, DT_RNG_SHUFFLE, 0);
            cell[i * CELLS / N * CELLS + to * CELLS / N]++;
            step[(to + N - last) % N * CELLS / N]++;
            last = to;
        }
    }
    double a = chi_square_deviation(cell, CELLS * CELLS, (double)N * SEEDS / (CELLS * CELLS));
    double b = chi_square_deviation(step, CELLS, (double)N * SEEDS / CELLS);
    printf("spread: chi-square %+.1f deviations, steps %+.1f\n", a, b);
    T_CHECK(a < 6);
    T_CHECK(b < 6);
}

int main(void) {
    T_BEGIN(60);
    test_known_answers();
    test_random_layout();
    test_uniform();
    test_bijection();
    test_keys();
    test_golden();
    test_small_orders();
    test_spread();
    return t_finish();
}
