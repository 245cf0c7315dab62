#pragma once
// The register tile that matrix products and attention are made of, and the panel it reads.
//
//   c[r, j] (+)= sum over i < k of a[r, i] * panel[i, j]      r < rows <= TILE_ROWS, j < TILE_COLS
//
//   a      f32[rows, k]         rows lda apart, each value broadcast
//   panel  f32[k, TILE_COLS]    rows ldb apart
//   c      f32[rows, cols]      rows ldc apart; cols <= TILE_COLS are stored
//
// Each c[r, j] is one chain of FMAs over i in order, so its bits depend neither on the tile's shape nor on where
// in the tile it lies. TILE_ROWS * TILE_VECS independent chains hide the latency of the FMA units.

/// What a tile starts from.
typedef enum { TILE_FROM_C, TILE_FROM_ZERO, TILE_FROM_BIAS } tile_start;

typedef struct {
    const float *a;
    size_t lda;
    const float *panel;
    size_t ldb, k;
    float *c;
    size_t ldc, cols;
    const float *bias;  ///< f32[cols] for TILE_FROM_BIAS
    tile_start start;
} tile;

INLINE void tile_rows(const tile *t, const int rows) {
    vf sums[TILE_ROWS][TILE_VECS];
    const size_t ldc = t->ldc, cols = t->cols, lda = t->lda, ldb = t->ldb;
    if (t->start == TILE_FROM_C) {
#pragma unroll
        for (int r = 0; r < rows; r++) {
#pragma unroll
            for (int v = 0; v < TILE_VECS; v++) {
                const size_t at = (size_t)v * VW;
                sums[r][v] = at < cols ? v_load_part(t->c + (size_t)r * ldc + at, cols - at) : v_zero();
            }
        }
    } else {
#pragma unroll
        for (int v = 0; v < TILE_VECS; v++) {
            const size_t at = (size_t)v * VW;
            const vf first =
                t->start == TILE_FROM_BIAS && at < cols ? v_load_part(t->bias + at, cols - at) : v_zero();
#pragma unroll
            for (int r = 0; r < rows; r++) { sums[r][v] = first; }
        }
    }
    const float *a = t->a, *b = t->panel;
    for (size_t k = t->k; k > 0; k--, a++, b += ldb) {
        vf columns[TILE_VECS];
#pragma unroll
        for (int v = 0; v < TILE_VECS; v++) { columns[v] = v_load(b + v * VW); }
#pragma unroll
        for (int r = 0; r < rows; r++) {
            const vf value = v_set(a[(size_t)r * lda]);
#pragma unroll
            for (int v = 0; v < TILE_VECS; v++) { sums[r][v] = v_fma(value, columns[v], sums[r][v]); }
        }
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
#pragma unroll
        for (int v = 0; v < TILE_VECS; v++) {
            const size_t at = (size_t)v * VW;
            if (at < cols) { v_store_part(t->c + (size_t)r * ldc + at, sums[r][v], cols - at); }
        }
    }
}

#define TILE_KERNEL(R)                                                                                         \
    static TARGET __attribute__((noinline)) void tile_##R(const tile *t) { tile_rows(t, R); }
#define TILE_CASE(R)                                                                                           \
    case R: tile_##R(t); break;

EACH_TILE_ROWS(TILE_KERNEL)

/// Runs a tile of 1...TILE_ROWS rows.
INLINE void run_tile(const tile *t, size_t rows) {
    switch (rows) { EACH_TILE_ROWS(TILE_CASE) }
}
#undef TILE_KERNEL
#undef TILE_CASE

/// Turns `rows` <= TILE_COLS rows of k elements, `stride` apart, into a panel f32[k, TILE_COLS]; missing rows
/// become zero columns.
INLINE void pack_panel(
    const void *src, apus_dtype dtype, size_t stride, size_t rows, size_t k, float *panel
) {
    for (size_t v = 0; v < TILE_VECS; v++) {
        for (size_t i = 0; i < k; i += VW) {
            vf block[VW];
#pragma unroll
            for (size_t r = 0; r < VW; r++) {
                const size_t row = v * VW + r;
                block[r] = row < rows ? v_load_as_part(src, dtype, row * stride + i, k - i) : v_zero();
            }
            v_transpose(block);
#pragma unroll
            for (size_t r = 0; r < VW; r++) {
                if (i + r < k) { v_store(panel + (i + r) * TILE_COLS + v * VW, block[r]); }
            }
        }
    }
}
