#pragma once
// Vector form of baseline/linear.c. Up to GEMV_ROWS rows of x stream the weights (this file); more run as a
// blocked matrix product (linear_gemm.h).
//
// In both an output has the same bits whatever range of n it is computed in. In the streaming form the number
// of rows does not matter either: each pair of a row of x and a row of w is two chains of FMAs over k and one
// sum over lanes, however many pairs share the loads.

enum {
    GEMV_ROWS = 8,         ///< rows of x up to which weights are streamed rather than packed
    GROUP_BYTES = 16384,   ///< a group of rows up to this size is asked for while the one before is used
    PREFETCH_BYTES = 2048  ///< in longer rows, how far ahead of its use a weight is asked for
};

/// Rows [n, n + rows) of w times rows [m, m + inputs) of x. `rows`, `inputs` and `dtype` are constants.
INLINE void dot_rows(
    const apus_linear *a, apus_dtype dtype, size_t n, const int rows, size_t m, const int inputs
) {
    enum { MOST_ROWS = 4, MOST_INPUTS = 4, CHAINS = 2 };
    vf sums[MOST_ROWS][MOST_INPUTS][CHAINS];
    const size_t k = a->k, ldx = a->ldx;
    const void *w[MOST_ROWS];
    const float *x = a->x + m * ldx;
#pragma unroll
    for (int r = 0; r < rows; r++) {
        w[r] = element(a->w, dtype, (n + (size_t)r) * a->ldw);
#pragma unroll
        for (int i = 0; i < inputs; i++) { sums[r][i][0] = sums[r][i][1] = v_zero(); }
    }
    const size_t group = (size_t)rows * a->ldw * dtype_bytes(dtype);
    const size_t ahead = group <= GROUP_BYTES ? group : PREFETCH_BYTES;
    size_t at = 0;
    for (; at + CHAINS * VW <= k; at += CHAINS * VW) {
#pragma unroll
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch((const char *)element(w[r], dtype, at) + ahead);
        }
#pragma unroll
        for (int c = 0; c < CHAINS; c++) {
            vf values[MOST_INPUTS];
#pragma unroll
            for (int i = 0; i < inputs; i++) { values[i] = v_load(x + (size_t)i * ldx + at + c * VW); }
#pragma unroll
            for (int r = 0; r < rows; r++) {
                const vf weight = v_load_as(w[r], dtype, at + (size_t)c * VW);
#pragma unroll
                for (int i = 0; i < inputs; i++) { sums[r][i][c] = v_fma(weight, values[i], sums[r][i][c]); }
            }
        }
    }
    for (int c = 0; at < k; at += VW, c++) {  // at most two steps, one on each chain
        for (int r = 0; r < rows; r++) {
            const vf weight = v_load_as_part(w[r], dtype, at, k - at);
            for (int i = 0; i < inputs; i++) {
                const vf value = v_load_part(x + (size_t)i * ldx + at, k - at);
                sums[r][i][c] = v_fma(weight, value, sums[r][i][c]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
        const float bias = a->bias ? a->bias[n + (size_t)r] : 0;
#pragma unroll
        for (int i = 0; i < inputs; i++) {
            const float total = v_sum(v_add(sums[r][i][0], sums[r][i][1]));
            a->y[(m + (size_t)i) * a->ldy + n + (size_t)r] = total + bias;
        }
    }
}

/// All inputs against `rows` rows of w: the first group of inputs brings the weights in, the others find them
/// in the cache.
INLINE void dot_inputs(const apus_linear *a, apus_dtype dtype, size_t n, const int rows) {
    size_t m = 0;
    for (; m + 4 <= a->m; m += 4) { dot_rows(a, dtype, n, rows, m, 4); }
    if (m + 2 <= a->m) {
        dot_rows(a, dtype, n, rows, m, 2);
        m += 2;
    }
    if (m < a->m) { dot_rows(a, dtype, n, rows, m, 1); }
}

INLINE void stream_weights(const apus_linear *a, apus_dtype dtype, size_t n0, size_t n1) {
    size_t n = n0;
    if (a->m == 1) {
        for (; n + 4 <= n1; n += 4) { dot_rows(a, dtype, n, 4, 0, 1); }
    }
    for (; n + 2 <= n1; n += 2) { dot_inputs(a, dtype, n, 2); }
    if (n < n1) { dot_inputs(a, dtype, n, 1); }
}

static TARGET size_t linear_scratch_bytes(size_t m, size_t n, size_t k) {
    return m <= GEMV_ROWS ? 64 : gemm_scratch_bytes(n, k);
}

static TARGET void linear(const apus_linear *a, size_t n0, size_t n1, void *scratch) {
    if (a->m > GEMV_ROWS) {
        gemm(a, n0, n1, scratch);
        return;
    }
    switch (a->dtype) {
    case APUS_F32: stream_weights(a, APUS_F32, n0, n1); break;
    case APUS_F16: stream_weights(a, APUS_F16, n0, n1); break;
    case APUS_BF16: stream_weights(a, APUS_BF16, n0, n1); break;
    case APUS_I8: break;
    }
}
