#pragma once
// Vector form of `quantized_linear` in baseline/quantized_linear.c: products of 8-bit integers.
//
// A lane is an output feature. A word of 64 bytes holds the codes of 8 inputs (4 where codes have 8 bits) for
// 16 features; four bytes of a row of x, broadcast from memory, meet the codes of four inputs in each lane.
// Sums of a piece start at -zero * (sum of the row's codes), so that codes stay unsigned; at its end they are
// converted and added to FP32 sums. A tile has up to DOT_ROWS rows and DOT_VECS vectors of features and reads
// the packed codes as they are, however many rows there are: an output has the same bits in any tile.

enum {
    PANEL_VECS = PANEL / VW,   ///< vectors of features in a panel
    WIDE_VECS = 64 / VW,       ///< vectors of features in a tile of few rows: 4 panels
    WIDE_ROWS = 2,             ///< rows up to which tiles are wide
    BLOCK_BYTES = 256 * 1024,  ///< codes that are used for all rows before the next ones: they stay in L2
    DOT_AHEAD = 1536           ///< how far ahead of its use a code is asked for, in bytes
};

/// One tile: rows from m, features from n, a multiple of the features of a vector.
typedef struct {
    const apus_quantized_linear *a;
    size_t m, n;
} dot_tile;

/// Adds `words` words of codes times rows of x. `bits`, `rows` and `vecs` are constants.
INLINE void dot_words(
    const char *const *codes, const int8_t *const *x, size_t ldx, size_t words, const int bits, const int rows,
    const int vecs, vi (*sums)[WIDE_VECS]
) {
    const size_t inputs = bits == 4 ? 8 : 4;
#if HAS_DOT
    for (size_t word = 0; word < words; word++) {
#pragma unroll
        for (int half = 0; half < bits % 8 / 4 + 1; half++) {
            vi values[WIDE_VECS];
#pragma unroll
            for (int v = 0; v < vecs; v++) {
                const vi packed = vi_load(codes[v] + word * 64);
                values[v] = bits == 8 ? vi_bytes(packed)
                    : half == 0       ? vi_low_nibbles(packed)
                                      : vi_high_nibbles(packed);
                if (rows <= WIDE_ROWS && half == 0) { __builtin_prefetch(codes[v] + word * 64 + DOT_AHEAD); }
            }
#pragma unroll
            for (int r = 0; r < rows; r++) {
                const vi quad = vi_set_quad(x[r / 3] + (size_t)(r % 3) * ldx + word * inputs + 4 * half);
#pragma unroll
                for (int v = 0; v < vecs; v++) { sums[r][v] = vi_dot(sums[r][v], values[v], quad); }
            }
        }
    }
#else
    // 16-bit sums take eight products with nibbles; the halves of 8-bit codes are summed apart.
    const size_t run = bits == 4 ? 4 : 8;
    for (size_t first = 0; first < words; first += run) {
        vi low[DOT_ROWS][WIDE_VECS], high[DOT_ROWS][WIDE_VECS];
#pragma unroll
        for (int r = 0; r < rows; r++) {
#pragma unroll
            for (int v = 0; v < vecs; v++) { low[r][v] = high[r][v] = vi_zero(); }
        }
        const size_t last = smaller(first + run, words);
        for (size_t word = first; word < last; word++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                vi values[WIDE_VECS];
#pragma unroll
                for (int v = 0; v < vecs; v++) {
                    const vi packed = vi_load(codes[v] + word * 64);
                    values[v] = half == 0 ? vi_low_nibbles(packed) : vi_high_nibbles(packed);
                    if (rows <= WIDE_ROWS && half == 0) { __builtin_prefetch(codes[v] + word * 64 + DOT_AHEAD); }
                }
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    const size_t at = word * inputs + (bits == 4 ? 4 * (size_t)half : 0);
                    const vi quad = vi_set_quad(x[r / 3] + (size_t)(r % 3) * ldx + at);
#pragma unroll
                    for (int v = 0; v < vecs; v++) {
                        vi *sum = bits == 4 || half == 0 ? &low[r][v] : &high[r][v];
                        *sum = vi_dot_pairs(*sum, values[v], quad);
                    }
                }
            }
        }
#pragma unroll
        for (int r = 0; r < rows; r++) {
#pragma unroll
            for (int v = 0; v < vecs; v++) {
                sums[r][v] = vi_add(sums[r][v], vi_join_pairs(low[r][v]));
                if (bits == 8) {
                    sums[r][v] = vi_add(sums[r][v], vi_shift_left(vi_join_pairs(high[r][v]), 4));
                }
            }
        }
    }
#endif
}

/// Computes a tile. `bits`, `rows` and `vecs` are constants.
INLINE void run_dot_tile(const dot_tile *t, const int bits, const int rows, const int vecs) {
    const apus_quantized_linear *a = t->a;
    const size_t group = a->group, groups = a->k / group, pieces = pieces_of(group), ldx = row_bytes(a->k);
    const size_t inputs = bits == 4 ? 8 : 4;
    const char *codes[WIDE_VECS];
    size_t places[WIDE_VECS];
    vf totals[DOT_ROWS][WIDE_VECS];
    // One pointer for each three rows: the others are within reach of one addressing mode.
    const int8_t *x[(DOT_ROWS + 2) / 3];
#pragma unroll
    for (int v = 0; v < vecs; v++) {
        const size_t feature = t->n + (size_t)v * VW, panel = feature / PANEL, lane = feature % PANEL;
        codes[v] = (const char *)a->codes + panel * panel_bytes(a->k, bits) + lane * 4;
        places[v] = panel * groups * PANEL + lane;
#pragma unroll
        for (int r = 0; r < rows; r++) {
            totals[r][v] = v_zero();
            if (v % PANEL_VECS == 0 && feature < a->n) {  // the memory of y is on its way while sums are made
                __builtin_prefetch(a->y + (t->m + (size_t)r) * a->ldy + feature, 1);
            }
        }
    }
#pragma unroll
    for (int p = 0; p < (rows + 2) / 3; p++) { x[p] = a->x_codes + (t->m + 3 * (size_t)p) * ldx; }
    const float *x_scales = a->x_scales + t->m * groups * pieces;
    const int32_t *x_starts = a->x_starts + t->m * groups * pieces;
    for (size_t g = 0; g < groups; g++) {
        for (size_t at = 0; at < group; at += PIECE, x_scales++, x_starts++) {
            const size_t words = (smaller(PIECE, group - at) + inputs - 1) / inputs;
            vi sums[DOT_ROWS][WIDE_VECS];
#pragma unroll
            for (int v = 0; v < vecs; v++) {
                vi zero = vi_zero();
                if (a->zeros) {
                    zero = vi_widen_u8(a->zeros + places[v] + g * PANEL);
                    if (bits == 8 && CODE_OFFSET) { zero = vi_add(zero, vi_set(-CODE_OFFSET)); }
                }
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    const vi start = vi_set(x_starts[(size_t)r * groups * pieces]);
                    sums[r][v] = a->zeros ? vi_mul(start, zero) : start;
                }
            }
            dot_words(codes, x, ldx, words, bits, rows, vecs, sums);
#pragma unroll
            for (int v = 0; v < vecs; v++) {
                const vf scale = v_load_as(a->scales, a->scale_dtype, places[v] + g * PANEL);
                codes[v] += words * 64;
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    const vf by = v_mul(scale, v_set(x_scales[(size_t)r * groups * pieces]));
                    totals[r][v] = v_fma(vi_float(sums[r][v]), by, totals[r][v]);
                }
            }
#pragma unroll
            for (int p = 0; p < (rows + 2) / 3; p++) { x[p] += words * inputs; }
        }
    }
#pragma unroll
    for (int v = 0; v < vecs; v++) {
        const size_t feature = t->n + (size_t)v * VW;
        if (feature >= a->n) { break; }
        const size_t count = a->n - feature;
        const vf bias = a->bias ? v_load_part(a->bias + feature, count) : v_zero();
#pragma unroll
        for (int r = 0; r < rows; r++) {
            float *y = a->y + (t->m + (size_t)r) * a->ldy + feature;
            v_store_part(y, v_add(totals[r][v], bias), count);
        }
    }
}

#define DOT_TILE_VECS(R) ((R) <= WIDE_ROWS ? WIDE_VECS : DOT_VECS)
#define DOT_TILE(R)                                                                                          \
    static TARGET __attribute__((noinline)) void dot_tile_4_##R(const dot_tile *t) {                         \
        run_dot_tile(t, 4, R, DOT_TILE_VECS(R));                                                             \
    }                                                                                                        \
    static TARGET __attribute__((noinline)) void dot_tile_8_##R(const dot_tile *t) {                         \
        run_dot_tile(t, 8, R, DOT_TILE_VECS(R));                                                             \
    }                                                                                                        \
    static TARGET __attribute__((noinline)) void dot_panel_4_##R(const dot_tile *t) {                        \
        run_dot_tile(t, 4, R, PANEL_VECS);                                                                   \
    }                                                                                                        \
    static TARGET __attribute__((noinline)) void dot_panel_8_##R(const dot_tile *t) {                        \
        run_dot_tile(t, 8, R, PANEL_VECS);                                                                   \
    }
EACH_DOT_ROWS(DOT_TILE)
#undef DOT_TILE

/// Rows from m, a number that there are tiles of, times features [n0, n1).
INLINE void dot_row_block(
    const apus_quantized_linear *a, size_t m, size_t n0, size_t n1, size_t features,
    void (*tile)(const dot_tile *), void (*panel)(const dot_tile *)
) {
    dot_tile t = {.a = a, .m = m, .n = n0};
    for (; t.n + features <= n1; t.n += features) { tile(&t); }
    for (; t.n < n1; t.n += PANEL) { panel(&t); }
}

/// Computes features [n0, n1) of all rows; n0 is a multiple of 16.
static TARGET void quantized_linear(const apus_quantized_linear *a, size_t n0, size_t n1) {
    const size_t panels = smaller(BLOCK_BYTES / (panel_bytes(a->k, a->bits) + 1) + 1, 1024);
    const size_t block = rounded_up(panels * PANEL, 64);
    for (size_t n = n0; n < n1; n += block) {
        const size_t end = smaller(n + block, n1);
        for (size_t m = 0; m < a->m;) {
            const size_t left = a->m - m;
#define DOT_ROWS_CASE(R)                                                                                     \
    if (left >= R) {                                                                                         \
        rows = R;                                                                                            \
        tile = a->bits == 4 ? dot_tile_4_##R : dot_tile_8_##R;                                               \
        panel = a->bits == 4 ? dot_panel_4_##R : dot_panel_8_##R;                                            \
    }
            size_t rows = 0;
            void (*tile)(const dot_tile *) = NULL, (*panel)(const dot_tile *) = NULL;
            EACH_DOT_ROWS(DOT_ROWS_CASE)
#undef DOT_ROWS_CASE
            dot_row_block(a, m, n, end, DOT_TILE_VECS(rows) * (size_t)VW, tile, panel);
            m += rows;
        }
    }
}

/// Products of 8-bit integers in registers: the peak that `quantized_linear` may come near.
static TARGET uint64_t dot_probe(size_t iterations) {
    enum { SUMS = PROBE_SUMS / 2 };
    vi sums[SUMS];
    const vi codes = vi_set(0x01020304), bytes = vi_set(0x04030201);
#pragma unroll
    for (int i = 0; i < SUMS; i++) { sums[i] = vi_set(i); }
    for (size_t n = 0; n < iterations; n++) {
#pragma unroll
        for (int i = 0; i < SUMS; i++) {
#if HAS_DOT
            sums[i] = vi_dot(sums[i], codes, bytes);
#else
            sums[i] = vi_dot_pairs(sums[i], codes, bytes);
#endif
        }
    }
    volatile int32_t keep = 0;
    for (int i = 0; i < SUMS; i++) { keep = keep + vi_sum(sums[i]); }
    return (uint64_t)iterations * SUMS * VW * 8;
}
