// round_elements: dense elements of X_TYPE to Y_TYPE, rounded to nearest even.
//
// Macros: X_TYPE, Y_TYPE float, half_t or bfloat_t. Launch: any grid, block 256. Arguments: x, y (16-byte aligned), count.
// Bound by memory: eight elements a thread and step.

#include "types.cuh"

#if !defined(X_TYPE) || !defined(Y_TYPE)
#error "round needs X_TYPE, Y_TYPE"
#endif

extern "C" __global__ void __launch_bounds__(256) round_elements(const X_TYPE *x, Y_TYPE *y, long long count) {
    wait_for_previous();
    let_next_start();
    const long long step = 8LL * 256 * gridDim.x;
    for (long long i = 8LL * (256 * blockIdx.x + threadIdx.x); i < count; i += step) {
        if (i + 8 <= count) {
            float v[8];
            load8(x + i, v);
            store8(y + i, v);
        } else {
            for (long long j = i; j < count; j++) y[j] = from_float<Y_TYPE>(to_float(x[j]));
        }
    }
}
