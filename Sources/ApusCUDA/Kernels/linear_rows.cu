// y[m][n] = Σ x[m][k] w[n][k] + bias[n]
//
//   x  float [M, K]    w  WEIGHT [N, K]    bias  float [N] or null    y  float [M, N]    all row-major
//
// For machines without cuBLASLt, and for any M; see tile.cuh.
//
// Macros: WEIGHT: float, half_t or bfloat_t.
// Launch: blocks of 256, one a tile or fewer; no dynamic shared memory.
//   linear_rows, tiles of 64 × 64; linear_rows_128, tiles of 128 × 128, where there are enough to go round
//     (x, w, bias, y, int M, int N, int K)

#include "tile.cuh"

#ifndef WEIGHT
#error "WEIGHT"
#endif

template <int tile>
__device__ __forceinline__ void multiply(
    const float *x, const WEIGHT *w, const float *bias, float *y, int m, int n, int k
) {
    let_next_start();
    wait_for_previous();
    const matrix_t<float> rows = {x, k, 1, m};
    const matrix_t<WEIGHT> features = {w, k, 1, n};
    const int down = (m + tile - 1) / tile, across = (n + tile - 1) / tile;
    for (int i = blockIdx.x; i < down * across; i += gridDim.x) {
        // Neighbours share the weights, the larger operand.
        multiply_tile<tile, float, WEIGHT, true>(rows, features, k, bias, y, n, i % down * tile, i / down * tile);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) linear_rows(
    const float *x, const WEIGHT *w, const float *bias, float *y, int m, int n, int k
) {
    multiply<64>(x, w, bias, y, m, n, k);
}

extern "C" __global__ void __launch_bounds__(256, 2) linear_rows_128(
    const float *x, const WEIGHT *w, const float *bias, float *y, int m, int n, int k
) {
    multiply<128>(x, w, bias, y, m, n, k);
}
