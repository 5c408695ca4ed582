/* io/mistakes.c - the most confident mistakes: kept sorted in memory, written as small data sets.
 *
 *   /mistakes/mistake                          [n] int64, the scale
 *   /mistakes/sample, label, predicted         [n] int64
 *   /mistakes/probability                      [n] float64
 *   /mistakes/image                            [n][row][column] uint8, 0 black */
#include "io/mistakes.h"

#include <stdlib.h>
#include <string.h>

static bool is_before(const dt_mistake *a, const dt_mistake *b) {
    return a->probability > b->probability ||
           (a->probability == b->probability && a->sample < b->sample);
}

void dt_mistakes_add(dt_mistakes *m, const dt_mistake *one) {
    size_t at = m->n;
    while (at > 0 && is_before(one, &m->worst[at - 1]))
        at--;
    if (at == DT_MISTAKES)
        return;
    m->n += m->n < DT_MISTAKES;
    memmove(&m->worst[at + 1], &m->worst[at], (m->n - at - 1) * sizeof *m->worst);
    m->worst[at] = *one;
}

dt_status dt_mistakes_picture(dt_mistakes *m, const uint8_t *images, int height, int width) {
    size_t size = (size_t)height * (size_t)width;
    uint8_t *image = malloc(m->n * size + 1);
    if (!image)
        return dt_fail(DT_EDEVICE, "no memory for the pictures of %zu mistakes", m->n);
    for (size_t i = 0; i < m->n; i++)
        memcpy(image + i * size, images + (size_t)m->worst[i].sample * size, size);
    free(m->image);
    m->image = image;
    m->height = height;
    m->width = width;
    return DT_OK;
}

void dt_mistakes_free(dt_mistakes *m) {
    free(m->image);
    *m = (dt_mistakes){0};
}

/* --- in a file --- */

static const struct {
    const char *path, *about;
    size_t at;
} columns[] = {
    {"/mistakes/sample", "number in the test set, from 0", offsetof(dt_mistake, sample)},
    {"/mistakes/label", "true class", offsetof(dt_mistake, label)},
    {"/mistakes/predicted", "class that was predicted", offsetof(dt_mistake, predicted)},
    {"/mistakes/probability", "of the class that was predicted", offsetof(dt_mistake, probability)},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static dt_h5_kind kind_of(int column) {
    return column + 1 == COLUMNS ? DT_H5_F64 : DT_H5_I64;
}

static void describe(dt_h5 *file, const char *path, const char *about) {
    dt_h5_put_text(file, path, "units", "1");
    dt_h5_put_text(file, path, "description", about);
}

void dt_mistakes_put(dt_h5 *file, const dt_mistakes *m) {
    int64_t dims[3] = {(int64_t)m->n, m->height, m->width}, room[DT_MISTAKES];
    if (!m->image)
        return;
    dt_h5_put_group(file, "/mistakes");
    for (size_t i = 0; i < m->n; i++)
        room[i] = (int64_t)i;
    dt_h5_put_data(file, "/mistakes/mistake", DT_H5_I64, 1, dims, room);
    describe(file, "/mistakes/mistake",
             "of the last evaluation of the test set, the most confident one first");
    for (int c = 0; c < COLUMNS; c++) {
        for (size_t i = 0; i < m->n; i++)
            memcpy(&room[i], (const char *)&m->worst[i] + columns[c].at, sizeof *room);
        dt_h5_put_data(file, columns[c].path, kind_of(c), 1, dims, room);
        describe(file, columns[c].path, columns[c].about);
        dt_h5_put_scale(file, columns[c].path, 0, "mistake", "/mistakes/mistake");
    }
    dt_h5_put_data(file, "/mistakes/image", DT_H5_U8, 3, dims, m->image);
    describe(file, "/mistakes/image", "the picture, 0 black, 255 white");
    dt_h5_put_scale(file, "/mistakes/image", 0, "mistake", "/mistakes/mistake");
}

static dt_status get_column(dt_h5 *file, dt_mistakes *m, int c) {
    int64_t dims[DT_H5_DIMS], room[DT_MISTAKES];
    int n_dims;
    size_t n;
    DT_TRY(dt_h5_dims(file, columns[c].path, kind_of(c), &n_dims, dims, &n));
    if (n_dims != 1 || n != m->n)
        return dt_fail(DT_EIO, "%s: %s is not of %zu mistakes", dt_h5_name(file), columns[c].path,
                       m->n);
    DT_TRY(dt_h5_get_data(file, columns[c].path, kind_of(c), n, room));
    for (size_t i = 0; i < n; i++)
        memcpy((char *)&m->worst[i] + columns[c].at, &room[i], sizeof *room);
    return DT_OK;
}

dt_status dt_mistakes_get(dt_h5 *file, dt_mistakes *m) {
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    if (!dt_h5_has(file, "/mistakes/image"))
        return DT_OK;
    DT_TRY(dt_h5_dims(file, "/mistakes/image", DT_H5_U8, &n_dims, dims, &n));
    if (n_dims != 3 || dims[0] > DT_MISTAKES || dims[1] > 4096 || dims[2] > 4096)
        return dt_fail(DT_EIO, "%s: /mistakes/image is not of up to %d pictures", dt_h5_name(file),
                       DT_MISTAKES);
    m->n = (size_t)dims[0];
    m->height = (int)dims[1];
    m->width = (int)dims[2];
    for (int c = 0; c < COLUMNS; c++)
        DT_TRY(get_column(file, m, c));
    m->image = malloc(n + 1);
    if (!m->image)
        return dt_fail(DT_EDEVICE, "no memory for the pictures of %zu mistakes", m->n);
    return dt_h5_get_data(file, "/mistakes/image", DT_H5_U8, n, m->image);
}
