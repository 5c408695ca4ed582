/* io/h5_read.c - HDF5 in memory: reading files that nobody vouches for.
 *
 * The digest finds accidents. Whoever means harm can write a digest too, so what HDF5 is asked to
 * do is bounded by the file's size, and everything by which a file can make it open other files,
 * load code or ask for much memory is refused before data are read. */
#include "io/h5_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "io/seal.h"

enum { PATH_BYTES = 256 };

static dt_status check_format(dt_h5 *file, const char *format, int version) {
    char text[64];
    int64_t number;
    DT_TRY(dt_h5_copy_text(file, "/", "format", text, sizeof text));
    if (!format)
        return DT_OK;
    if (strcmp(text, format) != 0)
        return dt_fail(DT_EIO, "%s: its format is \"%s\", not \"%s\"", file->name, text, format);
    DT_TRY(dt_h5_get(file, "/", "format_version", DT_H5_I64, 1, &number));
    if (number > version)
        return dt_fail(
            DT_EIO,
            "%s: format version %lld of %s, this program reads up to %d: use a newer dtrain",
            file->name, (long long)number, format, version);
    if (number < 1)
        return dt_fail(DT_EIO, "%s: there is no format version %lld of %s", file->name,
                       (long long)number, format);
    return DT_OK;
}

static dt_status open_in_memory(dt_h5 *file, size_t nbytes) {
    dt_status status = DT_OK;
    hid_t access = dt_h5_access(file);
    /* for reading HDF5 takes, and does not change, a pointer to what it could change */
    if (access >= 0 && H5Pset_file_image(access, (void *)(uintptr_t)file->image, nbytes) >= 0)
        file->id = H5Fopen(DT_H5_NO_FILE, H5F_ACC_RDONLY, access);
    if (file->id < 0)
        status = dt_h5_refuse(file, "open", "it as HDF5", NULL);
    dt_h5_close_id(H5Pclose, access);
    return status;
}

dt_status dt_h5_open_image(const char *name, const void *bytes, size_t nbytes, const char *format,
                           int version, dt_h5 **out) {
    DT_TRY(dt_h5_new(name, out));
    dt_h5_lock();
    dt_h5 *file = *out;
    file->image = bytes;
    file->n_left = nbytes;
    dt_status status = open_in_memory(file, nbytes);
    if (status == DT_OK)
        status = check_format(file, format, version);
    if (status != DT_OK)
        dt_h5_close(out);
    return status;
}

dt_status dt_h5_open(const char *path, const char *format, int version, dt_h5 **out) {
    unsigned char *bytes;
    size_t nbytes;
    *out = NULL;
    DT_TRY(dt_seal_read(path, &bytes, &nbytes));
    dt_status status = dt_h5_open_image(path, bytes, nbytes, format, version, out);
    if (status == DT_OK)
        (*out)->bytes = bytes;
    else
        free(bytes);
    return status;
}

/* Every link of the path, from the root on, must be a hard one: soft and external links lead
 * elsewhere. */
bool dt_h5_has(dt_h5 *file, const char *path) {
    char part[PATH_BYTES];
    size_t n = strlen(path);
    if (n >= sizeof part || path[0] != '/')
        return false;
    for (size_t i = 1; n > 1 && i <= n; i++) {
        H5L_info_t info;
        if (i < n && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (H5Lexists(file->id, part, H5P_DEFAULT) <= 0 ||
            H5Lget_info(file->id, part, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
            return false;
    }
    return true;
}

/* Open an attribute of n elements (a scalar if n is 1); -1 after a failure that is told in *status.
 */
static hid_t open_attribute(dt_h5 *file, const char *object, const char *attribute, size_t n,
                            dt_status *status) {
    if (!dt_h5_has(file, object)) {
        *status = dt_fail(DT_EIO, "%s: %s is missing", file->name, object);
        return -1;
    }
    if (H5Aexists_by_name(file->id, object, attribute, H5P_DEFAULT) <= 0) {
        *status = dt_fail(DT_EIO, "%s: %s has no attribute %s", file->name, object, attribute);
        return -1;
    }
    hid_t id = H5Aopen_by_name(file->id, object, attribute, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = id >= 0 ? H5Aget_space(id) : -1;
    if (space < 0) {
        *status = dt_h5_refuse(file, "open", object, attribute);
    } else if (H5Sget_simple_extent_ndims(space) != (n == 1 ? 0 : 1) ||
               H5Sget_simple_extent_npoints(space) != (hssize_t)n) {
        *status = dt_fail(DT_EIO, "%s: attribute %s of %s does not have %zu element%s", file->name,
                          attribute, object, n, n == 1 ? "" : "s");
    } else {
        *status = DT_OK;
    }
    dt_h5_close_id(H5Sclose, space);
    if (*status != DT_OK) {
        dt_h5_close_id(H5Aclose, id);
        return -1;
    }
    return id;
}

dt_status dt_h5_get(dt_h5 *file, const char *object, const char *attribute, dt_h5_kind kind,
                    size_t n, void *values) {
    dt_status status;
    hid_t id = open_attribute(file, object, attribute, n, &status);
    if (id < 0)
        return status;
    hid_t type = H5Aget_type(id);
    if (type < 0 || H5Tequal(type, dt_h5_stored_type(kind)) <= 0)
        status = dt_fail(DT_EIO, "%s: attribute %s of %s has another type", file->name, attribute,
                         object);
    else if (H5Aread(id, dt_h5_memory_type(kind), values) < 0)
        status = dt_h5_refuse(file, "read", object, attribute);
    dt_h5_close_id(H5Tclose, type);
    H5Aclose(id);
    return status;
}

/* Copies of HDF5's texts, which are freed; none at all after a failure. */
static dt_status take_texts(size_t n, char **from, char **texts) {
    dt_status status = DT_OK;
    for (size_t i = 0; i < n; i++) {
        texts[i] = strdup(from[i] ? from[i] : "");
        if (!texts[i])
            status = dt_fail(DT_EDEVICE, "no memory for an attribute's text");
        H5free_memory(from[i]);
    }
    for (size_t i = 0; status != DT_OK && i < n; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
    return status;
}

dt_status dt_h5_get_texts(dt_h5 *file, const char *object, const char *attribute, size_t n,
                          char **texts) {
    dt_status status;
    memset(texts, 0, n * sizeof *texts);
    hid_t id = open_attribute(file, object, attribute, n, &status);
    if (id < 0)
        return status;
    char **from = calloc(n, sizeof *from);
    hid_t type = H5Aget_type(id), want = dt_h5_text_type();
    if (!from)
        status = dt_fail(DT_EDEVICE, "no memory for %zu texts", n);
    else if (type < 0 || want < 0 || H5Tequal(type, want) <= 0)
        status = dt_fail(DT_EIO, "%s: attribute %s of %s is no UTF-8 text", file->name, attribute,
                         object);
    else if (H5Aread(id, want, from) < 0)
        status = dt_h5_refuse(file, "read", object, attribute);
    else
        status = take_texts(n, from, texts);
    free(from);
    dt_h5_close_id(H5Tclose, want);
    dt_h5_close_id(H5Tclose, type);
    H5Aclose(id);
    return status;
}

dt_status dt_h5_get_text(dt_h5 *file, const char *object, const char *attribute, char **text) {
    return dt_h5_get_texts(file, object, attribute, 1, text);
}

dt_status dt_h5_copy_text(dt_h5 *file, const char *object, const char *attribute, char *text,
                          size_t size) {
    char *all;
    DT_TRY(dt_h5_get_text(file, object, attribute, &all));
    dt_status status = DT_OK;
    if (strlen(all) >= size)
        status = dt_fail(DT_EIO, "%s: attribute %s of %s has %zu bytes, at most %zu are read",
                         file->name, attribute, object, strlen(all), size - 1);
    else
        memcpy(text, all, strlen(all) + 1);
    free(all);
    return status;
}

dt_status dt_h5_count(dt_h5 *file, const char *group, int *n) {
    enum { MEMBERS_MAX = 4096 };
    H5G_info_t info;
    *n = 0;
    if (!dt_h5_has(file, group))
        return dt_fail(DT_EIO, "%s: %s is missing", file->name, group);
    if (H5Gget_info_by_name(file->id, group, &info, H5P_DEFAULT) < 0)
        return dt_h5_refuse(file, "list", group, NULL);
    if (info.nlinks > MEMBERS_MAX)
        return dt_fail(DT_EIO, "%s: %s has %llu members, at most %d are read", file->name, group,
                       (unsigned long long)info.nlinks, MEMBERS_MAX);
    *n = (int)info.nlinks;
    return DT_OK;
}

dt_status dt_h5_member(dt_h5 *file, const char *group, int i, char *name, size_t size) {
    ssize_t n = H5Lget_name_by_idx(file->id, group, H5_INDEX_CRT_ORDER, H5_ITER_INC, (hsize_t)i,
                                   name, size, H5P_DEFAULT);
    if (n < 0)
        return dt_h5_refuse(file, "list", group, NULL);
    if (n == 0 || (size_t)n >= size)
        return dt_fail(DT_EIO, "%s: a name in %s has %zd bytes, not 1 to %zu", file->name, group, n,
                       size - 1);
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return dt_fail(DT_EIO,
                           "%s: a name in %s has a character that is no letter, digit or '_'",
                           file->name, group);
    return DT_OK;
}

/* Chunked, no chunk larger than the data set, Fletcher-32 and no other filter: nothing that a
 * hostile file could use to make HDF5 open other files, load code or ask for much memory. */
static bool is_plain_layout(hid_t data, int n_dims, const hsize_t *dims) {
    hsize_t chunk[DT_H5_DIMS];
    unsigned flags, config;
    size_t n_values = 0;
    hid_t creation = H5Dget_create_plist(data);
    bool plain = creation >= 0 && H5Pget_layout(creation) == H5D_CHUNKED &&
                 H5Pget_chunk(creation, n_dims, chunk) == n_dims &&
                 H5Pget_nfilters(creation) == 1 &&
                 H5Pget_filter2(creation, 0, &flags, &n_values, NULL, 0, NULL, &config) ==
                     H5Z_FILTER_FLETCHER32;
    for (int i = 0; plain && i < n_dims; i++)
        plain = chunk[i] <= (dims[i] > 0 ? dims[i] : 1);
    dt_h5_close_id(H5Pclose, creation);
    return plain;
}

/* Open the data set and check all but its size. */
static hid_t open_data(dt_h5 *file, const char *path, dt_h5_kind kind, int *n_dims,
                       hsize_t dims[DT_H5_DIMS], dt_status *status) {
    if (!dt_h5_has(file, path)) {
        *status = dt_fail(DT_EIO, "%s: %s is missing", file->name, path);
        return -1;
    }
    hid_t id = H5Dopen2(file->id, path, H5P_DEFAULT);
    hid_t space = id >= 0 ? H5Dget_space(id) : -1, type = id >= 0 ? H5Dget_type(id) : -1;
    *n_dims = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (space < 0 || type < 0)
        *status = dt_h5_refuse(file, "open", path, NULL);
    else if (*n_dims < 1 || *n_dims > DT_H5_DIMS ||
             H5Sget_simple_extent_dims(space, dims, NULL) != *n_dims)
        *status = dt_fail(DT_EIO, "%s: %s has %d dimensions, not 1 to %d", file->name, path,
                          *n_dims, DT_H5_DIMS);
    else if (H5Tequal(type, dt_h5_stored_type(kind)) <= 0)
        *status = dt_fail(DT_EIO, "%s: %s has another type", file->name, path);
    else if (!is_plain_layout(id, *n_dims, dims))
        *status = dt_fail(DT_EIO, "%s: %s is not stored in chunks with Fletcher-32 alone",
                          file->name, path);
    else
        *status = DT_OK;
    dt_h5_close_id(H5Tclose, type);
    dt_h5_close_id(H5Sclose, space);
    if (*status != DT_OK) {
        dt_h5_close_id(H5Dclose, id);
        return -1;
    }
    return id;
}

dt_status dt_h5_dims(dt_h5 *file, const char *path, dt_h5_kind kind, int *n_dims,
                     int64_t dims[DT_H5_DIMS], size_t *n) {
    hsize_t shape[DT_H5_DIMS];
    dt_status status;
    size_t nbytes = dt_h5_size_of(kind);
    hid_t id = open_data(file, path, kind, n_dims, shape, &status);
    if (id < 0)
        return status;
    H5Dclose(id);
    for (int i = 0; i < *n_dims; i++) {
        if (shape[i] > INT32_MAX || (shape[i] > 0 && nbytes > SIZE_MAX / shape[i]))
            return dt_fail(DT_EIO, "%s: %s has a dimension of %llu", file->name, path,
                           (unsigned long long)shape[i]);
        dims[i] = (int64_t)shape[i];
        nbytes *= (size_t)shape[i];
    }
    if (nbytes > file->n_left)
        return dt_fail(DT_EIO, "%s: %s claims %zu bytes, more than the file has", file->name, path,
                       nbytes);
    file->n_left -= nbytes;
    *n = nbytes / dt_h5_size_of(kind);
    return DT_OK;
}

dt_status dt_h5_get_data(dt_h5 *file, const char *path, dt_h5_kind kind, size_t n, void *values) {
    hsize_t shape[DT_H5_DIMS], n_there = 1;
    int n_dims;
    dt_status status;
    hid_t id = open_data(file, path, kind, &n_dims, shape, &status);
    if (id < 0)
        return status;
    for (int i = 0; i < n_dims; i++)
        n_there *= shape[i];
    if (n_there != n)
        status = dt_fail(DT_EIO, "%s: %s has %llu elements, not %zu", file->name, path,
                         (unsigned long long)n_there, n);
    else if (n > 0 &&
             H5Dread(id, dt_h5_memory_type(kind), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = dt_h5_refuse(file, "read", path, NULL);
    H5Dclose(id);
    return status;
}
