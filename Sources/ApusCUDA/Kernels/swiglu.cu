// swiglu: y[m, n] = silu(x[m, n]) · x[m, N + n], for the products of many rows; decode does it inside gemv.
//
//   x INPUT [M, 2N], y OUT [M, N], aligned to 16 bytes
//
// Macros: INPUT, OUT float, half_t or bfloat_t; N features of y; THREADS.
// Launch: grid (ceil(ceil(N / 8) / THREADS), M), THREADS threads, no dynamic shared memory; M above 65535 is taken in turns.
// A thread computes eight features; element by element if N is no multiple of 8. Bound by reading x and writing y.
#include "types.cuh"

#if !defined(INPUT) || !defined(OUT) || !defined(N) || !defined(THREADS)
#error "INPUT, OUT, N and THREADS must be defined"
#endif

__device__ __forceinline__ float gated(float gate, float value) { return gate / (1 + __expf(-gate)) * value; }

extern "C" __global__ void __launch_bounds__(THREADS) swiglu(const INPUT *x, OUT *y, int rows) {
    let_next_start();
    wait_for_previous();
    const int at = 8 * (blockIdx.x * THREADS + threadIdx.x);
    if (at >= N) return;
    for (long long m = blockIdx.y; m < rows; m += gridDim.y) {
        const INPUT *const from = x + m * 2 * N + at;
        OUT *const to = y + m * N + at;
        if constexpr (N % 8 == 0) {
            float gate[8], value[8];
            load8(from, gate);
            load8(from + N, value);
#pragma unroll
            for (int i = 0; i < 8; i++) gate[i] = gated(gate[i], value[i]);
            store8(to, gate);
        } else {
            for (int i = 0; i < 8 && at + i < N; i++) {
                to[i] = from_float<OUT>(gated(to_float(from[i]), to_float(from[N + i])));
            }
        }
    }
}
