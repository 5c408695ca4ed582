/* model/pool.h - the worker threads of one device, and a dispenser of work for them.
 *
 * dt_pool_run() lets n workers run one function and returns when all are done; the caller is worker
 * 0. A worker that has nothing to do looks for work for some microseconds, then sleeps: hand-over
 * is fast within a step, and idle workers leave the core to others. Everything that the caller
 * wrote before run is seen by the workers, and the reverse after it. Runs are started by one thread
 * at a time. */
#ifndef DT_MODEL_POOL_H
#define DT_MODEL_POOL_H

#include "io/err.h"

typedef struct dt_pool dt_pool;

/* n >= 1 workers, n - 1 of them new threads (with all signals blocked: handlers run in the
 * program's own threads). DT_EDEVICE: the system refused; *out is then NULL. */
DT_NODISCARD dt_status dt_pool_create(int n, dt_pool **out);
/* Ends and joins the threads; NULL and *pool == NULL are fine. */
void dt_pool_free(dt_pool **pool);
int dt_pool_size(const dt_pool *pool);

/* fn(ctx, worker) once on each worker 0 .. n-1, at the same time. */
void dt_pool_run(dt_pool *pool, void (*fn)(void *ctx, int worker), void *ctx);

/* Hands out 0 .. n-1, each once, to whoever asks first. Set before a run, by the caller. */
typedef struct {
    int next, n;
} dt_queue;

void dt_queue_set(dt_queue *queue, int n);
int dt_queue_next(dt_queue *queue); /* -1: none left; safe from any worker */

#endif
