/* launch/sweep_plan.h - which cells a sweep has, and which of them run next on which ranks: pure
 * functions, the same on every rank.
 *
 * Results do not depend on who computes them, so the two questions are separated. Accuracy cells
 * (samples x seeds) run wherever ranks are free: those of the first seed alone, so that their times
 * can be shown, the others side by side. Time cells (ranks x batch) always run alone; one of each
 * number of ranks is a whole epoch, which must confirm what the others say of it. */
#ifndef DT_LAUNCH_SWEEP_PLAN_H
#define DT_LAUNCH_SWEEP_PLAN_H

#include <stdbool.h>
#include "io/sweepfile.h"

enum { DT_LIST_MAX = 64 };

typedef struct {
    int64_t v[DT_LIST_MAX];
    int n;
} dt_list;

/* "5000,10000": whole numbers from min to max, ascending, no blanks needed. DT_EUSAGE names option
 * and value. */
DT_NODISCARD dt_status dt_list_parse(const char *option, const char *text, int64_t min, int64_t max,
                                     dt_list *out);
void dt_list_text(const dt_list *list, char *text, size_t nbytes);
/* 1, 2, 4, ... below n, and n. */
void dt_list_doubling(int64_t n, dt_list *out);
/* 1/12, 1/6, 1/3, 1/2, 2/3, 5/6 of n, and n: of 60,000 these are 5,000, 10,000, 20,000 ... */
void dt_list_parts(int64_t n, dt_list *out);

typedef struct {
    dt_list samples, ranks; /* ascending */
    int64_t batch, micro_batch, epochs, seed, seeds, repeats;
    int64_t threads;   /* workers a rank */
    int64_t job_ranks; /* ranks that there are */
    int64_t test_samples;
    bool strong, weak;        /* time cells of these; with neither there are none */
    bool by_epochs, by_steps; /* accuracy cells with these budgets; with neither there are none */
} dt_sweep_spec;

/* All cells in the order in which they are tried; names and ranks are filled in, the rest is
 * unknown. *cells is malloc'ed. Time cells come first, and the measurements of one configuration
 * are spread over the time that all of them take. A batch that is larger than the largest set, or
 * smaller than a micro-batch, has no time cells. */
DT_NODISCARD dt_status dt_sweep_cells(const dt_sweep_spec *spec, dt_cell **cells, size_t *n);

/* Updates of an accuracy cell. */
int64_t dt_sweep_steps(const dt_sweep_spec *spec, const dt_cell *cell);
/* After how many updates point i of 0 .. epochs of its curve is taken. */
int64_t dt_sweep_point(const dt_sweep_spec *spec, const dt_cell *cell, int64_t i);

typedef struct {
    size_t cells[DT_LIST_MAX]; /* indices; cell i has the ranks [i * ranks, (i + 1) * ranks) of the
                                  order in which ranks are used */
    int n, ranks;
} dt_round;

/* What runs next, when done[i] tells whether cell i is over; n = 0: nothing is left. */
void dt_sweep_next(const dt_sweep_spec *spec, const dt_cell *cells, const bool *done, size_t n,
                   dt_round *out);

/* order[n_ranks]: ranks in the order in which cells use them, host by host (fill one, then the
 * next), or with spread one of each host in turn. host_of[rank]: the host's number. */
void dt_sweep_order(const int *host_of, int n_ranks, bool spread, int *order);

/* What a cell costs: images through one worker, an image that is only evaluated being a third of
 * one, divided by the speed-up that its workers can have. Time cells: 0 steps mean their usual
 * length. */
double dt_sweep_cost(const dt_sweep_spec *spec, const dt_cell *cell);
/* Seconds to the end from what is done so far: seconds of work took done_seconds for done_cost. */
double dt_sweep_seconds_left(const dt_sweep_spec *spec, const dt_cell *cells, const bool *done,
                             size_t n, double done_cost, double done_seconds);

/* Do time cells of one configuration (batch, samples, epochs, seed, steps) end with the same
 * parameters, whatever their ranks? */
typedef struct {
    int cells, groups;          /* compared; configurations that ran on several numbers of ranks */
    const dt_cell *one, *other; /* two that differ, be it on as many ranks, or NULL */
} dt_same_bits;
dt_same_bits dt_sweep_same_bits(const dt_cell *cells, size_t n);

typedef struct {
    double median, low, high; /* 95 % confidence interval of the median, by order statistics */
} dt_median;

/* Of v[0..n), n >= 1, which is sorted by this. The interval holds for independent values of any
 * distribution; for n < 6 it is the range of the values, which holds less often. */
dt_median dt_median_interval(double *v, size_t n);

#endif
