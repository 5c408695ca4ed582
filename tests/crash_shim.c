/* tests/crash_shim.c - a disk that fails, for tests/cli_crash.sh. LD_PRELOAD it.
 *
 * It counts the calls that change files (open for writing, write, fsync, rename, symlink, unlink,
 * mkdir) under paths that hold CRASH_IN and do not hold CRASH_NOT, and at call number CRASH_AT does
 * what CRASH_HOW says:
 *   kill    the process dies before the call
 *   half    a write is half done, then the process dies; other calls as kill
 *   power   the process dies, and what was not fsynced is lost: files are empty, new names are old
 *   EIO ... the call fails with this reason, once; "short" is a write that takes half and then
 *           fails with ENOSPC
 *   EINTR   every first write and fsync of a file is interrupted, whatever CRASH_AT says
 * CRASH_COUNT, if set, is a file that gets the number of calls at the end of the process;
 * CRASH_RENAMED one that gets every name that a rename has set, at once. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TRACKED = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long n_calls;
static int failing_writes; /* "short": the rest of this file's writes */

/* What a power cut would take: files with unsynced bytes, names with an unsynced directory. */
static char dirty[TRACKED][PATH_BYTES];
static char new_name[TRACKED][2][PATH_BYTES]; /* from, to */
static int n_dirty, n_names;

static const char *setting(const char *name) {
    const char *text = getenv(name);
    return text ? text : "";
}

static int is_how(const char *how) {
    return strcmp(setting("CRASH_HOW"), how) == 0;
}

static int is_watched(const char *path) {
    const char *in = setting("CRASH_IN"), *not_in = setting("CRASH_NOT");
    return in[0] && strstr(path, in) && !(not_in[0] && strstr(path, not_in));
}

static int path_of(int fd, char path[PATH_BYTES]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlink, link, path, PATH_BYTES - 1);
    path[n > 0 ? n : 0] = 0;
    return is_watched(path);
}

/* The absolute name, as /proc has it. */
static void full_path(const char *path, char full[PATH_BYTES]) {
    char cwd[PATH_BYTES / 2];
    if (path[0] == '/' || !getcwd(cwd, sizeof cwd))
        snprintf(full, PATH_BYTES, "%s", path);
    else
        snprintf(full, PATH_BYTES, "%s/%.2000s", cwd, path);
}

static void cut_power(void) {
    for (int i = 0; i < n_dirty; i++)
        if (dirty[i][0])
            syscall(SYS_truncate, dirty[i], 0L);
    for (int i = n_names - 1; i >= 0; i--)
        syscall(SYS_rename, new_name[i][1], new_name[i][0]);
}

static void die(void) {
    if (is_how("power"))
        cut_power();
    syscall(SYS_kill, getpid(), SIGKILL);
    pause();
}

static const struct {
    const char *name;
    int number;
} reasons[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}};

/* Counts this call. Its turn: dies, or returns the reason for which it fails; 0: it may be done. */
static int judge(void) {
    if (++n_calls != atol(setting("CRASH_AT")))
        return 0;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (is_how(reasons[i].name))
            return reasons[i].number;
    if (is_how("short"))
        return ENOSPC;
    if (!is_how("EINTR"))
        die();
    return 0;
}

static int fails(int reason) {
    pthread_mutex_unlock(&lock);
    errno = reason;
    return -1;
}

static int done(long result) {
    pthread_mutex_unlock(&lock);
    return (int)result; /* syscall() has set errno */
}

static void tell(const char *file, int flags, const char *format, ...) {
    char text[PATH_BYTES + 8];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int fd = file[0] ? (int)syscall(SYS_open, file, O_WRONLY | O_CREAT | flags, 0644) : -1;
    if (fd < 0)
        return;
    syscall(SYS_write, fd, text, (size_t)n);
    close(fd);
}

static void set_dirty(const char *path) {
    int i = 0;
    while (i < n_dirty && strcmp(dirty[i], path) != 0)
        i++;
    if (i == TRACKED)
        return;
    n_dirty += i == n_dirty;
    snprintf(dirty[i], PATH_BYTES, "%s", path);
}

static void set_clean(const char *path) {
    for (int i = 0; i < n_dirty; i++)
        if (strcmp(dirty[i], path) == 0)
            dirty[i][0] = 0;
    for (int i = 0; i < n_names; i++) { /* path may be the directory of these */
        size_t n = strlen(path);
        if (strncmp(new_name[i][1], path, n) != 0 || strchr(new_name[i][1] + n + 1, '/'))
            continue;
        memmove(new_name[i], new_name[i + 1], (size_t)(n_names - i - 1) * sizeof *new_name);
        n_names--;
        i--;
    }
}

int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    char full[PATH_BYTES];
    full_path(path, full);
    pthread_mutex_lock(&lock);
    int reason = (flags & (O_WRONLY | O_RDWR)) && is_watched(full) ? judge() : 0;
    if (reason)
        return fails(reason);
    return done(syscall(SYS_open, path, flags, mode));
}

ssize_t write(int fd, const void *bytes, size_t n) {
    static char interrupted[PATH_BYTES];
    char path[PATH_BYTES];
    if (!path_of(fd, path))
        return syscall(SYS_write, fd, bytes, n);
    pthread_mutex_lock(&lock);
    if (is_how("EINTR") && strcmp(path, interrupted) != 0) {
        snprintf(interrupted, sizeof interrupted, "%s", path);
        return fails(EINTR);
    }
    interrupted[0] = 0;
    set_dirty(path);
    if (failing_writes) {
        failing_writes = 0;
        return fails(ENOSPC);
    }
    int turn = n_calls + 1 == atol(setting("CRASH_AT"));
    if (turn && (is_how("half") || is_how("short")) && n > 1) {
        ssize_t half = syscall(SYS_write, fd, bytes, n / 2);
        if (is_how("half"))
            die();
        failing_writes = 1;
        n_calls++;
        pthread_mutex_unlock(&lock);
        return half;
    }
    int reason = judge();
    if (reason)
        return fails(reason);
    ssize_t written = syscall(SYS_write, fd, bytes, n);
    pthread_mutex_unlock(&lock);
    return written;
}

int fsync(int fd) {
    static int was_interrupted;
    char path[PATH_BYTES];
    if (!path_of(fd, path))
        return (int)syscall(SYS_fsync, fd);
    pthread_mutex_lock(&lock);
    if (is_how("EINTR") && !was_interrupted) {
        was_interrupted = 1;
        return fails(EINTR);
    }
    was_interrupted = 0;
    int reason = judge();
    if (reason)
        return fails(reason);
    set_clean(path);
    return done(0); /* the machine stays up: no need to wait for a disk */
}

int rename(const char *from, const char *to) {
    char full_from[PATH_BYTES], full_to[PATH_BYTES];
    struct stat st;
    full_path(from, full_from);
    full_path(to, full_to);
    if (!is_watched(full_to))
        return (int)syscall(SYS_rename, from, to);
    pthread_mutex_lock(&lock);
    int reason = judge();
    if (reason)
        return fails(reason);
    int was_there = lstat(full_to, &st) == 0;
    long result = syscall(SYS_rename, from, to);
    if (result == 0)
        tell(setting("CRASH_RENAMED"), O_APPEND, "%s\n", strrchr(full_to, '/') + 1);
    for (int i = 0; result == 0 && i < n_dirty; i++)
        if (strcmp(dirty[i], full_from) == 0)
            snprintf(dirty[i], PATH_BYTES, "%s", full_to);
    if (result == 0 && !was_there && n_names < TRACKED - 1) {
        snprintf(new_name[n_names][0], PATH_BYTES, "%s", full_from);
        snprintf(new_name[n_names++][1], PATH_BYTES, "%s", full_to);
    }
    return done(result);
}

int symlink(const char *target, const char *path) {
    char full[PATH_BYTES];
    full_path(path, full);
    pthread_mutex_lock(&lock);
    int reason = is_watched(full) ? judge() : 0;
    return reason ? fails(reason) : done(syscall(SYS_symlink, target, path));
}

int unlink(const char *path) {
    char full[PATH_BYTES];
    full_path(path, full);
    pthread_mutex_lock(&lock);
    int reason = is_watched(full) ? judge() : 0;
    return reason ? fails(reason) : done(syscall(SYS_unlink, path));
}

int mkdir(const char *path, mode_t mode) {
    char full[PATH_BYTES];
    full_path(path, full);
    pthread_mutex_lock(&lock);
    int reason = is_watched(full) ? judge() : 0;
    return reason ? fails(reason) : done(syscall(SYS_mkdir, path, mode));
}

__attribute__((destructor)) static void tell_count(void) {
    tell(setting("CRASH_COUNT"), O_TRUNC, "%ld\n", n_calls);
}
