/* io/checkpoint.h - the state of a run in one HDF5 file that knows no rank.
 *
 * The layout is fixed by the format version and read by h5py, h5dump and HDFView without this
 * program: see README. A file is written to a temporary name and renamed, its first 512 bytes are a
 * user block with the SHA-256 of the rest, checked before HDF5 opens it. HDF5 is not thread-safe:
 * all functions of this header and of io/runfile.h take one lock. */
#ifndef DT_IO_CHECKPOINT_H
#define DT_IO_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/file.h"

enum { DT_CHECKPOINT_VERSION = 1, DT_CHECKPOINT_SLOTS = 2, DT_TENSOR_DIMS = 4 };

typedef struct {
    char name[32]; /* "conv1/weight" */
    int n_dims;
    int64_t dims[DT_TENSOR_DIMS];
    size_t at, n; /* offset into the flat arrays, elements */
} dt_tensor;

typedef struct {
    char *model;        /* network spec in words */
    int input_shape[3]; /* channels, rows, columns */
    int classes;
    double mean, std;
    int64_t epoch; /* epochs completed */
    int64_t step;  /* updates done in all (over epochs) */
    int64_t samples_seen;
    uint64_t seed;
    int64_t epoch_sums[4]; /* of the running epoch: loss (fixed point), correct, samples, 0 */
    double best_value;     /* NaN if none yet */
    int64_t best_step;     /* -1 if none yet */
    char best_kind[16];    /* "validation" or "test": what best_value measures */
    char *config;          /* all options, JSON object */
    char *fingerprint;     /* back end, CPU or GPU, libraries */
    char *data_name;       /* directory's last component */
    char data_sha256[4][DT_SHA256_HEX];
    char created[32];                  /* ISO 8601, UTC; filled in by write */
    char version[64];                  /* of dtrain; filled in by write */
    char params_sha256[DT_SHA256_HEX]; /* filled in by write, verified by read */

    dt_tensor *tensors;
    int n_tensors;
    float *params; /* [n_params] */
    size_t n_params;
    int n_slots;
    char slot_name[DT_CHECKPOINT_SLOTS][16];
    float *slots[DT_CHECKPOINT_SLOTS]; /* [n_params] each */
} dt_checkpoint;

/* Write path atomically (path.tmp first). DT_EIO: the message has the path and the system's reason;
 * path is as it was. */
DT_NODISCARD dt_status dt_checkpoint_write(const char *path, dt_checkpoint *checkpoint);
/* DT_EIO: missing, damaged (digest), cut, of another program or of a newer format; the message says
 * which. Everything read is bounded and checked. Free with dt_checkpoint_free(). */
DT_NODISCARD dt_status dt_checkpoint_read(const char *path, dt_checkpoint **out);
/* The same from memory, the user block's digest not checked: for the fuzzer. */
DT_NODISCARD dt_status dt_checkpoint_parse(const void *bytes, size_t nbytes, dt_checkpoint **out);
void dt_checkpoint_free(dt_checkpoint **checkpoint);

/* path = dir/checkpoint-<step>.h5. */
DT_NODISCARD dt_status dt_checkpoint_path(char path[DT_PATH_MAX], const char *dir, int64_t step);
/* The newest whole checkpoint of dir (by step; damaged ones, and ones whose name tells of another
 * step than they hold, are warned about and passed over); *out = NULL and DT_OK if there is none at
 * all; DT_EIO if there are only damaged ones. */
DT_NODISCARD dt_status dt_checkpoint_newest(const char *dir, dt_checkpoint **out);
/* file_or_dir: a file, or a run directory (then best.h5, or latest.h5 if last). */
DT_NODISCARD dt_status dt_checkpoint_resolve(const char *file_or_dir, bool last,
                                             char path[DT_PATH_MAX]);
/* Of the checkpoints of dir up to step newest remove all but the last keep, never what latest.h5 or
 * best.h5 link to; and left-over *.tmp files of checkpoints. Later ones, which were there and could
 * not be read when the run was resumed, neither count nor go. */
void dt_checkpoint_prune(const char *dir, int64_t newest, int keep);

#endif
