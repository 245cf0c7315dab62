// y = x: elements move as bytes, whatever they mean
//
//   x, y  elements of 1, 2, 4, 8 or 16 bytes, strided
//
// Bound by memory. Runs that lie side by side in both and are multiples of 16 bytes move as such: then all sizes and
// steps are in units of that. Where x's neighbours lie along another dimension than y's, matrices are turned in shared
// memory, so that both sides move in runs.
//
// Macros: none.
// Launch: blocks of 256.
//   copy_1, copy_2, copy_4, copy_8, copy_16(x, y, nest of [y, x]): one thread an element, or fewer
//   transpose_1, transpose_2, transpose_4, transpose_8
//     (x, y, nest of matrices [y, x], rows, columns, y_row, x_column): y[r][c] = x[c][r], y's columns and x's rows side
//     by side, y_row and x_column apart; one block a tile of 32 × 32, or fewer

#include "strided.cuh"

template <typename word_t> __device__ __forceinline__ void copy(const word_t *x, word_t *y, const nest_t &nest) {
    let_next_start();
    wait_for_previous();
    each_element<2>(nest, [&](const long long(&at)[2]) { y[at[0]] = x[at[1]]; });
}

template <typename word_t>
__device__ __forceinline__ void transpose(
    const word_t *x, word_t *y, const nest_t &nest, long long rows, long long columns, long long y_row,
    long long x_column
) {
    __shared__ word_t tile[32][33];
    let_next_start();
    wait_for_previous();
    const long long tiles_down = (rows + 31) / 32, tiles_across = (columns + 31) / 32;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (long long i = blockIdx.x; i < nest.count * tiles_down * tiles_across; i += gridDim.x) {
        long long at[2];
        nest_at<2>(nest, i / tiles_across / tiles_down, at);
        const long long row = i / tiles_across % tiles_down * 32, column = i % tiles_across * 32;
        for (int c = warp; c < 32; c += 8) {
            if (column + c < columns && row + lane < rows) {
                tile[c][lane] = x[at[1] + (column + c) * x_column + row + lane];
            }
        }
        __syncthreads();
        for (int r = warp; r < 32; r += 8) {
            if (row + r < rows && column + lane < columns) {
                y[at[0] + (row + r) * y_row + column + lane] = tile[lane][r];
            }
        }
        __syncthreads();
    }
}

#define COPY(bytes)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) copy_##bytes(                                             \
        const word_of<bytes>::type *x, word_of<bytes>::type *y, const __grid_constant__ nest_t nest             \
    ) {                                                                                                         \
        copy(x, y, nest);                                                                                       \
    }
COPY(1)
COPY(2)
COPY(4)
COPY(8)
COPY(16)

#define TRANSPOSE(bytes)                                                                                        \
    extern "C" __global__ void __launch_bounds__(256) transpose_##bytes(                                        \
        const word_of<bytes>::type *x, word_of<bytes>::type *y, const __grid_constant__ nest_t nest,            \
        long long rows, long long columns, long long y_row, long long x_column                                  \
    ) {                                                                                                         \
        transpose(x, y, nest, rows, columns, y_row, x_column);                                                  \
    }
TRANSPOSE(1)
TRANSPOSE(2)
TRANSPOSE(4)
TRANSPOSE(8)
