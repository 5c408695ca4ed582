/* launch/rundir.h - which directory a run writes to. Rank 0's business. */
#ifndef DT_LAUNCH_RUNDIR_H
#define DT_LAUNCH_RUNDIR_H

#include "launch/options.h"

/* Choose, make and claim the run directory: --out, else with --resume what runs/latest links to,
 * else (and when there is no such link) a new runs/<date>-<time>, to which runs/latest then links.
 * It stays claimed, so that no other run writes to it, until dt_rundir_release(claim).
 * DT_EUSAGE: it holds a run already, and --resume is not given; or another run writes to it.
 * DT_EIO: it cannot be made or written to. */
DT_NODISCARD dt_status dt_rundir_choose(const dt_options *options, char dir[DT_PATH_MAX],
                                        int *claim);

/* The parts of it, for directories of other kinds. A directory of our own under root, named by date
 * and time (the second one of a second gets another name), to which root/latest then links. */
DT_NODISCARD dt_status dt_rundir_make(const char *root, char dir[DT_PATH_MAX]);
/* What root/latest links to, so that another process that starts meanwhile does not move the
 * ground; "" if nothing. */
void dt_rundir_latest(const char *root, char dir[DT_PATH_MAX]);
/* DT_EUSAGE: another process holds dir. DT_EIO: it cannot be written to. */
DT_NODISCARD dt_status dt_rundir_claim(const char *dir, int *claim);
/* *claim becomes -1; -1 is fine. */
void dt_rundir_release(int *claim);

#endif
