/* launch/fit.h - the statistics of the report: pure functions of arrays, no files, no clock.
 *
 * Everything here is the same for every call with the same numbers: the bootstrap draws from the
 * program's own counter-based generator. Intervals are of 95 % where nothing else is said, and NaN
 * where the numbers given do not determine one. */
#ifndef DT_LAUNCH_FIT_H
#define DT_LAUNCH_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    double value, low, high;
} dt_estimate;

/* --- means and proportions --- */

/* The t with P(|T| <= t) = inside, for df degrees of freedom; NaN for df < 1. */
double dt_t_within(double inside, double df);
/* The z with P(|Z| <= z) = inside. */
double dt_z_within(double inside);
/* Sample standard deviation; NaN below two values. */
double dt_deviation(const double *v, size_t n);
double dt_mean_of(const double *v, size_t n);
double dt_median_of(const double *v, size_t n); /* NaN of none, or for lack of memory */
/* Mean with Student's interval; the interval of a single value is NaN. */
dt_estimate dt_mean_estimate(const double *v, size_t n);
/* Share of successes with Wilson's score interval: right for shares near 0 and 1, where the usual
 * one is not. NaN for n = 0. */
dt_estimate dt_wilson(int64_t successes, int64_t n, double inside);

/* How far two independent shares pa and pb, of na and nb, differ by chance: what inside of them
 * stay below, z sqrt(pa qa / na + pb qb / nb). */
double dt_share_noise(double pa, double na, double pb, double nb, double inside);

/* Number i of draw r of a bootstrap: below n, the same in every call. */
size_t dt_draw(uint32_t r, uint32_t i, size_t n);

/* --- differences between groups of repeats --- */

/* Groups share one unknown number: with three seeds each, a group's own deviation is worth little,
 * but seven together have 14 degrees of freedom. Values are percentages of right answers, and what
 * is shared is the ratio of the variance to the error 100 - mean, as in the power law below: seeds
 * of a small set differ by far more than those of a large one, and one deviation for all would be
 * wrong for both. Where a group is without an error they share the deviation itself. */
typedef struct {
    double deviation; /* where by_error: of a group whose error is 1 point */
    double df;        /* 0: no group has two values */
    bool by_error;
} dt_pooled;
/* v holds the groups one after another, size[g] values each. */
dt_pooled dt_pool(const double *v, const size_t *size, size_t n_groups);
/* mean(b) - mean(a) for groups of na and nb values, both of them among those pooled. */
dt_estimate dt_difference(const dt_pooled *pooled, double mean_a, size_t na, double mean_b,
                          size_t nb);

/* --- a power law with a floor: err(n) = e0 + b n^-c, all three >= 0 --- */

enum { DT_BOOTSTRAP = 400 };
typedef struct {
    dt_estimate e0, b, c; /* with percentile intervals of the bootstrap */
    double r2;            /* share of the variance of err that the law explains */
    double worst, mean;   /* leave one size out, predict it: relative errors */
    double replica[DT_BOOTSTRAP][3];
} dt_power_law;
/* Least squares over count points (n[i], err[i]), equal n next to each other. The variance of an
 * error rate, a count, is taken as proportional to it. false: fewer than four different n, or
 * values that are not positive and finite; *law is then undefined. */
bool dt_power_fit(const double *n, const double *err, size_t count, dt_power_law *law);
/* The law at n, with the interval of its own uncertainty (not of a single run's noise). */
dt_estimate dt_power_at(const dt_power_law *law, double n);

#endif
