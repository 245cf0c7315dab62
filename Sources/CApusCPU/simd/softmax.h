#pragma once
// Vector form of baseline/softmax.c: one pass for the maximum, one for the powers, one to scale.

#include <math.h>

static TARGET void softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows && cols > 0; r++, x += ldx, y += ldy) {
        const float top = max(x, cols);
        if (top == -INFINITY) {
            memset(y, 0, cols * sizeof(float));
            continue;
        }
        const vf shift = v_set(top);
        vf s0 = v_zero(), s1 = v_zero();
        size_t i = 0;
        for (; i + 2 * VW <= cols; i += 2 * VW) {
            const vf low = v_exp(v_sub(v_load(x + i), shift)), high = v_exp(v_sub(v_load(x + i + VW), shift));
            v_store(y + i, low);
            v_store(y + i + VW, high);
            s0 = v_add(s0, low);
            s1 = v_add(s1, high);
        }
        float total = v_sum(v_add(s0, s1));
        for (; i < cols; i += VW) {  // lanes past the end must not count
            const size_t left = smaller(cols - i, VW);
            const vf rest = v_exp(v_sub(v_load_part(x + i, left), shift));
            v_store_part(y + i, rest, left);
            for (size_t lane = 0; lane < left; lane++) { total += y[i + lane]; }
        }
        scaled_row(y, 1 / total, NULL, y, cols);
    }
}
