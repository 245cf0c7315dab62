// y[r, c] = f(a[r, c], b), where b is b[r, c], b[c], b[r] or one number
//
//   a, y  f32[rows, cols]  y may be a
//
// Exact FP32 operations. Called for residuals, scales and graphs that were not fused.

#include "baseline.h"
#include <math.h>

static float binary_of(apus_binary kind, float a, float b) {
    switch (kind) {
    case APUS_ADD: return a + b;
    case APUS_SUB: return a - b;
    case APUS_MUL: return a * b;
    case APUS_DIV: return a / b;
    case APUS_REVERSE_SUB: return b - a;
    case APUS_REVERSE_DIV: return b / a;
    case APUS_MAXIMUM: return isnan(a) || a > b ? a : b;
    case APUS_MINIMUM: return isnan(a) || a < b ? a : b;
    }
    return a;
}

void apus_baseline_binary(apus_binary kind, const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) { y[i] = binary_of(kind, a[i], b[i]); }
}

void apus_baseline_binary_scalar(apus_binary kind, const float *a, float b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) { y[i] = binary_of(kind, a[i], b); }
}

void apus_baseline_binary_rows(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) { apus_baseline_binary(kind, a + r * cols, b, y + r * cols, cols); }
}

void apus_baseline_binary_cols(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) {
        apus_baseline_binary_scalar(kind, a + r * cols, b[r], y + r * cols, cols);
    }
}
