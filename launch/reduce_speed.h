/* launch/reduce_speed.h - how fast the ranks' all-reduce is, and whether it adds up right: for
 * bench and doctor.
 *
 * As nccl-tests has it: time is the average of many in-place calls, over ranks; algbw = bytes /
 * time; busbw = algbw * 2 (n - 1) / n, which can be compared with the speed of the wires for any n;
 * wrong counts elements, on all ranks. The data of checked calls are small whole numbers, so that
 * the sum is exact in any order and one wrong bit is seen; timed calls between them add zeros. */
#ifndef DT_LAUNCH_REDUCE_SPEED_H
#define DT_LAUNCH_REDUCE_SPEED_H

#include "dist/comm.h"

typedef struct {
    double microseconds, algbw, busbw; /* GB/s */
    int64_t wrong;
} dt_reduce_speed;

/* In-place sums of nbytes, of int64 or float32, for about `seconds`, and two calls at least. buffer
 * holds nbytes, and zeros afterwards or sums. Collective. */
DT_NODISCARD dt_status dt_reduce_measure(dt_comm *comm, void *buffer, size_t nbytes, bool is_float,
                                         double seconds, dt_reduce_speed *out);

#endif
