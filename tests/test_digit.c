/* The preparation of pictures: one shape drawn in many ways, in any size, place, colour, polarity
 * and light, gives nearly the same 28 x 28, which is centred and as large as MNIST's; specks are
 * left out; nothing is seen where there is nothing. */
#include "launch/digit.h"
#include "tests/t.h"

typedef struct {
    int width, height; /* of the picture */
    double left, top;  /* of the shape */
    double size, pen;  /* its height, its line */
    double ground[3], ink[3];
    double slope; /* light from the side: levels from the left edge to the right */
    double noise; /* levels, uniform, to both sides */
    int specks;   /* dots of 2 x 2 */
} drawing;

static const drawing plain = {.width = 200,
                              .height = 200,
                              .left = 60,
                              .top = 50,
                              .size = 100,
                              .pen = 12,
                              .ground = {255, 255, 255},
                              .ink = {0, 0, 0}};

static double distance(double x, double y, const double a[2], const double b[2]) {
    double dx = b[0] - a[0], dy = b[1] - a[1];
    double t = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy);
    t = fmin(1, fmax(0, t));
    return hypot(x - a[0] - t * dx, y - a[1] - t * dy);
}

/* A seven: a bar and a leaning stem. */
static double cover(const drawing *d, double x, double y) {
    static const double points[3][2] = {{0, 0}, {0.6, 0}, {0.2, 1}};
    double near = 1e9;
    for (int i = 0; i < 2; i++) {
        double a[2] = {d->left + points[i][0] * d->size, d->top + points[i][1] * d->size};
        double b[2] = {d->left + points[i + 1][0] * d->size, d->top + points[i + 1][1] * d->size};
        near = fmin(near, distance(x, y, a, b));
    }
    return fmin(1, fmax(0, d->pen / 2 - near + 0.5));
}

static uint64_t state;
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static dt_image draw(const drawing *d, int channels) {
    dt_image image = {.width = d->width, .height = d->height, .channels = channels};
    size_t n = (size_t)d->width * (size_t)d->height;
    image.pixels = malloc(n * (size_t)channels);
    state = 7;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++) {
            double ink = cover(d, x + 0.5, y + 0.5);
            for (int i = 0; i < d->specks; i++)
                ink =
                    abs(x - 10 - 23 * i % (d->width - 20)) < 1 && abs(y - 8 - i % 20) < 1 ? 1 : ink;
            double light = d->slope * ((x + 0.5) / d->width - 0.5);
            for (int c = 0; c < channels; c++) {
                double v = d->ground[c] + ink * (d->ink[c] - d->ground[c]) + light +
                           d->noise * (2 * uniform() - 1);
                image.pixels[((size_t)y * (size_t)d->width + (size_t)x) * (size_t)channels +
                             (size_t)c] = (uint8_t)fmin(255, fmax(0, v + 0.5));
            }
        }
    return image;
}

static dt_digit prepare(const drawing *d, int channels, uint8_t *out) {
    dt_digit found;
    dt_image image = draw(d, channels);
    T_OK(dt_digit_prepare(&image, out, &found));
    dt_image_free(&image);
    return found;
}

/* Mean difference of the pixels, in levels. */
static double apart(const uint8_t *a, const uint8_t *b) {
    double sum = 0;
    for (int i = 0; i < DT_DIGIT_BYTES; i++)
        sum += abs(a[i] - b[i]);
    return sum / DT_DIGIT_BYTES;
}

static uint8_t truth[DT_DIGIT_BYTES];

static void same(const char *what, const drawing *d, int channels, double most) {
    uint8_t out[DT_DIGIT_BYTES];
    dt_digit found = prepare(d, channels, out);
    double got = apart(out, truth);
    if (!T_CHECK(found.has_ink && got <= most) || getenv("VERBOSE"))
        fprintf(stderr, "    %s: %.2f levels apart, ink %d, contrast %.0f, noise %.1f\n", what, got,
                found.has_ink, found.contrast, found.noise);
}

static void test_place(void) {
    dt_digit found = prepare(&plain, 1, truth);
    double mass = 0, mx = 0, my = 0;
    int top = 28, bottom = -1;
    for (int y = 0; y < 28; y++)
        for (int x = 0; x < 28; x++) {
            double v = truth[28 * y + x];
            mass += v;
            mx += v * x;
            my += v * y;
            if (v > 127) {
                top = y < top ? y : top;
                bottom = y;
            }
        }
    T_NEAR(mx / mass, 14, 0.05, 0);
    T_NEAR(my / mass, 14, 0.05, 0);
    T_CHECK(bottom - top + 1 >= 19 && bottom - top + 1 <= 21);
    T_CHECK(found.is_dark && found.pieces == 1 && found.specks == 0);
    T_NEAR(found.contrast, 255, 1, 0);
    T_NEAR(found.noise, 0, 0.5, 0);
    T_NEAR(found.cover, mass / 255, 0.01, 0);
    T_NEAR(found.left, 54, 1, 0);
    T_NEAR(found.top, 44, 1, 0);
    T_NEAR(found.width, 72, 2, 0);
    T_NEAR(found.height, 112, 2, 0);
}

static void test_ways(void) {
    drawing d = plain;
    d.left = 3 + d.pen;
    d.top = 80;
    same("in a corner", &d, 1, 0.8);
    d = plain;
    d.width = 1500;
    d.height = 1200;
    d.left = 800;
    d.size = 500;
    d.pen = 60;
    same("a large picture", &d, 1, 0.5);
    d = plain;
    d.width = d.height = 60;
    d.left = d.top = 15;
    d.size = 25;
    d.pen = 3;
    same("a small one", &d, 1, 2);
    d = (drawing){.width = 200, .height = 200, .left = 60, .top = 50, .size = 100, .pen = 12};
    d.ink[0] = 200;
    same("grey on black", &d, 1, 0.8);
    memcpy(d.ground, (double[]){250, 240, 200}, sizeof d.ground);
    memcpy(d.ink, (double[]){40, 60, 190}, sizeof d.ink);
    same("blue on cream", &d, 3, 0.8);
    memcpy(d.ground, (double[]){200, 60, 60}, sizeof d.ground);
    memcpy(d.ink, (double[]){60, 130, 60}, sizeof d.ink);
    same("green on red", &d, 3, 0.8);
    d = plain;
    d.ground[0] = 190;
    d.ink[0] = 60;
    d.slope = 120;
    same("light from the side", &d, 1, 0.3);
    d.slope = 0;
    d.noise = 30;
    same("noise", &d, 1, 2);
    d = plain;
    d.specks = 12;
    same("specks", &d, 1, 0.8);
    uint8_t out[DT_DIGIT_BYTES];
    T_CHECK(prepare(&d, 1, out).specks == 12);
    d = plain;
    d.pen = 1.2; /* a line thinner than a pixel of the result is full ink all the same */
    T_CHECK(prepare(&d, 1, out).has_ink);
    T_CHECK(memchr(out, 255, sizeof out) != NULL);
}

static void nothing(const char *what, const drawing *d) {
    uint8_t out[DT_DIGIT_BYTES], none[DT_DIGIT_BYTES] = {0};
    dt_digit found = prepare(d, 1, out);
    if (!T_CHECK(!found.has_ink && memcmp(out, none, sizeof out) == 0))
        fprintf(stderr, "    %s: contrast %.0f, noise %.1f\n", what, found.contrast, found.noise);
}

static void test_nothing(void) {
    drawing d = {.width = 100, .height = 80, .left = -500, .top = -500, .size = 10, .pen = 1};
    nothing("black", &d);
    d.ground[0] = 200;
    nothing("grey", &d);
    d.slope = 100;
    nothing("light from the side", &d);
    d.noise = 20;
    nothing("... with noise", &d);
    d.ground[0] = 128;
    d.noise = 128;
    d.slope = 0;
    nothing("noise alone", &d);
}

/* The least pictures, and ones with ink everywhere, give an answer of some kind. */
static void test_odd_sizes(void) {
    static const int sizes[][2] = {{1, 1}, {2, 1}, {1, 3}, {3, 3}, {1, 5000}, {5000, 2}, {28, 28}};
    uint8_t out[DT_DIGIT_BYTES];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        drawing d = plain;
        d.width = sizes[i][0];
        d.height = sizes[i][1];
        for (int turn = 0; turn < 3; turn++) {
            d.left = turn;
            d.top = turn == 2 ? -3 : 0;
            d.size = 1 + 20.0 * turn;
            d.pen = 1 + turn;
            d.noise = 60.0 * turn;
            dt_digit found = prepare(&d, 1 + 2 * (turn & 1), out);
            T_CHECK(found.cover >= 0 && found.cover <= DT_DIGIT_BYTES);
        }
    }
}

int main(void) {
    T_BEGIN(60);
    test_place();
    test_ways();
    test_nothing();
    test_odd_sizes();
    return t_finish();
}
