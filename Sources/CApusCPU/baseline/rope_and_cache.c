// For each token: split QKV; Q, K = rms_norm per head (optional); Q, K = rope(Q, K); cache K, V; store Q
//
//   rope: for i < R/2:  y[i]       = x[i] cos[i] - x[i + R/2] sin[i]
//                       y[i + R/2] = x[i + R/2] cos[i] + x[i] sin[i]        y[i] = x[i] for i >= R
//
//   qkv   f32[tokens, (Hq + 2 Hkv) D]   rope  f32[1 or B, positions, R]  R/2 cosines, then R/2 sines
//   q     f32[tokens, Hq D] output      k_cache, v_cache  dtype[B, Hkv, slots, D] output, strided
//
// R even and <= D. All arithmetic is FP32; K is rounded once, when it is stored.
// Called by AttentionPlugin before attention, with the positions and slots of the phase.

#include "baseline.h"
#include <math.h>

/// What a head is multiplied by before its norm weight: 1 without a norm.
static float norm_factor(const float *x, const float *w, float eps, size_t dim) {
    if (!w) { return 1; }
    float squares[BASELINE_LANES] = {0}, total = 0;
    for (size_t i = 0; i < dim; i++) { squares[i % BASELINE_LANES] += x[i] * x[i]; }
    for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += squares[lane]; }
    return 1 / sqrtf(total / (float)dim + eps);
}

/// Element i of head x after norm and rotation by the table row `cs`.
static float rotated(const float *x, const float *w, float factor, const float *cs, size_t half, size_t i) {
    const float value = x[i] * factor * (w ? w[i] : 1);
    if (i >= 2 * half) { return value; }
    const size_t pair = i < half ? i + half : i - half, angle = i < half ? i : i - half;
    const float other = x[pair] * factor * (w ? w[pair] : 1), sine = cs[half + angle];
    return value * cs[angle] + other * (i < half ? -sine : sine);
}

void apus_baseline_rope_and_cache(const apus_rope *a, size_t t0, size_t t1) {
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
            const float factor = norm_factor(head, a->q_norm, a->norm_eps, dim);
            for (size_t i = 0; i < dim; i++) { q[i] = rotated(head, a->q_norm, factor, cs, half, i); }
        }
        if (a->slots[t] < 0) { continue; }
        for (size_t h = 0; h < a->kv_heads; h++, head += dim) {
            const size_t at = batch * a->kv_batch_stride + h * a->kv_head_stride
                + (size_t)a->slots[t] * a->kv_row_stride;
            const float *v = head + a->kv_heads * dim;
            const float factor = norm_factor(head, a->k_norm, a->norm_eps, dim);
            for (size_t i = 0; i < dim; i++) {
                store_f32(a->k_cache, a->kv_dtype, at + i, rotated(head, a->k_norm, factor, cs, half, i));
                store_f32(a->v_cache, a->kv_dtype, at + i, v[i]);
            }
        }
    }
}
