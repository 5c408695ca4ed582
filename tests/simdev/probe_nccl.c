/* tests/simdev/probe_nccl.c CASE - ranks as children of one process, right or wrong on purpose.
 *
 * cli_simdev_nccl.sh looks for what each case must end with. The first line of output is the state
 * that rank 0 has seen last. */
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N = 300000, RANKS = 3, PATIENCE_MS = 8000 }; /* N: more than one chunk of int64 */

typedef struct {
    const char *name;
    int (*run)(int rank, ncclComm_t comm);
} probe_case;

static int64_t *device;
static cudaStream_t stream;
static bool same_device;

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Polls until the communicator has settled and the stream is done; what it says then. */
static ncclResult_t settle(ncclComm_t comm) {
    ncclResult_t state = ncclInProgress;
    for (int i = 0; i < PATIENCE_MS; i++, nap()) {
        if (ncclCommGetAsyncError(comm, &state) != ncclSuccess)
            return ncclInternalError;
        if (state != ncclInProgress &&
            (state != ncclSuccess || cudaStreamQuery(stream) == cudaSuccess))
            return state;
    }
    return state;
}

static int sum(int rank, ncclComm_t comm) {
    static int64_t host[N];
    for (int i = 0; i < N; i++)
        host[i] = (int64_t)rank << 40 | i;
    cudaMemcpyAsync(device, host, sizeof host, cudaMemcpyHostToDevice, stream);
    for (int turn = 0; turn < 3; turn++) {
        ncclAllReduce(device, device, N, ncclInt64, ncclSum, comm, stream);
        if (settle(comm) != ncclSuccess)
            return 1;
    }
    cudaMemcpyAsync(host, device, sizeof host, cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    for (int i = 0; i < N; i++)
        if (host[i] != ((int64_t)(0 + 1 + 2) << 40) * 9 + (int64_t)27 * i)
            return 1;
    return 0;
}

static int report(int rank, ncclComm_t comm) {
    ncclResult_t state = settle(comm);
    if (rank == 0)
        printf("%s\n", ncclGetErrorString(state));
    return 1;
}

static int other_count(int rank, ncclComm_t comm) {
    cudaMemsetAsync(device, 0, N * sizeof *device, stream);
    ncclAllReduce(device, device, rank == 1 ? 1000 : 1001, ncclInt64, ncclSum, comm, stream);
    return report(rank, comm);
}

static int other_type(int rank, ncclComm_t comm) {
    cudaMemsetAsync(device, 0, N * sizeof *device, stream);
    ncclAllReduce(device, device, 1000, rank == 2 ? ncclFloat64 : ncclInt64, ncclSum, comm, stream);
    return report(rank, comm);
}

static int peer_dies(int rank, ncclComm_t comm) {
    if (rank == 1)
        _exit(9);
    cudaMemsetAsync(device, 0, N * sizeof *device, stream);
    ncclAllReduce(device, device, 1000, ncclInt64, ncclSum, comm, stream);
    return report(rank, comm);
}

static int peer_aborts(int rank, ncclComm_t comm) {
    if (rank == 1)
        return 1; /* main aborts */
    return peer_dies(rank == 0 ? 0 : 2, comm);
}

static int no_order(int rank, ncclComm_t comm) {
    cudaStream_t other;
    (void)rank;
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaMemsetAsync(device, 0, N * sizeof *device, other); /* nobody waits for it */
    ncclAllReduce(device, device, N, ncclInt64, ncclSum, comm, stream);
    settle(comm);
    cudaStreamSynchronize(other);
    cudaStreamDestroy(other);
    return 0;
}

static int run_rank(int rank, ncclUniqueId id, const probe_case *c) {
    ncclComm_t comm;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (cudaSetDevice(same_device ? 0 : rank) != cudaSuccess ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
        cudaMalloc((void **)&device, N * sizeof *device) != cudaSuccess)
        return 1;
    ncclResult_t code = ncclCommInitRankConfig(&comm, RANKS, id, rank, &config);
    if (code == ncclSuccess || code == ncclInProgress)
        code = settle(comm);
    else
        comm = NULL;
    int verdict = 1;
    if (code == ncclSuccess)
        verdict = c->run(rank, comm);
    else if (rank == 0)
        printf("%s\n", ncclGetErrorString(code));
    if (comm && verdict)
        ncclCommAbort(comm);
    else if (comm)
        ncclCommDestroy(comm);
    cudaFree(device);
    cudaStreamDestroy(stream);
    return verdict;
}

int main(int argc, char **argv) {
    static const probe_case cases[] = {{"sum", sum},
                                       {"other_count", other_count},
                                       {"other_type", other_type},
                                       {"peer_dies", peer_dies},
                                       {"peer_aborts", peer_aborts},
                                       {"no_order", no_order},
                                       {"same_device", sum}};
    const probe_case *c = cases;
    const probe_case *end = cases + sizeof cases / sizeof *cases;
    while (c < end && (argc != 2 || strcmp(c->name, argv[1])))
        c++;
    ncclUniqueId id;
    if (c == end || ncclGetUniqueId(&id) != ncclSuccess)
        return 2;
    same_device = !strcmp(c->name, "same_device");
    pid_t children[RANKS];
    for (int r = 0; r < RANKS; r++)
        if ((children[r] = fork()) == 0)
            exit(run_rank(r, id, c));
    int worst = 0;
    for (int r = 0; r < RANKS; r++) { /* a dead child stays a zombie until its turn, on purpose */
        int status = 0;
        waitpid(children[r], &status, 0);
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
        worst = code > worst ? code : worst;
    }
    return worst;
}
