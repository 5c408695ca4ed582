/* tests/simdev/rounding.h - bfloat16 and TF32 of the simulated cuDNN and cuBLAS: to the nearest,
 * ties to even.
 *
 * What tensor cores take is rounded; products and sums are float's here. A real device adds up in
 * another order and keeps more or fewer bits between. */
#ifndef DT_SIMDEV_ROUNDING_H
#define DT_SIMDEV_ROUNDING_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The upper bits of x, without the lowest `cut`. NaN and infinity stay. */
static inline float sim_rounded(float x, int cut) {
    uint32_t bits, half;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) {
        half = (1u << (cut - 1)) - 1 + (bits >> cut & 1);
        bits = (bits + half) >> cut << cut;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline float sim_tf32(float x) {
    return sim_rounded(x, 13);
}

static inline uint16_t sim_to_bf16(float x) {
    uint32_t bits;
    x = sim_rounded(x, 16);
    memcpy(&bits, &x, sizeof bits);
    return x != x ? 0x7fff : (uint16_t)(bits >> 16);
}
static inline float sim_from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* n values of memory, as floats in memory of the caller's: of bfloat16, or rounded to TF32. */
static inline float *sim_widened(const void *values, size_t n, int is_bf16, int is_tf32) {
    float *wide = malloc((n ? n : 1) * sizeof *wide);
    if (!wide)
        abort();
    for (size_t i = 0; i < n; i++)
        wide[i] = is_bf16   ? sim_from_bf16(((const uint16_t *)values)[i])
                  : is_tf32 ? sim_tf32(((const float *)values)[i])
                            : ((const float *)values)[i];
    return wide;
}

#endif
