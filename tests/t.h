/* tests/t.h - checks that stay on in release builds, a time limit, and one verdict for all ranks.
 *
 * int main(void) { T_BEGIN(60); ... T_CHECK(x == 1); T_OK(dt_f()); ... return t_finish(); }
 * The last line is "N passed, N failed". No check run at all is a failure. Programs that run on
 * several ranks set t_reduce to a function that sums two counters over them, so that every rank has
 * the same verdict. */
#ifndef DT_TESTS_T_H
#define DT_TESTS_T_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "io/err.h"

static long t_counts[2]; /* passed, failed */
static int t_rank;
static void (*t_reduce)(long counts[2]);

static inline int t_note(int ok, const char *file, int line, const char *text) {
    t_counts[ok ? 0 : 1]++;
    if (!ok)
        fprintf(stderr, "%s:%d: rank %d: FAILED: %s\n", file, line, t_rank, text);
    return ok;
}

#define T_BEGIN(seconds) alarm(seconds)
#define T_CHECK(expr)    t_note(!!(expr), __FILE__, __LINE__, #expr)
#define T_OK(call)                                                                                 \
    (t_note((call) == DT_OK, __FILE__, __LINE__, #call " == DT_OK") ||                             \
     (fprintf(stderr, "    %s\n", dt_error()), 0))
/* The call must fail with this code, and its sentence must contain word. */
#define T_FAILS(call, code, word)                                                                  \
    (t_note((call) == (code), __FILE__, __LINE__, #call " == " #code) &&                           \
     (t_note(strstr(dt_error(), word) != NULL, __FILE__, __LINE__, "message contains " #word) ||   \
      (fprintf(stderr, "    %s\n", dt_error()), 0)))
/* |got - want| <= atol + rtol * |want|; a NaN fails. */
#define T_NEAR(got, want, atol, rtol)                                                              \
    do {                                                                                           \
        double got_ = (got), want_ = (want);                                                       \
        if (!t_note(fabs(got_ - want_) <= (atol) + (rtol)*fabs(want_), __FILE__, __LINE__,         \
                    #got " near " #want))                                                          \
            fprintf(stderr, "    got %.9g, want %.9g\n", got_, want_);                             \
    } while (0)

static inline int t_finish(void) {
    if (t_reduce)
        t_reduce(t_counts);
    if (t_rank == 0)
        printf("%ld passed, %ld failed\n", t_counts[0], t_counts[1]);
    return t_counts[1] > 0 || t_counts[0] == 0;
}

#endif
