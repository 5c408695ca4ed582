/* launch/report.h - `dtrain report`: a page with figures and tables of runs and sweeps. */
#ifndef DT_LAUNCH_REPORT_H
#define DT_LAUNCH_REPORT_H

#include "dist/comm.h"
#include "io/runfile.h"
#include "io/sweepfile.h"
#include "launch/options.h"
#include "launch/page.h"
#include "launch/report_rows.h"

/* One process. DT_EUSAGE: several ranks, too many files, nothing to draw. DT_EIO: a
 * file that cannot be read, or the page not be written. DT_EDEVICE: no gnuplot. */
DT_NODISCARD dt_status dt_report(const dt_options *options, dt_comm *comm);

/* The parts of a page. A failure is remembered by the page. */
void dt_report_data(dt_page *page, const dt_sweep *sweep);    /* what more data buys */
void dt_report_scaling(dt_page *page, const dt_sweep *sweep); /* what more ranks buy */
void dt_report_model(dt_page *page, const dt_sweep *sweep, const dt_rows *rows);
void dt_report_sweep_origin(dt_page *page, const dt_sweep *sweep);
/* name: a label of the run; number: of the run on the page, from 1. */
void dt_report_mistakes(dt_page *page, const dt_run *run, const char *name, int number);
void dt_report_runs(dt_page *page, const dt_run *const *runs, const char *const *names, int n);

#endif
