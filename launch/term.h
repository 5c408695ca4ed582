/* launch/term.h - stdout, what the terminal behind it can show, and numbers in people's words. */
#ifndef DT_LAUNCH_TERM_H
#define DT_LAUNCH_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/json.h"

typedef struct {
    bool is_terminal;
    bool colours; /* a terminal that knows them, and NO_COLOR is not set */
    bool utf8;    /* the locale's encoding */
    const char *bold, *dim, *accent, *good, *plain; /* escape sequences, or "" */
} dt_term;

dt_term dt_term_of(int fd);
/* Columns: the terminal's now, else $COLUMNS, else 80. */
int dt_term_width(int fd);

/* Hand what was printed to the system. DT_EIO: it did not take it (a full disk, say). */
DT_NODISCARD dt_status dt_stdout_flush(void);
/* Print json as a line, flushed, and free it. DT_EDEVICE: no memory for it. */
DT_NODISCARD dt_status dt_stdout_json(dt_json *json);

enum { DT_NUMBER_MAX = 32 };

/* 1234567 -> "1,234,567". Returns text. */
const char *dt_text_thousands(int64_t n, char text[DT_NUMBER_MAX]);
/* 83 -> "1:23", 3723 -> "1:02:03"; "-:--" when it is not known. Returns text. */
const char *dt_text_clock(double seconds, char text[DT_NUMBER_MAX]);
/* 0.31 -> "0.31 s", 83 -> "83.0 s", 3723 -> "1:02:03". Returns text. */
const char *dt_text_seconds(double seconds, char text[DT_NUMBER_MAX]);

#endif
