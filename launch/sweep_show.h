/* launch/sweep_show.h - what rank 0 prints of a sweep. */
#ifndef DT_LAUNCH_SWEEP_SHOW_H
#define DT_LAUNCH_SWEEP_SHOW_H

#include "launch/options.h"
#include "launch/sweep_book.h"
#include "launch/sweep_plan.h"

/* One line for each cell that is done; JSON lines with --json, nothing with --quiet. */
void dt_sweep_show_start(const dt_options *options, const dt_sweep_spec *spec,
                         const dt_sweep_book *book, size_t n_cells, size_t n_done);
void dt_sweep_show_cell(const dt_options *options, const dt_cell *cell, size_t n_done,
                        size_t n_cells, double seconds_left);
void dt_sweep_show_end(const dt_options *options, const dt_sweep_book *book, size_t n_cells,
                       dt_status status);

/* Say so where the report's plots will need it and it is not on the PATH. */
void dt_sweep_warn_gnuplot(void);

#endif
