#pragma once
// y = x w^T + bias for many rows of x, blocked for caches (after Goto & van de Geijn 2008).
//
//   for each block of BLOCK_N outputs, for each block of BLOCK_K inputs:
//       convert w[BLOCK_N, BLOCK_K] once into FP32 panels [BLOCK_K, TILE_COLS]      stays in L2
//       for each TILE_ROWS rows of x: copy x[TILE_ROWS, BLOCK_K]                    stays in L1
//           for each panel: one register tile, added to y
//
// The copy of x makes its rows lie LDA apart: at strides such as 2048 they would fall on one cache set.
// An output is summed over k in order, block by block, so neither ranges nor the number of rows change its
// bits.

enum {
    BLOCK_N = 512,      ///< outputs of a block, a multiple of TILE_COLS
    BLOCK_K = 256,      ///< inputs of a block, a multiple of VW
    LDA = BLOCK_K + 16  ///< elements between rows of the copy of x
};

static TARGET size_t gemm_scratch_bytes(size_t n, size_t k) {
    const size_t panels = rounded_up(smaller(n, BLOCK_N), TILE_COLS) * smaller(k, BLOCK_K);
    return rounded_up((TILE_ROWS * LDA + panels) * sizeof(float), 64);
}

INLINE void gemm_block(
    const apus_linear *a, size_t n, size_t cols, size_t k, size_t depth, float *copy, const float *panels
) {
    const size_t parts = (cols + TILE_COLS - 1) / TILE_COLS;
    for (size_t m = 0; m < a->m; m += TILE_ROWS) {
        const size_t rows = smaller(TILE_ROWS, a->m - m);
        for (size_t r = 0; r < rows; r++) {
            const float *row = a->x + (m + r) * a->ldx + k;
            for (size_t i = 0; i < depth; i += VW) {
                v_store_part(copy + r * LDA + i, v_load_part(row + i, depth - i), depth - i);
            }
        }
        for (size_t part = 0; part < parts; part++) {
            const size_t column = n + part * TILE_COLS;
            const tile t = {
                .a = copy, .lda = LDA, .k = depth,
                .panel = panels + part * TILE_COLS * depth, .ldb = TILE_COLS,
                .c = a->y + m * a->ldy + column, .ldc = a->ldy,
                .cols = smaller(TILE_COLS, cols - part * TILE_COLS),
                .adds = k > 0, .bias = a->bias ? a->bias + column : NULL,
            };
            run_tile(&t, rows);
        }
    }
}

INLINE void gemm_of(const apus_linear *a, apus_dtype dtype, size_t n0, size_t n1, float *scratch) {
    float *copy = scratch, *panels = scratch + TILE_ROWS * LDA;
    for (size_t n = n0; n < n1; n += BLOCK_N) {
        const size_t cols = smaller(BLOCK_N, n1 - n);
        for (size_t k = 0; k < a->k; k += BLOCK_K) {
            const size_t depth = smaller(BLOCK_K, a->k - k);
            for (size_t c = 0; c < cols; c += TILE_COLS) {
                const void *rows = element(a->w, dtype, (n + c) * a->ldw + k);
                pack_panel(rows, dtype, a->ldw, smaller(TILE_COLS, cols - c), depth, panels + c * depth);
            }
            gemm_block(a, n, cols, k, depth, copy, panels);
        }
    }
}

static TARGET void gemm(const apus_linear *a, size_t n0, size_t n1, void *scratch) {
    switch (a->dtype) {
    case APUS_F32: gemm_of(a, APUS_F32, n0, n1, scratch); break;
    case APUS_F16: gemm_of(a, APUS_F16, n0, n1, scratch); break;
    case APUS_BF16: gemm_of(a, APUS_BF16, n0, n1, scratch); break;
    case APUS_I8: break;
    }
}
