#pragma once
// One query a sequence: K and V stream through once in their stored type, for all Q heads of a group.
//
//   for each tile of keys (attention_scores.h)
//       for DOT_KEYS keys: K as FP32 in the first-level cache, then for each head DOT_KEYS sums in registers,
//           added up across lanes together
//       softmax of each head's scores, online
//       for VALUE_HEADS heads and VALUE_VECS columns: out = out * shrink + weights V, out in registers
//
// Sums run in key order, whatever heads share the registers.

enum {
    DOT_KEYS = VW < 8 ? 16 : VW,   ///< sums in registers, enough chains to hide the latency of the FMA units
    VALUE_VECS = VW == 8 ? 2 : 4,  ///< columns of V, in vectors, that are weighted at a time
    VALUE_HEADS = 7                ///< heads that share a load of V; with VALUE_VECS they fill the registers
};
#define EACH_VALUE_HEADS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7)

/// Asks for a row of a head, `dim` elements.
INLINE void prefetch_row(const void *p, apus_dtype dtype, size_t at, size_t dim) {
    const char *row = element(p, dtype, at);
    for (size_t line = 0; line < dim * dtype_bytes(dtype); line += 64) { __builtin_prefetch(row + line); }
}

/// Lays `rows` rows of K, from element `k` on, as FP32 [width / VW, DOT_KEYS, VW]; further rows and columns become
/// zeros and are not touched. Memory is slower than the products: meanwhile come the rows of V, from element `v`
/// on, that are weighted next, and K of the next tile.
INLINE void stage_keys(const apus_attention *a, apus_dtype dtype, size_t k, size_t v, size_t rows, float *to) {
    const size_t dim = a->head_dim, whole = dim / VW * VW;
    for (size_t r = 0; r < rows; r++, k += a->k_row_stride, v += a->v_row_stride, to += VW) {
        prefetch_row(a->v, dtype, v, dim);
        prefetch_row(a->k, dtype, k + KEYS * a->k_row_stride, dim);
        for (size_t i = 0; i < whole; i += VW) { v_store(to + i * DOT_KEYS, v_load_as(a->k, dtype, k + i)); }
        if (whole < dim) {
            v_store(to + whole * DOT_KEYS, v_load_as_part(a->k, dtype, k + whole, dim - whole));
        }
    }
    for (size_t r = rows; r < DOT_KEYS; r++, to += VW) {
        for (size_t i = 0; i < dim; i += VW) { v_store(to + i * DOT_KEYS, v_zero()); }
    }
}

/// Scores of DOT_KEYS staged keys for one head.
INLINE void dot_keys(const float *staged, const float *q, size_t dim, float *score) {
    vf sums[DOT_KEYS];
#pragma unroll
    for (size_t r = 0; r < DOT_KEYS; r++) { sums[r] = v_zero(); }
    for (size_t i = 0; i < dim; i += VW, staged += DOT_KEYS * VW) {
        const vf part = v_load(q + i);
#pragma unroll
        for (size_t r = 0; r < DOT_KEYS; r++) { sums[r] = v_fma(v_load(staged + r * VW), part, sums[r]); }
    }
#pragma unroll
    for (size_t r = 0; r < DOT_KEYS; r += VW) { v_store(score + r, v_sums(sums + r)); }
}

/// out[g] = out[g] * shrink[g] + sum over j of weight[g, j] * v[j], for `heads` heads and VALUE_VECS vectors of
/// columns, of which `cols` are there, all if `whole`.
INLINE void add_values(
    const void *v, apus_dtype dtype, size_t at, size_t stride, size_t first, size_t last, const float *weight,
    const float *shrink, const int heads, float *out, size_t ldo, size_t cols, const int whole
) {
    vf sums[VALUE_HEADS][VALUE_VECS];
#pragma unroll
    for (int g = 0; g < heads; g++) {
#pragma unroll
        for (int c = 0; c < VALUE_VECS; c++) {
            sums[g][c] = v_mul(v_load(out + (size_t)g * ldo + c * VW), v_set(shrink[g]));
        }
    }
    at += first * stride;
    for (size_t j = first; j < last; j++, at += stride) {
#pragma unroll
        for (int c = 0; c < VALUE_VECS; c++) {
            const size_t i = (size_t)c * VW;
            const vf value = whole ? v_load_as(v, dtype, at + i)
                : i < cols         ? v_load_as_part(v, dtype, at + i, cols - i)
                                   : v_zero();
#pragma unroll
            for (int g = 0; g < heads; g++) {
                sums[g][c] = v_fma(value, v_set(weight[(size_t)g * KEYS + j]), sums[g][c]);
            }
        }
    }
#pragma unroll
    for (int g = 0; g < heads; g++) {
#pragma unroll
        for (int c = 0; c < VALUE_VECS; c++) { v_store(out + (size_t)g * ldo + c * VW, sums[g][c]); }
    }
}

#define VALUE_CASE(G)                                                                                        \
    case G:                                                                                                  \
        if (cols >= VALUE_VECS * VW) {                                                                       \
            add_values(a->v, dtype, at, a->v_row_stride, first, last, weight, shrink, G, out, ldo, cols, 1); \
        } else {                                                                                             \
            add_values(a->v, dtype, at, a->v_row_stride, first, last, weight, shrink, G, out, ldo, cols, 0); \
        }                                                                                                    \
        break;

/// Weighs rows [first, last) of the tile of V at element `at` for all heads of the group.
INLINE void weigh_values(
    const apus_attention *a, apus_dtype dtype, size_t at0, size_t first, size_t last, size_t group,
    const attention_scratch *s
) {
    const size_t slices = (group + VALUE_HEADS - 1) / VALUE_HEADS, ldo = s->pitch;
    for (size_t slice = 0; slice < slices; slice++) {
        const size_t g0 = slice * group / slices, heads = (slice + 1) * group / slices - g0;
        const float *weight = s->score + g0 * KEYS, *shrink = s->shrink + g0;
        for (size_t c = 0; c < a->head_dim; c += VALUE_VECS * VW) {
            float *out = s->out + g0 * ldo + c;
            const size_t at = at0 + c, cols = a->head_dim - c;
            switch (heads) { EACH_VALUE_HEADS(VALUE_CASE) }
        }
    }
}

/// Leaves the state (top, sum, out) of query 0 over keys [key0, key1) in the scratch.
INLINE void decode(
    const apus_attention *a, apus_dtype dtype, size_t b, size_t kv_head, size_t key0, size_t key1,
    const attention_scratch *s
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const size_t keys = key_offset(a, b, kv_head), values = value_offset(a, b, kv_head);
    memset(s->q, 0, group * s->pitch * sizeof(float));
    memset(s->out, 0, group * s->pitch * sizeof(float));
    for (size_t g = 0; g < group; g++) {
        scaled_row(query_row(a, b, kv_head * group + g, 0), a->scale, NULL, s->q + g * s->pitch, dim);
        s->top[g] = -INFINITY;
        s->sum[g] = 0;
    }
    visible_keys seen = keys_seen(a, b, 0);
    seen.first = larger(seen.first, key0);
    seen.last = larger(smaller(seen.last, key1), seen.first);
    for (size_t key = seen.first / KEYS * KEYS; key < seen.last; key += KEYS) {
        const size_t first = seen.first > key ? seen.first - key : 0, last = smaller(seen.last - key, KEYS);
        for (size_t c = first / DOT_KEYS * DOT_KEYS; c < last; c += DOT_KEYS) {
            const size_t k = keys + (key + c) * a->k_row_stride, v = values + (key + c) * a->v_row_stride;
            stage_keys(a, dtype, k, v, smaller(DOT_KEYS, last - c), s->k);
            for (size_t g = 0; g < group; g++) {
                dot_keys(s->k, s->q + g * s->pitch, dim, s->score + g * KEYS + c);
            }
        }
        const key_tile part = {a, b, kv_head, key, seen, scales_of_tile(a, b, kv_head, key)};
        for (size_t g = 0; g < group; g += VW) {
            softmax_rows(&part, 0, g, smaller(VW, group - g), s->score + g * KEYS, s->shrink + g, s);
        }
        weigh_values(a, dtype, values + key * a->v_row_stride, first, last, group, s);
    }
}

static TARGET size_t attention_partial_floats(size_t q_heads, size_t kv_heads, size_t head_dim) {
    return q_heads / kv_heads * (head_dim + 2);
}

static TARGET void attention_decode_partial(
    const apus_attention *a, size_t b, size_t kv_head, size_t key0, size_t key1, float *partial, void *scratch
) {
    const size_t dim = a->head_dim, group = a->q_heads / a->kv_heads;
    const attention_scratch s = attention_layout(scratch, group, dim);
    switch (a->kv_dtype) {
    case APUS_F32: decode(a, APUS_F32, b, kv_head, key0, key1, &s); break;
    case APUS_F16: decode(a, APUS_F16, b, kv_head, key0, key1, &s); break;
    case APUS_BF16: decode(a, APUS_BF16, b, kv_head, key0, key1, &s); break;
    case APUS_I8: decode(a, APUS_I8, b, kv_head, key0, key1, &s); break;
    }
    for (size_t g = 0; g < group; g++, partial += dim + 2) {
        partial[0] = s.top[g];
        partial[1] = s.sum[g];
        memcpy(partial + 2, s.out + g * s.pitch, dim * sizeof(float));
    }
}
#undef VALUE_CASE
