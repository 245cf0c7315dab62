// y[m, n] = sum over k of x[m, k] * w[n, k], plus bias[n]
//
//   w     dtype[N, K]  in panels    x  f32[M, K]  input, rows ldx apart
//   bias  f32[N]       or NULL      y  f32[M, N]  output, rows ldy apart
//
// Any M, N, K. FP32 sums over BLOCK inputs at a time; error <= about BLOCK + K / BLOCK roundings.
// Called for every projection, MLP and language-model head.

#include "../panels.h"
#include "baseline.h"

enum { BLOCK = 256 };

size_t apus_baseline_packed_linear_scratch_bytes(size_t m, size_t k) {
    (void)m;
    return rounded_up(panel_elements(APUS_BF16, k) * sizeof(float), 64);
}

/// One row of x times a panel of FP32, whose elements lie as `dtype` has them.
static void panel_row(const float *x, const float *panel, apus_dtype dtype, size_t k, float *totals) {
    for (size_t lane = 0; lane < APUS_PANEL; lane++) { totals[lane] = 0; }
    for (size_t at = 0; at < k; at += BLOCK) {
        float sums[APUS_PANEL] = {0};
        for (size_t i = at; i < smaller(at + BLOCK, k); i++) {
            for (size_t lane = 0; lane < APUS_PANEL; lane++) {
                sums[lane] += x[i] * panel[panel_at(dtype, lane, i)];
            }
        }
        for (size_t lane = 0; lane < APUS_PANEL; lane++) { totals[lane] += sums[lane]; }
    }
}

void apus_baseline_packed_linear(const apus_packed_linear *a, size_t n0, size_t n1, void *scratch) {
    for (size_t n = n0; n < n1; n += APUS_PANEL) {
        const float *panel = panel_of(a->w, a->dtype, n, a->k);
        if (a->dtype != APUS_F32) {  // convert once for all rows of x
            apus_baseline_convert(panel, a->dtype, scratch, APUS_F32, panel_elements(a->dtype, a->k));
            panel = scratch;
        }
        for (size_t m = 0; m < a->m; m++) {
            float sums[APUS_PANEL];
            panel_row(a->x + m * a->ldx, panel, a->dtype, a->k, sums);
            for (size_t lane = 0; lane < smaller(APUS_PANEL, n1 - n); lane++) {
                a->y[m * a->ldy + n + lane] = sums[lane] + (a->bias ? a->bias[n + lane] : 0);
            }
        }
    }
}
