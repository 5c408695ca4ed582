/* launch/doctor_judge.c - what the facts mean, and what to do about it.
 *
 * Without side effects: facts in, sentences out. Each check gives one row that is good, or rows
 * that each name one trouble, its ranks and hosts, and the fix. Of troubles of one kind the first
 * is told, and how many more there are. */
#include "launch/doctor_facts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/gpu.h"

/* Below these a figure is a warning. */
static const double CLOCK_SECONDS = 1;    /* more makes logs and file times of hosts lie */
static const double LINK_SHARE = 0.25;    /* of a link's speed; TCP on one stream reaches 0.4 */
static const double MEMORY_SHARE = 0.5;   /* of what memory should give */
static const double PAIR_BANDWIDTH = 0.5; /* of the best pair's */
static const double PAIR_LATENCY = 5, PAIR_SECONDS = 50e-6; /* times the best pair's, and so more */
enum {
    MOVES = 5
}; /* a shared sum: own out, the others' in, result out and in: bytes moved a byte */

static dt_finding *add(dt_findings *f, const char *check, dt_level level, dt_status code) {
    static dt_finding too_many;
    dt_finding *row = f->n < DT_DOCTOR_ROWS ? &f->rows[f->n++] : &too_many;
    *row = (dt_finding){.check = check, .level = level, .code = code};
    return row;
}

static void DT_PRINTF(2, 3) say(dt_finding *row, const char *format, ...) {
    va_list arguments;
    size_t n = strlen(row->what);
    va_start(arguments, format);
    vsnprintf(row->what + n, sizeof row->what - n, format, arguments);
    va_end(arguments);
}

static void DT_PRINTF(2, 3) fix(dt_finding *row, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(row->fix, sizeof row->fix, format, arguments);
    va_end(arguments);
}

static const char *plural(int64_t n) {
    return n == 1 ? "" : "s";
}

/* "; so are 3 more" */
static void say_more(dt_finding *row, int others, const char *what) {
    if (others > 0)
        say(row, "; the same %s %d more", what, others);
}

static const char *host(const dt_facts *f, int r) {
    return f->ranks[r].sight.host;
}

/* Of the host with this number. */
static const char *host_name(const dt_facts *f, int number) {
    int r = 0;
    while (r < f->size - 1 && f->ranks[r].host != number)
        r++;
    return host(f, r);
}

/* --- how it was started --- */

static void judge_launch(const dt_facts *f, dt_findings *out) {
    dt_finding *row = add(out, "launch", DT_GOOD, DT_OK);
    if (f->launcher) {
        say(row, "%s started %d process%s, and each sees all of them: %d host%s", f->launcher,
            f->size, f->size == 1 ? "" : "es", f->n_hosts, plural(f->n_hosts));
    } else if (f->batch_tasks > 1) {
        row->level = DT_WARNING;
        say(row, "one process in a Slurm job of %d tasks: no launcher started the others",
            f->batch_tasks);
        fix(row, "srun --mpi=pmix dtrain ..., or mpirun dtrain ...");
    } else {
        say(row, "one process, without a launcher");
    }
}

/* --- cores --- */

static int threads_on(const dt_facts *f, int number, int *n_ranks) {
    int threads = 0;
    *n_ranks = 0;
    for (int r = 0; r < f->size; r++) {
        bool here = f->ranks[r].host == number;
        *n_ranks += here;
        threads += here ? f->ranks[r].sight.threads : 0;
    }
    return threads;
}

/* What is wrong with the cores of rank r, or of its host if r leads it; "" if nothing. */
static void judge_rank_cores(const dt_facts *f, int r, char what[256], char remedy[256]) {
    const dt_sight *s = &f->ranks[r].sight;
    int n, threads = threads_on(f, f->ranks[r].host, &n);
    what[0] = 0;
    if (s->job_cores < s->cores_open && f->ranks[r].leads) {
        snprintf(what, 256, "the %d rank%s of %s may use only %d of its %d cores", n, plural(n),
                 s->host, s->job_cores, s->cores_open);
        snprintf(remedy, 256,
                 "mpirun --bind-to none; in Slurm --cpus-per-task=%d with srun --cpu-bind=cores",
                 s->cores_open / n > 1 ? s->cores_open / n : 1);
    } else if (s->threads > s->cores_allowed) {
        snprintf(what, 256, "rank %d (%s) has %d threads on %d core%s", r, s->host, s->threads,
                 s->cores_allowed, plural(s->cores_allowed));
        snprintf(remedy, 256,
                 "mpirun --bind-to none, or srun --cpus-per-task=%d, or fewer --threads",
                 s->threads);
    } else if (threads > s->job_cores && f->ranks[r].leads) {
        snprintf(what, 256, "%d rank%s with %d threads share the %d core%s of %s", n, plural(n),
                 threads, s->job_cores, plural(s->job_cores), s->host);
        snprintf(remedy, 256,
                 "at most %d of them compute at a time: start fewer ranks there, or give fewer "
                 "--threads",
                 s->job_cores);
    }
}

static void judge_cores(const dt_facts *f, dt_findings *out) {
    char what[256], remedy[256];
    int troubles = 0, threads = 0;
    dt_finding *row = NULL;
    for (int r = 0; r < f->size; r++) {
        threads += f->ranks[r].sight.threads;
        judge_rank_cores(f, r, what, remedy);
        if (what[0] && troubles++ == 0) {
            row = add(out, "cores", DT_WARNING, DT_OK);
            say(row, "%s", what);
            fix(row, "%s", remedy);
        }
    }
    if (row)
        say_more(row, troubles - 1, "is true of");
    else
        say(add(out, "cores", DT_GOOD, DT_OK), "%d thread%s, each with a core of its own", threads,
            plural(threads));
}

/* --- GPUs --- */

static bool has_gpu(const dt_facts *f, int r) {
    return !f->ranks[r].sight.no_cuda[0];
}

static void judge_missing_gpus(const dt_facts *f, dt_findings *out, int without, int first) {
    dt_finding *row = add(out, "GPUs", DT_WARNING, DT_OK);
    say(row, "rank %d (%s) has none, so that no rank computes with its own: %s", first,
        host(f, first), f->ranks[first].sight.no_cuda);
    say_more(row, without - 1, "is true of");
    fix(row, "ask for GPUs on all hosts (Slurm: --gpus-per-node), or say --device cpu");
}

static bool share_gpu(const dt_facts *f, int a, int b) {
    return f->ranks[a].host == f->ranks[b].host && has_gpu(f, a) && has_gpu(f, b) &&
           dt_gpu_same(&f->ranks[a].sight.gpu, &f->ranks[b].sight.gpu);
}

static bool judge_shared_gpus(const dt_facts *f, dt_findings *out) {
    int pairs = 0;
    dt_finding *row = NULL;
    for (int b = 1; b < f->size; b++)
        for (int a = 0; a < b; a++) {
            if (!share_gpu(f, a, b) || pairs++ > 0)
                continue;
            row = add(out, "GPUs", DT_WARNING, DT_OK);
            say(row, "ranks %d and %d share one of %s (%s), and rank %d sees %d", a, b, host(f, b),
                f->ranks[b].sight.gpu.uuid, b, f->ranks[b].sight.n_gpus);
            fix(row, "as many ranks a host as GPUs; in Slurm under mpirun --gpus-per-node, as "
                     "--gpus-per-task shows all ranks the same one");
        }
    if (row)
        say_more(row, pairs - 1, "is true of pairs:");
    return row != NULL;
}

static bool judge_far_gpus(const dt_facts *f, dt_findings *out) {
    int far = 0;
    dt_finding *row = NULL;
    for (int r = 0; r < f->size; r++) {
        const dt_rank_facts *x = &f->ranks[r];
        if (!has_gpu(f, r) || dt_cpus_meet(x->cpus, x->gpu_cpus) || far++ > 0)
            continue;
        row = add(out, "GPUs", DT_WARNING, DT_OK);
        say(row, "rank %d (%s) runs on CPUs %s, its GPU %s is near %s", r, host(f, r), x->cpus,
            x->sight.gpu.pci, x->gpu_cpus);
        fix(row, "mpirun --bind-to none, or srun --gpu-bind=closest --cpu-bind=cores");
    }
    if (row)
        say_more(row, far - 1, "is true of");
    return row != NULL;
}

static void judge_gpus(const dt_facts *f, dt_findings *out) {
    int without = 0, first = -1;
    for (int r = f->size - 1; r >= 0; r--)
        if (!has_gpu(f, r)) {
            without++;
            first = r;
        }
    if (without == f->size) {
        say(add(out, "GPUs", DT_NOTE, DT_OK), "none: %s", f->ranks[0].sight.no_cuda);
        return;
    }
    if (without > 0)
        judge_missing_gpus(f, out, without, first);
    bool shared = judge_shared_gpus(f, out), far = judge_far_gpus(f, out);
    if (!shared && !far && without == 0)
        say(add(out, "GPUs", DT_GOOD, DT_OK), "one for each rank, near its cores: %s",
            f->ranks[0].sight.gpu.name);
}

/* --- what must be the same everywhere --- */

typedef struct {
    size_t at;
    dt_level level;
    const char *fix;
} same;

static const char *text_at(const dt_facts *f, int r, size_t at) {
    return (const char *)&f->ranks[r] + at;
}

/* The lowest rank whose text differs from rank 0's; -1 if none, and how many do. */
static int find_other(const dt_facts *f, size_t at, int *n) {
    int first = -1;
    *n = 0;
    for (int r = f->size - 1; r > 0; r--)
        if (strcmp(text_at(f, 0, at), text_at(f, r, at)) != 0) {
            (*n)++;
            first = r;
        }
    return first;
}

static void judge_versions(const dt_facts *f, dt_findings *out) {
    static const char *const install = "install the same on all hosts",
                             *const kind = "hosts of one kind; else the bits depend on which ranks "
                                           "compute what";
    const same texts[] = {
        {offsetof(dt_rank_facts, mpi), DT_WARNING, install},
        {offsetof(dt_rank_facts, sight.libraries), DT_WARNING, install},
        {offsetof(dt_rank_facts, libc), DT_WARNING, install},
        {offsetof(dt_rank_facts, hdf5), DT_WARNING, install},
        {offsetof(dt_rank_facts, sight.cuda_libraries), DT_WARNING, install},
        {offsetof(dt_rank_facts, sight.cpu), DT_WARNING, kind},
        {offsetof(dt_rank_facts, sight.instruction_sets), DT_WARNING, kind},
    };
    bool equal = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int n, r = find_other(f, texts[i].at, &n);
        if (r < 0)
            continue;
        equal = false;
        dt_finding *row = add(out, "versions", texts[i].level, DT_EDEVICE);
        say(row, "%s on rank 0 (%s), %s on rank %d (%s)", text_at(f, 0, texts[i].at), host(f, 0),
            text_at(f, r, texts[i].at), r, host(f, r));
        say_more(row, n - 1, "is true of");
        fix(row, "%s", texts[i].fix);
    }
    if (equal)
        say(add(out, "versions", DT_GOOD, DT_OK), "%s%s, %s, %s, %s", f->size > 1 ? "all: " : "",
            f->ranks[0].dtrain, f->ranks[0].sight.libraries, f->ranks[0].mpi, f->ranks[0].hdf5);
}

/* A file that is not what it is on rank 0's host. Hosts that cannot read the data are not asked. */
static bool judge_digests(const dt_facts *f, dt_findings *out, int file) {
    int n = 0;
    dt_finding *row = NULL;
    const char *of_0 = f->ranks[0].data_sha256[file];
    for (int r = 1; r < f->size; r++) {
        const char *mine = f->ranks[r].data_sha256[file];
        if (!of_0[0] || !mine[0] || strcmp(mine, of_0) == 0 || n++ > 0)
            continue;
        row = add(out, "data", DT_BAD, DT_EDATA);
        say(row, "%s of %s: SHA-256 %.12s... on %s, %.12s... on %s", dt_dataset_files[file],
            f->data, of_0, host(f, 0), mine, host(f, r));
        fix(row, "copy one host's to the others: rsync -a %s/ %s:%s/", f->data, host(f, r),
            f->data);
    }
    if (row)
        say_more(row, n - 1, "is true of hosts:");
    return row != NULL;
}

static void judge_data(const dt_facts *f, dt_findings *out) {
    int unreadable = 0;
    bool differ = false;
    dt_finding *row = NULL;
    for (int r = 0; r < f->size; r++) {
        if (f->ranks[r].data_status == DT_OK || unreadable++ > 0)
            continue;
        row = add(out, "data", DT_BAD, (dt_status)f->ranks[r].data_status);
        say(row, "on %s: %s", host(f, r), f->ranks[r].data_error);
        fix(row, "the same --data on every host: launch/fetch-data.sh, or a shared file system");
    }
    if (row)
        say_more(row, unreadable - 1, "is true of hosts:");
    for (int file = 0; file < 4; file++)
        differ |= judge_digests(f, out, file);
    if (!row && !differ)
        say(add(out, "data", DT_GOOD, DT_OK), "%s: four files, %s", f->data,
            f->n_hosts > 1 ? "the same on all hosts" : "all there");
}

/* --- clocks, run directory, locks --- */

static void judge_clocks(const dt_facts *f, dt_findings *out) {
    int worst = 0;
    double uncertain = 0;
    for (int r = 0; r < f->size; r++) {
        if (fabs(f->ranks[r].ahead) > fabs(f->ranks[worst].ahead))
            worst = r;
        uncertain = fmax(uncertain, f->ranks[r].ahead_uncertain);
    }
    double seconds = f->ranks[worst].ahead;
    dt_finding *row = add(out, "clocks", DT_GOOD, DT_OK);
    if (f->n_hosts == 1) {
        row->level = DT_NOTE;
        say(row, "one host has one");
    } else if (fabs(seconds) <= CLOCK_SECONDS) {
        say(row, "those of %d hosts agree within %.3g ms", f->n_hosts,
            1e3 * (fabs(seconds) + uncertain));
    } else {
        row->level = DT_WARNING;
        say(row, "%s is %.3g s %s %s", host(f, worst), fabs(seconds),
            seconds > 0 ? "ahead of" : "behind", host(f, 0));
        fix(row, "chrony or ntpd on every host: munge refuses jobs, and logs cannot be compared");
    }
}

static void judge_dir(const dt_facts *f, dt_findings *out) {
    dt_finding *row = add(out, "run dir", DT_GOOD, DT_OK);
    int blind = 0, first = 0;
    for (int r = f->size - 1; r >= 0; r--)
        if (!f->ranks[r].sees_dir) {
            blind++;
            first = r;
        }
    if (f->dir_status != DT_OK) {
        row->level = DT_BAD;
        row->code = f->dir_status;
        say(row, "%s: %s", f->dir, f->dir_error);
        fix(row, "an --out that the host of rank 0 (%s) may write to", host(f, 0));
    } else if (blind > 0) {
        row->level = DT_WARNING;
        say(row, "%s is written by %s, but %s does not see it", f->dir, host(f, 0), host(f, first));
        say_more(row, blind - 1, "is true of hosts:");
        fix(row,
            "--out on a shared file system: else a restart finds its checkpoints only if rank "
            "0 is on %s again",
            host(f, 0));
    } else {
        say(row, "%s: rank 0 can write%s", f->dir, f->n_hosts > 1 ? ", and all hosts see it" : "");
    }
}

static void judge_locks(const dt_facts *f, dt_findings *out) {
    dt_finding *row = add(out, "locks", DT_GOOD, DT_OK);
    int local = 0, missing = 0;
    for (int r = f->size - 1; r >= 0; r--) {
        local = f->ranks[r].lock == DT_LOCK_NOT_SEEN ? r : local;
        missing += f->ranks[r].lock == DT_LOCK_MISSING;
    }
    if (f->dir_status != DT_OK) {
        row->level = DT_NOTE;
        say(row, "not tried: the run directory cannot be written to");
    } else if (f->hdf5_error[0] || missing > 0) {
        row->level = DT_WARNING;
        say(row, "%s: dtrain needs none, but h5py and h5dump will say 'unable to lock file'",
            f->hdf5_error[0] ? f->hdf5_error : "this file system has none");
        fix(row, "export HDF5_USE_FILE_LOCKING=FALSE when you read the files");
    } else if (local > 0) {
        row->level = DT_WARNING;
        say(row,
            "%s does not see those of %s: two runs from two hosts could write to one directory",
            host(f, local), host(f, 0));
        fix(row, "an --out for each run; NFS: mount without local_lock, Lustre: with flock");
    } else {
        say(row, "HDF5 can lock files there%s", f->n_hosts > 1 ? ", and other hosts see that" : "");
    }
}

/* --- sums and links --- */

static void judge_sums(const dt_facts *f, dt_findings *out) {
    dt_finding *row = add(out, "sums", DT_GOOD, DT_OK);
    if (f->sum_bytes == 0) {
        row->level = DT_NOTE;
        say(row, "one rank has nobody to add to");
    } else if (f->sum.wrong > 0) {
        row->level = DT_BAD;
        row->code = DT_EPEER;
        say(row, "all-reduces of up to %.3g MB gave %lld wrong elements",
            1e-6 * (double)f->sum_bytes, (long long)f->sum.wrong);
        fix(row, "mpirun --mca pml ob1 --mca btl self,vader,tcp tells whether the fabric is at "
                 "fault; mpirun -np 2 on each host, whether its memory is");
    } else {
        say(row, "all-reduces of 8 bytes to %.2g MB are exact, int64 and float32",
            1e-6 * (double)f->sum_bytes);
    }
}

/* The slowest host's link. */
static int find_slowest_link(const dt_facts *f) {
    int slowest = -1;
    for (int r = 0; r < f->size; r++)
        if (f->ranks[r].link[0] &&
            (slowest < 0 || f->ranks[r].link_gbit < f->ranks[slowest].link_gbit))
            slowest = r;
    return slowest;
}

/* An all-reduce sends and receives busbw through every host's link at once, if ranks of a host are
 * neighbours in the ring. */
static void judge_link_speed(const dt_facts *f, dt_finding *row) {
    int r = find_slowest_link(f);
    say(row, "all-reduce of %.2g MB: busbw %.3g GB/s", 1e-6 * (double)f->sum_bytes, f->sum.busbw);
    if (r < 0) {
        say(row, "; no network device tells its speed");
        return;
    }
    double should = f->ranks[r].link_gbit / 8;
    say(row, ", %.0f %% of the %.3g GB/s of %s on %s", 100 * f->sum.busbw / should, should,
        f->ranks[r].link, host(f, r));
    if (f->sum.busbw >= LINK_SHARE * should)
        return;
    row->level = DT_WARNING;
    fix(row,
        "see hosts below; is the fast device used? mpirun --mca btl_tcp_if_include %s, or UCX "
        "(--mca pml ucx) for InfiniBand",
        f->ranks[r].link);
}

/* Memory is read and written by all ranks at once; what stays in caches is faster. */
static void judge_memory_speed(const dt_facts *f, dt_finding *row) {
    double should = f->memory_gbytes / (MOVES * f->size);
    say(row, "all-reduce of %.2g MB: %.3g GB/s through shared memory", 1e-6 * (double)f->sum_bytes,
        f->sum.algbw);
    if (f->memory_gbytes == 0) {
        row->level = DT_NOTE;
        say(row, "; not judged, as there are more threads than cores");
        return;
    }
    say(row, "; memory at %.3g GB/s, with %d moves a byte, should give %.3g", f->memory_gbytes,
        MOVES, should);
    if (f->sum.algbw >= MEMORY_SHARE * should)
        return;
    row->level = DT_WARNING;
    fix(row, "is something else running on this host? Threads (--threads) instead of ranks need no "
             "all-reduce");
}

static void judge_speed(const dt_facts *f, dt_findings *out) {
    if (f->sum_bytes == 0)
        return;
    dt_finding *row = add(out, "bandwidth", DT_GOOD, DT_OK);
    if (f->n_hosts > 1)
        judge_link_speed(f, row);
    else
        judge_memory_speed(f, row);
}

typedef struct {
    int a, b; /* hosts */
    double seconds, gbytes;
} met;

typedef struct {
    int n;
    met slowest, latest; /* by bandwidth, by latency */
    double best_gbytes, best_seconds;
} meetings;

static void note_pair(meetings *m, int a, const dt_pair *p) {
    met pair = {a, p->with, p->seconds, p->gbytes};
    if (m->n == 0 || pair.gbytes < m->slowest.gbytes)
        m->slowest = pair;
    if (m->n == 0 || pair.seconds > m->latest.seconds)
        m->latest = pair;
    m->best_gbytes = fmax(m->best_gbytes, pair.gbytes);
    m->best_seconds = m->n == 0 ? pair.seconds : fmin(m->best_seconds, pair.seconds);
    m->n++;
}

static meetings gather_pairs(const dt_facts *f) {
    meetings m = {0};
    for (int r = 0; r < f->size; r++)
        for (int i = 0; i < f->n_rounds && f->ranks[r].leads; i++)
            if (f->ranks[r].host < f->ranks[r].pairs[i].with)
                note_pair(&m, f->ranks[r].host, &f->ranks[r].pairs[i]);
    return m;
}

/* If one host is in every slow pair, with two at least, and others meet well, its link is at fault;
 * -1: cannot be told. */
static int find_slow_host(const dt_facts *f, const meetings *m) {
    int suspects[2] = {m->slowest.a, m->slowest.b};
    for (int i = 0; i < 2; i++) {
        int with = 0, without = 0;
        for (int r = 0; r < f->size; r++)
            for (int k = 0; k < f->n_rounds && f->ranks[r].leads; k++) {
                const dt_pair *p = &f->ranks[r].pairs[k];
                if (f->ranks[r].host >= p->with || p->gbytes >= PAIR_BANDWIDTH * m->best_gbytes)
                    continue;
                bool in = f->ranks[r].host == suspects[i] || p->with == suspects[i];
                with += in;
                without += !in;
            }
        if (with > 1 && without == 0)
            return suspects[i];
    }
    return -1;
}

static void judge_slow_pair(const dt_facts *f, const meetings *m, dt_finding *row) {
    int slow = find_slow_host(f, m);
    row->level = DT_WARNING;
    if (slow >= 0)
        say(row, "%s is slow with every other host: %.3g GB/s with %s", host_name(f, slow),
            m->slowest.gbytes, host_name(f, m->slowest.a == slow ? m->slowest.b : m->slowest.a));
    else
        say(row, "%s and %s are the slowest pair: %.3g GB/s", host_name(f, m->slowest.a),
            host_name(f, m->slowest.b), m->slowest.gbytes);
    say(row, ", where the best pair has %.3g", m->best_gbytes);
    if (slow >= 0)
        fix(row, "leave %s out, or look at its cable and port: ethtool tells what was negotiated",
            host_name(f, slow));
    else
        fix(row, "leave one of the two out, or ask what lies between them");
}

static void judge_pairs(const dt_facts *f, dt_findings *out) {
    meetings m = gather_pairs(f);
    if (m.n == 0)
        return;
    dt_finding *row = add(out, "hosts", DT_GOOD, DT_OK);
    if (m.slowest.gbytes < PAIR_BANDWIDTH * m.best_gbytes) {
        judge_slow_pair(f, &m, row);
    } else if (m.latest.seconds > PAIR_LATENCY * m.best_seconds &&
               m.latest.seconds > m.best_seconds + PAIR_SECONDS) {
        row->level = DT_WARNING;
        say(row, "%s and %s need %.3g us for a message, the best pair %.3g",
            host_name(f, m.latest.a), host_name(f, m.latest.b), 1e6 * m.latest.seconds,
            1e6 * m.best_seconds);
        fix(row, "ask for hosts that are near each other (Slurm: --switches=1)");
    } else {
        say(row, "%d pair%s: %.3g to %.3g GB/s, %.3g to %.3g us; the slowest %s and %s", m.n,
            plural(m.n), m.slowest.gbytes, m.best_gbytes, 1e6 * m.best_seconds,
            1e6 * m.latest.seconds, host_name(f, m.slowest.a), host_name(f, m.slowest.b));
    }
}

void dt_doctor_judge(const dt_facts *facts, dt_findings *out) {
    out->n = 0;
    judge_launch(facts, out);
    judge_cores(facts, out);
    judge_gpus(facts, out);
    judge_versions(facts, out);
    judge_data(facts, out);
    judge_clocks(facts, out);
    judge_dir(facts, out);
    judge_locks(facts, out);
    judge_sums(facts, out);
    judge_speed(facts, out);
    judge_pairs(facts, out);
}

dt_status dt_doctor_code(const dt_findings *findings) {
    for (int i = 0; i < findings->n; i++)
        if (findings->rows[i].level == DT_BAD)
            return findings->rows[i].code;
    return DT_OK;
}
