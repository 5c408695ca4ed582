/* dist/comm.h - the ranks that train together.
 *
 * One rank is one process. Functions marked "collective" must be called by all ranks in the same
 * order with the same count. A group of one needs no launcher: MPI is not even initialised, and its
 * collectives return at once.
 *
 * One thread of this module makes every MPI call; callers hand it work and wait, or go on
 * computing: dt_comm_start_*() returns at once, and dt_comm_wait() waits for all that was started.
 * Start and other calls come from one thread at a time. Counts are elements (n), sizes are bytes
 * (nbytes), and 0 is fine. Buffers are host memory and stay the caller's. A failure of MPI inside a
 * collective is DT_EPEER; the group is then unusable but for dt_comm_abort() and dt_comm_free(). */
#ifndef DT_DIST_COMM_H
#define DT_DIST_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

typedef struct dt_comm dt_comm;

/* Start the group; once a process. Collective. argc, argv: main's own; MPI may change them. *out is
 * NULL on failure.
 * DT_EUSAGE: the launcher started N > 1 processes but MPI sees one (they would train N unrelated
 * models); the message names the launcher and the fix.
 * DT_EDEVICE: MPI would not start, or no memory. */
DT_NODISCARD dt_status dt_comm_create(int *argc, char ***argv, dt_comm **out);
/* Collective. NULL and *comm == NULL are fine. After a failure nobody is waited for: exit then. */
void dt_comm_free(dt_comm **comm);

int dt_comm_rank(const dt_comm *comm);       /* 0 .. size-1 */
int dt_comm_size(const dt_comm *comm);       /* >= 1 */
int dt_comm_local_rank(const dt_comm *comm); /* among this host's ranks */
int dt_comm_local_size(const dt_comm *comm);
int dt_comm_hosts(const dt_comm *comm);                  /* distinct hosts, >= 1 */
int dt_comm_host_of(const dt_comm *comm, int rank);      /* which of them, 0 .. hosts-1 */
const char *dt_comm_host(const dt_comm *comm, int rank); /* its name */
/* Its number in the whole that the group is part of: what users call it. */
int dt_comm_number(const dt_comm *comm, int rank);
/* "Open MPI 4.1.4", or "none" for a group of one without MPI */
const char *dt_comm_library(const dt_comm *comm);
/* "mpirun", "mpiexec", "srun" or "a PMIx launcher"; NULL: this process was started by none. */
const char *dt_comm_launcher(void);
/* "Open MPI 4.1.4", of the library that is loaded, without a group and without starting it. */
void dt_comm_mpi_library(char *text, size_t nbytes);

/* v[0..n) becomes its sum over the ranks. Collective. */
DT_NODISCARD dt_status dt_comm_sum_i64(dt_comm *comm, int64_t *v, size_t n);
DT_NODISCARD dt_status dt_comm_sum_f32(dt_comm *comm, float *v, size_t n);
/* The same without waiting: v must stay until dt_comm_wait(). Started ranges are reduced in the
 * order of the calls. */
DT_NODISCARD dt_status dt_comm_start_sum_i64(dt_comm *comm, int64_t *v, size_t n);
DT_NODISCARD dt_status dt_comm_start_sum_f32(dt_comm *comm, float *v, size_t n);
DT_NODISCARD dt_status dt_comm_wait(dt_comm *comm);
/* *v = n int64, zeroed, of memory that the ranks of one host share: the sum of a long stretch of
 * it, the same stretch on every rank, is made where it lies. NULL on all ranks where that cannot be
 * had or would not help. It lives until the next dt_comm_share(), which may ask for 0, or the
 * group's end; no device may use it any more by then. Collective. */
DT_NODISCARD dt_status dt_comm_share(dt_comm *comm, size_t n, int64_t **v);

/* Every rank gets root's nbytes bytes. Collective. */
DT_NODISCARD dt_status dt_comm_bcast(dt_comm *comm, void *buf, size_t nbytes, int root);
/* all[size][nbytes], everywhere, from each rank's mine[nbytes]. For small things: nbytes is at most
 * 16 MiB. Collective. */
DT_NODISCARD dt_status dt_comm_allgather(dt_comm *comm, const void *mine, size_t nbytes, void *all);
DT_NODISCARD dt_status dt_comm_barrier(dt_comm *comm); /* collective */
/* The same for waits of seconds to hours: whoever waits leaves its core alone (below 2 % of it; an
 * ordinary barrier may look all the time), and may go on 20 ms after the last has come.
 * Collective. */
DT_NODISCARD dt_status dt_comm_idle_barrier(dt_comm *comm);
/* Ranks that give the same colour >= 0 form a group, ranked by key and then by their rank; *out is
 * NULL for a colour < 0. The group shares this one's thread and its failure, and is freed before
 * it. Collective, and so is dt_comm_free() of the part for its members. */
DT_NODISCARD dt_status dt_comm_split(dt_comm *comm, int colour, int key, dt_comm **out);

typedef struct {
    double seconds; /* the shortest time of a message there and back */
    double ahead;   /* seconds that the peer's wall clock is ahead of this rank's; what is uncertain
                       about it is at most half of that time */
} dt_probe;

/* Messages of nbytes, 16 at least, between this rank and peer and back, for this long and three
 * times at least. Both call it with each other's number, and both learn the same; the other ranks
 * take no part. Asking for oneself gives zeros. */
DT_NODISCARD dt_status dt_comm_probe(dt_comm *comm, int peer, size_t nbytes, double seconds,
                                     dt_probe *out);

/* One outcome for all: DT_OK everywhere if every rank passes DT_OK; else failing ranks keep their
 * own status and sentence, and the rest get the status of the lowest failing rank with a sentence
 * that names it. Collective. Use after work that can fail on one rank (open, allocate), never amid
 * another collective. */
DT_NODISCARD dt_status dt_comm_agree(dt_comm *comm, dt_status mine);
/* End every rank of the job now, from any thread, within about 3 s. Does not return. comm may be
 * NULL: then only this process ends. */
void dt_comm_abort(dt_comm *comm, int exit_code) __attribute__((noreturn));

#endif
