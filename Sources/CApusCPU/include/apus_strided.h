#pragma once
// Kernels over strided tensors of any element type, in plain C: what feeds masks, caches and shapes.
//
// A nest is the loops over the elements of a result, with the steps of up to three operands beside it; ranges
// [first, last) count its elements in row-major order, so any number of workers may share a nest. Steps and sizes
// count elements; view 0 is the result. Rows of FP32 go through the vector kernels of CApusCPU.h.

#include <stddef.h>
#include <stdint.h>

enum {
    APUS_MOST_DIMENSIONS = 8,  ///< loops of a nest
    APUS_MOST_VIEWS = 4        ///< a result and three operands
};

/// Element type of a tensor; the first three are `apus_dtype`.
typedef enum {
    APUS_ELEMENT_F32 = 0,
    APUS_ELEMENT_F16 = 1,
    APUS_ELEMENT_BF16 = 2,
    APUS_ELEMENT_I64 = 3,
    APUS_ELEMENT_I32 = 4,
    APUS_ELEMENT_I8 = 5,
    APUS_ELEMENT_U8 = 6,
    APUS_ELEMENT_BOOL = 7
} apus_element;

/// Loops over the elements of a result, outermost first. Made by `apus_nest_begin`, `_add` and `_end`.
typedef struct {
    size_t rank;   ///< 1...8 after `apus_nest_end`
    size_t count;  ///< elements of the result
    size_t shape[APUS_MOST_DIMENSIONS];
    size_t strides[APUS_MOST_VIEWS][APUS_MOST_DIMENSIONS];
} apus_nest;

/// Starts a nest without loops.
void apus_nest_begin(apus_nest *nest);
/// Adds the next inner loop: its size, and the step of each view. At most 8.
void apus_nest_add(apus_nest *nest, size_t size, size_t s0, size_t s1, size_t s2, size_t s3);
/// Drops loops of size 1 and joins loops that lie in each other without gaps.
void apus_nest_end(apus_nest *nest);
/// Writes the position of each view at element `index`, which is below `count`.
void apus_nest_at(const apus_nest *nest, size_t index, size_t *positions);

/// Functions of two numbers. On integers, a division by 0 is reported and gives 0.
typedef enum {
    APUS_ARITHMETIC_ADD = 0,
    APUS_ARITHMETIC_SUB = 1,
    APUS_ARITHMETIC_MUL = 2,
    APUS_ARITHMETIC_DIV = 3,  ///< integers: towards 0
    APUS_ARITHMETIC_MINIMUM = 4,
    APUS_ARITHMETIC_MAXIMUM = 5,
    APUS_ARITHMETIC_FLOOR_DIVIDE = 6,
    APUS_ARITHMETIC_REMAINDER = 7  ///< a - b floor(a / b)
} apus_arithmetic;

/// Relations of two numbers or booleans.
typedef enum {
    APUS_EQ = 0,
    APUS_NE = 1,
    APUS_LT = 2,
    APUS_LE = 3,
    APUS_GT = 4,
    APUS_GE = 5,
    APUS_AND = 6,
    APUS_OR = 7,
    APUS_XOR = 8
} apus_relation;

/// Reductions along one dimension.
typedef enum { APUS_SUM = 0, APUS_MEAN = 1, APUS_ANY = 2, APUS_CUMSUM = 3 } apus_reduction;

/// y = x; elements of 1, 2, 4 or 8 bytes. Views: y, x.
void apus_copy(size_t bytes, const void *x, void *y, const apus_nest *nest, size_t first, size_t last);
/// y = the element whose `bytes` bytes are at `value`, everywhere. Views: y.
void apus_fill(
    size_t bytes, const void *value, void *y, const apus_nest *nest, size_t first, size_t last);
/// y = x in another type: floating-point numbers lose their fraction, NaN is 0, and what no i64 holds is the nearest
/// that one does; integers wrap; a boolean is x != 0. Views: y, x.
void apus_to(
    apus_element from, const void *x, apus_element to, void *y, const apus_nest *nest, size_t first,
    size_t last);
/// y = 0 where x is true, else -inf; x bool, y f32. Views: y, x.
void apus_mask_bias(const uint8_t *x, float *y, const apus_nest *nest, size_t first, size_t last);

/// y = f(a, b). Views: y, a, b. Returns 0, or 1 if an integer was divided by 0.
int apus_arithmetic_of(
    apus_arithmetic kind, apus_element type, const void *a, const void *b, void *y, const apus_nest *nest,
    size_t first, size_t last);
/// y = whether a and b are so related; y bool. Views: y, a, b.
void apus_related(
    apus_relation kind, apus_element type, const void *a, const void *b, uint8_t *y, const apus_nest *nest,
    size_t first, size_t last);
/// y = not x; both bool. Views: y, x.
void apus_not(const uint8_t *x, uint8_t *y, const apus_nest *nest, size_t first, size_t last);
/// y = a where condition, else b. Views: y, condition, a, b.
void apus_where(
    size_t bytes, const uint8_t *condition, const void *a, const void *b, void *y, const apus_nest *nest,
    size_t first, size_t last);
/// y = x^exponent for any floating-point type. Views: y, x.
void apus_power(
    double exponent, apus_element type, const void *x, void *y, const apus_nest *nest, size_t first,
    size_t last);

/// y = reduction of `size` elements of x, `stride` apart; sums of floating-point numbers are FP64. For APUS_CUMSUM
/// y has as many elements, `y_stride` apart. Views: y, x, over the other dimensions.
void apus_reduce(
    apus_reduction kind, apus_element type, const void *x, size_t size, size_t stride, void *y,
    size_t y_stride, const apus_nest *nest, size_t first, size_t last);
/// y[i, j] = x[i, j] where j - i >= diagonal (`upper`) or j - i <= diagonal (else), otherwise 0, for each of
/// the rows [first, last) of y [..., rows, cols]. Views: y, x, over all dimensions but the last.
void apus_triangle(
    int upper, ptrdiff_t diagonal, size_t bytes, const void *x, size_t x_stride, void *y, size_t rows,
    size_t cols, const apus_nest *nest, size_t first, size_t last);

/// y[i] = start + i for i in [first, last).
void apus_arange(apus_element type, int64_t start, void *y, size_t first, size_t last);
/// y[s, t] = 0 where t <= offset + s and, with a window, t > offset + s - window, else -inf; rows [first, last).
void apus_causal_mask(float *y, size_t keys, ptrdiff_t offset, size_t window, size_t first, size_t last);

/// Adds index * stride to the byte position of each element of a gather; i32 or i64 indices, negative from the end.
/// Views: positions (dense), indices. Returns 0, or 1 if an index was out of range, which then counts as 0.
int apus_index_positions(
    apus_element type, const void *indices, size_t size, size_t stride, int adds, size_t *positions,
    const apus_nest *nest, size_t first, size_t last);

/// Rotary embedding of rows [first, last): y = x cos + rotate_half(x) sin over the first `rotary` of `dim` elements.
/// Views: y, x, cos, sin, over all dimensions but the last, whose elements lie side by side.
void apus_rotate(
    const float *x, const float *cosines, const float *sines, float *y, size_t dim, size_t rotary,
    const apus_nest *nest, size_t first, size_t last);
