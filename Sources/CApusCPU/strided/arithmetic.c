// y = f(a, b), a relation of a and b, not x, x^e, and conversions, on every element type.
//
// Floating-point types are computed in FP32, integers and booleans in int64 that wraps.

#include "elements.h"
#include <math.h>

/// floor(a / b), b not 0; wraps where the quotient has no int64.
static int64_t floor_divide(int64_t a, int64_t b) {
    if (b == -1) { return (int64_t)(0 - (uint64_t)a); }
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t integer_of(apus_arithmetic kind, int64_t a, int64_t b, int *fault) {
    const uint64_t x = (uint64_t)a, z = (uint64_t)b;
    if (b == 0 && (kind == APUS_ARITHMETIC_DIV || kind >= APUS_ARITHMETIC_FLOOR_DIVIDE)) {
        *fault = 1;
        return 0;
    }
    switch (kind) {
    case APUS_ARITHMETIC_ADD: return (int64_t)(x + z);
    case APUS_ARITHMETIC_SUB: return (int64_t)(x - z);
    case APUS_ARITHMETIC_MUL: return (int64_t)(x * z);
    case APUS_ARITHMETIC_DIV: return b == -1 ? (int64_t)(0 - x) : a / b;
    case APUS_ARITHMETIC_MINIMUM: return a < b ? a : b;
    case APUS_ARITHMETIC_MAXIMUM: return a > b ? a : b;
    case APUS_ARITHMETIC_FLOOR_DIVIDE: return floor_divide(a, b);
    case APUS_ARITHMETIC_REMAINDER: return (int64_t)(x - z * (uint64_t)floor_divide(a, b));
    }
    return a;
}

static float float_of(apus_arithmetic kind, float a, float b) {
    switch (kind) {
    case APUS_ARITHMETIC_ADD: return a + b;
    case APUS_ARITHMETIC_SUB: return a - b;
    case APUS_ARITHMETIC_MUL: return a * b;
    case APUS_ARITHMETIC_DIV: return a / b;
    case APUS_ARITHMETIC_MINIMUM: return isnan(a) || a < b ? a : b;
    case APUS_ARITHMETIC_MAXIMUM: return isnan(a) || a > b ? a : b;
    case APUS_ARITHMETIC_FLOOR_DIVIDE: return floorf(a / b);
    case APUS_ARITHMETIC_REMAINDER: return a - b * floorf(a / b);
    }
    return a;
}

int apus_arithmetic_of(
    apus_arithmetic kind, apus_element type, const void *a, const void *b, void *y, const apus_nest *nest,
    size_t first, size_t last
) {
    const size_t sy = inner_stride(nest, 0), sa = inner_stride(nest, 1), sb = inner_stride(nest, 2);
    int fault = 0;
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            const size_t at_a = run.at[1] + i * sa, at_b = run.at[2] + i * sb, at_y = run.at[0] + i * sy;
            if (is_float(type)) {
                float x[SPAN], z[SPAN];
                load_floats(type, a, at_a, sa, n, x);
                load_floats(type, b, at_b, sb, n, z);
                for (size_t j = 0; j < n; j++) { x[j] = float_of(kind, x[j], z[j]); }
                store_floats(type, y, at_y, sy, n, x);
            } else {
                int64_t x[SPAN], z[SPAN];
                load_integers(type, a, at_a, sa, n, x);
                load_integers(type, b, at_b, sb, n, z);
                for (size_t j = 0; j < n; j++) { x[j] = integer_of(kind, x[j], z[j], &fault); }
                store_integers(type, y, at_y, sy, n, x);
            }
        }
    }
    return fault;
}

#define RELATE                                                                                               \
    switch (kind) {                                                                                          \
    case APUS_EQ: RELATION(==) break;                                                                        \
    case APUS_NE: RELATION(!=) break;                                                                        \
    case APUS_LT: RELATION(<) break;                                                                         \
    case APUS_LE: RELATION(<=) break;                                                                        \
    case APUS_GT: RELATION(>) break;                                                                         \
    case APUS_GE: RELATION(>=) break;                                                                        \
    case APUS_AND: RELATION(&&) break;                                                                       \
    case APUS_OR: RELATION(||) break;                                                                        \
    case APUS_XOR: RELATION(!=) break;                                                                       \
    }
#define RELATION(OP)                                                                                         \
    for (size_t j = 0; j < n; j++) { y[at_y + j * sy] = x[j] OP z[j]; }

void apus_related(
    apus_relation kind, apus_element type, const void *a, const void *b, uint8_t *y, const apus_nest *nest,
    size_t first, size_t last
) {
    const size_t sy = inner_stride(nest, 0), sa = inner_stride(nest, 1), sb = inner_stride(nest, 2);
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            const size_t at_a = run.at[1] + i * sa, at_b = run.at[2] + i * sb, at_y = run.at[0] + i * sy;
            if (is_float(type)) {
                float x[SPAN], z[SPAN];
                load_floats(type, a, at_a, sa, n, x);
                load_floats(type, b, at_b, sb, n, z);
                RELATE
            } else {
                int64_t x[SPAN], z[SPAN];
                load_integers(type, a, at_a, sa, n, x);
                load_integers(type, b, at_b, sb, n, z);
                RELATE
            }
        }
    }
}

void apus_not(const uint8_t *x, uint8_t *y, const apus_nest *nest, size_t first, size_t last) {
    const size_t to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i++) { y[run.at[0] + i * to] = !x[run.at[1] + i * from]; }
    }
}

void apus_power(
    double exponent, apus_element type, const void *x, void *y, const apus_nest *nest, size_t first,
    size_t last
) {
    float numbers[SPAN];
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i), from = inner_stride(nest, 1);
            const size_t to = inner_stride(nest, 0);
            load_floats(type, x, run.at[1] + i * from, from, n, numbers);
            for (size_t j = 0; j < n; j++) { numbers[j] = (float)pow(numbers[j], exponent); }
            store_floats(type, y, run.at[0] + i * to, to, n, numbers);
        }
    }
}

/// A number without its fraction; NaN is 0, and what no int64 holds is the nearest that one does.
static int64_t truncated(float x) {
    if (isnan(x)) { return 0; }
    if (x >= 0x1p63f) { return INT64_MAX; }
    return x <= -0x1p63f ? INT64_MIN : (int64_t)x;
}

void apus_to(
    apus_element from, const void *x, apus_element to, void *y, const apus_nest *nest, size_t first,
    size_t last
) {
    const size_t sy = inner_stride(nest, 0), sx = inner_stride(nest, 1);
    float floats[SPAN];
    int64_t integers[SPAN];
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i), at = run.at[0] + i * sy;
            if (is_float(from)) {
                load_floats(from, x, run.at[1] + i * sx, sx, n, floats);
            } else {
                load_integers(from, x, run.at[1] + i * sx, sx, n, integers);
            }
            if (is_float(to)) {
                for (size_t j = 0; j < n && !is_float(from); j++) { floats[j] = (float)integers[j]; }
                store_floats(to, y, at, sy, n, floats);
            } else {
                for (size_t j = 0; j < n && is_float(from); j++) {
                    integers[j] = to == APUS_ELEMENT_BOOL ? floats[j] != 0 : truncated(floats[j]);
                }
                store_integers(to, y, at, sy, n, integers);
            }
        }
    }
}
