/* launch/rundir.c - which directory a run writes to.
 *
 * A run never writes over another: a directory that holds one is refused unless it is to be
 * resumed. That the directory can be written to is tried at once: better no run than one whose
 * result is lost. */
#include "launch/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char runs[] = "runs", latest[] = "runs/latest";

/* A directory of our own under runs/: the second run of a second gets another name. */
static dt_status make_dated(char dir[DT_PATH_MAX]) {
    char stamp[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    DT_TRY(dt_mkdirs(runs));
    for (int i = 1; i < 100; i++) {
        snprintf(dir, DT_PATH_MAX, i == 1 ? "%s/%s" : "%s/%s-%d", runs, stamp, i);
        if (mkdir(dir, 0777) == 0)
            return dt_link_replace(dir + sizeof runs, latest);
        if (errno != EEXIST)
            break;
    }
    return dt_fail(DT_EIO, "cannot make the run directory %s: %s", dir, strerror(errno));
}

/* What runs/latest links to, so that a run that starts meanwhile does not move the ground; "" if
 * nothing. */
static void read_latest(char dir[DT_PATH_MAX]) {
    char target[DT_PATH_MAX - sizeof runs];
    ssize_t n = readlink(latest, target, sizeof target - 1);
    dir[0] = 0;
    if (n > 0 && dt_path_exists(latest)) {
        target[n] = 0;
        snprintf(dir, DT_PATH_MAX, target[0] == '/' ? "%.0s%s" : "%s/%s", runs, target);
    }
}

static dt_status refuse_used(const char *dir) {
    static const char *const signs[] = {"run.h5", "latest.h5"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        char path[DT_PATH_MAX];
        DT_TRY(dt_path_join(path, dir, signs[i]));
        if (dt_path_exists(path))
            return dt_fail(DT_EUSAGE,
                           "%s holds a run already (%s): go on with it by --resume, or choose "
                           "another --out",
                           dir, path);
    }
    return DT_OK;
}

static dt_status probe(const char *dir) {
    char path[DT_PATH_MAX];
    DT_TRY(dt_path_join(path, dir, "log.jsonl"));
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot write to the run directory: %s: %s", path, strerror(errno));
    close(fd);
    return DT_OK;
}

dt_status dt_rundir_choose(const dt_options *options, char dir[DT_PATH_MAX]) {
    snprintf(dir, DT_PATH_MAX, "%s", options->out);
    if (!dir[0] && options->resume)
        read_latest(dir);
    if (!dir[0])
        DT_TRY(make_dated(dir));
    else if (!options->resume)
        DT_TRY(refuse_used(dir));
    DT_TRY(dt_mkdirs(dir));
    return probe(dir);
}
