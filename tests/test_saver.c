/* tests/test_saver.c - the writer thread: training goes on while it writes, who comes next waits, a
 * write that fails is told and leaves what was there. */
#include "t.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "io/checkpoint.h"
#include "io/log.h"
#include "launch/saver.h"

enum { SMALL = 100, LARGE = 8000000 }; /* parameters; the large one takes a moment to write */

static char dir[DT_PATH_MAX];

static const char *in_dir(const char *name) {
    static char path[DT_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static dt_checkpoint *make_checkpoint(int64_t step, size_t n) {
    dt_checkpoint *c = calloc(1, sizeof *c);
    c->model = strdup("fc 10");
    c->config = strdup("{}");
    c->fingerprint = strdup("test");
    c->data_name = strdup("none");
    c->input_shape[0] = c->input_shape[1] = 1;
    c->input_shape[2] = (int)(n / 10);
    c->classes = 10;
    c->mean = 0.1;
    c->std = 0.3;
    c->step = step;
    c->best_step = -1;
    strcpy(c->best_kind, "test");
    for (int f = 0; f < 4; f++)
        memset(c->data_sha256[f], 'a', DT_SHA256_HEX - 1);
    c->tensors = calloc(1, sizeof *c->tensors);
    c->n_tensors = 1;
    strcpy(c->tensors[0].name, "fc1/weight");
    c->tensors[0].n_dims = 2;
    c->tensors[0].dims[0] = 10;
    c->tensors[0].dims[1] = (int64_t)(n / 10);
    c->tensors[0].n = n;
    c->n_params = n;
    c->params = malloc(n * sizeof *c->params);
    for (size_t i = 0; i < n; i++)
        c->params[i] = (float)step + (float)(i % 1000);
    return c;
}

/* Whole, and of this step? */
static int holds(const char *name, int64_t step) {
    dt_checkpoint *c = NULL;
    dt_status status = dt_checkpoint_read(in_dir(name), &c);
    int ok = status == DT_OK && c->step == step && c->params[7] == (float)step + 7.0f;
    if (status != DT_OK)
        fprintf(stderr, "    %s\n", dt_error());
    dt_checkpoint_free(&c);
    return ok;
}

static int is_there(const char *name) {
    return dt_path_exists(in_dir(name));
}

static void test_files_and_links(void) {
    dt_saver *saver = NULL;
    dt_run *run = NULL;
    T_OK(dt_saver_open(dir, 2, &saver));
    T_OK(dt_run_create(1, 10, &run));
    for (int64_t step = 1; step <= 4; step++) {
        dt_checkpoint *c = make_checkpoint(step, SMALL);
        dt_saver_submit(saver, &c, step == 1, step == 2 ? run : NULL);
        T_CHECK(c == NULL);
    }
    dt_saver_report report = dt_saver_result(saver);
    T_CHECK(report.failures == 0 && report.saved_step == 4);
    T_CHECK(holds("latest.h5", 4) && holds("best.h5", 1) && holds("checkpoint-3.h5", 3));
    T_CHECK(!is_there("checkpoint-2.h5")); /* the newest two, and the best */
    T_CHECK(is_there("run.h5"));
    dt_saver_close(&saver);
    T_CHECK(saver == NULL);
    dt_run_free(&run);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_newer_waits(void) {
    dt_saver *saver = NULL;
    T_OK(dt_saver_open(dir, 5, &saver));
    dt_checkpoint *first = make_checkpoint(10, LARGE), *second = make_checkpoint(11, SMALL);
    double start = seconds();
    dt_saver_submit(saver, &first, false, NULL);
    double handed_over = seconds() - start;
    T_CHECK(!is_there("checkpoint-10.h5")); /* training goes on meanwhile */
    dt_saver_submit(saver, &second, false, NULL);
    double waited = seconds() - start;
    T_CHECK(is_there("checkpoint-10.h5"));
    T_CHECK(handed_over < waited);
    dt_saver_wait(saver);
    T_CHECK(holds("latest.h5", 11) && holds("checkpoint-10.h5", 10));
    dt_saver_close(&saver);
}

/* The directory is away for a while. */
static void test_failures(void) {
    char away[DT_PATH_MAX + 64];
    snprintf(away, sizeof away, "%s.away", dir);
    dt_saver *saver = NULL;
    dt_run *run = NULL;
    T_OK(dt_saver_open(dir, 5, &saver));
    T_OK(dt_run_create(1, 10, &run));
    dt_checkpoint *c = make_checkpoint(20, SMALL);
    dt_saver_submit(saver, &c, true, run);
    dt_saver_wait(saver);
    T_CHECK(rename(dir, away) == 0);
    c = make_checkpoint(21, SMALL);
    dt_saver_submit(saver, &c, true, run);
    T_CHECK(c == NULL); /* taken over all the same */
    dt_saver_report report = dt_saver_result(saver);
    T_CHECK(report.failures == 2 && report.saved_step == 20);
    T_CHECK(strstr(report.error, "checkpoint-21.h5") != NULL);
    T_CHECK(rename(away, dir) == 0);
    T_CHECK(holds("latest.h5", 20) && holds("best.h5", 20));
    c = make_checkpoint(22, SMALL);
    dt_saver_submit(saver, &c, false, NULL);
    report = dt_saver_result(saver);
    T_CHECK(report.failures == 2 && report.saved_step == 22);
    T_CHECK(holds("latest.h5", 22) && holds("best.h5", 20));
    dt_saver_close(&saver);
    dt_run_free(&run);
}

static void make(const char *target, const char *name) {
    T_CHECK(target ? symlink(target, in_dir(name)) == 0
                   : mknod(in_dir(name), S_IFREG | 0666, 0) == 0);
}

static int links_to(const char *name, const char *target) {
    char there[64] = "";
    return readlink(in_dir(name), there, sizeof there - 1) > 0 && strcmp(there, target) == 0;
}

/* What a run that was killed at the worst moments leaves. */
static void test_tidy(void) {
    dt_saver *saver = NULL;
    T_OK(dt_saver_open(dir, 2, &saver));
    for (int64_t step = 40; step <= 43; step++) {
        dt_checkpoint *c = make_checkpoint(step, SMALL);
        dt_saver_submit(saver, &c, step == 41, NULL);
    }
    dt_saver_close(&saver); /* 41 is the best, 42 and 43 the newest */
    T_CHECK(unlink(in_dir("latest.h5")) == 0 && unlink(in_dir("best.h5")) == 0);
    make("checkpoint-41.h5", "latest.h5");
    make("checkpoint-41.h5", "best.h5");
    make("checkpoint-43.h5", "best.h5.tmp");
    make("checkpoint-43.h5", "latest.h5.tmp");
    make(NULL, "run.h5.tmp");
    make(NULL, "checkpoint-44.h5.tmp");
    make(NULL, "checkpoint-99.h5"); /* could not be read: stays */
    T_OK(dt_saver_open(dir, 1, &saver));
    dt_saver_tidy(saver, 43, 42);
    T_CHECK(links_to("latest.h5", "checkpoint-43.h5") && links_to("best.h5", "checkpoint-42.h5"));
    T_CHECK(!is_there("checkpoint-41.h5") && is_there("checkpoint-99.h5"));
    T_CHECK(!is_there("run.h5.tmp") && !is_there("checkpoint-44.h5.tmp"));
    struct stat st;
    T_CHECK(lstat(in_dir("best.h5.tmp"), &st) != 0 && lstat(in_dir("latest.h5.tmp"), &st) != 0);
    dt_saver_tidy(saver, 43, 7); /* the best is gone: better the one that is there */
    T_CHECK(links_to("best.h5", "checkpoint-42.h5"));
    dt_saver_tidy(saver, -1, -1);
    T_CHECK(links_to("latest.h5", "checkpoint-43.h5") && is_there("checkpoint-43.h5"));
    T_CHECK(dt_saver_result(saver).failures == 0);
    dt_saver_close(&saver);
    T_CHECK(unlink(in_dir("checkpoint-99.h5")) == 0);
}

/* A link that could not be set is set with the next checkpoint, and until then nothing is pruned.
 */
static void test_late_link(void) {
    dt_saver *saver = NULL;
    T_OK(dt_saver_open(dir, 1, &saver));
    T_CHECK(mkdir(in_dir("best.h5.tmp"), 0777) == 0);
    for (int64_t step = 50; step <= 53; step++) {
        dt_checkpoint *c = make_checkpoint(step, SMALL);
        dt_saver_submit(saver, &c, step == 51, NULL);
        T_CHECK(dt_saver_result(saver).failures == (step == 50 ? 0 : step == 51 ? 1 : 2));
        if (step == 52)
            T_CHECK(rmdir(in_dir("best.h5.tmp")) == 0);
    }
    T_CHECK(dt_saver_result(saver).saved_step == 53);
    T_CHECK(links_to("best.h5", "checkpoint-51.h5") && is_there("checkpoint-51.h5"));
    T_CHECK(!is_there("checkpoint-50.h5") && !is_there("checkpoint-52.h5"));
    dt_saver_close(&saver);
}

/* What was handed over is written even if the trainer leaves at once. */
static void test_close_waits(void) {
    dt_saver *saver = NULL;
    T_OK(dt_saver_open(dir, 5, &saver));
    dt_checkpoint *c = make_checkpoint(30, LARGE);
    dt_saver_submit(saver, &c, false, NULL);
    dt_saver_close(&saver);
    T_CHECK(holds("latest.h5", 30));
    dt_saver_close(&saver); /* NULL is fine */
    T_OK(dt_saver_open(dir, 5, &saver));
    dt_saver_close(&saver); /* nothing was handed over */
}

int main(void) {
    T_BEGIN(60);
    dt_log_identity(0, 1, "here");
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/dtrain-saver.XXXXXX", base ? base : "/tmp");
    T_CHECK(mkdtemp(dir) != NULL);
    test_files_and_links();
    test_newer_waits();
    test_failures();
    test_close_waits();
    test_tidy();
    test_late_link();
    dt_checkpoint_prune(dir, INT64_MAX, 1);
    static const char *const left[] = {"latest.h5", "best.h5", "checkpoint-51.h5",
                                       "checkpoint-53.h5", "run.h5"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        T_CHECK(unlink(in_dir(left[i])) == 0);
    T_CHECK(rmdir(dir) == 0); /* nothing else was left in it */
    return t_finish();
}
