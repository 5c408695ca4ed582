/* Augmentation: known pictures, the limits of what is drawn, and that nothing but (seed, epoch,
 * sample) matters. */
#include "io/file.h"
#include "io/rng.h"
#include "model/augment.h"
#include "tests/t.h"

enum { MOST = 64 * 64 };

static const dt_distortion nothing = {.xx = 1, .yy = 1};

/* A picture without a rule, the same for each n. */
static void fill(uint8_t *image, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits[4];
        dt_random(99, DT_RNG_AUGMENT, 0, i, bits);
        image[i] = (uint8_t)bits[0];
    }
}

/* A picture with nothing at its edge of n pixels. */
static void fill_inside(uint8_t *image, int size, int edge) {
    fill(image, (size_t)(size * size));
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            if (y < edge || x < edge || y >= size - edge || x >= size - edge)
                image[y * size + x] = 0;
}

static void apply(const dt_distortion *d, dt_shape in, const uint8_t *image, uint8_t *out) {
    size_t nbytes = dt_augment_scratch(in);
    void *scratch = malloc(nbytes);
    memset(scratch, 0x55, nbytes);
    memset(out, 0xAA, dt_shape_size(in));
    dt_augment_apply(d, in, image, out, scratch);
    free(scratch);
}

static void test_identity(void) {
    const dt_shape shapes[] = {{1, 28, 28}, {1, 1, 1}, {1, 5, 64}, {1, 33, 2}, {3, 17, 9}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        static uint8_t image[MOST], out[MOST];
        dt_distortion d = nothing;
        size_t n = dt_shape_size(shapes[i]);
        fill(image, n);
        apply(&d, shapes[i], image, out);
        T_CHECK(memcmp(out, image, n) == 0);
        d.elastic = 1; /* knots that do not move */
        apply(&d, shapes[i], image, out);
        T_CHECK(memcmp(out, image, n) == 0);
    }
}

/* A quarter turn, a mirror and whole pixels lose nothing; outside is black. */
static void test_whole_pixels(void) {
    enum { N = 13 };
    const dt_shape in = {1, N, N};
    static uint8_t image[N * N], out[N * N];
    fill(image, N * N);
    dt_distortion turned = {.xy = 1, .yx = -1, .y0 = N - 1};
    apply(&turned, in, image, out);
    int wrong = 0;
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++)
            wrong += out[y * N + x] != image[(N - 1 - x) * N + y];
    T_CHECK(wrong == 0);
    for (int knots = 0; knots < 2; knots++) { /* moved as a whole, or every knot by as much */
        dt_distortion moved = nothing;
        moved.elastic = knots;
        moved.x0 = knots ? 0 : 3;
        moved.y0 = knots ? 0 : -2;
        for (int i = 0; i < DT_AUGMENT_KNOTS * DT_AUGMENT_KNOTS; i++) {
            moved.dx[i] = 3;
            moved.dy[i] = -2;
        }
        apply(&moved, in, image, out);
        for (int y = 0; y < N; y++)
            for (int x = 0; x < N; x++)
                wrong += out[y * N + x] != (y < 2 || x + 3 >= N ? 0 : image[(y - 2) * N + x + 3]);
        T_CHECK(wrong == 0);
    }
    dt_distortion away = nothing;
    away.x0 = 1e9f;
    apply(&away, in, image, out);
    for (int i = 0; i < N * N; i++)
        wrong += out[i] != 0;
    T_CHECK(wrong == 0);
}

static void test_between_pixels(void) {
    const dt_shape in = {1, 2, 2};
    const uint8_t image[4] = {10, 30, 100, 201};
    uint8_t out[4];
    dt_distortion half = nothing;
    half.x0 = 0.5f;
    half.y0 = 0.25f;
    apply(&half, in, image, out);
    T_CHECK(out[0] == 53);  /* 20 * 3/4 + 150.5 / 4 = 52.6 */
    T_CHECK(out[1] == 36);  /* 15 * 3/4 + 100.5 / 4 = 36.4: the pixel beside it is black */
    T_CHECK(out[2] == 113); /* 150.5 * 3/4 = 112.9 */
    T_CHECK(out[3] == 75);  /* 201 / 2 * 3/4 = 75.4 */
}

static void test_thickness(void) {
    const dt_shape in = {1, 3, 3};
    const uint8_t dot[9] = {0, 0, 0, 0, 200, 0, 0, 0, 0},
                  block[9] = {100, 100, 100, 100, 100, 100, 100, 100, 100};
    uint8_t out[9];
    dt_distortion d = nothing;
    d.thickness = DT_AUGMENT_FULL;
    apply(&d, in, dot, out);
    T_CHECK(memcmp(out, (uint8_t[9]){0, 200, 0, 200, 200, 200, 0, 200, 0}, 9) == 0);
    d.thickness = DT_AUGMENT_FULL / 2;
    apply(&d, in, dot, out);
    T_CHECK(memcmp(out, (uint8_t[9]){0, 100, 0, 100, 200, 100, 0, 100, 0}, 9) == 0);
    d.thickness = -DT_AUGMENT_FULL;
    apply(&d, in, block, out);
    T_CHECK(memcmp(out, (uint8_t[9]){0, 0, 0, 0, 100, 0, 0, 0, 0}, 9) == 0);
    d.thickness = -DT_AUGMENT_FULL / 4;
    apply(&d, in, block, out);
    T_CHECK(memcmp(out, (uint8_t[9]){75, 75, 75, 75, 100, 75, 75, 75, 75}, 9) == 0);
}

static double centre(const uint8_t *image, int size, bool of_rows) {
    double total = 0, moment = 0;
    for (int i = 0; i < size * size; i++) {
        total += image[i];
        moment += image[i] * (double)(of_rows ? i / size : i % size);
    }
    return moment / total;
}

/* Splines: weights that sum to 1, and no jump from one pixel to the next: displacements that grow
 * by one pixel a knot move a picture's places along a straight line. */
static void test_spline(void) {
    const int sizes[] = {1, 2, 5, 28, 1000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        float weight[4], line = 0, before = 0;
        double step = (double)DT_AUGMENT_CELLS / sizes[k];
        for (int i = 0; i < sizes[k]; i++, before = line) {
            int from = dt_augment_spline(i, sizes[k], weight);
            T_CHECK(from >= 0 && from < DT_AUGMENT_CELLS);
            T_NEAR((double)(weight[0] + weight[1] + weight[2] + weight[3]), 1, 1e-6, 0);
            line = dt_augment_weigh(weight, (float)from, (float)from + 1, (float)from + 2,
                                    (float)from + 3);
            if (i > 0)
                T_NEAR((double)(line - before), step, 1e-5, 0);
        }
    }
}

/* Noise of the level's deviation around the value, cut off at black and white, and with no pattern
 * from pixel to pixel or picture to picture. */
static void test_noise(void) {
    enum { N = 64 };
    const dt_shape in = {1, N, N};
    static uint8_t image[N * N], out[2][N * N];
    dt_distortion d = nothing;
    memset(image, 128, sizeof image);
    d.noise = 40;
    for (uint32_t k = 0; k < 2; k++) {
        d.grain = 12345 + k;
        apply(&d, in, image, out[k]);
    }
    double mean = 0, square = 0, beside = 0, other = 0;
    for (int i = 0; i < N * N; i++) {
        double v = out[0][i] - 128.0;
        mean += v / (N * N);
        square += v * v / (N * N);
        beside += v * (out[0][(i + 1) % (N * N)] - 128.0) / (N * N);
        other += v * (out[1][i] - 128.0) / (N * N);
    }
    T_NEAR(mean, 0, 1.5, 0);
    T_NEAR(sqrt(square), 0.577 * 40, 1, 0);
    T_NEAR(beside / square, 0, 0.06, 0);
    T_NEAR(other / square, 0, 0.06, 0);
    T_CHECK(dt_augment_noise(0, 64, 1, 2) >= 0 && dt_augment_noise(255, 64, 1, 3) <= 255);
    int black = 0;
    memset(image, 0, sizeof image);
    apply(&d, in, image, out[0]);
    for (int i = 0; i < N * N; i++)
        black += out[0][i] == 0;
    T_CHECK(black > N * N * 4 / 10 && black < N * N * 6 / 10);
}

/* What is drawn stays in its limits, is centred, and reaches far. */
static void test_limits(void) {
    enum { N = 4000 };
    const dt_shape in = {1, 28, 28};
    double turn = 0, most_turn = 0, most_knot = 0, size = 0, thick = 0, noisy = 0;
    for (int64_t i = 0; i < N; i++) {
        dt_distortion d;
        dt_augment_draw(DT_AUGMENT_ELASTIC, 5, 2, i, in, &d);
        double angle = atan2((double)d.yx, (double)d.xx) * 180 / 3.14159265358979;
        turn += angle / N;
        most_turn = fmax(most_turn, fabs(angle));
        size += (double)(d.xx * d.yy - d.xy * d.yx) / N;
        thick += (double)d.thickness / N;
        noisy += (double)(d.noise > 0) / N;
        T_CHECK(abs(d.thickness) <= 64 && d.elastic && d.noise >= 0 && d.noise < 64);
        for (int k = 0; k < DT_AUGMENT_KNOTS * DT_AUGMENT_KNOTS; k++)
            most_knot = fmax(most_knot, fmax(fabs((double)d.dx[k]), fabs((double)d.dy[k])));
    }
    T_CHECK(fabs(turn) < 0.5 && most_turn > 18 && most_turn <= 20.01);
    T_CHECK(most_knot > 2.3 && most_knot <= 28 / 12.0 + 1e-6);
    T_NEAR(size, 1, 0.01, 0); /* of the area */
    T_NEAR(thick, 0, 2, 0);
    T_NEAR(noisy, 0.5, 0.03, 0);
}

/* Shifts move the centre of a picture by at most a ninth of its side, to all sides. */
static void test_shift(void) {
    enum { N = 28 };
    const dt_shape in = {1, N, N};
    static uint8_t image[N * N], out[N * N];
    double least[2] = {0, 0}, most[2] = {0, 0};
    fill_inside(image, N, 9);
    for (int64_t i = 0; i < 500; i++) {
        dt_distortion d;
        dt_augment_draw(DT_AUGMENT_AFFINE, 1, 0, i, in, &d);
        apply(&d, in, image, out);
        T_CHECK(!d.elastic);
        for (int k = 0; k < 2; k++) {
            double moved = centre(out, N, k) - centre(image, N, k);
            least[k] = fmin(least[k], moved);
            most[k] = fmax(most[k], moved);
        }
    }
    for (int k = 0; k < 2; k++)
        T_CHECK(least[k] < -2 && least[k] > -4 && most[k] > 2 && most[k] < 4);
}

static void digest(uint64_t seed, uint32_t epoch, int64_t sample, char hex[DT_SHA256_HEX]) {
    dt_distortion d = {0};
    dt_augment_draw(DT_AUGMENT_ELASTIC, seed, epoch, sample, (dt_shape){1, 28, 28}, &d);
    dt_sha256(&d, sizeof d, hex);
}

/* A function of seed, epoch and sample, and of each of them. */
static void test_pure(void) {
    const struct {
        uint64_t seed;
        uint32_t epoch;
        int64_t sample;
    } keys[] = {{1, 0, 0}, {2, 0, 0}, {1, 1, 0}, {1, 0, 1}, {1, 0, (int64_t)1 << 32}};
    enum { N = sizeof keys / sizeof *keys };
    char hex[N][DT_SHA256_HEX], again[DT_SHA256_HEX];
    for (int i = 0; i < N; i++)
        digest(keys[i].seed, keys[i].epoch, keys[i].sample, hex[i]);
    for (int i = N - 1; i >= 0; i--) {
        digest(keys[i].seed, keys[i].epoch, keys[i].sample, again);
        T_CHECK(strcmp(again, hex[i]) == 0);
        for (int j = 0; j < i; j++)
            T_CHECK(strcmp(hex[i], hex[j]) != 0);
    }
}

/* The very bytes: the same from every compiler, instruction set and level of optimization, and in
 * every later version, as stored results depend on them. */
static void test_bits(void) {
    static const char *const want[] = {
        "490f630cb691a86660894e81f352a44fdf117aa83cd75f0ce97e83dd69e5f00d",
        "e3bdcc59912051e84b273151fb5954b2049f758290690430701ac98ab2c05fcf"};
    for (dt_augment kind = DT_AUGMENT_AFFINE; kind <= DT_AUGMENT_ELASTIC; kind++) {
        dt_sha256_state *hash;
        char hex[DT_SHA256_HEX];
        T_OK(dt_sha256_begin(&hash));
        for (int64_t i = 0; i < 200; i++) {
            const dt_shape in = {1, i % 2 ? 28 : 31, i % 2 ? 28 : 19};
            static uint8_t image[MOST], out[MOST];
            dt_distortion d;
            fill(image, dt_shape_size(in));
            dt_augment_draw(kind, 3, 1, i, in, &d);
            apply(&d, in, image, out);
            dt_sha256_add(hash, out, dt_shape_size(in));
        }
        dt_sha256_end(&hash, hex);
        if (!T_CHECK(strcmp(hex, want[kind - DT_AUGMENT_AFFINE]) == 0))
            fprintf(stderr, "    got %s\n", hex);
    }
}

int main(void) {
    T_BEGIN(60);
    test_identity();
    test_whole_pixels();
    test_between_pixels();
    test_thickness();
    test_spline();
    test_noise();
    test_limits();
    test_shift();
    test_pure();
    test_bits();
    return t_finish();
}
