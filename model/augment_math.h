/* model/augment_math.h - the formulas of augmentation, for the CPU and the GPU alike.
 *
 * A target pixel takes its value from a place in the source picture: an affine map of its own place
 * plus a smooth random displacement. Only +, -, * and / of floats, in one order, without library
 * functions and without contraction, then whole numbers: so every compiler, instruction set and
 * GPU gives the same byte.
 *
 * Displacements are uniform random numbers on a coarse grid, made smooth by cubic B-splines (the
 * free-form deformation of Rueckert et al., IEEE Trans. Med. Imaging 18(8), 1999). Simard,
 * Steinkraus, Platt (ICDAR 2003) smooth a random number a pixel with a Gaussian of 4 pixels: the
 * spline has the same width, sqrt(1/3) of a cell, which is 7 pixels in a picture of 28, and takes a
 * hundred random numbers instead of 1568. */
#ifndef DT_MODEL_AUGMENT_MATH_H
#define DT_MODEL_AUGMENT_MATH_H

#include <stdint.h>

#ifdef __CUDACC__
#define DT_BOTH static __device__ __forceinline__
#else
#define DT_BOTH static inline __attribute__((always_inline))
#endif

/* Stored results depend on all of these. */
enum {
    DT_AUGMENT_CELLS = 4,                    /* of the grid, along each side of a picture */
    DT_AUGMENT_KNOTS = DT_AUGMENT_CELLS + 3, /* a spline reaches one knot back, two ahead */
    DT_AUGMENT_FIRST_KNOT = 8,               /* of a sample's random words; before: one each for */
    DT_AUGMENT_WORDS = DT_AUGMENT_FIRST_KNOT + DT_AUGMENT_KNOTS * DT_AUGMENT_KNOTS, /* the others */
    DT_AUGMENT_NOISE = 64, /* of the noise's level; see dt_augment_noise() */
    DT_AUGMENT_FULL = 128  /* thickness that takes a neighbour's value whole */
};
#define DT_AUGMENT_TURN    0.1763f        /* tan of half of 20 degrees */
#define DT_AUGMENT_SHEAR   0.12f          /* columns a row */
#define DT_AUGMENT_SCALE   0.12f          /* of width and height, apart */
#define DT_AUGMENT_SHIFT   (1.0f / 9.0f)  /* of width and height: 3 pixels of 28 */
#define DT_AUGMENT_THICK   64.0f          /* of DT_AUGMENT_FULL */
#define DT_AUGMENT_STRETCH (1.0f / 12.0f) /* of width and height: a knot's displacement */

/* What happens to one sample. */
typedef struct {
    float xx, xy, x0, yx, yy, y0; /* source = x0 + xx * column + xy * row, and so on; in pixels */
    int thickness;  /* -DT_AUGMENT_FULL (thin) .. DT_AUGMENT_FULL; 0: strokes as they are */
    int noise;      /* its level, 0: none */
    uint32_t grain; /* and which noise it is */
    int elastic;    /* whether dx, dy count: displacements of the knots, in pixels */
    float dx[DT_AUGMENT_KNOTS * DT_AUGMENT_KNOTS], dy[DT_AUGMENT_KNOTS * DT_AUGMENT_KNOTS];
} dt_distortion;

/* 16 random bits as a number in (-1, 1), each equally likely. */
DT_BOTH float dt_augment_uniform(uint32_t bits) {
    return (float)(int)(2 * (bits & 0xFFFF) + 1) * (1.0f / 65536.0f) - 1.0f;
}

/* In (-1, 1), and the likelier the nearer to 0: the mean of two. Exact. */
DT_BOTH float dt_augment_triangular(uint32_t bits) {
    return 0.5f * (dt_augment_uniform(bits >> 16) + dt_augment_uniform(bits));
}

/* Words 0 .. DT_AUGMENT_FIRST_KNOT - 1 of a sample: all but its knots. A rotation whose half angle
 * has the tangent t has cosine (1 - t^2) / (1 + t^2) and sine 2 t / (1 + t^2). */
DT_BOTH void dt_augment_affine(const uint32_t *words, int height, int width, dt_distortion *d) {
    float t = DT_AUGMENT_TURN * dt_augment_triangular(words[0]), q = 1.0f + t * t;
    float cosine = (1.0f - t * t) / q, sine = 2.0f * t / q;
    float shear = DT_AUGMENT_SHEAR * dt_augment_triangular(words[1]);
    float wide = 1.0f + DT_AUGMENT_SCALE * dt_augment_triangular(words[2]);
    float high = 1.0f + DT_AUGMENT_SCALE * dt_augment_triangular(words[3]);
    float right = DT_AUGMENT_SHIFT * (float)width * dt_augment_triangular(words[4]);
    float down = DT_AUGMENT_SHIFT * (float)height * dt_augment_triangular(words[5]);
    float middle_x = 0.5f * (float)(width - 1), middle_y = 0.5f * (float)(height - 1);
    d->xx = cosine * wide;
    d->yx = sine * wide;
    d->xy = (cosine * shear - sine) * high;
    d->yy = (sine * shear + cosine) * high;
    d->x0 = middle_x + right - (d->xx * middle_x + d->xy * middle_y);
    d->y0 = middle_y + down - (d->yx * middle_x + d->yy * middle_y);
    d->thickness = (int)(DT_AUGMENT_THICK * dt_augment_triangular(words[6]));
    float noise = (float)DT_AUGMENT_NOISE * dt_augment_uniform(words[7] >> 16);
    d->noise = noise > 0.0f ? (int)noise : 0; /* every other picture has none */
    d->grain = words[7];
}

/* Knot i from its word. */
DT_BOTH void dt_augment_knot(uint32_t word, int height, int width, int i, dt_distortion *d) {
    d->dx[i] = DT_AUGMENT_STRETCH * (float)width * dt_augment_uniform(word >> 16);
    d->dy[i] = DT_AUGMENT_STRETCH * (float)height * dt_augment_uniform(word);
}

/* Which four knots, from the one returned on, pixel i of n lies under, and their weights: the
 * uniform cubic B-spline. They sum to 1. */
DT_BOTH int dt_augment_spline(int i, int n, float weight[4]) {
    float u = ((float)i + 0.5f) * ((float)DT_AUGMENT_CELLS / (float)n);
    int cell = (int)u;
    float t = u - (float)cell, s = 1.0f - t;
    weight[0] = s * s * s * (1.0f / 6.0f);
    weight[1] = ((3.0f * t - 6.0f) * t * t + 4.0f) * (1.0f / 6.0f);
    weight[2] = ((3.0f * s - 6.0f) * s * s + 4.0f) * (1.0f / 6.0f);
    weight[3] = t * t * t * (1.0f / 6.0f);
    return cell;
}

DT_BOTH float dt_augment_weigh(const float weight[4], float a, float b, float c, float d) {
    return weight[0] * a + weight[1] * b + weight[2] * c + weight[3] * d;
}

/* A place along a side of n pixels, as 256ths of a pixel, 256 for pixel 0: from 0, the black one
 * in front of it, to the black one behind the last. */
DT_BOTH int dt_augment_place(float at, int n) {
    float last = (float)(n + 1), moved = at + 1.0f;
    moved = moved < 0.0f ? 0.0f : moved;
    moved = moved > last ? last : moved;
    return (int)(moved * 256.0f + 0.5f);
}

/* A pixel and the least and the largest of it and its four neighbours: thicker strokes take over
 * the largest, thinner ones the least. */
DT_BOTH int dt_augment_thicken(int pixel, int least, int most, int thickness) {
    int other = thickness < 0 ? least : most, share = thickness < 0 ? -thickness : thickness;
    return (pixel * (DT_AUGMENT_FULL - share) + other * share + DT_AUGMENT_FULL / 2) /
           DT_AUGMENT_FULL;
}

/* A value with the noise of pixel i of its picture: four random bytes added up, near enough to a
 * normal distribution, of a standard deviation of 0.58 times the level. */
DT_BOTH int dt_augment_noise(int value, int level, uint32_t grain, int i) {
    uint32_t bits = ((uint32_t)i ^ grain) * 0x9E3779B1u;
    bits = (bits ^ bits >> 15) * 0x85EBCA6Bu;
    bits = (bits ^ bits >> 13) * 0xC2B2AE35u;
    bits ^= bits >> 16;
    int four = (int)((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24));
    value += (four - 510) * level / 256;
    value = value < 0 ? 0 : value;
    return value > 255 ? 255 : value;
}

/* Between four pixels a b / c d, x and y in 256ths. */
DT_BOTH int dt_augment_blend(int a, int b, int c, int d, int x, int y) {
    return ((a * (256 - x) + b * x) * (256 - y) + (c * (256 - x) + d * x) * y + (1 << 15)) >> 16;
}

#endif
