#pragma once
// Vector form of baseline/rms_norm.c; sums in 4 vectors.

#include <math.h>

/// Adds delta (not NULL) to x on the way, stores the sum, and returns the sum of its squares.
INLINE float sum_of_squares(const float *x, const float *delta, float *sum, size_t dim) {
    vf s0 = v_zero(), s1 = v_zero(), s2 = v_zero(), s3 = v_zero();
    for (size_t i = 0; i < dim; i += VW) {
        vf value = v_load_part(x + i, dim - i);
        if (delta) {
            value = v_add(value, v_load_part(delta + i, dim - i));
            v_store_part(sum + i, value, dim - i);
        }
        const vf next = v_fma(value, value, s0);  // the four sums take turns
        s0 = s1, s1 = s2, s2 = s3, s3 = next;
    }
    return v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));
}

/// y = x * factor * w
INLINE void scaled_row(const float *x, float factor, const float *w, float *y, size_t dim) {
    const vf by = v_set(factor);
    for (size_t i = 0; i < dim; i += VW) {
        vf value = v_mul(v_load_part(x + i, dim - i), by);
        if (w) { value = v_mul(value, v_load_part(w + i, dim - i)); }
        v_store_part(y + i, value, dim - i);
    }
}

static TARGET void rms_norm(const float *x, const float *w, float eps, float *y, size_t rows, size_t dim) {
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        const float squares = sum_of_squares(x, NULL, NULL, dim);
        scaled_row(x, 1 / sqrtf(squares / (float)dim + eps), w, y, dim);
    }
}

static TARGET void add_rms_norm(
    const float *x, const float *delta, const float *w, float eps, float *sum, float *y, size_t rows,
    size_t dim
) {
    for (size_t r = 0; r < rows; r++, x += dim, delta += dim, sum += dim, y += dim) {
        const float squares = sum_of_squares(x, delta, sum, dim);
        scaled_row(sum, 1 / sqrtf(squares / (float)dim + eps), w, y, dim);
    }
}
