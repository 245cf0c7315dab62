// y[r, i] = (x[r, i] - mean_r) / sqrt(variance_r + eps) * w[i] + b[i]
//
//   x  f32[rows, dim] input      w, b  f32[dim] or NULL (ones, zeros)      y  f32[rows, dim] output, may be x
//
// Two passes: the variance is the mean of (x - mean)^2, so a large mean costs no accuracy. FP32 partial sums.
// `add_layer_norm` adds the residual first. Called in GPT-2-like models.

#include "baseline.h"
#include <math.h>

void apus_baseline_layer_norm(
    const float *x, const float *w, const float *b, float eps, float *y, size_t rows, size_t dim
) {
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        float sums[BASELINE_LANES] = {0}, squares[BASELINE_LANES] = {0}, total = 0, total_squares = 0;
        for (size_t i = 0; i < dim; i++) { sums[i % BASELINE_LANES] += x[i]; }
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += sums[lane]; }
        float mean = total / (float)dim;
        for (size_t i = 0; i < dim; i++) { squares[i % BASELINE_LANES] += (x[i] - mean) * (x[i] - mean); }
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total_squares += squares[lane]; }
        float factor = 1 / sqrtf(total_squares / (float)dim + eps);
        for (size_t i = 0; i < dim; i++) {
            y[i] = (x[i] - mean) * factor * (w ? w[i] : 1) + (b ? b[i] : 0);
        }
    }
}

void apus_baseline_add_layer_norm(
    const float *x, const float *delta, const float *w, const float *b, float eps, float *sum, float *y,
    size_t rows, size_t dim
) {
    for (size_t i = 0; i < rows * dim; i++) { sum[i] = x[i] + delta[i]; }
    apus_baseline_layer_norm(sum, w, b, eps, y, rows, dim);
}
