// swiglu: y[m, n] = silu(x[m, n]) · x[m, width + n] for many rows.
//
// Arguments: x IN_TYPE[rows, 2·width], y OUT_TYPE[rows, width], rows, width. Macros: IN_TYPE, OUT_TYPE float, half_t or
// bfloat_t. Launch: any grid, 256 threads. Bound by memory: eight elements a thread and step.

#include "types.cuh"

#if !defined(IN_TYPE) || !defined(OUT_TYPE)
#error "swiglu needs IN_TYPE, OUT_TYPE"
#endif

__device__ __forceinline__ float gated(float gate, float up) { return gate / (1 + expf(-gate)) * up; }

extern "C" __global__ void __launch_bounds__(256) swiglu(
    const IN_TYPE *x, OUT_TYPE *y, long long rows, int width) {
    wait_for_previous();
    let_next_start();
    const long long step = 256LL * gridDim.x, first = 256LL * blockIdx.x + threadIdx.x;
    if (width % 8 == 0) {
        const int groups = width / 8;
        for (long long i = first; i < rows * groups; i += step) {
            const long long row = i / groups;
            const int c = 8 * (int)(i - row * groups);
            float gate[8], up[8];
            load8(x + row * 2 * width + c, gate);
            load8(x + row * 2 * width + width + c, up);
#pragma unroll
            for (int j = 0; j < 8; j++) gate[j] = gated(gate[j], up[j]);
            store8(y + row * width + c, gate);
        }
    } else {
        for (long long i = first; i < rows * width; i += step) {
            const long long row = i / width, c = i - row * width;
            const IN_TYPE *from = x + row * 2 * width + c;
            y[i] = from_float<OUT_TYPE>(gated(to_float(from[0]), to_float(from[width])));
        }
    }
}
