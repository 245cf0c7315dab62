#pragma once
// What decode and prefill attention share: the tile of keys, where the scratch lies, and the softmax of a row
// of scores.

#include <math.h>

enum {
    KEYS = 64,        ///< keys of a tile, a multiple of TILE_COLS, one bit each of `keys_shown`
    BLOCK_ROWS = 192  ///< rows (query, head) that share the panels, when a query has fewer heads
};

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
    float *score;   ///< f32[max(group, TILE_ROWS), KEYS] scores of a tile, then weights
    float *added;   ///< f32[max(group, TILE_ROWS)] sums of the weights of a tile
    float *shrink;  ///< as `added`: factors of the older sums
    size_t floats;  ///< of all of them
} attention_scratch;

INLINE attention_scratch attention_layout(float *base, size_t group, size_t dim) {
    const size_t rows = larger(BLOCK_ROWS, group), tile_rows = larger(TILE_ROWS, group);
    attention_scratch s = {.width = rounded_up(dim, TILE_COLS), .pitch = rounded_up(dim, 64)};
    size_t at = 0;
    float **const parts[] = {&s.q, &s.out, &s.top, &s.sum, &s.k, &s.v, &s.score, &s.added, &s.shrink};
    const size_t sizes[] = {
        rows * s.pitch, rows * s.pitch, rows, rows, KEYS * s.pitch, KEYS * s.pitch, tile_rows * KEYS,
        tile_rows, tile_rows,
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

/// Turns the scores of one row for the tile at `key` into weights and returns their sum. Raises the row's
/// maximum and leaves in *change the logarithm of the factor that its older sums shrink by. Weights of codes
/// are multiplied by the scales of V after they were summed; hidden keys weigh 0 whatever their scale is.
INLINE float softmax_row(
    const apus_attention *a, size_t key, visible_keys seen, uint64_t shown, const float *mask,
    tile_scales scales, float *score, float *top, float *change
) {
    vf values[KEYS / VW], greatest = v_set(-INFINITY), sum = v_zero();
    const size_t last = seen.last > key ? smaller(seen.last - key, KEYS) : 0;
    const size_t first = seen.first > key ? smaller(seen.first - key, KEYS) : 0;
    const int partly = first > 0 || last < KEYS;
    const vf low = v_set((float)first), high = v_set((float)last), hidden = v_set(-INFINITY);
#pragma unroll
    for (size_t i = 0; i < KEYS / VW; i++) {
        const size_t left = last > i * VW ? last - i * VW : 0;
        vf value = v_load(score + i * VW);
        if (scales.k) { value = v_mul(value, scales_from(scales.k, i * VW, left)); }
        if (a->softcap > 0) { value = v_mul(v_set(a->softcap), v_tanh(v_div(value, v_set(a->softcap)))); }
        if (mask) {
            const float *biases = mask + key + i * VW;
            value = v_add(value, a->mask_key_stride ? v_load_part(biases, left) : v_set(mask[0]));
        }
        if (partly) {
            const vf lane = v_add(v_iota(), v_set((float)(i * VW)));
            value = v_if_less(lane, high, v_if_less(lane, low, hidden, value), hidden);
        }
        if (shown != ~UINT64_C(0)) { value = v_if_bits((uint32_t)(shown >> i * VW), value, hidden); }
        greatest = v_max(greatest, value);
        values[i] = value;
    }
    const float old = *top, tile_top = v_greatest(greatest), now = tile_top > old ? tile_top : old;
    const float base = now == -INFINITY ? 0 : now;  // nothing seen yet: every weight is exp(-inf) = 0
#pragma unroll
    for (size_t i = 0; i < KEYS / VW; i++) {
        vf weight = v_exp(v_sub(values[i], v_set(base)));
        sum = v_add(sum, weight);
        if (scales.v) {
            const vf scale = scales_from(scales.v, i * VW, last > i * VW ? last - i * VW : 0);
            weight = v_if_less(v_zero(), weight, v_mul(weight, scale), v_zero());
        }
        v_store(score + i * VW, weight);
    }
    *top = now;
    *change = old - base;
    return v_sum(sum);
}

/// Folds the new sums of `rows` rows into their running sums, once *shrink holds the logarithms of the factors;
/// leaves the factors there.
INLINE void fold_sums(float *shrink, const float *added, float *sum, size_t rows) {
    for (size_t i = 0; i < rows; i += VW) {
        const size_t left = rows - i;
        const vf factor = v_exp(v_load_part(shrink + i, left));
        v_store_part(shrink + i, factor, left);
        v_store_part(sum + i, v_fma(v_load_part(sum + i, left), factor, v_load_part(added + i, left)), left);
    }
}
