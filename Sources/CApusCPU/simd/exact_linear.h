#pragma once
// Vector form of `exact_linear` in baseline/quantized_linear.c: inputs and sums in FP32.
//
// Up to EXACT_ROWS rows read the packed codes as they are: each code becomes a number in its lane and is
// multiplied with one input, broadcast; the sum of a group is multiplied with its scale and added to the total.
// More rows run as the blocked product of linear_gemm.h: weights become FP32 panels once for all rows.

enum {
    EXACT_ROWS = 4,  ///< rows up to which codes are read as they are
    EXACT_VECS = 4   ///< vectors of features of such a tile: as many chains of sums hide the latency
};

/// Input i of a word: its codes, less the zero points. `bits` and `i` are constants.
INLINE vf exact_codes(vi word, const int bits, const int i, const int is_symmetric, vf zero, vf table) {
    const unsigned shift = (unsigned)(bits == 8 ? 8 * i : i < 4 ? 8 * i : 8 * (i - 4) + 4);
    const vi shifted = shift ? vi_shift_right(word, shift) : word;
#if HAS_NIBBLE_TABLE
    if (bits == 4 && is_symmetric) { return vi_nibble_table(shifted, table); }
#endif
    (void)is_symmetric, (void)table;
    return v_sub(vi_float(vi_and(shifted, vi_set(bits == 8 ? 255 : 15))), zero);
}

/// The zero points of a vector of features.
INLINE vf exact_zero(const apus_quantized_linear *a, const int bits, const int is_symmetric, size_t place) {
    return is_symmetric ? v_set((float)middle_code(bits)) : vi_float(vi_widen_u8(a->zeros + place));
}

/// Features from n, rows from m. `bits`, `is_symmetric`, `rows` and `vecs` are constants.
INLINE void exact_tile(
    const apus_quantized_linear *a, size_t n, size_t m, const int bits, const int is_symmetric, const int rows,
    const int vecs
) {
    const size_t group = a->group, groups = a->k / group;
    const int inputs = bits == 4 ? 8 : 4;
    const vf table = v_add(v_iota(), v_set(-8));
    const char *codes[EXACT_VECS];
    size_t places[EXACT_VECS];
    vf totals[EXACT_ROWS][EXACT_VECS];
    const float *x = a->x + m * a->ldx;
#pragma unroll
    for (int v = 0; v < vecs; v++) {
        const size_t feature = n + (size_t)v * VW, panel = feature / PANEL, lane = feature % PANEL;
        codes[v] = (const char *)a->codes + panel * panel_bytes(a->k, bits) + lane * 4;
        places[v] = panel * groups * PANEL + lane;
#pragma unroll
        for (int r = 0; r < rows; r++) { totals[r][v] = v_zero(); }
    }
    for (size_t g = 0; g < groups; g++) {
        vf sums[EXACT_ROWS][EXACT_VECS], zero[EXACT_VECS];
#pragma unroll
        for (int v = 0; v < vecs; v++) {
            zero[v] = exact_zero(a, bits, is_symmetric, places[v] + g * PANEL);
#pragma unroll
            for (int r = 0; r < rows; r++) { sums[r][v] = v_zero(); }
        }
        for (size_t at = 0; at < group; at += (size_t)inputs) {
            vi words[EXACT_VECS];
#pragma unroll
            for (int v = 0; v < vecs; v++) {
                words[v] = vi_load(codes[v]);
                __builtin_prefetch(codes[v] + DOT_AHEAD);
                codes[v] += 64;
            }
            const size_t count = group - at;
#pragma unroll
            for (int i = 0; i < inputs; i++) {
                if ((size_t)i >= count) { break; }
                vf values[EXACT_VECS];
#pragma unroll
                for (int v = 0; v < vecs; v++) {
                    values[v] = exact_codes(words[v], bits, i, is_symmetric, zero[v], table);
                }
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    const vf input = v_set(x[(size_t)r * a->ldx + at + (size_t)i]);
#pragma unroll
                    for (int v = 0; v < vecs; v++) { sums[r][v] = v_fma(input, values[v], sums[r][v]); }
                }
            }
        }
        x += group;
#pragma unroll
        for (int v = 0; v < vecs; v++) {
            const vf scale = v_load_as(a->scales, a->scale_dtype, places[v] + g * PANEL);
#pragma unroll
            for (int r = 0; r < rows; r++) { totals[r][v] = v_fma(sums[r][v], scale, totals[r][v]); }
        }
    }
#pragma unroll
    for (int v = 0; v < vecs; v++) {
        const size_t feature = n + (size_t)v * VW;
        if (feature >= a->n) { break; }
        const vf bias = a->bias ? v_load_part(a->bias + feature, a->n - feature) : v_zero();
#pragma unroll
        for (int r = 0; r < rows; r++) {
            float *y = a->y + (m + (size_t)r) * a->ldy + feature;
            v_store_part(y, v_add(totals[r][v], bias), a->n - feature);
        }
    }
}

/// All rows against features [n0, n1): the first tile of rows brings the codes in, others find them in a cache.
INLINE void exact_stream(
    const apus_quantized_linear *a, size_t n0, size_t n1, const int bits, const int is_symmetric
) {
    size_t n = n0;
    for (; n + EXACT_VECS * VW <= n1; n += EXACT_VECS * VW) {
        size_t m = 0;
        for (; m + 2 <= a->m; m += 2) { exact_tile(a, n, m, bits, is_symmetric, 2, EXACT_VECS); }
        if (m < a->m) { exact_tile(a, n, m, bits, is_symmetric, 1, EXACT_VECS); }
    }
    for (; n < n1; n += PANEL) {
        for (size_t m = 0; m < a->m; m++) { exact_tile(a, n, m, bits, is_symmetric, 1, PANEL_VECS); }
    }
}

/// Features [n, n + cols) and inputs [k, k + depth) as FP32 panels [depth, TILE_COLS].
INLINE void widen_codes(
    const apus_quantized_linear *a, size_t n, size_t cols, size_t k, size_t depth, const int bits,
    const int is_symmetric, float *panels
) {
    const size_t inputs = bits == 4 ? 8 : 4, groups = a->k / a->group;
    const vf table = v_add(v_iota(), v_set(-8));
    for (size_t c = 0; c < rounded_up(cols, TILE_COLS); c += VW) {
        float *to = panels + c / TILE_COLS * TILE_COLS * depth + c % TILE_COLS;
        const size_t panel = (n + c) / PANEL, lane = (n + c) % PANEL;
        if (panel * PANEL >= rounded_up(a->n, PANEL)) {  // the tile is wider than what is left
            for (size_t i = 0; i < depth; i++) { v_store(to + i * TILE_COLS, v_zero()); }
            continue;
        }
        const char *codes = (const char *)a->codes + panel * panel_bytes(a->k, bits) + lane * 4;
        for (size_t at = 0; at < depth; at += inputs) {
            const size_t place = (panel * groups + (k + at) / a->group) * PANEL + lane;
            const vf zero = exact_zero(a, bits, is_symmetric, place);
            const vf scale = v_load_as(a->scales, a->scale_dtype, place);
            const vi word = vi_load(codes + (k + at) / inputs * 64);
#pragma unroll
            for (int i = 0; i < (bits == 4 ? 8 : 4); i++) {
                if (at + (size_t)i >= depth) { break; }
                const vf value = exact_codes(word, bits, i, is_symmetric, zero, table);
                v_store(to + (at + (size_t)i) * TILE_COLS, v_mul(value, scale));
            }
        }
    }
}

INLINE void exact_blocks(
    const apus_quantized_linear *a, size_t n0, size_t n1, const int bits, const int is_symmetric, float *scratch
) {
    const apus_linear outline = {
        .n = a->n, .k = a->k, .x = a->x, .ldx = a->ldx, .m = a->m, .bias = a->bias, .y = a->y, .ldy = a->ldy};
    float *copy = scratch, *panels = scratch + TILE_ROWS * LDA;
    for (size_t n = n0; n < n1; n += BLOCK_N) {
        const size_t cols = smaller(BLOCK_N, n1 - n);
        for (size_t k = 0; k < a->k; k += BLOCK_K) {
            const size_t depth = smaller(BLOCK_K, a->k - k);
            widen_codes(a, n, cols, k, depth, bits, is_symmetric, panels);
            gemm_block(&outline, n, cols, k, depth, copy, panels);
        }
    }
}

static TARGET size_t exact_linear_scratch_bytes(size_t m, size_t n, size_t k) {
    return m <= EXACT_ROWS ? 64 : gemm_scratch_bytes(n, k);
}

#define EXACT_KERNELS(BITS, IS_SYMMETRIC, NAME)                                                              \
    static TARGET __attribute__((noinline)) void exact_stream_##NAME(                                        \
        const apus_quantized_linear *a, size_t n0, size_t n1) {                                              \
        exact_stream(a, n0, n1, BITS, IS_SYMMETRIC);                                                         \
    }                                                                                                        \
    static TARGET __attribute__((noinline)) void exact_blocks_##NAME(                                        \
        const apus_quantized_linear *a, size_t n0, size_t n1, float *scratch) {                              \
        exact_blocks(a, n0, n1, BITS, IS_SYMMETRIC, scratch);                                                \
    }
EXACT_KERNELS(4, 1, 4_symmetric)
EXACT_KERNELS(4, 0, 4)
EXACT_KERNELS(8, 1, 8_symmetric)
EXACT_KERNELS(8, 0, 8)
#undef EXACT_KERNELS

static TARGET void exact_linear(const apus_quantized_linear *a, size_t n0, size_t n1, void *scratch) {
    const int is_streamed = a->m <= EXACT_ROWS;
    if (a->bits == 4) {
        if (a->zeros) {
            is_streamed ? exact_stream_4(a, n0, n1) : exact_blocks_4(a, n0, n1, scratch);
        } else {
            is_streamed ? exact_stream_4_symmetric(a, n0, n1) : exact_blocks_4_symmetric(a, n0, n1, scratch);
        }
    } else if (a->zeros) {
        is_streamed ? exact_stream_8(a, n0, n1) : exact_blocks_8(a, n0, n1, scratch);
    } else {
        is_streamed ? exact_stream_8_symmetric(a, n0, n1) : exact_blocks_8_symmetric(a, n0, n1, scratch);
    }
}
