// y[i] = f(x[i])
//
//   x, y  float, strided
//
// Computed as the processor's portable kernels do, with the functions of CUDA's library: within 2 ulp of theirs, which
// are within 1 ulp. Bound by memory.
//
// Macros: FUNCTION, an expression of `float x`, or one of the names below; it may use `power(x)`.
// Launch: blocks of 256, one thread an element or group.
//   unary(x, y, nest of [y, x], group 1 or 4, repeats, exponent: the bits of a double)

#include "strided.cuh"

#ifndef FUNCTION
#error "FUNCTION: the name of a function below"
#endif

__device__ __forceinline__ float neg(float x) { return -x; }
__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ float inverse_root(float x) { return 1 / sqrtf(x); }
__device__ __forceinline__ float sine(float x) { return sinf(x); }
__device__ __forceinline__ float cosine(float x) { return cosf(x); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }
__device__ __forceinline__ float silu(float x) { return x / (1 + expf(-x)); }
__device__ __forceinline__ float relu(float x) { return x < 0 ? 0 : x; }
__device__ __forceinline__ float error_function(float x) { return erff(x); }
__device__ __forceinline__ float square(float x) { return x * x; }
__device__ __forceinline__ float gelu_erf(float x) { return 0.5f * x * (1 + erff(x * 0.7071067812f)); }
__device__ __forceinline__ float gelu_tanh(float x) {
    return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

#define power(x) ((float)pow((double)(x), __longlong_as_double(exponent)))

template <int n>
__device__ __forceinline__ void compute(
    const float *x, float *y, const nest_t &nest, int repeats, long long exponent
) {
    each_element<2>(nest, [&](const long long(&at)[2]) {
        run_t<float, n> run = load_run<n>(x + at[1], repeats & 2);
#pragma unroll
        for (int i = 0; i < n; i++) run.element[i] = FUNCTION(run.element[i]);
        store_run<n>(y + at[0], run);
    });
}

extern "C" __global__ void __launch_bounds__(256) unary(
    const float *x, float *y, const __grid_constant__ nest_t nest, int group, int repeats, long long exponent
) {
    let_next_start();
    wait_for_previous();
    if (group == 4) {
        compute<4>(x, y, nest, repeats, exponent);
    } else {
        compute<1>(x, y, nest, repeats, exponent);
    }
}
