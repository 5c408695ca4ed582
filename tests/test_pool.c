/* The worker pool: every worker once a round, order of memory, the dispenser, sleep and wake-up. */
#include "model/pool.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include "tests/t.h"

enum { MAX_WORKERS = 8, N = 1000 };

typedef struct {
    int plain[MAX_WORKERS]; /* not atomic: run must order them */
    int blocked[MAX_WORKERS];
    pthread_t thread[MAX_WORKERS];
    int input;
    dt_queue queue;
    int taken[N];
} board;

static void note(void *ctx, int worker) {
    board *b = ctx;
    b->plain[worker] += b->input;
    b->thread[worker] = pthread_self();
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    b->blocked[worker] = sigismember(&set, SIGTERM);
}

static void take(void *ctx, int worker) {
    (void)worker;
    board *b = ctx;
    for (int i; (i = dt_queue_next(&b->queue)) >= 0;)
        b->taken[i]++;
}

static void nap(int64_t ns) {
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void test_rounds(int n) {
    dt_pool *pool;
    board *b = calloc(1, sizeof *b);
    T_OK(dt_pool_create(n, &pool));
    T_CHECK(dt_pool_size(pool) == n);
    int want = 0;
    for (int round = 1; round <= 500; round++) {
        b->input = round;
        want += round;
        dt_pool_run(pool, note, b);
        if (round % 100 == 0)
            nap(1000000); /* long enough for workers to fall asleep */
        for (int i = 0; i < MAX_WORKERS; i++)
            if (b->plain[i] != (i < n ? want : 0))
                T_CHECK(!"a worker missed a round");
    }
    T_CHECK(pthread_equal(b->thread[0], pthread_self()) && !b->blocked[0]);
    for (int i = 1; i < n; i++) {
        T_CHECK(b->blocked[i]);
        for (int j = 0; j < i; j++)
            T_CHECK(!pthread_equal(b->thread[i], b->thread[j]));
    }
    dt_queue_set(&b->queue, N);
    dt_pool_run(pool, take, b);
    int once = 0;
    for (int i = 0; i < N; i++)
        once += b->taken[i] == 1;
    T_CHECK(once == N);
    T_CHECK(dt_queue_next(&b->queue) == -1);
    dt_queue_set(&b->queue, 0);
    T_CHECK(dt_queue_next(&b->queue) == -1);
    dt_pool_free(&pool);
    T_CHECK(pool == NULL);
    dt_pool_free(&pool);
    free(b);
}

/* Workers that finish long before or after the caller: somebody has to be woken up. */
static void dawdle(void *ctx, int worker) {
    board *b = ctx;
    if (worker == b->input)
        nap(300000);
    b->plain[worker]++;
}

static void test_sleepers(void) {
    dt_pool *pool;
    board *b = calloc(1, sizeof *b);
    T_OK(dt_pool_create(3, &pool));
    for (int round = 0; round < 300; round++) {
        b->input = round % 3;
        dt_pool_run(pool, dawdle, b);
    }
    T_CHECK(b->plain[0] == 300 && b->plain[1] == 300 && b->plain[2] == 300);
    nap(2000000);
    dt_pool_free(&pool); /* from their sleep */
    free(b);
}

static void nothing(void *ctx, int worker) {
    (void)ctx;
    (void)worker;
}

/* Not a check, the machine may be busy: printed for whoever measures. */
static void print_overhead(void) {
    enum { ROUNDS = 20000 };
    dt_pool *pool;
    struct timespec a, b;
    T_OK(dt_pool_create(2, &pool));
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++)
        dt_pool_run(pool, nothing, NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
    printf("an empty run of 2 workers: %.2f us\n", ns / ROUNDS / 1000);
    dt_pool_free(&pool);
}

int main(void) {
    T_BEGIN(300);
    test_rounds(1);
    test_rounds(2);
    test_rounds(3);
    test_rounds(MAX_WORKERS);
    test_sleepers();
    print_overhead();
    return t_finish();
}
