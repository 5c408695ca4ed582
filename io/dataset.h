/* io/dataset.h - a directory with the four IDX files of MNIST, EMNIST, Fashion-MNIST ... as arrays.
 *
 * Names: {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, or with a dot before
 * idx, each plain or with .gz; the first that is there, in that order. */
#ifndef DT_IO_DATASET_H
#define DT_IO_DATASET_H

#include <stdbool.h>
#include "io/file.h"
#include "io/idx.h"

typedef struct {
    const uint8_t *images; /* [n][height][width], 0 = background */
    const uint8_t *labels; /* [n] */
    size_t n;
} dt_samples;

typedef struct {
    dt_samples train, test;
    int height, width;
    int classes;                   /* largest label of both sets + 1 */
    double mean, std;              /* of all training pixels / 255 (exact integer sums) */
    char path[4][DT_PATH_MAX];     /* train images, train labels, test images, test labels */
    char sha256[4][DT_SHA256_HEX]; /* of the files' uncompressed contents, header included */
    dt_idx file[4];
} dt_dataset;

/* What path[i], sha256[i] and file[i] are: "train-images" ... */
extern const char *const dt_dataset_files[4];

/* Open and check everything. DT_EDATA names the file that is missing or wrong and how to get one
 * (launch/fetch-data.sh). Frees all on failure. Hashing is spread over up to n_threads threads. */
DT_NODISCARD dt_status dt_dataset_open(const char *dir, int n_threads, dt_dataset **out);
/* The same of the test set alone, whether the training files are there or not: train is empty, its
 * digests are "", mean and std are 0. A set of io/digits.h is whole at any moment: of one that is
 * being changed, or whose change was cut off, it is what has labels. */
DT_NODISCARD dt_status dt_dataset_open_test(const char *dir, int n_threads, dt_dataset **out);
/* DT_EDATA if a label is not below classes, the number of a network's outputs; names the file,
 * sample and label. */
DT_NODISCARD dt_status dt_dataset_check_labels(const dt_dataset *dataset, int classes);
void dt_dataset_close(dt_dataset **dataset);

#endif
