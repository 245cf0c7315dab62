// y[i] = a[i] op b[i]: arithmetic, relations, connectives
//
//   a, b  ELEMENT, strided; each broadcasts to y    y  ELEMENT, or unsigned char for a relation
//
// Floating-point types are computed in FP32, integers and booleans in int64 that wraps. An integer divided by 0 is
// reported. Bound by memory.
//
// Macros: ELEMENT, the type of a and b; IS_BOOLEAN, 1 if its numbers are 0 and 1;
//         OPERATION, one of the names below; IS_RELATION, 1 if y is a boolean.
// Launch: blocks of 256, one thread an element or group.
//   binary(a, b, y, nest of [y, a, b], group 1 or 4, repeats, fault, position of the step)

#include "strided.cuh"

#if !defined(ELEMENT) || !defined(IS_BOOLEAN) || !defined(OPERATION) || !defined(IS_RELATION)
#error "ELEMENT, IS_BOOLEAN, OPERATION, IS_RELATION"
#endif

using number_t = number_of<ELEMENT>::type;
constexpr bool is_real = number_of<ELEMENT>::is_float;
#if IS_RELATION
using result_t = unsigned char;
#else
using result_t = ELEMENT;
#endif

/// floor(a / b), b not 0; wraps where the quotient has no int64.
__device__ __forceinline__ long long floor_quotient(long long a, long long b) {
    if (b == -1) return (long long)(0ull - (unsigned long long)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/// Whether b divides; if not, that is noted.
__device__ __forceinline__ bool divides(long long b, bool &fails) {
    fails |= b == 0;
    return b != 0;
}

// Products are rounded before they are subtracted, as elsewhere; the compiler would fuse the two.
__device__ __forceinline__ float add(float a, float b, bool &) { return a + b; }
__device__ __forceinline__ float sub(float a, float b, bool &) { return a - b; }
__device__ __forceinline__ float mul(float a, float b, bool &) { return a * b; }
__device__ __forceinline__ float quotient(float a, float b, bool &) { return a / b; }
__device__ __forceinline__ float minimum(float a, float b, bool &) { return a != a || a < b ? a : b; }
__device__ __forceinline__ float maximum(float a, float b, bool &) { return a != a || a > b ? a : b; }
__device__ __forceinline__ float floor_divide(float a, float b, bool &) { return floorf(a / b); }
__device__ __forceinline__ float modulo(float a, float b, bool &) {
    return __fsub_rn(a, __fmul_rn(b, floorf(a / b)));
}

__device__ __forceinline__ long long add(long long a, long long b, bool &) {
    return (long long)((unsigned long long)a + (unsigned long long)b);
}
__device__ __forceinline__ long long sub(long long a, long long b, bool &) {
    return (long long)((unsigned long long)a - (unsigned long long)b);
}
__device__ __forceinline__ long long mul(long long a, long long b, bool &) {
    return (long long)((unsigned long long)a * (unsigned long long)b);
}
__device__ __forceinline__ long long quotient(long long a, long long b, bool &fails) {
    if (b == -1) return (long long)(0ull - (unsigned long long)a);
    return divides(b, fails) ? a / b : 0;
}
__device__ __forceinline__ long long minimum(long long a, long long b, bool &) { return a < b ? a : b; }
__device__ __forceinline__ long long maximum(long long a, long long b, bool &) { return a > b ? a : b; }
__device__ __forceinline__ long long floor_divide(long long a, long long b, bool &fails) {
    return divides(b, fails) ? floor_quotient(a, b) : 0;
}
__device__ __forceinline__ long long modulo(long long a, long long b, bool &fails) {
    if (!divides(b, fails)) return 0;
    return (long long)((unsigned long long)a - (unsigned long long)b * (unsigned long long)floor_quotient(a, b));
}

__device__ __forceinline__ bool eq(number_t a, number_t b, bool &) { return a == b; }
__device__ __forceinline__ bool ne(number_t a, number_t b, bool &) { return a != b; }
__device__ __forceinline__ bool lt(number_t a, number_t b, bool &) { return a < b; }
__device__ __forceinline__ bool le(number_t a, number_t b, bool &) { return a <= b; }
__device__ __forceinline__ bool gt(number_t a, number_t b, bool &) { return a > b; }
__device__ __forceinline__ bool ge(number_t a, number_t b, bool &) { return a >= b; }
__device__ __forceinline__ bool logical_and(number_t a, number_t b, bool &) { return a != 0 && b != 0; }
__device__ __forceinline__ bool logical_or(number_t a, number_t b, bool &) { return a != 0 || b != 0; }
__device__ __forceinline__ bool logical_xor(number_t a, number_t b, bool &) { return a != b; }

__device__ __forceinline__ result_t result_of(ELEMENT a, ELEMENT b, bool &fails) {
#if IS_RELATION
    return OPERATION(to_number(a), to_number(b), fails);
#else
    return from_number<ELEMENT, IS_BOOLEAN>(OPERATION(to_number(a), to_number(b), fails));
#endif
}

template <int n>
__device__ __forceinline__ bool compute(
    const ELEMENT *a, const ELEMENT *b, result_t *y, const nest_t &nest, int repeats
) {
    bool fails = false;
    each_element<3>(nest, [&](const long long(&at)[3]) {
        const run_t<ELEMENT, n> left = load_run<n>(a + at[1], repeats & 2);
        const run_t<ELEMENT, n> right = load_run<n>(b + at[2], repeats & 4);
        run_t<result_t, n> run;
#pragma unroll
        for (int i = 0; i < n; i++) run.element[i] = result_of(left.element[i], right.element[i], fails);
        store_run<n>(y + at[0], run);
    });
    return fails;
}

extern "C" __global__ void __launch_bounds__(256) binary(
    const ELEMENT *a, const ELEMENT *b, result_t *y, const __grid_constant__ nest_t nest, int group, int repeats,
    int *fault, int position
) {
    let_next_start();
    wait_for_previous();
    const bool fails = group == 4 ? compute<4>(a, b, y, nest, repeats) : compute<1>(a, b, y, nest, repeats);
    if (!is_real && fails) report(fault, position);
}
