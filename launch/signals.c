/* launch/signals.c - a signal is a wish: it is noted here, and granted where the ranks next agree.
 *
 * SIGTERM (a batch system's end of time, mpirun's Ctrl-C), SIGINT and SIGUSR1 ask for an early stop
 * with everything saved. The second SIGTERM or SIGINT has its usual effect, so that a person can
 * always get out. Not so SIGUSR1: Slurm sends it to every process of a step, and the launcher among
 * them passes it on to the ranks once more. Installed before MPI starts, since a signal may come
 * early; for those
 * commands alone that have something to save or to close.
 *
 * All threads block these signals, and one waits for them. A handler would run on the stack of
 * whatever thread it interrupts, and oneDNN's generated code for AVX2 does not survive that: now
 * and then a run that was told to stop ended in free() with an invalid pointer. */
#include "launch/trainer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int pending;
static sigset_t wishes;

static void *wait_for_signals(void *unused) {
    bool seen[NSIG] = {false};
    int number;
    while (sigwait(&wishes, &number) == 0) {
        if (seen[number] && number != SIGUSR1) {
            sigset_t one;
            sigemptyset(&one);
            sigaddset(&one, number);
            pthread_sigmask(SIG_UNBLOCK, &one, NULL);
            raise(number);
        }
        seen[number] = true;
        pending = number;
    }
    return unused;
}

void dt_signals_install(void) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    sigemptyset(&wishes);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&wishes, numbers[i]);
        signal(numbers[i], SIG_DFL); /* a shell may have it ignored */
    }
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, &wishes, NULL); /* threads inherit it */
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &wishes, NULL); /* signals end the run without a last save */
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a write that fails, and training goes on */
}

int dt_signals_pending(void) {
    return pending;
}

const char *dt_signal_name(int number) {
    return number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGUSR1";
}
