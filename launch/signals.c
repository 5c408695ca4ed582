/* launch/signals.c - a signal is a wish: it is noted here, and granted where the ranks next agree.
 *
 * SIGTERM (a batch system's end of time, mpirun's Ctrl-C), SIGINT and SIGUSR1 ask for an early stop
 * with everything saved. A handler runs once: the second signal of a kind has its usual effect, so
 * that a person can always get out. Installed before MPI starts, since a signal may come early; for
 * `train` alone, since nothing else has anything to save. */
#include "launch/trainer.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t pending;

static void note(int number) {
    pending = number;
}

void dt_signals_install(void) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a write that fails, and training goes on */
}

int dt_signals_pending(void) {
    return pending;
}

const char *dt_signal_name(int number) {
    return number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGUSR1";
}
