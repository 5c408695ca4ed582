/* launch/report.c - `dtrain report`: which files, which parts, which page. */
#include "launch/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* path becomes name within it if it is a directory. */
static dt_status file_of(const char *subject, char path[DT_PATH_MAX], bool *is_sweep) {
    struct stat st;
    bool is_dir = stat(subject, &st) == 0 && S_ISDIR(st.st_mode);
    if (!is_dir) {
        const char *base = strrchr(subject, '/');
        *is_sweep = strstr(base ? base : subject, "sweep") != NULL;
        snprintf(path, DT_PATH_MAX, "%s", subject);
        return DT_OK;
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
    DT_TRY_GOTO(status, status, done);
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

dt_status dt_report(const dt_options *options, const dt_backend *backend, dt_comm *comm) {
    char path[DT_PATH_MAX];
    bool is_sweep;
    (void)backend;
    if (dt_comm_size(comm) > 1)
        return dt_fail(DT_EUSAGE,
                       "report is for one process, this job has %d: run it without mpirun",
                       dt_comm_size(comm));
    DT_TRY(file_of(options->subjects, path, &is_sweep));
    if (!is_sweep)
        return dt_fail(DT_EUSAGE, "%s is no sweep file", path);
    if (options->subjects[strlen(options->subjects) + 1])
        return dt_fail(DT_EUSAGE, "%s is a sweep: it is reported alone", path);
    return report_sweep(options, path);
}
