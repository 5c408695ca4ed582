/* launch/doctor_facts.h - what `dtrain doctor` finds out, and what it makes of it.
 *
 * Finding out and judging are apart: every rank looks (doctor_look.c), the ranks measure what is
 * between them (doctor_net.c), all is gathered, and a function without side effects judges
 * (doctor_judge.c), so that clusters can be judged that nobody has. */
#ifndef DT_LAUNCH_DOCTOR_FACTS_H
#define DT_LAUNCH_DOCTOR_FACTS_H

#include "dist/topology.h"
#include "launch/devices.h"
#include "io/dataset.h"
#include "launch/reduce_speed.h"

enum { DT_DOCTOR_ROUNDS = 16, DT_DOCTOR_ROWS = 32 };

typedef enum {
    DT_LOCK_WORKS,    /* taken by rank 0; elsewhere: refused, as it should be */
    DT_LOCK_MISSING,  /* the file system has none */
    DT_LOCK_NOT_SEEN, /* rank 0 has it, and this host could take it as well */
    DT_LOCK_UNTRIED
} dt_lock;

typedef struct {
    int32_t with;           /* the other host; itself: none in this round */
    double seconds, gbytes; /* one way: of a message of 16 bytes; GB/s of 1 MiB */
} dt_pair;

typedef struct { /* what one rank found; gathered as bytes, so all of it is set */
    dt_sight sight;
    char cpus[DT_CPUS_MAX], gpu_cpus[DT_CPUS_MAX]; /* may run on; nearest to its GPU */
    char dtrain[64], libc[32], mpi[64], hdf5[32];
    int32_t host;  /* its number */
    int32_t leads; /* the lowest rank of it, which looks at files and links for all */
    int32_t data_status;
    char data_error[DT_ERROR_MAX];
    char data_sha256[4][DT_SHA256_HEX];
    int32_t sees_dir; /* what rank 0 wrote into the run directory */
    int32_t lock;     /* dt_lock */
    char link[40]; /* the fastest network device that is up: "eth0"; "" if none tells its speed */
    double link_gbit;
    double ahead;           /* seconds that the host's clock is ahead of rank 0's */
    double ahead_uncertain; /* at most so much of it is the measurement's */
    dt_pair pairs[DT_DOCTOR_ROUNDS];
} dt_rank_facts;

typedef struct {
    int size, n_hosts, n_rounds;
    const dt_rank_facts *ranks; /* [size] */
    const char *launcher;       /* NULL: none */
    int batch_tasks;            /* of the Slurm job around a process without a launcher; else 0 */
    const char *data, *dir;
    dt_status dir_status; /* of rank 0 */
    char dir_error[DT_ERROR_MAX];
    char hdf5_error[DT_ERROR_MAX]; /* "": HDF5 can lock a file there */
    size_t sum_bytes;              /* the largest message tried, 0: one rank */
    dt_reduce_speed sum;           /* of int64; with the wrong elements of all sizes */
    double memory_gbytes;          /* of all ranks together; 0: not measured */
} dt_facts;

typedef enum { DT_GOOD, DT_NOTE, DT_WARNING, DT_BAD } dt_level;

typedef struct {
    const char *check; /* "clocks" */
    dt_level level;
    dt_status code; /* of DT_BAD */
    char what[512], fix[320];
} dt_finding;

typedef struct {
    dt_finding rows[DT_DOCTOR_ROWS];
    int n;
} dt_findings;

/* On every rank, in this order. Collective. */
DT_NODISCARD dt_status dt_doctor_look(const dt_options *options, dt_comm *comm, dt_facts *facts,
                                      dt_rank_facts *mine);
DT_NODISCARD dt_status dt_doctor_net(dt_comm *comm, dt_facts *facts, dt_rank_facts *mine);

/* Rows in the order of the checks: at least one of each. */
void dt_doctor_judge(const dt_facts *facts, dt_findings *out);
/* The exit code: that of the first row that is DT_BAD; warnings are DT_OK. */
dt_status dt_doctor_code(const dt_findings *findings);

/* With whom player i of n plays in this round, of n - 1 rounds (n if n is odd) in which everybody
 * meets everybody once; with itself: not at all. */
int dt_doctor_partner(int n, int round, int i);

#endif
