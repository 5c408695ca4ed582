/* The most confident mistakes: the right ones in the right order, whole after a file, refused when
 * the file's shapes cannot be. */
#include "io/mistakes.h"
#include "tests/t.h"

static dt_mistake made(int64_t sample) {
    /* probabilities that come in no order, some of them equal */
    return (dt_mistake){.sample = sample,
                        .label = sample % 10,
                        .predicted = (sample + 1) % 10,
                        .probability = (double)(sample * 7 % 20 + 1) / 32};
}

static bool is_sorted(const dt_mistakes *m) {
    for (size_t i = 1; i < m->n; i++) {
        const dt_mistake *a = &m->worst[i - 1], *b = &m->worst[i];
        if (a->probability < b->probability ||
            (a->probability == b->probability && a->sample >= b->sample))
            return false;
    }
    return true;
}

/* Whatever the order in which they come, and in how many parts. */
static void test_order(void) {
    dt_mistakes forward = {0}, backward = {0};
    for (int64_t i = 0; i < 100; i++) {
        dt_mistake a = made(i), b = made(99 - i);
        dt_mistakes_add(&forward, &a);
        dt_mistakes_add(&backward, &b);
        T_CHECK(forward.n == (size_t)(i < DT_MISTAKES ? i + 1 : DT_MISTAKES));
    }
    T_CHECK(is_sorted(&forward) && forward.worst[0].probability == 20.0 / 32);
    T_CHECK(memcmp(forward.worst, backward.worst, sizeof forward.worst) == 0);
    T_CHECK(forward.worst[DT_MISTAKES - 1].probability == 16.0 / 32);
}

static void test_file(size_t n) {
    enum { HEIGHT = 5, WIDTH = 3, SIZE = HEIGHT * WIDTH };
    static uint8_t images[100 * SIZE];
    char created[DT_H5_CREATED];
    dt_mistakes m = {0}, back = {0};
    dt_h5 *file;
    for (int i = 0; i < 100 * SIZE; i++)
        images[i] = (uint8_t)(i * 31);
    for (size_t i = 0; i < n; i++) {
        dt_mistake one = made((int64_t)(i * 3));
        dt_mistakes_add(&m, &one);
    }
    T_OK(dt_mistakes_picture(&m, images, HEIGHT, WIDTH));
    for (size_t i = 0; i < m.n; i++)
        T_CHECK(memcmp(m.image + i * SIZE, images + m.worst[i].sample * SIZE, SIZE) == 0);
    T_OK(dt_h5_create("m", "test", 1, created, &file));
    dt_mistakes_put(file, &m);
    T_OK(dt_h5_finish(&file, "m.h5"));
    T_OK(dt_h5_open("m.h5", "test", 1, &file));
    T_OK(dt_mistakes_get(file, &back));
    T_CHECK(back.n == m.n && back.height == HEIGHT && back.width == WIDTH);
    T_CHECK(memcmp(back.worst, m.worst, m.n * sizeof *m.worst) == 0);
    T_CHECK(back.image && memcmp(back.image, m.image, m.n * SIZE) == 0);
    dt_h5_close(&file);
    dt_mistakes_free(&back);
    dt_mistakes_free(&m);
    T_CHECK(m.n == 0 && m.image == NULL);
}

/* More pictures than there is room for, columns of another length, or none at all. */
static void test_refused(void) {
    static const uint8_t image[25 * 4];
    const int64_t labels[2] = {1, 2};
    char created[DT_H5_CREATED];
    dt_mistakes back = {0};
    for (int64_t n = 24; n <= 25; n++) {
        dt_h5 *file;
        T_OK(dt_h5_create("bad", "test", 1, created, &file));
        dt_h5_put_group(file, "/mistakes");
        dt_h5_put_data(file, "/mistakes/image", DT_H5_U8, 3, (const int64_t[]){n, 2, 2}, image);
        dt_h5_put_data(file, "/mistakes/sample", DT_H5_I64, 1, (const int64_t[]){2}, labels);
        T_OK(dt_h5_finish(&file, "bad.h5"));
        T_OK(dt_h5_open("bad.h5", "test", 1, &file));
        T_FAILS(dt_mistakes_get(file, &back), DT_EIO, n == 25 ? "up to 24 pictures" : "of 24");
        dt_h5_close(&file);
        dt_mistakes_free(&back);
    }
    dt_h5 *file;
    T_OK(dt_h5_create("none", "test", 1, created, &file));
    dt_mistakes_put(file, &back);
    T_OK(dt_h5_finish(&file, "none.h5"));
    T_OK(dt_h5_open("none.h5", "test", 1, &file));
    T_CHECK(!dt_h5_has(file, "/mistakes"));
    T_OK(dt_mistakes_get(file, &back));
    T_CHECK(back.n == 0);
    dt_h5_close(&file);
}

int main(void) {
    T_BEGIN(60);
    test_order();
    test_file(0);
    test_file(1);
    test_file(30);
    test_refused();
    return t_finish();
}
