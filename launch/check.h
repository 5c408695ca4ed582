/* launch/check.h - do all ranks still agree? Finds a machine that computes or stores wrongly. */
#ifndef DT_LAUNCH_CHECK_H
#define DT_LAUNCH_CHECK_H

#include "launch/setup.h"

/* After epoch (from 0), before its state is saved. Collective, one outcome for all. DT_EPEER names
 * rank and host: parameters differ between ranks, or a rank and its right neighbour differ on a
 * micro-batch of the neighbour. */
DT_NODISCARD dt_status dt_check_ranks(dt_setup *setup, int64_t epoch);

#endif
