/* io/clock.h - seconds of a clock that only goes forward, from a start of its own. */
#ifndef DT_IO_CLOCK_H
#define DT_IO_CLOCK_H

#include <time.h>

static inline double dt_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
