#pragma once
// A tile of a product of matrices in FP32, by the ordinary arithmetic units: y[m][n] = Σ a[m][k] b[k][n].
//
// 256 threads compute TILE rows × TILE columns, each thread TILE/16 of both, 4 neighbours at a time so that shared
// memory is read in 16 bytes. Both operands go through shared memory in slices of 16 of k, two of which alternate: the
// next slice is loaded into registers while the present one is multiplied. Every sum runs in the order of k, so results
// do not depend on the grid. Sizes are below 2^31. Bound by arithmetic (66 TFLOP/s on an H200) for TILE 128, by shared memory for 64.

#include "types.cuh"

constexpr int slice = 16;

/// Where a matrix lies; one of the steps is 1.
template <typename Element> struct matrix_t {
    const Element *base;
    /// Elements between neighbours along the dimension of the result, and along k.
    long long step, k_step;
    /// Size of the dimension of the result.
    int size;
};

/// `tile` × 16 elements of a matrix on their way to shared memory, neighbours in memory by neighbouring threads.
template <int tile, typename Element, bool along_k> struct slice_t {
    static constexpr int count = tile * slice / 256;
    const Element *next;
    /// Elements between those of this thread, and between slices.
    long long step, advance;
    /// This thread's first place in the tile, and how many of its elements the matrix has.
    int row, depth, rows;
    float x[count];

    __device__ __forceinline__ slice_t(const matrix_t<Element> &matrix, int first) {
        row = along_k ? threadIdx.x / slice : threadIdx.x % tile;
        depth = along_k ? threadIdx.x % slice : threadIdx.x / tile;
        next = matrix.base + (first + row) * matrix.step + depth * matrix.k_step;
        step = along_k ? 256 / slice * matrix.step : 256 / tile * matrix.k_step;
        advance = slice * matrix.k_step;
        rows = matrix.size - first - row;
    }

    /// Loads the next slice, of whose places the matrix has so many.
    __device__ __forceinline__ void load(int depths) {
#pragma unroll
        for (int i = 0; i < count; i++) {
            const bool is_inside = along_k ? i * (256 / slice) < rows && depth < depths
                                           : rows > 0 && depth + i * (256 / tile) < depths;
            x[i] = is_inside ? to_float(next[i * step]) : 0.0f;
        }
        next += advance;
    }

    __device__ __forceinline__ void store(float (*shared)[tile + 4]) const {
#pragma unroll
        for (int i = 0; i < count; i++) {
            shared[along_k ? depth : depth + i * (256 / tile)][along_k ? row + i * (256 / slice) : row] = x[i];
        }
    }
};

/// The tile of y whose first row and column are given; `store` takes row, column and sum of each element of y.
template <int tile, bool b_along_k, typename A, typename B, typename Store>
__device__ __forceinline__ void multiply_tile(
    const matrix_t<A> &a, const matrix_t<B> &b, int depths, int first_row, int first_column, Store store
) {
    constexpr int mine = tile / 16, quads = mine / 4;
    __shared__ __align__(16) float shared_a[2][slice][tile + 4], shared_b[2][slice][tile + 4];
    const int down = threadIdx.x / 16 * 4, across = threadIdx.x % 16 * 4;
    float sums[mine][mine] = {};
    slice_t<tile, A, true> next_a(a, first_row);
    slice_t<tile, B, b_along_k> next_b(b, first_column);
    // The tile before may still be read.
    __syncthreads();
    next_a.load(depths);
    next_b.load(depths);
    next_a.store(shared_a[0]);
    next_b.store(shared_b[0]);
    __syncthreads();
    int present = 0;
    for (int k = 0; k < depths; k += slice) {
        const bool goes_on = k + slice < depths;
        if (goes_on) {
            next_a.load(depths - k - slice);
            next_b.load(depths - k - slice);
        }
#pragma unroll
        for (int d = 0; d < slice; d++) {
            float left[mine], right[mine];
#pragma unroll
            for (int q = 0; q < quads; q++) {
                *(float4 *)&left[4 * q] = *(const float4 *)&shared_a[present][d][down + 64 * q];
                *(float4 *)&right[4 * q] = *(const float4 *)&shared_b[present][d][across + 64 * q];
            }
#pragma unroll
            for (int i = 0; i < mine; i++) {
#pragma unroll
                for (int j = 0; j < mine; j++) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
            }
        }
        if (goes_on) {
            next_a.store(shared_a[1 - present]);
            next_b.store(shared_b[1 - present]);
        }
        __syncthreads();
        present = 1 - present;
    }
#pragma unroll
    for (int i = 0; i < mine; i++) {
        const int row = first_row + down + i / 4 * 64 + i % 4;
        if (row >= a.size) continue;
#pragma unroll
        for (int j = 0; j < mine; j++) {
            const int column = first_column + across + j / 4 * 64 + j % 4;
            if (column < b.size) store(row, column, sums[i][j]);
        }
    }
}
