/* model/dropout.c - two draws: one names the mask, the next ones fill it.
 *
 * A layer and a sample do not fit one 64-bit index beside an element for every network and data
 * set. So (seed, epoch, sample, layer) draws 128 bits, and these are the key and half of the
 * counter of a second stream whose index is the element, four elements a draw. */
#include "model/dropout.h"

#include "io/rng.h"

enum { MAX_LAYERS = 1024 }; /* of dt_net; stored results depend on it */

void dt_dropout_mask(uint64_t seed, uint32_t epoch, int64_t sample, int layer, float p,
                     float *scale, size_t n) {
    uint32_t name[4], bits[4];
    dt_random(seed, DT_RNG_DROPOUT, epoch, (uint64_t)sample * MAX_LAYERS + (uint64_t)layer, name);
    const uint64_t dropped = (uint64_t)((double)p * 0x1p32); /* of 2^32 equally likely draws */
    const float kept = 1.0f / (1.0f - p);
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) {
            uint64_t block = i / 4;
            const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), name[2],
                                         name[3]};
            dt_philox4x32(counter, name, bits);
        }
        scale[i] = bits[i % 4] < dropped ? 0.0f : kept;
    }
}
