#pragma once
// What decode and prefill attention share: the tile of keys, where the scratch lies, and the softmax of rows of
// scores.

#include <math.h>

enum {
    KEYS = 64,                 ///< keys of a tile, a multiple of TILE_COLS, one bit each of `keys_shown`
    BLOCK_FLOATS = 24 * 1024,  ///< of the queries that share the panels; their sums take as much
    FOLD_ROWS = 2 * TILE_ROWS  ///< rows (query, head) that pass a panel together
};

/// Queries that share the panels: whole tiles of rows, where several queries fit.
INLINE size_t block_queries(size_t group, size_t dim) {
    const size_t most = BLOCK_FLOATS / rounded_up(dim, 64) / group;
    return most > TILE_ROWS ? most / TILE_ROWS * TILE_ROWS : larger(most, 1);
}

/// Where the parts of the scratch lie. Rows are padded to whole tiles.
typedef struct {
    size_t width;  ///< D rounded up to TILE_COLS
    size_t pitch;   ///< D rounded up to 64, at least `width`
    float *q;       ///< f32[rows, pitch] scaled queries
    float *out;     ///< f32[rows, pitch] weighted sums of V
    float *top;     ///< f32[rows] running maximum
    float *sum;     ///< f32[rows] running sum
    float *k;       ///< f32[KEYS, pitch] keys of a tile, rearranged
    float *v;       ///< f32[KEYS, pitch] values of a tile
    float *score;   ///< f32[max(group, FOLD_ROWS), KEYS] scores of a tile, then weights
    float *shrink;  ///< f32[max(group, FOLD_ROWS)] factors of the older sums
    size_t floats;  ///< of all of them
} attention_scratch;

INLINE attention_scratch attention_layout(float *base, size_t group, size_t dim) {
    const size_t rows = block_queries(group, dim) * group, fold_rows = larger(FOLD_ROWS, group);
    attention_scratch s = {.width = rounded_up(dim, TILE_COLS), .pitch = rounded_up(dim, 64)};
    size_t at = 0;
    float **const parts[] = {&s.q, &s.out, &s.top, &s.sum, &s.k, &s.v, &s.score, &s.shrink};
    const size_t sizes[] = {
        rows * s.pitch, rows * s.pitch, rows, rows, KEYS * s.pitch, KEYS * s.pitch, fold_rows * KEYS,
        fold_rows,
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        *parts[i] = base ? base + at : NULL;
        at += rounded_up(sizes[i], 16);
    }
    s.floats = at;
    return s;
}

static TARGET size_t attention_scratch_bytes(size_t q_heads, size_t kv_heads, size_t head_dim) {
    return attention_layout(NULL, q_heads / kv_heads, head_dim).floats * sizeof(float);
}

/// Where the scales of the codes of a tile lie: f32[KEYS], or NULL unless the cache holds codes. They need not
/// be aligned.
typedef struct {
    const char *k, *v;
} tile_scales;

INLINE tile_scales scales_of_tile(const apus_attention *a, size_t b, size_t kv_head, size_t key) {
    if (a->kv_dtype != APUS_I8) { return (tile_scales){NULL, NULL}; }
    const size_t at = a->kv_scale_offset + key * sizeof(float);
    return (tile_scales){
        (const char *)a->k + key_offset(a, b, kv_head) + at,
        (const char *)a->v + value_offset(a, b, kv_head) + at,
    };
}

/// The first `left` scales from the i-th of a tile.
INLINE vf scales_from(const char *scales, size_t i, size_t left) {
    return v_load_as_part(scales, APUS_F32, i, left);
}

/// A tile of keys of one head.
typedef struct {
    const apus_attention *a;
    size_t b, kv_head;
    size_t key;          ///< the first, a multiple of KEYS
    visible_keys range;  ///< keys that count at all; others of the tile may hold any bits
    tile_scales scales;  ///< what scores and weights are still to be multiplied by
} key_tile;

/// The i-th vector of the scores of a row: scaled, capped, biased, and -inf where the row does not see the key.
INLINE vf shown_scores(
    const key_tile *t, visible_keys seen, uint64_t shown, const float *mask, size_t i, vf value
) {
    const apus_attention *a = t->a;
    const size_t last = seen.last > t->key ? smaller(seen.last - t->key, KEYS) : 0;
    const size_t first = seen.first > t->key ? smaller(seen.first - t->key, KEYS) : 0;
    const size_t left = last > i * VW ? last - i * VW : 0;
    const vf hidden = v_set(-INFINITY);
    if (t->scales.k) { value = v_mul(value, scales_from(t->scales.k, i * VW, left)); }
    if (a->softcap > 0) { value = v_mul(v_set(a->softcap), v_tanh(v_div(value, v_set(a->softcap)))); }
    if (mask) {
        const float *biases = mask + t->key + i * VW;
        value = v_add(value, a->mask_key_stride ? v_load_part(biases, left) : v_set(mask[0]));
    }
    if (first > 0 || last < KEYS) {
        const vf lane = v_add(v_iota(), v_set((float)(i * VW)));
        value = v_if_less(
            lane, v_set((float)last), v_if_less(lane, v_set((float)first), hidden, value), hidden);
    }
    if (shown != ~UINT64_C(0)) { value = v_if_bits((uint32_t)(shown >> i * VW), value, hidden); }
    return value;
}

/// Whether rows of queries t0...t1 may take their scores as they are.
INLINE int takes_all(const key_tile *t, size_t t0, size_t t1) {
    const apus_attention *a = t->a;
    if (a->tree || a->mask || t->scales.k || a->softcap > 0) { return 0; }
    // Of queries one after the other, the first sees the fewest keys at the end and the last at the beginning.
    const size_t first = larger(keys_seen(a, t->b, t1).first, t->range.first);
    const size_t last = smaller(keys_seen(a, t->b, t0).last, t->range.last);
    return first <= t->key && t->key + KEYS <= last;
}

/// Turns the scores of rows [r, r + rows), rows <= VW, into weights, online: raises their maxima, leaves in `shrink`
/// the factors of what was summed before, and brings the sums up to date. Row r is head r % group of query
/// t0 + r / group. Weights of codes are multiplied by the scales of V after they were summed; hidden keys weigh 0
/// whatever their scale is.
INLINE void softmax_rows(
    const key_tile *t, size_t t0, size_t r, size_t rows, float *score, float *shrink, const attention_scratch *s
) {
    const apus_attention *a = t->a;
    const size_t group = a->q_heads / a->kv_heads, query = t0 + r / group;
    const int all = takes_all(t, query, t0 + (r + rows - 1) / group);
    vf values[VW];
    if (rows < VW) {  // lanes without a row
#pragma unroll
        for (size_t i = 0; i < VW; i++) { values[i] = v_zero(); }
    }
    for (size_t i = 0, q = query, g = r % group; i < rows; i++) {
        float *row = score + i * KEYS;
        vf top = v_set(-INFINITY);
        if (all) {
#pragma unroll
            for (size_t v = 0; v < KEYS / VW; v++) { top = v_max(top, v_load(row + v * VW)); }
        } else {
            visible_keys seen = keys_seen(a, t->b, q);
            seen.first = larger(seen.first, t->range.first);
            seen.last = smaller(seen.last, t->range.last);
            const uint64_t shown = keys_shown(a, t->b, q, t->key);
            const float *mask = mask_row(a, t->b, t->kv_head * group + g, q);
#pragma unroll
            for (size_t v = 0; v < KEYS / VW; v++) {
                const vf value = shown_scores(t, seen, shown, mask, v, v_load(row + v * VW));
                v_store(row + v * VW, value);
                top = v_max(top, value);
            }
        }
        values[i] = top;
        if (++g == group) { g = 0, q++; }
    }
    float base[VW];
    const vf old = v_load_part(s->top + r, rows), now = v_max(v_tops(values), old), low = v_set(-INFINITY);
    // Nothing seen yet: every weight is exp(-inf) = 0.
    const vf bases = v_if_less(low, now, now, v_zero());
    const vf factor = v_exp_of_negative(v_sub(old, bases));
    v_store(base, bases);
    v_store_part(s->top + r, now, rows);
    v_store_part(shrink, factor, rows);
    for (size_t i = 0; i < rows; i++) {
        float *row = score + i * KEYS;
        const vf from = v_set(base[i]);
        vf sum = v_zero();
#pragma unroll
        for (size_t v = 0; v < KEYS / VW; v++) {
            vf weight = v_exp_of_negative(v_sub(v_load(row + v * VW), from));
            sum = v_add(sum, weight);
            if (t->scales.v) {
                const size_t at = t->key + v * VW;
                const vf scale = scales_from(t->scales.v, v * VW, t->range.last > at ? t->range.last - at : 0);
                weight = v_if_less(v_zero(), weight, v_mul(weight, scale), v_zero());
            }
            v_store(row + v * VW, weight);
        }
        values[i] = sum;
    }
    v_store_part(s->sum + r, v_fma(v_load_part(s->sum + r, rows), factor, v_sums(values)), rows);
}
