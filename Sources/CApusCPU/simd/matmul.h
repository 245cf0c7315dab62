#pragma once
// Vector form of baseline/matmul.c, on the register tiles of tile.h.
//
// Panels of b are its own rows where these are FP32 and a whole panel wide, else converted copies. An element is one
// chain of FMAs over each block of k, added block by block, so neither ranges nor the number of rows change its bits.
// The rows of a are copied for many rows only, as in linear_gemm.h.

enum {
    MATMUL_K = 256,  ///< depth of a block, BLOCK_K
    MATMUL_N = 512   ///< columns of a block, a multiple of TILE_COLS
};

static TARGET size_t matmul_scratch_bytes(size_t m, size_t n, size_t k) {
    (void)m, (void)k;
    const size_t panels = rounded_up(smaller(n, MATMUL_N), TILE_COLS) * MATMUL_K;
    return rounded_up((TILE_ROWS * LDA + panels) * sizeof(float), 64);
}

/// Rows [k, k + depth) and `cols` columns from n on, as an FP32 panel with zeros past the last column.
INLINE void copy_panel(
    const apus_matmul *a, apus_dtype dtype, size_t k, size_t depth, size_t n, size_t cols, float *panel
) {
    for (size_t i = 0; i < depth; i++) {
        const size_t row = (k + i) * a->ldb + n;
        for (size_t j = 0; j < TILE_COLS; j += VW) {
            v_store(
                panel + i * TILE_COLS + j,
                j < cols ? v_load_as_part(a->b, dtype, row + j, cols - j) : v_zero());
        }
    }
}

/// Adds the products of rows [k, k + depth) of b to columns [n, n + cols) of y; the first block replaces them.
INLINE void matmul_block(
    const apus_matmul *a, apus_dtype dtype, size_t n, size_t cols, size_t k, size_t depth, float *scratch
) {
    float *copy = scratch, *panels = scratch + TILE_ROWS * LDA;
    const size_t parts = (cols + TILE_COLS - 1) / TILE_COLS, whole = cols / TILE_COLS;
    const int reads_rows = dtype == APUS_F32;  // a whole panel needs no copy
    for (size_t p = reads_rows ? whole : 0; p < parts; p++) {
        const size_t left = smaller(TILE_COLS, cols - p * TILE_COLS);
        copy_panel(a, dtype, k, depth, n + p * TILE_COLS, left, panels + p * TILE_COLS * MATMUL_K);
    }
    const int copies = a->m > TILE_ROWS;
    for (size_t m = 0; m < a->m; m += TILE_ROWS) {
        const size_t rows = smaller(TILE_ROWS, a->m - m);
        for (size_t r = 0; r < rows && copies; r++) {
            memcpy(copy + r * LDA, a->a + (m + r) * a->lda + k, depth * sizeof(float));
        }
        for (size_t p = 0; p < parts; p++) {
            const size_t column = n + p * TILE_COLS;
            const int own = reads_rows && p < whole;
            const tile t = {
                .a = copies ? copy : a->a + m * a->lda + k, .lda = copies ? LDA : a->lda, .k = depth,
                .panel = own ? (const float *)a->b + k * a->ldb + column : panels + p * TILE_COLS * MATMUL_K,
                .ldb = own ? a->ldb : TILE_COLS,
                .c = a->y + m * a->ldy + column, .ldc = a->ldy,
                .cols = smaller(TILE_COLS, cols - p * TILE_COLS), .adds = k > 0,
            };
            run_tile(&t, rows);
        }
    }
}

INLINE void matmul_of(const apus_matmul *a, apus_dtype dtype, size_t n0, size_t n1, float *scratch) {
    for (size_t n = n0; n < n1; n += MATMUL_N) {
        const size_t cols = smaller(MATMUL_N, n1 - n);
        size_t k = 0;
        do {  // once for k = 0 too, which leaves zeros
            matmul_block(a, dtype, n, cols, k, smaller(MATMUL_K, a->k - k), scratch);
            k += MATMUL_K;
        } while (k < a->k);
    }
}

static TARGET void matmul(const apus_matmul *a, size_t n0, size_t n1, void *scratch) {
    switch (a->dtype) {
    case APUS_F32: matmul_of(a, APUS_F32, n0, n1, scratch); break;
    case APUS_F16: matmul_of(a, APUS_F16, n0, n1, scratch); break;
    case APUS_BF16: matmul_of(a, APUS_BF16, n0, n1, scratch); break;
    case APUS_I8: break;
    }
}
