/* dist/topology.c - the cores of this host through hwloc, and how to divide them; the only file
 * that sees hwloc.h.
 *
 * Only packages, cores and hardware threads are looked for: that takes 2 ms where hwloc's full
 * discovery, with caches, distances and devices, takes 4 to 8 on a small machine and far more on a
 * large one. Cores outside of this process's control group are included, so that all processes of a
 * host number its cores alike.
 *
 * Dividing is dealing: each core, those that fewest processes may use first, goes to the process
 * with fewest cores so far among those that may use it. */
#include "dist/topology.h"

#include <ctype.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_core(const dt_core_set *set, int core) {
    return set->bits[core / 64] >> (core % 64) & 1;
}

/* --- reading ---------------------------------------------------------------------------------- */

static dt_status load(hwloc_topology_t *topology) {
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED;
#if HWLOC_API_VERSION >= 0x00020500
    flags |= HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING; /* hopping from core to core takes longest */
#endif
#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
             HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
    if (hwloc_topology_init(topology) != 0)
        return dt_fail(DT_EDEVICE, "hwloc could not be initialised");
    hwloc_topology_set_all_types_filter(*topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(*topology, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(*topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_flags(*topology, flags);
    if (hwloc_topology_load(*topology) == 0)
        return DT_OK;
    hwloc_topology_destroy(*topology);
    return dt_fail(DT_EDEVICE, "hwloc could not read this machine's cores");
}

/* What this process may run on: its binding, within its control group. Everything if nobody says.
 */
static void read_allowed(hwloc_topology_t topology, hwloc_bitmap_t allowed) {
    if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_copy(allowed, hwloc_topology_get_topology_cpuset(topology));
    hwloc_bitmap_and(allowed, allowed, hwloc_topology_get_allowed_cpuset(topology));
    if (hwloc_bitmap_iszero(allowed))
        hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
}

/* Where the kernel does not tell cores (some virtual machines) a hardware thread counts as one. */
static void count_cores(hwloc_topology_t topology, hwloc_const_bitmap_t allowed, dt_topology *out) {
    hwloc_const_bitmap_t open = hwloc_topology_get_allowed_cpuset(topology);
    hwloc_obj_type_t type =
        hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    hwloc_obj_t core = NULL;
    for (int i = 0; (core = hwloc_get_next_obj_by_type(topology, type, core)); i++) {
        out->cores_total++;
        out->hyper_threads |= hwloc_bitmap_weight(core->cpuset) > 1;
        out->cores_open += hwloc_bitmap_intersects(core->cpuset, open);
        if (!hwloc_bitmap_intersects(core->cpuset, allowed))
            continue;
        out->cores_allowed++;
        if (i < DT_MAX_CORES)
            out->cores.bits[i / 64] |= (uint64_t)1 << (i % 64);
    }
    out->cpus_allowed = hwloc_bitmap_weight(allowed);
}

static void read_model(hwloc_topology_t topology, char *model, size_t nbytes) {
    hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    snprintf(model, nbytes, "%s", name ? name : "");
    for (size_t n = strlen(model); n > 0 && model[n - 1] == ' '; n--)
        model[n - 1] = 0; /* some makers pad theirs */
}

int dt_quota_parse(const char *text) {
    long long quota = 0, period = 0;
    if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return 0; /* "max 100000", or -1 of version 1 */
    return (int)((quota - 1) / period + 1);
}

/* The limit of this container, as version 2 and version 1 of control groups show it to those in
 * it. */
static int read_quota(void) {
    static const char *const files[][2] = {
        {"/sys/fs/cgroup/cpu.max", NULL},
        {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char text[128] = "";
        size_t n = 0;
        for (int j = 0; j < 2 && files[i][j]; j++) {
            FILE *f = fopen(files[i][j], "re");
            n += f ? fread(text + n, 1, sizeof text / 2 - 1, f) : 0;
            if (f)
                fclose(f);
        }
        if (n > 0)
            return dt_quota_parse(text);
    }
    return 0;
}

dt_status dt_topology_read(dt_topology *out) {
    hwloc_topology_t topology = NULL;
    memset(out, 0, sizeof *out);
    DT_TRY(load(&topology));
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    if (allowed) {
        read_allowed(topology, allowed);
        count_cores(topology, allowed, out);
        read_model(topology, out->model, sizeof out->model);
    }
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(topology);
    out->cores_quota = read_quota();
    if (out->cores_allowed < 1)
        return dt_fail(DT_EDEVICE, "hwloc found no core of this machine that may be used");
    return DT_OK;
}

void dt_topology_library(char *text, size_t nbytes) {
    snprintf(text, nbytes, "hwloc %s", HWLOC_VERSION);
}

/* --- lists of hardware threads --------------------------------------------------------------- */

void dt_cpus_allowed(char text[DT_CPUS_MAX]) {
    cpu_set_t set;
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
    text[0] = 0;
    if (cpus && sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &set))
                hwloc_bitmap_set(cpus, i);
        hwloc_bitmap_list_snprintf(text, DT_CPUS_MAX, cpus);
    }
    hwloc_bitmap_free(cpus);
}

/* Linux writes the letters of an address small. */
void dt_cpus_near(const char *pci, char text[DT_CPUS_MAX]) {
    char path[128];
    int n = snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/local_cpulist", pci);
    text[0] = 0;
    for (int i = 0; i < n && i < (int)sizeof path; i++)
        path[i] = (char)tolower((unsigned char)path[i]);
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    if (!fgets(text, DT_CPUS_MAX, f))
        text[0] = 0;
    text[strcspn(text, "\n")] = 0;
    fclose(f);
}

bool dt_cpus_meet(const char *a, const char *b) {
    hwloc_bitmap_t x = hwloc_bitmap_alloc(), y = hwloc_bitmap_alloc();
    bool meet = !a[0] || !b[0] || !x || !y || hwloc_bitmap_list_sscanf(x, a) != 0 ||
                hwloc_bitmap_list_sscanf(y, b) != 0 || hwloc_bitmap_intersects(x, y);
    hwloc_bitmap_free(x);
    hwloc_bitmap_free(y);
    return meet;
}

/* --- dividing --------------------------------------------------------------------------------- */

static int count_sharers(const dt_core_set *sets, int n, int core) {
    int sharers = 0;
    for (int p = 0; p < n; p++)
        sharers += has_core(&sets[p], core);
    return sharers;
}

/* Of those that may use the core the one with fewest cores so far. */
static int poorest(const dt_core_set *sets, int n, int core, const int *dealt) {
    int best = -1;
    for (int p = 0; p < n; p++)
        if (has_core(&sets[p], core) && (best < 0 || dealt[p] < dealt[best]))
            best = p;
    return best;
}

int dt_fair_threads(const dt_core_set *sets, int n_processes, int index) {
    int sharers[DT_MAX_CORES], *dealt = calloc((size_t)n_processes, sizeof *dealt);
    if (!dealt)
        return 1;
    for (int core = 0; core < DT_MAX_CORES; core++)
        sharers[core] = count_sharers(sets, n_processes, core);
    for (int few = 1; few <= n_processes; few++)
        for (int core = 0; core < DT_MAX_CORES; core++)
            if (sharers[core] == few)
                dealt[poorest(sets, n_processes, core, dealt)]++;
    int threads = dealt[index] > 1 ? dealt[index] : 1;
    free(dealt);
    return threads;
}

static int count_union(const dt_core_set *sets, int n) {
    int cores = 0;
    for (int core = 0; core < DT_MAX_CORES; core++)
        cores += count_sharers(sets, n, core) > 0;
    return cores;
}

/* No more threads than the quota's fair share for process index of n. */
static int within_quota(int threads, int quota, int n, int index) {
    int share = quota / n + (index < quota % n);
    if (quota == 0 || threads <= share)
        return threads;
    return share > 1 ? share : 1;
}

dt_status dt_topology_share(const dt_topology *topology, dt_comm *comm, dt_core_share *out) {
    int size = dt_comm_size(comm), host = dt_comm_host_of(comm, dt_comm_rank(comm)), n = 0;
    int index = dt_comm_local_rank(comm);
    dt_core_set *sets = calloc((size_t)size, sizeof *sets);
    dt_status status = sets ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d sets of cores", size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &topology->cores, sizeof *sets, sets), done);
    for (int r = 0; r < size; r++)
        if (dt_comm_host_of(comm, r) == host)
            sets[n++] = sets[r];
    out->threads = within_quota(dt_fair_threads(sets, n, index), topology->cores_quota, n, index);
    out->job_cores = count_union(sets, n);
done:
    free(sets);
    return status;
}
