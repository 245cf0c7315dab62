// embedding: y[t, :] = table[ids[t], :] · scale, rows of f32. An id outside the vocabulary gives a row of zeros.
//
//   ids i32 [tokens], read on the device: the loop's next input needs no host    table WEIGHT [vocabulary, H]    y f32 [tokens, H]
//
// Macros: WEIGHT float, half_t or bfloat_t; H elements of a row; THREADS.
// Launch: grid (tokens, ceil(ceil(H / 8) / THREADS)), THREADS threads, no dynamic shared memory. One load of a chunk of eight
// elements by each thread; bound by latency for one token, by writing y for many. H that is no multiple of 8: element by element.
#include "types.cuh"

#if !defined(WEIGHT) || !defined(H) || !defined(THREADS)
#error "WEIGHT, H and THREADS must be defined"
#endif

extern "C" __global__ void __launch_bounds__(THREADS) embedding(
    const int *ids, const WEIGHT *table, float *y, int vocabulary, float scale) {
    let_next_start();
    wait_for_previous();
    const int id = ids[blockIdx.x], at = 8 * (blockIdx.y * THREADS + threadIdx.x);
    if (at >= H) return;
    const bool isThere = id >= 0 && id < vocabulary;
    const WEIGHT *const from = table + (long long)(isThere ? id : 0) * H + at;
    float *const to = y + (long long)blockIdx.x * H + at;
    if constexpr (H % 8 == 0) {
        float x[8];
        load8(from, x);
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] = isThere ? x[i] * scale : 0;
        store8(to, x);
    } else {
        for (int i = 0; i < 8 && at + i < H; i++) to[i] = isThere ? to_float(from[i]) * scale : 0;
    }
}
