/* io/err.c - the last error sentence of each thread.
 *
 * A sentence lives in the thread's own memory, so that failing needs no allocation and no lock.
 * DT_ERROR_MAX holds a path and two numbers comfortably; of a sentence that does not fit, because
 * of a very long path, the middle is left out: its end is the reason. */
#include "io/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last[DT_ERROR_MAX];

/* Is c inside a UTF-8 character, not its first byte? */
static bool is_inside(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The start and the end of a text of n bytes, which are more than fit. */
static void keep_ends(char *text, size_t n) {
    static const char gap[] = " ... ";
    size_t start = DT_ERROR_MAX / 2, end = n - (DT_ERROR_MAX / 2 - sizeof gap);
    while (start > 0 && is_inside(text[start]))
        start--;
    while (end < n && is_inside(text[end]))
        end++;
    memcpy(text + start, gap, sizeof gap - 1);
    memmove(text + start + sizeof gap - 1, text + end, n + 1 - end);
}

dt_status dt_fail(dt_status code, const char *format, ...) {
    enum { WHOLE = 16 * 1024 }; /* two of the longest paths */
    char text[WHOLE];           /* not straight into last: an argument may be dt_error() */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    n = n < WHOLE ? n : WHOLE - 1;
    if (n >= DT_ERROR_MAX)
        keep_ends(text, (size_t)n);
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
