/* model/pool.c - n threads, one round of work after another.
 *
 * A round is a number that grows. The caller writes down the work, adds 1 to round and wakes those
 * who sleep; a worker that sees a new number runs the work and takes 1 from the count of those
 * still busy; whoever takes the last one wakes the caller if it sleeps. Both sides first spin: a
 * futex round trip costs tens of microseconds, the work between two rounds of a step often less.
 * The spin is bounded by the clock, because on an oversubscribed machine the one that is waited for
 * may need this very core.
 *
 * Sleeping without losing a wake-up: the sleeper announces itself, then looks again, then sleeps;
 * the waker changes the number, then looks for sleepers. Both orders are sequentially consistent,
 * so that at least one of the two sees the other. */
#include "model/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/progress.h"
#include "io/thread.h"

enum { SPIN_NS = 30000, PAUSES_PER_LOOK = 16 };

typedef struct {
    dt_pool *pool;
    int worker;
    pthread_t thread;
} member;

struct dt_pool {
    int n;         /* workers, the caller included */
    int n_started; /* threads that run */
    member *members;
    void (*fn)(void *ctx, int worker); /* NULL: go home */
    void *ctx;
    atomic_uint round;
    atomic_int busy;     /* threads that have not finished this round */
    atomic_int sleepers; /* threads in (or on their way into) a wait on wake */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool round_began(dt_pool *pool, unsigned seen) {
    return atomic_load(&pool->round) != seen;
}

static bool round_ended(dt_pool *pool, unsigned unused) {
    (void)unused;
    return atomic_load(&pool->busy) == 0;
}

/* Until done(pool, seen): spin for a while, then sleep. */
static void wait_until(dt_pool *pool, bool (*done)(dt_pool *, unsigned), unsigned seen) {
    if (done(pool, seen))
        return;
    int64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (done(pool, seen))
                return;
            pause_core();
        }
    } while (now_ns() < end);

    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!done(pool, seen))
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void wake_sleepers(dt_pool *pool) {
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *arg) {
    member *me = arg;
    dt_pool *pool = me->pool;
    for (unsigned seen = 0;; seen++) {
        wait_until(pool, round_began, seen);
        if (!pool->fn)
            return NULL;
        pool->fn(pool->ctx, me->worker);
        if (atomic_fetch_sub(&pool->busy, 1) == 1)
            wake_sleepers(pool);
    }
}

static void begin_round(dt_pool *pool, void (*fn)(void *ctx, int worker), void *ctx) {
    pool->fn = fn;
    pool->ctx = ctx;
    atomic_store(&pool->busy, pool->n_started);
    atomic_fetch_add(&pool->round, 1);
    wake_sleepers(pool);
}

static dt_status start_threads(dt_pool *pool) {
    int error = 0;
    for (int i = 1; i < pool->n && error == 0; i++) {
        member *m = &pool->members[i];
        *m = (member){.pool = pool, .worker = i};
        error = dt_thread_start(&m->thread, work, m);
        pool->n_started += error == 0;
    }
    if (error != 0)
        return dt_fail(DT_EDEVICE, "cannot start worker thread %d of %d: %s; lower --threads",
                       pool->n_started + 1, pool->n, strerror(error));
    return DT_OK;
}

dt_status dt_pool_create(int n, dt_pool **out) {
    *out = NULL;
    dt_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return dt_fail(DT_EDEVICE, "no memory for %d worker threads", n);
    pool->n = n;
    atomic_init(&pool->round, 0);
    atomic_init(&pool->busy, 0);
    atomic_init(&pool->sleepers, 0);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->members = calloc((size_t)n, sizeof *pool->members);
    dt_status status = pool->members ? start_threads(pool)
                                     : dt_fail(DT_EDEVICE, "no memory for %d worker threads", n);
    if (status != DT_OK) {
        dt_pool_free(&pool);
        return status;
    }
    *out = pool;
    return DT_OK;
}

void dt_pool_free(dt_pool **pool) {
    dt_pool *p = pool ? *pool : NULL;
    if (!p)
        return;
    begin_round(p, NULL, NULL);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->members[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p->members);
    free(p);
    *pool = NULL;
}

int dt_pool_size(const dt_pool *pool) {
    return pool->n;
}

void dt_pool_run(dt_pool *pool, void (*fn)(void *ctx, int worker), void *ctx) {
    begin_round(pool, fn, ctx);
    fn(ctx, 0);
    wait_until(pool, round_ended, 0);
}

void dt_queue_set(dt_queue *queue, int n) {
    queue->next = 0;
    queue->n = n;
}

int dt_queue_next(dt_queue *queue) {
    dt_progress_tick(); /* whoever asks for more has done some */
    int i = __atomic_fetch_add(&queue->next, 1, __ATOMIC_RELAXED);
    return i < queue->n ? i : -1;
}
