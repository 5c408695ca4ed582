/* io/h5_impl.h - what io/h5.c and io/h5_read.c share; with io/h5.h the whole contact with hdf5.h.
 */
#ifndef DT_IO_H5_IMPL_H
#define DT_IO_H5_IMPL_H

#include <hdf5.h>
#include "io/h5.h"

struct dt_h5 {
    hid_t id;
    char *name;
    dt_status status;     /* making: the first failure */
    unsigned char *bytes; /* making: the file; reading: the file if it is to be freed */
    size_t capacity;      /* making: of bytes */
    const void *image;    /* reading: the file */
    size_t n_left;        /* reading: bytes that data sets may still claim */
};

/* The one lock of the process, taken when a dt_h5 is opened and given back when it is closed. */
void dt_h5_lock(void);
void dt_h5_unlock(void);
/* An empty dt_h5, not yet open; dt_h5_close() frees it once the lock is held. */
DT_NODISCARD dt_status dt_h5_new(const char *name, dt_h5 **out);

/* How HDF5 reaches the file in memory: a property list to be closed, or -1. Its name is one that no
 * file on the disk can have. */
#define DT_H5_NO_FILE "/dev/null/in memory"
hid_t dt_h5_access(dt_h5 *file);

/* Types in files and in memory: not to be closed. */
hid_t dt_h5_stored_type(dt_h5_kind kind);
hid_t dt_h5_memory_type(dt_h5_kind kind);
size_t dt_h5_size_of(dt_h5_kind kind);
/* UTF-8 of variable length: to be closed. */
hid_t dt_h5_text_type(void);

/* Ids of failed calls are negative: nothing to close. */
void dt_h5_close_id(herr_t (*close_fn)(hid_t), hid_t id);
/* HDF5 failed: "<file>: cannot <verb> <object>[, attribute <attribute>]: <HDF5's reason>", DT_EIO.
 * At once: the next call of HDF5, also one that closes something, clears the reason. */
dt_status dt_h5_refuse(const dt_h5 *file, const char *verb, const char *object,
                       const char *attribute);

#endif
