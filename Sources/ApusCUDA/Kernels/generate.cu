// Numbers that come from sizes alone: ranges and causal masks
//
//   arange  y[i] = start + i, ELEMENT                  y dense
//   causal_mask  y[s][t] = 0 if 0 <= offset + s - t, and < window unless that is 0, else −∞; float
//
// Bound by memory.
//
// Macros: ELEMENT, of arange; IS_BOOLEAN, 1 if its numbers are 0 and 1.
// Launch: blocks of 256, one thread an element.
//   arange(y, count, start)    causal_mask(y, count, keys, offset, window)

#include "strided.cuh"

#if !defined(ELEMENT) || !defined(IS_BOOLEAN)
#error "ELEMENT, IS_BOOLEAN"
#endif

extern "C" __global__ void __launch_bounds__(256) arange(ELEMENT *y, long long count, long long start) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < count; i += step) {
        y[i] = from_number<ELEMENT, IS_BOOLEAN>((number_of<ELEMENT>::type)(start + i));
    }
}

extern "C" __global__ void __launch_bounds__(256) causal_mask(
    float *y, long long count, long long keys, long long offset, long long window
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < count; i += step) {
        const long long distance = offset + i / keys - i % keys;
        y[i] = distance >= 0 && (window == 0 || distance < window) ? 0.0f : -infinity();
    }
}
