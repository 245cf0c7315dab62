// y[m, n] = sum over k of x[m, k] * w[n, k], plus bias[n]
//
//   w     dtype[N, K]  rows ldw apart  x  f32[M, K]  input, rows ldx apart
//   bias  f32[N]       or NULL         y  f32[M, N]  output, rows ldy apart
//
// Any M, N, K. FP32 sums in BASELINE_LANES partial sums; error <= about K / BASELINE_LANES roundings.
// Called for every projection, MLP and language-model head.

#include "baseline.h"

size_t apus_baseline_linear_scratch_bytes(size_t m, size_t n, size_t k) {
    (void)m, (void)n;
    return rounded_up(k * sizeof(float), 64);
}

static float dot(const float *restrict a, const float *restrict b, size_t n) {
    float sums[BASELINE_LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + BASELINE_LANES <= n; i += BASELINE_LANES) {
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { sums[lane] += a[i + lane] * b[i + lane]; }
    }
    for (size_t lane = 0; i < n; i++, lane++) { sums[lane] += a[i] * b[i]; }
    for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += sums[lane]; }
    return total;
}

void apus_baseline_linear(const apus_linear *a, size_t n0, size_t n1, void *scratch) {
    for (size_t n = n0; n < n1; n++) {
        const float *row = element(a->w, a->dtype, n * a->ldw);
        if (a->dtype != APUS_F32) {  // convert once for all rows of x
            apus_baseline_convert(row, a->dtype, scratch, APUS_F32, a->k);
            row = scratch;
        }
        for (size_t m = 0; m < a->m; m++) {
            a->y[m * a->ldy + n] = dot(a->x + m * a->ldx, row, a->k) + (a->bias ? a->bias[n] : 0);
        }
    }
}
