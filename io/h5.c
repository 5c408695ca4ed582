/* io/h5.c - HDF5 in memory: making files, and what making and reading share.
 *
 * The core driver (a file in memory, never on the disk) writes into a buffer that we own, by its
 * image callbacks, and the buffer is taken after the file is closed. H5Fget_file_image() would be
 * shorter, but HDF5 1.10 clears a flag in the image that the superblock's checksum covers, and the
 * result cannot be opened.
 *
 * Format bounds are those of HDF5 1.8, so that every tool of the last fifteen years reads the
 * files. HDF5's own error messages are silenced; their innermost reason ends our sentence. */
#include "io/h5_impl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <hdf5_hl.h>
#include <unistd.h>
#include "dtrain_version.h"
#include "io/seal.h"

enum { CHUNK_BYTES = 4 << 20 };

static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

/* Error printing is a setting of the thread in thread-safe builds, of the process in others: set it
 * each time. Plug-ins are code from shared libraries that a file can ask for. */
void dt_h5_lock(void) {
    pthread_mutex_lock(&hdf5_lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
}

void dt_h5_unlock(void) {
    pthread_mutex_unlock(&hdf5_lock);
}

hid_t dt_h5_stored_type(dt_h5_kind kind) {
    switch (kind) {
    case DT_H5_F32:
        return H5T_IEEE_F32LE;
    case DT_H5_F64:
        return H5T_IEEE_F64LE;
    case DT_H5_I64:
        return H5T_STD_I64LE;
    case DT_H5_U8:
        return H5T_STD_U8LE;
    default:
        return H5T_STD_U64LE;
    }
}

hid_t dt_h5_memory_type(dt_h5_kind kind) {
    switch (kind) {
    case DT_H5_F32:
        return H5T_NATIVE_FLOAT;
    case DT_H5_F64:
        return H5T_NATIVE_DOUBLE;
    case DT_H5_I64:
        return H5T_NATIVE_INT64;
    case DT_H5_U8:
        return H5T_NATIVE_UINT8;
    default:
        return H5T_NATIVE_UINT64;
    }
}

size_t dt_h5_size_of(dt_h5_kind kind) {
    return kind == DT_H5_U8 ? 1 : kind == DT_H5_F32 ? 4 : 8;
}

hid_t dt_h5_text_type(void) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 &&
        (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

void dt_h5_close_id(herr_t (*close_fn)(hid_t), hid_t id) {
    if (id >= 0)
        close_fn(id);
}

static herr_t take_reason(unsigned i, const H5E_error2_t *error, void *reason) {
    if (i == 0 && error->desc)
        snprintf(reason, 128, "%s", error->desc);
    return 0;
}

dt_status dt_h5_refuse(const dt_h5 *file, const char *verb, const char *object,
                       const char *attribute) {
    char reason[128] = "HDF5 gives no reason";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
    return dt_fail(DT_EIO, "%s: cannot %s %s%s%s: %s", file->name, verb, object,
                   attribute ? ", attribute " : "", attribute ? attribute : "", reason);
}

dt_status dt_h5_new(const char *name, dt_h5 **out) {
    dt_h5 *file = calloc(1, sizeof *file);
    *out = NULL;
    if (file)
        file->name = strdup(name);
    if (!file || !file->name) {
        free(file);
        return dt_fail(DT_EDEVICE, "no memory for an HDF5 file");
    }
    file->id = -1;
    *out = file;
    return DT_OK;
}

static void free_file(dt_h5 *file) {
    free(file->bytes);
    free(file->name);
    free(file);
}

void dt_h5_library(char *text, size_t nbytes) {
    unsigned major = 0, minor = 0, release = 0;
    dt_h5_lock();
    H5get_libversion(&major, &minor, &release);
    dt_h5_unlock();
    snprintf(text, nbytes, "HDF5 %u.%u.%u", major, minor, release);
}

dt_status dt_h5_try_locking(const char *path) {
    dt_h5 *file;
    DT_TRY(dt_h5_new(path, &file));
    dt_status status = DT_OK;
    dt_h5_lock();
    file->id = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file->id >= 0) {
        H5Fclose(file->id);
        file->id = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    }
    if (file->id < 0)
        status = dt_h5_refuse(file, "open", "it", NULL);
    dt_h5_close(&file);
    unlink(path);
    return status;
}

const char *dt_h5_name(const dt_h5 *file) {
    return file->name;
}

void dt_h5_close(dt_h5 **file) {
    if (!file || !*file)
        return;
    dt_h5_close_id(H5Fclose, (*file)->id);
    dt_h5_unlock();
    free_file(*file);
    *file = NULL;
}

/* --- the file's image: HDF5 asks for memory, and gets what we have --- */

/* Reading: HDF5 makes a copy for the property list, one for each copy of it, one for the open file.
 * All of them are the image itself, which nobody changes. */
static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *context) {
    const dt_h5 *file = context;
    (void)size;
    (void)op;
    return (void *)(uintptr_t)file->image;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op,
                          void *context) {
    (void)from;
    (void)size;
    (void)op;
    (void)context;
    return to;
}

/* Making: the core driver asks for each size exactly; we grow by half, as it asks often. */
static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *context) {
    dt_h5 *file = context;
    (void)old;
    (void)op;
    if (file->image)
        return NULL; /* a file that is read does not grow */
    if (size > file->capacity) {
        size_t capacity = size + size / 2 + 4096;
        unsigned char *bytes = realloc(file->bytes, capacity);
        if (!bytes)
            return NULL;
        file->bytes = bytes;
        file->capacity = capacity;
    }
    return file->bytes;
}

/* The file is closed, or given up: the memory is ours. */
static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *context) {
    (void)bytes;
    (void)op;
    (void)context;
    return 0;
}

static void *context_copy(void *context) {
    return context;
}

static herr_t context_free(void *context) {
    (void)context;
    return 0;
}

hid_t dt_h5_access(dt_h5 *file) {
    H5FD_file_image_callbacks_t callbacks = {.image_malloc = image_malloc,
                                             .image_memcpy = image_memcpy,
                                             .image_realloc = image_realloc,
                                             .image_free = image_free,
                                             .udata_copy = context_copy,
                                             .udata_free = context_free,
                                             .udata = file};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* increment 1: the file's size is then exact */
    if (access >= 0 && (H5Pset_fapl_core(access, 1, 0) < 0 ||
                        H5Pset_file_image_callbacks(access, &callbacks) < 0 ||
                        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
                        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0)) {
        H5Pclose(access);
        return -1;
    }
    return access;
}

/* --- making --- */

static dt_status create_in_memory(dt_h5 *file) {
    dt_status status = DT_OK;
    hid_t access = dt_h5_access(file), creation = H5Pcreate(H5P_FILE_CREATE);
    if (access >= 0 && creation >= 0 && H5Pset_userblock(creation, DT_SEAL_BYTES) >= 0 &&
        H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0)
        file->id = H5Fcreate(DT_H5_NO_FILE, H5F_ACC_TRUNC, creation, access);
    if (file->id < 0)
        status = dt_h5_refuse(file, "make", "a file in memory", NULL);
    dt_h5_close_id(H5Pclose, access);
    dt_h5_close_id(H5Pclose, creation);
    return status;
}

dt_status dt_h5_create(const char *name, const char *format, int version,
                       char created[DT_H5_CREATED], dt_h5 **out) {
    int64_t number = version;
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(created, DT_H5_CREATED, "%Y-%m-%dT%H:%M:%SZ", &utc);
    DT_TRY(dt_h5_new(name, out));
    dt_h5_lock();
    dt_h5 *file = *out;
    dt_status status = create_in_memory(file);
    if (status != DT_OK) {
        dt_h5_close(out);
        return status;
    }
    dt_h5_put_text(file, "/", "format", format);
    dt_h5_put(file, "/", "format_version", DT_H5_I64, 1, &number);
    dt_h5_put_text(file, "/", "dtrain_version", DTRAIN_VERSION_FULL);
    dt_h5_put_text(file, "/", "created", created);
    return DT_OK;
}

void dt_h5_put_group(dt_h5 *file, const char *path) {
    if (file->status != DT_OK)
        return;
    hid_t id = -1, creation = H5Pcreate(H5P_GROUP_CREATE);
    if (creation >= 0 &&
        H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0)
        id = H5Gcreate2(file->id, path, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (id < 0)
        file->status = dt_h5_refuse(file, "make", path, NULL);
    dt_h5_close_id(H5Gclose, id);
    dt_h5_close_id(H5Pclose, creation);
}

static void put(dt_h5 *file, const char *object, const char *attribute, hid_t stored, hid_t memory,
                size_t n, const void *values) {
    hsize_t dims[1] = {n};
    hid_t id = -1, space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);
    if (space >= 0 && stored >= 0)
        id = H5Acreate_by_name(file->id, object, attribute, stored, space, H5P_DEFAULT, H5P_DEFAULT,
                               H5P_DEFAULT);
    if (id < 0 || H5Awrite(id, memory, values) < 0)
        file->status = dt_h5_refuse(file, "make", object, attribute);
    dt_h5_close_id(H5Aclose, id);
    dt_h5_close_id(H5Sclose, space);
}

void dt_h5_put(dt_h5 *file, const char *object, const char *attribute, dt_h5_kind kind, size_t n,
               const void *values) {
    if (file->status == DT_OK)
        put(file, object, attribute, dt_h5_stored_type(kind), dt_h5_memory_type(kind), n, values);
}

void dt_h5_put_texts(dt_h5 *file, const char *object, const char *attribute, size_t n,
                     const char *const *texts) {
    if (file->status != DT_OK)
        return;
    hid_t type = dt_h5_text_type();
    put(file, object, attribute, type, type, n, texts);
    dt_h5_close_id(H5Tclose, type);
}

void dt_h5_put_text(dt_h5 *file, const char *object, const char *attribute, const char *text) {
    dt_h5_put_texts(file, object, attribute, 1, &text);
}

/* Chunks of whole rows, up to CHUNK_BYTES: dimension by dimension, cut the first until it fits. */
static void choose_chunk(int n_dims, const hsize_t *dims, size_t size, hsize_t *chunk) {
    size_t nbytes = size;
    for (int i = 0; i < n_dims; i++) {
        chunk[i] = dims[i] > 0 ? dims[i] : 1;
        nbytes *= chunk[i];
    }
    for (int i = 0; i < n_dims && nbytes > CHUNK_BYTES; i++) {
        size_t row = nbytes / chunk[i];
        chunk[i] = row < CHUNK_BYTES ? CHUNK_BYTES / row : 1;
        nbytes = row * chunk[i];
    }
}

void dt_h5_put_data(dt_h5 *file, const char *path, dt_h5_kind kind, int n_dims, const int64_t *dims,
                    const void *values) {
    hsize_t shape[DT_H5_DIMS], chunk[DT_H5_DIMS], n = 1;
    hid_t id = -1, space, creation = -1;
    if (file->status != DT_OK)
        return;
    for (int i = 0; i < n_dims; i++)
        n *= shape[i] = (hsize_t)dims[i];
    choose_chunk(n_dims, shape, dt_h5_size_of(kind), chunk);
    space = H5Screate_simple(n_dims, shape, NULL);
    creation = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && creation >= 0 && H5Pset_chunk(creation, n_dims, chunk) >= 0 &&
        H5Pset_fletcher32(creation) >= 0)
        id = H5Dcreate2(file->id, path, dt_h5_stored_type(kind), space, H5P_DEFAULT, creation,
                        H5P_DEFAULT);
    if (id < 0 ||
        (n > 0 && H5Dwrite(id, dt_h5_memory_type(kind), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
        file->status = dt_h5_refuse(file, "make", path, NULL);
    dt_h5_close_id(H5Dclose, id);
    dt_h5_close_id(H5Pclose, creation);
    dt_h5_close_id(H5Sclose, space);
}

/* A data set becomes a scale when it is first used as one; its last name is the scale's. */
static void attach_scale(dt_h5 *file, hid_t data, int dim, const char *scale) {
    hid_t id = H5Dopen2(file->id, scale, H5P_DEFAULT);
    if (id < 0 || (H5DSis_scale(id) <= 0 && H5DSset_scale(id, strrchr(scale, '/') + 1) < 0) ||
        H5DSattach_scale(data, id, (unsigned)dim) < 0)
        file->status = dt_h5_refuse(file, "use as a scale", scale, NULL);
    dt_h5_close_id(H5Dclose, id);
}

void dt_h5_put_scale(dt_h5 *file, const char *data, int dim, const char *label, const char *scale) {
    if (file->status != DT_OK)
        return;
    hid_t id = H5Dopen2(file->id, data, H5P_DEFAULT);
    if (id < 0 || H5DSset_label(id, (unsigned)dim, label) < 0)
        file->status = dt_h5_refuse(file, "name a dimension of", data, NULL);
    else if (scale)
        attach_scale(file, id, dim, scale);
    dt_h5_close_id(H5Dclose, id);
}

/* Close the file in memory; *nbytes of file->bytes are then the whole of it. */
static dt_status close_image(dt_h5 *file, size_t *nbytes) {
    hsize_t size = 0;
    if (H5Fflush(file->id, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(file->id, &size) < 0)
        file->status = dt_h5_refuse(file, "finish", "the file in memory", NULL);
    if (H5Fclose(file->id) < 0 && file->status == DT_OK)
        file->status = dt_h5_refuse(file, "close", "the file in memory", NULL);
    file->id = -1;
    *nbytes = (size_t)size;
    return file->status;
}

dt_status dt_h5_finish(dt_h5 **out, const char *path) {
    dt_h5 *file = *out;
    size_t nbytes = 0;
    if (file->status != DT_OK) {
        dt_status status = file->status;
        dt_h5_close(out);
        return status;
    }
    dt_status status = close_image(file, &nbytes);
    dt_h5_unlock();
    if (status == DT_OK)
        status = dt_seal_write(path, file->bytes, nbytes);
    free_file(file);
    *out = NULL;
    return status;
}
