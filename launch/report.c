/* launch/report.c - `dtrain report`: which files, which parts, which page. */
#include "launch/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "launch/predict.h"

/* path becomes name within it if it is a directory. */
static dt_status file_of(const char *subject, char path[DT_PATH_MAX], bool *is_sweep) {
    struct stat st;
    bool is_dir = stat(subject, &st) == 0 && S_ISDIR(st.st_mode);
    if (!is_dir) {
        snprintf(path, DT_PATH_MAX, "%s", subject);
        return dt_sweep_is(path, is_sweep);
    }
    DT_TRY(dt_path_join(path, subject, "sweep.h5"));
    *is_sweep = dt_path_exists(path);
    return *is_sweep ? DT_OK : dt_path_join(path, subject, "run.h5");
}

/* Where the page goes: --out, or "report" beside the file. */
static dt_status place_of(const dt_options *options, const char *path, char dir[DT_PATH_MAX]) {
    char beside[DT_PATH_MAX];
    if (options->report[0]) {
        snprintf(dir, DT_PATH_MAX, "%s", options->report);
        return DT_OK;
    }
    snprintf(beside, sizeof beside, "%s", path);
    char *slash = strrchr(beside, '/');
    if (slash)
        *slash = '\0';
    return dt_path_join(dir, slash ? beside : ".", "report");
}

enum { SUBJECTS_MAX = 16, LABEL_CHARS = 30, LABEL_MAX = 4 * LABEL_CHARS + 16 };

/* How a run or a sweep is called: the end of a long path, whole characters of it; with its number
 * where two would be called the same. */
static void label_of(const char *subject, char label[LABEL_MAX]) {
    size_t n = 0;
    const char *at = subject;
    for (const char *c = subject; *c; c++)
        n += (*c & 0xc0) != 0x80;
    for (size_t skip = n > LABEL_CHARS ? n - LABEL_CHARS + 1 : 0; skip > 0 || (*at & 0xc0) == 0x80;
         at++)
        skip -= (*at & 0xc0) != 0x80 && skip > 0;
    snprintf(label, LABEL_MAX, "%s%.*s", at == subject ? "" : "\xe2\x80\xa6", 4 * LABEL_CHARS, at);
}

static void number_labels(char (*label)[LABEL_MAX], int n) {
    bool same[SUBJECTS_MAX] = {0};
    char text[LABEL_MAX];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            same[i] = same[i] || (i != j && strcmp(label[i], label[j]) == 0);
    for (int i = 0; i < n; i++)
        if (same[i]) {
            snprintf(text, sizeof text, "%d: %.*s", i + 1, LABEL_MAX - 8, label[i]);
            memcpy(label[i], text, sizeof text);
        }
}

static int count_subjects(const dt_options *options) {
    int n = 0;
    for (const char *at = options->subjects; *at; at += strlen(at) + 1)
        n++;
    return n;
}

typedef struct {
    dt_run *run[SUBJECTS_MAX];     /* [n] NULL: a sweep */
    dt_sweep *sweep[SUBJECTS_MAX]; /* [n] NULL: a run */
    char label[SUBJECTS_MAX][LABEL_MAX];
    char path[DT_PATH_MAX]; /* of the first */
    int n, n_sweeps;
} subjects;

static dt_status read_subject(const char *subject, subjects *all) {
    char path[DT_PATH_MAX];
    bool is_sweep;
    int i = all->n;
    DT_TRY(file_of(subject, path, &is_sweep));
    if (i == 0)
        memcpy(all->path, path, sizeof path);
    label_of(subject, all->label[i]);
    if (is_sweep) {
        DT_TRY(dt_sweep_read(path, &all->sweep[i]));
        all->n_sweeps++;
    } else {
        DT_TRY(dt_run_read(path, &all->run[i]));
    }
    all->n++;
    if (is_sweep && all->sweep[i]->n == 0)
        return dt_fail(DT_EUSAGE, "%s has no cells yet: there is nothing to report", path);
    if (!is_sweep && all->run[i]->epochs.n == 0)
        return dt_fail(DT_EUSAGE, "%s has no epochs yet: there is nothing to report", path);
    return DT_OK;
}

static dt_status read_all(const dt_options *options, subjects *all) {
    for (const char *at = options->subjects; *at; at += strlen(at) + 1)
        DT_TRY(read_subject(at, all));
    number_labels(all->label, all->n);
    return DT_OK;
}

static void title_of(const subjects *all, char *title, size_t nbytes) {
    if (all->n == 1 && all->n_sweeps == 1)
        snprintf(title, nbytes, "What more data and more devices buy: %s",
                 all->sweep[0]->data ? all->sweep[0]->data : "");
    else
        snprintf(title, nbytes, "%s",
                 all->n_sweeps == all->n ? "Sweeps of dtrain"
                 : all->n_sweeps         ? "Sweeps and runs of dtrain"
                 : all->n > 1            ? "Runs of dtrain"
                                         : "A run of dtrain");
}

/* Each sweep is a part of its own, before the runs. */
static void draw_sweeps(dt_page *page, const subjects *all) {
    char id[32];
    for (int i = 0, number = 1; i < all->n; i++) {
        if (!all->sweep[i])
            continue;
        snprintf(id, sizeof id, "sweep-%d", number++);
        if (all->n > 1)
            dt_page_part(page, id, all->label[i]);
        dt_report_data(page, all->sweep[i]);
        dt_report_scaling(page, all->sweep[i]);
        dt_report_sweep_origin(page, all->sweep[i]);
    }
}

/* Runs are laid over each other. */
static void draw_runs(dt_page *page, const subjects *all) {
    const dt_run *runs[SUBJECTS_MAX];
    const char *names[SUBJECTS_MAX];
    int n = 0;
    for (int i = 0; i < all->n; i++)
        if (all->run[i]) {
            runs[n] = all->run[i];
            names[n++] = all->label[i];
        }
    if (n && all->n_sweeps)
        dt_page_part(page, "runs", n > 1 ? "Runs" : "The run");
    if (n)
        dt_report_runs(page, runs, names, n);
}

static dt_status draw(const dt_options *options, const subjects *all) {
    char dir[DT_PATH_MAX], title[256];
    dt_page *page;
    DT_TRY(place_of(options, all->path, dir));
    title_of(all, title, sizeof title);
    DT_TRY(dt_page_open(dir, title, options->quiet, &page));
    draw_sweeps(page, all);
    draw_runs(page, all);
    DT_TRY(dt_page_close(&page));
    if (!options->quiet)
        printf("\n%s/index.html\n", dir);
    return DT_OK;
}

dt_status dt_report(const dt_options *options, dt_comm *comm) {
    int n = count_subjects(options);
    DT_TRY(dt_alone("report", comm));
    if (n > SUBJECTS_MAX)
        return dt_fail(DT_EUSAGE, "report takes up to %d runs and sweeps, these are %d",
                       SUBJECTS_MAX, n);
    subjects *all = calloc(1, sizeof *all);
    if (!all)
        return dt_fail(DT_EDEVICE, "no memory for a report");
    dt_status status = read_all(options, all);
    if (status == DT_OK)
        status = draw(options, all);
    for (int i = 0; i < SUBJECTS_MAX; i++) {
        dt_run_free(&all->run[i]);
        dt_sweep_free(&all->sweep[i]);
    }
    free(all);
    return status;
}
