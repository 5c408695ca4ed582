/* io/progress.h - how far this process is, told by those who work and read by whoever watches.
 *
 * One record a process, of counters that anybody may raise from any thread at the price of an
 * atomic addition. What counts is that a number changes, not which it is: a micro-batch computed, a
 * piece of a file read or written, a sum over the ranks that came back. A process that is told to
 * be waiting waits for other ranks and is not to blame for it. */
#ifndef DT_IO_PROGRESS_H
#define DT_IO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    DT_PHASE_STARTUP, /* until there is data */
    DT_PHASE_DATA,
    DT_PHASE_TRAINING,
    DT_PHASE_EVALUATION,
    DT_PHASE_CHECKPOINT,
    DT_PHASE_END,
    DT_PHASE_GONE,      /* left in good order */
    DT_PHASE_MEASURING, /* bench and doctor: the machine and what is between the ranks */
    DT_N_PHASES
} dt_phase;
extern const char *const dt_phase_names[DT_N_PHASES]; /* "start-up", "data", ... */

/* Enter a phase; the one before, to come back to. */
dt_phase dt_progress_phase(dt_phase phase);
/* Updates done in the run. */
void dt_progress_step(int64_t step);
/* Some work is done, by this thread's part of the process. */
void dt_progress_tick(void);
/* A collective is over: of a kind, dist/comm.c's number for it. A tick too. */
void dt_progress_collective(int kind);

/* Between wait(true) and wait(false) this process waits for other ranks; pairs may nest. */
void dt_progress_wait(bool begins);
/* The same for the reader of its output: a terminal that was told to pause is no fault. */
void dt_progress_output(bool begins);
/* This thread writes files while others compute: its ticks count apart, and it is at work between
 * writer(true) and writer(false). */
void dt_progress_writer(bool begins);

typedef struct {
    uint64_t ticks, writer_ticks, collectives;
    int64_t step;
    dt_phase phase;
    int last_collective;
    bool waiting, in_output, writing;
} dt_progress;
dt_progress dt_progress_now(void);

/* The record may be kept in memory that other processes see: DT_PROGRESS_BYTES at `to`, aligned to
 * 64, for as long as no other call says otherwise; NULL: in this process's own again. What is told
 * between the two is kept. Not while a pair of calls above is open. */
enum { DT_PROGRESS_BYTES = 64 };
void dt_progress_move(void *to);
/* What is in such memory, of whichever process. */
dt_progress dt_progress_read(const void *from);

#ifdef __cplusplus
}
#endif
#endif
