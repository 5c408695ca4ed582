/* launch/scaling.h - a model of the time of a step on W workers, fitted to what was measured.
 *
 *   T = fix + micro x (1 + jitter g(r)) + max(0, all-reduce(r) - overlap),     x = ceil(k / W)
 *
 * A step is k micro-batches; W = r ranks x threads. x makes the staircase: workers beyond k have
 * nothing to do. jitter is the wait for the slowest rank, g(r) = sqrt(2 ln r) as the largest of r
 * normal numbers grows. all-reduce(r) = latency log2(r) + bytes 2 (r - 1) / (r bandwidth), the cost
 * of a ring behind a tree. Latency, bandwidth and overlap are taken from their own
 * measurements, jitter from the waits: all of their mean, or the share that fits the steps better,
 * as a mean holds spikes that a median does not. fix and micro are fitted. Pure functions; nothing
 * here knows of files or ranks.
 *
 * Intervals hold the uncertainty of all six, by a bootstrap: the residuals of the fit, and the
 * configurations that the four were measured on, are drawn anew. They cannot hold what no
 * measurement knows: another network beyond the ranks that were measured. */
#ifndef DT_LAUNCH_SCALING_H
#define DT_LAUNCH_SCALING_H

#include "launch/fit.h"

typedef struct { /* one configuration that was measured; seconds a step */
    int64_t ranks, threads;
    double micros;  /* k */
    double seconds; /* T */
    double compute; /* forward and backward passes, mean over the ranks */
    double wait;    /* for the slowest rank */
    double exposed; /* what of the all-reduce the step waits for */
    double reduce;  /* the all-reduce alone, NaN or 0 for one rank */
    double latency; /* of an all-reduce of 8 bytes, the same */
    double bytes;   /* of the all-reduce */
} dt_step_time;

typedef struct {
    double fix, micro; /* seconds; least squares of relative errors, both >= 0 */
    double jitter;     /* of a rank's computing, as a share of it */
    double latency;    /* seconds */
    double per_byte;   /* seconds, 1 / bandwidth */
    double overlap;    /* seconds of an all-reduce that hide behind computing */
} dt_step_terms;

enum { DT_STEP_REPLICAS = 400 };
typedef struct {
    dt_step_terms terms;
    double bytes;     /* of an all-reduce */
    size_t n;         /* configurations that it was fitted on */
    size_t n_reduced; /* those of several ranks, whose all-reduce was timed; 0: nothing is known of
                         more ranks than one */
    bool is_known;    /* two of them or more, and of the wait: what these vary by is known */
    double deviation; /* of relative errors; NaN for n <= 2 */
    double t;         /* Student's t for the intervals */
    dt_step_terms replica[DT_STEP_REPLICAS];
} dt_step_model;

typedef struct { /* seconds; fix + compute + stairs + wait + reduce = total.value */
    dt_estimate total;
    double fix;
    double compute; /* micro k / W: what would be left if all else were perfect */
    double stairs;  /* micro (ceil(k / W) - k / W): workers without a micro-batch */
    double wait, reduce;
} dt_step_parts;

/* false: fewer than two different x among them. */
bool dt_step_fit(const dt_step_time *times, size_t n, dt_step_model *model);
/* Configuration i predicted by a fit of those that skip(ctx, i, j) does not say to leave out with
 * it; relative error, NaN where the rest determines no fit. */
double dt_step_left_out(const dt_step_time *times, size_t n, size_t i,
                        bool (*skip)(const dt_step_time *tested, const dt_step_time *other));
/* A step of k micro-batches on ranks x threads workers. total's interval is that of a measurement,
 * NaN where what it varies by is not known. */
dt_step_parts dt_step_predict(const dt_step_model *model, double micros, int64_t ranks,
                              int64_t threads);
/* T(1) / (ranks T(ranks)), for a step of the same k. */
double dt_step_efficiency(const dt_step_model *model, double micros, int64_t ranks,
                          int64_t threads);
/* The most ranks, up to limit, whose efficiency is at least 50 %. */
int64_t dt_step_knee(const dt_step_model *model, double micros, int64_t threads, int64_t limit);

#endif
