// For each token: split QKV; Q, K = rms_norm per head (optional); Q, K = rope(Q, K); cache K, V; store Q
//
//   rope: for i < R/2:  y[i]       = x[i] cos[i] - x[i + R/2] sin[i]
//                       y[i + R/2] = x[i + R/2] cos[i] + x[i] sin[i]        y[i] = x[i] for i >= R
//
//   qkv   f32[tokens, (Hq + 2 Hkv) D]   rope  f32[1 or B, positions, R]  R/2 cosines, then R/2 sines
//   q     f32[tokens, Hq D] output      k_cache, v_cache  dtype[B, Hkv, slots, D] output, strided
//
// R even and <= D. All arithmetic is FP32; K is rounded once, when it is stored. A row of an APUS_I8 cache becomes
// codes and one scale, max |x| / 127: code = x (1 / scale) to the nearest integer, even in the middle. A row of
// zeros has scale 0, one with a NaN has a NaN.
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

/// A head of a token, as it was projected and what becomes of it.
typedef struct {
    const float *x;   ///< f32[D]
    const float *w;   ///< f32[D] norm weight, or NULL
    const float *cs;  ///< f32[2 half] row of the table
    float factor;     ///< what x is multiplied by before its norm weight
    size_t half;      ///< R/2; 0 leaves all dims as they are
} head_row;

/// Element i of a head after norm and rotation.
static float rotated(head_row r, size_t i) {
    const size_t half = r.half;
    const float value = r.x[i] * r.factor * (r.w ? r.w[i] : 1);
    if (i >= 2 * half) { return value; }
    const size_t pair = i < half ? i + half : i - half, angle = i < half ? i : i - half;
    const float other = r.x[pair] * r.factor * (r.w ? r.w[pair] : 1), sine = r.cs[half + angle];
    return value * r.cs[angle] + other * (i < half ? -sine : sine);
}

/// Stores a head as row `slot` of the head of a cache that begins at element `at`.
static void store_head(const apus_rope *a, void *cache, size_t at, size_t slot, head_row r) {
    float inverse = 1;
    if (a->kv_dtype == APUS_I8) {
        float most = 0;
        for (size_t i = 0; i < a->head_dim; i++) {
            const float size = fabsf(rotated(r, i));
            if (size > most || isnan(size)) { most = size; }
            if (isnan(most)) { break; }
        }
        const float scale = most / 127;
        inverse = scale == 0 ? 0 : 1 / scale;
        memcpy((char *)cache + at + a->kv_scale_offset + slot * sizeof scale, &scale, sizeof scale);
    }
    at += slot * a->kv_row_stride;
    for (size_t i = 0; i < a->head_dim; i++) { store_f32(cache, a->kv_dtype, at + i, rotated(r, i) * inverse); }
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
            const head_row row = {head, a->q_norm, cs, factor, half};
            for (size_t i = 0; i < dim; i++) { q[i] = rotated(row, i); }
        }
        if (a->slots[t] < 0) { continue; }
        for (size_t h = 0; h < a->kv_heads; h++, head += dim) {
            const size_t at = batch * a->kv_batch_stride + h * a->kv_head_stride, slot = (size_t)a->slots[t];
            const float factor = norm_factor(head, a->k_norm, a->norm_eps, dim);
            const head_row key = {head, a->k_norm, cs, factor, half}, value = {head + a->kv_heads * dim, .factor = 1};
            store_head(a, a->k_cache, at, slot, key);
            store_head(a, a->v_cache, at, slot, value);
        }
    }
}
