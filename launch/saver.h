/* launch/saver.h - a thread of rank 0 that writes checkpoints and run.h5 while training goes on.
 *
 * A checkpoint is handed over by value: the saver owns it. At most one is being written; who comes
 * with the next waits (so memory is bounded). A write that fails is warned about and counted,
 * training goes on, and the files written before stay as they are. */
#ifndef DT_LAUNCH_SAVER_H
#define DT_LAUNCH_SAVER_H

#include <stdbool.h>
#include "io/checkpoint.h"
#include "io/runfile.h"

typedef struct dt_saver dt_saver;

/* dir is there already. keep: the newest checkpoints that stay. DT_EDEVICE: no memory or no thread.
 */
DT_NODISCARD dt_status dt_saver_open(const char *dir, int keep, dt_saver **out);
/* Put in order what a killed run may have left in dir: remove temporary files, and let latest.h5
 * lead to the checkpoint of step, where the run goes on (-1: a new one), and best.h5 to that of
 * best_step, if it is there. Before the first dt_saver_submit(). */
void dt_saver_tidy(dt_saver *saver, int64_t step, int64_t best_step);

/* Wait until nothing is being written. */
void dt_saver_wait(dt_saver *saver);
/* Wait, then have checkpoint (may be NULL; taken over and set to NULL) and run (may be NULL; must
 * not change before the next dt_saver_wait()) written. latest.h5 then links to the checkpoint, and
 * best.h5 too if is_best; run gets the attribute params_sha256 of it. */
void dt_saver_submit(dt_saver *saver, dt_checkpoint **checkpoint, bool is_best, dt_run *run);

typedef struct {
    int64_t saved_step;       /* of the newest checkpoint that was written; -1 if none */
    int64_t failures;         /* files that could not be written */
    char error[DT_ERROR_MAX]; /* the first such failure */
} dt_saver_report;
/* What became of all that was submitted; waits for it. */
dt_saver_report dt_saver_result(dt_saver *saver);
/* Waits, then ends the thread. NULL and *saver == NULL are fine. */
void dt_saver_close(dt_saver **saver);

#endif
