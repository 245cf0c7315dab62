// argmax_parts: the largest logit of each part of each row, the first of equals: what advance_greedy finishes.
//
// Arguments: logits f32[rows, vocabulary], vocabulary, best_values f32 and best_indices i32 [rows, parts].
// Launch: grid (parts, rows), 256 threads. A NaN or an infinity makes its part's value infinite, so that it is noticed.
// Bound by memory.

#include "types.cuh"

extern "C" __global__ void __launch_bounds__(256) argmax_parts(
    const float *logits, int vocabulary, float *best_values, int *best_indices) {
    __shared__ float values[8];
    __shared__ int indices[8];
    let_next_start();
    wait_for_previous();
    const float *row = logits + (long long)blockIdx.y * vocabulary;
    const int first = (int)((long long)vocabulary * blockIdx.x / gridDim.x);
    const int last = (int)((long long)vocabulary * (blockIdx.x + 1) / gridDim.x);
    const float infinity = __int_as_float(0x7f800000);
    float best = -infinity;
    int index = 0x7fffffff;
    for (int i = first + threadIdx.x; i < last; i += 256) {
        const float x = row[i] == row[i] ? row[i] : infinity;
        if (x > best) best = x, index = i;
    }
    const auto meet = [&](float x, int i) {
        if (x > best || (x == best && i < index)) best = x, index = i;
    };
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        const float x = __shfl_xor_sync(0xffffffffu, best, offset);
        meet(x, __shfl_xor_sync(0xffffffffu, index, offset));
    }
    if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = best, indices[threadIdx.x / 32] = index;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < 8; w++) meet(values[w], indices[w]);
    best_values[blockIdx.y * gridDim.x + blockIdx.x] = best;
    best_indices[blockIdx.y * gridDim.x + blockIdx.x] = index;
}
