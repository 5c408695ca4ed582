/* tests/simdev/gemm.h - the one matrix product of the simulated cuBLAS and cuDNN.
 *
 * Each element is a sum in the order of p, whatever the sizes: the same bits for a row alone or in
 * company, as the trainer asks of its libraries. */
#ifndef DT_SIMDEV_GEMM_H
#define DT_SIMDEV_GEMM_H

#include <stddef.h>

/* c[i * n + j] += sum over p of a[i * a_row + p * a_column] * b[p * n + j]; i < m, j < n, p < k. */
__attribute__((target_clones("avx2", "default"))) static void
sim_gemm(size_t m, size_t n, size_t k, const float *restrict a, size_t a_row, size_t a_column,
         const float *restrict b, float *restrict c) {
    size_t i = 0;
    for (; i + 4 <= m; i += 4) {
        float *c0 = c + i * n, *c1 = c0 + n, *c2 = c1 + n, *c3 = c2 + n;
        for (size_t p = 0; p < k; p++) {
            const float *x = a + i * a_row + p * a_column, *y = b + p * n;
            float x0 = x[0], x1 = x[a_row], x2 = x[2 * a_row], x3 = x[3 * a_row];
            for (size_t j = 0; j < n; j++) {
                c0[j] += x0 * y[j];
                c1[j] += x1 * y[j];
                c2[j] += x2 * y[j];
                c3[j] += x3 * y[j];
            }
        }
    }
    for (; i < m; i++)
        for (size_t p = 0; p < k; p++) {
            float x = a[i * a_row + p * a_column];
            for (size_t j = 0; j < n; j++)
                c[i * n + j] += x * b[p * n + j];
        }
}

#endif
