/* launch/fit.c - the statistics of the report.
 *
 * Quantiles come from the regularised incomplete beta function (continued fraction) and bisection:
 * slow and short, and right to ten digits. Both models are linear but for one or two numbers, so
 * the linear part is solved exactly and the rest searched for: no iteration that may not converge.
 */
#include "launch/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "io/rng.h"

/* --- distributions --- */

/* Lentz's evaluation of the continued fraction of the incomplete beta function. */
static double beta_fraction(double a, double b, double x) {
    double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), h = d;
    for (int m = 1; m < 300; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + even * d);
        c = 1 + even / c;
        h *= d * c;
        d = 1 / (1 + odd * d);
        c = 1 + odd / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-14)
            break;
    }
    return h;
}

/* Regularised incomplete beta function I_x(a, b), 0 < x < 1. */
static double beta_regularised(double a, double b, double x) {
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* P(|T| <= t) */
static double t_inside(double t, double df) {
    return t <= 0 ? 0 : 1 - beta_regularised(df / 2, 0.5, df / (df + t * t));
}

double dt_t_within(double inside, double df) {
    if (!(df >= 1) || !(inside > 0 && inside < 1))
        return NAN;
    double low = 0, high = 1;
    while (t_inside(high, df) < inside)
        high *= 2;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (t_inside(middle, df) < inside)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

double dt_z_within(double inside) {
    double low = 0, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (erf(middle / sqrt(2)) < inside)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* --- means and proportions --- */

double dt_mean_of(const double *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return n ? sum / (double)n : NAN;
}

double dt_deviation(const double *v, size_t n) {
    double mean = dt_mean_of(v, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : NAN;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double dt_median_of(const double *v, size_t n) {
    double *sorted = n ? malloc(n * sizeof *sorted) : NULL;
    if (!sorted)
        return NAN;
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_value);
    double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    free(sorted);
    return median;
}

dt_estimate dt_mean_estimate(const double *v, size_t n) {
    double mean = dt_mean_of(v, n);
    double half =
        n > 1 ? dt_t_within(0.95, (double)n - 1) * dt_deviation(v, n) / sqrt((double)n) : NAN;
    return (dt_estimate){mean, mean - half, mean + half};
}

dt_estimate dt_wilson(int64_t successes, int64_t n, double inside) {
    if (n <= 0)
        return (dt_estimate){NAN, NAN, NAN};
    double z = dt_z_within(inside), count = (double)n, p = (double)successes / count;
    double scale = 1 / (1 + z * z / count);
    double centre = scale * (p + z * z / (2 * count));
    double half = scale * z * sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    /* exactly 0 and 1 at the ends, whatever rounding says */
    return (dt_estimate){p, successes == 0 ? 0 : centre - half, successes == n ? 1 : centre + half};
}

double dt_share_noise(double pa, double na, double pb, double nb, double inside) {
    return dt_z_within(inside) * sqrt(pa * (1 - pa) / na + pb * (1 - pb) / nb);
}

static bool all_err(const double *v, const size_t *size, size_t n_groups) {
    bool err = true;
    for (size_t g = 0; g < n_groups; v += size[g++])
        err = err && (size[g] == 0 || dt_mean_of(v, size[g]) < 100);
    return err;
}

/* The variance of a value of a group with this mean, in units of deviation^2. */
static double variance_at(const dt_pooled *pooled, double mean) {
    return pooled->by_error ? 100 - mean : 1;
}

dt_pooled dt_pool(const double *v, const size_t *size, size_t n_groups) {
    dt_pooled pooled = {.by_error = all_err(v, size, n_groups)};
    double sum = 0;
    for (size_t g = 0; g < n_groups; v += size[g++]) {
        double mean = dt_mean_of(v, size[g]);
        for (size_t i = 0; i < size[g]; i++)
            sum += (v[i] - mean) * (v[i] - mean) / variance_at(&pooled, mean);
        pooled.df += size[g] ? (double)size[g] - 1 : 0;
    }
    pooled.deviation = pooled.df > 0 ? sqrt(sum / pooled.df) : NAN;
    return pooled;
}

dt_estimate dt_difference(const dt_pooled *pooled, double mean_a, size_t na, double mean_b,
                          size_t nb) {
    double difference = mean_b - mean_a;
    double variance =
        variance_at(pooled, mean_a) / (double)na + variance_at(pooled, mean_b) / (double)nb;
    double half = dt_t_within(0.95, pooled->df) * pooled->deviation * sqrt(variance);
    return (dt_estimate){difference, difference - half, difference + half};
}

size_t dt_draw(uint32_t r, uint32_t i, size_t n) {
    const uint32_t counter[4] = {i, r, 0, 0}, key[2] = {0x5eed, 1};
    uint32_t bits[4];
    dt_philox4x32(counter, key, bits);
    return (size_t)(((uint64_t)bits[0] * n) >> 32);
}

/* --- the power law --- */

typedef struct { /* points, and the weight of each: 1 / the mean of its size */
    const double *n, *err, *weight;
    size_t count;
} power_points;

/* Weighted sum of squares of the best e0, b >= 0 for this c. */
static double power_linear(const power_points *p, double c, double *e0, double *b) {
    double w = 0, x = 0, xx = 0, y = 0, xy = 0, sum = 0;
    for (size_t i = 0; i < p->count; i++) {
        double xi = pow(p->n[i], -c), wi = p->weight[i];
        w += wi;
        x += wi * xi;
        xx += wi * xi * xi;
        y += wi * p->err[i];
        xy += wi * xi * p->err[i];
    }
    double determinant = w * xx - x * x;
    *b = determinant > 0 ? (w * xy - x * y) / determinant : -1;
    *e0 = (y - *b * x) / w;
    if (*b < 0) {
        *b = 0;
        *e0 = y / w;
    } else if (*e0 < 0) {
        *e0 = 0;
        *b = xy / xx;
    }
    for (size_t i = 0; i < p->count; i++) {
        double residual = p->err[i] - *e0 - *b * pow(p->n[i], -c);
        sum += p->weight[i] * residual * residual;
    }
    return sum;
}

/* The best c on a grid of ratios, then by golden section between its neighbours. */
static void power_search(const power_points *p, double out[3]) {
    enum { GRID = 48, STEPS = 40 };
    const double first = 0.02, last = 4, golden = 0.6180339887498949;
    double ratio = pow(last / first, 1.0 / GRID), best = INFINITY, c = first, e0, b;
    for (int i = 0; i <= GRID; i++) {
        double sum = power_linear(p, first * pow(ratio, i), &e0, &b);
        if (sum < best) {
            best = sum;
            c = first * pow(ratio, i);
        }
    }
    double low = c / ratio, high = c * ratio;
    for (int i = 0; i < STEPS; i++) {
        double left = high - golden * (high - low), right = low + golden * (high - low);
        if (power_linear(p, left, &e0, &b) < power_linear(p, right, &e0, &b))
            high = right;
        else
            low = left;
    }
    out[2] = (low + high) / 2;
    power_linear(p, out[2], &out[0], &out[1]);
}

static double power_value(const double law[3], double n) {
    return law[0] + law[1] * pow(n, -law[2]);
}

/* Weights by the mean of each size; the number of different sizes, 0 if a value is unusable. */
static size_t weigh(const double *n, const double *err, size_t count, double *weight) {
    size_t sizes = 0;
    for (size_t from = 0, to; from < count; from = to) {
        double sum = 0;
        for (to = from; to < count && n[to] == n[from]; to++)
            sum += err[to];
        double mean = sum / (double)(to - from);
        if (!(mean > 0) || !isfinite(mean) || !(n[from] > 0))
            return 0;
        for (size_t i = from; i < to; i++)
            weight[i] = 1 / mean;
        sizes++;
    }
    return sizes;
}

/* Residuals, scaled to one variance and to the degrees of freedom that the fit took, are dealt out
 * anew and the law fitted again. residual and err: room for count values. */
static void bootstrap(const power_points *p, const double law[3], double *residual, double *err,
                      double (*replica)[3]) {
    double inflate = sqrt((double)p->count / ((double)p->count - 3));
    for (size_t i = 0; i < p->count; i++)
        residual[i] =
            inflate * (p->err[i] - power_value(law, p->n[i])) / sqrt(power_value(law, p->n[i]));
    power_points drawn = *p;
    drawn.err = err;
    for (uint32_t r = 0; r < DT_BOOTSTRAP; r++) {
        for (size_t i = 0; i < p->count; i++) {
            double value = power_value(law, p->n[i]);
            err[i] = fmax(0, value + sqrt(value) * residual[dt_draw(r, (uint32_t)i, p->count)]);
        }
        power_search(&drawn, replica[r]);
    }
}

/* The middle 95 % of the replicas' values. */
static dt_estimate percentiles(double value, double v[DT_BOOTSTRAP]) {
    qsort(v, DT_BOOTSTRAP, sizeof *v, by_value);
    return (dt_estimate){value, v[DT_BOOTSTRAP / 40], v[DT_BOOTSTRAP - 1 - DT_BOOTSTRAP / 40]};
}

static dt_estimate percentiles_of(const dt_power_law *law, int which, double value) {
    double v[DT_BOOTSTRAP];
    for (int r = 0; r < DT_BOOTSTRAP; r++)
        v[r] = law->replica[r][which];
    return percentiles(value, v);
}

/* Every size is left out once and predicted from the others. n, err, weight: room for count. */
static void leave_sizes_out(const power_points *p, double *room, dt_power_law *law) {
    double *n = room, *err = room + p->count, *weight = room + 2 * p->count, sum = 0, fit[3];
    size_t sizes = 0;
    law->worst = 0;
    for (size_t from = 0, to; from < p->count; from = to, sizes++) {
        size_t kept = 0;
        double mean = 0;
        for (to = from; to < p->count && p->n[to] == p->n[from]; to++)
            mean += p->err[to];
        mean /= (double)(to - from);
        for (size_t i = 0; i < p->count; i++) {
            if (i >= from && i < to)
                continue;
            n[kept] = p->n[i];
            err[kept] = p->err[i];
            weight[kept++] = p->weight[i];
        }
        power_points rest = {n, err, weight, kept};
        power_search(&rest, fit);
        double error = fabs(power_value(fit, p->n[from]) / mean - 1);
        law->worst = fmax(law->worst, error);
        sum += error;
    }
    law->mean = sum / (double)sizes;
}

static double explained(const power_points *p, const double law[3]) {
    double mean = dt_mean_of(p->err, p->count), all = 0, left = 0;
    for (size_t i = 0; i < p->count; i++) {
        double residual = p->err[i] - power_value(law, p->n[i]);
        all += (p->err[i] - mean) * (p->err[i] - mean);
        left += residual * residual;
    }
    return all > 0 ? 1 - left / all : NAN;
}

bool dt_power_fit(const double *n, const double *err, size_t count, dt_power_law *law) {
    double fit[3], *room = calloc(4 * count + 1, sizeof *room);
    bool done = false;
    if (room && weigh(n, err, count, room) >= 4) {
        power_points p = {n, err, room, count};
        power_search(&p, fit);
        bootstrap(&p, fit, room + count, room + 2 * count, law->replica);
        law->e0 = percentiles_of(law, 0, fit[0]);
        law->b = percentiles_of(law, 1, fit[1]);
        law->c = percentiles_of(law, 2, fit[2]);
        law->r2 = explained(&p, fit);
        leave_sizes_out(&p, room + count, law);
        done = true;
    }
    free(room);
    return done;
}

dt_estimate dt_power_at(const dt_power_law *law, double n) {
    const double fit[3] = {law->e0.value, law->b.value, law->c.value};
    double v[DT_BOOTSTRAP];
    for (int r = 0; r < DT_BOOTSTRAP; r++)
        v[r] = power_value(law->replica[r], n);
    return percentiles(power_value(fit, n), v);
}
