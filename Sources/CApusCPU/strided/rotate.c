// y[i] = x[i] cos[i] - x[i + R/2] sin[i],  y[i + R/2] = x[i + R/2] cos[i + R/2] + x[i] sin[i + R/2] for i < R/2;
// y[i] = x[i] for i >= R
//
//   x, y  f32[..., D]    cos, sin  f32 broadcast to [..., R]    rows strided, their elements side by side

#include "elements.h"

void apus_rotate(
    const float *x, const float *cosines, const float *sines, float *y, size_t dim, size_t rotary,
    const apus_nest *nest, size_t first, size_t last
) {
    const size_t half = rotary / 2;
    EACH_RUN(run, nest, first, last) {
        for (size_t r = 0; r < run.count; r++) {
            float *restrict to = y + run.at[0] + r * inner_stride(nest, 0);
            const float *restrict from = x + run.at[1] + r * inner_stride(nest, 1);
            const float *restrict c = cosines + run.at[2] + r * inner_stride(nest, 2);
            const float *restrict s = sines + run.at[3] + r * inner_stride(nest, 3);
            for (size_t i = 0; i < half; i++) {
                to[i] = from[i] * c[i] - from[i + half] * s[i];
                to[i + half] = from[i + half] * c[i + half] + from[i] * s[i + half];
            }
            memcpy(to + rotary, from + rotary, (dim - rotary) * sizeof(float));
        }
    }
}
