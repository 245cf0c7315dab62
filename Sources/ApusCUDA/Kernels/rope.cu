// y[i] = x[i] cos[i] - x[i + R/2] sin[i],  y[i + R/2] = x[i + R/2] cos[i + R/2] + x[i] sin[i + R/2]  for i < R/2,
// y[i] = x[i]  for i >= R
//
//   x, y  float [..., D]    cos, sin  float, broadcast to [..., R]    rows strided, their elements side by side
//
// A thread takes a pair, or an element behind R. Bound by memory.
//
// Macros: none.
// Launch: blocks of 256, one thread a pair or element behind R: rows × (D − R/2), or fewer.
//   rope(x, cos, sin, y, nest of rows [y, x, cos, sin], dim, rotary)

#include "strided.cuh"

extern "C" __global__ void __launch_bounds__(256) rope(
    const float *x, const float *cosines, const float *sines, float *y, const __grid_constant__ nest_t nest,
    long long dim, long long rotary
) {
    let_next_start();
    wait_for_previous();
    const unsigned half = (unsigned)(rotary / 2), width = (unsigned)dim - half;
    const long long step = (long long)gridDim.x * 256, total = nest.count * width;
    for (long long place = blockIdx.x * 256ll + threadIdx.x; place < total; place += step) {
        const long long row = place / width;
        const unsigned i = (unsigned)(place - row * width);
        long long at[4];
        nest_at<4>(nest, row, at);
        const float *from = x + at[1], *c = cosines + at[2], *s = sines + at[3];
        float *to = y + at[0];
        if (i < half) {
            const float first = from[i], second = from[i + half];
            // Products are rounded, as elsewhere: equal positions give equal keys on every device.
            to[i] = __fsub_rn(__fmul_rn(first, c[i]), __fmul_rn(second, s[i]));
            to[i + half] = __fadd_rn(__fmul_rn(second, c[i + half]), __fmul_rn(first, s[i + half]));
        } else {
            to[i + half] = from[i + half];
        }
    }
}
