/* io/progress.c - the record. Its fields are atomic one by one: a reader may find a new step beside
 * an old phase for a moment, and only asks whether anything has changed. */
#include "io/progress.h"

#include <stdatomic.h>
#include <stddef.h>

const char *const dt_phase_names[DT_N_PHASES] = {"start-up",   "data", "training", "evaluation",
                                                 "checkpoint", "end",  "gone",     "measuring"};

typedef struct {
    atomic_uint_fast64_t ticks, writer_ticks, collectives;
    atomic_int_fast64_t step;
    atomic_int phase, last_collective, waiting, in_output, writing;
} record;
_Static_assert(sizeof(record) <= DT_PROGRESS_BYTES, "a record must fit its place");

static record own;
static _Atomic(record *) place = &own;
static _Thread_local bool is_writer;

static record *here(void) {
    return atomic_load_explicit(&place, memory_order_acquire);
}

dt_phase dt_progress_phase(dt_phase phase) {
    dt_progress_tick();
    return (dt_phase)atomic_exchange_explicit(&here()->phase, (int)phase, memory_order_relaxed);
}

void dt_progress_step(int64_t step) {
    atomic_store_explicit(&here()->step, step, memory_order_relaxed);
}

void dt_progress_tick(void) {
    record *r = here();
    atomic_fetch_add_explicit(is_writer ? &r->writer_ticks : &r->ticks, 1, memory_order_relaxed);
}

void dt_progress_collective(int kind) {
    record *r = here();
    atomic_store_explicit(&r->last_collective, kind, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->collectives, 1, memory_order_relaxed);
    dt_progress_tick();
}

static void count(atomic_int *counter, bool begins) {
    dt_progress_tick();
    atomic_fetch_add_explicit(counter, begins ? 1 : -1, memory_order_relaxed);
}

void dt_progress_wait(bool begins) {
    count(&here()->waiting, begins);
}

void dt_progress_output(bool begins) {
    count(&here()->in_output, begins);
}

void dt_progress_writer(bool begins) {
    is_writer = true;
    count(&here()->writing, begins);
}

dt_progress dt_progress_read(const void *from) {
    const record *r = from;
    return (dt_progress){
        .ticks = atomic_load_explicit(&r->ticks, memory_order_relaxed),
        .writer_ticks = atomic_load_explicit(&r->writer_ticks, memory_order_relaxed),
        .collectives = atomic_load_explicit(&r->collectives, memory_order_relaxed),
        .step = atomic_load_explicit(&r->step, memory_order_relaxed),
        .phase = (dt_phase)atomic_load_explicit(&r->phase, memory_order_relaxed),
        .last_collective = atomic_load_explicit(&r->last_collective, memory_order_relaxed),
        .waiting = atomic_load_explicit(&r->waiting, memory_order_relaxed) > 0,
        .in_output = atomic_load_explicit(&r->in_output, memory_order_relaxed) > 0,
        .writing = atomic_load_explicit(&r->writing, memory_order_relaxed) > 0};
}

dt_progress dt_progress_now(void) {
    return dt_progress_read(here());
}

void dt_progress_move(void *to) {
    record *from = here(), *r = to ? to : &own;
    if (r == from)
        return;
    dt_progress p = dt_progress_read(from);
    atomic_store_explicit(&r->ticks, p.ticks, memory_order_relaxed);
    atomic_store_explicit(&r->writer_ticks, p.writer_ticks, memory_order_relaxed);
    atomic_store_explicit(&r->collectives, p.collectives, memory_order_relaxed);
    atomic_store_explicit(&r->step, p.step, memory_order_relaxed);
    atomic_store_explicit(&r->phase, (int)p.phase, memory_order_relaxed);
    atomic_store_explicit(&r->last_collective, p.last_collective, memory_order_relaxed);
    atomic_store_explicit(&r->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&r->in_output, 0, memory_order_relaxed);
    atomic_store_explicit(&r->writing, 0, memory_order_relaxed);
    atomic_store_explicit(&place, r, memory_order_release);
}
