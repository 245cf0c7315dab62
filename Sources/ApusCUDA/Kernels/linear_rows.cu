// y[m][n] = Σ x[m][k] w[n][k] + bias[n] + residual[m][n]
//
//   x  X_TYPE [M, K]    w  W_TYPE [N, K]    bias  float [N] or null    residual  Y_TYPE [M, N] or null
//   y  Y_TYPE [M, N]    all row-major
//
// For machines without cuBLASLt, and for any sizes; see tile.cuh.
//
// Macros: X_TYPE, W_TYPE, Y_TYPE: float, half_t or bfloat_t.
// Launch: blocks of 256, grid of tiles of 64 × 64 (across N, down M); no dynamic shared memory.
//   linear_rows (x, w, bias, residual, y, int M, int N, int K)

#include "tile.cuh"

#if !defined(X_TYPE) || !defined(W_TYPE) || !defined(Y_TYPE)
#error "X_TYPE, W_TYPE, Y_TYPE"
#endif

extern "C" __global__ void __launch_bounds__(256, 4) linear_rows(
    const X_TYPE *x, const W_TYPE *w, const float *bias, const Y_TYPE *residual, Y_TYPE *y, int m, int n, int k
) {
    let_next_start();
    wait_for_previous();
    const matrix_t<X_TYPE> rows = {x, k, 1, m};
    const matrix_t<W_TYPE> features = {w, k, 1, n};
    multiply_tile<64, true>(
        rows, features, k, blockIdx.y * 64, blockIdx.x * 64, [&](int row, int column, float sum) {
            const long long place = (long long)row * n + column;
            if (bias != nullptr) sum += bias[column];
            if (residual != nullptr) sum += to_float(residual[place]);
            y[place] = from_float<Y_TYPE>(sum);
        });
}
