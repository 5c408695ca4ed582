/* io/err.c - the last error sentence of each thread.
 *
 * A sentence lives in the thread's own memory, so that failing needs no allocation and no lock. One
 * that does not fit is cut: DT_ERROR_MAX holds a path and two numbers comfortably. */
#include "io/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last[DT_ERROR_MAX];

dt_status dt_fail(dt_status code, const char *format, ...) {
    char text[DT_ERROR_MAX]; /* not straight into last: an argument may be dt_error() */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dt_error_set(text);
    return code;
}

const char *dt_error(void) {
    return last;
}

void dt_error_copy(char text[DT_ERROR_MAX]) {
    memcpy(text, last, sizeof last);
}

void dt_error_set(const char *text) {
    size_t n = strnlen(text, sizeof last - 1);
    memmove(last, text, n);
    last[n] = '\0';
}
