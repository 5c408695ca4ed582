/* launch/doctor_net.c - what is between the ranks: clocks, sums, links.
 *
 * Hosts meet in pairs, every host with one other at a time, and a bounded number of rounds of that:
 * all pairs of up to 17 hosts, a part of them of more, in which each host is as often. */
#include "launch/doctor_facts.h"

#include <glob.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "launch/peak.h"

static const double seconds_a_size = 0.03, seconds_a_link = 0.05;
static const size_t LINK_BYTES = 1 << 20;
/* The largest spans several pieces of sums in shared memory. */
static const size_t sum_sizes[] = {8, 1000, 32768, 262144, 2097160};
enum { N_SIZES = sizeof sum_sizes / sizeof *sum_sizes };

/* --- clocks and pairs of hosts --- */

/* The lowest rank of each host, [n_hosts]. */
static void find_leaders(dt_comm *comm, int *leaders) {
    for (int r = dt_comm_size(comm) - 1; r >= 0; r--)
        leaders[dt_comm_host_of(comm, r)] = r;
}

/* Rank 0 asks one host after the other. */
static dt_status compare_clocks(dt_comm *comm, const int *leaders, dt_rank_facts *mine) {
    bool first = dt_comm_rank(comm) == 0;
    dt_probe p;
    for (int h = 1; h < dt_comm_hosts(comm); h++) {
        if (first)
            DT_TRY(dt_comm_probe(comm, leaders[h], 16, 0.005, &p));
        if (dt_comm_rank(comm) != leaders[h])
            continue;
        DT_TRY(dt_comm_probe(comm, 0, 16, 0.005, &p));
        mine->ahead = -p.ahead;
        mine->ahead_uncertain = p.seconds / 2;
    }
    return DT_OK;
}

int dt_doctor_partner(int n, int round, int i) {
    int rounds = n + n % 2 - 1; /* as many players but one, who stays in place */
    int other;
    if (i == rounds)
        other = round % 2 ? (round + rounds) / 2 : round / 2;
    else
        other = (round - i + rounds) % rounds;
    if (other == i)
        other = rounds;
    return other < n ? other : i;
}

static dt_status meet_one(dt_comm *comm, int peer, dt_pair *pair) {
    dt_probe p;
    DT_TRY(dt_comm_probe(comm, peer, 16, seconds_a_link, &p));
    pair->seconds = p.seconds / 2;
    DT_TRY(dt_comm_probe(comm, peer, LINK_BYTES, seconds_a_link, &p));
    pair->gbytes = 1e-9 * 2 * (double)LINK_BYTES / p.seconds;
    return DT_OK;
}

static dt_status meet_hosts(dt_comm *comm, const int *leaders, dt_facts *facts,
                            dt_rank_facts *mine) {
    int n = dt_comm_hosts(comm), all = n + n % 2 - 1;
    bool leads = dt_comm_local_rank(comm) == 0;
    facts->n_rounds = n == 1 ? 0 : all < DT_DOCTOR_ROUNDS ? all : DT_DOCTOR_ROUNDS;
    for (int i = 0; i < facts->n_rounds; i++) {
        int other = dt_doctor_partner(n, i * all / facts->n_rounds, mine->host);
        mine->pairs[i].with = other;
        if (leads && other != mine->host)
            DT_TRY(meet_one(comm, leaders[other], &mine->pairs[i]));
        DT_TRY(dt_comm_idle_barrier(comm)); /* those who wait leave the others their cores */
    }
    return DT_OK;
}

/* --- links --- */

static void take_faster(dt_rank_facts *mine, const char *name, double gbit) {
    if (gbit <= mine->link_gbit)
        return;
    mine->link_gbit = gbit;
    snprintf(mine->link, sizeof mine->link, "%.30s", name);
}

/* What the driver says, as /sys/class/net/NAME/speed would; but /sys shows the devices of the
 * network namespace in which it was mounted, which may be another one in a container. */
static double speed_of(int fd, const char *name) {
    struct ethtool_cmd speed = {.cmd = ETHTOOL_GSET};
    struct ifreq request = {.ifr_data = (char *)&speed};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, SIOCETHTOOL, &request) != 0)
        return 0;
    uint32_t mbit = ethtool_cmd_speed(&speed);
    return mbit == (uint32_t)SPEED_UNKNOWN || mbit == UINT16_MAX ? 0 : 1e-3 * mbit;
}

static void look_at_ethernet(dt_rank_facts *mine) {
    struct ifaddrs *all = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && getifaddrs(&all) == 0) {
        for (struct ifaddrs *a = all; a; a = a->ifa_next)
            if (a->ifa_addr && (a->ifa_flags & IFF_RUNNING) && !(a->ifa_flags & IFF_LOOPBACK) &&
                (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6))
                take_faster(mine, a->ifa_name, speed_of(fd, a->ifa_name));
        freeifaddrs(all);
    }
    if (fd >= 0)
        close(fd);
}

/* "100 Gb/sec (4X EDR)" */
static void look_at_infiniband(dt_rank_facts *mine) {
    glob_t found = {0};
    if (glob("/sys/class/infiniband/*/ports/*/rate", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char name[40] = "";
        double gbit = 0;
        FILE *f = fopen(found.gl_pathv[i], "re");
        if (!f)
            continue;
        if (fscanf(f, "%lf Gb/sec", &gbit) == 1 &&
            sscanf(found.gl_pathv[i], "/sys/class/infiniband/%39[^/]", name) == 1)
            take_faster(mine, name, gbit);
        fclose(f);
    }
    globfree(&found);
}

/* --- sums --- */

static dt_status add_size(dt_comm *comm, void *buffer, size_t nbytes, dt_facts *facts) {
    dt_reduce_speed i64, f32;
    DT_TRY(dt_reduce_measure(comm, buffer, nbytes, false, seconds_a_size, &i64));
    DT_TRY(dt_reduce_measure(comm, buffer, nbytes, true, seconds_a_size, &f32));
    i64.wrong += f32.wrong + facts->sum.wrong;
    facts->sum = i64;
    facts->sum_bytes = nbytes;
    return DT_OK;
}

/* Over a slow link the larger sizes are left out: all ranks see the same time. */
static dt_status measure_sums(dt_comm *comm, dt_facts *facts) {
    const double most_microseconds = 5e4; /* the next size takes eight times as long, ten times */
    void *buffer = malloc(sum_sizes[N_SIZES - 1]);
    dt_status status = buffer ? DT_OK : dt_fail(DT_EDEVICE, "no memory for a sum");
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    for (int i = 0; i < N_SIZES && facts->sum.microseconds < most_microseconds; i++)
        DT_TRY_GOTO(status, add_size(comm, buffer, sum_sizes[i], facts), done);
done:
    free(buffer);
    return status;
}

/* On one host sums go through memory: all ranks look at once how fast that is. Threads that take
 * turns on a core would each see it as if it were theirs alone. */
static dt_status measure_memory(dt_comm *comm, const dt_sight *sight, dt_facts *facts) {
    dt_peak peak = {0};
    int64_t threads = sight->threads;
    DT_TRY(dt_comm_sum_i64(comm, &threads, 1));
    if (threads > sight->job_cores)
        return DT_OK;
    DT_TRY(dt_comm_agree(comm, dt_peak_measure(DT_PEAK_MEMORY, sight->threads, &peak)));
    int64_t mega = (int64_t)(1e3 * peak.best);
    DT_TRY(dt_comm_sum_i64(comm, &mega, 1));
    facts->memory_gbytes = 1e-3 * (double)mega;
    return DT_OK;
}

dt_status dt_doctor_net(dt_comm *comm, dt_facts *facts, dt_rank_facts *mine) {
    int *leaders = calloc((size_t)dt_comm_hosts(comm), sizeof *leaders);
    dt_status status = leaders ? DT_OK : dt_fail(DT_EDEVICE, "no memory for the hosts' ranks");
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    find_leaders(comm, leaders);
    look_at_ethernet(mine);
    look_at_infiniband(mine);
    DT_TRY_GOTO(status, compare_clocks(comm, leaders, mine), done);
    DT_TRY_GOTO(status, meet_hosts(comm, leaders, facts, mine), done);
    if (dt_comm_size(comm) > 1)
        DT_TRY_GOTO(status, measure_sums(comm, facts), done);
    if (dt_comm_size(comm) > 1 && dt_comm_hosts(comm) == 1)
        DT_TRY_GOTO(status, measure_memory(comm, &mine->sight, facts), done);
done:
    free(leaders);
    return status;
}
