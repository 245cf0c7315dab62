// y[i] = x[i] as another type; a mask as what is added to scores; the negation of booleans; rows of a KV cache
//
//   x  FROM, strided    y  TO, strided
//
// Floats round to nearest even; a float becomes an integer without its fraction, the nearest that int64 has, NaN 0;
// integers wrap; a boolean is whether the number differs from 0. Bound by memory.
//
// Macros: FROM, TO: element types; TO_BOOLEAN: 1 if y's numbers are 0 and 1;
//         MAPPING: 0 conversion, 1 true → 0 and false → −∞ (TO float), 2 negation (TO unsigned char).
// Launch: blocks of 256, one thread an element or group.
//   convert(x, y, nest of [y, x], group 1 or 4, repeats)
//   kv_update(new, cache, nest of [cache, new], group, repeats, start_index, start, row, rows, fault, position):
//     y is the cache at row 0; new rows begin at row *start_index, or `start` where start_index is null; a row of the
//     cache is `row` elements, and `last` the last row at which the new ones fit: any other start is reported.

#include "strided.cuh"

#if !defined(FROM) || !defined(TO) || !defined(TO_BOOLEAN) || !defined(MAPPING)
#error "FROM, TO, TO_BOOLEAN, MAPPING"
#endif

/// A number without its fraction; NaN is 0, and what no int64 holds is the nearest that one does.
__device__ __forceinline__ long long truncated(float x) {
    if (x != x) return 0;
    if (x >= 9223372036854775808.0f) return 0x7fffffffffffffffll;
    return x <= -9223372036854775808.0f ? (long long)0x8000000000000000ull : (long long)x;
}

__device__ __forceinline__ TO mapped(FROM x) {
#if MAPPING == 1
    return to_number(x) != 0 ? 0.0f : -infinity();
#elif MAPPING == 2
    return to_number(x) == 0;
#else
    constexpr bool from_real = number_of<FROM>::is_float, to_real = number_of<TO>::is_float;
    const auto number = to_number(x);
    if constexpr (from_real == to_real) {
        return from_number<TO, TO_BOOLEAN>(number);
    } else if constexpr (to_real) {
        return from_number<TO, TO_BOOLEAN>((float)number);
    } else {
        return from_number<TO, TO_BOOLEAN>(TO_BOOLEAN ? (long long)(number != 0) : truncated(number));
    }
#endif
}

template <int n>
__device__ __forceinline__ void compute(const FROM *x, TO *y, const nest_t &nest, int repeats) {
    each_element<2>(nest, [&](const long long(&at)[2]) {
        const run_t<FROM, n> from = load_run<n>(x + at[1], repeats & 2);
        run_t<TO, n> run;
#pragma unroll
        for (int i = 0; i < n; i++) run.element[i] = mapped(from.element[i]);
        store_run<n>(y + at[0], run);
    });
}

extern "C" __global__ void __launch_bounds__(256) convert(
    const FROM *x, TO *y, const __grid_constant__ nest_t nest, int group, int repeats
) {
    let_next_start();
    wait_for_previous();
    if (group == 4) {
        compute<4>(x, y, nest, repeats);
    } else {
        compute<1>(x, y, nest, repeats);
    }
}

extern "C" __global__ void __launch_bounds__(256) kv_update(
    const FROM *x, TO *y, const __grid_constant__ nest_t nest, int group, int repeats, const int *start_index,
    long long start, long long row, long long last, int *fault, int position
) {
    let_next_start();
    wait_for_previous();
    const long long first = start_index == nullptr ? start : *start_index;
    if (first < 0 || first > last) {
        if (blockIdx.x == 0 && threadIdx.x == 0) report(fault, position);
        return;
    }
    if (group == 4) {
        compute<4>(x, y + first * row, nest, repeats);
    } else {
        compute<1>(x, y + first * row, nest, repeats);
    }
}
