/* io/seal.h - files whose first 512 bytes hold the digest of the rest; what io/h5.c puts on the
 * disk.
 *
 * The 512 bytes are one line of text and zeros:
 *     dtrain sha256 <64 hex digits> of the <n> bytes after the first 512
 * so that `tail -c +513 FILE | sha256sum` checks a file without this program. To HDF5 they are a
 * user block. */
#ifndef DT_IO_SEAL_H
#define DT_IO_SEAL_H

#include <stddef.h>
#include "io/file.h"

enum { DT_SEAL_BYTES = 512 };

/* bytes[0 .. DT_SEAL_BYTES) is overwritten with the line, then all nbytes are written to path
 * atomically. DT_EIO: the message has the path and the system's reason; path is as it was. */
DT_NODISCARD dt_status dt_seal_write(const char *path, unsigned char *bytes, size_t nbytes);
/* All of the file, its line checked to the last byte. Free *bytes with free(). DT_EIO: missing,
 * unreadable, not of this program, cut, too long or damaged; the message says which. */
DT_NODISCARD dt_status dt_seal_read(const char *path, unsigned char **bytes, size_t *nbytes);

#endif
