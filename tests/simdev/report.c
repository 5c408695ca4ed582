/* tests/simdev/report.c - misuse, leaks and planned failures; the process's last word.
 *
 * Whatever was found, the process ends with exit code 86, so that no test can overlook it. Settings
 * come from the environment (README.md). */
#include "sim.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN = 20, KINDS = 32, MAX_PLANS = 4, EXIT_MISUSE = 86 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int violations;
static struct {
    const char *kind;
    int n;
} counts[KINDS];

long sim_setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

void sim_violation(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (__atomic_add_fetch(&violations, 1, __ATOMIC_SEQ_CST) <= SHOWN)
        fprintf(stderr, "simdev[%d]: VIOLATION: %s\n", (int)getpid(), text);
}

void sim_count(const char *kind, int delta) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < KINDS; i++) {
        if (!counts[i].kind)
            counts[i].kind = kind;
        if (!strcmp(counts[i].kind, kind)) {
            counts[i].n += delta;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

/* This process's number, from what launchers set. */
static long rank_of_process(void) {
    const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return sim_setting(names[i], 0);
    return 0;
}

static struct {
    char function[64];
    long at, on_rank, seen;
} plans[MAX_PLANS];
static int n_plans = -1; /* not read yet */

static void read_plans(void) {
    const char *text = getenv("SIMDEV_FAIL");
    n_plans = 0;
    while (text && *text && n_plans < MAX_PLANS) {
        plans[n_plans].on_rank = -1;
        if (sscanf(text, "%63[^:]:%ld@%ld", plans[n_plans].function, &plans[n_plans].at,
                   &plans[n_plans].on_rank) < 2) {
            fprintf(stderr, "simdev: SIMDEV_FAIL=%s: function:n or function:n@rank expected\n",
                    text);
            return;
        }
        n_plans++;
        text = strchr(text, ',');
        text = text ? text + 1 : NULL;
    }
}

bool sim_fails(const char *function) {
    long hit = 0;
    pthread_mutex_lock(&lock);
    if (n_plans < 0)
        read_plans();
    for (int i = 0; i < n_plans; i++)
        if (!strcmp(function, plans[i].function) &&
            (plans[i].on_rank < 0 || plans[i].on_rank == rank_of_process()) &&
            ++plans[i].seen == plans[i].at)
            hit = plans[i].at;
    pthread_mutex_unlock(&lock);
    if (hit)
        fprintf(stderr, "simdev[%d]: call %ld of %s fails, as asked\n", (int)getpid(), hit,
                function);
    return hit != 0;
}

void sim_at_exit(void) {
    int leaks = 0;
    fflush(stdout);
    sim_memory_leaks(&leaks);
    sim_queue_leaks(&leaks);
    for (int i = 0; i < KINDS && counts[i].kind; i++) {
        if (!counts[i].n)
            continue;
        leaks++;
        fprintf(stderr, "simdev[%d]: LEAK: %d x %s\n", (int)getpid(), counts[i].n, counts[i].kind);
    }
    if (violations || leaks) {
        fprintf(stderr, "simdev[%d]: %d violations, %d leaks\n", (int)getpid(), violations, leaks);
        fflush(NULL);
        _exit(EXIT_MISUSE);
    }
}
