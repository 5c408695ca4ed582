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

static double reduce_exposed(const dt_step_terms *t, double bytes, int64_t ranks) {
    if (ranks < 2)
        return 0;
    double r = (double)ranks;
    return fmax(0, t->latency * log2(r) + bytes * 2 * (r - 1) / r * t->per_byte - t->overlap);
}

static bool whole_share(const dt_step_time *t) {
    return fmod(t->micros, (double)t->ranks * (double)t->threads) == 0;
}

/* --- what was measured apart --- */

typedef struct { /* one value a configuration of several ranks that tells it */
    double *latency, *per_byte, *overlap, *jitter;
    size_t n_reduced, n_even;
    double *seconds; /* room for the times of a replica */
    double *all;     /* malloc'ed; [5][n] */
} apart;

static bool collect(const dt_step_time *times, size_t n, apart *a, double *bytes) {
    *a = (apart){.all = calloc(5 * n + 1, sizeof *a->all)};
    if (!a->all)
        return false;
    a->latency = a->all;
    a->per_byte = a->all + n;
    a->overlap = a->all + 2 * n;
    a->jitter = a->all + 3 * n;
    a->seconds = a->all + 4 * n;
    for (size_t i = 0; i < n; i++) {
        const dt_step_time *t = &times[i];
        double r = (double)t->ranks;
        if (t->ranks < 2)
            continue;
        if (whole_share(t) && t->compute > 0 && t->wait >= 0) /* else the wait is the stairs' */
            a->jitter[a->n_even++] = t->wait / (t->compute * growth(t->ranks));
        if (!(t->reduce > 0) || !(t->bytes > 0))
            continue;
        *bytes = t->bytes;
        a->latency[a->n_reduced] = t->latency / log2(r);
        a->per_byte[a->n_reduced] = fmax(0, t->reduce - t->latency) * r / (2 * (r - 1) * t->bytes);
        a->overlap[a->n_reduced++] = fmax(0, t->reduce - t->exposed);
    }
    return true;
}

static double mean_or_0(const double *v, size_t n) {
    return n ? dt_mean_of(v, n) : 0;
}

static void measured(const apart *a, dt_step_terms *t) {
    t->latency = mean_or_0(a->latency, a->n_reduced);
    t->per_byte = mean_or_0(a->per_byte, a->n_reduced);
    t->overlap = mean_or_0(a->overlap, a->n_reduced);
    t->jitter = mean_or_0(a->jitter, a->n_even);
}

/* The mean of n values drawn anew, its distance from theirs scaled to the degrees of freedom. */
static double mean_drawn(const double *v, size_t n, double mean, uint32_t r, uint32_t first) {
    double sum = 0;
    if (n < 2)
        return mean;
    for (size_t i = 0; i < n; i++)
        sum += v[dt_draw(r, first + (uint32_t)i, n)];
    double scale = sqrt((double)n / ((double)n - 1));
    return fmax(0, mean + scale * (sum / (double)n - mean));
}

/* --- the fit --- */

/* The factor of micro for this configuration. */
static double factor(const dt_step_terms *terms, const dt_step_time *t) {
    return stairs_of(t->micros, t->ranks, t->threads) * (1 + terms->jitter * growth(t->ranks));
}

static double value(const dt_step_terms *terms, double bytes, const dt_step_time *t) {
    return terms->fix + terms->micro * factor(terms, t) + reduce_exposed(terms, bytes, t->ranks);
}

/* Least squares of (T - reduce) / T over (1, x) / T; seconds: T of each. */
static bool solve(const dt_step_time *times, const double *seconds, size_t n, double bytes,
                  dt_step_terms *t) {
    double aa = 0, ab = 0, bb = 0, ay = 0, by = 0;
    for (size_t i = 0; i < n; i++) {
        double a = 1 / seconds[i], b = factor(t, &times[i]) * a;
        double y = (seconds[i] - reduce_exposed(t, bytes, times[i].ranks)) * a;
        aa += a * a;
        ab += a * b;
        bb += b * b;
        ay += a * y;
        by += b * y;
    }
    double determinant = aa * bb - ab * ab;
    if (!(determinant > 1e-9 * aa * bb)) /* all x are the same */
        return false;
    t->fix = (ay * bb - by * ab) / determinant;
    t->micro = (by * aa - ay * ab) / determinant;
    if (t->fix < 0) {
        t->fix = 0;
        t->micro = by / bb;
    }
    return t->micro > 0;
}

static double residual(const dt_step_time *times, size_t n, double bytes, const dt_step_terms *t) {
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += pow(value(t, bytes, &times[i]) / times[i].seconds - 1, 2);
    return square;
}

/* Two numbers are fitted, and a third, the share of the wait, where there are enough of them. */
static double freedom(size_t n) {
    return n > 3 ? (double)n - 3 : (double)n - 2;
}

/* Waits are means, and hold spikes that the medians of steps do not: the share of them that fits
 * the steps best. */
static bool solve_with_wait(const dt_step_time *times, const double *seconds, size_t n,
                            double bytes, dt_step_terms *t) {
    enum { PARTS = 16 };
    double all = t->jitter, best = INFINITY;
    dt_step_terms tried = *t;
    for (int i = all > 0 && n > 3 ? 0 : PARTS; i <= PARTS; i++) {
        tried.jitter = all * i / PARTS;
        double square =
            solve(times, seconds, n, bytes, &tried) ? residual(times, n, bytes, &tried) : INFINITY;
        if (square < best) {
            best = square;
            *t = tried;
        }
    }
    return best < INFINITY;
}

static void judge(const dt_step_time *times, size_t n, dt_step_model *m) {
    double square = residual(times, n, m->bytes, &m->terms);
    m->deviation = n > 2 ? sqrt(square / freedom(n)) : NAN;
    m->t = dt_t_within(0.95, freedom(n));
}

/* a->seconds becomes times that the model could have seen instead. */
static void draw_times(const dt_step_time *times, size_t n, const dt_step_model *m, uint32_t r,
                       const apart *a) {
    double scale = sqrt((double)n / freedom(n));
    for (size_t i = 0; i < n; i++) {
        const dt_step_time *other = &times[dt_draw(r, (uint32_t)i, n)];
        double off = scale * (other->seconds / value(&m->terms, m->bytes, other) - 1);
        a->seconds[i] = value(&m->terms, m->bytes, &times[i]) * fmax(0.01, 1 + off);
    }
}

/* measured_jitter: before a part of it was chosen. */
static void bootstrap(const dt_step_time *times, size_t n, const apart *a, double measured_jitter,
                      dt_step_model *m) {
    enum { REDUCED = 1 << 20, EVEN = 1 << 21 }; /* streams of draws of their own */
    const dt_step_terms *at = &m->terms;
    for (uint32_t r = 0; r < DT_STEP_REPLICAS; r++) {
        dt_step_terms t = *at;
        if (n > 2) {
            t.latency = mean_drawn(a->latency, a->n_reduced, at->latency, r, REDUCED);
            t.per_byte = mean_drawn(a->per_byte, a->n_reduced, at->per_byte, r, REDUCED);
            t.overlap = mean_drawn(a->overlap, a->n_reduced, at->overlap, r, REDUCED);
            t.jitter = mean_drawn(a->jitter, a->n_even, measured_jitter, r, EVEN);
            t.jitter *= measured_jitter > 0 ? at->jitter / measured_jitter : 0;
            draw_times(times, n, m, r, a);
        }
        if (n <= 2 || !solve(times, a->seconds, n, m->bytes, &t))
            t = *at;
        m->replica[r] = t;
    }
}

/* with_intervals: else no replicas are drawn. */
static bool fit(const dt_step_time *times, size_t n, bool with_intervals, dt_step_model *m) {
    apart a;
    *m = (dt_step_model){.n = n};
    if (n < 2 || !collect(times, n, &a, &m->bytes))
        return false;
    m->n_reduced = a.n_reduced;
    m->is_known = a.n_reduced > 1 && a.n_even > 1;
    measured(&a, &m->terms);
    for (size_t i = 0; i < n; i++)
        a.seconds[i] = times[i].seconds;
    double jitter = m->terms.jitter;
    bool done = solve_with_wait(times, a.seconds, n, m->bytes, &m->terms);
    if (done)
        judge(times, n, m);
    if (done && with_intervals)
        bootstrap(times, n, &a, jitter, m);
    free(a.all);
    return done;
}

bool dt_step_fit(const dt_step_time *times, size_t n, dt_step_model *m) {
    return fit(times, n, true, m);
}

/* --- its use --- */

double dt_step_left_out(const dt_step_time *times, size_t n, size_t i,
                        bool (*skip)(const dt_step_time *tested, const dt_step_time *other)) {
    dt_step_time *rest = calloc(n, sizeof *rest);
    dt_step_model *m = malloc(sizeof *m);
    double error = NAN;
    size_t kept = 0;
    for (size_t j = 0; rest && j < n; j++)
        if (j != i && !skip(&times[i], &times[j]))
            rest[kept++] = times[j];
    if (rest && m && fit(rest, kept, false, m) && (times[i].ranks == 1 || m->n_reduced > 0))
        error = value(&m->terms, m->bytes, &times[i]) / times[i].seconds - 1;
    free(rest);
    free(m);
    return error;
}

static dt_step_parts parts_of(const dt_step_terms *t, double bytes, double micros, int64_t ranks,
                              int64_t threads) {
    double x = stairs_of(micros, ranks, threads),
           share = micros / ((double)ranks * (double)threads);
    dt_step_parts p = {.fix = t->fix,
                       .compute = t->micro * share,
                       .stairs = t->micro * (x - share),
                       .wait = t->micro * x * t->jitter * growth(ranks),
                       .reduce = reduce_exposed(t, bytes, ranks)};
    p.total.value = p.fix + p.compute + p.stairs + p.wait + p.reduce;
    return p;
}

dt_step_parts dt_step_predict(const dt_step_model *m, double micros, int64_t ranks,
                              int64_t threads) {
    dt_step_parts p = parts_of(&m->terms, m->bytes, micros, ranks, threads);
    double total = p.total.value, totals[DT_STEP_REPLICAS];
    for (int r = 0; r < DT_STEP_REPLICAS; r++)
        totals[r] = parts_of(&m->replica[r], m->bytes, micros, ranks, threads).total.value;
    double half = m->t * hypot(dt_deviation(totals, DT_STEP_REPLICAS), total * m->deviation);
    if (ranks > 1 && !m->is_known)
        half = NAN;
    p.total.low = isnan(half) ? NAN : fmax(0, total - half);
    p.total.high = total + half;
    return p;
}

double dt_step_efficiency(const dt_step_model *m, double micros, int64_t ranks, int64_t threads) {
    return parts_of(&m->terms, m->bytes, micros, 1, threads).total.value /
           ((double)ranks * parts_of(&m->terms, m->bytes, micros, ranks, threads).total.value);
}

int64_t dt_step_knee(const dt_step_model *m, double micros, int64_t threads, int64_t limit) {
    int64_t knee = 1;
    for (int64_t ranks = 2; ranks <= limit; ranks++)
        if (dt_step_efficiency(m, micros, ranks, threads) >= 0.5)
            knee = ranks;
    return knee;
}
