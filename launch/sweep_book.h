/* launch/sweep_book.h - where a sweep's results are kept: directory, sweep.h5, log. Rank 0's. */
#ifndef DT_LAUNCH_SWEEP_BOOK_H
#define DT_LAUNCH_SWEEP_BOOK_H

#include "io/sweepfile.h"
#include "launch/setup.h"

typedef struct {
    char dir[DT_PATH_MAX], path[DT_PATH_MAX];
    int claim; /* on dir; -1: none */
    dt_sweep *sweep;
} dt_sweep_book;

/* Find or make the directory and take up the cells that are there. options: the sweep's, with every
 * "auto" resolved, as they are compared and recorded. setup: of the whole job, with data, network
 * and fingerprint. DT_EUSAGE: the directory holds a sweep of another configuration (the sentence
 * says what differs), or another process writes to it. DT_EIO. dt_sweep_book_close() after a
 * failure too. */
DT_NODISCARD dt_status dt_sweep_book_open(const dt_options *options, const dt_setup *setup,
                                          int64_t planned, dt_sweep_book *book);
/* Keep a cell: in the file when this returns, and as a line of log.jsonl. */
DT_NODISCARD dt_status dt_sweep_book_add(dt_sweep_book *book, const dt_cell *cell);
/* Write how it ended. */
DT_NODISCARD dt_status dt_sweep_book_finish(dt_sweep_book *book, dt_status status);
void dt_sweep_book_close(dt_sweep_book *book);

#endif
