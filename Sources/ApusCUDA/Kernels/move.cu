// y = a constant, a choice or a triangle of x: elements move as bytes, whatever they mean; copies are in copy.cu
//
//   x, a, b, y  elements of BYTES bytes, strided    condition  unsigned char, strided
//
// Bound by memory.
//
// Macros: BYTES: 1, 2, 4 or 8.
// Launch: blocks of 256, one thread an element, or fewer.
//   fill(y, nest of [y], the element in the low bytes of a word)
//   choose(condition, a, b, y, nest of [y, condition, a, b])
//   triangle(x, y, nest of [y, x], columns, rows, upper, diagonal): y dense

#include "strided.cuh"

#ifndef BYTES
#error "BYTES: 1, 2, 4 or 8"
#endif

using word_t = word_of<BYTES>::type;

extern "C" __global__ void __launch_bounds__(256) fill(
    word_t *y, const __grid_constant__ nest_t nest, long long value
) {
    let_next_start();
    wait_for_previous();
    each_element<1>(nest, [&](const long long(&at)[1]) { y[at[0]] = (word_t)value; });
}

extern "C" __global__ void __launch_bounds__(256) choose(
    const unsigned char *condition, const word_t *a, const word_t *b, word_t *y, const __grid_constant__ nest_t nest
) {
    let_next_start();
    wait_for_previous();
    each_element<4>(nest, [&](const long long(&at)[4]) { y[at[0]] = condition[at[1]] ? a[at[2]] : b[at[3]]; });
}

extern "C" __global__ void __launch_bounds__(256) triangle(
    const word_t *x, word_t *y, const __grid_constant__ nest_t nest, long long columns, long long rows, int upper,
    long long diagonal
) {
    let_next_start();
    wait_for_previous();
    each_element<2>(nest, [&](const long long(&at)[2]) {
        // Row and column follow from where the element lies in the dense result.
        const long long row = at[0] / columns % rows, column = at[0] % columns;
        const bool is_kept = upper ? column - row >= diagonal : column - row <= diagonal;
        y[at[0]] = is_kept ? x[at[1]] : (word_t)0;
    });
}
