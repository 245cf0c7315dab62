// y = x, a constant, a choice or a triangle of x: elements move as bytes, whatever they mean.

#include "elements.h"
#include <math.h>

enum { BLOCK = 16 };  ///< rows and columns that a transposing copy handles together, a cache line of FP32

#define MOVE(T)                                                                                              \
    for (size_t i = 0; i < n; i++) { ((T *)y)[i * to] = ((const T *)x)[i * from]; }

/// n elements, `from` and `to` apart.
static void move_row(size_t bytes, const void *x, size_t from, void *y, size_t to, size_t n) {
    if (from == 1 && to == 1) {
        memcpy(y, x, n * bytes);
        return;
    }
    switch (bytes) {
    case 1: MOVE(uint8_t) break;
    case 2: MOVE(uint16_t) break;
    case 4: MOVE(uint32_t) break;
    default: MOVE(uint64_t) break;
    }
}

/// Whole matrices whose rows are columns in x, in blocks that stay in cache.
static void transpose(
    size_t bytes, const char *x, size_t x_row, char *y, size_t y_row, size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r += BLOCK) {
        for (size_t c = 0; c < cols; c += BLOCK) {
            const size_t width = smaller(BLOCK, cols - c), height = smaller(BLOCK, rows - r);
            for (size_t i = 0; i < height; i++) {
                move_row(
                    bytes, x + (r + i + c * x_row) * bytes, x_row, y + ((r + i) * y_row + c) * bytes, 1, width);
            }
        }
    }
}

void apus_copy(size_t bytes, const void *x, void *y, const apus_nest *nest, size_t first, size_t last) {
    const size_t rank = nest->rank, to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    const int turns = rank > 1 && to == 1 && from > 1 && nest->strides[1][rank - 2] == 1;
    const size_t matrix = turns ? nest->shape[rank - 1] * nest->shape[rank - 2] : 0;
    while (turns && first < last) {
        // Whole matrices at once; what a range cuts off at either end goes row by row.
        const size_t end = smaller(last, (first / matrix + 1) * matrix);
        if (first % matrix == 0 && end - first == matrix) {
            size_t at[APUS_MOST_VIEWS];
            apus_nest_at(nest, first, at);
            transpose(
                bytes, (const char *)x + at[1] * bytes, from, (char *)y + at[0] * bytes,
                nest->strides[0][rank - 2], nest->shape[rank - 2], nest->shape[rank - 1]);
        } else {
            EACH_RUN(run, nest, first, end) {
                move_row(
                    bytes, (const char *)x + run.at[1] * bytes, from, (char *)y + run.at[0] * bytes, to,
                    run.count);
            }
        }
        first = end;
    }
    EACH_RUN(run, nest, first, last) {
        move_row(
            bytes, (const char *)x + run.at[1] * bytes, from, (char *)y + run.at[0] * bytes, to, run.count);
    }
}

void apus_fill(size_t bytes, const void *value, void *y, const apus_nest *nest, size_t first, size_t last) {
    EACH_RUN(run, nest, first, last) {
        move_row(bytes, value, 0, (char *)y + run.at[0] * bytes, inner_stride(nest, 0), run.count);
    }
}

#define CHOOSE(T)                                                                                            \
    for (size_t i = 0; i < run.count; i++) {                                                                 \
        ((T *)y)[run.at[0] + i * sy] =                                                                       \
            condition[run.at[1] + i * sc] ? ((const T *)a)[run.at[2] + i * sa] : ((const T *)b)[run.at[3] + i * sb]; \
    }

void apus_where(
    size_t bytes, const uint8_t *condition, const void *a, const void *b, void *y, const apus_nest *nest,
    size_t first, size_t last
) {
    const size_t sy = inner_stride(nest, 0), sc = inner_stride(nest, 1), sa = inner_stride(nest, 2),
                 sb = inner_stride(nest, 3);
    EACH_RUN(run, nest, first, last) {
        switch (bytes) {
        case 1: CHOOSE(uint8_t) break;
        case 2: CHOOSE(uint16_t) break;
        case 4: CHOOSE(uint32_t) break;
        default: CHOOSE(uint64_t) break;
        }
    }
}

void apus_triangle(
    int upper, ptrdiff_t diagonal, size_t bytes, const void *x, size_t x_stride, void *y, size_t rows,
    size_t cols, const apus_nest *nest, size_t first, size_t last
) {
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i++) {
            const size_t to = run.at[0] + i * inner_stride(nest, 0);
            const size_t from = run.at[1] + i * inner_stride(nest, 1);
            // The row's number follows from where it lies in the dense result.
            const ptrdiff_t edge = (ptrdiff_t)(to / cols % rows) + diagonal + (upper ? 0 : 1);
            const size_t cut = edge < 0 ? 0 : smaller((size_t)edge, cols);
            char *row = (char *)y + to * bytes;
            const char *source = (const char *)x + from * bytes;
            const size_t start = upper ? cut : 0, end = upper ? cols : cut;
            memset(row, 0, start * bytes);
            move_row(bytes, source + start * x_stride * bytes, x_stride, row + start * bytes, 1, end - start);
            memset(row + end * bytes, 0, (cols - end) * bytes);
        }
    }
}

void apus_mask_bias(const uint8_t *x, float *y, const apus_nest *nest, size_t first, size_t last) {
    const size_t to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i++) {
            y[run.at[0] + i * to] = x[run.at[1] + i * from] ? 0 : -INFINITY;
        }
    }
}
