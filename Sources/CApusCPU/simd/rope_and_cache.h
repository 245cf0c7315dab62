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

INLINE void rotate_head(
    const float *x, const float *w, float eps, const float *cs, size_t dim, size_t half, void *to,
    apus_dtype dtype, size_t at
) {
    const vf factor = v_set(w ? 1 / sqrtf(sum_of_squares(x, NULL, NULL, dim) / (float)dim + eps) : 1);
    for (size_t i = 0; i < half; i += VW) {
        const size_t left = half - i;
        const vf low = normed(x, w, factor, i, left), high = normed(x, w, factor, half + i, left);
        const vf cosine = v_load_part(cs + i, left), sine = v_load_part(cs + half + i, left);
        const vf minus = v_sub(v_zero(), v_mul(high, sine));
        v_store_as_part(to, dtype, at + i, v_fma(low, cosine, minus), left);
        v_store_as_part(to, dtype, at + half + i, v_fma(high, cosine, v_mul(low, sine)), left);
    }
    for (size_t i = 2 * half; i < dim; i += VW) {
        v_store_as_part(to, dtype, at + i, normed(x, w, factor, i, dim - i), dim - i);
    }
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
            rotate_head(head, a->q_norm, a->norm_eps, cs, dim, half, q, APUS_F32, 0);
        }
        if (a->slots[t] < 0) { continue; }
        for (size_t h = 0; h < a->kv_heads; h++, head += dim) {
            const size_t at = batch * a->kv_batch_stride + h * a->kv_head_stride
                + (size_t)a->slots[t] * a->kv_row_stride;
            const float *v = head + a->kv_heads * dim;
            rotate_head(head, a->k_norm, a->norm_eps, cs, dim, half, a->k_cache, dtype, at);
            for (size_t i = 0; i < dim; i += VW) {
                v_store_as_part(a->v_cache, dtype, at + i, v_load_part(v + i, dim - i), dim - i);
            }
        }
    }
}

static TARGET void rope_and_cache(const apus_rope *a, size_t t0, size_t t1) {
    switch (a->kv_dtype) {
    case APUS_F32: rope_tokens(a, APUS_F32, t0, t1); break;
    case APUS_F16: rope_tokens(a, APUS_F16, t0, t1); break;
    case APUS_BF16: rope_tokens(a, APUS_BF16, t0, t1); break;
    }
}
