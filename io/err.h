/* io/err.h - how every function of this program fails.
 *
 * A function that can fail returns a dt_status. Where a failure is first seen it is worded once, in
 * one sentence that names the object and the numbers; callers only pass the code up. main prints
 * the sentence and leaves with the code: the codes *are* the exit codes of the program.
 *
 * The sentence is kept per thread. A thread that fails on behalf of another hands it over with
 * dt_error_copy() and dt_error_set(). */
#ifndef DT_IO_ERR_H
#define DT_IO_ERR_H

#include <stddef.h>

#if defined(__GNUC__)
#define DT_NODISCARD    __attribute__((warn_unused_result))
#define DT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define DT_NODISCARD
#define DT_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    DT_OK = 0,
    DT_EUSAGE = 2,    /* option, network spec or launcher wrong */
    DT_EDATA = 3,     /* training data unusable */
    DT_EIO = 4,       /* reading or writing failed */
    DT_EDEVICE = 5,   /* device, library or memory unusable */
    DT_EPEER = 6,     /* another rank was lost, hung or disagrees */
    DT_EDIVERGED = 7, /* the loss or a gradient is not finite, or a gradient overflowed */
    DT_ESTOPPED = 75  /* stopped early, everything saved: run again with --resume */
} dt_status;

enum { DT_ERROR_MAX = 512 }; /* bytes of a sentence, with its final 0 */

/* Record one sentence for this thread (replacing an earlier one) and return code. */
dt_status dt_fail(dt_status code, const char *format, ...) DT_PRINTF(2, 3);
/* This thread's last sentence; "" if none. Valid until the thread's next failure. */
const char *dt_error(void);
void dt_error_copy(char text[DT_ERROR_MAX]);
void dt_error_set(const char *text);

/* Pass a failure up: from a function that holds nothing, or through its clean-up label. */
#define DT_TRY(call)                                                                               \
    do {                                                                                           \
        dt_status try_status_ = (call);                                                            \
        if (try_status_ != DT_OK)                                                                  \
            return try_status_;                                                                    \
    } while (0)
#define DT_TRY_GOTO(status, call, label)                                                           \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) != DT_OK)                                                                     \
            goto label;                                                                            \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
