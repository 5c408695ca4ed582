/* tests/test_straggler.c - which rank holds up the others, from tables of phases. */
#include "t.h"

#include "launch/straggler.h"

static dt_phases rank(double compute, double wait, double images) {
    return (dt_phases){.compute = compute, .wait = wait, .images = images};
}

#define FIND(rank_, seconds_, ...)                                                                 \
    do {                                                                                           \
        const dt_phases p_[] = {__VA_ARGS__};                                                      \
        dt_straggler s_ = dt_straggler_find(p_, (int)(sizeof p_ / sizeof *p_));                    \
        T_CHECK(s_.rank == (rank_));                                                               \
        T_NEAR(s_.seconds, seconds_, 1e-9, 0);                                                     \
    } while (0)

int main(void) {
    T_BEGIN(30);
    FIND(-1, 0, rank(10, 0, 100));                   /* alone */
    FIND(-1, 0, rank(10, 0, 100), rank(10, 0, 100)); /* alike */
    FIND(1, 5, rank(10, 5, 100), rank(15, 0, 100));  /* the other one waits */
    FIND(0, 5, rank(15, 0, 100), rank(10, 5, 100), rank(10, 5, 100));
    FIND(1, 2, rank(10, 2, 100), rank(15, 0, 100));   /* no more than was waited */
    FIND(-1, 0, rank(10, 0, 100), rank(15, 0, 100));  /* nobody waited */
    FIND(-1, 0, rank(10, 10, 100), rank(20, 0, 200)); /* it owns more, that is all */
    FIND(0, 2, rank(12, 0, 100), rank(20, 6, 200),
         rank(20, 6, 200));                                         /* slow, though it owns less */
    FIND(1, 4, rank(0, 20, 0), rank(14, 0, 100), rank(10, 4, 100)); /* one has no work */
    FIND(-1, 0, rank(0, 20, 0), rank(14, 0, 100));                  /* nobody to compare with */
    FIND(3, 6, rank(10, 6, 100), rank(11, 5, 100), rank(10, 6, 100), rank(16, 0, 100));
    FIND(-1, 0, rank(10, NAN, 100), rank(15, NAN, 100)); /* GPUs */
    const dt_phases input[] = {rank(10, 5, 100), {.compute = 10, .input = 5, .images = 100}};
    T_CHECK(dt_straggler_find(input, 2).rank == 1); /* a slow disk counts too */
    return t_finish();
}
