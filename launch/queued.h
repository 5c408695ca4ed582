/* launch/queued.h - steps on a device that works on its own: submitted ahead, collected later.
 *
 * For back ends with step() and collect(). launch/step.c hands over to it; nobody else calls it. */
#ifndef DT_LAUNCH_QUEUED_H
#define DT_LAUNCH_QUEUED_H

#include "launch/step.h"

enum { DT_QUEUE_DEPTH = 16 };

typedef struct dt_queue dt_queue;

/* Steps that may be submitted and not collected: at most DT_QUEUE_DEPTH. The same on all ranks, so
 * that they submit the same steps before they hear of a vote to stop. */
int dt_queue_depth(const dt_queue *queue);
/* Not collective. *out is NULL on failure: DT_EDEVICE, no memory. */
DT_NODISCARD dt_status dt_queue_open(dt_setup *setup, dt_queue **out);
void dt_queue_close(dt_queue **queue);
/* Before the first step of an epoch that is run here. */
DT_NODISCARD dt_status dt_queue_begin(dt_queue *queue, int64_t epoch);
/* The same for a further epoch, when all that was submitted is collected: the phases go on. */
DT_NODISCARD dt_status dt_queue_go_on(dt_queue *queue, int64_t epoch);
/* Enqueue a step. A failure of one of several ranks ends the job, as the others' devices wait for
 * its sums: the call does not return then. */
DT_NODISCARD dt_status dt_queue_submit(dt_queue *queue, int64_t epoch, int64_t step,
                                       const dt_update *update, bool vote_stop);
/* Wait for the oldest one. DT_EDIVERGED as dt_stepper_collect(). */
DT_NODISCARD dt_status dt_queue_collect(dt_queue *queue, dt_step_result *out);
/* Samples of this rank since dt_queue_begin(). */
double dt_queue_images(const dt_queue *queue);

#endif
