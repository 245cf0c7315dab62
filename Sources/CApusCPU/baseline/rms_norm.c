// y[r, i] = x[r, i] / sqrt(mean over i of x[r, i]^2, plus eps) * w[i]
//
//   x  f32[rows, dim] input      w  f32[dim] or NULL (ones)      y  f32[rows, dim] output, may be x
//
// The sum of squares is kept in BASELINE_LANES FP32 partial sums. `add_rms_norm` adds the residual first:
// sum = x + delta, y = rms_norm(sum). Called before attention and MLP of Llama-like models.

#include "baseline.h"
#include <math.h>

void apus_baseline_rms_norm(const float *x, const float *w, float eps, float *y, size_t rows, size_t dim) {
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        float squares[BASELINE_LANES] = {0}, total = 0;
        for (size_t i = 0; i < dim; i++) { squares[i % BASELINE_LANES] += x[i] * x[i]; }
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += squares[lane]; }
        float factor = 1 / sqrtf(total / (float)dim + eps);
        for (size_t i = 0; i < dim; i++) { y[i] = x[i] * factor * (w ? w[i] : 1); }
    }
}

void apus_baseline_add_rms_norm(
    const float *x, const float *delta, const float *w, float eps, float *sum, float *y, size_t rows,
    size_t dim
) {
    for (size_t i = 0; i < rows * dim; i++) { sum[i] = x[i] + delta[i]; }
    apus_baseline_rms_norm(sum, w, eps, y, rows, dim);
}
