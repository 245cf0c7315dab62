#pragma once
// Vector form of baseline/binary.c: the same exact operations.

INLINE vf v_binary(apus_binary kind, vf a, vf b) {
    switch (kind) {
    case APUS_ADD: return v_add(a, b);
    case APUS_SUB: return v_sub(a, b);
    case APUS_MUL: return v_mul(a, b);
    case APUS_DIV: return v_div(a, b);
    case APUS_REVERSE_SUB: return v_sub(b, a);
    case APUS_REVERSE_DIV: return v_div(b, a);
    case APUS_MAXIMUM: return v_nan_or(a, v_max(a, b));
    case APUS_MINIMUM: return v_nan_or(a, v_min(a, b));
    }
    return a;
}

/// y = f(a, b); b is an array, or `scalar` for every element when it is NULL.
INLINE void binary_row(apus_binary kind, const float *a, const float *b, float scalar, float *y, size_t n) {
    for (size_t i = 0; i < n; i += VW) {
        const vf right = b ? v_load_part(b + i, n - i) : v_set(scalar);
        v_store_part(y + i, v_binary(kind, v_load_part(a + i, n - i), right), n - i);
    }
}

#define BINARY_CASE(K)                                                                                       \
    case K: binary_row(K, a, b, scalar, y, n); break;

/// The kind becomes a constant before the loop starts.
static TARGET void binary_n(
    apus_binary kind, const float *a, const float *b, float scalar, float *y, size_t n
) {
    switch (kind) {
        BINARY_CASE(APUS_ADD)
        BINARY_CASE(APUS_SUB)
        BINARY_CASE(APUS_MUL)
        BINARY_CASE(APUS_DIV)
        BINARY_CASE(APUS_REVERSE_SUB)
        BINARY_CASE(APUS_REVERSE_DIV)
        BINARY_CASE(APUS_MAXIMUM)
        BINARY_CASE(APUS_MINIMUM)
    }
}
#undef BINARY_CASE

static TARGET void binary(apus_binary kind, const float *a, const float *b, float *y, size_t n) {
    binary_n(kind, a, b, 0, y, n);
}

static TARGET void binary_scalar(apus_binary kind, const float *a, float b, float *y, size_t n) {
    binary_n(kind, a, NULL, b, y, n);
}

static TARGET void binary_rows(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) { binary_n(kind, a + r * cols, b, 0, y + r * cols, cols); }
}

static TARGET void binary_cols(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) { binary_n(kind, a + r * cols, NULL, b[r], y + r * cols, cols); }
}
