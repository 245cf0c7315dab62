// Sums, means, "any" and running sums along one dimension
//
//   x, y  ELEMENT, strided; a line of x is `size` elements, x_stride apart
//
// Floats are summed in double, integers in int64 that wraps. `lanes` threads share a line: each takes every lanes-th
// element, and partial sums meet in a fixed tree, so that equal input gives equal bits. A running sum goes in chunks of
// `lanes` with a carry. Bound by memory.
//
// Macros: ELEMENT; IS_BOOLEAN, 1 if its numbers are 0 and 1; REDUCTION: 0 sum, 1 mean, 2 any, 3 running sum.
// Launch: blocks of 256, 256 / lanes lines each, or fewer blocks.
//   reduce_1, for lines that lie beside each other, reduce_32, and reduce_256, for few long lines, no running sum
//     (x, y, nest of [y, x] without the dimension, size, x_stride, y_stride of a running sum)

#include "strided.cuh"

#if !defined(ELEMENT) || !defined(IS_BOOLEAN) || !defined(REDUCTION)
#error "ELEMENT, IS_BOOLEAN, REDUCTION"
#endif

constexpr bool is_real = number_of<ELEMENT>::is_float;

template <bool is_float> struct sum_of {
    using type = unsigned long long;
};
template <> struct sum_of<true> {
    using type = double;
};
using sum_t = sum_of<is_real>::type;

__device__ __forceinline__ sum_t summand(ELEMENT x) {
    return REDUCTION == 2 ? (sum_t)(to_number(x) != 0) : (sum_t)to_number(x);
}

__device__ __forceinline__ ELEMENT element_of(sum_t sum, long long size) {
    if constexpr (is_real) {
        return from_number<ELEMENT, IS_BOOLEAN>((float)(REDUCTION == 1 ? sum / (double)size : sum));
    } else {
        return from_number<ELEMENT, IS_BOOLEAN>((long long)(REDUCTION == 2 ? (sum_t)(sum != 0) : sum));
    }
}

/// The sum over the threads of a line, in each of them.
template <int lanes> __device__ __forceinline__ sum_t line_sum(sum_t sum) {
    if constexpr (lanes > 1) {
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    }
    if constexpr (lanes == 256) {
        __shared__ sum_t shared[8];
        // The sums of the line before may still be read.
        __syncthreads();
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
        __syncthreads();
        sum = 0;
        for (int i = 0; i < 8; i++) sum += shared[i];
    }
    return sum;
}

template <int lanes>
__device__ __forceinline__ void running_sums(
    const ELEMENT *x, ELEMENT *y, long long size, long long x_stride, long long y_stride, int lane
) {
    sum_t carry = 0;
    for (long long start = 0; start < size; start += lanes) {
        const long long i = start + lane;
        sum_t sum = i < size ? summand(x[i * x_stride]) : 0;
        if constexpr (lanes > 1) {
            for (int offset = 1; offset < 32; offset *= 2) {
                const sum_t before = __shfl_up_sync(0xffffffffu, sum, offset);
                if (lane >= offset) sum += before;
            }
        }
        sum += carry;
        if (i < size) y[i * y_stride] = element_of(sum, size);
        carry = lanes > 1 ? __shfl_sync(0xffffffffu, sum, 31) : sum;
    }
}

template <int lanes>
__device__ __forceinline__ void reduce_lines(
    const ELEMENT *x, ELEMENT *y, const nest_t &nest, long long size, long long x_stride, long long y_stride
) {
    let_next_start();
    wait_for_previous();
    const int lane = threadIdx.x % lanes;
    const long long step = (long long)gridDim.x * (256 / lanes);
    for (long long line = blockIdx.x * (256ll / lanes) + threadIdx.x / lanes; line < nest.count; line += step) {
        long long at[2];
        nest_at<2>(nest, line, at);
        if constexpr (REDUCTION == 3) {
            running_sums<lanes>(x + at[1], y + at[0], size, x_stride, y_stride, lane);
        } else {
            sum_t sum = 0;
            for (long long i = lane; i < size; i += lanes) sum += summand(x[at[1] + i * x_stride]);
            sum = line_sum<lanes>(sum);
            if (lane == 0) y[at[0]] = element_of(sum, size);
        }
    }
}

#define ENTRY(lanes)                                                                                            \
    extern "C" __global__ void __launch_bounds__(256) reduce_##lanes(                                           \
        const ELEMENT *x, ELEMENT *y, const __grid_constant__ nest_t nest, long long size, long long x_stride,  \
        long long y_stride                                                                                      \
    ) {                                                                                                         \
        reduce_lines<lanes>(x, y, nest, size, x_stride, y_stride);                                              \
    }
ENTRY(1)
ENTRY(32)
#if REDUCTION != 3
ENTRY(256)
#endif
