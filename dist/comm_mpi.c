/* dist/comm_mpi.c - the transport over MPI; the only file that sees mpi.h.
 *
 * Blocking collectives on MPI_COMM_WORLD and parts of it, from one thread (comm.c's). Open MPI does
 * not move MPI_Iallreduce on by itself, so overlap comes from that thread and not from MPI's
 * requests.
 *
 * int64 sums of a group that lives on one host go through memory that the ranks share: integer
 * addition is exact, so that who adds what in which order does not matter. Each rank publishes what
 * the others need, adds up its own slice over all ranks, publishes the result, and takes the
 * others' slices. A sum of 421,646 int64 took, on two cores with Open MPI 4.1.4, 140 to 240 us with
 * 2 ranks where MPI_Allreduce took 190 to 450, and 440 to 860 with 4 ranks where it took 1170 to
 * 2110. What is added up in shared memory from the start (mpi_share) need not be published. Where
 * such memory cannot be had MPI_Allreduce is used, silently: the sums are the same. */
#include "dist/comm_impl.h"

#include <ctype.h>
#include <math.h>
#include <mpi.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "dist/shared.h"
#include "io/clock.h"

enum {
    MOST_ELEMENTS = DT_MOST_BYTES / 8, /* handed to MPI at once: its counts are int */
    SHARED_FROM = 4096,                /* elements from which shared memory is the faster way */
    HALF = 65536                       /* elements that a rank publishes at once */
};

typedef struct {
    int64_t *memory; /* [size] segments; NULL: none */
    size_t n, line;  /* elements of a segment, and from one to the next: whole pages */
} shared;

typedef struct {
    int rank, size;
    MPI_Comm comm;  /* m->comm, or a part of it */
    MPI_Comm local; /* its ranks on this host */
    shared stage;   /* 2 * HALF elements, for sums of any memory */
    shared own;     /* what mpi_share() gave away */
    int half;       /* of the stage that the next piece uses: 0 or 1 */
} mpi_state;

/* DT_OK, or a sentence: "MPI_Bcast of 24 bytes failed: ...". */
static dt_status checked(int code, const char *what, size_t n, const char *unit) {
    if (code == MPI_SUCCESS)
        return DT_OK;
    char text[MPI_MAX_ERROR_STRING + 1] = "unknown error";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return dt_fail(DT_EPEER, "%s of %zu %s failed: %s", what, n, unit, text);
}

/* --- sums through shared memory --------------------------------------------------------------- */

static int64_t *segment(const shared *s, int rank) {
    return s->memory + (size_t)rank * s->line;
}

static void shared_close(const mpi_state *m, shared *s) {
    dt_shared_unmap(s->memory, (size_t)m->size * s->line * sizeof *s->memory);
    *s = (shared){0};
}

/* All ranks, which are on one host, have n elements of shared memory each, or none has. */
static dt_status shared_open(const mpi_state *m, size_t n, shared *s) {
    const size_t page = 4096 / sizeof *s->memory;
    s->n = n;
    s->line = (n + page - 1) / page * page;
    const size_t own = s->line * sizeof *s->memory, all = (size_t)m->size * own;
    dt_shared_name name = {""};
    if (m->rank == 0)
        name = dt_shared_make(all);
    int ok, code = MPI_Bcast(&name, (int)sizeof name, MPI_BYTE, 0, m->comm);
    s->memory = dt_shared_map(&name, all, (size_t)m->rank * own, own);
    ok = s->memory != NULL;
    if (code == MPI_SUCCESS)
        code = MPI_Allreduce(MPI_IN_PLACE, &ok, 1, MPI_INT, MPI_MIN, m->comm);
    if (m->rank == 0)
        dt_shared_forget(&name);
    if (!ok || code != MPI_SUCCESS)
        shared_close(m, s);
    return checked(code, "sharing memory", n, "int64");
}

/* What every rank wrote into shared memory before is seen by every rank after. */
static dt_status shared_sync(const mpi_state *m, size_t n) {
    atomic_thread_fence(memory_order_seq_cst);
    int code = MPI_Barrier(m->comm);
    atomic_thread_fence(memory_order_seq_cst);
    return checked(code, "sum", n, "int64 in shared memory");
}

static size_t slice_from(const mpi_state *m, size_t n, int rank) {
    return n * (size_t)rank / (size_t)m->size;
}

/* v[0..n) += every other rank's; a block at a time, which stays in the first cache meanwhile. */
static void add_others(const mpi_state *m, const shared *s, int64_t *restrict v, size_t offset,
                       size_t n) {
    enum { BLOCK = 2048 };
    for (size_t b = 0; b < n; b += BLOCK) {
        size_t end = b + BLOCK < n ? b + BLOCK : n;
        for (int r = 0; r < m->size; r++) {
            const int64_t *restrict other = segment(s, r) + offset;
            if (r == m->rank)
                continue;
            for (size_t i = b; i < end; i++)
                v[i] += other[i];
        }
    }
}

/* The slices that others have added up. */
static void take_slices(const mpi_state *m, const shared *s, int64_t *v, size_t offset, size_t n) {
    for (int r = 0; r < m->size; r++) {
        size_t first = slice_from(m, n, r), last = slice_from(m, n, r + 1);
        if (r != m->rank)
            memcpy(v + first, segment(s, r) + offset + first, (last - first) * sizeof *v);
    }
}

/* v[0..n) becomes its sum over the ranks, n <= HALF. A half of the window is written again only
 * after the first sync of the next piece, which uses the other half: then all have read it. */
static dt_status shared_piece(mpi_state *m, int64_t *v, size_t n) {
    size_t base = (size_t)m->half * HALF;
    size_t from = slice_from(m, n, m->rank), to = slice_from(m, n, m->rank + 1);
    int64_t *own = segment(&m->stage, m->rank) + base;
    m->half = !m->half;

    memcpy(own, v, from * sizeof *v);
    memcpy(own + to, v + to, (n - to) * sizeof *v);
    DT_TRY(shared_sync(m, n));
    add_others(m, &m->stage, v + from, base + from, to - from);
    memcpy(own + from, v + from, (to - from) * sizeof *v);
    DT_TRY(shared_sync(m, n));
    take_slices(m, &m->stage, v, base, n);
    return DT_OK;
}

/* Is v[0..n) of the memory that mpi_share() gave away? */
static bool is_own(const mpi_state *m, const int64_t *v, size_t n) {
    if (!m->own.memory)
        return false;
    const int64_t *begin = segment(&m->own, m->rank);
    return v >= begin && v + n <= begin + m->own.n;
}

/* The sum of such memory, where it lies. Nobody writes to it again before all have read it. */
static dt_status shared_in_place(const mpi_state *m, int64_t *v, size_t n) {
    size_t offset = (size_t)(v - segment(&m->own, m->rank));
    size_t from = slice_from(m, n, m->rank), to = slice_from(m, n, m->rank + 1);
    DT_TRY(shared_sync(m, n));
    add_others(m, &m->own, v + from, offset + from, to - from);
    DT_TRY(shared_sync(m, n));
    take_slices(m, &m->own, v, offset, n);
    return shared_sync(m, n);
}

/* --- the table's functions -------------------------------------------------------------------- */

static dt_status mpi_sum_i64(void *state, int64_t *v, size_t n) {
    mpi_state *m = state;
    bool staged = m->stage.memory && n >= SHARED_FROM;
    size_t most = staged ? HALF : MOST_ELEMENTS;
    if (staged && is_own(m, v, n))
        return shared_in_place(m, v, n);
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < most ? n - i : most;
        if (staged)
            DT_TRY(shared_piece(m, v + i, part));
        else
            DT_TRY(checked(
                MPI_Allreduce(MPI_IN_PLACE, v + i, (int)part, MPI_INT64_T, MPI_SUM, m->comm),
                "MPI_Allreduce", n, "int64"));
    }
    return DT_OK;
}

static dt_status mpi_sum_f32(void *state, float *v, size_t n) {
    const mpi_state *m = state;
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < MOST_ELEMENTS ? n - i : MOST_ELEMENTS;
        DT_TRY(checked(MPI_Allreduce(MPI_IN_PLACE, v + i, (int)part, MPI_FLOAT, MPI_SUM, m->comm),
                       "MPI_Allreduce", n, "float"));
    }
    return DT_OK;
}

/* Ranks of several hosts have no stage, and this would not help them. */
static dt_status mpi_share(void *state, size_t n, int64_t **v) {
    mpi_state *m = state;
    *v = NULL;
    shared_close(m, &m->own);
    if (!m->stage.memory || n == 0)
        return DT_OK;
    DT_TRY(shared_open(m, n, &m->own));
    if (m->own.memory)
        *v = segment(&m->own, m->rank);
    return DT_OK;
}

static dt_status mpi_bcast(void *state, void *buf, size_t nbytes, int root) {
    const mpi_state *m = state;
    for (size_t i = 0, part; i < nbytes; i += part) {
        part = nbytes - i < DT_MOST_BYTES ? nbytes - i : DT_MOST_BYTES;
        DT_TRY(checked(MPI_Bcast((char *)buf + i, (int)part, MPI_BYTE, root, m->comm), "MPI_Bcast",
                       nbytes, "bytes"));
    }
    return DT_OK;
}

static dt_status mpi_allgather(void *state, const void *mine, size_t nbytes, void *all) {
    const mpi_state *m = state;
    return checked(MPI_Allgather(mine, (int)nbytes, MPI_BYTE, all, (int)nbytes, MPI_BYTE, m->comm),
                   "MPI_Allgather", nbytes, "bytes a rank");
}

static dt_status mpi_barrier(void *state) {
    const mpi_state *m = state;
    return checked(MPI_Barrier(m->comm), "MPI_Barrier", (size_t)m->size, "ranks");
}

/* MPI_Barrier looks for messages all the time; this one looks, and sleeps twice as long each time.
 */
static dt_status mpi_idle_barrier(void *state) {
    enum { FIRST_NS = 50000, LONGEST_NS = 10000000 };
    const mpi_state *m = state;
    MPI_Request request = MPI_REQUEST_NULL;
    int is_over = 0, code = MPI_Ibarrier(m->comm, &request);
    for (long ns = FIRST_NS; code == MPI_SUCCESS; ns = 2 * ns < LONGEST_NS ? 2 * ns : LONGEST_NS) {
        code = MPI_Test(&request, &is_over, MPI_STATUS_IGNORE);
        if (is_over)
            break;
        nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
    }
    return checked(code, "MPI_Ibarrier", (size_t)m->size, "ranks");
}

typedef struct { /* the head of a probe's messages */
    int64_t is_last;
    double clock; /* the answering rank's */
} ping;

static double wall_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Sends and waits for the answer; the shortest way there and back says most about both figures. */
static int ping_all(const mpi_state *m, int peer, char *buf, int nbytes, double seconds,
                    dt_probe *best) {
    double begin = dt_now();
    int code = MPI_SUCCESS;
    ping head = {0};
    *best = (dt_probe){.seconds = HUGE_VAL};
    for (int i = 0; code == MPI_SUCCESS && !head.is_last; i++) {
        double sent = dt_now(), clock = wall_clock();
        head.is_last = i >= 2 && sent - begin >= seconds;
        memcpy(buf, &head, sizeof head);
        code = MPI_Send(buf, nbytes, MPI_BYTE, peer, 0, m->comm);
        if (code == MPI_SUCCESS)
            code = MPI_Recv(buf, nbytes, MPI_BYTE, peer, 0, m->comm, MPI_STATUS_IGNORE);
        double took = dt_now() - sent;
        memcpy(&head, buf, sizeof head);
        if (took < best->seconds)
            *best = (dt_probe){took, head.clock - (clock + took / 2)};
    }
    if (code == MPI_SUCCESS)
        code = MPI_Send(best, (int)sizeof *best, MPI_BYTE, peer, 0, m->comm);
    return code;
}

static int pong_all(const mpi_state *m, int peer, char *buf, int nbytes, dt_probe *best) {
    int code = MPI_SUCCESS;
    ping head = {0};
    while (code == MPI_SUCCESS && !head.is_last) {
        code = MPI_Recv(buf, nbytes, MPI_BYTE, peer, 0, m->comm, MPI_STATUS_IGNORE);
        memcpy(&head, buf, sizeof head);
        head.clock = wall_clock();
        memcpy(buf, &head, sizeof head);
        if (code == MPI_SUCCESS)
            code = MPI_Send(buf, nbytes, MPI_BYTE, peer, 0, m->comm);
    }
    if (code == MPI_SUCCESS)
        code = MPI_Recv(best, (int)sizeof *best, MPI_BYTE, peer, 0, m->comm, MPI_STATUS_IGNORE);
    best->ahead = -best->ahead;
    return code;
}

/* The lower rank leads. */
static dt_status mpi_probe(void *state, int peer, size_t nbytes, double seconds, dt_probe *out) {
    const mpi_state *m = state;
    char *buf = calloc(nbytes, 1);
    if (!buf)
        return dt_fail(DT_EDEVICE, "no memory for a message of %zu bytes", nbytes);
    int code = m->rank < peer ? ping_all(m, peer, buf, (int)nbytes, seconds, out)
                              : pong_all(m, peer, buf, (int)nbytes, out);
    free(buf);
    return checked(code, "exchange", nbytes, "bytes with another rank");
}

static void mpi_abort(int exit_code) {
    int begun = 0, ended = 0;
    if (MPI_Initialized(&begun) == MPI_SUCCESS && MPI_Finalized(&ended) == MPI_SUCCESS && begun &&
        !ended)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
}

/* --- start and end ---------------------------------------------------------------------------- */

/* "Open MPI v4.1.4, package: ..." and "MPICH Version:      4.0.2\n..." become "Open MPI 4.1.4" and
 * "MPICH 4.0.2". */
static void name_library(char name[DT_LIBRARY_MAX]) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "", *rest = NULL;
    int length = 0;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\r\n")] = 0;
    size_t used = 0;
    for (char *word = strtok_r(text, " \t:", &rest); word; word = strtok_r(NULL, " \t:", &rest)) {
        if (strcmp(word, "Version") == 0)
            continue;
        if (word[0] == 'v' && isdigit((unsigned char)word[1]))
            word++;
        int n = snprintf(name + used, DT_LIBRARY_MAX - used, "%s%s", used ? " " : "", word);
        used = used + (size_t)n < DT_LIBRARY_MAX ? used + (size_t)n : DT_LIBRARY_MAX - 1;
    }
}

void dt_comm_mpi_library(char *text, size_t nbytes) {
    char name[DT_LIBRARY_MAX] = "";
    name_library(name);
    snprintf(text, nbytes, "%s", name);
}

/* What this program wants of Open MPI, unless the user says otherwise; other libraries ignore it.
 * A waiting rank gives its core away: the workers of this process may want it, and more ranks than
 * cores would crawl. And messages within a host are copied by both sides: at these sizes that is
 * no slower, and containers that forbid the other way make it complain on stderr. */
static void set_defaults(void) {
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
}

/* srun left nothing by which Open MPI could find the other processes: its MPI_Init would end this
 * process with a page of text, or make it rank 0 of 1. */
static dt_status refuse_plain_srun(const dt_launcher *launcher) {
#ifdef OPEN_MPI
    if (launcher->n > 1 && !launcher->can_connect)
        return dt_fail(DT_EUSAGE,
                       "srun started %d processes that cannot find each other: use srun "
                       "--mpi=pmix (srun --mpi=list shows what this Slurm knows), or mpirun inside "
                       "the job",
                       launcher->n);
#else
    (void)launcher;
#endif
    return DT_OK;
}

static dt_status refuse_singletons(const dt_launcher *launcher, int size, const char *library) {
    if (launcher->n <= 1 || size > 1)
        return DT_OK;
    char fix[192] = "use srun --mpi=pmix (srun --mpi=list shows what this Slurm knows), or mpirun "
                    "inside the job";
    if (strcmp(launcher->name, "srun") != 0)
        snprintf(fix, sizeof fix, "that %s belongs to another MPI, use the mpirun of %s",
                 launcher->name, library);
    return dt_fail(DT_EUSAGE,
                   "%s started %d processes, but %s sees only this one, and they would train %d "
                   "unrelated models: %s",
                   launcher->name, launcher->n, library, launcher->n, fix);
}

/* Hosts are told apart by who can share memory, not by name. */
static dt_status find_hosts(mpi_state *m, dt_group *group) {
    struct {
        int leader; /* lowest rank on this host */
        char name[DT_HOST_MAX];
    } mine = {.leader = m->rank}, *all = calloc((size_t)m->size, sizeof *all);
    group->hosts = calloc((size_t)m->size, sizeof *group->hosts);
    if (!all || !group->hosts) {
        free(all);
        return dt_fail(DT_EDEVICE, "no memory for the hosts of %d ranks", m->size);
    }
    dt_host_name(mine.name);
    int code = MPI_Bcast(&mine.leader, 1, MPI_INT, 0, m->local);
    if (code == MPI_SUCCESS)
        code = MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE,
                             m->comm);
    for (int r = 0; code == MPI_SUCCESS && r < m->size; r++) {
        int leader = all[r].leader;
        group->hosts[r].number = leader == r ? group->n_hosts++ : group->hosts[leader].number;
        memcpy(group->hosts[r].name, all[r].name, DT_HOST_MAX);
    }
    free(all);
    return checked(code, "exchanging the host names", (size_t)m->size, "ranks");
}

/* Who is in m->comm, and on which hosts. */
static dt_status meet(mpi_state *m, dt_group *group) {
    MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->comm, &m->rank);
    MPI_Comm_size(m->comm, &m->size);
    DT_TRY(checked(MPI_Comm_split_type(m->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &m->local),
                   "MPI_Comm_split_type", (size_t)m->size, "ranks"));
    MPI_Comm_set_errhandler(m->local, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->local, &group->local_rank);
    MPI_Comm_size(m->local, &group->local_size);
    group->rank = m->rank;
    group->size = m->size;
    name_library(group->library);
    DT_TRY(find_hosts(m, group));
    if (m->size > 1 && group->local_size == m->size)
        DT_TRY(shared_open(m, 2 * (size_t)HALF, &m->stage));
    return DT_OK;
}

static dt_status join(mpi_state *m, const dt_launcher *launcher, dt_group *group) {
    MPI_Comm_size(MPI_COMM_WORLD, &m->size);
    name_library(group->library);
    DT_TRY(refuse_singletons(launcher, m->size, group->library));
    return meet(m, group);
}

static mpi_state *new_state(MPI_Comm comm) {
    mpi_state *m = calloc(1, sizeof *m);
    if (m) {
        m->comm = comm;
        m->local = MPI_COMM_NULL;
    }
    return m;
}

static void mpi_close(void *state, bool broken) {
    mpi_state *m = state;
    shared_close(m, &m->own);
    shared_close(m, &m->stage);
    if (!broken) {
        if (m->local != MPI_COMM_NULL)
            MPI_Comm_free(&m->local);
        if (m->comm == MPI_COMM_WORLD)
            MPI_Finalize();
        else
            MPI_Comm_free(&m->comm);
    }
    free(m);
}

/* A failure of MPI in here leaves ranks of two minds: the caller's group is broken by it. */
static dt_status mpi_split(void *state, int colour, int key, dt_group *group, void **part) {
    const mpi_state *m = state;
    MPI_Comm comm = MPI_COMM_NULL;
    *part = NULL;
    DT_TRY(checked(MPI_Comm_split(m->comm, colour < 0 ? MPI_UNDEFINED : colour, key, &comm),
                   "MPI_Comm_split", (size_t)m->size, "ranks"));
    if (comm == MPI_COMM_NULL)
        return DT_OK;
    mpi_state *p = new_state(comm);
    if (!p)
        return dt_fail(DT_EDEVICE, "no memory for MPI's state");
    dt_status status = meet(p, group);
    if (status != DT_OK) {
        mpi_close(p, true);
        return status;
    }
    *part = p;
    return DT_OK;
}

static dt_status mpi_open(int *argc, char ***argv, dt_group *group, void **state) {
    *state = NULL;
    dt_launcher launcher = dt_launcher_find();
    DT_TRY(refuse_plain_srun(&launcher));
    mpi_state *m = new_state(MPI_COMM_WORLD);
    if (!m)
        return dt_fail(DT_EDEVICE, "no memory for MPI's state");
    set_defaults();
    int provided = 0, code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
        free(m);
        return dt_fail(DT_EDEVICE,
                       "MPI did not start: MPI_Init_thread returned %d, thread level %d", code,
                       provided);
    }
    dt_status status = join(m, &launcher, group);
    if (status != DT_OK) { /* finalising waits for the others, unless there are none */
        mpi_close(m, m->size > 1);
        return status;
    }
    *state = m;
    return DT_OK;
}

const dt_transport dt_transport_mpi = {
    .own_thread = true,
    .open = mpi_open,
    .close = mpi_close,
    .sum_i64 = mpi_sum_i64,
    .sum_f32 = mpi_sum_f32,
    .share = mpi_share,
    .bcast = mpi_bcast,
    .allgather = mpi_allgather,
    .barrier = mpi_barrier,
    .idle_barrier = mpi_idle_barrier,
    .probe = mpi_probe,
    .split = mpi_split,
    .abort = mpi_abort,
};
