/* tests/test_fit.c - the statistics of the report against tables, closed forms and known laws. */
#include "launch/fit.h"
#include "launch/scaling.h"
#include "tests/t.h"

/* Values of printed tables. */
static void test_quantiles(void) {
    T_NEAR(dt_t_within(0.95, 1), 12.7062, 1e-4, 0);
    T_NEAR(dt_t_within(0.95, 2), 4.30265, 1e-5, 0);
    T_NEAR(dt_t_within(0.99, 5), 4.03214, 1e-5, 0);
    T_NEAR(dt_t_within(0.95, 30), 2.04227, 1e-5, 0);
    T_NEAR(dt_t_within(0.95, 1e6), 1.95997, 1e-5, 0);
    T_NEAR(dt_z_within(0.95), 1.959964, 1e-6, 0);
    T_NEAR(dt_z_within(0.99), 2.575829, 1e-6, 0);
    T_CHECK(isnan(dt_t_within(0.95, 0)));
}

static void test_means(void) {
    const double v[] = {3, 1, 2, 6};
    T_NEAR(dt_mean_of(v, 4), 3, 0, 0);
    T_NEAR(dt_median_of(v, 4), 2.5, 0, 0);
    T_NEAR(dt_median_of(v, 3), 2, 0, 0);
    T_NEAR(dt_deviation(v, 4), sqrt(14.0 / 3), 1e-12, 0);
    dt_estimate mean = dt_mean_estimate(v, 4);
    T_NEAR(mean.high - mean.value, 3.182446 * sqrt(14.0 / 3) / 2, 1e-5, 0);
    T_CHECK(isnan(dt_mean_estimate(v, 1).low) && isnan(dt_mean_of(v, 0)) &&
            isnan(dt_median_of(v, 0)));
}

/* Against an evaluation of the score equation: at an end p0 of the interval, |p - p0| is exactly z
 * standard errors of p0. */
static void test_wilson(void) {
    const int64_t cases[][2] = {{9935, 10000}, {0, 10}, {10, 10}, {5, 10}, {1, 1000}};
    double z = dt_z_within(0.99);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double n = (double)cases[i][1], p = (double)cases[i][0] / n;
        dt_estimate e = dt_wilson(cases[i][0], cases[i][1], 0.99);
        T_CHECK(e.low >= 0 && e.low <= p && p <= e.high && e.high <= 1);
        if (e.low > 0)
            T_NEAR(fabs(p - e.low), z * sqrt(e.low * (1 - e.low) / n), 1e-9, 0);
        if (e.high < 1)
            T_NEAR(fabs(p - e.high), z * sqrt(e.high * (1 - e.high) / n), 1e-9, 0);
    }
    T_CHECK(isnan(dt_wilson(0, 0, 0.95).value));
}

static void test_share_noise(void) {
    T_NEAR(dt_share_noise(0.5, 10000, 0.5, 10000, 0.99), 2.575829 * sqrt(0.5 / 10000), 1e-8, 0);
    T_NEAR(dt_share_noise(0.9, 100, 1, 400, 0.95), 1.959964 * 0.03, 1e-7, 0);
}

static void test_differences(void) {
    const double v[] = {91, 93, 95, 96, 97};
    const size_t size[] = {2, 3};
    dt_pooled pooled = dt_pool(v, size, 2);
    T_NEAR(pooled.df, 3, 0, 0);
    double ratio = (2 / 8.0 + 2 / 4.0) / 3; /* of the variance to the errors, 8 and 4 */
    T_NEAR(pooled.deviation, sqrt(ratio), 1e-12, 0);
    dt_estimate d = dt_difference(&pooled, 92, 2, 96, 3);
    T_NEAR(d.value, 4, 0, 0);
    T_NEAR(d.high - d.value, 3.182446 * sqrt(ratio * (8 / 2.0 + 4 / 3.0)), 1e-5, 0);
    const size_t single[] = {1, 1};
    pooled = dt_pool(v, single, 2);
    T_CHECK(pooled.df == 0 && isnan(dt_difference(&pooled, 91, 1, 93, 1).low));
}

/* Without an error in a group the deviation itself is shared. */
static void test_no_error(void) {
    const double v[] = {91, 93, 100, 100, 100};
    const size_t size[] = {2, 3};
    dt_pooled pooled = dt_pool(v, size, 2);
    T_NEAR(pooled.deviation, sqrt(2 / 3.0), 1e-12, 0);
    dt_estimate d = dt_difference(&pooled, 92, 2, 100, 3);
    T_NEAR(d.high - d.value, 3.182446 * sqrt(2 / 3.0 * (1 / 2.0 + 1 / 3.0)), 1e-5, 0);
}

static void test_power_exact(void) {
    static dt_power_law law;
    const double n[] = {1000, 2000, 4000, 8000, 16000, 32000};
    double err[6];
    for (int i = 0; i < 6; i++)
        err[i] = 0.4 + 300 * pow(n[i], -0.65);
    T_CHECK(dt_power_fit(n, err, 6, &law));
    T_NEAR(law.e0.value, 0.4, 1e-5, 0);
    T_NEAR(law.b.value, 300, 0, 1e-4);
    T_NEAR(law.c.value, 0.65, 1e-5, 0);
    T_NEAR(law.r2, 1, 1e-9, 0);
    T_NEAR(law.worst, 0, 1e-4, 0);
    T_NEAR(dt_power_at(&law, 64000).value, 0.4 + 300 * pow(64000, -0.65), 1e-5, 0);
}

/* With noise the truth is inside the intervals, and they are not a point. */
static void test_power_noise(void) {
    static dt_power_law law, again;
    double n[21], err[21];
    static const double noise[7] = {0.4, -1.1, 0.9, 0.1, -0.6, 1.3, -0.9};
    for (int i = 0; i < 21; i++) {
        n[i] = 1000 * pow(2, i / 3);
        double truth = 0.5 + 200 * pow(n[i], -0.6);
        err[i] = truth + 0.05 * sqrt(truth) * noise[(5 * i + i / 7) % 7];
    }
    T_CHECK(dt_power_fit(n, err, 21, &law) && dt_power_fit(n, err, 21, &again));
    T_CHECK(memcmp(&law, &again, sizeof law) == 0);
    T_CHECK(law.e0.low < 0.5 && 0.5 < law.e0.high && law.e0.high - law.e0.low > 0.01);
    T_CHECK(law.c.low < 0.6 && 0.6 < law.c.high);
    dt_estimate far = dt_power_at(&law, 1e6), near = dt_power_at(&law, 16000);
    T_CHECK(far.high - far.low > near.high - near.low && far.low <= far.value);
}

static void test_power_refused(void) {
    static dt_power_law law;
    const double n[] = {1000, 1000, 2000, 4000, 8000}, err[] = {5, 6, 4, 3, 2},
                 bad[] = {5, 6, 4, 3, 0};
    T_CHECK(!dt_power_fit(n, err, 4, &law)); /* three sizes determine no interval */
    T_CHECK(!dt_power_fit(n, bad, 5, &law));
    T_CHECK(!dt_power_fit(n, err, 0, &law));
    T_CHECK(dt_power_fit(n, err, 5, &law));
}

/* Errors that do not fall: a flat law, nothing negative. */
static void test_power_flat(void) {
    static dt_power_law law;
    const double n[] = {1000, 2000, 4000, 8000}, err[] = {2.0, 2.1, 2.2, 2.3};
    T_CHECK(dt_power_fit(n, err, 4, &law));
    T_NEAR(dt_power_at(&law, 3000).value, 2.15, 0.05, 0);
    T_CHECK(law.b.value >= 0 && law.e0.value >= 0);
}

/* --- the model of a step --- */

/* What the model's own formula gives for known constants. */
static dt_step_time made(int64_t ranks, int64_t threads, double micros) {
    double r = (double)ranks, x = ceil(micros / (r * (double)threads));
    double jitter = ranks > 1 ? 0.03 * sqrt(2 * log(r)) : 0;
    dt_step_time t = {.ranks = ranks, .threads = threads, .micros = micros, .bytes = 3e6};
    t.compute = 1e-3 * x;
    t.wait = jitter * t.compute;
    if (ranks > 1) {
        t.latency = 2e-5 * log2(r);
        t.reduce = t.latency + 3e6 * 2 * (r - 1) / (r * 5e9);
        t.exposed = t.reduce - 1e-4;
    }
    t.seconds = 5e-4 + t.compute + t.wait + t.exposed;
    return t;
}

static bool only_itself(const dt_step_time *tested, const dt_step_time *other) {
    (void)tested;
    (void)other;
    return false;
}

static bool same_batch(const dt_step_time *tested, const dt_step_time *other) {
    return tested->micros == other->micros;
}

static void test_step_exact(void) {
    const dt_step_time times[] = {made(1, 1, 16), made(2, 1, 16), made(4, 1, 16), made(1, 1, 64),
                                  made(2, 1, 64)};
    dt_step_model m;
    T_CHECK(dt_step_fit(times, 5, &m));
    T_NEAR(m.terms.fix, 5e-4, 1e-9, 0);
    T_NEAR(m.terms.micro, 1e-3, 1e-9, 0);
    T_NEAR(m.terms.jitter, 0.03, 1e-9, 0);
    T_NEAR(m.terms.latency, 2e-5, 1e-12, 0);
    T_NEAR(1 / m.terms.per_byte, 5e9, 0, 1e-9);
    T_NEAR(m.terms.overlap, 1e-4, 1e-12, 0);
    for (size_t i = 0; i < 5; i++) {
        T_NEAR(dt_step_left_out(times, 5, i, only_itself), 0, 1e-8, 0);
        T_NEAR(dt_step_left_out(times, 5, i, same_batch), 0, 1e-8, 0);
    }
    dt_step_time far = made(32, 2, 128);
    dt_step_parts p = dt_step_predict(&m, 128, 32, 2);
    T_NEAR(p.total.value, far.seconds, 0, 1e-8);
    T_NEAR(p.fix + p.compute + p.stairs + p.wait + p.reduce, p.total.value, 1e-12, 0);
    T_CHECK(p.total.low <= p.total.value && p.total.value <= p.total.high);
}

/* Beyond k workers nothing gets faster, and the stairs' part says so. */
static void test_step_stairs(void) {
    const dt_step_time times[] = {made(1, 1, 16), made(2, 1, 16), made(1, 1, 64)};
    dt_step_model m;
    T_CHECK(dt_step_fit(times, 3, &m));
    T_CHECK(dt_step_predict(&m, 16, 32, 1).total.value >
            dt_step_predict(&m, 16, 16, 1).total.value);
    T_NEAR(dt_step_predict(&m, 16, 12, 1).stairs, 1e-3 * (2 - 16.0 / 12), 1e-8, 0);
    T_NEAR(dt_step_predict(&m, 16, 8, 1).stairs, 0, 1e-12, 0);
    int64_t knee = dt_step_knee(&m, 16, 1, 1024);
    T_CHECK(knee >= 8 && knee < 32);
    T_CHECK(dt_step_efficiency(&m, 16, knee, 1) >= 0.5);
    for (int64_t r = knee + 1; r < 64; r++)
        T_CHECK(dt_step_efficiency(&m, 16, r, 1) < 0.5);
}

/* A measurement that does not follow the model is seen in the deviation and in its own error. */
static void test_step_outlier(void) {
    dt_step_time times[] = {made(1, 1, 16), made(2, 1, 16), made(1, 1, 32), made(2, 1, 32),
                            made(2, 1, 64)};
    dt_step_model m;
    times[4].seconds *= 1.5;
    T_CHECK(dt_step_fit(times, 5, &m) && m.deviation > 0.02);
    T_NEAR(dt_step_left_out(times, 5, 4, only_itself), 1 / 1.5 - 1, 1e-6, 0);
    dt_step_parts p = dt_step_predict(&m, 64, 2, 1);
    T_CHECK(p.total.high > p.total.value * 1.02);
}

/* All-reduces that differ between configurations widen what is said of many ranks, and not what is
 * said of one. */
static void test_step_uncertain(void) {
    static dt_step_model even, uneven;
    dt_step_time times[] = {made(1, 1, 8),  made(2, 1, 8),  made(1, 1, 16), made(2, 1, 16),
                            made(1, 1, 32), made(2, 1, 32), made(1, 1, 64), made(2, 1, 64)};
    for (int i = 0; i < 8; i++)
        times[i].seconds *= i % 3 == 0 ? 1.002 : 0.999;
    T_CHECK(dt_step_fit(times, 8, &even));
    for (int i = 1; i < 8; i += 2) /* the same on average */
        times[i].latency *= i % 4 == 1 ? 1.5 : 0.5;
    T_CHECK(dt_step_fit(times, 8, &uneven));
    dt_estimate a = dt_step_predict(&even, 1024, 128, 1).total,
                b = dt_step_predict(&uneven, 1024, 128, 1).total;
    T_CHECK(a.high > a.value && b.high - b.low > 1.05 * (a.high - a.low));
    a = dt_step_predict(&even, 64, 1, 1).total;
    b = dt_step_predict(&uneven, 64, 1, 1).total;
    T_CHECK(b.high - b.low < 1.02 * (a.high - a.low));
    T_NEAR(b.value, 5e-4 + 64e-3, 0, 0.01);
}

/* Waits with spikes that the steps' medians do not have. */
static void test_step_spikes(void) {
    static dt_step_model m;
    dt_step_time times[] = {made(1, 1, 8),  made(2, 1, 8),  made(1, 1, 16), made(2, 1, 16),
                            made(1, 1, 32), made(2, 1, 32), made(1, 1, 64), made(2, 1, 64)};
    for (int i = 0; i < 8; i++)
        times[i].wait *= 4;
    T_CHECK(dt_step_fit(times, 8, &m));
    T_NEAR(m.terms.jitter, 0.03, 1e-9, 0);
    for (size_t i = 0; i < 8; i++)
        T_NEAR(dt_step_left_out(times, 8, i, same_batch), 0, 1e-3, 0);
}

/* One configuration of several ranks does not tell what an all-reduce varies by, none not what it
 * takes. */
static void test_step_unknown(void) {
    static dt_step_model m;
    const dt_step_time one[] = {made(1, 1, 16), made(2, 1, 16), made(1, 1, 32), made(1, 1, 64)};
    T_CHECK(dt_step_fit(one, 4, &m) && m.n_reduced == 1 && !m.is_known);
    T_CHECK(isnan(dt_step_predict(&m, 16, 2, 1).total.low));
    T_CHECK(isfinite(dt_step_predict(&m, 16, 1, 1).total.low));
    T_CHECK(isnan(dt_step_left_out(one, 4, 1, only_itself))); /* what is left knows one rank */
    const dt_step_time none[] = {made(1, 1, 16), made(1, 1, 32), made(1, 1, 64)};
    T_CHECK(dt_step_fit(none, 3, &m) && m.n_reduced == 0);
}

static void test_step_refused(void) {
    const dt_step_time same[] = {made(1, 1, 16), made(2, 1, 32)},
                       two[] = {made(1, 1, 16), made(2, 1, 16)};
    dt_step_model m;
    T_CHECK(!dt_step_fit(same, 1, &m));
    T_CHECK(!dt_step_fit(same, 0, &m));
    T_CHECK(dt_step_fit(two, 2, &m) && isnan(m.deviation));
    T_CHECK(isnan(dt_step_predict(&m, 16, 2, 1).total.low));
    const dt_step_time equal[] = {made(1, 1, 16), made(1, 1, 16)};
    T_CHECK(!dt_step_fit(equal, 2, &m));
    T_CHECK(isnan(dt_step_left_out(two, 2, 0, only_itself)));
}

int main(void) {
    T_BEGIN(60);
    test_quantiles();
    test_means();
    test_wilson();
    test_share_noise();
    test_differences();
    test_no_error();
    test_power_exact();
    test_power_noise();
    test_power_refused();
    test_power_flat();
    test_step_exact();
    test_step_stairs();
    test_step_outlier();
    test_step_uncertain();
    test_step_unknown();
    test_step_spikes();
    test_step_refused();
    return t_finish();
}
