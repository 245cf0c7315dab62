#pragma once
// The register tile that matrix products and attention are made of, and the panel it reads.
//
//   c[r, j] (+)= sum over i < k of a[r, i] * panel[i, j]      r < rows <= TILE_ROWS, j < TILE_COLS
//
//   a      f32[rows, k]         rows lda apart, each value broadcast
//   panel  f32[k, TILE_COLS]    rows ldb apart
//   c      f32[rows, cols]      rows ldc apart; cols <= TILE_COLS are stored
//
// Each c[r, j] is one chain of FMAs over i in order, so its bits depend neither on the tile's shape nor on
// where in the tile it lies. TILE_ROWS * TILE_VECS independent chains hide the latency of the FMA units.

typedef struct {
    const float *a;
    size_t lda;
    const float *panel;
    size_t ldb, k;
    float *c;
    size_t ldc, cols;
    int adds;           ///< adds to what c holds
    const float *by;    ///< f32[rows] that what c holds is multiplied by before, or NULL
    const float *bias;  ///< f32[cols] or NULL, used when it does not add
} tile;

INLINE void tile_rows(const tile *t, const int rows) {
    vf sums[TILE_ROWS][TILE_VECS];
    const size_t ldc = t->ldc, cols = t->cols, lda = t->lda, ldb = t->ldb;
    // One pointer for each three rows: the others are within reach of one addressing mode.
    const float *a[(TILE_ROWS + 2) / 3], *b = t->panel;
#pragma unroll
    for (int p = 0; p < (rows + 2) / 3; p++) { a[p] = t->a + 3 * (size_t)p * lda; }
#pragma unroll
    for (int r = 0; r < rows; r++) {
        __builtin_prefetch(t->c + (size_t)r * ldc, 1);
        __builtin_prefetch(t->c + (size_t)r * ldc + (cols - 1), 1);
#pragma unroll
        for (int v = 0; v < TILE_VECS; v++) { sums[r][v] = v_zero(); }
    }
    for (size_t k = 0; k < t->k; k++, b += ldb) {
        vf columns[TILE_VECS];
#pragma unroll
        for (int v = 0; v < TILE_VECS; v++) { columns[v] = v_load(b + v * VW); }
#pragma unroll
        for (int r = 0; r < rows; r++) {
            const vf value = v_set(a[r / 3][(size_t)(r % 3) * lda + k]);
#pragma unroll
            for (int v = 0; v < TILE_VECS; v++) { sums[r][v] = v_fma(value, columns[v], sums[r][v]); }
        }
    }
#pragma unroll
    for (int v = 0; v < TILE_VECS; v++) {
        const size_t at = (size_t)v * VW;
        if (at >= cols) { break; }
        const vf bias = t->bias ? v_load_part(t->bias + at, cols - at) : v_zero();
#pragma unroll
        for (int r = 0; r < rows; r++) {
            float *c = t->c + (size_t)r * ldc + at;
            const vf before = t->adds ? v_load_part(c, cols - at) : bias;
            const vf sum = t->by ? v_fma(before, v_set(t->by[r]), sums[r][v]) : v_add(sums[r][v], before);
            v_store_part(c, sum, cols - at);
        }
    }
}

#define TILE_KERNEL(R)                                                                                       \
    static TARGET __attribute__((noinline)) void tile_##R(const tile *t) { tile_rows(t, R); }
#define TILE_CASE(R)                                                                                         \
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
