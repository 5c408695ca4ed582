/* io/events.h - TensorBoard's event files: named curves over steps.
 *
 * A file is appended to and never read by this program. Values wait in memory until a flush. */
#ifndef DT_IO_EVENTS_H
#define DT_IO_EVENTS_H

#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

typedef struct dt_events dt_events;

/* A new file in dir, which is made if need be: TensorBoard shows all files of a directory as one
 * run. DT_EIO. */
DT_NODISCARD dt_status dt_events_open(const char *dir, dt_events **out);
/* One value; tags such as "train/loss" are grouped by what is before the slash. A lack of room
 * (64 MiB may wait) is told by the next flush. */
void dt_events_scalar(dt_events *events, const char *tag, int64_t step, double value);
/* Hand what waits to the system. DT_EIO: what was not taken waits for the next flush; until then
 * the file may end within a record, which TensorBoard takes for one that is being written. */
DT_NODISCARD dt_status dt_events_flush(dt_events *events);
/* Without a flush; NULL and *events == NULL are fine. */
void dt_events_close(dt_events **events);

/* CRC-32C (Castagnoli), as in RFC 3720: of "123456789" it is e3069283. */
uint32_t dt_crc32c(const void *data, size_t nbytes);

#endif
