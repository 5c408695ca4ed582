/* tests/stall_shim.c - a rank that stops, for tests/cli_stall.sh and the fault campaign. LD_PRELOAD
 * it.
 *
 * In the process of rank STALL_RANK (OMPI_COMM_WORLD_RANK; "0" without a launcher) a thread waits
 * until the watchdog sees all ranks and the program is in phase number STALL_PHASE
 * (io/progress.h), STALL_MS more, and sends this process SIGSTOP.
 * With STALL_MEETING set it stops when it could see the others, and was not seen by them yet; 2:
 * before the first exchange from then on.
 * With STALL_FSYNC=k the k-th fsync of that rank never returns instead; with STALL_FINALIZE set it
 * stops when MPI_Finalize is over, as the others go on to leave.
 * With STALL_NO_MEMFD set no memory can be shared by the watchers, on any rank. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/progress.h"

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text && text[0] ? atoi(text) : otherwise;
}

static int is_chosen(void) {
    return number("STALL_RANK", -1) == number("OMPI_COMM_WORLD_RANK", 0);
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 100000},
              NULL);
}

/* Has the watcher of this process met the others? Their board is mapped then. */
static int is_watched(void) {
    char line[512];
    int found = number("STALL_NO_MEMFD", 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, "dtrain-watchdog") != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static void *wait_for_phase(void *arg) {
    dt_progress (*now)(void);
    *(void **)&now = dlsym(RTLD_DEFAULT, "dt_progress_now");
    while (now && !is_watched())
        nap_ms(0);
    while (now && (int)now().phase != number("STALL_PHASE", -1))
        nap_ms(0);
    nap_ms(number("STALL_MS", 0));
    if (now)
        kill(getpid(), SIGSTOP);
    return arg;
}

__attribute__((constructor)) static void start(void) {
    pthread_t thread;
    sigset_t all, before;
    if (!is_chosen() || !getenv("STALL_PHASE"))
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, wait_for_phase, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int fsync(int fd) {
    static atomic_int n_calls;
    int k = number("STALL_FSYNC", 0);
    if (k > 0 && is_chosen() && ++n_calls == k)
        for (;;)
            pause();
    (void)fd;
    return 0; /* the machine stays up, and its disk is no part of the test */
}

int MPI_Allgather(const void *mine, int n, void *type, void *all, int m, void *other, void *comm) {
    int (*real)(const void *, int, void *, void *, int, void *, void *);
    *(void **)&real = dlsym(RTLD_NEXT, "MPI_Allgather");
    if (is_chosen() && number("STALL_MEETING", 0) == 2 && is_watched())
        raise(SIGSTOP);
    int code = real(mine, n, type, all, m, other, comm);
    if (is_chosen() && getenv("STALL_MEETING") && is_watched())
        kill(getpid(), SIGSTOP);
    return code;
}

int MPI_Finalize(void) {
    int (*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "MPI_Finalize");
    int code = real();
    if (is_chosen() && getenv("STALL_FINALIZE"))
        kill(getpid(), SIGSTOP);
    return code;
}

int memfd_create(const char *name, unsigned flags) {
    if (getenv("STALL_NO_MEMFD") && strcmp(name, "dtrain-watchdog") == 0) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_memfd_create, name, flags);
}
