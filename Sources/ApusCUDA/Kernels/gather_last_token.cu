// y[b] = x[b][last[b]]
//
//   x  float [B, S, width]    last  int [B]    y  float [B, width]    dense
//
// Bound by memory, and far too short to matter.
//
// Macros: none.
// Launch: blocks of 256, one thread an element of y, or fewer.
//   gather_last_token(x, last, y, batch, tokens, width)

#include "types.cuh"

extern "C" __global__ void __launch_bounds__(256) gather_last_token(
    const float *x, const int *last, float *y, long long batch, long long tokens, long long width
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < batch * width; i += step) {
        const long long row = i / width;
        y[i] = x[(row * tokens + last[row]) * width + i % width];
    }
}
