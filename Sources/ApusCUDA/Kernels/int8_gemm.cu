// int8_gemm: y[m, n] = Σ_k (codes[n, k] − zero) · scale[k / G, n] · x[m, k] + bias[n] + residual[m, n] for many rows. The op
// int8_linear of 9 to about 128 rows; more are taken in tiles of M_TILE.
//
// Arguments, macros and launch: quantized_gemm.cuh, without BITS.
#define BITS 8
#include "quantized_gemm.cuh"

extern "C" __global__ void __launch_bounds__(THREADS_OF_BLOCK, BLOCKS) int8_gemm(
    OUT *y, const INPUT *x, int rows, const uint4 *w, const SCALE *scales, const unsigned char *zeros,
    const VECTOR *bias, const float *residual, float *scratch, unsigned *counters) {
    run(y, x, rows, w, scales, zeros, bias, residual, scratch, counters);
}
