// dequantize: packed codes to rows of factors, for products of many rows: W[n, k] = (code − zero) · scale[k / G, n].
//
//   w, scales, zeros: packed as quantized.cuh tells; y OUT_TYPE [N, K], rounded to nearest even
//
// A block decodes 16 features · 64 · STEPS inputs: warps read 512 bytes each, and rows leave through shared memory in runs.
// Bound by writing y. Macros: those of quantized.cuh, and OUT_TYPE float, half_t or bfloat_t.
// Launch: grid (ceil(KP / (64 · 8)), ceil(N / 16)), 256 threads; no dynamic shared memory.

#include "quantized.cuh"

#if !defined(OUT_TYPE)
#error "dequantize needs OUT_TYPE"
#endif

constexpr int INPUTS = 512, PITCH = INPUTS + 4;
constexpr int BLOCK_STEPS = INPUTS / STEP_INPUTS;
constexpr unsigned CODE_MASK = (1u << BITS) - 1;
constexpr int WORD_CODES = 32 / BITS;

extern "C" __global__ void __launch_bounds__(256) dequantize(
    const uint4 *w, const SCALE *scales, const unsigned char *zeros, OUT_TYPE *y) {
    __shared__ unsigned char codes[16][PITCH];
    wait_for_previous();
    let_next_start();
    const int tile = blockIdx.y, lane = threadIdx.x % 32;
    for (int s = threadIdx.x / 32; s < BLOCK_STEPS; s += 8) {
        const int step = blockIdx.x * BLOCK_STEPS + s;
        if (step >= STEPS_IN_ALL) break;
        const uint4 v = load_streamed(w + ((long long)tile * STEPS_IN_ALL + step) * 32 + lane);
        const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int i = 0; i < WORD_CODES; i++) {
                const int row = lane / 4 + 8 * (BITS == 4 ? i / 2 % 2 : i % 2);
                const int k = BITS == 4 ? 16 * j + 8 * (i % 2) + 2 * (lane % 4) + i / 4
                                        : 16 * (j / 2) + 8 * (j % 2) + 2 * (lane % 4) + i / 2;
                codes[row][s * STEP_INPUTS + k] = words[j] >> (BITS * i) & CODE_MASK;
            }
        }
    }
    __syncthreads();
    for (int at = threadIdx.x; at < 16 * INPUTS; at += 256) {
        const int row = at / INPUTS, n = 16 * tile + row;
        const int kp = blockIdx.x * INPUTS + at % INPUTS;
        const int group = kp / PADDED_G, place = kp % PADDED_G;
        if (n >= N || group >= GROUP_COUNT || place >= G) continue;
        const long long pair = ((long long)tile * GROUP_COUNT + group) * 16 + row % 8 * 2 + row / 8;
        float zero = 1 << (BITS - 1);
        if (HAS_ZEROS) zero = zeros[pair];
        const float value = (codes[row][at % INPUTS] - zero) * to_float(scales[pair]);
        y[(long long)n * K + group * G + place] = from_float<OUT_TYPE>(value);
    }
}
