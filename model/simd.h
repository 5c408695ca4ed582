/* model/simd.h - which instruction set the hot loops may use.
 *
 * A hot loop is written once as an always-inline body and compiled for each level below by a thin
 * function with a target attribute. Every level gives the same bits: elements do not mix, and no
 * multiply and add are contracted. (Not target_clones: its resolvers run before sanitizers are
 * ready, and a test could not choose.) */
#ifndef DT_MODEL_SIMD_H
#define DT_MODEL_SIMD_H

typedef enum {
    DT_SIMD_BASE, /* what the compiler was told to assume */
    DT_SIMD_AVX2,
    DT_SIMD_AVX512, /* F, DQ, VL */
    DT_N_SIMD
} dt_simd;

/* The best level of this CPU, or the limit if that is lower. */
dt_simd dt_simd_level(void);
const char *dt_simd_name(dt_simd level);
/* Forbid levels above limit: for tests. Not while another thread computes. */
void dt_simd_limit(dt_simd limit);

#if defined(__x86_64__)
#define DT_SIMD_X86      1
#define DT_TARGET_AVX2   __attribute__((target("avx2")))
#define DT_TARGET_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx2")))
#else
#define DT_SIMD_X86 0
#endif
#define DT_ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
