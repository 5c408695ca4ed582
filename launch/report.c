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

static dt_status report_sweep(const dt_options *options, const char *path) {
    char dir[DT_PATH_MAX], title[256];
    dt_sweep *sweep = NULL;
    dt_page *page = NULL;
    dt_status status;
    DT_TRY(dt_sweep_read(path, &sweep));
    if (sweep->n == 0)
        status = dt_fail(DT_EUSAGE, "%s has no cells yet: there is nothing to report", path);
    else
        status = place_of(options, path, dir);
    if (status != DT_OK)
        goto done;
    snprintf(title, sizeof title, "What more data and more devices buy: %s",
             sweep->data ? sweep->data : "");
    DT_TRY_GOTO(status, dt_page_open(dir, title, options->quiet, &page), done);
    dt_report_data(page, sweep);
    dt_report_scaling(page, sweep);
    dt_report_sweep_origin(page, sweep);
    status = dt_page_close(&page);
    if (status == DT_OK && !options->quiet)
        printf("\n%s/index.html\n", dir);
done:
    dt_sweep_free(&sweep);
    return status;
}

enum { RUNS_MAX = 16, LABEL_CHARS = 30, LABEL_MAX = 4 * LABEL_CHARS + 16 };

/* How a run is called in figures: the end of a long path, whole characters of it; with its number
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
    bool same[RUNS_MAX] = {0};
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

/* Runs laid over each other; first is the file of the first of them. */
static dt_status report_runs(const dt_options *options, const char *first) {
    char dir[DT_PATH_MAX], path[DT_PATH_MAX];
    dt_run *runs[RUNS_MAX] = {0};
    static char labels[RUNS_MAX][LABEL_MAX];
    const char *names[RUNS_MAX], *at = options->subjects;
    dt_page *page = NULL;
    dt_status status = DT_OK;
    int n = 0;
    for (; *at; at += strlen(at) + 1, n++) {
        bool is_sweep;
        DT_TRY_GOTO(status, file_of(at, path, &is_sweep), done);
        if (is_sweep)
            status = dt_fail(DT_EUSAGE, "%s is a sweep: it is reported alone", path);
        if (status != DT_OK)
            goto done;
        DT_TRY_GOTO(status, dt_run_read(path, &runs[n]), done);
        names[n] = labels[n];
        label_of(at, labels[n]);
        if (runs[n]->epochs.n == 0)
            status = dt_fail(DT_EUSAGE, "%s has no epochs yet: there is nothing to report", path);
        if (status != DT_OK)
            goto done;
    }
    number_labels(labels, n);
    DT_TRY_GOTO(status, place_of(options, first, dir), done);
    DT_TRY_GOTO(
        status,
        dt_page_open(dir, n > 1 ? "Runs of dtrain" : "A run of dtrain", options->quiet, &page),
        done);
    dt_report_runs(page, (const dt_run *const *)runs, names, n);
    status = dt_page_close(&page);
    if (status == DT_OK && !options->quiet)
        printf("\n%s/index.html\n", dir);
done:
    for (int i = 0; i < RUNS_MAX; i++)
        dt_run_free(&runs[i]);
    return status;
}

dt_status dt_report(const dt_options *options, dt_comm *comm) {
    char path[DT_PATH_MAX];
    bool is_sweep;
    int n = count_subjects(options);
    DT_TRY(dt_alone("report", comm));
    if (n > RUNS_MAX)
        return dt_fail(DT_EUSAGE, "report takes up to %d runs, these are %d", RUNS_MAX, n);
    DT_TRY(file_of(options->subjects, path, &is_sweep));
    if (!is_sweep)
        return report_runs(options, path);
    if (n > 1)
        return dt_fail(DT_EUSAGE, "%s is a sweep: it is reported alone", path);
    return report_sweep(options, path);
}
