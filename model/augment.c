/* model/augment.c - augmentation on the CPU: a picture in some microseconds, on one thread.
 *
 * The strokes are thickened in a copy with a black border, so that no place needs a test whether it
 * is inside. Splines are evaluated by columns once for the seven rows of knots, then by rows. All
 * loops but the last one are over independent columns, for the compiler to vectorize. */
#include "model/augment.h"

#include <stdlib.h>
#include <string.h>
#include "io/rng.h"

enum { KNOTS = DT_AUGMENT_KNOTS };

/* Two draws, as for dropout: one names the sample's stream, the others are its words. */
void dt_augment_draw(dt_augment kind, uint64_t seed, uint32_t epoch, int64_t sample, dt_shape in,
                     dt_distortion *out) {
    uint32_t name[4], words[(DT_AUGMENT_WORDS + 3) / 4 * 4];
    uint32_t n_words = kind == DT_AUGMENT_ELASTIC ? DT_AUGMENT_WORDS : DT_AUGMENT_FIRST_KNOT;
    dt_random(seed, DT_RNG_AUGMENT, epoch, (uint64_t)sample, name);
    for (uint32_t i = 0; i < n_words; i += 4) {
        const uint32_t counter[4] = {i / 4, 0, name[2], name[3]};
        dt_philox4x32(counter, name, words + i);
    }
    dt_augment_affine(words, in.h, in.w, out);
    out->elastic = kind == DT_AUGMENT_ELASTIC;
    for (int i = 0; out->elastic && i < KNOTS * KNOTS; i++)
        dt_augment_knot(words[DT_AUGMENT_FIRST_KNOT + i], in.h, in.w, i, out);
}

/* ---- one picture ---- */

/* A picture's scratch memory: two copies with a border of one black pixel in front and two behind,
 * the displacements of the rows of knots, and a row of places. */
typedef struct {
    float *dx, *dy;          /* [KNOTS][w] */
    int *at_x, *at_y;        /* [w], in 256ths of a pixel of the copy */
    uint8_t *copy, *strokes; /* [h + 3][w + 3] */
} workspace;

static size_t bordered(dt_shape in) {
    return (size_t)(in.h + 3) * (size_t)(in.w + 3);
}

size_t dt_augment_scratch(dt_shape in) {
    size_t w = (size_t)in.w;
    return 2 * KNOTS * w * sizeof(float) + 2 * w * sizeof(int) + 2 * bordered(in);
}

static workspace divide(dt_shape in, void *scratch) {
    size_t w = (size_t)in.w;
    workspace s = {.dx = scratch};
    s.dy = s.dx + KNOTS * w;
    s.at_x = (int *)(void *)(s.dy + KNOTS * w);
    s.at_y = s.at_x + w;
    s.copy = (uint8_t *)(s.at_y + w);
    s.strokes = s.copy + bordered(in);
    return s;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

static int most(int a, int b) {
    return a > b ? a : b;
}

/* The inner pixels of a row of n; up and down: the rows beside it. */
static void thicken_row(const uint8_t *row, const uint8_t *up, const uint8_t *down, int n,
                        int thickness, uint8_t *out) {
    for (int x = 0; x < n; x++) {
        int low = least(least(least(row[x - 1], row[x + 1]), least(up[x], down[x])), row[x]);
        int high = most(most(most(row[x - 1], row[x + 1]), most(up[x], down[x])), row[x]);
        out[x] = (uint8_t)dt_augment_thicken(row[x], low, high, thickness);
    }
}

/* The picture with its border, strokes thickened. */
static const uint8_t *prepare(const dt_distortion *d, dt_shape in, const uint8_t *image,
                              workspace *s) {
    size_t stride = (size_t)in.w + 3;
    memset(s->copy, 0, bordered(in));
    for (int y = 0; y < in.h; y++)
        memcpy(s->copy + (size_t)(y + 1) * stride + 1, image + (size_t)y * (size_t)in.w,
               (size_t)in.w);
    if (d->thickness == 0)
        return s->copy;
    memset(s->strokes, 0, bordered(in));
    for (int y = 1; y <= in.h; y++) {
        const uint8_t *row = s->copy + (size_t)y * stride + 1;
        thicken_row(row, row - stride, row + stride, in.w, d->thickness,
                    s->strokes + (size_t)y * stride + 1);
    }
    return s->strokes;
}

/* s->dx, s->dy: the splines along the columns, for each row of knots. */
static void bend_columns(const dt_distortion *d, dt_shape in, workspace *s) {
    for (int x = 0; x < in.w; x++) {
        float weight[4];
        int from = dt_augment_spline(x, in.w, weight);
        for (int r = 0; r < KNOTS; r++) {
            const float *kx = d->dx + r * KNOTS + from, *ky = d->dy + r * KNOTS + from;
            s->dx[r * in.w + x] = dt_augment_weigh(weight, kx[0], kx[1], kx[2], kx[3]);
            s->dy[r * in.w + x] = dt_augment_weigh(weight, ky[0], ky[1], ky[2], ky[3]);
        }
    }
}

/* at[x]: where the pixels of row y come from along one side of n pixels. bend: as s->dx, or NULL.
 */
static void place_row(float origin, float by_column, float by_row, const float *bend, dt_shape in,
                      int y, int n, int *restrict at) {
    if (!bend) {
        for (int x = 0; x < in.w; x++)
            at[x] = dt_augment_place(origin + by_column * (float)x + by_row * (float)y, n);
        return;
    }
    float weight[4];
    int w = in.w;
    bend += dt_augment_spline(y, in.h, weight) * w;
    for (int x = 0; x < w; x++) {
        float moved =
            dt_augment_weigh(weight, bend[x], bend[w + x], bend[2 * w + x], bend[3 * w + x]);
        at[x] = dt_augment_place(origin + by_column * (float)x + by_row * (float)y + moved, n);
    }
}

static void sample_row(const uint8_t *picture, const int *at_x, const int *at_y, int w,
                       uint8_t *out) {
    size_t stride = (size_t)w + 3;
    for (int x = 0; x < w; x++) {
        const uint8_t *p = picture + (size_t)(at_y[x] >> 8) * stride + (size_t)(at_x[x] >> 8);
        out[x] = (uint8_t)dt_augment_blend(p[0], p[1], p[stride], p[stride + 1], at_x[x] & 255,
                                           at_y[x] & 255);
    }
}

static void add_noise(const dt_distortion *d, uint8_t *picture, int n) {
    for (int i = 0; i < n; i++)
        picture[i] = (uint8_t)dt_augment_noise(picture[i], d->noise, d->grain, i);
}

void dt_augment_apply(const dt_distortion *d, dt_shape in, const uint8_t *image, uint8_t *out,
                      void *scratch) {
    workspace s = divide(in, scratch);
    size_t w = (size_t)in.w, n_pixels = (size_t)in.h * w;
    if (d->elastic)
        bend_columns(d, in, &s);
    for (int c = 0; c < in.c; c++, image += n_pixels) {
        const uint8_t *picture = prepare(d, in, image, &s);
        for (int y = 0; y < in.h; y++, out += w) {
            place_row(d->x0, d->xx, d->xy, d->elastic ? s.dx : NULL, in, y, in.w, s.at_x);
            place_row(d->y0, d->yx, d->yy, d->elastic ? s.dy : NULL, in, y, in.h, s.at_y);
            sample_row(picture, s.at_x, s.at_y, in.w, out);
        }
        if (d->noise > 0)
            add_noise(d, out - n_pixels, (int)n_pixels);
    }
}

/* ---- a micro-batch ---- */

struct dt_augmenter {
    dt_augment kind;
    uint64_t seed;
    dt_shape in;
    int m;
    void *scratch;
    uint8_t *pictures; /* [m][c][h][w] */
    int64_t *places;   /* [m] */
};

dt_augmenter *dt_augmenter_create(const dt_device_config *config) {
    dt_augmenter *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->kind = config->augment;
    a->seed = config->seed;
    a->in = config->net->in;
    a->m = config->micro_batch;
    a->scratch = malloc(dt_augment_scratch(a->in));
    a->pictures = calloc((size_t)a->m, dt_shape_size(a->in));
    a->places = calloc((size_t)a->m, sizeof *a->places);
    if (!a->scratch || !a->pictures || !a->places)
        dt_augmenter_free(&a);
    return a;
}

void dt_augmenter_free(dt_augmenter **augmenter) {
    dt_augmenter *a = *augmenter;
    if (!a)
        return;
    free(a->scratch);
    free(a->pictures);
    free(a->places);
    free(a);
    *augmenter = NULL;
}

void dt_augmenter_run(dt_augmenter *a, uint32_t epoch, const uint8_t **images,
                      const int64_t **samples) {
    size_t n = dt_shape_size(a->in);
    for (int i = 0; i < a->m; i++) {
        int64_t sample = (*samples)[i];
        a->places[i] = sample < 0 ? -1 : i;
        if (sample < 0)
            continue;
        dt_distortion d;
        dt_augment_draw(a->kind, a->seed, epoch, sample, a->in, &d);
        dt_augment_apply(&d, a->in, *images + (size_t)sample * n, a->pictures + (size_t)i * n,
                         a->scratch);
    }
    *images = a->pictures;
    *samples = a->places;
}
