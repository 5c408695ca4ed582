/* tests/test_topology.c - the cores of this machine under different affinities, and fair shares. */
#include "t.h"

#include <sched.h>
#include <time.h>

#include "dist/topology.h"

static int popcount(const dt_core_set *set) {
    int n = 0;
    for (int i = 0; i < DT_MAX_CORES; i++)
        n += (int)(set->bits[i / 64] >> (i % 64) & 1);
    return n;
}

static void test_this_machine(void) {
    dt_topology all, one;
    cpu_set_t before, single;
    T_OK(dt_topology_read(&all));
    T_CHECK(all.cores_allowed >= 1 && all.cores_allowed <= all.cores_open);
    T_CHECK(all.cores_open <= all.cores_total && all.cores_quota >= 0);
    T_CHECK(all.cpus_allowed >= all.cores_allowed);
    T_CHECK(all.hyper_threads || all.cpus_allowed == all.cores_allowed);
    T_CHECK(popcount(&all.cores) == all.cores_allowed || all.cores_total > DT_MAX_CORES);
    printf("%s: %d of %d cores, %d cpus%s\n", all.model, all.cores_allowed, all.cores_total,
           all.cpus_allowed, all.hyper_threads ? ", hyper-threads" : "");

    /* bound to its last CPU: one core, one of those before, of a host that has not changed */
    T_CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    T_CHECK(CPU_COUNT(&before) == all.cpus_allowed);
    size_t last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before))
        last--;
    CPU_ZERO(&single);
    CPU_SET(last, &single);
    T_CHECK(sched_setaffinity(0, sizeof single, &single) == 0);
    T_OK(dt_topology_read(&one));
    T_CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
    T_CHECK(one.cores_allowed == 1 && one.cpus_allowed == 1 && popcount(&one.cores) == 1);
    T_CHECK(one.cores_total == all.cores_total && one.hyper_threads == all.hyper_threads);
    for (int i = 0; i < DT_MAX_CORES / 64; i++)
        T_CHECK((one.cores.bits[i] & ~all.cores.bits[i]) == 0);
    T_CHECK(strcmp(one.model, all.model) == 0);
}

/* The model is what the kernel calls it, where it says so. */
static void test_model(void) {
    dt_topology topology;
    char line[256], name[128] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "model name : %127[^\n]", name) != 1)
        continue;
    if (f)
        fclose(f);
    T_OK(dt_topology_read(&topology));
    if (name[0])
        T_CHECK(topology.model[0] && strstr(name, topology.model) != NULL);
}

/* Another machine, as hwloc describes them: two packages of four cores with two threads each. */
static void test_hyper_threads(void) {
    dt_topology topology;
    setenv("HWLOC_SYNTHETIC", "pack:2 core:4 pu:2", 1);
    T_OK(dt_topology_read(&topology));
    T_CHECK(topology.cores_total == 8 && topology.cores_allowed == 8);
    T_CHECK(topology.cpus_allowed == 16 && topology.hyper_threads);
    T_CHECK(popcount(&topology.cores) == 8 && topology.cores.bits[0] == 0xff);
    T_CHECK(topology.model[0] == 0);
    /* a kernel that tells of no cores */
    setenv("HWLOC_SYNTHETIC", "pack:1 pu:3", 1);
    T_OK(dt_topology_read(&topology));
    T_CHECK(topology.cores_total == 3 && topology.cores_allowed == 3 && !topology.hyper_threads);
    unsetenv("HWLOC_SYNTHETIC");
}

static dt_core_set cores(int from, int to) {
    dt_core_set set = {{0}};
    for (int i = from; i < to; i++)
        set.bits[i / 64] |= (uint64_t)1 << (i % 64);
    return set;
}

static void expect(const dt_core_set *sets, int n, const int *threads) {
    for (int i = 0; i < n; i++)
        T_CHECK(dt_fair_threads(sets, n, i) == threads[i]);
}

static void test_fair_threads(void) {
    const dt_core_set alone[] = {cores(0, 16)};
    expect(alone, 1, (int[]){16});
    const dt_core_set apart[] = {cores(0, 4), cores(4, 12), cores(12, 13)};
    expect(apart, 3, (int[]){4, 8, 1});
    const dt_core_set same[] = {cores(0, 16), cores(0, 16), cores(0, 16)};
    expect(same, 3, (int[]){6, 5, 5});
    const dt_core_set crowd[] = {cores(0, 2), cores(0, 2), cores(0, 2), cores(0, 2), cores(0, 2)};
    expect(crowd, 5, (int[]){1, 1, 1, 1, 1});
    /* two sockets with two ranks bound to each */
    const dt_core_set sockets[] = {cores(0, 5), cores(5, 10), cores(0, 5), cores(5, 10)};
    expect(sockets, 4, (int[]){3, 3, 2, 2});
    /* a bound rank keeps its core, the free one takes what is left */
    const dt_core_set mixed[] = {cores(0, 8), cores(3, 4)};
    expect(mixed, 2, (int[]){7, 1});
    const dt_core_set overlap[] = {cores(0, 6), cores(4, 10)};
    expect(overlap, 2, (int[]){5, 5});
    const dt_core_set large[] = {cores(0, 1024), cores(0, 1024)};
    expect(large, 2, (int[]){512, 512});
    const dt_core_set none[] = {cores(0, 0), cores(0, 2)};
    expect(none, 2, (int[]){1, 2});
}

static void test_share_alone(void) {
    dt_topology topology;
    dt_comm *comm = NULL;
    dt_core_share share = {0, 0};
    unsetenv("OMPI_COMM_WORLD_SIZE");
    T_OK(dt_comm_create(NULL, NULL, &comm));
    T_OK(dt_topology_read(&topology));
    topology.cores_quota = 0;
    T_OK(dt_topology_share(&topology, comm, &share));
    T_CHECK(share.threads == topology.cores_allowed || topology.cores_total > DT_MAX_CORES);
    T_CHECK(share.job_cores == share.threads);
    topology.cores_quota = 1;
    T_OK(dt_topology_share(&topology, comm, &share));
    T_CHECK(share.threads == 1);
    dt_comm_free(&comm);
}

static void test_quota(void) {
    T_CHECK(dt_quota_parse("200000 100000\n") == 2 && dt_quota_parse("200001 100000") == 3);
    T_CHECK(dt_quota_parse("50000\n100000\n") == 1); /* two files of version 1, joined */
    T_CHECK(dt_quota_parse("max 100000") == 0 && dt_quota_parse("-1\n100000\n") == 0);
    T_CHECK(dt_quota_parse("") == 0 && dt_quota_parse("100000") == 0);
    T_CHECK(dt_quota_parse("1 0") == 0);
}

static void test_cpus(void) {
    char text[DT_CPUS_MAX], expected[32];
    cpu_set_t before, single;
    T_CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    unsigned first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&single);
    CPU_SET(first, &single);
    T_CHECK(sched_setaffinity(0, sizeof single, &single) == 0);
    dt_cpus_allowed(text);
    T_CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
    snprintf(expected, sizeof expected, "%u", first);
    T_CHECK(strcmp(text, expected) == 0);
    dt_cpus_near("ffff:ff:1f.7", text);
    T_CHECK(text[0] == 0);

    T_CHECK(dt_cpus_meet("0-3", "3") && dt_cpus_meet("0,2,4-5", "1,5-9"));
    T_CHECK(!dt_cpus_meet("0-3", "4-7") && !dt_cpus_meet("1", "0,2"));
    T_CHECK(dt_cpus_meet("", "4-7") && dt_cpus_meet("0", "")); /* not told: no reason to worry */
}

/* A start may take 0.3 s in all; the best of some reads is what it costs on an idle machine. */
static void test_fast(void) {
    dt_topology topology;
    double best = 1e9;
    for (int i = 0; i < 10; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        T_OK(dt_topology_read(&topology));
        clock_gettime(CLOCK_MONOTONIC, &b);
        double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        best = seconds < best ? seconds : best;
    }
    printf("%.1f ms\n", best * 1e3);
    T_CHECK(best < 0.05);
}

int main(void) {
    T_BEGIN(60);
    test_this_machine();
    test_model();
    test_hyper_threads();
    test_fair_threads();
    test_share_alone();
    test_quota();
    test_cpus();
    test_fast();
    return t_finish();
}
