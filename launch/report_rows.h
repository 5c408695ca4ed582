/* launch/report_rows.h - time cells of a sweep as rows, for the parts of a report.
 *
 * Repeats of a configuration (ranks, threads, batch) become one row: the medians of what they
 * measured, and the range of their intervals, which is wider than an interval of the median of all.
 */
#ifndef DT_LAUNCH_REPORT_ROWS_H
#define DT_LAUNCH_REPORT_ROWS_H

#include "io/sweepfile.h"
#include "launch/page.h"
#include "launch/scaling.h"
#include "launch/sweep_plan.h"

enum { DT_ROWS_MAX = 8 * DT_LIST_MAX, DT_ROW_REPEATS = 1000 };

typedef struct {
    int64_t ranks, threads, batch, scaling;
    dt_estimate step; /* seconds */
    double input, compute, update, reduce, wait;
    double rate, startup, evaluation;    /* images a second; seconds; of the whole test set, once */
    const dt_cell *cell[DT_ROW_REPEATS]; /* [n] the repeats */
    int n;
    dt_step_time time;
} dt_row;

typedef struct {
    dt_row r[DT_ROWS_MAX]; /* by batch and ranks */
    int n;
    size_t left_out; /* cells for which there was no room */
    dt_step_time times[DT_ROWS_MAX];
} dt_rows;

/* The rows of all time cells that are done, but for whole epochs. NULL: no memory. The caller's to
 * free(). */
dt_rows *dt_rows_of(const dt_sweep *sweep);
/* Of a file that does not tell, 1. */
int64_t dt_rows_micro_batch(const dt_sweep *sweep);
/* The row of the fewest ranks, or of the most, among those of this scaling (DT_SCALING_... bits);
 * NULL: there is none. */
const dt_row *dt_rows_first(const dt_rows *rows, int64_t scaling);
const dt_row *dt_rows_last(const dt_rows *rows, int64_t scaling);
int64_t dt_rows_most_ranks(const dt_rows *rows); /* at least 1 */

#endif
