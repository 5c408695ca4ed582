/* dist/watch_judge.h - who is late? A pure function of what is known of the ranks, and the sentence
 * that says so. */
#ifndef DT_DIST_WATCH_JUDGE_H
#define DT_DIST_WATCH_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include "io/progress.h"

enum { DT_STARTUP_FACTOR = 3 }; /* while starting up a rank may take as many times as long */

typedef struct {
    bool known; /* something was ever heard of it; others are never judged */
    dt_progress at;
    double silent;       /* seconds since its watcher was heard of */
    double quiet;        /* since its main work went on */
    double writer_quiet; /* since its writer went on */
} dt_watch_state;

typedef enum {
    DT_WATCH_FINE,
    DT_WATCH_SILENT, /* its watcher does not run: the process is stopped, or its host is lost */
    DT_WATCH_STUCK,  /* it waits for nobody, and does not go on */
    DT_WATCH_WRITER, /* its writer does not go on */
    DT_WATCH_BEHIND, /* all wait, it in an earlier collective than others */
    DT_WATCH_ALL     /* all wait, and none is behind */
} dt_watch_kind;

typedef struct {
    dt_watch_kind kind;
    int rank;  /* the one that is late, of several the lowest; -1: none */
    int count; /* ranks of which the same is true */
    double seconds;
} dt_watch_verdict;

/* states: [n]. Who waits for others is not late; while any rank is not known, that all wait is not
 * known either. */
dt_watch_verdict dt_watch_judge(const dt_watch_state *states, int n, double timeout);

typedef struct { /* of the late rank */
    const char *host;
    const char *collective;    /* name of its last finished one; NULL: none yet */
    const char *process_state; /* what the system says of it, or "" */
    double timeout;
} dt_watch_details;
/* One sentence: rank, host, phase, step, last finished collective, and what happens now. */
void dt_watch_sentence(const dt_watch_verdict *verdict, const dt_progress *at,
                       const dt_watch_details *details, char *text, size_t nbytes);

#endif
