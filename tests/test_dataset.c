/* A data set: both styles of names, plain and gzip, give the same arrays, hashes and figures on any
 * number of threads; files that do not belong together are named. */
#include <zlib.h>
#include "io/dataset.h"
#include "tests/t.h"

static char dir[] = "/tmp/dtrain-test-data-XXXXXX";

enum { N_TRAIN = 3000, N_TEST = 50, H = 17, W = 13 };
static unsigned char contents[4][16 + N_TRAIN * H * W];
static size_t length[4];
static const char *const base[4] = {"train-images", "train-labels", "t10k-images", "t10k-labels"};

static void make_file(int file, int n_dims, uint32_t n, uint32_t h, uint32_t w) {
    const uint32_t dims[3] = {n, h, w};
    unsigned char *p = contents[file];
    memcpy(p, (unsigned char[]){0, 0, 8, (unsigned char)n_dims}, 4);
    for (int i = 0; i < 4 * n_dims; i++)
        p[4 + i] = (unsigned char)(dims[i / 4] >> (24 - 8 * (i % 4)));
    length[file] = 4 + 4 * (size_t)n_dims + n * (n_dims == 3 ? h * w : 1);
    for (size_t i = 4 + 4 * (size_t)n_dims, k = 0; i < length[file]; i++, k++)
        p[i] = (unsigned char)(n_dims == 3 ? k * k % 251 + (k % 3 == 0) * 4 : (k * 7 + k / 5) % 10);
}

static void make_all(void) {
    make_file(0, 3, N_TRAIN, H, W);
    make_file(1, 1, N_TRAIN, 1, 1);
    make_file(2, 3, N_TEST, H, W);
    make_file(3, 1, N_TEST, 1, 1);
}

static const char *name_of(int file, int dot, int gz) {
    static char path[2][256];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, 256, "%s/%s%cidx%d-ubyte%s", dir, base[file], dot ? '.' : '-', file % 2 ? 1 : 3,
             gz ? ".gz" : "");
    return p;
}

static void put_file(int file, int dot, int gz) {
    gzFile f = gzopen(name_of(file, dot, gz), gz ? "wb1" : "wbT"); /* T: not compressed */
    T_CHECK(f && gzwrite(f, contents[file], (unsigned)length[file]) == (int)length[file] &&
            gzclose(f) == Z_OK);
}

static void clear(void) {
    for (int i = 0; i < 16; i++)
        unlink(name_of(i / 4, i / 2 % 2, i % 2));
}

static void put_all(int dot, int gz) {
    clear();
    for (int file = 0; file < 4; file++)
        put_file(file, dot, gz);
}

/* The figures another way: two passes, in long double. */
static void check_figures(const dt_dataset *d) {
    long double mean = 0, variance = 0;
    size_t n = N_TRAIN * H * W;
    for (size_t i = 0; i < n; i++)
        mean += contents[0][16 + i];
    mean /= (long double)n;
    for (size_t i = 0; i < n; i++)
        variance += (contents[0][16 + i] - mean) * (contents[0][16 + i] - mean);
    T_NEAR(d->mean, (double)(mean / 255), 1e-12, 0); /* valgrind has no long double */
    T_NEAR(d->std, (double)(sqrtl(variance / (long double)n) / 255), 1e-12, 0);
}

static void check_all(const dt_dataset *d) {
    T_CHECK(d->train.n == N_TRAIN && d->test.n == N_TEST && d->height == H && d->width == W);
    T_CHECK(d->classes == 10);
    T_CHECK(memcmp(d->train.images, contents[0] + 16, N_TRAIN * H * W) == 0);
    T_CHECK(memcmp(d->train.labels, contents[1] + 8, N_TRAIN) == 0);
    T_CHECK(memcmp(d->test.images, contents[2] + 16, N_TEST * H * W) == 0);
    T_CHECK(memcmp(d->test.labels, contents[3] + 8, N_TEST) == 0);
    for (int file = 0; file < 4; file++) {
        char want[DT_SHA256_HEX];
        dt_sha256(contents[file], length[file], want); /* of the contents, compressed or not */
        T_CHECK(strcmp(d->sha256[file], want) == 0);
    }
    check_figures(d);
}

static void test_styles(void) {
    double mean = 0, std = 0;
    for (int style = 0; style < 4; style++)
        for (int threads = 1; threads <= 5; threads++) {
            dt_dataset *d = NULL;
            put_all(style / 2, style % 2);
            T_OK(dt_dataset_open(dir, threads, &d));
            if (!d)
                continue;
            check_all(d);
            if (style + threads > 1)
                T_CHECK(d->mean == mean && d->std == std); /* the same bits */
            mean = d->mean;
            std = d->std;
            for (int file = 0; file < 4; file++)
                T_CHECK(strcmp(d->path[file], name_of(file, style / 2, style % 2)) == 0);
            dt_dataset_close(&d);
            T_CHECK(d == NULL);
        }
}

/* Dash before dot, plain before gzip; and styles may be mixed. */
static void test_order(void) {
    dt_dataset *d = NULL;
    put_all(1, 1);
    put_file(0, 1, 0);
    put_file(1, 0, 1);
    put_file(2, 0, 0);
    put_file(2, 0, 1);
    T_OK(dt_dataset_open(dir, 2, &d));
    if (!d)
        return;
    T_CHECK(strcmp(d->path[0], name_of(0, 1, 0)) == 0);
    T_CHECK(strcmp(d->path[1], name_of(1, 0, 1)) == 0);
    T_CHECK(strcmp(d->path[2], name_of(2, 0, 0)) == 0);
    T_CHECK(strcmp(d->path[3], name_of(3, 1, 1)) == 0);
    check_all(d);
    dt_dataset_close(&d);
}

static void fails(const char *word) {
    dt_dataset *d = (dt_dataset *)&length;
    for (int threads = 1; threads <= 3; threads += 2) {
        T_FAILS(dt_dataset_open(dir, threads, &d), DT_EDATA, word);
        T_CHECK(d == NULL);
    }
}

static void test_missing(void) {
    for (int file = 0; file < 4; file++) {
        put_all(0, 0);
        unlink(name_of(file, 0, 0));
        fails(base[file]);
        fails(dir);
        fails("launch/fetch-data.sh");
        fails("--data");
    }
    dt_dataset *d;
    T_FAILS(dt_dataset_open("/nowhere", 1, &d), DT_EDATA, "/nowhere: no train-images");
}

/* One file is replaced by another that is fine in itself. */
static void replaced(int file, int n_dims, uint32_t n, uint32_t h, uint32_t w, const char *word) {
    make_file(file, n_dims, n, h, w);
    put_all(0, 0);
    make_all();
    fails(word);
    fails(base[file]);
}

static void test_mismatch(void) {
    replaced(1, 1, N_TRAIN - 1, 1, 1, "has 3000 images, but");
    replaced(1, 1, N_TRAIN - 1, 1, 1, "has 2999 labels");
    replaced(3, 1, N_TEST + 1, 1, 1, "has 50 images, but");
    replaced(2, 3, N_TEST, W, H, "images of 17 x 13, but");
    replaced(0, 1, N_TRAIN, 1, 1, "1 dimensions; a file of images has 3");
    replaced(3, 3, N_TEST, 1, 1, "3 dimensions; a file of labels has 1");
    replaced(0, 3, 1, 1, 4097, "at most 4096 x 4096");
}

static void test_damaged(void) {
    for (int file = 0; file < 4; file++) {
        make_all();
        length[file]--;
        put_all(0, 0);
        fails("cut short");
        fails(base[file]);
        fails("launch/fetch-data.sh");
    }
    make_all();
    memset(contents[0] + 16, 9, N_TRAIN * H * W);
    put_all(0, 0);
    fails("all pixels have the value 9");
    make_all();
}

/* The sentence reaches the caller whichever thread meets the fault: in a hundred tries, not always
 * its own. */
static void test_thread_fails(void) {
    length[3]--;
    put_all(0, 1);
    int good = 1;
    for (int i = 0; i < 100; i++) {
        dt_dataset *d;
        dt_error_set("");
        good &= dt_dataset_open(dir, 4, &d) == DT_EDATA;
        good &= strstr(dt_error(), base[3]) != NULL;
    }
    T_CHECK(good);
    make_all();
}

static void test_labels(void) {
    dt_dataset *d = NULL;
    contents[3][8 + 41] = 12;
    put_all(0, 0);
    T_OK(dt_dataset_open(dir, 1, &d));
    if (d) {
        T_CHECK(d->classes == 13);
        T_OK(dt_dataset_check_labels(d, 13));
        T_FAILS(dt_dataset_check_labels(d, 12), DT_EDATA, "label 12 of sample 41");
        T_FAILS(dt_dataset_check_labels(d, 10), DT_EDATA, base[3]);
        T_FAILS(dt_dataset_check_labels(d, 9), DT_EDATA, base[1]);
    }
    dt_dataset_close(&d);
    make_all();
}

/* The largest sums there can be: 32-bit ones over all the pixels of a thread would overflow. */
static void test_white(void) {
    dt_dataset *d = NULL;
    memset(contents[0] + 16, 255, N_TRAIN * H * W);
    contents[0][16] = 0;
    put_all(0, 1);
    T_OK(dt_dataset_open(dir, 2, &d));
    if (d)
        check_figures(d);
    dt_dataset_close(&d);
    make_all();
}

/* The test set alone, with and without training files beside it. */
static void test_test_alone(void) {
    dt_dataset *d = NULL;
    put_all(0, 0);
    for (int turn = 0; turn < 2; turn++) {
        if (!T_OK(dt_dataset_open_test(dir, 2, &d)))
            return;
        T_CHECK(d->train.n == 0 && d->test.n == N_TEST && d->height == H && d->width == W);
        T_CHECK(memcmp(d->test.images, contents[2] + 16, N_TEST * H * W) == 0);
        T_CHECK(memcmp(d->test.labels, contents[3] + 8, N_TEST) == 0);
        T_CHECK(d->sha256[0][0] == 0 && strlen(d->sha256[2]) == 64 && strlen(d->sha256[3]) == 64);
        T_CHECK(d->classes == 10);
        T_OK(dt_dataset_check_labels(d, 10));
        T_FAILS(dt_dataset_check_labels(d, 5), DT_EDATA, "t10k-labels");
        dt_dataset_close(&d);
        unlink(name_of(0, 0, 0));
        unlink(name_of(1, 0, 0));
    }
    T_FAILS(dt_dataset_open(dir, 2, &d), DT_EDATA, "no train-images");
    make_file(3, 1, N_TEST - 1, 1, 1);
    put_file(3, 0, 0);
    T_FAILS(dt_dataset_open_test(dir, 2, &d), DT_EDATA, "has 50 images");
    make_all();
    unlink(name_of(2, 0, 0));
    T_FAILS(dt_dataset_open_test(dir, 2, &d), DT_EDATA, "no t10k-images");
}

int main(void) {
    T_BEGIN(60);
    if (!mkdtemp(dir))
        return 1;
    make_all();
    test_styles();
    test_order();
    test_missing();
    test_mismatch();
    test_damaged();
    test_thread_fails();
    test_labels();
    test_white();
    test_test_alone();
    clear();
    T_CHECK(rmdir(dir) == 0);
    return t_finish();
}
