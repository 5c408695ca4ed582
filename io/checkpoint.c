/* io/checkpoint.c - the state of a run in one HDF5 file that knows no rank.
 *
 * Layout, version 1:
 *
 *   /                                       the scalar facts as attributes, under the names of
 *                                           dt_checkpoint's fields (but for data = data_name)
 *   /parameters/<layer>/weight, bias        float32, members in network order
 *   /optimizer/<slot>/<layer>/weight, bias  the same shapes
 *
 * Groups keep the order in which their members were made, so the order of the file is the order of
 * the flat arrays, and params_sha256 is the digest of the data sets' bytes in that order.
 *
 * A later version must go on reading version 1: tests/golden/checkpoint-v1.h5 is one. */
#include "io/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dtrain_version.h"
#include "io/dataset.h"
#include "io/h5.h"
#include "io/log.h"

enum { TENSORS_MAX = 4096, ROOT_PATH = 48, OBJECT_PATH = 128 };

static const char format[] = "dtrain-checkpoint";

_Static_assert(sizeof(float) == 4, "files hold float32");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "params_sha256 is that of little-endian floats");
_Static_assert((int)DT_TENSOR_DIMS == (int)DT_H5_DIMS, "a tensor is a data set");

/* --- writing --- */

/* The tensors must tile the flat arrays in order: that order is all that the file keeps. */
static dt_status check_tensors(const char *path, const dt_checkpoint *c) {
    size_t at = 0;
    for (int i = 0; i < c->n_tensors; i++) {
        const dt_tensor *t = &c->tensors[i];
        size_t n = 1;
        for (int d = 0; d < t->n_dims; d++)
            n *= (size_t)t->dims[d];
        if (t->at != at || t->n != n)
            return dt_fail(
                DT_EIO, "%s: tensor %s has %zu elements at %zu, its shape and place say %zu at %zu",
                path, t->name, t->n, t->at, n, at);
        at += n;
    }
    if (at != c->n_params)
        return dt_fail(DT_EIO, "%s: the tensors have %zu elements, the parameters %zu", path, at,
                       c->n_params);
    return DT_OK;
}

static void put_attributes(dt_h5 *file, const dt_checkpoint *c) {
    int64_t shape[3] = {c->input_shape[0], c->input_shape[1], c->input_shape[2]},
            classes = c->classes;
    const char *sha256[4];
    for (int i = 0; i < 4; i++)
        sha256[i] = c->data_sha256[i];
    dt_h5_put_text(file, "/", "model", c->model ? c->model : "");
    dt_h5_put(file, "/", "input_shape", DT_H5_I64, 3, shape);
    dt_h5_put(file, "/", "classes", DT_H5_I64, 1, &classes);
    dt_h5_put(file, "/", "mean", DT_H5_F64, 1, &c->mean);
    dt_h5_put(file, "/", "std", DT_H5_F64, 1, &c->std);
    dt_h5_put(file, "/", "epoch", DT_H5_I64, 1, &c->epoch);
    dt_h5_put(file, "/", "step", DT_H5_I64, 1, &c->step);
    dt_h5_put(file, "/", "samples_seen", DT_H5_I64, 1, &c->samples_seen);
    dt_h5_put(file, "/", "seed", DT_H5_U64, 1, &c->seed);
    dt_h5_put(file, "/", "epoch_sums", DT_H5_I64, 4, c->epoch_sums);
    dt_h5_put(file, "/", "best_value", DT_H5_F64, 1, &c->best_value);
    dt_h5_put(file, "/", "best_step", DT_H5_I64, 1, &c->best_step);
    dt_h5_put_text(file, "/", "best_kind", c->best_kind);
    dt_h5_put_text(file, "/", "config", c->config ? c->config : "{}");
    dt_h5_put_text(file, "/", "fingerprint", c->fingerprint ? c->fingerprint : "");
    dt_h5_put_text(file, "/", "data", c->data_name ? c->data_name : "");
    dt_h5_put_texts(file, "/", "data_files", 4, dt_dataset_files);
    dt_h5_put_texts(file, "/", "data_sha256", 4, sha256);
    dt_h5_put_text(file, "/", "params_sha256", c->params_sha256);
}

/* The group of the tensor's layer, made when a layer begins. */
static void put_layer_group(dt_h5 *file, const char *root, const dt_checkpoint *c, int i) {
    char path[OBJECT_PATH];
    const char *name = c->tensors[i].name;
    size_t n = strcspn(name, "/"); /* of the layer's name */
    if (i > 0 && strncmp(name, c->tensors[i - 1].name, n + 1) == 0)
        return;
    snprintf(path, sizeof path, "%s/%.*s", root, (int)n, name);
    dt_h5_put_group(file, path);
}

static void put_tensors(dt_h5 *file, const char *root, const dt_checkpoint *c,
                        const float *values) {
    char path[OBJECT_PATH];
    dt_h5_put_group(file, root);
    for (int i = 0; i < c->n_tensors; i++) {
        const dt_tensor *t = &c->tensors[i];
        put_layer_group(file, root, c, i);
        snprintf(path, sizeof path, "%s/%s", root, t->name);
        dt_h5_put_data(file, path, DT_H5_F32, t->n_dims, t->dims, values + t->at);
    }
}

dt_status dt_checkpoint_write(const char *path, dt_checkpoint *c) {
    dt_h5 *file;
    char root[ROOT_PATH];
    DT_TRY(check_tensors(path, c));
    dt_sha256(c->params, c->n_params * sizeof *c->params, c->params_sha256);
    snprintf(c->version, sizeof c->version, "%s", DTRAIN_VERSION_FULL);
    DT_TRY(dt_h5_create(path, format, DT_CHECKPOINT_VERSION, c->created, &file));
    put_attributes(file, c);
    put_tensors(file, "/parameters", c, c->params);
    dt_h5_put_text(
        file, "/parameters", "description",
        "network parameters, layers in network order; conv (out, in, h, w), fc (out, in)");
    dt_h5_put_group(file, "/optimizer");
    for (int s = 0; s < c->n_slots; s++) {
        snprintf(root, sizeof root, "/optimizer/%s", c->slot_name[s]);
        put_tensors(file, root, c, c->slots[s]);
    }
    return dt_h5_finish(&file, path);
}

/* --- reading --- */

static dt_status get_attributes(dt_h5 *file, dt_checkpoint *c) {
    int64_t shape[3], classes;
    DT_TRY(dt_h5_copy_text(file, "/", "created", c->created, sizeof c->created));
    DT_TRY(dt_h5_copy_text(file, "/", "dtrain_version", c->version, sizeof c->version));
    DT_TRY(dt_h5_get_text(file, "/", "model", &c->model));
    DT_TRY(dt_h5_get(file, "/", "input_shape", DT_H5_I64, 3, shape));
    DT_TRY(dt_h5_get(file, "/", "classes", DT_H5_I64, 1, &classes));
    DT_TRY(dt_h5_get(file, "/", "mean", DT_H5_F64, 1, &c->mean));
    DT_TRY(dt_h5_get(file, "/", "std", DT_H5_F64, 1, &c->std));
    DT_TRY(dt_h5_get(file, "/", "epoch", DT_H5_I64, 1, &c->epoch));
    DT_TRY(dt_h5_get(file, "/", "step", DT_H5_I64, 1, &c->step));
    DT_TRY(dt_h5_get(file, "/", "samples_seen", DT_H5_I64, 1, &c->samples_seen));
    DT_TRY(dt_h5_get(file, "/", "seed", DT_H5_U64, 1, &c->seed));
    DT_TRY(dt_h5_get(file, "/", "epoch_sums", DT_H5_I64, 4, c->epoch_sums));
    DT_TRY(dt_h5_get(file, "/", "best_value", DT_H5_F64, 1, &c->best_value));
    DT_TRY(dt_h5_get(file, "/", "best_step", DT_H5_I64, 1, &c->best_step));
    DT_TRY(dt_h5_copy_text(file, "/", "best_kind", c->best_kind, sizeof c->best_kind));
    DT_TRY(dt_h5_get_text(file, "/", "config", &c->config));
    DT_TRY(dt_h5_get_text(file, "/", "fingerprint", &c->fingerprint));
    DT_TRY(dt_h5_get_text(file, "/", "data", &c->data_name));
    DT_TRY(dt_h5_copy_text(file, "/", "params_sha256", c->params_sha256, sizeof c->params_sha256));
    for (int i = 0; i < 3; i++) {
        if (shape[i] < 1 || shape[i] > INT_MAX)
            return dt_fail(DT_EIO, "%s: its input_shape has a %" PRId64, dt_h5_name(file),
                           shape[i]);
        c->input_shape[i] = (int)shape[i];
    }
    if (classes < 1 || classes > INT_MAX)
        return dt_fail(DT_EIO, "%s: it says %" PRId64 " classes", dt_h5_name(file), classes);
    c->classes = (int)classes;
    return DT_OK;
}

static dt_status get_data_digests(dt_h5 *file, dt_checkpoint *c) {
    char *sha256[4];
    DT_TRY(dt_h5_get_texts(file, "/", "data_sha256", 4, sha256));
    bool fit = true;
    for (int i = 0; i < 4; i++) {
        int n = snprintf(c->data_sha256[i], sizeof c->data_sha256[i], "%s", sha256[i]);
        fit = fit && n < DT_SHA256_HEX;
        free(sha256[i]);
    }
    if (!fit)
        return dt_fail(DT_EIO, "%s: a data_sha256 is longer than a digest", dt_h5_name(file));
    return DT_OK;
}

static dt_status check_position(dt_h5 *file, const dt_checkpoint *c) {
    if (c->epoch < 0 || c->step < 0 || c->samples_seen < 0 || c->best_step < -1)
        return dt_fail(DT_EIO,
                       "%s: its position is negative: epoch %" PRId64 ", step %" PRId64
                       ", samples_seen %" PRId64 ", best_step %" PRId64,
                       dt_h5_name(file), c->epoch, c->step, c->samples_seen, c->best_step);
    if (!isfinite(c->mean) || !isfinite(c->std) || c->std <= 0)
        return dt_fail(DT_EIO, "%s: its mean %g and std %g cannot scale pixels", dt_h5_name(file),
                       c->mean, c->std);
    return DT_OK;
}

/* Append the data set "<layer>/<member>" of /parameters to the tensors. */
static dt_status add_tensor(dt_h5 *file, const char *layer, const char *member, dt_checkpoint *c) {
    char path[OBJECT_PATH];
    if (c->n_tensors == TENSORS_MAX)
        return dt_fail(DT_EIO, "%s: more than %d parameter tensors", dt_h5_name(file), TENSORS_MAX);
    dt_tensor *grown = realloc(c->tensors, (size_t)(c->n_tensors + 1) * sizeof *grown);
    if (!grown)
        return dt_fail(DT_EDEVICE, "no memory for the tensors of %s", dt_h5_name(file));
    c->tensors = grown;
    dt_tensor *t = &grown[c->n_tensors];
    memset(t, 0, sizeof *t);
    int n = snprintf(t->name, sizeof t->name, "%s/%s", layer, member);
    if (n < 0 || (size_t)n >= sizeof t->name)
        return dt_fail(DT_EIO, "%s: the name %s/%s is longer than %zu bytes", dt_h5_name(file),
                       layer, member, sizeof t->name - 1);
    snprintf(path, sizeof path, "/parameters/%s", t->name);
    DT_TRY(dt_h5_dims(file, path, DT_H5_F32, &t->n_dims, t->dims, &t->n));
    if (t->n == 0)
        return dt_fail(DT_EIO, "%s: %s is empty", dt_h5_name(file), path);
    t->at = c->n_params;
    c->n_params += t->n;
    c->n_tensors++;
    return DT_OK;
}

static dt_status list_tensors(dt_h5 *file, dt_checkpoint *c) {
    char layer[24], member[24], group[OBJECT_PATH];
    int n_layers, n_members;
    DT_TRY(dt_h5_count(file, "/parameters", &n_layers));
    for (int l = 0; l < n_layers; l++) {
        DT_TRY(dt_h5_member(file, "/parameters", l, layer, sizeof layer));
        snprintf(group, sizeof group, "/parameters/%s", layer);
        DT_TRY(dt_h5_count(file, group, &n_members));
        for (int m = 0; m < n_members; m++) {
            DT_TRY(dt_h5_member(file, group, m, member, sizeof member));
            DT_TRY(add_tensor(file, layer, member, c));
        }
    }
    if (c->n_params == 0)
        return dt_fail(DT_EIO, "%s: it has no parameters", dt_h5_name(file));
    return DT_OK;
}

static dt_status get_values(dt_h5 *file, const char *root, const dt_checkpoint *c, float **values) {
    char path[OBJECT_PATH];
    *values = malloc(c->n_params * sizeof **values);
    if (!*values)
        return dt_fail(DT_EDEVICE, "no memory for %zu values of %s", c->n_params, dt_h5_name(file));
    for (int i = 0; i < c->n_tensors; i++) {
        snprintf(path, sizeof path, "%s/%s", root, c->tensors[i].name);
        DT_TRY(dt_h5_get_data(file, path, DT_H5_F32, c->tensors[i].n, *values + c->tensors[i].at));
    }
    return DT_OK;
}

/* Every tensor of the network must be there again under root, in the same shape. */
static dt_status check_slot(dt_h5 *file, const char *root, const dt_checkpoint *c) {
    char path[OBJECT_PATH];
    int64_t dims[DT_H5_DIMS];
    int n_dims;
    size_t n;
    for (int i = 0; i < c->n_tensors; i++) {
        const dt_tensor *t = &c->tensors[i];
        snprintf(path, sizeof path, "%s/%s", root, t->name);
        DT_TRY(dt_h5_dims(file, path, DT_H5_F32, &n_dims, dims, &n));
        if (n_dims != t->n_dims || memcmp(dims, t->dims, (size_t)n_dims * sizeof *dims) != 0)
            return dt_fail(DT_EIO, "%s: %s does not have the shape of its parameter",
                           dt_h5_name(file), path);
    }
    return DT_OK;
}

static dt_status get_slots(dt_h5 *file, dt_checkpoint *c) {
    char root[ROOT_PATH];
    int n_slots;
    DT_TRY(dt_h5_count(file, "/optimizer", &n_slots));
    if (n_slots > DT_CHECKPOINT_SLOTS)
        return dt_fail(DT_EIO, "%s: %d optimizer slots, at most %d are read", dt_h5_name(file),
                       n_slots, DT_CHECKPOINT_SLOTS);
    for (int s = 0; s < n_slots; s++) {
        DT_TRY(dt_h5_member(file, "/optimizer", s, c->slot_name[s], sizeof c->slot_name[s]));
        snprintf(root, sizeof root, "/optimizer/%s", c->slot_name[s]);
        DT_TRY(check_slot(file, root, c));
        DT_TRY(get_values(file, root, c, &c->slots[s]));
        c->n_slots = s + 1;
    }
    return DT_OK;
}

static dt_status fill(dt_h5 *file, dt_checkpoint *c) {
    char hex[DT_SHA256_HEX];
    DT_TRY(get_attributes(file, c));
    DT_TRY(get_data_digests(file, c));
    DT_TRY(check_position(file, c));
    DT_TRY(list_tensors(file, c));
    DT_TRY(get_values(file, "/parameters", c, &c->params));
    dt_sha256(c->params, c->n_params * sizeof *c->params, hex);
    if (strcmp(hex, c->params_sha256) != 0)
        return dt_fail(DT_EIO,
                       "%s: damaged: the SHA-256 of its parameters is %.12s..., it says %.12s...",
                       dt_h5_name(file), hex, c->params_sha256);
    return get_slots(file, c);
}

/* Takes the file, closes it. */
static dt_status load(dt_h5 *file, dt_checkpoint **out) {
    dt_status status;
    *out = calloc(1, sizeof **out);
    if (*out)
        status = fill(file, *out);
    else
        status = dt_fail(DT_EDEVICE, "no memory for a checkpoint");
    dt_h5_close(&file);
    if (status != DT_OK)
        dt_checkpoint_free(out);
    return status;
}

dt_status dt_checkpoint_read(const char *path, dt_checkpoint **out) {
    dt_h5 *file;
    *out = NULL;
    DT_TRY(dt_h5_open(path, format, DT_CHECKPOINT_VERSION, &file));
    return load(file, out);
}

dt_status dt_checkpoint_parse(const void *bytes, size_t nbytes, dt_checkpoint **out) {
    dt_h5 *file;
    *out = NULL;
    DT_TRY(dt_h5_open_image("a checkpoint in memory", bytes, nbytes, format, DT_CHECKPOINT_VERSION,
                            &file));
    return load(file, out);
}

void dt_checkpoint_free(dt_checkpoint **checkpoint) {
    dt_checkpoint *c = checkpoint ? *checkpoint : NULL;
    if (!c)
        return;
    free(c->model);
    free(c->config);
    free(c->fingerprint);
    free(c->data_name);
    free(c->tensors);
    free(c->params);
    for (int s = 0; s < DT_CHECKPOINT_SLOTS; s++)
        free(c->slots[s]);
    free(c);
    *checkpoint = NULL;
}

/* --- the checkpoints of a run directory --- */

static int format_name(char *name, size_t size, int64_t step) {
    return snprintf(name, size, "checkpoint-%" PRId64 ".h5", step);
}

/* The step in a file's name if it is exactly a checkpoint's name and then suffix, else -1. */
static int64_t step_of(const char *name, const char *suffix) {
    char again[NAME_MAX + 1], digits[20];
    if (sscanf(name, "checkpoint-%18[0-9].h5", digits) != 1)
        return -1;
    int64_t step = strtoll(digits, NULL, 10);
    int n = format_name(again, sizeof again, step);
    snprintf(again + n, sizeof again - (size_t)n, "%s", suffix);
    return strcmp(name, again) == 0 ? step : -1;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The steps of all checkpoints of dir, or of what is left of unfinished ones, by suffix; newest
 * first. A directory that is not there has none. Free *steps. */
static dt_status list_steps(const char *dir, const char *suffix, int64_t **steps, size_t *n) {
    dt_status status = DT_OK;
    struct dirent *entry;
    *steps = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? DT_OK
                               : dt_fail(DT_EIO, "cannot list %s: %s", dir, strerror(errno));
    while (status == DT_OK && (errno = 0, entry = readdir(d)) != NULL) {
        int64_t step = step_of(entry->d_name, suffix);
        if (step < 0)
            continue;
        int64_t *grown = realloc(*steps, (*n + 1) * sizeof *grown);
        if (grown) {
            *steps = grown;
            grown[(*n)++] = step;
        } else {
            status = dt_fail(DT_EDEVICE, "no memory for the list of %s", dir);
        }
    }
    if (status == DT_OK && errno != 0)
        status = dt_fail(DT_EIO, "cannot list %s: %s", dir, strerror(errno));
    closedir(d);
    if (status != DT_OK) {
        free(*steps);
        *steps = NULL;
        *n = 0;
    } else if (*n > 0) {
        qsort(*steps, *n, sizeof **steps, newest_first);
    }
    return status;
}

dt_status dt_checkpoint_path(char path[DT_PATH_MAX], const char *dir, int64_t step) {
    char name[64];
    format_name(name, sizeof name, step);
    return dt_path_join(path, dir, name);
}

/* The checkpoint that has this step's name, if it is of this step. */
static dt_status read_step(const char *dir, int64_t step, dt_checkpoint **out) {
    char path[DT_PATH_MAX];
    DT_TRY(dt_checkpoint_path(path, dir, step));
    DT_TRY(dt_checkpoint_read(path, out));
    if ((*out)->step == step)
        return DT_OK;
    dt_status status = dt_fail(DT_EIO, "%s: another one under this name: it is of step %" PRId64,
                               path, (*out)->step);
    dt_checkpoint_free(out);
    return status;
}

dt_status dt_checkpoint_newest(const char *dir, dt_checkpoint **out) {
    int64_t *steps;
    size_t n;
    *out = NULL;
    DT_TRY(list_steps(dir, "", &steps, &n));
    for (size_t i = 0; i < n && !*out; i++)
        if (read_step(dir, steps[i], out) != DT_OK)
            dt_warn("%s", dt_error());
    free(steps);
    if (n > 0 && !*out)
        return dt_fail(DT_EIO, "%s: none of its %zu checkpoints can be read", dir, n);
    return DT_OK;
}

dt_status dt_checkpoint_resolve(const char *file_or_dir, bool last, char path[DT_PATH_MAX]) {
    struct stat st;
    const char *name = last ? "latest.h5" : "best.h5";
    if (stat(file_or_dir, &st) != 0)
        return dt_fail(DT_EIO, "cannot open %s: %s", file_or_dir, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        int n = snprintf(path, DT_PATH_MAX, "%s", file_or_dir);
        return n < DT_PATH_MAX ? DT_OK
                               : dt_fail(DT_EUSAGE, "a path is too long: %.80s...", file_or_dir);
    }
    DT_TRY(dt_path_join(path, file_or_dir, name));
    if (stat(path, &st) == 0)
        return DT_OK;
    if (lstat(path, &st) == 0)
        return dt_fail(DT_EIO, "%s: the checkpoint that it links to is gone", path);
    return dt_fail(DT_EIO, "%s: no %s in it%s", file_or_dir, name,
                   last ? "" : "; --last takes latest.h5 instead");
}

/* Do dir/name (a link or a file) and path lead to the same file? */
static bool is_target(const char *dir, const char *name, const char *path) {
    char link[DT_PATH_MAX];
    struct stat a, b;
    return dt_path_join(link, dir, name) == DT_OK && stat(link, &a) == 0 && stat(path, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void remove_unless_linked(const char *dir, int64_t step, const char *suffix) {
    char path[DT_PATH_MAX], name[64];
    int n = format_name(name, sizeof name, step);
    snprintf(name + n, sizeof name - (size_t)n, "%s", suffix);
    if (dt_path_join(path, dir, name) != DT_OK || is_target(dir, "latest.h5", path) ||
        is_target(dir, "best.h5", path))
        return;
    if (unlink(path) != 0 && errno != ENOENT)
        dt_warn("cannot remove %s: %s", path, strerror(errno));
}

void dt_checkpoint_prune(const char *dir, int64_t newest, int keep) {
    int64_t *steps;
    size_t n;
    if (list_steps(dir, "", &steps, &n) != DT_OK) {
        dt_warn("%s", dt_error());
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (steps[i] <= newest && keep-- <= 0)
            remove_unless_linked(dir, steps[i], "");
    free(steps);
    if (list_steps(dir, ".tmp", &steps, &n) != DT_OK)
        return;
    for (size_t i = 0; i < n; i++)
        remove_unless_linked(dir, steps[i], ".tmp");
    free(steps);
}
