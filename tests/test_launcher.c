/* tests/test_launcher.c - N processes that each believe to be rank 0 of 1 are refused, with the
 * fix. Really run as such a process: the environment of a launcher, and no launcher. */
#include "t.h"

#include <sys/wait.h>

#include "dist/comm.h"
#include "dist/comm_impl.h"

static void forget_launchers(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_RANK",
                                        "PMI_SIZE",
                                        "PMI_RANK",
                                        "PMIX_RANK",
                                        "PMIX_NAMESPACE",
                                        "SLURM_STEP_ID",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_NTASKS",
                                        "SLURM_PROCID",
                                        "SLURM_JOB_ID",
                                        "SLURM_STEP_NODELIST",
                                        "SLURM_NODELIST",
                                        "SLURM_JOBID",
                                        "SLURM_STEPID",
                                        "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

/* assignments: "A=1 B=2"; what dt_launcher_find() makes of it. */
static void expect(const char *assignments, const char *name, int n, bool can_connect) {
    char text[256], *rest = NULL;
    forget_launchers();
    snprintf(text, sizeof text, "%s", assignments);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        *equals = 0;
        setenv(word, equals + 1, 1);
    }
    dt_launcher found = dt_launcher_find();
    int ok = T_CHECK(found.name == NULL ? name == NULL : name && strcmp(found.name, name) == 0);
    ok &= T_CHECK(found.n == n);
    ok &= T_CHECK(found.can_connect == can_connect);
    if (!ok)
        fprintf(stderr, "    with %s: %s, %d\n", assignments, found.name ? found.name : "nobody",
                found.n);
}

static void test_who_started_me(void) {
    expect("", NULL, 1, false);
    expect("OMPI_COMM_WORLD_SIZE=4", "mpirun", 4, true);
    expect("PMI_SIZE=3 PMI_RANK=0", "mpiexec", 3, true);
    expect("PMIX_RANK=0 PMIX_NAMESPACE=prterun-1", "a PMIx launcher", 0, true);
    /* a batch script, and a program in it: one process, whatever was asked for */
    expect("SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_PROCID=0", NULL, 1, false);
    /* srun of every flavour */
    expect("SLURM_NTASKS=8 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2", "srun", 2, false);
    expect("SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2 PMIX_RANK=1 PMIX_NAMESPACE=s.7.0", "srun", 2,
           true);
    expect("SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2 PMI_SIZE=2 PMI_RANK=1", "srun", 2, true);
    expect("SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1", "srun", 1, false); /* srun --pty bash */
    /* mpirun in a job of three nodes: its daemons are an srun step of two */
    expect("OMPI_COMM_WORLD_SIZE=12 PMIX_RANK=3 PMIX_NAMESPACE=1 SLURM_STEP_ID=0 "
           "SLURM_STEP_NUM_TASKS=2",
           "mpirun", 12, true);
    expect("PMI_SIZE=1x SLURM_STEP_NUM_TASKS=5", "mpiexec", 1, true); /* no SLURM_STEP_ID: stale */
    expect("OMPI_COMM_WORLD_SIZE=99999999999", "mpirun", 0, true);
}

/* With this variable set a group is one process, and MPI is not even started. */
static void test_alone(const char *variable, const char *value) {
    dt_comm *comm = NULL;
    forget_launchers();
    if (variable)
        setenv(variable, value, 1);
    T_OK(dt_comm_create(NULL, NULL, &comm));
    T_CHECK(comm && dt_comm_size(comm) == 1 && strcmp(dt_comm_library(comm), "none") == 0);
    dt_comm_free(&comm);
}

/* Start a group with these variables set; it must fail with a sentence that contains both texts. In
 * a process of its own, because MPI can be started only once in each. */
static void expect_refusal(const char *variable, const char *value, const char *fact,
                           const char *fix) {
    pid_t child = fork();
    if (child == 0) {
        dt_comm *comm = NULL;
        setenv(variable, value, 1);
        T_FAILS(dt_comm_create(NULL, NULL, &comm), DT_EUSAGE, fact);
        T_CHECK(strstr(dt_error(), fix) != NULL);
        T_CHECK(comm == NULL);
        _exit(t_counts[1] > 0);
    }
    int status = -1;
    T_CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* srun without PMIx, which Open MPI needs: before MPI starts, so that its page of text stays away.
 */
static void test_plain_srun_is_refused(void) {
    forget_launchers();
    setenv("SLURM_STEP_ID", "0", 1);
    expect_refusal("SLURM_STEP_NUM_TASKS", "2", "srun started 2 processes", "srun --mpi=pmix");
}

/* The mpirun of another MPI: ours starts, finds nobody, and sees one process. */
static void test_foreign_mpirun_is_refused(void) {
    forget_launchers();
    expect_refusal("PMI_SIZE", "4", "mpiexec started 4 processes", "use the mpirun of");
    expect_refusal("OMPI_COMM_WORLD_SIZE", "3", "they would train 3 unrelated models",
                   "that mpirun belongs to another MPI");
}

int main(void) {
    T_BEGIN(60);
    test_who_started_me();
    test_alone(NULL, NULL);
    test_alone("OMPI_COMM_WORLD_SIZE", "1");
    test_alone("SLURM_NTASKS", "4");
    test_plain_srun_is_refused();
    test_foreign_mpirun_is_refused();
    return t_finish();
}
