// Sums, means, "any" and running sums along one dimension of a strided tensor.

#include "elements.h"

static void reduce_floats(
    apus_reduction kind, apus_element type, const void *x, size_t at, size_t size, size_t stride, void *y,
    size_t to, size_t y_stride
) {
    double sum = 0;
    float span[SPAN];
    for (size_t i = 0; i < size; i += SPAN) {
        const size_t n = smaller(SPAN, size - i);
        load_floats(type, x, at + i * stride, stride, n, span);
        for (size_t j = 0; j < n; j++) {
            sum += span[j];
            span[j] = (float)sum;
        }
        if (kind == APUS_CUMSUM) { store_floats(type, y, to + i * y_stride, y_stride, n, span); }
    }
    if (kind == APUS_CUMSUM) { return; }
    const float result = (float)(kind == APUS_MEAN ? sum / (double)size : sum);
    store_floats(type, y, to, 1, 1, &result);
}

static void reduce_integers(
    apus_reduction kind, apus_element type, const void *x, size_t at, size_t size, size_t stride, void *y,
    size_t to, size_t y_stride
) {
    uint64_t sum = 0;
    int64_t span[SPAN];
    for (size_t i = 0; i < size; i += SPAN) {
        const size_t n = smaller(SPAN, size - i);
        load_integers(type, x, at + i * stride, stride, n, span);
        for (size_t j = 0; j < n; j++) {
            sum = kind == APUS_ANY ? (sum | (span[j] != 0)) : sum + (uint64_t)span[j];
            span[j] = (int64_t)sum;
        }
        if (kind == APUS_CUMSUM) { store_integers(type, y, to + i * y_stride, y_stride, n, span); }
    }
    const int64_t result = (int64_t)sum;
    if (kind != APUS_CUMSUM) { store_integers(type, y, to, 1, 1, &result); }
}

void apus_reduce(
    apus_reduction kind, apus_element type, const void *x, size_t size, size_t stride, void *y,
    size_t y_stride, const apus_nest *nest, size_t first, size_t last
) {
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i++) {
            const size_t at = run.at[1] + i * inner_stride(nest, 1);
            const size_t to = run.at[0] + i * inner_stride(nest, 0);
            if (is_float(type)) {
                reduce_floats(kind, type, x, at, size, stride, y, to, y_stride);
            } else {
                reduce_integers(kind, type, x, at, size, stride, y, to, y_stride);
            }
        }
    }
}
