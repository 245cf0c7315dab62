#pragma once
// y = x w^T + bias for many rows of x, blocked for caches (after Goto & van de Geijn 2008).
//
//   for each block of PACKED_M rows of x, for each block of BLOCK_K inputs:
//       turn x[PACKED_M, BLOCK_K] into [BLOCK_K][rows] for the rows of each tile    stays in L2
//       for every TILE_PANELS panels of w:
//           for the rows of each tile: one register tile, added to y
//
// Panels lie as tiles read them. FP32 is read in place; of other types the first tile leaves BLOCK_K inputs as FP32 for
// the others, which find them in L1. A tile reads x and w each in one sweep. An output is summed over k in order, block by block, as in the streaming form: the
// same bits.

enum {
    PACKED_M = 192,                        ///< rows of a block
    TILE_PANELS = TILE_COLS / APUS_PANEL  ///< panels of a register tile
};

static TARGET size_t blocked_scratch_bytes(size_t m) {
    return ((smaller(m, PACKED_M) + VW) * BLOCK_K + BLOCK_K * TILE_COLS) * sizeof(float);
}

/// Turns `rows` rows of `depth` numbers into tile[depth][rows].
INLINE void turn_rows(const float *x, size_t ldx, size_t rows, size_t depth, float *tile) {
    for (size_t r = 0; r < rows; r += VW) {
        for (size_t i = 0; i < depth; i += VW) {
            vf block[VW];
#pragma unroll
            for (size_t j = 0; j < VW; j++) {
                block[j] = r + j < rows ? v_load_part(x + (r + j) * ldx + i, depth - i) : v_zero();
            }
            v_transpose(block);
#pragma unroll
            for (size_t j = 0; j < VW; j++) {
                if (i + j < depth) { v_store_part(tile + (i + j) * rows + r, block[j], rows - r); }
            }
        }
    }
}

/// Rows are dealt out evenly: 14 are two tiles of 7, not 12 and 2.
INLINE size_t even_rows(size_t m, size_t most) {
    const size_t tiles = (m + most - 1) / most;
    return (m + tiles - 1) / tiles;
}

INLINE void blocked_of(const apus_packed_linear *a, apus_dtype dtype, size_t n0, size_t n1, float *scratch) {
    const size_t panel_bytes = panel_elements(dtype, a->k) * dtype_bytes(dtype);
    float *turned = scratch, *wide = scratch + (smaller(a->m, PACKED_M) + VW) * BLOCK_K;
    for (size_t m = 0; m < a->m; m += PACKED_M) {
        const size_t rows = smaller(PACKED_M, a->m - m), height = even_rows(rows, dtype == APUS_F32 ? TILE_ROWS : STREAM_ROWS);
        size_t k = 0;
        do {  // once for k = 0 too, which leaves the bias
            const size_t depth = smaller(BLOCK_K, a->k - k);
            for (size_t r = 0; r < rows; r += height) {
                const float *x = a->x + (m + r) * a->ldx + k;
                turn_rows(x, a->ldx, smaller(height, rows - r), depth, turned + r * depth);
            }
            for (size_t n = n0; n < n1; n += TILE_COLS) {
                const size_t cols = smaller(TILE_COLS, n1 - n);
                const size_t panels = (cols + APUS_PANEL - 1) / APUS_PANEL;
                const char *w = (const char *)panel_of(a->w, dtype, n, a->k)
                    + k * APUS_PANEL * dtype_bytes(dtype);
                packed_tile t = {
                    .w = w, .panel_bytes = panel_bytes, .depth = depth, .ldy = a->ldy, .cols = cols,
                    .adds = k > 0, .bias = a->bias ? a->bias + n : NULL, .wide = wide,
                };
                apus_dtype kind = dtype;
                for (size_t r = 0; r < rows; r += height) {
                    t.x = turned + r * depth;
                    t.y = a->y + (m + r) * a->ldy + n;
                    run_blocked(&t, kind, smaller(height, rows - r), panels);
                    if (kind != APUS_F32) {
                        kind = APUS_F32;
                        t.w = (const char *)wide;
                        t.panel_bytes = BLOCK_K * APUS_PANEL * sizeof(float);
                    }
                }
            }
            k += BLOCK_K;
        } while (k < a->k);
    }
}
