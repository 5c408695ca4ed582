/* dist/topology.h - which cores this process may use, and its fair share of them.
 *
 * A worker is worth a physical core: two workers on the hyper-threads of one core get in each
 * other's way. So cores are counted, not hardware threads, and only those that the process's
 * affinity allows (mpirun and srun bind ranks to cores, taskset and containers do too). */
#ifndef DT_DIST_TOPOLOGY_H
#define DT_DIST_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>
#include "dist/comm.h"

enum { DT_MAX_CORES = 1024 }; /* of a host; cores beyond are left alone */

typedef struct { /* bit i: the host's i-th core; the same numbers for all processes of a host */
    uint64_t bits[DT_MAX_CORES / 64];
} dt_core_set;

typedef struct {
    dt_core_set cores;  /* that this process may use */
    int cores_allowed;  /* how many those are, >= 1 */
    int cores_open;     /* that the container or batch job leaves open, >= cores_allowed */
    int cores_total;    /* of the host, >= cores_open */
    int cores_quota;    /* a container may have less time than its cores could give; 0: no limit */
    int cpus_allowed;   /* hardware threads that this process may use */
    bool hyper_threads; /* cores of this host have several hardware threads */
    char model[128];    /* "AMD EPYC 9B14"; "" if unknown */
} dt_topology;

/* By the affinity of the calling thread, which threads that it starts inherit. Takes about 2 ms.
 * DT_EDEVICE: the machine could not be read. */
DT_NODISCARD dt_status dt_topology_read(dt_topology *out);

/* "hwloc 2.9.0", as it was built with. */
void dt_topology_library(char *text, size_t nbytes);

enum { DT_CPUS_MAX = 256 };
/* Hardware threads by the kernel's numbers, "0-7,16-23": those that the calling thread may run on,
 * and those nearest to a PCI device ("0000:1b:00.0"). "" if nobody says. */
void dt_cpus_allowed(char text[DT_CPUS_MAX]);
void dt_cpus_near(const char *pci, char text[DT_CPUS_MAX]);
/* Whether two such lists have one in common; a list that is "" has all. */
bool dt_cpus_meet(const char *a, const char *b);

/* What "200000 100000" says, the form of Linux's cpu.max: 2 cores; rounded up. 0: no limit. */
int dt_quota_parse(const char *text);

/* How many threads process `index` of the n_processes of one host should use. A core is dealt to
 * one of the processes that may use it: ranks bound apart get their own cores, ranks that share
 * cores divide them evenly with the rest going to the first. At least 1. */
int dt_fair_threads(const dt_core_set *sets, int n_processes, int index);

typedef struct {
    int threads;   /* for this rank: its fair share, and of the quota */
    int job_cores; /* that the ranks of this host may use, all together */
} dt_core_share;

/* The same for this rank among the ranks of its host. Collective. */
DT_NODISCARD dt_status dt_topology_share(const dt_topology *topology, dt_comm *comm,
                                         dt_core_share *out);

#endif
