/* ranks: 1 2 3 */
/* tests/mpi_watchdog.c - watchers of several ranks: they meet, live through waits that are longer
 * than the time-out while somebody works, and part without a trace. */
#include "t.h"

#include <dirent.h>
#include <time.h>

#include "dist/comm.h"
#include "dist/watch_judge.h"
#include "dist/watchdog.h"
#include "io/clock.h"
#include "io/progress.h"

static dt_comm *comm;

static void reduce_counts(long counts[2]) {
    int64_t both[2] = {counts[0], counts[1]};
    if (dt_comm_sum_i64(comm, both, 2) != DT_OK)
        both[1]++;
    counts[0] = both[0];
    counts[1] = both[1];
}

static void work(double seconds) {
    double end = dt_now() + seconds;
    while (dt_now() < end) {
        dt_progress_tick();
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static int count_fds(void) {
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

int main(int argc, char **argv) {
    T_BEGIN(60);
    dt_watchdog *watchdog = NULL;
    const double timeout = 2;
    T_OK(dt_watchdog_open(0, 0, &watchdog));
    T_CHECK(watchdog == NULL);
    T_OK(dt_comm_create(&argc, &argv, &comm));
    t_rank = dt_comm_rank(comm);
    t_reduce = reduce_counts;
    int before = count_fds();

    /* rank 0's wish is everybody's: off, then on, even where it was off */
    T_OK(dt_watchdog_open(t_rank == 0 ? 0 : timeout, t_rank, &watchdog));
    T_OK(dt_watchdog_connect(&watchdog, comm));
    T_CHECK(watchdog == NULL);
    T_OK(dt_watchdog_open(t_rank == 0 ? timeout : 0, t_rank, &watchdog));
    T_OK(dt_watchdog_connect(&watchdog, comm));
    T_CHECK(watchdog != NULL);

    dt_progress_phase(DT_PHASE_TRAINING);
    if (t_rank == 0)
        work(dt_comm_size(comm) > 1 ? timeout + 1 : DT_STARTUP_FACTOR * timeout + 1);
    T_OK(dt_comm_barrier(comm));
    dt_progress_output(true); /* as if a reader of stdout paused */
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 500000000}, NULL);
    dt_progress_output(false);
    T_CHECK(!dt_watchdog_is_ending());
    dt_watchdog_close(&watchdog);
    dt_watchdog_close(&watchdog);
    T_CHECK(count_fds() == before);
    int failed = t_finish();
    dt_comm_free(&comm);
    return failed;
}
