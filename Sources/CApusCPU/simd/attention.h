#pragma once
// Vector form of baseline/attention.c: tiles of KEYS keys, shared by all queries of a block and by the Q
// heads of a group (FlashAttention, Dao 2023, on register tiles).
//
//   for each tile of keys: K^T and V become FP32 panels once
//       for each TILE_ROWS rows (query, head):
//           S = Q K^T;  P, max, sum = online softmax of S;  O = O * shrink + P V
//
// Key tiles start at multiples of KEYS, hidden keys weigh exactly 0, and sums run in key order: the bits of a
// row depend neither on its block nor on the range of queries.

#include <math.h>

enum {
    KEYS = 64,        ///< keys of a tile, a multiple of TILE_COLS, one bit each of `keys_shown`
    BLOCK_ROWS = 192  ///< rows (query, head) that share the panels, when a query has fewer heads
};

/// Where the parts of the scratch lie. Rows are padded to whole tiles.
typedef struct {
    size_t width;  ///< D rounded up to TILE_COLS
    float *q;      ///< f32[rows, D] scaled queries
    float *out;    ///< f32[rows, width] weighted sums of V
    float *top;    ///< f32[rows] running maximum
    float *sum;    ///< f32[rows] running sum
    float *k;      ///< f32[KEYS / TILE_COLS, D, TILE_COLS] panels of K^T
    float *v;      ///< f32[KEYS, width]
    float *score;  ///< f32[TILE_ROWS, KEYS]
    float *shrink;  ///< f32[TILE_ROWS, padded] factor of the old sums
    size_t floats;  ///< of all of them
} attention_scratch;

INLINE attention_scratch attention_layout(float *base, size_t group, size_t dim) {
    const size_t rows = larger(BLOCK_ROWS, group), width = rounded_up(dim, TILE_COLS);
    attention_scratch s = {.width = width};
    size_t at = 0;
    float **const parts[] = {&s.q, &s.out, &s.top, &s.sum, &s.k, &s.v, &s.score, &s.shrink};
    const size_t sizes[] = {
        rows * dim, rows * width, rows, rows, KEYS * dim, KEYS * width, TILE_ROWS * KEYS, 16,
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

static TARGET size_t attention_partial_floats(size_t q_heads, size_t kv_heads, size_t head_dim) {
    return q_heads / kv_heads * (head_dim + 2);
}

/// Brings keys [first, last) of the tile at `key` into the panels; the other keys of the tile become zeros.
INLINE void load_keys(
    const apus_attention *a, apus_dtype dtype, size_t b, size_t kv_head, size_t key, size_t first,
    size_t last, const attention_scratch *s
) {
    const size_t dim = a->head_dim, stride = a->k_row_stride;
    const size_t keys = key_offset(a, b, kv_head), values = value_offset(a, b, kv_head);
    for (size_t c = 0; c < KEYS; c += TILE_COLS) {
        // Rows before `first` give scores that every query hides; rows from `last` on are not touched.
        const size_t at = key + c, rows = at < last ? smaller(TILE_COLS, last - at) : 0;
        pack_panel(element(a->k, dtype, keys + at * stride), dtype, stride, rows, dim, s->k + c * dim);
    }
    for (size_t j = 0; j < KEYS && key + j < last; j++) {
        float *to = s->v + j * s->width;
        if (key + j < first || is_tree_padding(a, b, key + j)) {
            memset(to, 0, s->width * sizeof(float));
            continue;
        }
        const size_t row = values + (key + j) * a->v_row_stride;
        for (size_t i = 0; i < s->width; i += VW) {
            v_store(to + i, i < dim ? v_load_as_part(a->v, dtype, row + i, dim - i) : v_zero());
        }
    }
}

/// Keys [first, last) of [key0, key1) that queries t0...t1 see between them.
INLINE visible_keys keys_seen_within(
    const apus_attention *a, size_t b, size_t t0, size_t t1, size_t key0, size_t key1
) {
    visible_keys seen = keys_seen_by(a, b, t0, t1);
    seen.first = larger(seen.first, key0);
    seen.last = larger(smaller(seen.last, key1), seen.first);
    return seen;
}

/// Turns the scores of one row for the tile at `key` into weights and returns their sum. Raises the row's
/// maximum and leaves in *change the logarithm of the factor that its older sums shrink by.
INLINE float softmax_row(
    const apus_attention *a, size_t key, visible_keys seen, uint64_t shown, const float *mask, float *score,
    float *top, float *change
) {
    vf values[KEYS / VW], greatest = v_set(-INFINITY), sum = v_zero();
    const size_t last = seen.last > key ? smaller(seen.last - key, KEYS) : 0;
    const size_t first = seen.first > key ? smaller(seen.first - key, KEYS) : 0;
    const int partly = first > 0 || last < KEYS;
    const vf low = v_set((float)first), high = v_set((float)last), hidden = v_set(-INFINITY);
#pragma unroll
    for (size_t i = 0; i < KEYS / VW; i++) {
        vf value = v_load(score + i * VW);
        if (a->softcap > 0) { value = v_mul(v_set(a->softcap), v_tanh(v_div(value, v_set(a->softcap)))); }
        if (mask) {
            const size_t left = last > i * VW ? last - i * VW : 0;
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
        const vf weight = v_exp(v_sub(values[i], v_set(base)));
        v_store(score + i * VW, weight);
        sum = v_add(sum, weight);
    }
    *top = now;
    *change = old - base;
    return v_sum(sum);
}

/// Folds the tile at `key` into rows [r, r + rows) of the block whose first query is t0.
INLINE void fold_tile(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t key0, size_t key1, size_t key,
    size_t r, size_t rows, const attention_scratch *s
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const visible_keys seen
        = keys_seen_within(a, b, t0 + r / group, t0 + (r + rows - 1) / group, key0, key1);
    if (seen.last <= key || seen.first >= key + KEYS) { return; }
    const size_t count = smaller(seen.last - key, KEYS);
    for (size_t c = 0; c < KEYS; c += TILE_COLS) {
        const tile t = {
            .a = s->q + r * dim, .lda = dim, .panel = s->k + c * dim, .ldb = TILE_COLS, .k = dim,
            .c = s->score + c, .ldc = KEYS, .cols = TILE_COLS,
        };
        run_tile(&t, rows);
    }
    float sums[TILE_ROWS];
    for (size_t i = 0; i < rows; i++) {
        const size_t query = t0 + (r + i) / group, h = kv_head * group + (r + i) % group;
        sums[i] = softmax_row(
            a, key, keys_seen_within(a, b, query, query, key0, key1), keys_shown(a, b, query, key),
            mask_row(a, b, h, query), s->score + i * KEYS, s->top + r + i, s->shrink + i);
    }
    for (size_t i = 0; i < rows; i += VW) { v_store(s->shrink + i, v_exp(v_load(s->shrink + i))); }
    for (size_t i = 0; i < rows; i++) {
        const float shrink = s->shrink[i];
        float *out = s->out + (r + i) * s->width;
        s->sum[r + i] = s->sum[r + i] * shrink + sums[i];
        if (shrink != 1) { scaled_row(out, shrink, NULL, out, s->width); }
    }
    for (size_t c = 0; c < s->width; c += TILE_COLS) {
        const tile t = {
            .a = s->score, .lda = KEYS, .panel = s->v + c, .ldb = s->width, .k = count,
            .c = s->out + r * s->width + c, .ldc = s->width, .cols = TILE_COLS, .adds = 1,
        };
        run_tile(&t, rows);
    }
}

/// Leaves the state (top, sum, out) of queries [t0, t1) over keys [key0, key1) in the scratch.
INLINE void attend(
    const apus_attention *a, apus_dtype dtype, size_t b, size_t kv_head, size_t t0, size_t t1, size_t key0,
    size_t key1, const attention_scratch *s
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads, rows = (t1 - t0) * group;
    for (size_t r = 0; r < rows; r++) {
        const size_t t = t0 + r / group, h = kv_head * group + r % group;
        scaled_row(query_row(a, b, h, t), a->scale, NULL, s->q + r * dim, dim);
        s->top[r] = -INFINITY;
        s->sum[r] = 0;
    }
    memset(s->out, 0, rows * s->width * sizeof(float));
    const visible_keys seen = keys_seen_within(a, b, t0, t1 - 1, key0, key1);
    for (size_t key = seen.first / KEYS * KEYS; key < seen.last; key += KEYS) {
        load_keys(a, dtype, b, kv_head, key, seen.first, seen.last, s);
        for (size_t r = 0; r < rows; r += TILE_ROWS) {
            fold_tile(a, b, kv_head, t0, key0, key1, key, r, smaller(TILE_ROWS, rows - r), s);
        }
    }
}

static TARGET void attend_as(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, size_t key0, size_t key1,
    const attention_scratch *s
) {
    switch (a->kv_dtype) {
    case APUS_F32: attend(a, APUS_F32, b, kv_head, t0, t1, key0, key1, s); break;
    case APUS_F16: attend(a, APUS_F16, b, kv_head, t0, t1, key0, key1, s); break;
    case APUS_BF16: attend(a, APUS_BF16, b, kv_head, t0, t1, key0, key1, s); break;
    }
}

static TARGET void attention(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, void *scratch
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const size_t queries = larger(1, BLOCK_ROWS / group);
    const attention_scratch s = attention_layout(scratch, group, dim);
    for (size_t t = t0; t < t1; t += queries) {
        const size_t end = smaller(t + queries, t1);
        attend_as(a, b, kv_head, t, end, 0, SIZE_MAX, &s);
        for (size_t r = 0; r < (end - t) * group; r++) {
            float *out = output_row(a, b, kv_head * group + r % group, t + r / group);
            scaled_row(s.out + r * s.width, s.sum[r] == 0 ? 0 : 1 / s.sum[r], NULL, out, dim);
        }
    }
}

static TARGET void attention_decode_partial(
    const apus_attention *a, size_t b, size_t kv_head, size_t key0, size_t key1, float *partial, void *scratch
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const attention_scratch s = attention_layout(scratch, group, dim);
    attend_as(a, b, kv_head, 0, 1, key0, key1, &s);
    for (size_t g = 0; g < group; g++, partial += dim + 2) {
        partial[0] = s.top[g];
        partial[1] = s.sum[g];
        memcpy(partial + 2, s.out + g * s.width, dim * sizeof(float));
    }
}
