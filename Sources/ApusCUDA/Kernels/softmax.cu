// y[i] = e^x[i] / Σ e^x[j] along one dimension; x = −∞ gives 0, and so does a line of nothing else
//
//   x, y  float, strided; a line is `size` elements, x_stride and y_stride apart
//
// `lanes` threads share a line and read it twice: in one walk the largest element and the sum of powers, which is
// rescaled when a larger element comes, then the quotients. The second walk finds the line in a cache. Bound by memory.
//
// Macros: none.
// Launch: blocks of 256, 256 / lanes lines each, or fewer blocks.
//   softmax_32, or softmax_256 for lines that a warp would be long at(x, y, nest of [y, x] without the dimension, size, x_stride, y_stride)

#include "strided.cuh"

/// The largest of some numbers, and the sum of e^(x - largest).
struct powers_t {
    float largest, sum;
};

__device__ __forceinline__ powers_t joined(powers_t a, powers_t b) {
    const float largest = fmaxf(a.largest, b.largest);
    // −∞ − −∞ is no number.
    if (largest == -infinity()) return {largest, 0};
    return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

/// What the threads of a line have together, in each of them.
template <int lanes> __device__ __forceinline__ powers_t line_powers(powers_t powers) {
    for (int offset = 16; offset > 0; offset /= 2) {
        const powers_t other = {
            __shfl_xor_sync(0xffffffffu, powers.largest, offset), __shfl_xor_sync(0xffffffffu, powers.sum, offset)};
        powers = joined(powers, other);
    }
    if constexpr (lanes == 256) {
        __shared__ powers_t shared[8];
        // Those of the line before may still be read.
        __syncthreads();
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = powers;
        __syncthreads();
        powers = shared[0];
        for (int i = 1; i < 8; i++) powers = joined(powers, shared[i]);
    }
    return powers;
}

template <int lanes>
__device__ __forceinline__ void softmax(
    const float *x, float *y, const nest_t &nest, long long size, long long x_stride, long long y_stride
) {
    let_next_start();
    wait_for_previous();
    const int lane = threadIdx.x % lanes;
    const long long step = (long long)gridDim.x * (256 / lanes);
    for (long long line = blockIdx.x * (256ll / lanes) + threadIdx.x / lanes; line < nest.count; line += step) {
        long long at[2];
        nest_at<2>(nest, line, at);
        const float *from = x + at[1];
        float *to = y + at[0];
        powers_t powers = {-infinity(), 0};
        for (long long i = lane; i < size; i += lanes) {
            const float number = from[i * x_stride];
            if (number > powers.largest) {
                powers.sum = powers.sum * expf(powers.largest - number) + 1;
                powers.largest = number;
            } else if (number != -infinity()) {
                powers.sum += expf(number - powers.largest);
            }
        }
        powers = line_powers<lanes>(powers);
        const bool is_empty = powers.largest == -infinity() && powers.sum == 0;
        const float scale = is_empty ? 0 : 1 / powers.sum;
        for (long long i = lane; i < size; i += lanes) {
            to[i * y_stride] = is_empty ? 0 : expf(from[i * x_stride] - powers.largest) * scale;
        }
    }
}

#define ENTRY(lanes)                                                                                            \
    extern "C" __global__ void __launch_bounds__(256) softmax_##lanes(                                          \
        const float *x, float *y, const __grid_constant__ nest_t nest, long long size, long long x_stride,      \
        long long y_stride                                                                                      \
    ) {                                                                                                         \
        softmax<lanes>(x, y, nest, size, x_stride, y_stride);                                                   \
    }
ENTRY(32)
ENTRY(256)
