/* io/file.h - files that are whole or not there, and digests. */
#ifndef DT_IO_FILE_H
#define DT_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

enum { DT_PATH_MAX = 4096, DT_SHA256_HEX = 65 };

/* out = dir "/" name; fails with DT_EUSAGE when it does not fit DT_PATH_MAX. */
DT_NODISCARD dt_status dt_path_join(char out[DT_PATH_MAX], const char *dir, const char *name);
bool dt_path_exists(const char *path);
/* mkdir -p; new names are durable. */
DT_NODISCARD dt_status dt_mkdirs(const char *dir);

/* Make what was written through fd to tmp_path durable and give it its name: fsync the file, close
 * fd, rename it, fsync the directory. fd is closed in any case. On failure tmp_path is removed and
 * path is as it was (or, if only the last fsync failed, whole and new). */
DT_NODISCARD dt_status dt_file_commit(int fd, const char *tmp_path, const char *path);
/* path holds these bytes, whole or not at all: path.tmp first, then dt_file_commit(). DT_EIO: the
 * message has the path and the system's reason; path is as it was. */
DT_NODISCARD dt_status dt_file_write(const char *path, const void *bytes, size_t nbytes);
/* All of a regular file of at most limit bytes. Free *bytes with free(); it is never NULL on DT_OK.
 * DT_EIO: cannot be opened or read, or is too large. */
DT_NODISCARD dt_status dt_file_read(const char *path, size_t limit, void **bytes, size_t *nbytes);
/* link_path becomes a symbolic link to target (relative to the link's directory), atomically, also
 * when several processes set it at a time. */
DT_NODISCARD dt_status dt_link_replace(const char *target, const char *link_path);

/* Lower-case hex SHA-256 with a final 0; "", which equals no digest, if OpenSSL fails (no memory).
 */
void dt_sha256(const void *data, size_t nbytes, char hex[DT_SHA256_HEX]);
/* The same over a sequence of pieces: begin, add ..., end (which also frees). */
typedef struct dt_sha256_state dt_sha256_state;
DT_NODISCARD dt_status dt_sha256_begin(dt_sha256_state **state);
void dt_sha256_add(dt_sha256_state *state, const void *data, size_t nbytes);
void dt_sha256_end(dt_sha256_state **state, char hex[DT_SHA256_HEX]);

#endif
