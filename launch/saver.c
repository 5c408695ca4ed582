/* launch/saver.c - the thread that writes HDF5 files. See saver.h. */
#include "launch/saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"
#include "io/progress.h"
#include "io/thread.h"

struct dt_saver {
    char dir[DT_PATH_MAX];
    int keep;
    pthread_t thread;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    bool is_busy, is_over;
    dt_checkpoint *checkpoint; /* the job: the thread's alone while is_busy */
    bool is_best;
    dt_run *run;
    int64_t best_step; /* of the last best checkpoint that was written; -1: none */
    dt_saver_report report;
};

/* -- The thread's side ----------------------------------------------------------------------- */

static void note_failure(dt_saver *w) {
    dt_warn("%s; training goes on", dt_error());
    pthread_mutex_lock(&w->lock);
    if (w->report.failures++ == 0)
        dt_error_copy(w->report.error);
    pthread_mutex_unlock(&w->lock);
}

/* Let the link lead to the checkpoint of step, if that is there; nothing is done if it does. */
static dt_status set_link(const dt_saver *w, int64_t step, const char *name) {
    char path[DT_PATH_MAX], link[DT_PATH_MAX], there[DT_PATH_MAX];
    if (step < 0)
        return DT_OK;
    DT_TRY(dt_checkpoint_path(path, w->dir, step));
    DT_TRY(dt_path_join(link, w->dir, name));
    const char *target = strrchr(path, '/') + 1;
    ssize_t n = readlink(link, there, sizeof there - 1);
    there[n > 0 ? n : 0] = 0;
    if (!dt_path_exists(path) || strcmp(there, target) == 0)
        return DT_OK;
    return dt_link_replace(target, link);
}

/* The file first, then the links, then the pruning: at any moment latest.h5 is whole, and the best
 * checkpoint is not removed before its link is set, should that have failed once. */
static dt_status write_checkpoint(dt_saver *w) {
    char path[DT_PATH_MAX];
    int64_t step = w->checkpoint->step;
    DT_TRY(dt_checkpoint_path(path, w->dir, step));
    DT_TRY(dt_checkpoint_write(path, w->checkpoint));
    if (w->is_best)
        w->best_step = step;
    DT_TRY(set_link(w, step, "latest.h5"));
    pthread_mutex_lock(&w->lock);
    w->report.saved_step = step;
    pthread_mutex_unlock(&w->lock);
    DT_TRY(set_link(w, w->best_step, "best.h5"));
    dt_checkpoint_prune(w->dir, step, w->keep);
    return DT_OK;
}

static dt_status write_run(dt_saver *w) {
    char path[DT_PATH_MAX];
    DT_TRY(dt_path_join(path, w->dir, "run.h5"));
    return dt_run_write(path, w->run);
}

/* The digest of the state that the record tells of is known here alone. */
static dt_status name_parameters(dt_saver *w) {
    return dt_run_set_text(w->run, "params_sha256", w->checkpoint->params_sha256);
}

static void write_job(dt_saver *w) {
    if (w->checkpoint && write_checkpoint(w) != DT_OK)
        note_failure(w);
    if (w->checkpoint && w->run && name_parameters(w) != DT_OK)
        note_failure(w);
    if (w->run && write_run(w) != DT_OK)
        note_failure(w);
    dt_checkpoint_free(&w->checkpoint);
    w->run = NULL;
}

static void *saver_main(void *arg) {
    dt_saver *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->is_over || w->is_busy) {
        if (!w->is_busy) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        dt_progress_writer(true);
        write_job(w);
        dt_progress_writer(false);
        pthread_mutex_lock(&w->lock);
        w->is_busy = false;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* -- The trainer's side ---------------------------------------------------------------------- */

dt_status dt_saver_open(const char *dir, int keep, dt_saver **out) {
    *out = NULL;
    dt_saver *w = calloc(1, sizeof *w);
    if (!w)
        return dt_fail(DT_EDEVICE, "no memory for the writer of %s", dir);
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    w->keep = keep;
    w->report.saved_step = -1;
    w->best_step = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int failed = dt_thread_start(&w->thread, saver_main, w);
    if (failed) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return dt_fail(DT_EDEVICE, "no thread to write to %s: %s", dir, strerror(failed));
    }
    *out = w;
    return DT_OK;
}

void dt_saver_tidy(dt_saver *w, int64_t step, int64_t best_step) {
    static const char *const names[] = {"run.h5.tmp", "latest.h5.tmp", "best.h5.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[DT_PATH_MAX];
        if (dt_path_join(path, w->dir, names[i]) == DT_OK && unlink(path) != 0 && errno != ENOENT)
            dt_warn("cannot remove %s: %s", path, strerror(errno));
    }
    w->best_step = best_step;
    /* a crash between a checkpoint's rename and the links leaves them behind it */
    if (set_link(w, step, "latest.h5") != DT_OK)
        note_failure(w);
    if (set_link(w, best_step, "best.h5") != DT_OK)
        note_failure(w);
    dt_checkpoint_prune(w->dir, step, w->keep);
}

static void wait_idle(dt_saver *w) {
    while (w->is_busy)
        pthread_cond_wait(&w->changed, &w->lock);
}

void dt_saver_wait(dt_saver *w) {
    pthread_mutex_lock(&w->lock);
    wait_idle(w);
    pthread_mutex_unlock(&w->lock);
}

void dt_saver_submit(dt_saver *w, dt_checkpoint **checkpoint, bool is_best, dt_run *run) {
    pthread_mutex_lock(&w->lock);
    wait_idle(w);
    w->checkpoint = checkpoint ? *checkpoint : NULL;
    w->is_best = is_best;
    w->run = run;
    w->is_busy = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (checkpoint)
        *checkpoint = NULL;
}

dt_saver_report dt_saver_result(dt_saver *w) {
    pthread_mutex_lock(&w->lock);
    wait_idle(w);
    dt_saver_report report = w->report;
    pthread_mutex_unlock(&w->lock);
    return report;
}

void dt_saver_close(dt_saver **saver) {
    dt_saver *w = *saver;
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_over = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *saver = NULL;
}
