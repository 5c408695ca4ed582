/* tests/test_doctor.c - what doctor makes of clusters that nobody has: one trouble planted in each.
 */
#include "t.h"

#include "launch/doctor_facts.h"

enum { HOSTS = 4, EACH = 2, N = HOSTS * EACH };

static dt_rank_facts ranks[N];
static dt_facts facts;
static dt_findings found;

/* Four hosts of two ranks, each with a GPU, on which nothing is wrong. */
static void be_well(void) {
    memset(ranks, 0, sizeof ranks);
    facts = (dt_facts){.size = N,
                       .n_hosts = HOSTS,
                       .n_rounds = HOSTS - 1,
                       .ranks = ranks,
                       .launcher = "mpirun",
                       .data = "data/mnist",
                       .dir = "runs",
                       .sum_bytes = 2097160,
                       .sum = {.microseconds = 4000, .algbw = 0.5, .busbw = 0.9}};
    for (int r = 0; r < N; r++) {
        dt_rank_facts *x = &ranks[r];
        x->host = r / EACH;
        x->leads = r % EACH == 0;
        snprintf(x->sight.host, sizeof x->sight.host, "h%d", r / EACH + 1);
        x->sight.cores_allowed = 4;
        x->sight.cores_open = x->sight.cores_total = x->sight.job_cores = 8;
        x->sight.threads = 4;
        x->sight.n_gpus = EACH;
        snprintf(x->sight.gpu.name, sizeof x->sight.gpu.name, "NVIDIA H100");
        snprintf(x->sight.gpu.uuid, sizeof x->sight.gpu.uuid, "GPU-%d", r);
        snprintf(x->sight.gpu.pci, sizeof x->sight.gpu.pci, "0000:%d:00.0", r);
        snprintf(x->cpus, sizeof x->cpus, r % EACH ? "4-7" : "0-3");
        snprintf(x->gpu_cpus, sizeof x->gpu_cpus, r % EACH ? "4-7" : "0-3");
        snprintf(x->dtrain, sizeof x->dtrain, "dtrain 1.0");
        snprintf(x->mpi, sizeof x->mpi, "Open MPI 4.1.4");
        for (int i = 0; i < 4; i++)
            snprintf(x->data_sha256[i], sizeof x->data_sha256[i], "%s", x->leads ? "a1" : "");
        x->sees_dir = true;
        snprintf(x->link, sizeof x->link, "eth0");
        x->link_gbit = 10;
        for (int i = 0; i < HOSTS - 1; i++)
            x->pairs[i] = (dt_pair){dt_doctor_partner(HOSTS, i, x->host), 20e-6, 1.1};
    }
}

static const dt_finding *row_of(const char *check) {
    for (int i = 0; i < found.n; i++)
        if (strcmp(found.rows[i].check, check) == 0)
            return &found.rows[i];
    return NULL;
}

/* One check of all has this level, names all words ("h3|fix: mpirun"), and has a fix if it is bad;
 * the others are well. */
static void expect(const char *check, dt_level level, dt_status code, const char *words) {
    char text[1024], copy[256], *rest = NULL;
    dt_doctor_judge(&facts, &found);
    const dt_finding *row = row_of(check);
    if (!T_CHECK(row != NULL))
        return;
    snprintf(text, sizeof text, "%s fix: %s", row->what, row->fix);
    snprintf(copy, sizeof copy, "%s", words);
    bool ok = row->level == level && (level < DT_WARNING || row->fix[0]);
    for (char *word = strtok_r(copy, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        ok = ok && strstr(text, word);
    for (int i = 0; i < found.n; i++)
        ok = ok && (found.rows[i].level <= DT_NOTE || strcmp(found.rows[i].check, check) == 0);
    ok = ok && dt_doctor_code(&found) == code;
    if (!T_CHECK(ok))
        for (int i = 0; i < found.n; i++)
            fprintf(stderr, "    %d %s: %s fix: %s\n", (int)found.rows[i].level,
                    found.rows[i].check, found.rows[i].what, found.rows[i].fix);
    be_well();
}

static void test_well(void) {
    static const char *const checks[] = {"launch",  "cores", "GPUs", "versions",  "data", "clocks",
                                         "run dir", "locks", "sums", "bandwidth", "hosts"};
    be_well();
    dt_doctor_judge(&facts, &found);
    T_CHECK(found.n == (int)(sizeof checks / sizeof *checks));
    for (int i = 0; i < found.n; i++) {
        T_CHECK(strcmp(found.rows[i].check, checks[i]) == 0);
        T_CHECK(found.rows[i].level == DT_GOOD && found.rows[i].what[0] && !found.rows[i].fix[0]);
    }
    T_CHECK(dt_doctor_code(&found) == DT_OK);
}

static void test_launch(void) {
    facts.launcher = NULL;
    expect("launch", DT_GOOD, DT_OK, "without a launcher");
    facts.launcher = NULL;
    facts.batch_tasks = 8;
    expect("launch", DT_WARNING, DT_OK, "Slurm job of 8 tasks|srun --mpi=pmix");
}

static void test_cores(void) {
    for (int r = 4; r < 6; r++)
        ranks[r].sight.job_cores = 2;
    for (int r = 4; r < 6; r++)
        ranks[r].sight.cores_allowed = ranks[r].sight.threads = 1;
    expect("cores", DT_WARNING, DT_OK, "2 ranks of h3|only 2 of its 8|--bind-to none");
    ranks[3].sight.cores_allowed = 1;
    expect("cores", DT_WARNING, DT_OK, "rank 3 (h2) has 4 threads on 1 core|--cpus-per-task=4");
    ranks[6].sight.cores_allowed = ranks[7].sight.cores_allowed = 8;
    ranks[6].sight.threads = ranks[7].sight.threads = 8;
    expect("cores", DT_WARNING, DT_OK, "2 ranks with 16 threads share the 8 cores of h4");
}

static void test_gpus(void) {
    for (int r = 0; r < N; r++)
        snprintf(ranks[r].sight.no_cuda, sizeof ranks[r].sight.no_cuda, "no driver");
    expect("GPUs", DT_NOTE, DT_OK, "none: no driver");
    snprintf(ranks[5].sight.no_cuda, sizeof ranks[5].sight.no_cuda, "no device");
    expect("GPUs", DT_WARNING, DT_OK, "rank 5 (h3)|no device|--device cpu");
    memcpy(ranks[3].sight.gpu.uuid, ranks[2].sight.gpu.uuid, sizeof ranks[3].sight.gpu.uuid);
    expect("GPUs", DT_WARNING, DT_OK, "ranks 2 and 3 share|of h2|GPU-2|--gpus-per-node");
    memcpy(ranks[3].sight.gpu.pci, ranks[2].sight.gpu.pci, sizeof ranks[3].sight.gpu.pci);
    expect("GPUs", DT_WARNING, DT_OK, "ranks 2 and 3 share"); /* parts of one */
    memcpy(ranks[4].sight.gpu.uuid, ranks[2].sight.gpu.uuid, sizeof ranks[3].sight.gpu.uuid);
    expect("GPUs", DT_GOOD, DT_OK, "NVIDIA H100"); /* on another host: another device */
    snprintf(ranks[6].gpu_cpus, sizeof ranks[6].gpu_cpus, "4-7");
    expect("GPUs", DT_WARNING, DT_OK, "rank 6 (h4)|CPUs 0-3|0000:6:00.0 is near 4-7|--gpu-bind");
}

static void test_versions(void) {
    snprintf(ranks[4].hdf5, sizeof ranks[4].hdf5, "HDF5 1.8");
    snprintf(ranks[5].hdf5, sizeof ranks[5].hdf5, "HDF5 1.8");
    expect("versions", DT_WARNING, DT_OK, "on rank 0 (h1)|HDF5 1.8 on rank 4 (h3)|1 more");
    snprintf(ranks[7].mpi, sizeof ranks[7].mpi, "Open MPI 5.0.1");
    expect("versions", DT_WARNING, DT_OK, "Open MPI 5.0.1 on rank 7 (h4)|install");
    snprintf(ranks[2].sight.cpu, sizeof ranks[2].sight.cpu, "Z80");
    expect("versions", DT_WARNING, DT_OK, "Z80 on rank 2 (h2)|bits depend");
}

static void test_data(void) {
    snprintf(ranks[4].data_sha256[2], sizeof ranks[4].data_sha256[2], "b2");
    expect("data", DT_BAD, DT_EDATA, "t10k-images|a1... on h1|b2... on h3|rsync");
    ranks[6].data_status = DT_EDATA;
    memset(ranks[6].data_sha256, 0, sizeof ranks[6].data_sha256);
    snprintf(ranks[6].data_error, sizeof ranks[6].data_error, "no such file");
    expect("data", DT_BAD, DT_EDATA, "on h4: no such file|fetch-data");
}

static void test_files(void) {
    facts.dir_status = DT_EIO;
    snprintf(facts.dir_error, sizeof facts.dir_error, "Read-only file system");
    expect("run dir", DT_BAD, DT_EIO, "Read-only|--out|h1");
    ranks[4].sees_dir = ranks[6].sees_dir = false;
    expect("run dir", DT_WARNING, DT_OK, "h3 does not see it|hosts: 1 more|shared");
    ranks[4].lock = DT_LOCK_NOT_SEEN;
    expect("locks", DT_WARNING, DT_OK, "h3 does not see those of h1|local_lock");
    ranks[0].lock = DT_LOCK_MISSING;
    expect("locks", DT_WARNING, DT_OK, "HDF5_USE_FILE_LOCKING=FALSE");
    snprintf(facts.hdf5_error, sizeof facts.hdf5_error, "x.h5: cannot open it: unable to lock");
    expect("locks", DT_WARNING, DT_OK, "unable to lock|HDF5_USE_FILE_LOCKING=FALSE");
}

static void test_clocks(void) {
    ranks[4].ahead = 0.9;
    expect("clocks", DT_GOOD, DT_OK, "agree within 900 ms");
    ranks[4].ahead = -90;
    expect("clocks", DT_WARNING, DT_OK, "h3 is 90 s behind h1|chrony");
}

static void test_sums(void) {
    facts.sum.wrong = 3;
    expect("sums", DT_BAD, DT_EPEER, "3 wrong elements|--mca pml ob1");
    facts.sum.busbw = 0.1;
    expect("bandwidth", DT_WARNING, DT_OK, "busbw 0.1 GB/s|8 % of the 1.25 GB/s of eth0|ucx");
    for (int r = 0; r < N; r++)
        ranks[r].link[0] = 0;
    expect("bandwidth", DT_GOOD, DT_OK, "no network device tells its speed");
    facts.sum_bytes = 0;
    expect("sums", DT_NOTE, DT_OK, "nobody to add to");

    /* one host: 40 GB/s over 5 moves and 8 ranks should give 1 */
    facts.n_hosts = 1;
    facts.n_rounds = 0;
    facts.memory_gbytes = 40;
    for (int r = 0; r < N; r++) {
        ranks[r].host = 0;
        ranks[r].sight.threads = 1;
    }
    expect("bandwidth", DT_GOOD, DT_OK, "0.5 GB/s|should give 1");
    facts.n_hosts = 1;
    facts.n_rounds = 0;
    facts.memory_gbytes = 44;
    for (int r = 0; r < N; r++) {
        ranks[r].host = 0;
        ranks[r].sight.threads = 1;
    }
    expect("bandwidth", DT_WARNING, DT_OK, "0.5 GB/s|should give 1.1|--threads");
}

/* Both ends of a pair know what they measured. */
static void set_pair(int a, int b, double seconds, double gbytes) {
    for (int r = 0; r < N; r++)
        for (int i = 0; i < HOSTS - 1; i++)
            if ((ranks[r].host == a && ranks[r].pairs[i].with == b) ||
                (ranks[r].host == b && ranks[r].pairs[i].with == a))
                ranks[r].pairs[i] = (dt_pair){ranks[r].pairs[i].with, seconds, gbytes};
}

static void test_pairs(void) {
    set_pair(1, 3, 20e-6, 0.3);
    expect("hosts", DT_WARNING, DT_OK,
           "h2 and h4 are the slowest pair: 0.3 GB/s|best pair has 1.1");
    for (int h = 0; h < HOSTS; h++)
        if (h != 2)
            set_pair(h, 2, 20e-6, 0.1);
    expect("hosts", DT_WARNING, DT_OK, "h3 is slow with every other host|leave h3 out");
    set_pair(0, 3, 200e-6, 1.1);
    expect("hosts", DT_WARNING, DT_OK, "h1 and h4 need 200 us|best pair 20|--switches=1");
    set_pair(0, 3, 60e-6, 0.6);
    expect("hosts", DT_GOOD, DT_OK, "6 pairs: 0.6 to 1.1 GB/s, 20 to 60 us; the slowest h1 and h4");
}

/* Everybody meets everybody once, and both know of it. */
static void test_partners(void) {
    for (int n = 1; n <= 9; n++) {
        int met[9][9] = {{0}}, wrong = 0;
        for (int round = 0; round < n + n % 2 - 1; round++)
            for (int i = 0; i < n; i++) {
                int j = dt_doctor_partner(n, round, i);
                wrong += j < 0 || j >= n || dt_doctor_partner(n, round, j) != i;
                met[i][j]++;
            }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                wrong += i != j && met[i][j] != 1;
        T_CHECK(wrong == 0);
    }
}

int main(void) {
    T_BEGIN(60);
    test_well();
    test_launch();
    test_cores();
    test_gpus();
    test_versions();
    test_data();
    test_files();
    test_clocks();
    test_sums();
    test_pairs();
    test_partners();
    return t_finish();
}
