#pragma once
// Vector form of baseline/rope_and_cache.c: the two halves of a head are rotated together and go straight to
// their destination, Q as FP32 and K in the dtype of the cache.

#include <math.h>

/// Lanes i... of a head after its norm.
INLINE vf normed(const float *x, const float *w, vf factor, size_t i, size_t left) {
    vf value = v_load_part(x + i, left);
    if (w) { value = v_mul(v_mul(value, factor), v_load_part(w + i, left)); }
    return value;
}

/// Where a head goes: elements from `at` on, each times `by`; or, with `most`, only the greatest sizes of them,
/// lane by lane.
typedef struct {
    void *to;
    apus_dtype dtype;
    size_t at;
    vf by;
    vf *most;
} head_sink;

INLINE void put(const head_sink *sink, size_t i, vf value, size_t left) {
    if (sink->most) {
        const vf size = v_if_less(v_iota(), v_set((float)left), v_abs(value), v_zero());
        *sink->most = v_nan_or(*sink->most, v_nan_or(size, v_max(size, *sink->most)));
    } else if (sink->dtype == APUS_I8) {
        v_store_as_part(sink->to, APUS_I8, sink->at + i, v_mul(value, sink->by), left);
    } else {
        v_store_as_part(sink->to, sink->dtype, sink->at + i, value, left);
    }
}

INLINE float head_factor(const float *x, const float *w, float eps, size_t dim) {
    return w ? 1 / sqrtf(sum_of_squares(x, NULL, NULL, dim) / (float)dim + eps) : 1;
}

INLINE void rotate_head(
    const float *x, const float *w, float by, const float *cs, size_t dim, size_t half, const head_sink *sink
) {
    const vf factor = v_set(by);
    for (size_t i = 0; i < half; i += VW) {
        const size_t left = half - i;
        const vf low = normed(x, w, factor, i, left), high = normed(x, w, factor, half + i, left);
        const vf cosine = v_load_part(cs + i, left), sine = v_load_part(cs + half + i, left);
        const vf minus = v_sub(v_zero(), v_mul(high, sine));
        put(sink, i, v_fma(low, cosine, minus), left);
        put(sink, half + i, v_fma(high, cosine, v_mul(low, sine)), left);
    }
    for (size_t i = 2 * half; i < dim; i += VW) { put(sink, i, normed(x, w, factor, i, dim - i), dim - i); }
}

/// Stores a head of K or V as row `slot` of the head of a cache that begins at element `at`.
INLINE void cache_head(
    const apus_rope *a, apus_dtype dtype, void *cache, size_t at, size_t slot, const float *x, const float *w,
    const float *cs, size_t half
) {
    const size_t dim = a->head_dim;
    const float factor = head_factor(x, w, a->norm_eps, dim);
    head_sink sink = {.to = cache, .dtype = dtype, .at = at + slot * a->kv_row_stride, .by = v_zero()};
    if (dtype == APUS_I8) {
        vf most = v_zero();
        float lanes[VW], top = 0;
        const head_sink measure = {.most = &most};
        rotate_head(x, w, factor, cs, dim, half, &measure);
        v_store(lanes, most);
        for (size_t i = 0; i < VW; i++) { top = isnan(top) || top > lanes[i] ? top : lanes[i]; }
        const float scale = top / 127;
        if (scale != 0) { sink.by = v_set(1 / scale); }
        memcpy((char *)cache + at + a->kv_scale_offset + slot * sizeof scale, &scale, sizeof scale);
    }
    rotate_head(x, w, factor, cs, dim, half, &sink);
}

INLINE void rope_tokens(const apus_rope *a, apus_dtype dtype, size_t t0, size_t t1) {
    const size_t dim = a->head_dim, half = a->rotary_dim / 2;
    for (size_t t = t0; t < t1; t++) {
        const float *head = a->qkv + t * a->ldqkv;
        float *q = a->q + t * a->ldq;
        if (a->positions[t] < 0) {
            memset(q, 0, a->q_heads * dim * sizeof(float));
            continue;
        }
        const size_t batch = a->batches ? (size_t)a->batches[t] : 0;
        const float *cs = a->rope + batch * a->rope_batch_stride + (size_t)a->positions[t] * a->rotary_dim;
        for (size_t h = 0; h < a->q_heads; h++, head += dim, q += dim) {
            const head_sink sink = {.to = q, .dtype = APUS_F32};
            rotate_head(
                head, a->q_norm, head_factor(head, a->q_norm, a->norm_eps, dim), cs, dim, half, &sink);
        }
        if (a->slots[t] < 0) { continue; }
        for (size_t h = 0; h < a->kv_heads; h++, head += dim) {
            const size_t at = batch * a->kv_batch_stride + h * a->kv_head_stride, slot = (size_t)a->slots[t];
            const float *value = head + a->kv_heads * dim;
            cache_head(a, dtype, a->k_cache, at, slot, head, a->k_norm, cs, half);
            cache_head(a, dtype, a->v_cache, at, slot, value, NULL, NULL, 0);
        }
    }
}

static TARGET void rope_and_cache(const apus_rope *a, size_t t0, size_t t1) {
    switch (a->kv_dtype) {
    case APUS_F32: rope_tokens(a, APUS_F32, t0, t1); break;
    case APUS_F16: rope_tokens(a, APUS_F16, t0, t1); break;
    case APUS_BF16: rope_tokens(a, APUS_BF16, t0, t1); break;
    case APUS_I8: rope_tokens(a, APUS_I8, t0, t1); break;
    }
}
