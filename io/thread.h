/* io/thread.h - a thread that no signal is delivered to: those are for launch/signals.c alone. */
#ifndef DT_IO_THREAD_H
#define DT_IO_THREAD_H

#include <pthread.h>
#include <signal.h>

/* 0, or why not: an errno. */
static inline int dt_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

#endif
