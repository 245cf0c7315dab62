// y[m, n] = sum over k of a[m, k] * b[k, n]
//
//   a  f32[M, K]  rows lda apart     b  dtype[K, N]  rows ldb apart     y  f32[M, N]  output, rows ldy apart
//
// Any M, N, K; K = 0 gives zeros. FP32 sums, one chain over k for each element.
// Called for products of activations, such as the weights of attention times V straight from a cache.

#include "baseline.h"

size_t apus_baseline_matmul_scratch_bytes(size_t m, size_t n, size_t k) {
    (void)m, (void)n, (void)k;
    return 64;
}

void apus_baseline_matmul(const apus_matmul *a, size_t n0, size_t n1, void *scratch) {
    (void)scratch;
    for (size_t m = 0; m < a->m; m++) {
        float *y = a->y + m * a->ldy;
        for (size_t n = n0; n < n1; n++) { y[n] = 0; }
        for (size_t k = 0; k < a->k; k++) {
            const float value = a->a[m * a->lda + k];
            for (size_t n = n0; n < n1; n++) { y[n] += value * load_as_f32(a->b, a->dtype, k * a->ldb + n); }
        }
    }
}
