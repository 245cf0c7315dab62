// y = a b, batched: y[m][n] = Σ a[m][k] b[k][n]
//
//   a  float, its rows side by side    b  ELEMENT, its rows or its columns side by side    y  float, row-major
//
// Many rows go in tiles (tile.cuh). Few read b once, along the way it lies: where its columns lie side by side in memory
// (ALONG_K 1), a warp takes a column and its lanes go along k; else a block takes 32 columns, its 8 warps every eighth k,
// and their sums meet in shared memory. Sums run in fixed orders. Few rows are bound by memory.
//
// Macros: ELEMENT: float, half_t or bfloat_t; ALONG_K: 1 if b's neighbours along k lie side by side.
// Launch: blocks of 256, or fewer than told here.
//   matmul_64, matmul_128: one a tile of so many rows and columns
//   matmul_rows_1, _2, _4, _8, for that many rows at most: one for 8 columns (ALONG_K) or 32
//     (a, b, y, nest of matrices [y, a, b], int m, n, k, a_row, b_k, b_column): steps in elements

#include "strided.cuh"
#include "tile.cuh"

#if !defined(ELEMENT) || !defined(ALONG_K)
#error "ELEMENT, ALONG_K"
#endif

template <int tile>
__device__ __forceinline__ void multiply_tiles(
    const float *a, const ELEMENT *b, float *y, const nest_t &nest, int m, int n, int k, long long a_row,
    long long b_k, long long b_column
) {
    let_next_start();
    wait_for_previous();
    const int down = (m + tile - 1) / tile, across = (n + tile - 1) / tile;
    for (long long i = blockIdx.x; i < nest.count * down * across; i += gridDim.x) {
        long long at[3];
        nest_at<3>(nest, i / across / down, at);
        const matrix_t<float> rows = {a + at[1], a_row, 1, m};
        const matrix_t<ELEMENT> columns = {b + at[2], b_column, b_k, n};
        float *to = y + at[0];
        multiply_tile<tile, ALONG_K>(
            rows, columns, k, (int)(i / across % down) * tile, (int)(i % across) * tile,
            [&](int row, int column, float sum) { to[(long long)row * n + column] = sum; });
    }
}

template <int most_rows>
__device__ __forceinline__ void multiply_rows(
    const float *a, const ELEMENT *b, float *y, const nest_t &nest, int m, int n, int k, long long a_row,
    long long b_k, long long b_column
) {
    let_next_start();
    wait_for_previous();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    constexpr int columns = ALONG_K ? 8 : 32;
    const int across = (n + columns - 1) / columns;
    for (long long i = blockIdx.x; i < nest.count * across; i += gridDim.x) {
        long long at[3];
        nest_at<3>(nest, i / across, at);
        const int column = (int)(i % across) * columns + (ALONG_K ? warp : lane);
        const float *left = a + at[1];
        const ELEMENT *right = b + at[2] + column * b_column;
        float *to = y + at[0] + column;
        float sums[most_rows] = {};
        if (column < n) {
            const int first = ALONG_K ? lane : warp, step = ALONG_K ? 32 : 8;
#pragma unroll 4
            for (int d = first; d < k; d += step) {
                const float number = to_float(right[d * b_k]);
#pragma unroll
                for (int r = 0; r < most_rows; r++) {
                    if (r < m) sums[r] = fmaf(left[r * a_row + d], number, sums[r]);
                }
            }
        }
        if constexpr (ALONG_K) {
#pragma unroll
            for (int r = 0; r < most_rows; r++) {
                const float sum = warp_sum(sums[r]);
                if (lane == 0 && r < m && column < n) to[(long long)r * n] = sum;
            }
        } else {
            __shared__ float partial[8][most_rows][32];
            // The sums before may still be read.
            __syncthreads();
#pragma unroll
            for (int r = 0; r < most_rows; r++) partial[warp][r][lane] = sums[r];
            __syncthreads();
            if (warp < most_rows && warp < m && column < n) {
                float sum = 0;
#pragma unroll
                for (int part = 0; part < 8; part++) sum += partial[part][warp][lane];
                to[(long long)warp * n] = sum;
            }
        }
    }
}

#define ENTRY(name, blocks, function)                                                                           \
    extern "C" __global__ void __launch_bounds__(256, blocks) name(                                             \
        const float *a, const ELEMENT *b, float *y, const __grid_constant__ nest_t nest, int m, int n, int k,   \
        long long a_row, long long b_k, long long b_column                                                      \
    ) {                                                                                                         \
        function(a, b, y, nest, m, n, k, a_row, b_k, b_column);                                                 \
    }
ENTRY(matmul_64, 4, multiply_tiles<64>)
ENTRY(matmul_128, 2, multiply_tiles<128>)
ENTRY(matmul_rows_1, 4, multiply_rows<1>)
ENTRY(matmul_rows_2, 4, multiply_rows<2>)
ENTRY(matmul_rows_4, 4, multiply_rows<4>)
ENTRY(matmul_rows_8, 4, multiply_rows<8>)
