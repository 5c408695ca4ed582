/* A set of digits: what is added is there after a new start, in files that any reader of IDX takes;
 * a change that is cut off at any moment, or fails, leaves the set before it or after it; a second
 * program is refused, and loses nothing of the first one's; what is no such set is left alone. */
#include <signal.h>
#include <sys/resource.h>
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

static void put_images(uint8_t n) {
    uint8_t images[16 + 3 * SIZE] = {0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, H, 0, 0, 0, W};
    for (size_t i = 0; i < n; i++)
        picture(images + 16 + i * SIZE, i);
    put_file("t10k-images-idx3-ubyte", images, 16 + (size_t)n * SIZE);
}

static void put_labels(uint8_t n) {
    uint8_t labels[11] = {0, 0, 8, 1, 0, 0, 0, n, label_of(0), label_of(1), label_of(2)};
    put_file("t10k-labels-idx1-ubyte", labels, 8 + (size_t)n);
}

/* How many samples a reader of data sets finds; -1: it refuses the set. */
static int n_read(void) {
    dt_dataset *data = NULL;
    if (dt_dataset_open_test(dir, 1, &data) != DT_OK)
        return -1;
    int n = (int)data->test.n;
    dt_dataset_close(&data);
    return n;
}

/* A start after an end between the two writes; and a reader that comes before it. */
static void test_left_over(void) {
    dt_digits *d = NULL;
    T_OK(dt_mkdirs(dir));
    put_images(1);
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(d->n == 0 && !dt_path_exists(path_of("t10k-images-idx3-ubyte")));
    dt_digits_close(&d);
    static const char *const signs[] = {"t10k-labels-idx1-ubyte.tmp", "t10k-images-idx3-ubyte.tmp"};
    for (int i = 0; i < 2; i++) {
        put_images(3);
        put_labels(2);
        T_CHECK(n_read() == -1 && strstr(dt_error(), "has 3 images, but"));
        put_file(signs[i], "", 0);
        T_CHECK(n_read() == 2);
        T_OK(dt_digits_open(dir, H, W, &d));
        T_CHECK(is_whole(d, 2) && !dt_path_exists(path_of(signs[i])));
        dt_digits_close(&d);
    }
    T_FAILS(dt_digits_open(dir, H + 1, W, &d), DT_EDATA, "has images of 28 x 28");
    T_CHECK(d == NULL);
    put_file("t10k-labels-idx1-ubyte", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 1, 3, 4}, 10);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "t10k-labels-idx1-ubyte");
    clear();
}

static off_t size_of(const char *name) {
    struct stat st;
    return stat(path_of(name), &st) == 0 ? st.st_size : -1;
}

/* What a set of digits never is: it stays as it was. */
static void test_not_ours(void) {
    dt_digits *d = NULL;
    T_OK(dt_mkdirs(dir));
    put_images(3);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "3 images for 0 labels");
    put_labels(1);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "3 images for 1 labels");
    T_CHECK(size_of("t10k-images-idx3-ubyte") == 16 + 3 * SIZE);
    T_CHECK(size_of("t10k-labels-idx1-ubyte") == 9);
    put_images(1);
    put_labels(2);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EDATA, "1 images for 2 labels");
    put_file("t10k-images-idx3-ubyte.tmp", "", 0);
    T_CHECK(n_read() == -1); /* a sign excuses a picture, no label */
    clear();
    static const char *const others[] = {"t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte"};
    for (int i = 0; i < 2; i++) {
        T_OK(dt_mkdirs(dir));
        put_file(others[i], "x", 1);
        T_FAILS(dt_digits_open(dir, H, W, &d), DT_EUSAGE, others[i]);
        T_CHECK(d == NULL && unlink(path_of(others[i])) == 0);
        clear();
    }
    FILE *f = fopen(dir, "w"); /* a file where the directory should be */
    T_CHECK(f && fclose(f) == 0);
    T_FAILS(dt_digits_open(dir, H, W, &d), DT_EIO, dir);
    unlink(dir);
}

/* Two programs begin where there is no set yet: what one has kept by its end, the other goes on
 * with. */
static void test_two(void) {
    dt_digits *first = NULL, *second = NULL;
    T_OK(dt_digits_open(dir, H, W, &first));
    T_OK(dt_digits_open(dir, H, W, &second));
    for (size_t i = 0; i < 5; i++)
        T_OK(add(first, i));
    T_FAILS(add(second, 5), DT_EUSAGE, "another dtrain serve");
    dt_digits_close(&first);
    T_CHECK(second->n == 0);
    put_file("t10k-labels-idx1-ubyte.gz", "x", 1);
    T_FAILS(add(second, 5), DT_EUSAGE, "t10k-labels-idx1-ubyte.gz");
    unlink(path_of("t10k-labels-idx1-ubyte.gz"));
    T_OK(add(second, 5));
    T_CHECK(is_whole(second, 6));
    dt_digits_close(&second);
    clear();
}

static void limit_files(rlim_t nbytes) {
    struct rlimit limit;
    T_CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = nbytes;
    T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* No room for pictures, but for labels: what is taken away goes in its middle. */
static void test_failing(void) {
    dt_digits *d = NULL;
    T_OK(dt_digits_open(dir, H, W, &d));
    for (size_t i = 0; i < 5; i++)
        T_OK(add(d, i));
    signal(SIGXFSZ, SIG_IGN);
    limit_files(SIZE);
    for (int i = 0; i < 3; i++) {
        T_FAILS(dt_digits_undo(d), DT_EIO, "t10k-images-idx3-ubyte");
        T_CHECK(d->n == 5);
        int n = n_read();
        T_CHECK(n == 4 || n == 5);
        T_FAILS(add(d, 5), DT_EIO, "t10k-images-idx3-ubyte");
        T_CHECK(d->n == 5 && n_read() >= 4);
    }
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    T_OK(add(d, 5));
    T_CHECK(is_whole(d, 6));
    T_OK(dt_digits_undo(d));
    T_CHECK(is_whole(d, 5));
    dt_digits_close(&d);
    clear();
}

/* An end exactly between the two writes: the system ends the program at the second. */
static void test_end_between(void) {
    dt_digits *d = NULL;
    pid_t child = fork();
    if (child == 0) {
        if (dt_digits_open(dir, H, W, &d) != DT_OK)
            _exit(1);
        for (size_t i = 0; i < 5; i++)
            if (add(d, i) != DT_OK)
                _exit(1);
        limit_files(SIZE);
        (void)!dt_digits_undo(d);
        _exit(0);
    }
    int how = 0;
    T_CHECK(waitpid(child, &how, 0) == child && WIFSIGNALED(how) && WTERMSIG(how) == SIGXFSZ);
    T_CHECK(size_of("t10k-images-idx3-ubyte") == 16 + 5 * SIZE);
    T_CHECK(size_of("t10k-labels-idx1-ubyte") == 8 + 4);
    T_CHECK(n_read() == 4);
    T_OK(dt_digits_open(dir, H, W, &d));
    T_CHECK(is_whole(d, 4));
    dt_digits_close(&d);
    clear();
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
        off_t images = size_of("t10k-images-idx3-ubyte"),
              labels = size_of("t10k-labels-idx1-ubyte");
        if (images >= 0 && labels >= 0) {
            n_left_over += (images - 16) / SIZE != labels - 8;
            T_CHECK(n_read() == (int)labels - 8);
        }
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
    test_not_ours();
    test_two();
    test_failing();
    test_end_between();
    test_killed();
    T_CHECK(rmdir(root) == 0);
    return t_finish();
}
