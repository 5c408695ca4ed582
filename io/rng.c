/* io/rng.c - Philox 4x32-10 and a keyed permutation.
 *
 * Philox is a cipher with the security thrown out: ten rounds of two 32x32 -> 64 bit
 * multiplications turn a counter and a key into 128 bits that pass every known statistical test.
 * Being a function of its input, it needs no state that a checkpoint would have to hold.
 *
 * The permutation is a Feistel network (L, R) -> (R, L ^ f(R)) on the 2b bits of the smallest power
 * of four that holds n: a bijection whatever f is. Values at or above n are sent through again
 * until one lands below n ("cycle walking"), which keeps it a bijection on 0 .. n-1 and takes fewer
 * than four passes on average. The keys of its rounds come from Philox; f is the finaliser of a
 * 32-bit hash, a good deal cheaper than Philox. */
#include "io/rng.h"

enum { FEISTEL_ROUNDS = 8 }; /* stored results depend on it */

void dt_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void dt_random(uint64_t seed, dt_purpose purpose, uint32_t epoch, uint64_t index, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), epoch,
                                 (uint32_t)purpose};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    dt_philox4x32(counter, key, out);
}

float dt_uniform(uint32_t bits) {
    return ((float)(bits >> 9) + 0.5f) *
           0x1p-23f; /* 24 bits in all: exact, so never rounded to 1 */
}

/* 32 well mixed bits of x ^ key; the caller takes the upper ones. */
static uint32_t mix(uint32_t x, uint32_t key) {
    x = (x ^ key) * 0x85EBCA6Bu;
    x ^= x >> 15;
    return x * 0xC2B2AE35u;
}

/* The network on the 2 * half_bits low bits of x, 1 <= half_bits <= 32. All that a Feistel network
 * of more than 2 bits can do are even permutations: in one half of all cases the last key swaps 0
 * and 1 as well, which makes it an odd one. (Five samples are enough to see the difference.) */
static uint64_t feistel(uint64_t x, int half_bits, const uint32_t keys[FEISTEL_ROUNDS + 1]) {
    uint32_t left = (uint32_t)(x >> half_bits);
    uint32_t right = (uint32_t)(x & (UINT64_MAX >> (64 - half_bits)));
    for (int round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t next = left ^ (mix(right, keys[round]) >> (32 - half_bits));
        left = right;
        right = next;
    }
    uint64_t y = (uint64_t)left << half_bits | right;
    return y < 2 ? y ^ (keys[FEISTEL_ROUNDS] & 1) : y;
}

uint64_t dt_permute(uint64_t n, uint64_t i, uint64_t seed, dt_purpose purpose, uint32_t epoch) {
    int half_bits = 1;
    while (half_bits < 32 && (n - 1) >> (2 * half_bits) != 0)
        half_bits++;
    uint32_t keys[FEISTEL_ROUNDS + 1];
    dt_random(seed, purpose, epoch, 0, keys);
    dt_random(seed, purpose, epoch, 1, keys + 4);
    keys[FEISTEL_ROUNDS] =
        keys[0] ^ keys[1] ^ keys[2] ^ keys[3] ^ keys[4] ^ keys[5] ^ keys[6] ^ keys[7];
    do
        i = feistel(i, half_bits, keys);
    while (i >= n);
    return i;
}
