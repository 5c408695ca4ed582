/* io/log.c - warnings and the final error on stderr.
 *
 * A line is put together in one buffer and given to one write(2): lines of several ranks that share
 * a terminal or a pipe stay whole (a pipe keeps up to PIPE_BUF bytes together, and a line is
 * shorter). A lock keeps the hook and its line together. Control characters, which a file name may
 * hold, become '?', so that a warning is always one line and a terminal is never given an escape
 * sequence. */
#include "io/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/progress.h"

enum { LINE_MAX_BYTES = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int rank, size;
    char host[128];
    void (*before)(void);
} speaker = {.size = 1};

void dt_log_identity(int rank, int size, const char *host) {
    pthread_mutex_lock(&lock);
    speaker.rank = rank;
    speaker.size = size;
    snprintf(speaker.host, sizeof speaker.host, "%s", host);
    pthread_mutex_unlock(&lock);
}

void dt_log_before(void (*hook)(void)) {
    pthread_mutex_lock(&lock);
    speaker.before = hook;
    pthread_mutex_unlock(&lock);
}

static void write_all(const char *text, size_t n) {
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* nobody listens: there is no other place to say so */
        text += done;
        n -= (size_t)done;
    }
}

/* What snprintf returns, as an offset that never passes the buffer's last byte. */
static size_t advance(size_t at, int printed) {
    size_t next = at + (printed > 0 ? (size_t)printed : 0);
    return next < LINE_MAX_BYTES - 1 ? next : LINE_MAX_BYTES - 1;
}

/* A whole line for stderr, and its length. keep: a control character that may stay. */
static size_t compose(char line[LINE_MAX_BYTES], const char *kind, const char *text, char keep) {
    size_t n = advance(0, snprintf(line, LINE_MAX_BYTES, "dtrain: %s", kind));
    if (speaker.size > 1)
        n = advance(n, snprintf(line + n, LINE_MAX_BYTES - n, "rank %d (%s): ", speaker.rank,
                                speaker.host));
    n = advance(n, snprintf(line + n, LINE_MAX_BYTES - n, "%s", text));
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)line[i] < 0x20 || line[i] == 0x7f) && line[i] != keep)
            line[i] = '?';
    line[n++] = '\n'; /* over the final 0: the line is written by length */
    return n;
}

static void say(const char *kind, const char *text, char keep) {
    char line[LINE_MAX_BYTES];
    dt_progress_output(true);
    pthread_mutex_lock(&lock);
    size_t n = compose(line, kind, text, keep);
    if (speaker.before)
        speaker.before();
    write_all(line, n);
    pthread_mutex_unlock(&lock);
    dt_progress_output(false);
}

void dt_log_urgent(const char *text) {
    char line[LINE_MAX_BYTES];
    bool is_mine = pthread_mutex_trylock(&lock) == 0;
    write_all(line, compose(line, "", text, '\0'));
    if (is_mine)
        pthread_mutex_unlock(&lock);
}

void dt_warn(const char *format, ...) {
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("warning: ", text, '\0');
}

void dt_log_error(void) {
    say("", dt_error(), '\n'); /* a network spec's has a line with a caret */
}
