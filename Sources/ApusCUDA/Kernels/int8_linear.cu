// int8_gemv: y[m, n] = epilogue(Σ_k (codes[n, k] − zero) · scale[k / G, n] · norm(x)[m, k] + bias[n]) for 1 to 8 rows, and
// int8_gemv_head, which also finds the largest logit of each block. The op int8_linear of up to 8 rows.
//
//   y f32 [ROWS, N] out, x f32 [ROWS, K]; w, scales, zeros: packed as quantized.cuh tells, w 16-byte aligned
//   bias, norm_weight, norm_bias VECTOR, residual f32: see gemv.cuh; null where the macros do not ask for them
//
// Macros and launch: quantized_gemv.cuh, without BITS.
#define BITS 8
#include "quantized_gemv.cuh"

#if HEAD
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) int8_gemv_head(
    float *logits, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros,
    const VECTOR *bias, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps, float *best_values,
    int *best_indices) {
    run(logits, x, w, scales, zeros, bias, nullptr, norm_weight, norm_bias, eps, best_values, best_indices);
}
#else
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) int8_gemv(
    float *y, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros, const VECTOR *bias,
    const float *residual, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps) {
    run(y, x, w, scales, zeros, bias, residual, norm_weight, norm_bias, eps, nullptr, nullptr);
}
#endif
