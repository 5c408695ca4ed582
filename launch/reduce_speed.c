/* launch/reduce_speed.c - all-reduces of known data, timed and checked. */
#include "launch/reduce_speed.h"

#include <math.h>
#include <string.h>
#include "io/clock.h"

enum { MAX_CALLS = 200, PERIOD = 31 };

/* Element i of rank's data: so small that float sums of 100,000 ranks are exact. */
static int64_t element(int rank, size_t i) {
    return (int64_t)(rank % 8 + 1) * (int64_t)(i % PERIOD);
}

static int64_t element_sum(int n_ranks, size_t i) {
    int64_t factors = 0;
    for (int r = 0; r < n_ranks; r++)
        factors += r % 8 + 1;
    return factors * (int64_t)(i % PERIOD);
}

static dt_status call_reduce(dt_comm *comm, void *buffer, size_t n, bool is_float) {
    return is_float ? dt_comm_sum_f32(comm, buffer, n) : dt_comm_sum_i64(comm, buffer, n);
}

/* One call with known data; *wrong += elements that are not the exact sum, on this rank. */
static dt_status checked_call(dt_comm *comm, void *buffer, size_t n, bool is_float,
                              int64_t *wrong) {
    int rank = dt_comm_rank(comm);
    int64_t *i64 = buffer, sums[PERIOD];
    float *f32 = buffer;
    for (size_t i = 0; i < n; i++) {
        if (is_float)
            f32[i] = (float)element(rank, i);
        else
            i64[i] = element(rank, i);
    }
    DT_TRY(call_reduce(comm, buffer, n, is_float));
    for (size_t i = 0; i < PERIOD; i++)
        sums[i] = element_sum(dt_comm_size(comm), i);
    for (size_t i = 0; i < n; i++)
        *wrong += is_float ? f32[i] != (float)sums[i % PERIOD] : i64[i] != sums[i % PERIOD];
    return DT_OK;
}

static dt_status timed_calls(dt_comm *comm, void *buffer, size_t n, bool is_float, int calls,
                             double *seconds) {
    DT_TRY(dt_comm_barrier(comm));
    double begin = dt_now();
    for (int i = 0; i < calls; i++)
        DT_TRY(call_reduce(comm, buffer, n, is_float));
    *seconds = (dt_now() - begin) / calls;
    int64_t nanoseconds = (int64_t)(1e9 * *seconds);
    DT_TRY(dt_comm_sum_i64(comm, &nanoseconds, 1));
    *seconds = 1e-9 * (double)nanoseconds / dt_comm_size(comm);
    return DT_OK;
}

dt_status dt_reduce_measure(dt_comm *comm, void *buffer, size_t nbytes, bool is_float,
                            double seconds, dt_reduce_speed *out) {
    size_t n = nbytes / (is_float ? sizeof(float) : sizeof(int64_t));
    double took, ranks = dt_comm_size(comm);
    int64_t wrong = 0;
    DT_TRY(checked_call(comm, buffer, n, is_float, &wrong));
    memset(buffer, 0, nbytes);
    DT_TRY(timed_calls(comm, buffer, n, is_float, 2,
                       &took)); /* the same average, so the same number, everywhere */
    int calls = (int)fmin(seconds / fmax(took, 1e-6), MAX_CALLS);
    if (took < seconds) /* else these two say enough */
        DT_TRY(timed_calls(comm, buffer, n, is_float, calls < 3 ? 3 : calls, &took));
    DT_TRY(checked_call(comm, buffer, n, is_float, &wrong));
    DT_TRY(dt_comm_sum_i64(comm, &wrong, 1));
    out->wrong = wrong;
    out->microseconds = 1e6 * took;
    out->algbw = 1e-9 * (double)nbytes / took;
    out->busbw = out->algbw * 2 * (ranks - 1) / ranks;
    return DT_OK;
}
