/* launch/peak.h - the most multiply-adds and the most memory traffic that this machine's cores can
 * do.
 *
 * The yardstick for "share of peak". Measured, not looked up: clocks under load, virtual machines
 * and neighbours count. */
#ifndef DT_LAUNCH_PEAK_H
#define DT_LAUNCH_PEAK_H

#include <stddef.h>
#include "io/err.h"

typedef enum {
    DT_PEAK_F32,   /* float32 multiply-adds */
    DT_PEAK_BF16,  /* bf16 products added to float32 sums */
    DT_PEAK_MEMORY /* STREAM's triad a = b + s * c, 24 bytes an element, arrays larger than caches
                    */
} dt_peak_kind;

typedef struct {
    const char
        *instructions; /* "AVX-512 FMA"; NULL: the CPU has none for this kind, the rest is 0 */
    double best,
        median; /* of several runs, all threads together: GFLOP/s (2 a multiply-add), or GB/s */
} dt_peak;

/* Measure with n_threads threads at once, about 0.5 s. DT_EDEVICE: no thread or no memory. */
DT_NODISCARD dt_status dt_peak_measure(dt_peak_kind kind, int n_threads, dt_peak *out);

/* The CPU's instruction sets that matter here: "AVX2, AVX-512, AVX512-BF16, AMX-BF16"; "" if none
 * of them. Returns text. */
const char *dt_peak_instruction_sets(char *text, size_t nbytes);

#endif
