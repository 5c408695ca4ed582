/* io/rng.h - randomness as a pure function, and a shuffle that needs no table.
 *
 * Everything random in the program is dt_random(seed, purpose, epoch, index): never a function of
 * rank, thread, time or the order of calls, so that it is the same for every number of ranks. The
 * generator is Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as
 * 1, 2, 3; SC'11); its known answers are in tests/test_rng.c. */
#ifndef DT_IO_RNG_H
#define DT_IO_RNG_H

#include <stdint.h>

typedef enum {                     /* stored results depend on these values: never renumber */
               DT_RNG_SUBSET = 1,  /* which samples --samples n takes; its seed is a constant */
               DT_RNG_SHUFFLE = 2, /* the order of an epoch */
               DT_RNG_INIT = 3,    /* initial parameters; index = parameter */
               DT_RNG_DROPOUT = 4, /* dropout masks */
               DT_RNG_AUGMENT = 5, /* augmentation; index = sample */
               DT_RNG_CHECK = 6    /* which samples the neighbour check recomputes */
} dt_purpose;

/* The bare generator: out = Philox4x32-10(counter, key). */
void dt_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* 128 random bits for (seed, purpose, epoch, index): key = seed, counter = index, epoch, purpose.
 */
void dt_random(uint64_t seed, dt_purpose purpose, uint32_t epoch, uint64_t index, uint32_t out[4]);
/* 32 random bits as a float in (0, 1): their upper 23 as a whole number, plus 0.5, over 2^23.
 * Exact, so never 0 or 1: a 24th bit and the half would round to 1. */
float dt_uniform(uint32_t bits);

/* The image of i under a pseudo-random permutation of 0 .. n-1 (i < n, n >= 1) keyed by (seed,
 * purpose, epoch): a Feistel network over the next power of four, walked until it lands below n.
 * Constant memory, and a time that hardly depends on n (at most four passes on average). */
uint64_t dt_permute(uint64_t n, uint64_t i, uint64_t seed, dt_purpose purpose, uint32_t epoch);

#endif
