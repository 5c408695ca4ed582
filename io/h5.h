/* io/h5.h - HDF5 for io/checkpoint.c and io/runfile.c: files made and read in memory.
 *
 * A file is built in memory and handed to io/seal.h in one piece; it is read by io/seal.h in one
 * piece, and only then HDF5 sees it. So HDF5 never touches the disk: a full disk is a failed
 * write(2) and no half-closed library, and file locks, which network file systems refuse, are never
 * asked for.
 *
 * HDF5 may be built without thread safety: an open dt_h5 holds the one lock of the process, so open
 * late, close soon, and have one open at a time. Objects are named by absolute paths
 * ("/parameters/conv1/weight").
 *
 * Making can hardly fail but for lack of memory: the first failure is remembered, and
 * dt_h5_finish() returns it. Reading trusts nothing: only hard links are followed; types, shapes,
 * chunks and filters must be those that are made here; all data sets together may not claim more
 * bytes than the file has. */
#ifndef DT_IO_H5_H
#define DT_IO_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/file.h"

enum { DT_H5_DIMS = 4, DT_H5_CREATED = 32 };

typedef enum {
    DT_H5_F32,
    DT_H5_F64,
    DT_H5_I64,
    DT_H5_U64,
    DT_H5_U8
} dt_h5_kind; /* float, double, int64_t, uint64_t, uint8_t */

typedef struct dt_h5 dt_h5;

/* --- making ---
 * Start a file in memory; name is what messages call it. The root gets the attributes format,
 * format_version, dtrain_version and created (which is also copied out: ISO 8601, UTC). */
DT_NODISCARD dt_status dt_h5_create(const char *name, const char *format, int version,
                                    char created[DT_H5_CREATED], dt_h5 **out);
/* A group whose members are listed in the order of their making; its parent must be there. */
void dt_h5_put_group(dt_h5 *file, const char *path);
/* Attributes of an object. n = 1 makes a scalar. Texts are UTF-8 of variable length, which h5py
 * gives as str. */
void dt_h5_put(dt_h5 *file, const char *object, const char *attribute, dt_h5_kind kind, size_t n,
               const void *values);
void dt_h5_put_texts(dt_h5 *file, const char *object, const char *attribute, size_t n,
                     const char *const *texts);
void dt_h5_put_text(dt_h5 *file, const char *object, const char *attribute, const char *text);
/* A data set: little-endian, chunked, with Fletcher-32 checksums. A dimension may be 0. */
void dt_h5_put_data(dt_h5 *file, const char *path, dt_h5_kind kind, int n_dims, const int64_t *dims,
                    const void *values);
/* Name dimension dim of a data set, and let the data set scale (NULL: none) give its values: an
 * HDF5 dimension scale. */
void dt_h5_put_scale(dt_h5 *file, const char *data, int dim, const char *label, const char *scale);
/* Write the file to path atomically and free *file, whatever happens. The lock is not held while
 * writing. */
DT_NODISCARD dt_status dt_h5_finish(dt_h5 **file, const char *path);

/* --- reading ---
 * The root's format must be this one and its format_version at most version; with a format of NULL
 * any will do, and its attribute tells which it is. DT_EIO: missing,
 * unreadable, of another program or format, newer, cut or damaged; the message says which. */
DT_NODISCARD dt_status dt_h5_open(const char *path, const char *format, int version, dt_h5 **out);
/* The same from memory, without the digest's check. The bytes stay the caller's and must outlive
 * *out. */
DT_NODISCARD dt_status dt_h5_open_image(const char *name, const void *bytes, size_t nbytes,
                                        const char *format, int version, dt_h5 **out);
void dt_h5_close(dt_h5 **file); /* a created one is dropped; NULL and *file == NULL are fine */
const char *dt_h5_name(const dt_h5 *file);
/* "HDF5 1.10.8", of the library that is loaded. */
void dt_h5_library(char *text, size_t nbytes);

/* Make a small HDF5 file at path as programs do that lock their files (h5py, h5dump), open it for
 * writing, and remove it: dtrain's own files need no locks. DT_EIO with HDF5's reason. */
DT_NODISCARD dt_status dt_h5_try_locking(const char *path);

/* Is there an object of this path, reached by hard links alone? */
bool dt_h5_has(dt_h5 *file, const char *path);
/* Attributes: of exactly this type and n. Each text is the caller's to free; on failure there are
 * none. */
DT_NODISCARD dt_status dt_h5_get(dt_h5 *file, const char *object, const char *attribute,
                                 dt_h5_kind kind, size_t n, void *values);
DT_NODISCARD dt_status dt_h5_get_texts(dt_h5 *file, const char *object, const char *attribute,
                                       size_t n, char **texts);
DT_NODISCARD dt_status dt_h5_get_text(dt_h5 *file, const char *object, const char *attribute,
                                      char **text);
/* The same into an array; a text that does not fit fails. */
DT_NODISCARD dt_status dt_h5_copy_text(dt_h5 *file, const char *object, const char *attribute,
                                       char *text, size_t size);
/* Members of a group, in the order of their making. A name that does not fit fails, or one that is
 * not of letters, digits and '_'. */
DT_NODISCARD dt_status dt_h5_count(dt_h5 *file, const char *group, int *n);
DT_NODISCARD dt_status dt_h5_member(dt_h5 *file, const char *group, int i, char *name, size_t size);
/* Shape of a data set of this type with 1 .. DT_H5_DIMS dimensions, each below 2^31, and *n, their
 * product, whose bytes are now counted against the file's. */
DT_NODISCARD dt_status dt_h5_dims(dt_h5 *file, const char *path, dt_h5_kind kind, int *n_dims,
                                  int64_t dims[DT_H5_DIMS], size_t *n);
/* All of a data set whose shape dt_h5_dims() gave. */
DT_NODISCARD dt_status dt_h5_get_data(dt_h5 *file, const char *path, dt_h5_kind kind, size_t n,
                                      void *values);

#endif
