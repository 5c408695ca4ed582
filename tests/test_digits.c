/* A set of digits: what is added is there after a new start, in files that any reader of IDX takes;
 * a change that is cut off at any moment leaves the set before it or after it; a second program is
 * refused. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "io/dataset.h"
#include "io/digits.h"
#include "tests/t.h"

enum { H = 28, W = 28, SIZE = H * W };
static char dir[DT_PATH_MAX];

static void picture(uint8_t image[SIZE], size_t i) {
    for (size_t p = 0; p < SIZE; p++)
        image[p] = (uint8_t)(i * 31 + p * p);
}

static uint8_t label_of(size_t i) {
    return (uint8_t)(i * 7 % 10);
}

static dt_status add(dt_digits *d, size_t i) {
    uint8_t image[SIZE];
    picture(image, i);
    return dt_digits_add(d, image, label_of(i));
}

/* The set is 0 .. n-1, in memory and for a reader of data sets. */
static int is_whole(const dt_digits *d, size_t n) {
    uint8_t image[SIZE];
    dt_dataset *data = NULL;
    if (d->n != n)
        return 0;
    if (n > 0 && dt_dataset_open_test(dir, 1, &data) != DT_OK)
        return 0;
    int good = !data || (data->test.n == n && data->height == H && data->width == W);
    for (size_t i = 0; i < n && good; i++) {
        picture(image, i);
        good = memcmp(dt_digits_image(d, i), image, SIZE) == 0 &&
               dt_digits_label(d, i) == label_of(i) &&
               memcmp(data->test.images + i * SIZE, image, SIZE) == 0 &&
               data->test.labels[i] == label_of(i);
    }
    dt_dataset_close(&data);
    return good;
}

static const char *path_of(const char *name) {
    static char path[DT_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void clear(void) {
    unlink(path_of("t10k-images-idx3-ubyte"));
    unlink(path_of("t10k-labels-idx1-ubyte"));
    unlink(path_of("t10k-images-idx3-ubyte.tmp"));
    unlink(path_of("t10k-labels-idx1-ubyte.tmp"));
    rmdir(dir);
}

static void test_changes(void) {
    dt_digits *d = NULL;
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(d->n == 0 && !dt_path_exists(dir));
    T_FAILS(dt_digits_undo(d), DT_EUSAGE, "no digit");
    for (size_t i = 0; i < 40; i++)
        T_OK(add(d, i));
    T_CHECK(is_whole(d, 40));
    T_OK(dt_digits_undo(d));
    T_CHECK(is_whole(d, 39));
    dt_digits_close(&d);
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(is_whole(d, 39));
    dt_digits *second = NULL;
    T_FAILS(dt_digits_open(dir, H, W, &second), DT_EUSAGE, "another dtrain serve");
    while (d->n > 0)
        T_OK(dt_digits_undo(d));
    T_CHECK(!dt_path_exists(path_of("t10k-images-idx3-ubyte")));
    T_CHECK(!dt_path_exists(path_of("t10k-labels-idx1-ubyte")));
    T_OK(add(d, 0));
    T_CHECK(is_whole(d, 1));
    dt_digits_close(&d);
    clear();
}

static void put_file(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(path_of(name), "w");
    T_CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* A start after an end between the two writes. */
static void test_left_over(void) {
    dt_digits *d = NULL;
    static uint8_t images[16 + 3 * SIZE] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, H, 0, 0, 0, W};
    uint8_t labels[10] = {0, 0, 8, 1, 0, 0, 0, 2, label_of(0), label_of(1)};
    for (size_t i = 0; i < 3; i++)
        picture(images + 16 + i * SIZE, i);
    T_OK(dt_mkdirs(dir));
    put_file("t10k-images-idx3-ubyte", images, sizeof images);
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(d->n == 0 && !dt_path_exists(path_of("t10k-images-idx3-ubyte")));
    dt_digits_close(&d);
    put_file("t10k-images-idx3-ubyte", images, sizeof images);
    put_file("t10k-labels-idx1-ubyte", labels, sizeof labels);
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(is_whole(d, 2));
    dt_digits_close(&d);
    T_FAILS(dt_digits_open(dir, H + 1, W, &d), DT_EDATA, "has images of 28 x 28");
    T_CHECK(d == NULL);
    labels[7] = 1;
    put_file("t10k-labels-idx1-ubyte", labels, sizeof labels);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "t10k-labels-idx1-ubyte");
    images[7] = 1;
    put_file("t10k-images-idx3-ubyte", images, 16 + SIZE);
    put_file("t10k-labels-idx1-ubyte", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 2, 3, 4}, 10);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "1 images for 2 labels");
    clear();
    FILE *f = fopen(dir, "w"); /* a file where the directory should be */
    T_CHECK(f && fclose(f) == 0);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EIO, dir);
    unlink(dir);
}

/* A child adds and takes away as fast as it can, and tells how far it is; it is killed at a moment
 * of chance. */
static void change_for_ever(int tell) {
    dt_digits *d = NULL;
    if (dt_digits_open(dir, H, W, &d) != DT_OK)
        _exit(1);
    for (;;) {
        if (d->n > 30) {
            while (d->n > 2)
                if (dt_digits_undo(d) != DT_OK)
                    _exit(1);
        } else if (add(d, d->n) != DT_OK) {
            _exit(1);
        }
        if (write(tell, &d->n, sizeof d->n) < 0)
            _exit(1);
    }
}

static void test_killed(void) {
    int n_left_over = 0, n_whole = 0;
    for (int round = 0; round < 40; round++) {
        int ends[2];
        size_t n;
        T_CHECK(pipe(ends) == 0);
        pid_t child = fork();
        if (child == 0)
            change_for_ever(ends[1]);
        close(ends[1]);
        T_CHECK(read(ends[0], &n, sizeof n) == sizeof n);
        usleep((unsigned)(round * 397 % 5000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(ends[0]);
        struct stat images, labels;
        if (stat(path_of("t10k-images-idx3-ubyte"), &images) == 0 &&
            stat(path_of("t10k-labels-idx1-ubyte"), &labels) == 0)
            n_left_over += (images.st_size - 16) / SIZE != labels.st_size - 8;
        dt_digits *d = NULL;
        if (T_OK(dt_digits_open(dir, H, W, &d)))
            n_whole += is_whole(d, d->n);
        dt_digits_close(&d);
    }
    T_CHECK(n_whole == 40);
    printf("killed 40 times, %d times between the two files\n", n_left_over);
    clear();
}

int main(void) {
    T_BEGIN(60);
    char root[] = "/tmp/dtrain-test-digits-XXXXXX";
    T_CHECK(mkdtemp(root) != NULL);
    snprintf(dir, sizeof dir, "%s/set", root);
    test_changes();
    test_left_over();
    test_killed();
    T_CHECK(rmdir(root) == 0);
    return t_finish();
}
