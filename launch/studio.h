/* launch/studio.h - what the page of `dtrain serve` works with: a network, a set of digits, a run.
 *
 * A request in, JSON out; no HTTP. One thread. */
#ifndef DT_LAUNCH_STUDIO_H
#define DT_LAUNCH_STUDIO_H

#include "launch/digit.h"
#include "launch/http.h"

typedef struct dt_studio dt_studio;

/* subject: a checkpoint, or a run directory, which need not hold a checkpoint yet; last: of one,
 * latest.h5. digits: where the set is kept, "" for the run directory's digits, or digits beside a
 * checkpoint's reader. DT_EIO: subject is not there, or a checkpoint that cannot be read. DT_EDATA,
 * DT_EUSAGE: the set of digits cannot be used. */
DT_NODISCARD dt_status dt_studio_open(const char *subject, bool last, const char *digits,
                                      dt_studio **out);
void dt_studio_close(dt_studio **studio);

/* A dt_http_answer; ctx is the studio. */
void dt_studio_answer(void *ctx, const dt_request *request, const uint8_t *body, dt_reply *reply);

/* One line for the terminal: what is served, and where the digits go. */
void dt_studio_describe(const dt_studio *studio, char *text, size_t nbytes);

#endif
