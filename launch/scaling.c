/* launch/scaling.c - the model of a step's time: two numbers fitted, four measured. */
#include "launch/scaling.h"

#include <math.h>
#include <stdlib.h>

/* How the largest of r normal numbers grows. */
static double growth(int64_t ranks) {
    return ranks > 1 ? sqrt(2 * log((double)ranks)) : 0;
}

static double stairs_of(double micros, int64_t ranks, int64_t threads) {
    return ceil(micros / ((double)ranks * (double)threads));
}

static double reduce_alone(const dt_step_model *m, int64_t ranks) {
    if (ranks < 2)
        return 0;
    double r = (double)ranks;
    return m->latency * log2(r) + m->bytes * 2 * (r - 1) / (r * m->bandwidth);
}

static double reduce_exposed(const dt_step_model *m, int64_t ranks) {
    return fmax(0, reduce_alone(m, ranks) - m->overlap);
}

static bool whole_share(const dt_step_time *t) {
    return fmod(t->micros, (double)t->ranks * (double)t->threads) == 0;
}

/* Means over the configurations of several ranks of what was measured apart. */
static void measured(const dt_step_time *times, size_t n, dt_step_model *m) {
    double latency = 0, per_byte = 0, overlap = 0, jitter = 0, several = 0, even = 0;
    for (size_t i = 0; i < n; i++) {
        const dt_step_time *t = &times[i];
        double r = (double)t->ranks;
        if (t->ranks < 2)
            continue;
        if (whole_share(t) && t->compute > 0 && t->wait >= 0) { /* else the wait is the stairs' */
            jitter += t->wait / (t->compute * growth(t->ranks));
            even++;
        }
        if (!(t->reduce > 0) || !(t->bytes > 0))
            continue;
        m->bytes = t->bytes;
        latency += t->latency / log2(r);
        per_byte += fmax(0, t->reduce - t->latency) * r / (2 * (r - 1) * t->bytes);
        overlap += fmax(0, t->reduce - t->exposed);
        several++;
    }
    m->jitter = even > 0 ? jitter / even : 0;
    m->latency = several > 0 ? latency / several : 0;
    m->bandwidth = per_byte > 0 ? several / per_byte : INFINITY;
    m->overlap = several > 0 ? overlap / several : 0;
}

/* The factor of micro for this configuration. */
static double factor(const dt_step_model *m, const dt_step_time *t) {
    return stairs_of(t->micros, t->ranks, t->threads) * (1 + m->jitter * growth(t->ranks));
}

/* Least squares of (T - reduce) / T over (1, x) / T. */
static bool solve(const dt_step_time *times, size_t n, dt_step_model *m) {
    double aa = 0, ab = 0, bb = 0, ay = 0, by = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        double a = 1 / times[i].seconds, b = factor(m, &times[i]) * a;
        double y = (times[i].seconds - reduce_exposed(m, times[i].ranks)) * a;
        aa += a * a;
        ab += a * b;
        bb += b * b;
        ay += a * y;
        by += b * y;
    }
    double determinant = aa * bb - ab * ab;
    if (!(determinant > 1e-9 * aa * bb)) /* all x are the same */
        return false;
    m->fix = (ay * bb - by * ab) / determinant;
    m->micro = (by * aa - ay * ab) / determinant;
    if (m->fix < 0) {
        m->fix = 0;
        m->micro = by / bb;
    }
    m->covariance[0] = bb / determinant;
    m->covariance[1] = -ab / determinant;
    m->covariance[2] = aa / determinant;
    for (size_t i = 0; i < n; i++) {
        double said = m->fix + m->micro * factor(m, &times[i]) + reduce_exposed(m, times[i].ranks);
        square += pow(said / times[i].seconds - 1, 2);
    }
    m->deviation = n > 2 ? sqrt(square / (double)(n - 2)) : NAN;
    m->t = dt_t_within(0.95, (double)n - 2);
    return m->micro > 0;
}

bool dt_step_fit(const dt_step_time *times, size_t n, dt_step_model *m) {
    *m = (dt_step_model){.n = n};
    measured(times, n, m);
    return n >= 2 && solve(times, n, m);
}

double dt_step_left_out(const dt_step_time *times, size_t n, size_t i,
                        bool (*skip)(const dt_step_time *tested, const dt_step_time *other)) {
    dt_step_time *rest = calloc(n, sizeof *rest);
    dt_step_model m;
    double error = NAN;
    size_t kept = 0;
    for (size_t j = 0; rest && j < n; j++)
        if (j != i && !skip(&times[i], &times[j]))
            rest[kept++] = times[j];
    if (rest && dt_step_fit(rest, kept, &m)) {
        const dt_step_time *t = &times[i];
        error = dt_step_predict(&m, t->micros, t->ranks, t->threads).total.value / t->seconds - 1;
    }
    free(rest);
    return error;
}

dt_step_parts dt_step_predict(const dt_step_model *m, double micros, int64_t ranks,
                              int64_t threads) {
    double x = stairs_of(micros, ranks, threads),
           share = micros / ((double)ranks * (double)threads);
    double f = x * (1 + m->jitter * growth(ranks));
    dt_step_parts p = {.fix = m->fix,
                       .compute = m->micro * share,
                       .stairs = m->micro * (x - share),
                       .wait = m->micro * (f - x),
                       .reduce = reduce_exposed(m, ranks)};
    double total = p.fix + p.compute + p.stairs + p.wait + p.reduce, a = 1 / total, b = f / total;
    double spread =
        m->covariance[0] * a * a + 2 * m->covariance[1] * a * b + m->covariance[2] * b * b;
    double half = total * m->t * m->deviation * sqrt(1 + spread);
    p.total = (dt_estimate){total, fmax(0, total - half), total + half};
    if (isnan(half))
        p.total.low = NAN;
    return p;
}

double dt_step_efficiency(const dt_step_model *m, double micros, int64_t ranks, int64_t threads) {
    return dt_step_predict(m, micros, 1, threads).total.value /
           ((double)ranks * dt_step_predict(m, micros, ranks, threads).total.value);
}

int64_t dt_step_knee(const dt_step_model *m, double micros, int64_t threads, int64_t limit) {
    int64_t knee = 1;
    for (int64_t ranks = 2; ranks <= limit; ranks++)
        if (dt_step_efficiency(m, micros, ranks, threads) >= 0.5)
            knee = ranks;
    return knee;
}
