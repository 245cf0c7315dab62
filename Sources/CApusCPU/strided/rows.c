// Functions of FP32 elements on the vector kernels of one instruction set: rows that lie side by side go through as
// they are, others in short copies.

#include "../panels.h"
#include "elements.h"

void apus_unary_strided(
    const apus_kernels *kernels, apus_unary kind, const float *x, float *y, const apus_nest *nest,
    size_t first, size_t last
) {
    const size_t to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    float span[SPAN];
    EACH_RUN(run, nest, first, last) {
        if (to == 1 && from == 1) {
            kernels->unary(kind, x + run.at[1], y + run.at[0], run.count);
            continue;
        }
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            load_floats(APUS_ELEMENT_F32, x, run.at[1] + i * from, from, n, span);
            kernels->unary(kind, span, span, n);
            store_floats(APUS_ELEMENT_F32, y, run.at[0] + i * to, to, n, span);
        }
    }
}

/// The function with its arguments exchanged.
static apus_binary reversed(apus_binary kind) {
    switch (kind) {
    case APUS_SUB: return APUS_REVERSE_SUB;
    case APUS_DIV: return APUS_REVERSE_DIV;
    case APUS_REVERSE_SUB: return APUS_SUB;
    case APUS_REVERSE_DIV: return APUS_DIV;
    default: return kind;
    }
}

/// y = f(a, b), y side by side, a and b side by side or one number each (step 0).
static void binary_run(
    const apus_kernels *kernels, apus_binary kind, const float *a, size_t sa, const float *b, size_t sb,
    float *y, size_t n
) {
    if (sb == 0 && sa == 1) {
        kernels->binary_scalar(kind, a, b[0], y, n);
    } else if (sa == 0 && sb == 1) {
        kernels->binary_scalar(reversed(kind), b, a[0], y, n);
    } else {
        kernels->binary(kind, a, b, y, n);
    }
}

void apus_binary_strided(
    const apus_kernels *kernels, apus_binary kind, const float *a, const float *b, float *y,
    const apus_nest *nest, size_t first, size_t last
) {
    const size_t sy = inner_stride(nest, 0), sa = inner_stride(nest, 1), sb = inner_stride(nest, 2);
    const int direct = sy == 1 && sa + sb > 0 && sa <= 1 && sb <= 1;
    float left[SPAN], right[SPAN];
    EACH_RUN(run, nest, first, last) {
        if (direct) {
            binary_run(kernels, kind, a + run.at[1], sa, b + run.at[2], sb, y + run.at[0], run.count);
            continue;
        }
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            load_floats(APUS_ELEMENT_F32, a, run.at[1] + i * sa, sa, n, left);
            load_floats(APUS_ELEMENT_F32, b, run.at[2] + i * sb, sb, n, right);
            kernels->binary(kind, left, right, left, n);
            store_floats(APUS_ELEMENT_F32, y, run.at[0] + i * sy, sy, n, left);
        }
    }
}

void apus_convert_strided(
    const apus_kernels *kernels, const void *x, apus_dtype from, void *y, apus_dtype to,
    const apus_nest *nest, size_t first, size_t last
) {
    const size_t sy = inner_stride(nest, 0), sx = inner_stride(nest, 1);
    EACH_RUN(run, nest, first, last) {
        if (sy == 1 && sx == 1) {
            void *target = (char *)y + run.at[0] * dtype_bytes(to);
            kernels->convert(element(x, from, run.at[1]), from, target, to, run.count);
            continue;
        }
        for (size_t i = 0; i < run.count; i++) {
            store_f32(y, to, run.at[0] + i * sy, load_as_f32(x, from, run.at[1] + i * sx));
        }
    }
}

void apus_softmax_strided(
    const apus_kernels *kernels, const float *x, size_t size, size_t x_stride, float *y, size_t y_stride,
    const apus_nest *nest, size_t first, size_t last, float *line
) {
    const size_t to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    const int direct = x_stride == 1 && y_stride == 1;
    EACH_RUN(run, nest, first, last) {
        if (direct) {
            kernels->softmax(x + run.at[1], from, y + run.at[0], to, run.count, size);
            continue;
        }
        for (size_t i = 0; i < run.count; i++) {
            load_floats(APUS_ELEMENT_F32, x, run.at[1] + i * from, x_stride, size, line);
            kernels->softmax(line, size, line, size, 1, size);
            store_floats(APUS_ELEMENT_F32, y, run.at[0] + i * to, y_stride, size, line);
        }
    }
}

/// Row `id` of a table in panels, as FP32.
static void unpack_row(
    const apus_kernels *kernels, const void *table, apus_dtype dtype, size_t dim, size_t id, float *y
) {
    const void *panel = panel_of(table, dtype, id, dim);
    const size_t lane = id % APUS_PANEL;
    uint16_t span[SPAN];
    for (size_t at = 0; at < dim; at += SPAN) {
        const size_t n = smaller(SPAN, dim - at);
        for (size_t i = 0; i < n; i++) {
            const size_t from = panel_at(dtype, lane, at + i);
            if (dtype == APUS_F32) {
                y[at + i] = ((const float *)panel)[from];
            } else {
                span[i] = ((const uint16_t *)panel)[from];
            }
        }
        if (dtype != APUS_F32) { kernels->convert(span, dtype, y + at, APUS_F32, n); }
    }
}

int apus_embedding_strided(
    const apus_kernels *kernels, const void *table, apus_dtype dtype, int packed, size_t rows, size_t dim,
    apus_element type, const void *ids, float *y, const apus_nest *nest, size_t first, size_t last
) {
    const size_t to = inner_stride(nest, 0), from = inner_stride(nest, 1);
    int64_t wide[SPAN];
    int32_t span[SPAN];
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            load_integers(type, ids, run.at[1] + i * from, from, n, wide);
            for (size_t j = 0; j < n; j++) {
                if (wide[j] < 0 || wide[j] >= (int64_t)rows) { return 1; }
                span[j] = (int32_t)wide[j];
            }
            if (packed) {
                for (size_t j = 0; j < n; j++) {
                    unpack_row(kernels, table, dtype, dim, (size_t)span[j], y + run.at[0] + (i + j) * to);
                }
                continue;
            }
            if (to == dim) {
                kernels->embedding(table, dtype, dim, span, y + run.at[0] + i * to, n);
                continue;
            }
            for (size_t j = 0; j < n; j++) {
                kernels->embedding(table, dtype, dim, span + j, y + run.at[0] + (i + j) * to, 1);
            }
        }
    }
    return 0;
}
