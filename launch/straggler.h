/* launch/straggler.h - which rank holds up the others, and what does that cost? */
#ifndef DT_LAUNCH_STRAGGLER_H
#define DT_LAUNCH_STRAGGLER_H

#include "launch/step.h"

typedef struct {
    int rank;       /* -1: none stands out, or it is not known */
    double seconds; /* of the epoch, that it would be shorter were the rank as fast as the others */
} dt_straggler;

/* all: [n] of an epoch. A rank that owns more micro-batches is not slow for it: seconds an image
 * are compared, with the median of the other ranks. What it costs is no more than the others have
 * waited. On GPUs waiting is not known, and so nothing is said. */
dt_straggler dt_straggler_find(const dt_phases *all, int n);

/* Share of the epoch's time from which on it is worth a word. */
#define DT_STRAGGLER_SHARE 0.10

#endif
