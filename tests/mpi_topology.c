/* ranks: 1 2 3
 * tests/mpi_topology.c - the ranks of a host divide its cores, whether they were bound or not. */
#include "t.h"

#include <sched.h>

#include "dist/topology.h"

static dt_comm *comm;

static void reduce_counts(long counts[2]) {
    int64_t both[2] = {counts[0], counts[1]};
    if (dt_comm_sum_i64(comm, both, 2) != DT_OK)
        both[1]++;
    counts[0] = both[0];
    counts[1] = both[1];
}

/* CPU number i (modulo their number) of the set. */
static size_t nth_cpu(const cpu_set_t *set, int i) {
    int left = i % CPU_COUNT(set);
    for (size_t cpu = 0;; cpu++)
        if (CPU_ISSET(cpu, set) && left-- == 0)
            return cpu;
}

int main(int argc, char **argv) {
    T_BEGIN(60);
    cpu_set_t start, mine;
    dt_topology topology;
    dt_core_share share = {0, 0};
    if (sched_getaffinity(0, sizeof start, &start) != 0 ||
        dt_comm_create(&argc, &argv, &comm) != DT_OK) {
        fprintf(stderr, "%s\n", dt_error());
        return 1;
    }
    t_reduce = reduce_counts;
    t_rank = dt_comm_rank(comm);
    int64_t n_local = dt_comm_local_size(comm);

    /* as we were started; where nobody bound us, the shares add up to the cores */
    T_OK(dt_topology_read(&topology));
    topology.cores_quota = 0;
    T_OK(dt_topology_share(&topology, comm, &share));
    int64_t all = share.threads;
    T_OK(dt_comm_sum_i64(comm, &all, 1));
    T_CHECK(share.threads >= 1 && share.threads <= topology.cores_allowed);
    int64_t unbound = topology.cores_allowed == topology.cores_total;
    T_OK(dt_comm_sum_i64(comm, &unbound, 1));
    bool free = unbound == dt_comm_size(comm) && dt_comm_hosts(comm) == 1;
    if (free) {
        T_CHECK(all == (n_local > topology.cores_total ? n_local : topology.cores_total));
        T_CHECK(share.job_cores == topology.cores_total);
    }

    /* a quota is divided too: 2 cores' time for all */
    topology.cores_quota = 2;
    T_OK(dt_topology_share(&topology, comm, &share));
    all = share.threads;
    T_OK(dt_comm_sum_i64(comm, &all, 1));
    if (free && topology.cores_total >= 2)
        T_CHECK(all == (n_local > 2 ? n_local : 2));

    /* each bound to one CPU: one thread, however many CPUs there are */
    CPU_ZERO(&mine);
    CPU_SET(nth_cpu(&start, dt_comm_local_rank(comm)), &mine);
    T_CHECK(sched_setaffinity(0, sizeof mine, &mine) == 0);
    T_OK(dt_topology_read(&topology));
    T_OK(dt_topology_share(&topology, comm, &share));
    T_CHECK(share.threads == 1);
    T_CHECK(topology.cores_allowed < topology.cores_total || topology.cores_total == 1);

    /* all bound to the same CPU: that is one core for the job, not one for each */
    CPU_ZERO(&mine);
    CPU_SET(nth_cpu(&start, 0), &mine);
    T_CHECK(sched_setaffinity(0, sizeof mine, &mine) == 0);
    T_OK(dt_topology_read(&topology));
    T_OK(dt_topology_share(&topology, comm, &share));
    if (free)
        T_CHECK(share.job_cores == 1);
    T_CHECK(share.threads == 1);

    int code = t_finish();
    dt_comm_free(&comm);
    return code;
}
