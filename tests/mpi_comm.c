/* ranks: 1 2 3 4 */
/* timeout: 120 */
/* tests/mpi_comm.c - the group over the real transport: exact data, guarded buffers, one outcome
 * for all. */
#include "t.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dist/comm.h"
#include "io/clock.h"

static dt_comm *comm;
static int rank, size;

static void reduce_counts(long counts[2]) {
    int64_t both[2] = {counts[0], counts[1]};
    if (dt_comm_sum_i64(comm, both, 2) != DT_OK)
        both[1]++;
    counts[0] = both[0];
    counts[1] = both[1];
}

/* Rank r gives (r + 1) * k(i) for whole k: sums are known, and exact in float too. */
static int64_t share(size_t i) {
    return (int64_t)(2 * (i % 251)) - 100;
}

static int64_t ranks_sum(void) {
    return (int64_t)size * (size + 1) / 2;
}

static void test_sum_i64(size_t n) {
    const int64_t guard = 0x5eed5eed5eed5eed;
    /* beyond 2^53: a detour through floating point would show */
    const int64_t big = ((int64_t)1 << 58) + 1;
    int64_t *v = malloc((n + 2) * sizeof *v), *x = v + 1;
    v[0] = x[n] = guard;
    for (size_t i = 0; i < n; i++)
        x[i] = (rank + 1) * share(i) + (rank == 0 ? big : 0);
    T_OK(dt_comm_sum_i64(comm, x, n));
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += x[i] != ranks_sum() * share(i) + big;
    T_CHECK(wrong == 0);
    T_CHECK(v[0] == guard && x[n] == guard);
    free(v);
}

static void test_sum_f32(size_t n) {
    float *v = malloc((n + 2) * sizeof *v), *x = v + 1;
    v[0] = x[n] = 42.0f;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((rank + 1) * share(i));
    T_OK(dt_comm_sum_f32(comm, x, n));
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += x[i] != (float)(ranks_sum() * share(i));
    T_CHECK(wrong == 0);
    T_CHECK(v[0] == 42.0f && x[n] == 42.0f);
    free(v);
}

/* Back to back without a barrier: a rank that runs ahead must not write what another still reads.
 */
static void sum_in_a_row(int64_t *x, size_t n, int rounds) {
    size_t wrong = 0;
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < n; i++)
            x[i] = (rank + 1) * (share(i) + round);
        if (round % 4 == rank)
            usleep(500);
        T_OK(dt_comm_sum_i64(comm, x, n));
        for (size_t i = 0; i < n; i++)
            wrong += x[i] != ranks_sum() * (share(i) + round);
    }
    T_CHECK(wrong == 0);
}

static void test_sums_in_a_row(void) {
    enum { N = 200001, ROUNDS = 40 };
    int64_t *x = malloc(N * sizeof *x);
    sum_in_a_row(x, N, ROUNDS);
    free(x);
}

/* The same where the ranks share the memory from the start: all of it, and stretches, short and
 * long; other memory as before; and another piece of memory in its place. */
static void test_shared(void) {
    enum { N = 200003, ROUNDS = 40 };
    for (size_t n = N; n > N / 4; n /= 2) {
        int64_t *x = NULL, wrong = 0;
        T_OK(dt_comm_share(comm, n, &x));
        T_CHECK((x != NULL) == (size > 1)); /* all ranks are on this host */
        if (!x)
            return;
        for (size_t i = 0; i < n; i++)
            wrong += x[i] != 0;
        T_CHECK(wrong == 0);
        sum_in_a_row(x, n, ROUNDS);
        sum_in_a_row(x + 4999, n - 10001, ROUNDS);
        sum_in_a_row(x + 11, 13, ROUNDS);
        sum_in_a_row(x + 11, 1300, ROUNDS);
        test_sum_i64(n);
    }
    int64_t *x = NULL;
    T_OK(dt_comm_share(comm, (size_t)1 << 37, &x)); /* a terabyte a rank: nobody hangs, */
    T_CHECK(x == NULL);
    test_sum_i64(N);                  /* sums go on, */
    T_OK(dt_comm_share(comm, N, &x)); /* and so does sharing */
    T_CHECK(x != NULL);
    for (size_t range = 0; x && range < 4; range++) {
        for (size_t i = 0; i < N / 4; i++)
            x[range * (N / 4) + i] = (rank + 1) * share(i);
        T_OK(dt_comm_start_sum_i64(comm, x + range * (N / 4), N / 4));
    }
    T_OK(dt_comm_wait(comm));
    for (size_t i = 0; x && i < N / 4 * 4; i++)
        if (!T_CHECK(x[i] == ranks_sum() * share(i % (N / 4))))
            break;
    T_OK(dt_comm_share(comm, 0, &x));
    T_CHECK(x == NULL);
}

/* More ranges than the module can hold at once, ints and floats mixed, some overlapping in a chain:
 * a range that was started twice is summed twice, in that order. */
static void test_started_ranges(void) {
    enum { RANGES = 150, EACH = 1001 };
    int64_t *x = malloc(RANGES * EACH * sizeof *x);
    float *f = malloc(RANGES * EACH * sizeof *f);
    for (size_t i = 0; i < RANGES * EACH; i++) {
        x[i] = (rank + 1) * share(i);
        f[i] = (float)x[i];
    }
    for (size_t range = 0; range < RANGES; range++) {
        T_OK(dt_comm_start_sum_i64(comm, x + range * EACH, EACH));
        T_OK(dt_comm_start_sum_f32(comm, f + range * EACH, EACH));
    }
    T_OK(dt_comm_start_sum_i64(comm, x, EACH));
    T_OK(dt_comm_wait(comm));
    size_t wrong = 0;
    for (size_t i = 0; i < RANGES * EACH; i++) {
        int64_t once = ranks_sum() * share(i);
        wrong += x[i] != (i < EACH ? once * size : once);
        wrong += f[i] != (float)once;
    }
    T_CHECK(wrong == 0);
    T_OK(dt_comm_wait(comm)); /* nothing started: returns at once */
    free(x);
    free(f);
}

static void test_bcast(size_t nbytes) {
    unsigned char *buf = malloc(nbytes + 1);
    for (int root = 0; root < size; root++) {
        memset(buf, rank == root ? 0 : 0xff, nbytes + 1);
        for (size_t i = 0; rank == root && i < nbytes; i++)
            buf[i] = (unsigned char)(i * 7 + (size_t)root);
        buf[nbytes] = 0xa5;
        T_OK(dt_comm_bcast(comm, buf, nbytes, root));
        size_t wrong = 0;
        for (size_t i = 0; i < nbytes; i++)
            wrong += buf[i] != (unsigned char)(i * 7 + (size_t)root);
        T_CHECK(wrong == 0);
        T_CHECK(buf[nbytes] == 0xa5);
    }
    free(buf);
}

static void test_allgather(size_t nbytes) {
    unsigned char *mine = malloc(nbytes + 1), *all = malloc((size_t)size * nbytes + 1);
    memset(mine, rank + 1, nbytes + 1);
    all[(size_t)size * nbytes] = 0xa5;
    T_OK(dt_comm_allgather(comm, mine, nbytes, all));
    size_t wrong = 0;
    for (size_t i = 0; i < (size_t)size * nbytes; i++)
        wrong += all[i] != i / nbytes + 1;
    T_CHECK(wrong == 0);
    T_CHECK(all[(size_t)size * nbytes] == 0xa5);
    T_FAILS(dt_comm_allgather(comm, mine, (1 << 24) + 1, all), DT_EUSAGE, "16777217");
    free(mine);
    free(all);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* one clock for all processes of a host */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Nobody leaves a barrier before the last has come. */
static void test_barrier(void) {
    for (int late = 0; late < size; late++) {
        double times[2] = {0, 0}, all[2 * 8];
        T_OK(dt_comm_barrier(comm));
        if (rank == late)
            usleep(30000);
        times[0] = now();
        T_OK(dt_comm_barrier(comm));
        times[1] = now();
        T_OK(dt_comm_allgather(comm, times, sizeof times, all));
        for (int r = 0; r < size && dt_comm_hosts(comm) == 1; r++)
            T_CHECK(all[2 * r + 1] >= all[2 * late]);
    }
}

static void test_agree_all_well(void) {
    dt_fail(DT_EIO, "an old failure that does not matter");
    T_OK(dt_comm_agree(comm, DT_OK));
}

/* Ranks in failing (a bit mask) fail, each in its own way. */
static void test_agree_failing(unsigned failing) {
    bool mine = failing >> rank & 1;
    int lowest = 0;
    while (!(failing >> lowest & 1))
        lowest++;
    dt_status status = DT_OK;
    char own[64], theirs[64];
    snprintf(own, sizeof own, "train-images: %d bytes are missing", 100 + rank);
    snprintf(theirs, sizeof theirs, "train-images: %d bytes are missing", 100 + lowest);
    if (mine)
        status = dt_fail(rank == lowest ? DT_EDATA : DT_EIO, "%s", own);
    dt_status agreed = dt_comm_agree(comm, status);
    if (mine) {
        T_CHECK(agreed == (rank == lowest ? DT_EDATA : DT_EIO));
        T_CHECK(strcmp(dt_error(), own) == 0);
    } else {
        char who[32];
        snprintf(who, sizeof who, "rank %d (%s)", lowest, dt_comm_host(comm, lowest));
        T_CHECK(agreed == DT_EDATA);
        T_CHECK(strstr(dt_error(), who) != NULL);
        T_CHECK(strstr(dt_error(), theirs) != NULL);
    }
    T_OK(dt_comm_agree(comm, DT_OK)); /* the group lives on */
}

/* Two groups at once, by odd and even rank and in reverse order, and rank 0 alone in none: sums do
 * not mix, also long ones through shared memory, and the whole still works between and after. */
static void test_split(void) {
    enum { N = 100003 };
    static int64_t plain[N];
    dt_comm *part = NULL;
    T_OK(dt_comm_split(comm, rank == 0 ? -1 : rank % 2, -rank, &part));
    T_CHECK((part == NULL) == (rank == 0));
    int64_t one = 1;
    T_OK(dt_comm_sum_i64(comm, &one, 1));
    T_CHECK(one == size);
    int members = 0, sum = 0;
    for (int r = 1; r < size; r++) {
        members += r % 2 == rank % 2;
        sum += r % 2 == rank % 2 ? r : 0;
    }
    int64_t *own = NULL;
    if (part)
        T_OK(dt_comm_share(part, N, &own));
    T_CHECK((own != NULL) == (part && members > 1));
    for (int round = 0; part && round < 4; round++) {
        int64_t *v = round == 3 && own ? own : plain;
        size_t n = round == 0 ? 3 : N, wrong = 0;
        for (size_t i = 0; i < n; i++)
            v[i] = rank * (int64_t)(i + 1);
        T_OK(dt_comm_sum_i64(part, v, n));
        for (size_t i = 0; i < n; i++)
            wrong += v[i] != sum * (int64_t)(i + 1);
        T_CHECK(wrong == 0);
    }
    if (part) {
        int ranks[8], mine = rank;
        T_CHECK(dt_comm_size(part) == members && dt_comm_hosts(part) >= 1);
        T_CHECK(strcmp(dt_comm_host(part, dt_comm_rank(part)), dt_comm_host(comm, rank)) == 0);
        T_OK(dt_comm_allgather(part, &mine, sizeof mine, ranks));
        for (int r = 0; r < members; r++)
            T_CHECK(ranks[r] % 2 == rank % 2 && (r == 0 || ranks[r] < ranks[r - 1]));
        int failing =
            size > 3 ? 3 : 1; /* number 0 of its part, and called by its own all the same */
        if (rank == failing)
            T_CHECK(dt_comm_agree(part, dt_fail(DT_EIO, "a file of a part")) == DT_EIO);
        else
            T_CHECK(dt_comm_agree(part, DT_OK) == (rank % 2 ? DT_EIO : DT_OK));
        if (rank % 2 && rank != failing)
            T_CHECK(strncmp(dt_error(), "rank 3 (", 8) == 0);
        T_CHECK(dt_comm_number(part, dt_comm_rank(part)) == rank);
    }
    dt_comm_free(&part);
    T_CHECK(part == NULL);
    T_OK(dt_comm_barrier(comm));
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Whoever waits for rank 0 sleeps: all its threads together use less than 2 % of a core. */
static void test_idle_barrier(void) {
    T_OK(dt_comm_barrier(comm));
    double begin = now(), used = cpu_seconds();
    if (rank == 0)
        usleep(2000000);
    T_OK(dt_comm_idle_barrier(comm));
    double waited = now() - begin;
    used = cpu_seconds() - used;
    T_CHECK(waited >= 1.99 && waited < 4);
    if (!T_CHECK(used < 0.02 * waited))
        fprintf(stderr, "    %.3f s of %.3f s\n", used, waited);
}

static void test_identity(void) {
    int ranks[8], host = dt_comm_host_of(comm, rank);
    T_OK(dt_comm_allgather(comm, &rank, sizeof rank, ranks));
    for (int r = 0; r < size; r++)
        T_CHECK(ranks[r] == r);
    T_CHECK(dt_comm_local_rank(comm) >= 0 && dt_comm_local_rank(comm) < dt_comm_local_size(comm));
    T_CHECK(dt_comm_hosts(comm) >= 1 && dt_comm_hosts(comm) <= size);
    T_CHECK(host >= 0 && host < dt_comm_hosts(comm));
    int neighbours = 0;
    for (int r = 0; r < size; r++) {
        neighbours += dt_comm_host_of(comm, r) == host;
        T_CHECK(dt_comm_host(comm, r)[0] != 0);
    }
    T_CHECK(neighbours == dt_comm_local_size(comm));
    const char *library = dt_comm_library(comm);
    T_CHECK(size > 1 || strcmp(library, "none") == 0);
    T_CHECK(size == 1 || (strlen(library) > 4 && strpbrk(library, "0123456789")));
    T_CHECK(!strpbrk(library, ",\n\t"));
}

/* Every rank's wall clock is 1000 s ahead of that of the one before. */
int clock_gettime(clockid_t id, struct timespec *t) {
    int code = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME)
        t->tv_sec += 1000 * rank;
    return code;
}

/* Neighbours in pairs, of which one may be alone; then rank 0 and the last one. */
static void test_probe(void) {
    const size_t sizes[] = {16, 5000, 1 << 20};
    dt_probe p;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int peer = rank ^ 1;
        if (peer >= size)
            peer = rank;
        double begin = dt_now();
        T_OK(dt_comm_probe(comm, peer, sizes[i], 0.05, &p));
        double took = dt_now() - begin;
        T_CHECK(rank >= peer || took >= 0.05); /* the lower one leads; the other may come late */
        T_CHECK(peer == rank ? p.seconds == 0 : p.seconds > 0 && p.seconds < HUGE_VAL);
        T_NEAR(p.ahead, 1000 * (peer - rank), p.seconds / 2 + 0.05, 0);
    }
    if (rank == 0 || rank == size - 1) {
        int peer = size - 1 - rank;
        T_OK(dt_comm_probe(comm, peer, 16, 0, &p));
        T_NEAR(p.ahead, 1000 * (peer - rank), p.seconds / 2 + 0.05, 0);
    }
    T_FAILS(dt_comm_probe(comm, rank, 15, 0, &p), DT_EUSAGE, "15 bytes");
    T_OK(dt_comm_barrier(comm));
}

int main(int argc, char **argv) {
    T_BEGIN(110);
    const size_t sizes[] = {0, 1, 2, 3, 17, 4095, 4096, 4097, 65537, 1000003};
    const char *expected = getenv("OMPI_COMM_WORLD_SIZE");
    if (!expected)
        expected = getenv("PMI_SIZE"); /* MPICH's mpiexec */
    if (dt_comm_create(&argc, &argv, &comm) != DT_OK) {
        fprintf(stderr, "%s\n", dt_error());
        return 1;
    }
    t_reduce = reduce_counts;
    t_rank = rank = dt_comm_rank(comm);
    size = dt_comm_size(comm);
    T_CHECK(size == (expected ? atoi(expected) : 1));
    test_identity();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_sum_i64(sizes[i]);
        test_sum_f32(sizes[i]);
        test_bcast(sizes[i]);
    }
    test_allgather(1);
    test_allgather(1001);
    if (size == 2) { /* more than MPI gets at once */
        test_sum_f32((1 << 21) + 1);
        test_bcast((1 << 24) + 3);
    }
    test_sums_in_a_row();
    test_shared();
    test_started_ranges();
    test_barrier();
    test_split();
    test_idle_barrier();
    test_probe();
    test_agree_all_well();
    for (int r = 0; r < size; r++)
        test_agree_failing(1u << r);
    test_agree_failing((1u << size) - 1);
    if (size > 2)
        test_agree_failing(6); /* ranks 1 and 2 */
    int code = t_finish();
    dt_comm_free(&comm);
    dt_comm_free(&comm);
    return code;
}
