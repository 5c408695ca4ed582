/* io/log.h - what goes to stderr: warnings, each one line with its rank and host, and the final
 * error.
 *
 * stdout belongs to the progress display and to --json. Nothing else in the program prints. */
#ifndef DT_IO_LOG_H
#define DT_IO_LOG_H

#include "io/err.h"

/* Say who speaks. With size 1 the lines carry no rank. host is copied. */
void dt_log_identity(int rank, int size, const char *host);
/* "dtrain: warning: rank 2 (host): <text>". Safe from any thread. */
void dt_warn(const char *format, ...) DT_PRINTF(1, 2);
/* "dtrain: rank 2 (host): <this thread's last error>". */
void dt_log_error(void);
/* "dtrain: rank 2 (host): <text>", at once: whoever holds a lock of this module or hangs in the
 * hook is not waited for, and the line may then land beside another. For a process that is about to
 * end.
 */
void dt_log_urgent(const char *text);
/* A hook called before a line is written, so that a progress bar can get out of the way; or NULL.
 * It runs in the thread that warns, one at a time, and must not warn itself. */
void dt_log_before(void (*hook)(void));

#endif
