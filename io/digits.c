/* io/digits.c - a test set that grows by one labelled picture at a time, kept as two IDX files.
 *
 * Memory holds both files with their headers, so what is written and what is downloaded are the
 * same bytes. Order of the writes: growing, pictures and then labels; shrinking, labels and then
 * pictures. So there are never fewer pictures than labels, and at most one more: what is left of a
 * change that did not come to its end. While that may be so, the temporary name of the file that is
 * written second is there, as a sign for readers (io/dataset.h). After a change that failed both
 * files are written as they were before the next one begins. */
#include "io/digits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "io/idx.h"

enum { IMAGES_HEADER = 16, LABELS_HEADER = 8 };

static const char images_name[] = "t10k-images-idx3-ubyte";
static const char labels_name[] = "t10k-labels-idx1-ubyte";
/* Other names of a test set's files: a reader would find both. */
static const char *const other_names[] = {"t10k-images-idx3-ubyte.gz", "t10k-images.idx3-ubyte",
                                          "t10k-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
                                          "t10k-labels.idx1-ubyte",    "t10k-labels.idx1-ubyte.gz"};

static size_t picture_bytes(const dt_digits *d) {
    return (size_t)d->height * (size_t)d->width;
}

static void put_u32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Both headers and lengths, for n pictures. */
static void set_count(dt_digits *d, size_t n) {
    uint8_t *images = d->images.bytes, *labels = d->labels.bytes;
    d->n = n;
    put_u32(images, 0x803);
    put_u32(images + 4, (uint32_t)n);
    put_u32(images + 8, (uint32_t)d->height);
    put_u32(images + 12, (uint32_t)d->width);
    put_u32(labels, 0x801);
    put_u32(labels + 4, (uint32_t)n);
    d->images.nbytes = IMAGES_HEADER + n * picture_bytes(d);
    d->labels.nbytes = LABELS_HEADER + n;
}

static dt_status reserve(dt_digits *d, size_t n) {
    if (n <= d->capacity)
        return DT_OK;
    size_t capacity = 2 * d->capacity > n ? 2 * d->capacity : n;
    uint8_t *images = realloc(d->images.bytes, IMAGES_HEADER + capacity * picture_bytes(d));
    if (images)
        d->images.bytes = images;
    uint8_t *labels = images ? realloc(d->labels.bytes, LABELS_HEADER + capacity) : NULL;
    if (!labels)
        return dt_fail(DT_EDEVICE, "no memory for %zu digits", capacity);
    d->labels.bytes = labels;
    d->capacity = capacity;
    return DT_OK;
}

static dt_status remove_file(const char *path) {
    if (unlink(path) != 0 && errno != ENOENT)
        return dt_fail(DT_EIO, "cannot remove %s: %s", path, strerror(errno));
    return DT_OK;
}

/* An IDX file of no pictures is none: the set's end is the end of its labels. */
static dt_status put_file(const dt_digits *d, const char *name) {
    char path[DT_PATH_MAX];
    const dt_digits_file *file = name == images_name ? &d->images : &d->labels;
    DT_TRY(dt_path_join(path, d->dir, name));
    return d->n > 0 ? dt_file_write(path, file->bytes, file->nbytes) : remove_file(path);
}

static dt_status sign_path(const dt_digits *d, const char *name, char path[DT_PATH_MAX]) {
    char tmp[sizeof images_name + 8];
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    return dt_path_join(path, d->dir, tmp);
}

static dt_status put_sign(const dt_digits *d, const char *name) {
    char path[DT_PATH_MAX];
    DT_TRY(sign_path(d, name, path));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot write %s: %s", path, strerror(errno));
    close(fd);
    return DT_OK;
}

static dt_status remove_sign(const dt_digits *d, const char *name) {
    char path[DT_PATH_MAX];
    DT_TRY(sign_path(d, name, path));
    return remove_file(path);
}

/* Bring both files to what memory holds. A failure leaves the sign. */
static dt_status put_files(dt_digits *d, const char *first, const char *second) {
    char why[DT_ERROR_MAX];
    DT_TRY(put_sign(d, second));
    d->is_split = true;
    dt_status status = put_file(d, first);
    if (status == DT_OK)
        status = put_file(d, second);
    if (status == DT_OK)
        status = remove_sign(d, second); /* it is the file by now, but if there are no pictures */
    if (status == DT_OK) {
        d->is_split = false;
        return DT_OK;
    }
    dt_error_copy(why);
    (void)put_sign(d, second); /* without it readers refuse the set until its next change */
    dt_error_set(why);
    return status;
}

/* Of a change that failed there may be a picture or a label too many or too few. */
static dt_status settle(dt_digits *d) {
    return d->is_split ? put_files(d, labels_name, images_name) : DT_OK;
}

/* The lock is on the directory itself, so that it leaves no file behind. Where the file system
 * knows no locks there is none. */
static dt_status claim(dt_digits *d) {
    d->lock = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->lock < 0)
        return dt_fail(DT_EIO, "cannot open the directory %s: %s", d->dir, strerror(errno));
    if (flock(d->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return DT_OK;
    close(d->lock);
    d->lock = -1;
    return dt_fail(
        DT_EUSAGE,
        "another dtrain serve keeps its digits in %s: end it, or choose another --digits", d->dir);
}

/* What the files hold. */
static dt_status take(dt_digits *d, const char *path, const dt_idx *images, const dt_idx *labels) {
    size_t n = labels->n_dims ? labels->dims[0] : 0;
    if (images->n_dims != 3 || (n > 0 && labels->n_dims != 1))
        return dt_fail(DT_EDATA, "%s: not a set of pictures with labels beside it", path);
    if (images->dims[1] != (uint32_t)d->height || images->dims[2] != (uint32_t)d->width)
        return dt_fail(DT_EDATA, "%s has images of %u x %u, the network takes %d x %d", path,
                       images->dims[1], images->dims[2], d->height, d->width);
    if (images->dims[0] < n || images->dims[0] > n + 1 || n > DT_DIGITS_MAX)
        return dt_fail(
            DT_EDATA,
            "%s has %u images for %zu labels: no set of dtrain serve, which has as many, "
            "up to %d; choose another --digits",
            path, images->dims[0], n, DT_DIGITS_MAX);
    DT_TRY(reserve(d, n));
    if (n > 0) {
        memcpy(d->images.bytes + IMAGES_HEADER, images->data, n * picture_bytes(d));
        memcpy(d->labels.bytes + LABELS_HEADER, labels->data, n);
    }
    set_count(d, n);
    d->is_split = images->dims[0] != n;
    return DT_OK;
}

/* The first file that is kept here would hide them from readers. */
static dt_status refuse_others(const dt_digits *d) {
    char path[DT_PATH_MAX];
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++) {
        DT_TRY(dt_path_join(path, d->dir, other_names[i]));
        if (dt_path_exists(path))
            return dt_fail(DT_EUSAGE,
                           "%s: no digits can be kept beside it, as they would hide it from "
                           "readers: choose another --digits",
                           path);
    }
    return DT_OK;
}

static dt_status load(dt_digits *d) {
    char images_path[DT_PATH_MAX], labels_path[DT_PATH_MAX];
    dt_idx images = {0}, labels = {0};
    dt_status status;
    DT_TRY(dt_path_join(images_path, d->dir, images_name));
    DT_TRY(dt_path_join(labels_path, d->dir, labels_name));
    DT_TRY(refuse_others(d));
    bool has_labels = dt_path_exists(labels_path);
    if (!has_labels && !dt_path_exists(images_path))
        return DT_OK;
    DT_TRY_GOTO(status, dt_idx_open(images_path, &images), done);
    if (has_labels)
        DT_TRY_GOTO(status, dt_idx_open(labels_path, &labels), done);
    status = take(d, images_path, &images, &labels);
done:
    dt_idx_close(&images);
    dt_idx_close(&labels);
    return status;
}

/* Take the directory and what it holds, if that is not done: it may have been made, and filled, by
 * another program since. */
static dt_status own(dt_digits *d) {
    if (d->lock >= 0)
        return DT_OK;
    DT_TRY(claim(d));
    dt_status status = load(d);
    if (status != DT_OK) {
        close(d->lock);
        d->lock = -1;
    }
    return status;
}

dt_status dt_digits_open(const char *dir, int height, int width, dt_digits **out) {
    dt_digits *d = calloc(1, sizeof *d);
    *out = d;
    if (!d)
        return dt_fail(DT_EDEVICE, "no memory for a set of digits");
    *d = (dt_digits){.height = height, .width = width, .lock = -1};
    dt_status status = DT_OK;
    if (strlen(dir) >= sizeof d->dir)
        status = dt_fail(DT_EUSAGE, "a path is too long: %.80s...", dir);
    else
        strcpy(d->dir, dir);
    if (status == DT_OK)
        status = reserve(d, 16);
    if (status == DT_OK)
        set_count(d, 0);
    if (status == DT_OK && dt_path_exists(dir))
        status = own(d);
    if (status == DT_OK)
        status = settle(d);
    if (status != DT_OK)
        dt_digits_close(out);
    return status;
}

void dt_digits_close(dt_digits **digits) {
    dt_digits *d = *digits;
    if (!d)
        return;
    if (d->lock >= 0)
        close(d->lock);
    free(d->images.bytes);
    free(d->labels.bytes);
    free(d);
    *digits = NULL;
}

dt_status dt_digits_add(dt_digits *d, const uint8_t *image, uint8_t label) {
    DT_TRY(dt_mkdirs(d->dir));
    DT_TRY(own(d));
    DT_TRY(settle(d));
    size_t n = d->n;
    if (n >= DT_DIGITS_MAX)
        return dt_fail(DT_EUSAGE, "%s is full: %d digits", d->dir, DT_DIGITS_MAX);
    DT_TRY(reserve(d, n + 1));
    memcpy(d->images.bytes + d->images.nbytes, image, picture_bytes(d));
    d->labels.bytes[d->labels.nbytes] = label;
    set_count(d, n + 1);
    dt_status status = put_files(d, images_name, labels_name);
    if (status != DT_OK)
        set_count(d, n);
    return status;
}

dt_status dt_digits_undo(dt_digits *d) {
    size_t n = d->n;
    if (n == 0)
        return dt_fail(DT_EUSAGE, "the set has no digit to take away");
    DT_TRY(settle(d));
    set_count(d, n - 1);
    dt_status status = put_files(d, labels_name, images_name);
    if (status != DT_OK)
        set_count(d, n);
    return status;
}

const uint8_t *dt_digits_image(const dt_digits *d, size_t i) {
    return d->images.bytes + IMAGES_HEADER + i * picture_bytes(d);
}

uint8_t dt_digits_label(const dt_digits *d, size_t i) {
    return d->labels.bytes[LABELS_HEADER + i];
}
