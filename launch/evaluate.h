/* launch/evaluate.h - loss, accuracy and confusion over a set, each sample once, for any number of
 * ranks. */
#ifndef DT_LAUNCH_EVALUATE_H
#define DT_LAUNCH_EVALUATE_H

#include "io/mistakes.h"
#include "launch/setup.h"

typedef struct {
    double loss, accuracy; /* mean over the samples; percent */
    int64_t samples, correct;
    dt_mistakes mistakes; /* the most confident ones of all ranks, without pictures */
} dt_evaluation;

/* Over n samples of set: number i, or chosen[i] if chosen is not NULL. confusion,
 * [classes][classes], true x predicted, is overwritten; may be NULL. Collective, and the result is
 * the same on every rank. wants_stop (may be NULL) is asked on every rank now and then: DT_ESTOPPED
 * on all when it says so on one. DT_EDIVERGED: a loss was not finite. */
DT_NODISCARD dt_status dt_evaluate_set(dt_setup *setup, dt_set set, const int64_t *chosen,
                                       int64_t n, bool (*wants_stop)(void *ctx), void *ctx,
                                       int64_t *confusion, dt_evaluation *out);

#endif
