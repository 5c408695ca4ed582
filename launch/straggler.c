/* launch/straggler.c - see straggler.h. */
#include "launch/straggler.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lower middle one of v[n], which is sorted by this; NaN of none. */
static double median(double *v, int n) {
    if (n == 0)
        return NAN;
    qsort(v, (size_t)n, sizeof *v, compare);
    return v[(n - 1) / 2];
}

static double seconds_an_image(const dt_phases *p) {
    return p->images > 0 ? (p->compute + p->input) / p->images : NAN;
}

dt_straggler dt_straggler_find(const dt_phases *all, int n) {
    dt_straggler none = {.rank = -1}, found = none;
    double *v = malloc((size_t)n * sizeof *v);
    int count = 0;
    for (int r = 0; r < n; r++)
        if (seconds_an_image(&all[r]) > (found.rank < 0 ? 0 : seconds_an_image(&all[found.rank])))
            found.rank = r;
    if (!v || found.rank < 0) {
        free(v);
        return none;
    }
    for (int r = 0; r < n; r++)
        if (r != found.rank && !isnan(seconds_an_image(&all[r])))
            v[count++] = seconds_an_image(&all[r]);
    const dt_phases *slow = &all[found.rank];
    found.seconds = slow->images * (seconds_an_image(slow) - median(v, count));
    count = 0;
    for (int r = 0; r < n; r++)
        if (r != found.rank && !isnan(all[r].wait))
            v[count++] = all[r].wait;
    double waited = median(v, count);
    free(v);
    if (!(found.seconds > 0) || !(waited > 0))
        return none;
    found.seconds = found.seconds < waited ? found.seconds : waited;
    return found;
}
