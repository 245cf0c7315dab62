#pragma once
// Vector form of baseline/layer_norm.c: mean, then variance about it, then the result.

#include <math.h>

INLINE void layer_norm_row(
    const float *x, const float *delta, const float *w, const float *b, float eps, float *sum, float *y,
    size_t dim
) {
    vf s0 = v_zero(), s1 = v_zero(), q0 = v_zero(), q1 = v_zero();
    for (size_t i = 0; i < dim; i += VW) {
        vf value = v_load_part(x + i, dim - i);
        if (delta) {
            value = v_add(value, v_load_part(delta + i, dim - i));
            v_store_part(sum + i, value, dim - i);
        }
        const vf next = v_add(value, s0);
        s0 = s1, s1 = next;
    }
    const float *from = delta ? sum : x;
    const vf mean = v_set(v_sum(v_add(s0, s1)) / (float)dim);
    for (size_t i = 0; i < dim; i += VW) {
        // Lanes past the end read as the mean, so that they add nothing.
        const vf lane = v_add(v_iota(), v_set((float)i));
        const vf value = v_load_part(from + i, dim - i);
        const vf off = v_if_less(lane, v_set((float)dim), v_sub(value, mean), v_zero());
        const vf next = v_fma(off, off, q0);
        q0 = q1, q1 = next;
    }
    const vf factor = v_set(1 / sqrtf(v_sum(v_add(q0, q1)) / (float)dim + eps));
    for (size_t i = 0; i < dim; i += VW) {
        vf value = v_mul(v_sub(v_load_part(from + i, dim - i), mean), factor);
        if (w) { value = v_mul(value, v_load_part(w + i, dim - i)); }
        if (b) { value = v_add(value, v_load_part(b + i, dim - i)); }
        v_store_part(y + i, value, dim - i);
    }
}

static TARGET void layer_norm(
    const float *x, const float *w, const float *b, float eps, float *y, size_t rows, size_t dim
) {
    for (size_t r = 0; r < rows; r++) {
        layer_norm_row(x + r * dim, NULL, w, b, eps, NULL, y + r * dim, dim);
    }
}

static TARGET void add_layer_norm(
    const float *x, const float *delta, const float *w, const float *b, float eps, float *sum, float *y,
    size_t rows, size_t dim
) {
    for (size_t r = 0; r < rows; r++, x += dim, delta += dim, sum += dim, y += dim) {
        layer_norm_row(x, delta, w, b, eps, sum, y, dim);
    }
}
