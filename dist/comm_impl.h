/* dist/comm_impl.h - between comm.c and the transports; no other file includes it.
 *
 * A transport is a table of blocking collectives. comm.c calls them one at a time, in the order in
 * which they were asked for: from a thread of its own if the transport wants that, from open() to
 * close(), else from the caller's. So a transport needs no lock, and MPI no more than
 * MPI_THREAD_FUNNELED. */
#ifndef DT_DIST_COMM_IMPL_H
#define DT_DIST_COMM_IMPL_H

#include "dist/comm.h"

enum { DT_HOST_MAX = 64, DT_LIBRARY_MAX = 64, DT_MOST_BYTES = 1 << 24 };

typedef struct {
    int number; /* of the host, 0 .. n_hosts-1, in the order of their lowest ranks */
    char name[DT_HOST_MAX];
} dt_rank_host;

typedef struct { /* who is in it; open() fills this in */
    int rank, size, local_rank, local_size, n_hosts;
    dt_rank_host *hosts; /* [size], malloc'ed; comm.c frees it */
    char library[DT_LIBRARY_MAX];
} dt_group;

typedef struct {
    bool own_thread;
    /* Fills *group and *state. On failure *state is NULL and nothing is left behind but, perhaps,
     * group->hosts. */
    dt_status (*open)(int *argc, char ***argv, dt_group *group, void **state);
    /* broken: a collective failed, so that nobody may be waited for. */
    void (*close)(void *state, bool broken);
    dt_status (*sum_i64)(void *state, int64_t *v, size_t n);
    dt_status (*sum_f32)(void *state, float *v, size_t n);
    /* As dt_comm_share(). */
    dt_status (*share)(void *state, size_t n, int64_t **v);
    dt_status (*bcast)(void *state, void *buf, size_t nbytes, int root);
    dt_status (*allgather)(void *state, const void *mine, size_t nbytes, void *all);
    dt_status (*barrier)(void *state);
    /* A barrier whose waiting costs next to nothing and may notice the end some milliseconds late.
     */
    dt_status (*idle_barrier)(void *state);
    /* As dt_comm_probe(), with a peer that is not this rank. */
    dt_status (*probe)(void *state, int peer, size_t nbytes, double seconds, dt_probe *out);
    /* Ranks that give the same colour >= 0 form a group of their own, ranked by key; *part is its
     * state, NULL for a colour < 0. close() takes it back. */
    dt_status (*split)(void *state, int colour, int key, dt_group *group, void **part);
    /* From any thread, at any time. May return if it could not end the job. */
    void (*abort)(int exit_code);
} dt_transport;

extern const dt_transport dt_transport_none, dt_transport_mpi;

/* dt_comm_create() with the transport chosen by the caller. */
DT_NODISCARD dt_status dt_comm_open(const dt_transport *transport, int *argc, char ***argv,
                                    dt_comm **out);
/* This machine's name, cut to size and always ended. */
void dt_host_name(char name[DT_HOST_MAX]);

/* "sum", "broadcast", ...: a kind of collective, as io/progress.h knows it by number. */
const char *dt_comm_word(int kind);
/* This process ends within 3 s, whatever it is blocked in. */
void dt_exit_soon(int exit_code);

/* What the environment says about who started this process. */
typedef struct {
    const char *name; /* "mpirun", "mpiexec", "srun", "a PMIx launcher"; NULL: nobody did */
    int n;            /* how many processes it started; 0: it does not say */
    bool can_connect; /* it left what an MPI library needs to find the others */
} dt_launcher;
dt_launcher dt_launcher_find(void);

#endif
