/* launch/main.c - from the command line to an exit code.
 *
 * Wrong use is found before MPI starts, and told once. After that the ranks act together: rank 0's
 * options are everybody's, a failure ends all of them with one code, and nobody leaves before all
 * are done. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "dist/comm.h"
#include "dist/watchdog.h"
#include "io/log.h"
#include "io/progress.h"
#include "launch/bench.h"
#include "launch/build.h"
#include "launch/devices.h"
#include "launch/doctor.h"
#include "launch/export.h"
#include "launch/features.h"
#include "launch/manual.h"
#include "launch/predict.h"
#include "launch/report.h"
#include "launch/serve.h"
#include "launch/sweep.h"
#include "launch/term.h"
#include "launch/trainer.h"

/* The rank that the launcher gave this process, before MPI tells; 0 without a launcher. */
static int launcher_rank(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return atoi(getenv(names[i]));
    if (getenv("SLURM_STEP_NUM_TASKS") && getenv("SLURM_PROCID"))
        return atoi(getenv("SLURM_PROCID"));
    return 0;
}

static dt_status print_text(const dt_options *options) {
    switch (options->action) {
    case DT_ACTION_HELP:
        dt_help_print(stdout, options->command, dt_term_of(STDOUT_FILENO).colours);
        break;
    case DT_ACTION_VERSION:
        dt_version_print(stdout);
        break;
    case DT_ACTION_MAN:
        dt_man_print(stdout);
        break;
    case DT_ACTION_COMPLETION:
        dt_completion_print(stdout);
        break;
    case DT_ACTION_RUN:
        break;
    }
    return dt_stdout_flush();
}

static dt_status compute(const dt_options *options, dt_gpus *gpus, dt_comm *comm) {
    const dt_backend *backend = gpus->plugin ? gpus->plugin->backend : dt_backend_find("cpu");
    switch (options->command) {
    case DT_CMD_TRAIN:
        return dt_train(options, backend, gpus, comm);
    case DT_CMD_EVAL:
        return dt_evaluate(options, backend, gpus, comm);
    case DT_CMD_BENCH:
        return dt_bench(options, gpus, comm);
    case DT_CMD_SWEEP:
        return dt_sweep_main(options, backend, gpus, comm);
    case DT_CMD_REPORT:
    case DT_CMD_PREDICT:
    case DT_CMD_SERVE:
    case DT_CMD_FEATURES:
    case DT_CMD_EXPORT:
    case DT_CMD_DEVICES:
    case DT_CMD_DOCTOR:
        break;
    }
    return DT_OK;
}

static dt_status run_command(dt_options *options, dt_comm *comm) {
    DT_TRY(dt_comm_bcast(comm, options, sizeof *options, 0));
    dt_options_resolve(options);
    if (options->command == DT_CMD_DEVICES) /* looks at all there is */
        return dt_devices(options, comm);
    if (options->command == DT_CMD_DOCTOR)
        return dt_doctor(options, comm);
    if (options->command == DT_CMD_REPORT)
        return dt_report(options, comm);
    if (options->command == DT_CMD_PREDICT)
        return dt_predict(options, comm);
    if (options->command == DT_CMD_SERVE)
        return dt_serve(options, comm);
    if (options->command == DT_CMD_FEATURES)
        return dt_features(options, comm);
    if (options->command == DT_CMD_EXPORT)
        return dt_export(options, comm);
    dt_gpus gpus;
    dt_status status = dt_gpus_open(&gpus, options, comm);
    if (status == DT_OK)
        status = compute(options, &gpus, comm);
    dt_gpus_close(&gpus, status);
    return status;
}

/* Does rank's sentence only pass on another one's (dt_comm_agree), or say what a lower rank says
 * too? */
static bool is_echo(const dt_comm *comm, int rank, char (*all)[DT_ERROR_MAX]) {
    char passed_on[DT_ERROR_MAX + 128];
    for (int r = 0; r < dt_comm_size(comm); r++) {
        snprintf(passed_on, sizeof passed_on, "rank %d (%s): %s", r, dt_comm_host(comm, r), all[r]);
        if (r != rank && strncmp(passed_on, all[rank], DT_ERROR_MAX - 1) == 0)
            return true;
        if (r < rank && strcmp(all[r], all[rank]) == 0)
            return true;
    }
    return false;
}

/* After a failure: each sentence is printed once. When the ranks can no longer talk, ends the job.
 */
static void report(dt_comm *comm, dt_status status) {
    int rank = dt_comm_rank(comm);
    char mine[DT_ERROR_MAX];
    char(*all)[DT_ERROR_MAX] = calloc((size_t)dt_comm_size(comm), sizeof *all);
    dt_error_copy(mine);
    dt_status talked = all ? dt_comm_allgather(comm, mine, sizeof mine, all) : DT_EDEVICE;
    dt_error_set(mine);
    if (talked != DT_OK || !is_echo(comm, rank, all))
        dt_log_error();
    free(all);
    if (talked != DT_OK)
        dt_comm_abort(comm, (int)status);
}

/* Commands whose ranks wait for each other: all but those of one process. */
static bool is_watched(const dt_options *options) {
    return options->command & (DT_CMD_TRAIN | DT_CMD_SWEEP | DT_CMD_EVAL | DT_CMD_BENCH |
                               DT_CMD_DEVICES | DT_CMD_DOCTOR);
}

static dt_status start(int *argc, char ***argv, const dt_options *options, dt_watchdog **watchdog,
                       dt_comm **comm) {
    if (options->command & (DT_CMD_TRAIN | DT_CMD_SWEEP | DT_CMD_SERVE)) /* they end well */
        dt_signals_install();
    if (is_watched(options))
        DT_TRY(dt_watchdog_open(options->stall_timeout, launcher_rank(), watchdog));
    return dt_comm_create(argc, argv, comm);
}

static dt_status run_watched(dt_options *options, dt_watchdog **watchdog, dt_comm *comm) {
    if (is_watched(options))
        DT_TRY(dt_watchdog_connect(watchdog, comm));
    dt_status status = run_command(options, comm);
    dt_progress_phase(DT_PHASE_END);
    return status;
}

static dt_status run_all(dt_options *options, dt_watchdog **watchdog, dt_comm *comm) {
    dt_status status = run_watched(options, watchdog, comm);
    if (status != DT_OK && status != DT_ESTOPPED)
        report(comm, status);
    return status;
}

/* Wrong use is the same everywhere, and rank 0 tells: whoever ended sooner would make the launcher
 * end rank 0 before that. The launcher that ends this rank, as rank 0 is done, gets the same code:
 * srun returns the highest of all. */
static void let_first_tell(void) {
    const struct timespec most = {.tv_sec = 2};
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    (void)sigtimedwait(&end, NULL, &most);
}

int main(int argc, char **argv) {
    static dt_options options;
    dt_comm *comm = NULL;
    dt_watchdog *watchdog = NULL;
    bool first = launcher_rank() == 0;
    dt_status status = dt_options_parse(argc, argv, &options);
    if (status == DT_OK && options.action != DT_ACTION_RUN)
        status = first ? print_text(&options) : DT_OK;
    else if (status == DT_OK)
        status = start(&argc, &argv, &options, &watchdog, &comm);
    if (!comm) {
        if (status == DT_EUSAGE && !first)
            let_first_tell();
        else if (status != DT_OK)
            dt_log_error();
        return (int)status;
    }
    dt_log_identity(dt_comm_rank(comm), dt_comm_size(comm), dt_comm_host(comm, dt_comm_rank(comm)));
    status = dt_build_agree(comm);
    if (status != DT_OK && dt_comm_rank(comm) == 0)
        dt_log_error();
    else if (status == DT_OK)
        status = run_all(&options, &watchdog, comm);
    dt_comm_free(&comm);
    dt_watchdog_close(&watchdog);
    return (int)status;
}
