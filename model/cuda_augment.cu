/* model/cuda_augment.cu - augmentation where bytes become input values: a block for a picture.
 *
 * Its threads draw the sample's random words, then each works out its pixels from the formulas of
 * augment_math.h: the bytes that model/augment.c gives. Pixels are read up to twenty times from a
 * picture that fits the cache; to keep thickened strokes would cost a pass of its own. */
#include "model/augment_math.h"
#include "model/cuda_device.h"

enum { PURPOSE_AUGMENT = 5 }; /* of io/rng.h */
enum { KNOTS = DT_AUGMENT_KNOTS, DRAWS = (DT_AUGMENT_WORDS + 3) / 4 };

/* Four words of the sample's stream, as dt_augment_draw(). */
static __device__ void draw(uint64_t seed, uint32_t epoch, int64_t sample, int i, uint32_t *words) {
    uint32_t name[4];
    philox((uint32_t)sample, (uint32_t)((uint64_t)sample >> 32), epoch, PURPOSE_AUGMENT,
           (uint32_t)seed, (uint32_t)(seed >> 32), name);
    philox((uint32_t)i, 0, name[2], name[3], name[0], name[1], words);
}

/* One channel of a picture. */
struct picture {
    const uint8_t *pixels;
    int h, w, thickness;
};

static __device__ int pixel(const picture &p, int row, int column) {
    return row < 0 || row >= p.h || column < 0 || column >= p.w ? 0 : p.pixels[row * p.w + column];
}

static __device__ int stroke(const picture &p, int row, int column) {
    int here = pixel(p, row, column);
    if (row < 0 || row >= p.h || column < 0 || column >= p.w || p.thickness == 0)
        return here;
    int left = pixel(p, row, column - 1), right = pixel(p, row, column + 1);
    int up = pixel(p, row - 1, column), down = pixel(p, row + 1, column);
    return dt_augment_thicken(here, min(min(min(left, right), min(up, down)), here),
                              max(max(max(left, right), max(up, down)), here), p.thickness);
}

/* The displacement of a pixel: along the columns of four rows of knots, then along the rows. */
static __device__ float bend(const float *knots, const float *by_column, const float *by_row) {
    float at[4];
#pragma unroll
    for (int k = 0; k < 4; k++, knots += KNOTS)
        at[k] = dt_augment_weigh(by_column, knots[0], knots[1], knots[2], knots[3]);
    return dt_augment_weigh(by_row, at[0], at[1], at[2], at[3]);
}

static __device__ int distorted(const dt_distortion &d, const picture &p, int y, int x) {
    float at_x = d.x0 + d.xx * (float)x + d.xy * (float)y;
    float at_y = d.y0 + d.yx * (float)x + d.yy * (float)y;
    if (d.elastic) {
        float by_column[4], by_row[4];
        int from = dt_augment_spline(x, p.w, by_column);
        from += dt_augment_spline(y, p.h, by_row) * KNOTS;
        at_x += bend(d.dx + from, by_column, by_row);
        at_y += bend(d.dy + from, by_column, by_row);
    }
    int u = dt_augment_place(at_x, p.w), v = dt_augment_place(at_y, p.h);
    int column = (u >> 8) - 1, row = (v >> 8) - 1;
    int value = dt_augment_blend(stroke(p, row, column), stroke(p, row, column + 1),
                                 stroke(p, row + 1, column), stroke(p, row + 1, column + 1),
                                 u & 255, v & 255);
    return d.noise > 0 ? dt_augment_noise(value, d.noise, d.grain, y * p.w + x) : value;
}

template <typename T>
static __global__ void augment_kernel(const cuda_control *k, const float *table, bool elastic,
                                      uint64_t seed, int m, dt_shape in, T *x) {
    __shared__ uint32_t words[DRAWS * 4];
    __shared__ dt_distortion d;
    int i = (int)blockIdx.x, thread = (int)threadIdx.x, pixels = in.c * in.h * in.w;
    int64_t sample = sample_at(k, m, i);
    if (thread < (elastic ? DRAWS : DT_AUGMENT_FIRST_KNOT / 4))
        draw(seed, k->work.epoch, sample, thread, words + thread * 4);
    __syncthreads();
    if (thread == 0) {
        dt_augment_affine(words, in.h, in.w, &d);
        d.elastic = elastic;
    }
    if (elastic && thread < KNOTS * KNOTS)
        dt_augment_knot(words[DT_AUGMENT_FIRST_KNOT + thread], in.h, in.w, thread, &d);
    __syncthreads();
    const uint8_t *image = k->work.images + (size_t)(k->work.row * m + i) * pixels;
    for (int at = thread; at < pixels; at += (int)blockDim.x) {
        int channel = at % in.c, column = at / in.c % in.w, row = at / in.c / in.w;
        const picture p = {image + channel * in.h * in.w, in.h, in.w, d.thickness};
        put(x, i * pixels + at, sample < 0 ? 0.0f : table[distorted(d, p, row, column)]);
    }
}

extern "C" cudaError_t cuda_augment(bool bf16, const cuda_control *control, const float *table,
                                    dt_augment kind, uint64_t seed, int m, dt_shape in, void *x,
                                    cudaStream_t stream) {
    bool elastic = kind == DT_AUGMENT_ELASTIC;
    FOR_TYPE(bf16, augment_kernel, (unsigned)m, THREADS, stream,
             (control, table, elastic, seed, m, in, (float *)x),
             (control, table, elastic, seed, m, in, (bf16_t *)x));
}
