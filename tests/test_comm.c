/* tests/test_comm.c - the hand-off to the transport's thread, with a transport made of plain
 * memory. No MPI is started, so that it can run under ThreadSanitizer. */
#include "t.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dist/comm.h"
#include "dist/comm_impl.h"

/* --- a group of three ranks that all do what this one does ------------------------------------ */

enum { RANKS = 3, ME = 1 };

static struct {
    pthread_t opened_by;
    bool foreign; /* a call came from another thread than the one that opened */
    int calls, fail_at, closed, closed_broken;
    int32_t statuses[RANKS]; /* what the other ranks say in an allgather of 4 bytes */
    bool fail_open;
} fake;

static dt_status fake_call(void) {
    if (!pthread_equal(pthread_self(), fake.opened_by))
        fake.foreign = true;
    if (++fake.calls == fake.fail_at)
        return dt_fail(DT_EPEER, "call %d failed: the cable is cut", fake.calls);
    return DT_OK;
}

static dt_status fake_open(int *argc, char ***argv, dt_group *group, void **state) {
    (void)argc, (void)argv;
    *state = NULL;
    if (fake.fail_open)
        return dt_fail(DT_EDEVICE, "no cable");
    fake.opened_by = pthread_self();
    *group = (dt_group){.rank = ME, .size = RANKS, .local_size = RANKS, .n_hosts = 1};
    group->hosts = calloc(RANKS, sizeof *group->hosts);
    for (int r = 0; r < RANKS; r++)
        snprintf(group->hosts[r].name, DT_HOST_MAX, "node%d", r);
    return DT_OK;
}

static void fake_close(void *state, bool broken) {
    (void)state;
    if (!pthread_equal(pthread_self(), fake.opened_by))
        fake.foreign = true;
    fake.closed++;
    fake.closed_broken += broken;
}

static dt_status fake_sum_i64(void *state, int64_t *v, size_t n) {
    (void)state;
    DT_TRY(fake_call());
    for (size_t i = 0; i < n; i++)
        v[i] = v[i] * RANKS + fake.calls; /* the order of the calls shows */
    return DT_OK;
}

static dt_status fake_sum_f32(void *state, float *v, size_t n) {
    (void)state;
    DT_TRY(fake_call());
    for (size_t i = 0; i < n; i++)
        v[i] *= RANKS;
    return DT_OK;
}

static dt_status fake_bcast(void *state, void *buf, size_t nbytes, int root) {
    (void)state;
    DT_TRY(fake_call());
    if (root != ME)
        snprintf(buf, nbytes, "words of rank %d", root);
    return DT_OK;
}

static dt_status fake_allgather(void *state, const void *mine, size_t nbytes, void *all) {
    (void)state;
    DT_TRY(fake_call());
    for (int r = 0; r < RANKS; r++)
        memcpy((char *)all + (size_t)r * nbytes, r == ME || nbytes != 4 ? mine : &fake.statuses[r],
               nbytes);
    return DT_OK;
}

static dt_status fake_barrier(void *state) {
    (void)state;
    return fake_call();
}

static void fake_abort_hangs(int exit_code) {
    (void)exit_code;
    for (;;)
        pause();
}

static void fake_abort_returns(int exit_code) {
    (void)exit_code;
}

static dt_transport fake_transport = {
    .own_thread = true,
    .open = fake_open,
    .close = fake_close,
    .sum_i64 = fake_sum_i64,
    .sum_f32 = fake_sum_f32,
    .bcast = fake_bcast,
    .allgather = fake_allgather,
    .barrier = fake_barrier,
    .abort = fake_abort_hangs,
};

static dt_comm *open_fake(void) {
    dt_comm *comm = NULL;
    memset(&fake, 0, sizeof fake);
    T_OK(dt_comm_open(&fake_transport, NULL, NULL, &comm));
    return comm;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_one_thread_makes_every_call(void) {
    dt_comm *comm = open_fake();
    int64_t v = 5;
    float f = 2.0f;
    char text[32] = "mine", all[RANKS * 2];
    T_CHECK(dt_comm_rank(comm) == ME && dt_comm_size(comm) == RANKS);
    T_OK(dt_comm_sum_i64(comm, &v, 1));
    T_CHECK(v == 5 * RANKS + 1);
    T_OK(dt_comm_sum_f32(comm, &f, 1));
    T_CHECK(f == 6.0f);
    T_OK(dt_comm_bcast(comm, text, sizeof text, 2));
    T_CHECK(strcmp(text, "words of rank 2") == 0);
    T_OK(dt_comm_allgather(comm, "ab", 2, all));
    T_CHECK(memcmp(all, "ababab", 6) == 0);
    T_OK(dt_comm_barrier(comm));
    dt_comm_free(&comm);
    T_CHECK(comm == NULL);
    T_CHECK(!fake.foreign && !pthread_equal(fake.opened_by, pthread_self()));
    T_CHECK(fake.calls == 5 && fake.closed == 1 && fake.closed_broken == 0);
}

/* Many more starts than the ring has room for; each range is touched in its turn. */
static void test_started_in_order(void) {
    enum { N = 1000 };
    dt_comm *comm = open_fake();
    int64_t v[N] = {0};
    int wrong = 0;
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < N; i++)
            T_OK(dt_comm_start_sum_i64(comm, &v[i], 1));
        T_OK(dt_comm_wait(comm));
        for (int i = 0; i < N; i++)
            wrong += v[i] != (round == 1 ? i + 1 : (i + 1) * RANKS + N + i + 1);
    }
    T_CHECK(wrong == 0);
    dt_comm_free(&comm);
}

static void *start_from_elsewhere(void *arg) {
    void **both = arg;
    T_OK(dt_comm_start_sum_i64(both[0], both[1], 1));
    return NULL;
}

/* Worker threads may start ranges, one after another. */
static void test_start_from_other_threads(void) {
    dt_comm *comm = open_fake();
    int64_t v[100] = {0};
    int wrong = 0;
    for (int i = 0; i < 100; i++) {
        void *both[2] = {comm, &v[i]};
        pthread_t thread;
        pthread_create(&thread, NULL, start_from_elsewhere, both);
        pthread_join(thread, NULL);
    }
    T_OK(dt_comm_wait(comm));
    for (int i = 0; i < 100; i++)
        wrong += v[i] != i + 1;
    T_CHECK(wrong == 0);
    dt_comm_free(&comm);
}

/* The first failure stays; what comes after it is not even tried. */
static void test_failure_stays(void) {
    dt_comm *comm = open_fake();
    int64_t v[4] = {0};
    fake.fail_at = 2;
    for (int i = 0; i < 4; i++)
        if (dt_comm_start_sum_i64(comm, &v[i], 1) != DT_OK)
            T_CHECK(i >= 2);
    T_FAILS(dt_comm_wait(comm), DT_EPEER, "call 2 failed: the cable is cut");
    T_CHECK(v[0] == 1 && v[1] == 0 && v[2] == 0 && v[3] == 0);
    dt_fail(DT_EIO, "something else");
    T_FAILS(dt_comm_barrier(comm), DT_EPEER, "the cable is cut");
    T_FAILS(dt_comm_start_sum_i64(comm, v, 1), DT_EPEER, "the cable is cut");
    T_FAILS(dt_comm_agree(comm, DT_OK), DT_EPEER, "the cable is cut");
    dt_fail(DT_EDATA, "labels: cut short");
    T_FAILS(dt_comm_agree(comm, DT_EDATA), DT_EDATA, "labels: cut short");
    T_CHECK(fake.calls == 2);
    dt_comm_free(&comm);
    T_CHECK(fake.closed == 1 && fake.closed_broken == 1);
}

static void test_agree(void) {
    dt_comm *comm = open_fake();
    T_OK(dt_comm_agree(comm, DT_OK));
    T_CHECK(fake.calls == 1); /* nobody failed: one round */
    fake.statuses[2] = DT_EIO;
    T_FAILS(dt_comm_agree(comm, DT_OK), DT_EIO, "rank 2 (node2): words of rank 2");
    fake.statuses[0] = DT_EDATA;
    T_FAILS(dt_comm_agree(comm, DT_OK), DT_EDATA, "rank 0 (node0): words of rank 0");
    dt_fail(DT_EUSAGE, "my own words");
    T_CHECK(dt_comm_agree(comm, DT_EUSAGE) == DT_EUSAGE);
    T_CHECK(strcmp(dt_error(), "my own words") == 0);
    dt_comm_free(&comm);
}

static void test_open_fails(void) {
    dt_comm *comm = (dt_comm *)&fake;
    memset(&fake, 0, sizeof fake);
    fake.fail_open = true;
    T_FAILS(dt_comm_open(&fake_transport, NULL, NULL, &comm), DT_EDEVICE, "no cable");
    T_CHECK(comm == NULL && fake.closed == 0);
}

static void test_group_of_one(void) {
    dt_comm *comm = NULL;
    int64_t v[2] = {7, -7};
    float f = 1.5f;
    char text[8] = "mine", all[8] = "";
    T_OK(dt_comm_open(&dt_transport_none, NULL, NULL, &comm));
    T_CHECK(dt_comm_rank(comm) == 0 && dt_comm_size(comm) == 1 && dt_comm_hosts(comm) == 1);
    T_CHECK(dt_comm_local_rank(comm) == 0 && dt_comm_local_size(comm) == 1);
    T_CHECK(dt_comm_host(comm, 0)[0] != 0 && dt_comm_host_of(comm, 0) == 0);
    T_CHECK(strcmp(dt_comm_library(comm), "none") == 0);
    T_OK(dt_comm_start_sum_i64(comm, v, 2));
    T_OK(dt_comm_start_sum_f32(comm, &f, 1));
    T_OK(dt_comm_wait(comm));
    T_OK(dt_comm_bcast(comm, text, sizeof text, 0));
    T_OK(dt_comm_allgather(comm, text, sizeof text, all));
    T_OK(dt_comm_barrier(comm));
    T_CHECK(v[0] == 7 && v[1] == -7 && f == 1.5f);
    T_CHECK(strcmp(text, "mine") == 0 && strcmp(all, "mine") == 0);
    dt_fail(DT_EDATA, "labels: cut short");
    T_FAILS(dt_comm_agree(comm, DT_EDATA), DT_EDATA, "labels: cut short");
    T_OK(dt_comm_agree(comm, DT_OK));
    dt_comm_free(&comm);
    dt_comm_free(&comm);
    dt_comm_free(NULL);
}

static void *abort_again(void *comm) {
    dt_comm_abort(comm, 9);
}

/* The end comes with its code even when the launcher cannot be told, and in bounded time. */
static void test_abort(void (*way)(int), bool twice, double at_most) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        dt_comm *comm = open_fake();
        fake_transport.abort = way;
        if (twice && pthread_create(&thread, NULL, abort_again, comm) == 0)
            pthread_join(thread, NULL);
        dt_comm_abort(comm, 6);
    }
    int status = 0;
    T_CHECK(waitpid(child, &status, 0) == child);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    T_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (twice ? 9 : 6));
    T_CHECK(seconds < at_most);
}

int main(void) {
    T_BEGIN(60);
    test_one_thread_makes_every_call();
    test_started_in_order();
    test_start_from_other_threads();
    test_failure_stays();
    test_agree();
    test_open_fails();
    test_group_of_one();
    test_abort(fake_abort_returns, false, 2.5);
    test_abort(fake_abort_hangs, false, 6);
    test_abort(fake_abort_hangs, true, 6);
    return t_finish();
}
