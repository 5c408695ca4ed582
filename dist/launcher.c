/* dist/launcher.c - who started this process, and how many of it?
 *
 * A program that does not ask finds out too late: started by a launcher that its MPI library does
 * not understand, every process believes to be rank 0 of 1, and N unrelated models are trained into
 * the same files. The launchers say what they did in the environment, the nearest one first: a rank
 * under mpirun inside a Slurm job sees both mpirun's variables and those of the srun step that
 * carries mpirun's daemons, and only mpirun's are about it.
 *
 * SLURM_NTASKS is never asked: a batch script has it too, and runs once. SLURM_STEP_NUM_TASKS is
 * set by srun alone. */
#include "dist/comm_impl.h"

#include <limits.h>
#include <stdlib.h>

/* The value of a variable that holds a count, or 0. */
static int count_of(const char *variable) {
    const char *text = getenv(variable);
    long n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n <= INT_MAX ? (int)n : 0;
}

static bool is_set(const char *variable) {
    return getenv(variable) != NULL;
}

dt_launcher dt_launcher_find(void) {
    int n_srun = is_set("SLURM_STEP_ID") ? count_of("SLURM_STEP_NUM_TASKS") : 0;
    bool pmix = is_set("PMIX_RANK") && is_set("PMIX_NAMESPACE");

    if (is_set("OMPI_COMM_WORLD_SIZE"))
        return (dt_launcher){"mpirun", count_of("OMPI_COMM_WORLD_SIZE"), true};
    if (is_set("PMI_SIZE"))
        return (dt_launcher){n_srun > 0 ? "srun" : "mpiexec", count_of("PMI_SIZE"), true};
    if (n_srun > 0)
        return (dt_launcher){"srun", n_srun, pmix};
    if (pmix)
        return (dt_launcher){"a PMIx launcher", 0, true};
    return (dt_launcher){NULL, 1, false};
}
