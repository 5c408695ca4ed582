/* tests/simdev/nccl.c - the double of NCCL: ranks are processes of one host.
 *
 * They meet in shared memory named by the unique id. A collective goes through it in chunks; while
 * a rank waits for the others, its other streams go on. What ranks ask for is compared: a different
 * call, type or count is a misuse, where NCCL would hang or add up rubbish. A non-blocking
 * communicator says "in progress" on purpose, so that callers must poll.
 *
 * A dead peer or an abort is noticed at once; NCCL itself may take long, or hang. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <nccl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RANKS = 16, CHUNK = 1 << 20, BLOCKING_SECONDS = 60, LIVING = 0x6e63636c };

typedef struct { /* what a rank is at; counters only grow */
    uint64_t posted, finished;
    int call, type, operation, root;
    uint64_t count;
    int pid, device;
} seat;
typedef struct {
    int attached, aborted;
    seat seats[MAX_RANKS];
    unsigned char data[][CHUNK]; /* [rank] */
} room;

struct ncclComm {
    int living;
    room *room;
    size_t nbytes;
    int rank, n;
    uint64_t sequence;
    bool blocking, joined;
    int leaving; /* this rank aborts or destroys it */
    int pretend; /* polls that still say "in progress" */
    ncclResult_t error;
    char name[80];
};

static char last_error[256];

static ncclResult_t fail(ncclResult_t code, const char *text) {
    snprintf(last_error, sizeof last_error, "%s", text);
    return code;
}

static size_t size_of(ncclDataType_t type) {
    switch (type) {
    case ncclInt8:
    case ncclUint8:
        return 1;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
        return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
        return 8;
    default:
        return 0;
    }
}

SIM_API ncclResult_t ncclGetVersion(int *version) {
    *version = (int)sim_setting("SIMDEV_NCCL", NCCL_VERSION_CODE);
    return ncclSuccess;
}

SIM_API const char *ncclGetErrorString(ncclResult_t code) {
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error (run with NCCL_DEBUG=INFO)",
                                        "unhandled system error (run with NCCL_DEBUG=INFO)",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return (size_t)code < sizeof texts / sizeof *texts ? texts[code] : "unknown result code";
}

SIM_API const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return last_error;
}

SIM_API ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    static int n;
    if (sim_fails("ncclGetUniqueId"))
        return fail(ncclSystemError, "planned failure");
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/simdev-nccl-%d-%d-%lld", (int)getpid(), n++,
             (long long)time(NULL));
    return ncclSuccess;
}

/* ---- joining ---- */
static bool dead(int pid) {
    char path[64], state = 'R';
    if (pid == 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'R';
    fclose(file);
    return state == 'Z' || state == 'X'; /* a zombie still has its number */
}

static bool enter(ncclComm_t comm) {
    comm->nbytes = sizeof(room) + (size_t)comm->n * CHUNK;
    int fd = shm_open(comm->name, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return false;
    bool ok = ftruncate(fd, (off_t)comm->nbytes) == 0;
    void *p = ok ? mmap(NULL, comm->nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (p == MAP_FAILED)
        return false;
    comm->room = p;
    return true;
}

/* Two ranks on one device: NCCL refuses that, or hangs. */
static bool shares_device(ncclComm_t comm) {
    const seat *seats = comm->room->seats;
    for (int r = 0; r < comm->n; r++)
        if (r != comm->rank && seats[r].device == seats[comm->rank].device)
            return true;
    return false;
}

/* Peers are looked at before the number of those that came: who leaves again has come before. */
static void update_state(ncclComm_t comm) {
    room *m = comm->room;
    if (comm->error)
        return;
    bool aborted = __atomic_load_n(&m->aborted, __ATOMIC_SEQ_CST), lost = false;
    for (int r = 0; r < comm->n; r++)
        lost = lost || dead(m->seats[r].pid);
    if (!comm->joined && __atomic_load_n(&m->attached, __ATOMIC_SEQ_CST) == comm->n) {
        shm_unlink(comm->name); /* whoever is last; the others find it gone */
        comm->joined = true;
        if (shares_device(comm)) {
            comm->error = fail(ncclInvalidUsage, "Duplicate GPU detected");
            return;
        }
    }
    if (lost)
        comm->error = fail(ncclRemoteError, "a peer process has died");
    else if (aborted)
        comm->error = fail(ncclRemoteError, "a peer has aborted the communicator");
}

static ncclResult_t wait_joined(ncclComm_t comm) {
    for (int i = 0; i < BLOCKING_SECONDS * 1000; i++) {
        update_state(comm);
        if (comm->error || comm->joined)
            return comm->error;
        usleep(1000);
    }
    return fail(ncclSystemError, "timed out waiting for the other ranks");
}

static ncclResult_t sit_down(ncclComm_t comm) {
    int device = 0;
    struct cudaDeviceProp properties;
    cudaGetDevice(&device);
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess)
        return fail(ncclUnhandledCudaError, "no device");
    if (!enter(comm))
        return fail(ncclSystemError, strerror(errno));
    seat *mine = &comm->room->seats[comm->rank];
    if (mine->pid) {
        sim_violation("ncclCommInitRank: rank %d comes twice", comm->rank);
        return fail(ncclInvalidUsage, "duplicate rank");
    }
    mine->device = properties.pciBusID;
    mine->pid = (int)getpid();
    __atomic_add_fetch(&comm->room->attached, 1, __ATOMIC_SEQ_CST);
    return ncclSuccess;
}

SIM_API ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int n, ncclUniqueId id, int rank,
                                            ncclConfig_t *config) {
    int devices = 0;
    *out = NULL;
    if (cudaGetDeviceCount(&devices) != cudaSuccess)
        return fail(ncclUnhandledCudaError, "no device");
    if (sim_fails("ncclCommInitRank"))
        return fail(ncclSystemError, "planned failure");
    if (n < 1 || n > MAX_RANKS || rank < 0 || rank >= n || id.internal[0] != '/')
        return fail(ncclInvalidArgument, "bad rank, number of ranks or unique id");
    ncclComm_t comm = calloc(1, sizeof *comm);
    if (!comm)
        return fail(ncclSystemError, "no memory");
    comm->living = LIVING, comm->rank = rank, comm->n = n;
    comm->blocking = !config || config->blocking != 0;
    comm->pretend = 1;
    memcpy(comm->name, id.internal, sizeof comm->name - 1);
    ncclResult_t code = sit_down(comm);
    if (!code && comm->blocking)
        code = wait_joined(comm);
    if (code) {
        if (comm->room)
            munmap(comm->room, comm->nbytes);
        free(comm);
        return code;
    }
    sim_count("NCCL communicator", 1);
    *out = comm;
    return comm->blocking ? ncclSuccess : ncclInProgress;
}

SIM_API ncclResult_t ncclCommInitRank(ncclComm_t *out, int n, ncclUniqueId id, int rank) {
    return ncclCommInitRankConfig(out, n, id, rank, NULL);
}

static bool known(ncclComm_t comm, const char *function) {
    if (comm && comm->living == LIVING)
        return true;
    sim_violation("%s: no such communicator, or it was destroyed", function);
    return false;
}

SIM_API ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state) {
    if (!known(comm, "ncclCommGetAsyncError"))
        return ncclInvalidArgument;
    if (sim_fails("ncclCommGetAsyncError"))
        return fail(ncclSystemError, "planned failure");
    update_state(comm);
    *state = comm->error;
    if (!comm->error && (!comm->joined || comm->pretend > 0)) {
        *state = ncclInProgress;
        comm->pretend -= comm->joined;
    }
    return ncclSuccess;
}

SIM_API ncclResult_t ncclCommCount(const ncclComm_t comm, int *n) {
    *n = comm->n;
    return ncclSuccess;
}

SIM_API ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank) {
    *rank = comm->rank;
    return ncclSuccess;
}

/* ---- leaving ---- */
static void leave(ncclComm_t comm) {
    if (!comm->joined)
        shm_unlink(comm->name);
    comm->living = 0;
    munmap(comm->room, comm->nbytes);
    free(comm);
    sim_count("NCCL communicator", -1);
}

SIM_API ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    if (!known(comm, "ncclCommFinalize"))
        return ncclInvalidArgument;
    if (sim_fails("ncclCommFinalize"))
        return fail(ncclSystemError, "planned failure");
    comm->pretend = comm->blocking ? 0 : 1;
    return comm->blocking ? ncclSuccess : ncclInProgress;
}

SIM_API ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    if (!known(comm, "ncclCommDestroy"))
        return ncclInvalidArgument;
    if (sim_fails("ncclCommDestroy"))
        pause();
    sim_drain_all();                       /* waits for sums that are under way, as NCCL does */
    comm->room->seats[comm->rank].pid = 0; /* has left in order: its end is nobody's loss */
    leave(comm);
    return ncclSuccess;
}

SIM_API ncclResult_t ncclCommAbort(ncclComm_t comm) {
    if (!known(comm, "ncclCommAbort"))
        return ncclInvalidArgument;
    if (sim_fails("ncclCommAbort"))
        pause(); /* as it may hang in real life */
    __atomic_store_n(&comm->room->aborted, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&comm->leaving, 1, __ATOMIC_SEQ_CST);
    sim_drain_all();
    leave(comm);
    return ncclSuccess;
}

/* ---- collectives ---- */
typedef struct {
    ncclComm_t comm;
    const void *in;
    void *out;
    uint64_t count, at; /* elements, and how many are done */
    ncclDataType_t type;
    ncclRedOp_t operation;
    int call, root;
    enum { POST, COMBINE, LEAVE } phase;
} collective;
enum { ALL_REDUCE, BROADCAST };

#define REDUCE(name, T)                                                                            \
    static void name(const room *m, int n, T *to, uint64_t count, ncclRedOp_t operation) {         \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            T sum = ((const T *)(const void *)m->data[0])[i];                                      \
            for (int r = 1; r < n; r++) {                                                          \
                T other = ((const T *)(const void *)m->data[r])[i];                                \
                switch (operation) {                                                               \
                case ncclMax:                                                                      \
                    sum = sum > other ? sum : other;                                               \
                    break;                                                                         \
                case ncclMin:                                                                      \
                    sum = sum < other ? sum : other;                                               \
                    break;                                                                         \
                default:                                                                           \
                    sum = sum + other;                                                             \
                }                                                                                  \
            }                                                                                      \
            to[i] = sum;                                                                           \
        }                                                                                          \
    }
REDUCE(reduce_f32, float)
REDUCE(reduce_f64, double)
REDUCE(reduce_i32, int32_t)
REDUCE(reduce_i64, int64_t)

static bool agrees(const collective *c, int rank) {
    const seat *a = &c->comm->room->seats[c->comm->rank], *b = &c->comm->room->seats[rank];
    if (a->call == b->call && a->type == b->type && a->operation == b->operation &&
        a->root == b->root && a->count == b->count)
        return true;
    sim_violation("NCCL: rank %d calls %s of %llu elements of type %d, rank %d calls %s of %llu of "
                  "type %d",
                  c->comm->rank, a->call == BROADCAST ? "broadcast" : "all-reduce",
                  (unsigned long long)a->count, a->type, rank,
                  b->call == BROADCAST ? "broadcast" : "all-reduce", (unsigned long long)b->count,
                  b->type);
    return false;
}

static void post(collective *c, uint64_t n, size_t size) {
    ncclComm_t comm = c->comm;
    seat *mine = &comm->room->seats[comm->rank];
    if (c->call == ALL_REDUCE || comm->rank == c->root)
        memcpy(comm->room->data[comm->rank],
               sim_use((const char *)c->in + c->at * size, n * size, SIM_READ, "send buffer"),
               n * size);
    mine->call = c->call, mine->type = (int)c->type, mine->operation = (int)c->operation;
    mine->root = c->root, mine->count = c->count;
    __atomic_store_n(&mine->posted, ++comm->sequence, __ATOMIC_SEQ_CST);
}

static void combine(const collective *c, uint64_t n, size_t size) {
    const room *m = c->comm->room;
    void *to = sim_use((char *)c->out + c->at * size, n * size, SIM_WRITE, "receive buffer");
    if (c->call == BROADCAST)
        memcpy(to, m->data[c->root], n * size);
    else if (c->type == ncclFloat32)
        reduce_f32(m, c->comm->n, to, n, c->operation);
    else if (c->type == ncclFloat64)
        reduce_f64(m, c->comm->n, to, n, c->operation);
    else if (size == 4)
        reduce_i32(m, c->comm->n, to, n, c->operation);
    else
        reduce_i64(m, c->comm->n, to, n, c->operation);
}

/* Have all ranks got to this chunk? As long as not, the peers' state decides about waiting. */
static bool all_at(ncclComm_t comm, bool finished) {
    for (int r = 0; r < comm->n; r++) {
        const seat *s = &comm->room->seats[r];
        if (__atomic_load_n(finished ? &s->finished : &s->posted, __ATOMIC_SEQ_CST) <
            comm->sequence) {
            update_state(comm);
            return false;
        }
    }
    return true;
}

/* A kernel that waits for a lost peer waits on, and all that is queued behind it, until this rank
 * aborts its communicator; the caller learns of the error by polling. */
static int unfinished(ncclComm_t comm) {
    return __atomic_load_n(&comm->leaving, __ATOMIC_SEQ_CST) ? SIM_DONE : SIM_AGAIN;
}

static int run_collective(void *args) {
    collective *c = args;
    ncclComm_t comm = c->comm;
    size_t size = size_of(c->type);
    uint64_t left = c->count - c->at, n = left < CHUNK / size ? left : CHUNK / size;
    if (comm->leaving || comm->error == ncclInvalidUsage)
        return unfinished(comm);
    if (c->phase == POST) {
        post(c, n, size);
        c->phase = COMBINE;
    }
    if (c->phase == COMBINE) {
        if (!all_at(comm, false))
            return unfinished(comm);
        for (int r = 0; r < comm->n; r++)
            if (!agrees(c, r)) {
                comm->error = fail(ncclInvalidUsage, "ranks call different collectives");
                __atomic_store_n(&comm->room->aborted, 1, __ATOMIC_SEQ_CST);
                return unfinished(comm);
            }
        combine(c, n, size);
        __atomic_store_n(&comm->room->seats[comm->rank].finished, comm->sequence, __ATOMIC_SEQ_CST);
        c->phase = LEAVE;
    }
    /* Nobody's chunk may be overwritten before all have read it. */
    if (!all_at(comm, true))
        return unfinished(comm);
    c->at += n;
    c->phase = POST;
    return c->at < c->count ? SIM_AGAIN : SIM_DONE;
}

static ncclResult_t enqueue(collective c, cudaStream_t stream, const char *function) {
    if (!known(c.comm, function))
        return fail(ncclInvalidArgument, "no such communicator");
    if (sim_fails(function))
        return fail(ncclSystemError, "planned failure");
    if (!c.comm->joined)
        return fail(ncclInvalidUsage, "the communicator is not ready yet");
    if (!size_of(c.type) || c.root < 0 || c.root >= c.comm->n || (int)c.operation > (int)ncclMin ||
        c.operation == ncclProd)
        return fail(ncclInvalidArgument, "type, operation or root that is not simulated");
    if (c.count == 0)
        return ncclSuccess;
    if (sim_enqueue(stream, run_collective, &c, sizeof c, function) != cudaSuccess)
        return fail(ncclUnhandledCudaError, "the stream takes no work");
    c.comm->pretend = c.comm->blocking ? 0 : 1;
    return c.comm->blocking ? ncclSuccess : ncclInProgress;
}

SIM_API ncclResult_t ncclAllReduce(const void *in, void *out, size_t n, ncclDataType_t type,
                                   ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
    collective c = {.comm = comm,
                    .in = in,
                    .out = out,
                    .count = n,
                    .type = type,
                    .operation = operation,
                    .call = ALL_REDUCE};
    return enqueue(c, stream, "ncclAllReduce");
}

SIM_API ncclResult_t ncclBroadcast(const void *in, void *out, size_t n, ncclDataType_t type,
                                   int root, ncclComm_t comm, cudaStream_t stream) {
    collective c = {.comm = comm,
                    .in = in,
                    .out = out,
                    .count = n,
                    .type = type,
                    .call = BROADCAST,
                    .root = root};
    return enqueue(c, stream, "ncclBroadcast");
}

static __thread int groups;

SIM_API ncclResult_t ncclGroupStart(void);
SIM_API ncclResult_t ncclGroupStart(void) {
    groups++;
    return ncclSuccess;
}

SIM_API ncclResult_t ncclGroupEnd(void);
SIM_API ncclResult_t ncclGroupEnd(void) {
    if (groups == 0) {
        sim_violation("ncclGroupEnd without ncclGroupStart");
        return ncclInvalidUsage;
    }
    groups--;
    return ncclSuccess;
}
