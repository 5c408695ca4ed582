/* launch/history.h - what happened, for run.h5 and log.jsonl. Rank 0's.
 *
 * Nothing here stops a run: what cannot be kept is warned about once and counted. */
#ifndef DT_LAUNCH_HISTORY_H
#define DT_LAUNCH_HISTORY_H

#include "io/runfile.h"
#include "launch/resume.h"
#include "launch/setup.h"
#include "launch/step.h"
#include "launch/ui.h"

typedef struct dt_history dt_history;

/* A new history, or with at->resumed_step >= 0 the one in dir up to there. setup and at are not
 * copied: what at says later is recorded later. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_history_open(const dt_setup *setup, const char *dir,
                                       const dt_position *at, dt_history **out);
void dt_history_close(dt_history **history);

typedef struct {
    int64_t epoch, step; /* epoch from 1; updates done in all */
    double loss;         /* of this step's batch */
    double learning_rate, gradient_norm;
    double epoch_loss, epoch_accuracy, images_per_second; /* so far; log.jsonl only */
} dt_step_row;

/* Keep the row of a step: in memory, and of every few in the log. */
void dt_history_step(dt_history *history, const dt_step_row *row);
/* The tables may be in the saver's hands between dt_saver_submit() and dt_saver_wait(); the
 * functions below change them. */
void dt_history_epoch(dt_history *history, const dt_epoch_line *line, const int64_t *confusion,
                      const dt_mistakes *mistakes, const dt_phases *phases);
/* The tables, with all rows and the attributes that say how the run stands: status is DT_OK ..., or
 * -1 while it goes on. */
dt_run *dt_history_tables(dt_history *history, int status);
/* The last line of log.jsonl, when everything else is written. */
void dt_history_end(dt_history *history, dt_status status);
/* The test accuracy of the last row, percent; NaN if there is none. */
double dt_history_test_accuracy(const dt_history *history);
/* Lines and rows lost. */
int64_t dt_history_failures(const dt_history *history);

#endif
