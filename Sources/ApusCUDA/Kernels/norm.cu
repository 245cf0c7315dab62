// norm: RMS norm and layer norm of rows, with or without a sum before.
//
//   s = ADD ? x + delta : x               written to `sum` if ADD
//   y = s / sqrt(mean(s²) + eps) · weight                              LAYER 0
//   y = (s − mean(s)) / sqrt(var(s) + eps) · weight + bias             LAYER 1; bias may be null
//
// x, delta, sum f32, y OUT_TYPE, weight and bias f32[WIDTH]. Rows of x and y lie where `nest` says, y's first; delta and
// sum are dense. A block takes a row, which it keeps in registers: it is read once. Bound by memory.
//
// Macros: WIDTH, OUT_TYPE (float, half_t, bfloat_t), ADD and LAYER 0 or 1, THREADS a multiple of 32.
// Launch: a block a row, THREADS threads; arguments x, delta, weight, bias, sum, y, nest of rows [y, x], eps.

#include "strided.cuh"

#if !defined(WIDTH) || !defined(OUT_TYPE) || !defined(ADD) || !defined(LAYER) || !defined(THREADS)
#error "norm needs WIDTH, OUT_TYPE, ADD, LAYER, THREADS"
#endif

constexpr int KEPT = (WIDTH + THREADS - 1) / THREADS;

extern "C" __global__ void __launch_bounds__(THREADS) norm(
    const float *x, const float *delta, const float *weight, const float *bias, float *sum, OUT_TYPE *y,
    const nest_t nest, float eps) {
    __shared__ float shared[THREADS / 32];
    float scale[KEPT];
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int c = threadIdx.x + i * THREADS;
        scale[i] = c < WIDTH ? weight[c] : 0;
    }
    let_next_start();
    wait_for_previous();
    long long at[2];
    nest_at<2>(nest, blockIdx.x, at);
    const long long dense = (long long)blockIdx.x * WIDTH;
    float s[KEPT];
    float total = 0;
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int c = threadIdx.x + i * THREADS;
        s[i] = c < WIDTH ? x[at[1] + c] : 0;
        if (ADD && c < WIDTH) {
            s[i] += delta[dense + c];
            sum[dense + c] = s[i];
        }
        total += LAYER ? s[i] : s[i] * s[i];
    }
    total = block_sum<THREADS>(total, shared);
    float mean = 0;
    if (LAYER) {
        mean = total / WIDTH;
        total = 0;
#pragma unroll
        for (int i = 0; i < KEPT; i++) {
            const float d = s[i] - mean;
            if (threadIdx.x + i * THREADS < WIDTH) total += d * d;
        }
        __syncthreads();
        total = block_sum<THREADS>(total, shared);
    }
    const float factor = 1 / sqrtf(total / WIDTH + eps);
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int c = threadIdx.x + i * THREADS;
        if (c < WIDTH) {
            float value = (s[i] - mean) * factor * scale[i];
            if (LAYER && bias != nullptr) value += bias[c];
            y[at[0] + c] = from_float<OUT_TYPE>(value);
        }
    }
}
