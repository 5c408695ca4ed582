/* launch/term.c - stdout, terminals and numbers.
 *
 * Open MPI gives every rank a pseudo-terminal for stdout, wherever its own goes: under mpirun a
 * terminal is one only if mpirun, our parent or its parent, writes to one; its size is asked there
 * too. On another host than mpirun's there is none to be found. */
#include "launch/term.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/progress.h"

/* Asked of a locale of our own: setlocale() would change the whole program's. */
static bool locale_is_utf8(void) {
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (!locale)
        return false;
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

static bool is_under_mpirun(void) {
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL;
}

/* The parent of a process; 0 if it cannot be told. */
static long parent_of(long pid) {
    char path[64];
    long parent = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*d (%*[^)]) %*c %ld", &parent) != 1)
        parent = 0;
    fclose(f);
    return parent;
}

/* Open mpirun's stdout if it is a terminal; -1 if it is none. Between it and us may be scripts,
 * which write to the same pseudo-terminal as we do. */
static int open_launchers_terminal(int fd) {
    struct stat ours, theirs;
    if (fstat(fd, &ours) != 0)
        return -1;
    for (long pid = getppid(); pid > 1; pid = parent_of(pid)) {
        char link[64];
        snprintf(link, sizeof link, "/proc/%ld/fd/1", pid);
        if (stat(link, &theirs) != 0)
            return -1;
        if (theirs.st_rdev == ours.st_rdev && S_ISCHR(theirs.st_mode))
            continue;
        if (!S_ISCHR(theirs.st_mode))
            return -1;
        int found = open(link, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (found >= 0 && !isatty(found)) {
            close(found);
            return -1;
        }
        return found;
    }
    return -1;
}

static bool is_terminal(int fd) {
    if (!isatty(fd) || !is_under_mpirun())
        return isatty(fd);
    int launchers = open_launchers_terminal(fd);
    if (launchers >= 0)
        close(launchers);
    return launchers >= 0;
}

dt_term dt_term_of(int fd) {
    const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");
    dt_term term = {.bold = "", .dim = "", .accent = "", .good = "", .plain = ""};
    term.is_terminal = is_terminal(fd) && kind && strcmp(kind, "dumb") != 0;
    term.colours = term.is_terminal && !(no_color && *no_color);
    term.utf8 = locale_is_utf8();
    if (term.colours) {
        term.bold = "\033[1m";
        term.dim = "\033[2m";
        term.accent = "\033[36m";
        term.good = "\033[32m";
        term.plain = "\033[m";
    }
    return term;
}

int dt_term_width(int fd) {
    struct winsize size = {0};
    int launchers = is_under_mpirun() ? open_launchers_terminal(fd) : -1;
    int failed = ioctl(launchers >= 0 ? launchers : fd, TIOCGWINSZ, &size);
    if (launchers >= 0)
        close(launchers);
    if (!failed && size.ws_col > 0)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    long n = columns ? strtol(columns, NULL, 10) : 0;
    return n > 0 && n < 10000 ? (int)n : 80;
}

dt_status dt_stdout_flush(void) {
    dt_progress_output(true); /* for as long as the reader takes */
    bool ok = fflush(stdout) == 0 && !ferror(stdout);
    dt_progress_output(false);
    if (ok)
        return DT_OK;
    return dt_fail(DT_EIO, "stdout cannot be written to: %s", strerror(errno));
}

dt_status dt_stdout_json(dt_json *json) {
    bool failed = json->failed;
    if (!failed)
        printf("%s\n", json->text);
    dt_json_free(json);
    return failed ? dt_fail(DT_EDEVICE, "no memory for the JSON") : dt_stdout_flush();
}

const char *dt_text_thousands(int64_t n, char text[DT_NUMBER_MAX]) {
    char digits[DT_NUMBER_MAX];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *dt_text_clock(double seconds, char text[DT_NUMBER_MAX]) {
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(text, DT_NUMBER_MAX, "-:--");
        return text;
    }
    long s = lround(seconds);
    if (s < 3600)
        snprintf(text, DT_NUMBER_MAX, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, DT_NUMBER_MAX, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

const char *dt_text_seconds(double seconds, char text[DT_NUMBER_MAX]) {
    if (seconds >= 600)
        return dt_text_clock(seconds, text);
    snprintf(text, DT_NUMBER_MAX, seconds < 10 ? "%.2f s" : "%.1f s", seconds);
    return text;
}
