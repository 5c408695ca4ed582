/* launch/digit.c - from a picture to 28 x 28: background, ink, pieces, box, resampling.
 *
 * The background is a plane through each colour, fitted to the border and then to all that lies
 * close: so light may come from one side. Ink is what differs from it, lighter or darker or of
 * another colour; how much tells how far a pixel is covered. Connected ink that is too small is a
 * speck. What is left is weighed, boxed at half cover, and averaged over the area of each pixel of
 * the result.
 *
 * What it does not do: it straightens nothing, and several digits beside each other stay several.
 */
#include "launch/digit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORK_SIDE = 1024, /* larger pictures are averaged down to this */
    BOX_SIDE = 20,    /* of the digit in the result */
    LEVELS = 256,
    FIT_TURNS = 4,
    FIT_SAMPLES = 8192
};
static const float middle = 14.5f; /* of mass in MNIST, counted from the left edge of pixel 0 */
static const double least_contrast = 24, least_signal = 3.5; /* levels; contrast / noise */
static const float faintest = 0.3f;     /* of the ink's contrast: what still connects */
static const double speck_share = 0.04; /* of the largest piece */

typedef struct {
    int width, height, channels;
    float *pixels; /* [height][width][channels] */
    float *ink;    /* [height][width]: difference from the background, later cover 0..1 */
    int *piece;    /* [height][width]: number of the connected piece, 0: none */
    int *stack;    /* [height * width] */
    float plane[3][3];
} work;

/* As fmaxf() and fminf() but for NaN, of which there is none here, and without a call. */
static float larger(float a, float b) {
    return a > b ? a : b;
}

static float smaller(float a, float b) {
    return a < b ? a : b;
}

static void work_free(work *w) {
    free(w->pixels);
    free(w->ink);
    free(w->piece);
    free(w->stack);
}

/* --- the picture, small enough --- */

/* Averages of k x k pixels; what is left over at the right and bottom edge is dropped. */
static dt_status shrink(const dt_image *image, work *w) {
    int longest = image->width > image->height ? image->width : image->height;
    int k = (longest + WORK_SIDE - 1) / WORK_SIDE, channels = image->channels;
    k = k < image->width && k < image->height ? k : 1;
    w->width = image->width / k;
    w->height = image->height / k;
    w->channels = channels;
    size_t n = (size_t)w->width * (size_t)w->height;
    w->pixels = calloc(n * (size_t)channels, sizeof *w->pixels);
    w->ink = malloc(n * sizeof *w->ink);
    w->piece = calloc(n, sizeof *w->piece);
    w->stack = malloc(n * sizeof *w->stack);
    if (!w->pixels || !w->ink || !w->piece || !w->stack)
        return dt_fail(DT_EDEVICE, "no memory for a picture of %d x %d", image->width,
                       image->height);
    float share = 1.0f / (float)(k * k);
    size_t row = (size_t)w->width * (size_t)channels;
    for (int y = 0; y < w->height * k; y++) {
        const uint8_t *from = image->pixels + (size_t)y * (size_t)image->width * (size_t)channels;
        float *to = w->pixels + (size_t)(y / k) * row;
        for (int x = 0; x < w->width; x++, to += channels)
            for (int i = 0; i < k; i++, from += channels)
                for (int c = 0; c < channels; c++)
                    to[c] += share * from[c];
    }
    return DT_OK;
}

/* --- the background --- */

/* Coordinates of pixels in the fits, about -1..1. */
static float across(const work *w, int x) {
    return (2.0f * (float)x + 1.0f) / (float)w->width - 1.0f;
}

static float down(const work *w, int y) {
    return (2.0f * (float)y + 1.0f) / (float)w->height - 1.0f;
}

/* The largest difference from the background of the channels. */
static float difference(const work *w, int x, int y) {
    const float *p = w->pixels + ((size_t)y * (size_t)w->width + (size_t)x) * (size_t)w->channels;
    float u = across(w, x), v = down(w, y), most = 0;
    for (int c = 0; c < w->channels; c++) {
        const float *a = w->plane[c];
        most = larger(most, fabsf(p[c] - (a[0] + a[1] * u + a[2] * v)));
    }
    return most;
}

typedef struct {
    int x, y;
} place;

/* The border, and with inside a grid over all of the picture. Returns their number. */
static int sample_places(const work *w, bool inside, place *places) {
    int n = 0, step = 1;
    for (int x = 0; x < w->width; x++) {
        places[n++] = (place){x, 0};
        places[n++] = (place){x, w->height - 1};
    }
    for (int y = 1; y < w->height - 1; y++) {
        places[n++] = (place){0, y};
        places[n++] = (place){w->width - 1, y};
    }
    while (w->width / step * (w->height / step) > FIT_SAMPLES / 2)
        step++;
    for (int y = step / 2; inside && y < w->height; y += step)
        for (int x = step / 2; x < w->width; x += step)
            places[n++] = (place){x, y};
    return n;
}

/* Solves the symmetric s a = b, 3 x 3, by Cramer's rule. false: singular, a is not set. */
static bool solve(const double s[6], const double b[3], float a[3]) {
    double m[3][3] = {{s[0], s[1], s[2]}, {s[1], s[3], s[4]}, {s[2], s[4], s[5]}};
    double d[4];
    for (int k = 0; k < 4; k++) {
        double q[3][3];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                q[i][j] = j == k - 1 ? b[i] : m[i][j];
        d[k] = q[0][0] * (q[1][1] * q[2][2] - q[1][2] * q[2][1]) -
               q[0][1] * (q[1][0] * q[2][2] - q[1][2] * q[2][0]) +
               q[0][2] * (q[1][0] * q[2][1] - q[1][1] * q[2][0]);
    }
    if (fabs(d[0]) < 1e-9 * s[0] * s[0] * s[0])
        return false;
    for (int k = 0; k < 3; k++)
        a[k] = (float)(d[k + 1] / d[0]);
    return true;
}

/* Least squares over the places that differ by at most limit from the plane so far. */
static void fit_plane(work *w, const place *places, int n, float limit) {
    double s[6] = {0}, b[3][3] = {{0}};
    for (int i = 0; i < n; i++) {
        int x = places[i].x, y = places[i].y;
        if (difference(w, x, y) > limit)
            continue;
        double u = across(w, x), v = down(w, y);
        const float *p =
            w->pixels + ((size_t)y * (size_t)w->width + (size_t)x) * (size_t)w->channels;
        const double terms[6] = {1, u, v, u * u, u * v, v * v};
        for (int k = 0; k < 6; k++)
            s[k] += terms[k];
        for (int c = 0; c < w->channels; c++)
            for (int k = 0; k < 3; k++)
                b[c][k] += terms[k] * p[c];
    }
    for (int c = 0; c < w->channels && s[0] > 0; c++)
        if (!solve(s, b[c], w->plane[c]))
            w->plane[c][0] = (float)(b[c][0] / s[0]);
}

/* Of values 0..256, to a quarter. */
static float median(const float *values, int n) {
    enum { STEPS = 4 };
    int counts[LEVELS * STEPS + 1] = {0}, at = 0;
    for (int i = 0; i < n; i++)
        counts[(int)(values[i] * STEPS)]++;
    for (int left = n / 2; left >= counts[at]; at++)
        left -= counts[at];
    return (float)at / STEPS;
}

static float median_difference(const work *w, const place *places, int n, float *values) {
    for (int i = 0; i < n; i++)
        values[i] = smaller(LEVELS, difference(w, places[i].x, places[i].y));
    return median(values, n);
}

/* The medians of the border's colours, then planes through what is near, again and again. */
static dt_status find_background(work *w, double *noise) {
    size_t most = 2 * ((size_t)w->width + (size_t)w->height) + 2 * FIT_SAMPLES;
    place *places = malloc(most * sizeof *places);
    float *values = malloc(most * sizeof *values);
    dt_status status = DT_OK;
    if (!places || !values) {
        status = dt_fail(DT_EDEVICE, "no memory for %zu pixels", most);
        goto done;
    }
    int n = sample_places(w, false, places);
    for (int c = 0; c < w->channels; c++) {
        for (int i = 0; i < n; i++)
            values[i] = w->pixels[((size_t)places[i].y * (size_t)w->width + (size_t)places[i].x) *
                                      (size_t)w->channels +
                                  (size_t)c];
        w->plane[c][0] = median(values, n);
    }
    for (int turn = 0; turn < FIT_TURNS; turn++) {
        float near = median_difference(w, places, n, values);
        fit_plane(w, places, n, larger(8, 3 * near));
        if (turn == FIT_TURNS / 2 - 1)
            n = sample_places(w, true, places);
    }
    /* of a normal distribution the median of |x| is 0.6745 standard deviations */
    *noise = median_difference(w, places, n, values) / 0.6745;
done:
    free(places);
    free(values);
    return status;
}

/* --- the ink --- */

/* N. Otsu, A threshold selection method from gray-level histograms, 1979: the level that leaves the
 * least variance within both classes. */
static int otsu(const int64_t *histogram) {
    double n = 0, sum = 0, below = 0, sum_below = 0, best = -1;
    int at = 0;
    for (int i = 0; i < LEVELS; i++) {
        n += (double)histogram[i];
        sum += (double)histogram[i] * i;
    }
    for (int i = 0; i < LEVELS - 1; i++) {
        below += (double)histogram[i];
        sum_below += (double)histogram[i] * i;
        double above = n - below;
        if (below == 0 || above == 0)
            continue;
        double apart = sum_below / below - (sum - sum_below) / above;
        double between = below * above * apart * apart;
        if (between > best) {
            best = between;
            at = i;
        }
    }
    return at;
}

/* The level that 9 of 10 inked pixels do not exceed. */
static double contrast_of(const work *w) {
    int64_t histogram[LEVELS] = {0}, n = 0;
    for (size_t i = 0; i < (size_t)w->width * (size_t)w->height; i++)
        histogram[(int)smaller(w->ink[i], LEVELS - 1)]++;
    int from = otsu(histogram) + 1;
    for (int i = from; i < LEVELS; i++)
        n += histogram[i];
    int64_t left = n / 10;
    int at = LEVELS - 1;
    for (; at > from && left >= histogram[at]; at--)
        left -= histogram[at];
    return n > 0 ? at : 0;
}

/* Differences become cover: 0 at twice the noise, 1 at the ink's contrast. */
static void to_cover(work *w, const dt_digit *found) {
    float floor = (float)fmin(2 * found->noise, 0.5 * (double)faintest * found->contrast);
    float scale = 1.0f / ((float)found->contrast - floor);
    for (size_t i = 0; i < (size_t)w->width * (size_t)w->height; i++)
        w->ink[i] = smaller(1, larger(0, (w->ink[i] - floor) * scale));
}

/* --- pieces and specks --- */

/* Gives all that is connected with start the number id. Returns how much ink it is. */
static double flood(work *w, int start, int id) {
    double sum = 0;
    int n = 0;
    w->stack[n++] = start;
    w->piece[start] = id;
    while (n > 0) {
        int at = w->stack[--n], x = at % w->width, y = at / w->width;
        sum += (double)w->ink[at];
        for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < w->height; v++)
            for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < w->width; u++) {
                int next = v * w->width + u;
                if (w->piece[next] == 0 && w->ink[next] >= faintest) {
                    w->piece[next] = id;
                    w->stack[n++] = next;
                }
            }
    }
    return sum;
}

/* Numbers the pieces from 1; specks get -1. */
static dt_status find_pieces(work *w, dt_digit *found) {
    int all = w->width * w->height, n = 0;
    double *sums = NULL, largest = 0;
    size_t capacity = 0;
    for (int i = 0; i < all; i++) {
        if (w->piece[i] != 0 || w->ink[i] < faintest)
            continue;
        if ((size_t)n == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            double *more = realloc(sums, capacity * sizeof *sums);
            if (!more) {
                free(sums);
                return dt_fail(DT_EDEVICE, "no memory for %zu pieces", capacity);
            }
            sums = more;
        }
        sums[n] = flood(w, i, n + 1);
        largest = fmax(largest, sums[n++]);
    }
    for (int i = 0; i < n; i++)
        *(sums[i] < speck_share * largest ? &found->specks : &found->pieces) += 1;
    for (int i = 0; i < all; i++)
        if (w->piece[i] > 0 && sums[w->piece[i] - 1] < speck_share * largest)
            w->piece[i] = -1;
    free(sums);
    return DT_OK;
}

/* Ink stays where it is, and around pieces that were kept: their soft edges. */
static void drop_the_rest(work *w) {
    int longest = w->width > w->height ? w->width : w->height, all = w->width * w->height;
    int from = 0, n = 0;
    for (int i = 0; i < all; i++)
        if (w->piece[i] > 0)
            w->stack[n++] = i;
    for (int turn = 0; turn < 1 + longest / 100; turn++)
        for (int end = n; from < end; from++) {
            int at = w->stack[from], x = at % w->width;
            const int beside[] = {x > 0 ? at - 1 : at, x + 1 < w->width ? at + 1 : at,
                                  at - w->width, at + w->width};
            for (int i = 0; i < 4; i++)
                if (beside[i] >= 0 && beside[i] < all && w->piece[beside[i]] == 0) {
                    w->piece[beside[i]] = 1;
                    w->stack[n++] = beside[i];
                }
        }
    for (size_t i = 0; i < (size_t)w->width * (size_t)w->height; i++)
        if (w->piece[i] <= 0)
            w->ink[i] = 0;
}

/* --- box, middle, resampling --- */

typedef struct {
    float from, to; /* where cover is one half */
    float mass;     /* centre of */
} extent;

/* peaks[n]: the most cover, sums[n]: all cover of each column (or row). */
static extent extent_of(const float *peaks, const double *sums, int n) {
    int first = 0, last = n - 1;
    double sum = 0, moment = 0;
    float half = 0;
    for (int i = 0; i < n; i++)
        half = larger(half, peaks[i] / 2);
    while (first < n - 1 && peaks[first] < half)
        first++;
    while (last > 0 && peaks[last] < half)
        last--;
    float before = first > 0 ? peaks[first - 1] : 0, after = last < n - 1 ? peaks[last + 1] : 0;
    for (int i = 0; i < n; i++) {
        sum += sums[i];
        moment += sums[i] * (i + 0.5);
    }
    extent e = {.mass = (float)(moment / sum)};
    e.from = (float)first + 0.5f - (peaks[first] - half) / (peaks[first] - before);
    e.to = (float)last + 0.5f + (peaks[last] - half) / (peaks[last] - after);
    return e;
}

static void find_extents(const work *w, float *peaks, double *sums, extent *h, extent *v) {
    int width = w->width, height = w->height;
    float *row_peaks = peaks + width;
    double *row_sums = sums + width;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float ink = w->ink[(size_t)y * (size_t)width + (size_t)x];
            peaks[x] = larger(peaks[x], ink);
            row_peaks[y] = larger(row_peaks[y], ink);
            sums[x] += (double)ink;
            row_sums[y] += (double)ink;
        }
    *h = extent_of(peaks, sums, width);
    *v = extent_of(row_peaks, row_sums, height);
}

/* How much of [from, to] lies in pixel i. */
static float overlap(float from, float to, int i) {
    return larger(0, smaller(to, (float)i + 1) - larger(from, (float)i));
}

/* The window of the picture, n long, that pixel j of the result averages: its area, but at least
 * one pixel, so that enlarging blends neighbours. */
static void window_of(int j, float mass, float step, int n, float *from, float *to, int *first,
                      int *last) {
    float half = larger(step, 1) / 2, centre = mass + ((float)j + 0.5f - middle) * step;
    *from = centre - half;
    *to = centre + half;
    *first = (int)larger(0, floorf(*from));
    *last = (int)smaller((float)n - 1, floorf(*to));
}

/* Row y of the picture becomes narrow[28]. */
static void resample_row(const work *w, int y, const extent *h, float step, float *narrow) {
    for (int j = 0; j < DT_DIGIT_SIDE; j++) {
        float from, to, sum = 0;
        int first, last;
        window_of(j, h->mass, step, w->width, &from, &to, &first, &last);
        for (int x = first; x <= last; x++)
            sum += overlap(from, to, x) * w->ink[(size_t)y * (size_t)w->width + (size_t)x];
        narrow[j] = sum / (to - from);
    }
}

static void resample(const work *w, const extent *h, const extent *v, float step, float *narrow,
                     float *result) {
    for (int y = 0; y < w->height; y++)
        resample_row(w, y, h, step, narrow + (size_t)y * DT_DIGIT_SIDE);
    for (int i = 0; i < DT_DIGIT_SIDE; i++) {
        float from, to;
        int first, last;
        window_of(i, v->mass, step, w->height, &from, &to, &first, &last);
        for (int y = first; y <= last; y++)
            for (int j = 0; j < DT_DIGIT_SIDE; j++)
                result[i * DT_DIGIT_SIDE + j] += overlap(from, to, y) / (to - from) *
                                                 narrow[(size_t)y * DT_DIGIT_SIDE + (size_t)j];
    }
}

/* A thin line covers no pixel of the result: the darkest becomes full ink, as a pen's is. */
static void to_bytes(const float *result, uint8_t *out, dt_digit *found) {
    float peak = 0;
    for (int i = 0; i < DT_DIGIT_BYTES; i++)
        peak = larger(peak, result[i]);
    for (int i = 0; i < DT_DIGIT_BYTES; i++) {
        out[i] = (uint8_t)lrintf(255 * smaller(1, result[i] / peak));
        found->cover += out[i] / 255.0;
    }
}

static dt_status place_digit(const work *w, const dt_image *image, uint8_t *out, dt_digit *found) {
    size_t sides = (size_t)w->width + (size_t)w->height;
    float *peaks = calloc(sides + (size_t)w->height * DT_DIGIT_SIDE, sizeof *peaks);
    double *sums = calloc(sides, sizeof *sums);
    float result[DT_DIGIT_BYTES] = {0};
    dt_status status = DT_OK;
    if (!peaks || !sums) {
        status = dt_fail(DT_EDEVICE, "no memory for %zu sums", sides);
    } else {
        extent h, v;
        find_extents(w, peaks, sums, &h, &v);
        float scale = (float)image->width / (float)w->width; /* of the picture to the work */
        found->left = (int)(h.from * scale);
        found->top = (int)(v.from * scale);
        found->width = (int)ceilf(h.to * scale) - found->left;
        found->height = (int)ceilf(v.to * scale) - found->top;
        float step = larger(h.to - h.from, v.to - v.from) / BOX_SIDE;
        resample(w, &h, &v, step, peaks + sides, result);
        to_bytes(result, out, found);
    }
    free(peaks);
    free(sums);
    return status;
}

/* Is the ink darker than the background, on the whole? Before differences become cover. */
static bool ink_is_dark(const work *w, double contrast) {
    double sum = 0;
    for (int y = 0; y < w->height; y++)
        for (int x = 0; x < w->width; x++) {
            size_t at = (size_t)y * (size_t)w->width + (size_t)x;
            if ((double)w->ink[at] < contrast / 2)
                continue;
            float u = across(w, x), v = down(w, y);
            for (int c = 0; c < w->channels; c++)
                sum += (double)(w->pixels[at * (size_t)w->channels + (size_t)c] -
                                (w->plane[c][0] + w->plane[c][1] * u + w->plane[c][2] * v));
        }
    return sum < 0;
}

static dt_status prepare(work *w, const dt_image *image, uint8_t *out, dt_digit *found) {
    DT_TRY(shrink(image, w));
    DT_TRY(find_background(w, &found->noise));
    for (int y = 0; y < w->height; y++)
        for (int x = 0; x < w->width; x++)
            w->ink[(size_t)y * (size_t)w->width + (size_t)x] = difference(w, x, y);
    found->contrast = contrast_of(w);
    found->has_ink =
        found->contrast >= least_contrast && found->contrast >= least_signal * found->noise;
    if (!found->has_ink)
        return DT_OK;
    found->is_dark = ink_is_dark(w, found->contrast);
    to_cover(w, found);
    DT_TRY(find_pieces(w, found));
    drop_the_rest(w);
    return place_digit(w, image, out, found);
}

dt_status dt_digit_prepare(const dt_image *image, uint8_t out[DT_DIGIT_BYTES], dt_digit *found) {
    work w = {0};
    memset(out, 0, DT_DIGIT_BYTES);
    *found = (dt_digit){0};
    dt_status status = prepare(&w, image, out, found);
    work_free(&w);
    return status;
}
