/* io/dataset.c - a directory with four IDX files as arrays, checked, hashed and measured.
 *
 * A start reads all 55 MB of MNIST once, and the program's whole start-up has 0.3 s. So the work is
 * cut into jobs that threads take from a list, largest first: opening a file (inflating it, if it
 * is gzip), hashing it (SHA-256 has no parallel form, but four files do), and summing the training
 * pixels.
 *
 * Mean and standard deviation come from the integer sums of v and v * v: exact, whatever the order.
 */
#include "io/dataset.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS, N_FILES };

enum { SIDE_MAX = 4096, THREADS_MAX = 16, N_SUMS = 8 };

const char *const dt_dataset_files[N_FILES] = {"train-images", "train-labels", "t10k-images",
                                               "t10k-labels"};
static const char *const ending[N_FILES] = {"idx3-ubyte", "idx1-ubyte", "idx3-ubyte", "idx1-ubyte"};

/* path = the first of the file's four possible names that is there. */
static dt_status find_file(const char *dir, int file, char path[DT_PATH_MAX]) {
    char name[64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%c%s%s", dt_dataset_files[file], i < 2 ? '-' : '.',
                 ending[file], i % 2 ? ".gz" : "");
        DT_TRY(dt_path_join(path, dir, name));
        if (dt_path_exists(path))
            return DT_OK;
    }
    return dt_fail(DT_EDATA,
                   "%s: no %s-%s there (nor with .gz, nor named %s.%s): launch/fetch-data.sh gets "
                   "MNIST, --data names another directory",
                   dir, dt_dataset_files[file], ending[file], dt_dataset_files[file], ending[file]);
}

/* Jobs for a few threads. A thread that fails leaves the first failure here for the one that waits.
 */
typedef struct {
    dt_status (*run)(void *ctx, int job);
    void *ctx;
    int n;
    atomic_int next;
    pthread_mutex_t lock;
    dt_status status;
    char error[DT_ERROR_MAX];
} job_list;

static void *work(void *arg) {
    job_list *jobs = arg;
    for (int job; (job = atomic_fetch_add(&jobs->next, 1)) < jobs->n;) {
        dt_status status = jobs->run(jobs->ctx, job);
        if (status == DT_OK)
            continue;
        pthread_mutex_lock(&jobs->lock);
        if (jobs->status == DT_OK) {
            jobs->status = status;
            dt_error_copy(jobs->error);
        }
        pthread_mutex_unlock(&jobs->lock);
    }
    return NULL;
}

/* run(ctx, 0 .. n-1), each once, on up to n_threads threads, this one among them. */
static dt_status run_jobs(int n, int n_threads, dt_status (*run)(void *, int), void *ctx) {
    pthread_t thread[THREADS_MAX];
    int n_started = 0;
    job_list jobs = {.run = run, .ctx = ctx, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
    while (n_started < n_threads - 1 && n_started < n - 1 && n_started < THREADS_MAX &&
           pthread_create(&thread[n_started], NULL, work, &jobs) == 0)
        n_started++; /* a thread that does not start leaves its share to the others */
    work(&jobs);
    for (int i = 0; i < n_started; i++)
        pthread_join(thread[i], NULL);
    if (jobs.status != DT_OK)
        dt_error_set(jobs.error);
    return jobs.status;
}

static dt_status open_file(void *ctx, int file) {
    dt_dataset *d = ctx;
    dt_status status = dt_idx_open(d->path[file], &d->file[file]);
    if (status == DT_EDATA)
        return dt_fail(status, "%s (launch/fetch-data.sh replaces damaged files of MNIST)",
                       dt_error());
    return status;
}

static dt_status check_dims(const dt_dataset *d, int file) {
    const dt_idx *idx = &d->file[file];
    int want = file == TRAIN_IMAGES || file == TEST_IMAGES ? 3 : 1;
    if (idx->n_dims != want)
        return dt_fail(DT_EDATA, "%s: %d dimensions; %s has %d", d->path[file], idx->n_dims,
                       want == 3 ? "a file of images" : "a file of labels", want);
    if (want == 3 && (idx->dims[1] > SIDE_MAX || idx->dims[2] > SIDE_MAX))
        return dt_fail(DT_EDATA, "%s: images of %u x %u; at most %d x %d are supported",
                       d->path[file], idx->dims[1], idx->dims[2], SIDE_MAX, SIDE_MAX);
    return DT_OK;
}

/* Does a file's temporary name stand beside it? */
static bool is_being_written(const char *path) {
    char tmp[DT_PATH_MAX + 8];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    return dt_path_exists(tmp);
}

/* A set of io/digits.h whose change was cut off has one picture without a label, and a sign of it:
 * the set ends with its labels. */
static void drop_picture_without_label(dt_dataset *d) {
    dt_idx *images = &d->file[TEST_IMAGES];
    const dt_idx *labels = &d->file[TEST_LABELS];
    if (images->n_dims != 3 || labels->n_dims != 1 || images->dims[0] != labels->dims[0] + 1 ||
        !(is_being_written(d->path[TEST_IMAGES]) || is_being_written(d->path[TEST_LABELS])))
        return;
    images->dims[0] = labels->dims[0];
    images->n_bytes = (size_t)images->dims[0] * images->dims[1] * images->dims[2];
}

/* The files belong together. */
static dt_status check_files(const dt_dataset *d, int first) {
    for (int file = first; file < N_FILES; file++)
        DT_TRY(check_dims(d, file));
    for (int file = first; file < N_FILES; file += 2)
        if (d->file[file].dims[0] != d->file[file + 1].dims[0])
            return dt_fail(DT_EDATA, "%s has %u images, but %s has %u labels", d->path[file],
                           d->file[file].dims[0], d->path[file + 1], d->file[file + 1].dims[0]);
    const uint32_t *train = d->file[TRAIN_IMAGES].dims, *test = d->file[TEST_IMAGES].dims;
    if (first == TRAIN_IMAGES && (train[1] != test[1] || train[2] != test[2]))
        return dt_fail(DT_EDATA, "%s has images of %u x %u, but %s of %u x %u",
                       d->path[TRAIN_IMAGES], train[1], train[2], d->path[TEST_IMAGES], test[1],
                       test[2]);
    return DT_OK;
}

static void set_arrays(dt_dataset *d) {
    d->train = (dt_samples){d->file[TRAIN_IMAGES].data, d->file[TRAIN_LABELS].data,
                            d->file[TRAIN_IMAGES].dims[0]};
    d->test = (dt_samples){d->file[TEST_IMAGES].data, d->file[TEST_LABELS].data,
                           d->file[TEST_IMAGES].dims[0]};
    d->height = (int)d->file[TEST_IMAGES].dims[1];
    d->width = (int)d->file[TEST_IMAGES].dims[2];
    int largest = 0;
    for (size_t i = 0; i < d->train.n; i++)
        largest = d->train.labels[i] > largest ? d->train.labels[i] : largest;
    for (size_t i = 0; i < d->test.n; i++)
        largest = d->test.labels[i] > largest ? d->test.labels[i] : largest;
    d->classes = largest + 1;
}

/* Sums of a part of the training pixels. */
typedef struct {
    uint64_t v, v2;
} pixel_sums;

/* Written so that compilers make vector code of it: blocks short enough for 32-bit sums. */
static pixel_sums sum_pixels(const uint8_t *p, size_t n) {
    enum { BLOCK = 32768 }; /* 32768 * 255 * 255 < 2^31 */
    pixel_sums sums = {0, 0};
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t end = n - at < BLOCK ? n : at + BLOCK;
        int32_t v = 0, v2 = 0;
        for (size_t i = at; i < end; i++) {
            int16_t pixel = p[i];
            v += pixel;
            v2 += pixel * pixel;
        }
        sums.v += (uint64_t)v;
        sums.v2 += (uint64_t)v2;
    }
    return sums;
}

typedef struct {
    dt_dataset *d;
    pixel_sums sums[N_SUMS];
} measurement;

static dt_status hash_file(dt_dataset *d, int file) {
    const dt_idx *idx = &d->file[file];
    uint8_t header[4 + 4 * DT_IDX_MAX_DIMS] = {0, 0, 8, (uint8_t)idx->n_dims};
    for (int i = 0; i < 4 * idx->n_dims; i++)
        header[4 + i] = (uint8_t)(idx->dims[i / 4] >> (24 - 8 * (i % 4)));
    dt_sha256_state *state;
    DT_TRY(dt_sha256_begin(&state));
    dt_sha256_add(state, header, 4 + 4 * (size_t)idx->n_dims);
    dt_sha256_add(state, idx->data, idx->n_bytes);
    dt_sha256_end(&state, d->sha256[file]);
    if (!d->sha256[file][0])
        return dt_fail(DT_EDEVICE, "%s: OpenSSL failed to hash it", d->path[file]);
    return DT_OK;
}

/* Job 0 is the longest (hashing the training images), then come the sums, then the other hashes. */
static dt_status measure(void *ctx, int job) {
    measurement *m = ctx;
    if (job == 0 || job > N_SUMS)
        return hash_file(m->d, job == 0 ? TRAIN_IMAGES : job - N_SUMS);
    size_t n = m->d->file[TRAIN_IMAGES].n_bytes, part = (size_t)job - 1;
    size_t from = n / N_SUMS * part, to = part + 1 == N_SUMS ? n : n / N_SUMS * (part + 1);
    m->sums[part] = sum_pixels(m->d->train.images + from, to - from);
    return DT_OK;
}

__extension__ typedef unsigned __int128 wide; /* 64 bits are too few for MNIST */

static dt_status set_mean(dt_dataset *d, const pixel_sums sums[N_SUMS]) {
    uint64_t v = 0, v2 = 0;
    for (int i = 0; i < N_SUMS; i++) {
        v += sums[i].v;
        v2 += sums[i].v2;
    }
    size_t n = d->file[TRAIN_IMAGES].n_bytes;
    wide spread = (wide)n * v2 - (wide)v * v; /* n * n times the variance: no digits cancel */
    if (spread == 0)
        return dt_fail(DT_EDATA,
                       "%s: all pixels have the value %.0f: nothing can be learnt from it",
                       d->path[TRAIN_IMAGES], (double)v / (double)n);
    d->mean = (double)v / (double)n / 255;
    d->std = sqrt((double)spread) / (double)n / 255;
    return DT_OK;
}

static dt_status open_test_file(void *ctx, int job) {
    return open_file(ctx, TEST_IMAGES + job);
}

static dt_status hash_test_file(void *ctx, int job) {
    return hash_file(ctx, TEST_IMAGES + job);
}

static dt_status find_files(dt_dataset *d, const char *dir, int first) {
    for (int file = first; file < N_FILES; file++)
        DT_TRY(find_file(dir, file, d->path[file]));
    return DT_OK;
}

static dt_status open_all(dt_dataset *d, const char *dir, int n_threads) {
    measurement m = {.d = d};
    DT_TRY(find_files(d, dir, TRAIN_IMAGES));
    DT_TRY(run_jobs(N_FILES, n_threads, open_file, d));
    DT_TRY(check_files(d, TRAIN_IMAGES));
    set_arrays(d);
    DT_TRY(run_jobs(N_FILES + N_SUMS, n_threads, measure, &m));
    return set_mean(d, m.sums);
}

static dt_status open_test(dt_dataset *d, const char *dir, int n_threads) {
    DT_TRY(find_files(d, dir, TEST_IMAGES));
    DT_TRY(run_jobs(N_FILES - TEST_IMAGES, n_threads, open_test_file, d));
    drop_picture_without_label(d);
    DT_TRY(check_files(d, TEST_IMAGES));
    set_arrays(d);
    return run_jobs(N_FILES - TEST_IMAGES, n_threads, hash_test_file, d);
}

static dt_status open_by(dt_status (*open)(dt_dataset *, const char *, int), const char *dir,
                         int n_threads, dt_dataset **out) {
    *out = NULL;
    dt_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return dt_fail(DT_EDEVICE, "no memory for a data set's description");
    dt_status status = open(d, dir, n_threads);
    if (status != DT_OK) {
        dt_dataset_close(&d);
        return status;
    }
    *out = d;
    return DT_OK;
}

dt_status dt_dataset_open(const char *dir, int n_threads, dt_dataset **out) {
    return open_by(open_all, dir, n_threads, out);
}

dt_status dt_dataset_open_test(const char *dir, int n_threads, dt_dataset **out) {
    return open_by(open_test, dir, n_threads, out);
}

dt_status dt_dataset_check_labels(const dt_dataset *dataset, int classes) {
    const dt_samples *sets[2] = {&dataset->train, &dataset->test};
    if (dataset->classes <= classes)
        return DT_OK;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < sets[s]->n; i++)
            if (sets[s]->labels[i] >= classes)
                return dt_fail(DT_EDATA,
                               "%s: label %d of sample %zu, but the network has %d outputs "
                               "(labels 0 to %d)",
                               dataset->path[2 * s + 1], sets[s]->labels[i], i, classes,
                               classes - 1);
    return DT_OK;
}

void dt_dataset_close(dt_dataset **dataset) {
    if (!*dataset)
        return;
    for (int file = 0; file < N_FILES; file++)
        dt_idx_close(&(*dataset)->file[file]);
    free(*dataset);
    *dataset = NULL;
}
