/* launch/step.h - steps over all ranks: gradient, all-reduce, update; and where the time went.
 *
 * A step is submitted, and collected later. On the CPU each is done by the time it is collected; a
 * GPU works through a queue of them, and the host stays ahead of it. */
#ifndef DT_LAUNCH_STEP_H
#define DT_LAUNCH_STEP_H

#include "launch/setup.h"

typedef struct dt_stepper dt_stepper;

/* Where a step's phases begin, and its end, as dt_now(). */
enum {
    DT_STEP_INPUT,
    DT_STEP_COMPUTE,
    DT_STEP_REDUCE, /* waiting for the slowest rank is part of it */
    DT_STEP_UPDATE,
    DT_STEP_END,
    DT_STEP_MOMENTS
};

typedef struct { /* all global: the same on every rank */
    int64_t sums[DT_N_SUMS];
    double norm;                /* of the gradient, before clipping */
    bool stop;                  /* some rank voted to stop */
    double at[DT_STEP_MOMENTS]; /* of this rank */
} dt_step_result;

typedef struct {    /* seconds of one rank in the steps of an epoch */
    double compute; /* forward and backward passes, and the update */
    double update;  /* this part of it */
    double reduce;  /* in the all-reduce, exposed, once the slowest rank had come */
    double wait;    /* for the slowest rank to come */
    double input;   /* a GPU's: nothing was queued, as the host was behind */
    double checkpoint;
    double images; /* computed by this rank */
} dt_phases;

DT_NODISCARD dt_status dt_stepper_open(dt_setup *setup, dt_stepper **out);
void dt_stepper_close(dt_stepper **stepper);

/* How many steps may be submitted before the oldest one must be collected; the same on every rank.
 */
int dt_stepper_depth(const dt_stepper *stepper);
/* Before the first step of an epoch (from 0) that is run here: forget the phases. Collective. */
DT_NODISCARD dt_status dt_stepper_begin(dt_stepper *stepper, int64_t epoch);
/* The same for a further epoch, when all that was submitted is collected: the phases go on.
 * Collective. */
DT_NODISCARD dt_status dt_stepper_go_on(dt_stepper *stepper, int64_t epoch);
/* Begin step (counted in the epoch, from 0) of epoch (from 0). Collective. */
DT_NODISCARD dt_status dt_stepper_submit(dt_stepper *stepper, int64_t epoch, int64_t step,
                                         const dt_update *update, bool vote_stop);
/* The outcome of the oldest step that was submitted and not collected. Collective. DT_EDIVERGED on
 * all ranks when a gradient was not finite or too large: parameters are as before, and remain so in
 * the steps that were submitted since. When one rank fails all return, with its sentence. */
DT_NODISCARD dt_status dt_stepper_collect(dt_stepper *stepper, dt_step_result *out);
/* DT_OK, or why this rank's last update failed: its parameters are then not those of the step, and
 * the next step ends the run on all ranks. */
DT_NODISCARD dt_status dt_stepper_late(const dt_stepper *stepper);
/* all[size]: the phases of each rank since dt_stepper_begin(). Collective. */
DT_NODISCARD dt_status dt_stepper_phases(dt_stepper *stepper, double checkpoint_seconds,
                                         dt_phases *all);

#endif
