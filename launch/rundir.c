/* launch/rundir.c - which directory a run writes to.
 *
 * A run never writes over another: a directory that holds one is refused unless it is to be
 * resumed. That the directory can be written to is tried at once: better no run than one whose
 * result is lost.
 *
 * Two runs in one directory would write over each other's temporary files, so a run holds a lock on
 * its log.jsonl. The system takes it back from a run that dies. Where the file system knows no
 * locks there is none. */
#include "launch/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char runs[] = "runs";

dt_status dt_rundir_make(const char *root, char dir[DT_PATH_MAX]) {
    char stamp[32], latest[DT_PATH_MAX];
    time_t now = time(NULL);
    struct tm local;
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    DT_TRY(dt_mkdirs(root));
    DT_TRY(dt_path_join(latest, root, "latest"));
    for (int i = 1; i < 100; i++) {
        snprintf(dir, DT_PATH_MAX, i == 1 ? "%s/%s" : "%s/%s-%d", root, stamp, i);
        if (mkdir(dir, 0777) == 0)
            return dt_link_replace(dir + strlen(root) + 1, latest);
        if (errno != EEXIST)
            break;
    }
    return dt_fail(DT_EIO, "cannot make the directory %s: %s", dir, strerror(errno));
}

void dt_rundir_latest(const char *root, char dir[DT_PATH_MAX]) {
    char target[DT_PATH_MAX], latest[DT_PATH_MAX];
    dir[0] = 0;
    if (dt_path_join(latest, root, "latest") != DT_OK)
        return;
    ssize_t n = readlink(latest, target, sizeof target - 1);
    if (n <= 0 || !dt_path_exists(latest))
        return;
    target[n] = 0;
    if (target[0] == '/')
        memcpy(dir, target, (size_t)n + 1);
    else if (dt_path_join(dir, root, target) != DT_OK)
        dir[0] = 0;
}

static dt_status refuse(const char *dir, const char *sign) {
    return dt_fail(
        DT_EUSAGE,
        "%s holds a run already (%s): go on with it by --resume, or choose another --out", dir,
        sign);
}

static dt_status refuse_used(const char *dir) {
    DIR *d = opendir(dir);
    dt_status status = DT_OK;
    if (!d) /* not there yet; or not to be read: then it is tried by writing */
        return DT_OK;
    for (struct dirent *entry; status == DT_OK && (entry = readdir(d)) != NULL;)
        if (strcmp(entry->d_name, "run.h5") == 0 || strcmp(entry->d_name, "latest.h5") == 0 ||
            fnmatch("checkpoint-*.h5", entry->d_name, 0) == 0)
            status = refuse(dir, entry->d_name);
    closedir(d);
    return status;
}

/* Room for the longest name of a file in dir. */
static dt_status check_length(const char *dir) {
    char path[DT_PATH_MAX];
    return dt_path_join(path, dir, "checkpoint-9223372036854775807.h5.tmp");
}

/* Lock the file at path through *claim; false if another process has the lock. A descriptor that
 * only reads does not keep the file system from being remounted read-only; NFS wants one that
 * writes. */
static bool try_lock(const char *path, int *claim) {
    static const int modes[] = {O_RDONLY, O_RDWR};
    int why = 0;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        *claim = open(path, modes[i] | O_CLOEXEC);
        why = *claim < 0 || flock(*claim, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (why != EBADF && why != EWOULDBLOCK)
            return true; /* locked, or without locks */
        close(*claim);
    }
    *claim = -1;
    return why != EWOULDBLOCK;
}

dt_status dt_rundir_claim(const char *dir, int *claim) {
    enum { TURNS = 50, TURN_MICROSECONDS = 100000 }; /* one that was killed may not be gone yet */
    char path[DT_PATH_MAX];
    DT_TRY(dt_path_join(path, dir, "log.jsonl"));
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot write to the run directory: %s: %s", path, strerror(errno));
    close(fd);
    for (int i = 0; i < TURNS; i++) {
        if (try_lock(path, claim))
            return DT_OK;
        usleep(TURN_MICROSECONDS);
    }
    return dt_fail(DT_EUSAGE,
                   "another run is writing to %s: wait for its end, or choose another --out", dir);
}

dt_status dt_rundir_choose(const dt_options *options, char dir[DT_PATH_MAX], int *claim) {
    *claim = -1;
    snprintf(dir, DT_PATH_MAX, "%s", options->out);
    if (!dir[0] && options->resume)
        dt_rundir_latest(runs, dir);
    if (!dir[0])
        DT_TRY(dt_rundir_make(runs, dir));
    else if (!options->resume)
        DT_TRY(refuse_used(dir));
    DT_TRY(check_length(dir));
    DT_TRY(dt_mkdirs(dir));
    dt_status status = dt_rundir_claim(dir, claim);
    if (status == DT_OK && !options->resume) /* again: it may have been another's until now */
        status = refuse_used(dir);
    if (status != DT_OK)
        dt_rundir_release(claim);
    return status;
}

void dt_rundir_release(int *claim) {
    if (*claim >= 0)
        close(*claim);
    *claim = -1;
}
