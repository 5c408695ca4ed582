/* launch/trace.h - the first steps of every rank as a time line, for Perfetto or chrome://tracing.
 *
 * Spans are kept in memory, at most some thousands a rank, and written once: nothing of it costs
 * time that a step would notice. Clocks of different hosts are set to each other where all ranks
 * leave a barrier, which is exact to some tens of microseconds. */
#ifndef DT_LAUNCH_TRACE_H
#define DT_LAUNCH_TRACE_H

#include "dist/comm.h"
#include "launch/step.h"

typedef struct dt_trace dt_trace;

/* Collective. path is rank 0's; "" gives NULL, which all other functions take and do nothing. */
DT_NODISCARD dt_status dt_trace_open(dt_comm *comm, const char *path, dt_trace **out);
/* A new training begins: its first steps are kept too. */
void dt_trace_begin(dt_trace *trace);
/* The phases of a step, between the moments that dt_step_result.at holds; only of the first
 * DT_TRACE_STEPS steps. */
enum { DT_TRACE_STEPS = 32 };
void dt_trace_step(dt_trace *trace, int64_t step, const double at[DT_STEP_MOMENTS]);
/* Anything else; name is shorter than DT_TRACE_NAME_MAX. */
enum { DT_TRACE_NAME_MAX = 24 };
void dt_trace_span(dt_trace *trace, const char *name, double begin, double end);
/* Collective: gather the spans of all ranks, write them, free. DT_EIO, on all ranks alike. */
DT_NODISCARD dt_status dt_trace_close(dt_trace **trace);

#endif
