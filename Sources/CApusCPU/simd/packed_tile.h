#pragma once
// The register tile of products with packed weights (include/apus_panels.h): some rows of x times some panels.
//
//   y[r, f] (+)= sum over i < depth of x[r, i] * panel[f / 16][i, f % 16]      r < rows <= TILE_ROWS
//
// Weights are converted where they are used: f32 not at all, f16 by the instruction, bf16 by a shift or a mask of its
// pairs. Each y[r, f] is one chain of FMAs over i in order, so its bits depend neither on the tile's shape nor on
// where in the tile it lies. A few rows take four panels at a time, so that one load of x serves 64 features and
// enough chains hide the latency of the FMA units.

enum {
    ACROSS = APUS_PANEL / VW,  ///< vectors across a panel
    MOST_PANELS = 4,               ///< panels of the widest tile
    STREAM_AHEAD = 1024,           ///< bytes by which a weight is asked for before its use
    BLOCKED_AHEAD = 96             ///< numbers by which x is
};

typedef struct {
    const float *x;      ///< inputs of the first row; of a blocked tile x[depth][rows], an input of all rows side by side
    size_t ldx;          ///< elements between rows of x, but of a blocked tile
    const char *w;       ///< first panel, at the tile's first input, which is even
    size_t panel_bytes;  ///< between panels
    size_t depth;        ///< inputs
    float *y;            ///< first row, at the first panel's first feature
    size_t ldy;          ///< elements between rows of y
    size_t cols;         ///< features that are stored
    int adds;            ///< adds to what y holds
    const float *bias;   ///< f32[cols] or NULL, used when it does not add
    float *wide;         ///< f32[panels][BLOCK_K][16] that a blocked tile widens its panels to
    const char *turn;    ///< from this place of the first panel on, what comes next is `jump` bytes further
    size_t jump;         ///< to the panels of the next tile
} packed_tile;

/// Panels that a tile of so many rows takes: 4, 2 or 1.
INLINE int widest(int rows) {
    if (rows * 4 * ACROSS <= WIDE_SUMS) { return 4; }
    return rows * 2 * ACROSS <= PAIR_SUMS ? 2 : 1;
}

/// Vector v of a panel at its first or second input.
INLINE vf panel_load(const char *panel, apus_dtype dtype, const int odd, int v) {
    if (dtype != APUS_BF16) { return v_load_as(panel, dtype, (size_t)(odd * APUS_PANEL + v * VW)); }
    const uint32_t *words = (const uint32_t *)panel + v * VW;
    return odd ? v_odd_bf16(words) : v_even_bf16(words);
}

INLINE void store_sums(float *y, vf sum, const float *bias, int adds, size_t left) {
    if (left >= VW) {
        v_store(y, v_add(sum, adds ? v_load(y) : bias ? v_load(bias) : v_zero()));
    } else {
        v_store_part(y, v_add(sum, adds ? v_load_part(y, left) : bias ? v_load_part(bias, left) : v_zero()), left);
    }
}

/// Nothing in memory is read or written before this that the program reads or writes after it.
#define KEEP_ORDER __asm__ volatile("" ::: "memory")

typedef vf panel_sums[TILE_ROWS][MOST_PANELS][ACROSS];

/// One input of `rows` rows, `ldx` apart, times its weights in `panels` panels, which go to `wide` too if there is one.
INLINE void packed_multiply(
    panel_sums sums, const float *const *x, size_t ldx, const char *w, size_t between, apus_dtype dtype,
    const int odd, const int rows, const int panels, float *wide
) {
    vf weights[MOST_PANELS][ACROSS];
#pragma unroll
    for (int p = 0; p < panels; p++) {
#pragma unroll
        for (int v = 0; v < ACROSS; v++) {
            weights[p][v] = panel_load(w + (size_t)p * between, dtype, odd, v);
            if (wide) { v_store(wide + (p * BLOCK_K + odd) * APUS_PANEL + v * VW, weights[p][v]); }
        }
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
        const vf value = v_set(x[r / 3][(size_t)(r % 3) * ldx]);
#pragma unroll
        for (int p = 0; p < panels; p++) {
#pragma unroll
            for (int v = 0; v < ACROSS; v++) { sums[r][p][v] = v_fma(value, weights[p][v], sums[r][p][v]); }
        }
    }
}

/// Starts a tile, and asks for the rows of y that its end will write.
INLINE void begin_tile(const packed_tile *t, panel_sums sums, const int rows, const int panels) {
#pragma unroll
    for (int r = 0; r < rows; r++) {
        __builtin_prefetch(t->y + (size_t)r * t->ldy, 1);
        __builtin_prefetch(t->y + (size_t)r * t->ldy + (t->cols - 1), 1);
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
#pragma unroll
        for (int p = 0; p < panels; p++) {
#pragma unroll
            for (int v = 0; v < ACROSS; v++) { sums[r][p][v] = v_zero(); }
        }
    }
}

INLINE void end_tile(const packed_tile *t, panel_sums sums, const int rows, const int panels) {
#pragma unroll
    for (int p = 0; p < panels; p++) {
#pragma unroll
        for (int v = 0; v < ACROSS; v++) {
            const size_t at = (size_t)p * APUS_PANEL + (size_t)v * VW;
            if (at >= t->cols) { continue; }
#pragma unroll
            for (int r = 0; r < rows; r++) {
                const float *bias = t->bias ? t->bias + at : NULL;
                store_sums(t->y + (size_t)r * t->ldy + at, sums[r][p][v], bias, t->adds, t->cols - at);
            }
        }
    }
}

INLINE void next_input(const float **x, const int rows) {
#pragma unroll
    for (int i = 0; i < (rows + 2) / 3; i++) { x[i]++; }
}

/// Streams weights of `dtype` past `rows` rows, asking for them ahead. `dtype`, `rows` and `panels` are constants.
INLINE void stream_tile(const packed_tile *t, apus_dtype dtype, const int rows, const int panels) {
    panel_sums sums;
    const size_t ldx = t->ldx, between = t->panel_bytes, depth = t->depth;
    const size_t step = 2 * APUS_PANEL * dtype_bytes(dtype);
    // One pointer for each three rows: the others are within reach of one addressing mode.
    const float *x[(TILE_ROWS + 2) / 3];
#pragma unroll
    for (int i = 0; i < (rows + 2) / 3; i++) { x[i] = t->x + 3 * (size_t)i * ldx; }
    begin_tile(t, sums, rows, panels);
    const char *w = t->w;
    size_t i = 0;
    for (; i + 2 <= depth; i += 2, w += step) {
        const char *ahead = w + STREAM_AHEAD + (w < t->turn ? 0 : t->jump);
#pragma unroll
        for (int p = 0; p < panels; p++) {
            __builtin_prefetch(ahead + (size_t)p * between);
            if (dtype == APUS_F32) { __builtin_prefetch(ahead + (size_t)p * between + 64); }
        }
        packed_multiply(sums, x, ldx, w, between, dtype, 0, rows, panels, NULL);
        KEEP_ORDER;  // the loads of two inputs would not fit the registers
        next_input(x, rows);
        packed_multiply(sums, x, ldx, w, between, dtype, 1, rows, panels, NULL);
        next_input(x, rows);
    }
    if (i < depth) { packed_multiply(sums, x, ldx, w, between, dtype, 0, rows, panels, NULL); }
    end_tile(t, sums, rows, panels);
}

/// The same with x in the order of its use, in a product of many rows: the first tile over some panels converts their
/// weights on the way and leaves them in `wide`, the others read FP32. `dtype`, `rows` and `panels` are constants.
INLINE void blocked_tile(const packed_tile *t, apus_dtype dtype, const int rows, const int panels) {
    panel_sums sums;
    const size_t between = t->panel_bytes, step = 2 * APUS_PANEL * dtype_bytes(dtype);
    const float *x = t->x;
    const char *w = t->w;
    float *wide = dtype == APUS_F32 ? NULL : t->wide;
    begin_tile(t, sums, rows, panels);
    size_t i = 0;
    for (; i + 2 <= t->depth; i += 2, w += step) {
#pragma unroll
        for (int p = 0; p < panels && dtype != APUS_F32; p++) {
            __builtin_prefetch(w + STREAM_AHEAD + (size_t)p * between);
        }
        __builtin_prefetch(x + BLOCKED_AHEAD);
        const float *const even[] = {x, x + 3, x + 6, x + 9};
        packed_multiply(sums, even, 1, w, between, dtype, 0, rows, panels, wide);
        KEEP_ORDER;
        x += rows;
        __builtin_prefetch(x + BLOCKED_AHEAD);
        const float *const odd[] = {x, x + 3, x + 6, x + 9};
        packed_multiply(sums, odd, 1, w, between, dtype, 1, rows, panels, wide);
        x += rows;
        if (wide) { wide += 2 * APUS_PANEL; }
    }
    if (i < t->depth) {
        const float *const last[] = {x, x + 3, x + 6, x + 9};
        packed_multiply(sums, last, 1, w, between, dtype, 0, rows, panels, wide);
    }
    end_tile(t, sums, rows, panels);
}

#define TILE_OF(R, NAME, TILE, ...)                                                                          \
    static TARGET __attribute__((noinline)) void NAME##_##R(const packed_tile *t, size_t panels) {            \
        if (panels == 4 && widest(R) >= 4) {                                                                 \
            TILE(t, __VA_ARGS__ R, 4);                                                                       \
        } else if (panels == 2 && widest(R) >= 2) {                                                          \
            TILE(t, __VA_ARGS__ R, 2);                                                                       \
        } else {                                                                                             \
            TILE(t, __VA_ARGS__ R, 1);                                                                       \
        }                                                                                                    \
    }
#define COMMA ,
#define F32_TILE(R) TILE_OF(R, stream_f32, stream_tile, APUS_F32 COMMA)
#define F16_TILE(R) TILE_OF(R, stream_f16, stream_tile, APUS_F16 COMMA)
#define BF16_TILE(R) TILE_OF(R, stream_bf16, stream_tile, APUS_BF16 COMMA)
#define WIDE_TILE(R) TILE_OF(R, blocked_f32, blocked_tile, APUS_F32 COMMA)
#define WIDEN_F16_TILE(R) TILE_OF(R, blocked_f16, blocked_tile, APUS_F16 COMMA)
#define WIDEN_BF16_TILE(R) TILE_OF(R, blocked_bf16, blocked_tile, APUS_BF16 COMMA)
EACH_STREAM_ROWS(F32_TILE)
EACH_STREAM_ROWS(F16_TILE)
EACH_STREAM_ROWS(BF16_TILE)
EACH_TILE_ROWS(WIDE_TILE)
EACH_STREAM_ROWS(WIDEN_F16_TILE)
EACH_STREAM_ROWS(WIDEN_BF16_TILE)
#undef F32_TILE
#undef F16_TILE
#undef BF16_TILE
#undef WIDE_TILE
#undef WIDEN_F16_TILE
#undef WIDEN_BF16_TILE
#undef COMMA
#undef TILE_OF

#define TILE_CASE(R, NAME)                                                                                   \
    case R: NAME##_##R(t, panels); break;
#define STREAM_F32(R) TILE_CASE(R, stream_f32)
#define STREAM_F16(R) TILE_CASE(R, stream_f16)
#define STREAM_BF16(R) TILE_CASE(R, stream_bf16)
#define BLOCKED_F32(R) TILE_CASE(R, blocked_f32)
#define BLOCKED_F16(R) TILE_CASE(R, blocked_f16)
#define BLOCKED_BF16(R) TILE_CASE(R, blocked_bf16)

/// Streams some panels past 1...STREAM_ROWS rows.
INLINE void run_stream(const packed_tile *t, apus_dtype dtype, size_t rows, size_t panels) {
    if (dtype == APUS_F32) {
        switch (rows) { EACH_STREAM_ROWS(STREAM_F32) }
    } else if (dtype == APUS_F16) {
        switch (rows) { EACH_STREAM_ROWS(STREAM_F16) }
    } else {
        switch (rows) { EACH_STREAM_ROWS(STREAM_BF16) }
    }
}

/// Runs a tile of a blocked product, of up to TILE_ROWS rows if it reads FP32, else up to STREAM_ROWS.
INLINE void run_blocked(const packed_tile *t, apus_dtype dtype, size_t rows, size_t panels) {
    if (dtype == APUS_F32) {
        switch (rows) { EACH_TILE_ROWS(BLOCKED_F32) }
    } else if (dtype == APUS_F16) {
        switch (rows) { EACH_STREAM_ROWS(BLOCKED_F16) }
    } else {
        switch (rows) { EACH_STREAM_ROWS(BLOCKED_BF16) }
    }
}
#undef TILE_CASE
#undef STREAM_F32
#undef STREAM_F16
#undef STREAM_BF16
#undef BLOCKED_F32
#undef BLOCKED_F16
#undef BLOCKED_BF16
