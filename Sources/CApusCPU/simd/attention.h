#pragma once
// Vector form of baseline/attention.c: tiles of KEYS keys, shared by all queries of a block and by the Q
// heads of a group (FlashAttention, Dao 2023, on register tiles).
//
//   for each tile of keys: K^T and V become FP32 panels once
//       for each FOLD_ROWS rows (query, head):
//           S = Q K^T;  P, max, sum = online softmax of S;  O = O * shrink + P V
//
// Key tiles start at multiples of KEYS, hidden keys weigh exactly 0, and sums run in key order: the bits of a
// row depend neither on its block nor on the range of queries.

/// Multiplies the columns of a panel f32[k, TILE_COLS] by scales from the i-th on, of which `count` are there.
INLINE void scale_columns(float *panel, size_t k, const char *scales, size_t i, size_t count) {
    for (size_t v = 0; v < TILE_COLS; v += VW) {
        const vf scale = scales_from(scales, i + v, count > v ? count - v : 0);
        for (size_t r = 0; r < k; r++) {
            float *at = panel + r * TILE_COLS + v;
            v_store(at, v_mul(v_load(at), scale));
        }
    }
}

/// Brings keys [first, last) of the tile at `key` into the panels; the other keys of the tile become zeros.
INLINE void load_keys(
    const apus_attention *a, apus_dtype dtype, size_t b, size_t kv_head, size_t key, size_t first,
    size_t last, const attention_scratch *s
) {
    const size_t dim = a->head_dim, stride = a->k_row_stride, whole = dim / VW * VW;
    const size_t keys = key_offset(a, b, kv_head), values = value_offset(a, b, kv_head);
    const tile_scales scales = scales_of_tile(a, b, kv_head, key);
    for (size_t c = 0; c < KEYS; c += TILE_COLS) {
        // Rows before `first` give scores that every query hides; rows from `last` on are not touched.
        const size_t at = key + c, rows = at < last ? smaller(TILE_COLS, last - at) : 0;
        pack_panel(element(a->k, dtype, keys + at * stride), dtype, stride, rows, dim, s->k + c * dim);
        if (scales.k) { scale_columns(s->k + c * dim, dim, scales.k, c, rows); }
    }
    for (size_t j = 0; j < KEYS && key + j < last; j++) {
        const int is_there = key + j >= first && !is_tree_padding(a, b, key + j);
        const size_t row = values + (key + j) * a->v_row_stride;
        float scale = 1;
        if (scales.v && is_there) { memcpy(&scale, scales.v + j * sizeof scale, sizeof scale); }
        for (size_t i = 0; i < s->width; i += VW) {
            vf value = v_zero();
            if (is_there && i < whole) {
                value = v_load_as(a->v, dtype, row + i);
            } else if (is_there && i < dim) {
                value = v_load_as_part(a->v, dtype, row + i, dim - i);
            }
            if (scales.v) { value = v_mul(value, v_set(scale)); }
            v_store(s->v + i / TILE_COLS * TILE_COLS * KEYS + j * TILE_COLS + i % TILE_COLS, value);
        }
    }
}

/// Folds a tile of keys into rows [r, r + rows) of the block whose first query is t0.
INLINE void fold_tile(const key_tile *keys, size_t t0, size_t r, size_t rows, const attention_scratch *s) {
    const apus_attention *a = keys->a;
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const visible_keys seen = keys_seen_by(a, keys->b, t0 + r / group, t0 + (r + rows - 1) / group);
    if (seen.last <= keys->key || seen.first >= keys->key + KEYS) { return; }
    const size_t count = smaller(seen.last - keys->key, KEYS);
    for (size_t c = 0; c < KEYS; c += TILE_COLS) {
        for (size_t i = 0; i < rows; i += TILE_ROWS) {
            const tile t = {
                .a = s->q + (r + i) * dim, .lda = dim, .panel = s->k + c * dim, .ldb = TILE_COLS, .k = dim,
                .c = s->score + i * KEYS + c, .ldc = KEYS, .cols = TILE_COLS,
            };
            run_tile(&t, smaller(TILE_ROWS, rows - i));
        }
    }
    for (size_t i = 0; i < rows; i += VW) {
        softmax_rows(keys, t0, r + i, smaller(VW, rows - i), s->score + i * KEYS, s->shrink + i, s);
    }
    for (size_t c = 0; c < s->width; c += TILE_COLS) {
        for (size_t i = 0; i < rows; i += TILE_ROWS) {
            const tile t = {
                .a = s->score + i * KEYS, .lda = KEYS, .panel = s->v + c * KEYS, .ldb = TILE_COLS, .k = count,
                .c = s->out + (r + i) * s->width + c, .ldc = s->width, .cols = TILE_COLS, .adds = 1,
                .by = s->shrink + i,
            };
            run_tile(&t, smaller(TILE_ROWS, rows - i));
        }
    }
}

/// Leaves the state (top, sum, out) of queries [t0, t1) in the scratch.
INLINE void attend(
    const apus_attention *a, apus_dtype dtype, size_t b, size_t kv_head, size_t t0, size_t t1,
    const attention_scratch *s
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads, rows = (t1 - t0) * group;
    for (size_t r = 0; r < rows; r++) {
        const size_t t = t0 + r / group, h = kv_head * group + r % group;
        scaled_row(query_row(a, b, h, t), a->scale, NULL, s->q + r * dim, dim);
        s->top[r] = -INFINITY;
        s->sum[r] = 0;
    }
    memset(s->out, 0, rows * s->width * sizeof(float));
    const visible_keys seen = keys_seen_by(a, b, t0, t1 - 1);
    for (size_t key = seen.first / KEYS * KEYS; key < seen.last; key += KEYS) {
        load_keys(a, dtype, b, kv_head, key, seen.first, seen.last, s);
        const key_tile keys = {.a = a, .b = b, .kv_head = kv_head, .key = key, .range = seen};
        for (size_t r = 0; r < rows; r += FOLD_ROWS) {
            fold_tile(&keys, t0, r, smaller(FOLD_ROWS, rows - r), s);
        }
    }
}

static TARGET void attend_as(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, const attention_scratch *s
) {
    switch (a->kv_dtype) {
    case APUS_F32: attend(a, APUS_F32, b, kv_head, t0, t1, s); break;
    case APUS_F16: attend(a, APUS_F16, b, kv_head, t0, t1, s); break;
    case APUS_BF16: attend(a, APUS_BF16, b, kv_head, t0, t1, s); break;
    case APUS_I8: attend(a, APUS_I8, b, kv_head, t0, t1, s); break;
    }
}

static TARGET void attention(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, void *scratch
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const size_t queries = block_queries(group, dim);
    const attention_scratch s = attention_layout(scratch, group, dim);
    for (size_t t = t0; t < t1; t += queries) {
        const size_t end = smaller(t + queries, t1);
        attend_as(a, b, kv_head, t, end, &s);
        for (size_t r = 0; r < (end - t) * group; r++) {
            float *out = output_row(a, b, kv_head * group + r % group, t + r / group);
            scaled_row(s.out + r * s.width, s.sum[r] == 0 ? 0 : 1 / s.sum[r], NULL, out, dim);
        }
    }
}
