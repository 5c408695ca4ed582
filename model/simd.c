/* model/simd.c - asks the CPU what it can: a few loads from a table that the C library filled at
 * start. */
#include "model/simd.h"

static dt_simd highest = DT_N_SIMD; /* the limit; above every level: none */

static dt_simd detect(void) {
#if DT_SIMD_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return DT_SIMD_AVX512;
    if (__builtin_cpu_supports("avx2"))
        return DT_SIMD_AVX2;
#endif
    return DT_SIMD_BASE;
}

dt_simd dt_simd_level(void) {
    dt_simd level = detect();
    return level < highest ? level : highest;
}

const char *dt_simd_name(dt_simd level) {
    static const char *const names[] = {"base", "AVX2", "AVX-512"};
    return names[level];
}

void dt_simd_limit(dt_simd limit) {
    highest = limit;
}
