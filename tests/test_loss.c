/* The ends of a network: input table, softmax cross-entropy with smoothing, counts, bad rows. */
#include "model/loss.h"
#include "model/dropout.h"
#include "model/fixed.h"
#include "tests/t.h"

enum { M = 5, K = 10 };
static const int64_t samples[M] = {3, 0, -1, 2, 1};
static const uint8_t labels[4] = {9, 0, 4, 4};

static void make_logits(float *z, float size) {
    for (int i = 0; i < M * K; i++)
        z[i] = size * sinf((float)(i * i + 1));
}

/* The same by the textbook, in long double, without the shift by the maximum. */
static long double slow_row(const float *z, int label, double smoothing, long double *dz) {
    long double total = 0, loss = 0;
    for (int k = 0; k < K; k++)
        total += expl((long double)z[k]);
    for (int k = 0; k < K; k++) {
        long double p = expl((long double)z[k]) / total;
        long double y = smoothing / K + (k == label ? 1 - smoothing : 0);
        loss -= y * logl(p);
        dz[k] = p - y;
    }
    return loss;
}

static void test_values(float smoothing) {
    float z[M * K], dz[M * K + 1];
    make_logits(z, 4.0f);
    dz[M * K] = 42.0f;
    int64_t sums[DT_N_SUMS] = {0};
    long double loss = 0, want[K];
    dt_loss_softmax(z, M, K, samples, labels, smoothing, dz, sums, NULL);
    for (int i = 0; i < M; i++) {
        if (samples[i] >= 0)
            loss += slow_row(z + i * K, labels[samples[i]], (double)smoothing, want);
        double row = 0;
        for (int k = 0; k < K; k++) {
            T_NEAR(dz[i * K + k], samples[i] < 0 ? 0.0 : (double)want[k], 1e-9, 1e-7);
            row += dz[i * K + k];
        }
        T_NEAR(row, 0, 1e-6, 0);
    }
    T_NEAR(dt_fixed_loss_get(sums[DT_SUM_LOSS]), (double)loss, 1e-8, 0);
    T_CHECK(sums[DT_SUM_COUNT] == M - 1 && sums[DT_SUM_BAD] == 0);
    T_CHECK(dz[M * K] == 42.0f);
    int64_t again[DT_N_SUMS] = {1, 1, 1, 1};
    dt_loss_softmax(z, M, K, samples, labels, smoothing, NULL, again, NULL);
    for (int i = 0; i < DT_N_SUMS; i++)
        T_CHECK(again[i] == sums[i] + 1); /* added to, with and without gradient */
}

static void test_counts(void) {
    float z[M * K] = {0};
    int64_t sums[DT_N_SUMS] = {0}, confusion[K * K] = {0};
    z[0 * K + 4] = 1.0f;                      /* right: label 4 */
    z[1 * K + 9] = 2.0f, z[1 * K + 3] = 2.0f; /* label 9, but 3 comes first */
    z[2 * K + 1] = 9.0f;                      /* no sample */
    /* row 3: label 4, all equal: the answer is 0; row 4: label 0, all equal: right */
    dt_loss_softmax(z, M, K, samples, labels, 0, NULL, sums, confusion);
    T_CHECK(sums[DT_SUM_CORRECT] == 2 && sums[DT_SUM_COUNT] == 4);
    T_CHECK(confusion[4 * K + 4] == 1 && confusion[9 * K + 3] == 1);
    T_CHECK(confusion[4 * K + 0] == 1 && confusion[0] == 1);
    int64_t all = 0;
    for (int i = 0; i < K * K; i++)
        all += confusion[i];
    T_CHECK(all == 4);
}

/* Each bad row is counted and adds nothing to the loss; the other rows still do. */
static void test_bad(void) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f, 2e4f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float z[M * K] = {0}, dz[M * K];
        int64_t sums[DT_N_SUMS] = {0};
        z[1 * K + 9] = bad[i] > 0 ? -bad[i] : bad[i]; /* the label's own: the loss explodes */
        dt_loss_softmax(z, M, K, samples, labels, 0, dz, sums, NULL);
        T_CHECK(sums[DT_SUM_BAD] == 1 && sums[DT_SUM_COUNT] == 4);
        T_NEAR(dt_fixed_loss_get(sums[DT_SUM_LOSS]), 3 * log(10), 1e-8, 0);
    }
    float z[M * K] = {0};
    int64_t sums[DT_N_SUMS] = {0};
    z[1 * K + 9] = -16000.0f; /* large, yet a number that can be added */
    dt_loss_softmax(z, M, K, samples, labels, 0, NULL, sums, NULL);
    T_CHECK(sums[DT_SUM_BAD] == 0);
}

static void test_labels(void) {
    T_OK(dt_loss_check_labels(labels, 4, 10));
    T_OK(dt_loss_check_labels(labels, 0, 1));
    T_FAILS(dt_loss_check_labels(labels, 4, 9), DT_EDATA, "label 9 of sample 0");
}

static void test_input(void) {
    float table[256], x[3 * 2];
    const uint8_t images[4] = {0, 255, 51, 102};
    const int64_t which[3] = {1, -1, 0};
    dt_input_table(0.2, 0.5, table);
    dt_input_gather(table, images, 2, which, 3, x);
    const double want[6] = {0, 0.4, 0, 0, -0.4, 1.6};
    for (int i = 0; i < 6; i++)
        T_NEAR(x[i], want[i], 1e-7, 1e-7);
    dt_input_table(0.0, 0.0, table);
    T_CHECK(table[255] == 1.0f);
}

/* Share, scale, and independence from each of the five things the mask depends on. */
static void test_dropout(void) {
    enum { N = 10007 };
    static float a[N], b[N];
    static const struct {
        uint64_t seed;
        uint32_t epoch;
        int64_t sample;
        int layer;
    } others[] = {{8, 2, 5, 3}, {7, 3, 5, 3}, {7, 2, 6, 3}, {7, 2, 5, 4}};
    dt_dropout_mask(7, 2, 5, 3, 0.25f, a, N);
    int zeros = 0, wrong = 0;
    for (int i = 0; i < N; i++) {
        zeros += a[i] == 0;
        wrong += a[i] != 0 && a[i] != 1.0f / 0.75f;
    }
    T_CHECK(wrong == 0);
    T_NEAR(zeros / (double)N, 0.25, 4 * sqrt(0.25 * 0.75 / N), 0);
    dt_dropout_mask(7, 2, 5, 3, 0.25f, b, N / 2); /* a prefix is a prefix */
    T_CHECK(memcmp(a, b, N / 2 * sizeof *a) == 0);
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        dt_dropout_mask(others[k].seed, others[k].epoch, others[k].sample, others[k].layer, 0.25f,
                        b, N);
        int both = 0;
        for (int i = 0; i < N; i++)
            both += a[i] == 0 && b[i] == 0;
        T_NEAR(both / (double)N, 0.0625, 4 * sqrt(0.0625 * 0.9375 / N), 0);
    }
    dt_dropout_mask(7, 2, 5, 3, 0.0f, b, N);
    for (int i = 0; i < N; i++)
        wrong += b[i] != 1.0f;
    T_CHECK(wrong == 0);
}

int main(void) {
    T_BEGIN(60);
    test_values(0.0f);
    test_values(0.1f);
    test_values(1.0f);
    test_counts();
    test_bad();
    test_labels();
    test_input();
    test_dropout();
    return t_finish();
}
