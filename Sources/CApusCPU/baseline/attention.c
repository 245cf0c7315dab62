// out[t, h] = sum over j of softmax_j(score[j]) v[j],   score[j] = softcap(scale * q[t, h] . k[j]) + mask[t,
// j]
//
//   q, out  f32[B, S, Hq, D]                 k, v  dtype[B, Hkv, T, D]  straight from the cache, strided
//   mask    f32[B, Hq, S, T] or NULL         softcap(s) = c tanh(s / c), or s when c = 0
//
// Visible keys: see `apus_attention`. One pass with a running maximum (online softmax, Milakov & Gimelshein
// 2018), so no row of scores is stored and keys are read once. FP32 throughout.
// A partial is (max, sum, D values) per Q head, not divided by the sum; `combine` joins them in key order.
// Called by AttentionPlugin and the attention layer.

#include "../attention.h"
#include "baseline.h"
#include <math.h>

size_t apus_baseline_attention_scratch_bytes(size_t q_heads, size_t kv_heads, size_t head_dim) {
    (void)q_heads, (void)kv_heads;
    return rounded_up((head_dim + 2) * sizeof(float), 64);
}

size_t apus_baseline_attention_partial_floats(size_t q_heads, size_t kv_heads, size_t head_dim) {
    return q_heads / kv_heads * (head_dim + 2);
}

/// What the codes of row j of a head are multiplied by; 1 unless the cache holds codes.
static float scale_of_row(const apus_attention *a, const void *cache, size_t head, size_t j) {
    float scale = 1;
    if (a->kv_dtype == APUS_I8) {
        memcpy(&scale, (const char *)cache + head + a->kv_scale_offset + j * sizeof scale, sizeof scale);
    }
    return scale;
}

/// Folds keys [first, last) into one head's state: state[0] = max, state[1] = sum, state[2...] = D values.
static void fold_keys(
    const apus_attention *a, size_t b, size_t h, size_t t, size_t first, size_t last, float *state
) {
    const size_t dim = a->head_dim;
    const float *q = query_row(a, b, h, t), *mask = mask_row(a, b, h, t);
    const size_t kv_head = h / (a->q_heads / a->kv_heads);
    const size_t keys = key_offset(a, b, kv_head), values = value_offset(a, b, kv_head);
    state[0] = -INFINITY;
    memset(state + 1, 0, (dim + 1) * sizeof(float));
    for (size_t j = first; j < last; j++) {
        if (!(keys_shown(a, b, t, j) & 1)) { continue; }
        const size_t row = keys + j * a->k_row_stride, value = values + j * a->v_row_stride;
        float sums[BASELINE_LANES] = {0}, score = 0;
        for (size_t i = 0; i < dim; i++) {
            sums[i % BASELINE_LANES] += q[i] * load_as_f32(a->k, a->kv_dtype, row + i);
        }
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { score += sums[lane]; }
        score *= a->scale * scale_of_row(a, a->k, keys, j);
        if (a->softcap > 0) { score = a->softcap * tanhf(score / a->softcap); }
        if (mask) { score += mask[j * a->mask_key_stride]; }
        if (score == -INFINITY) { continue; }
        if (score > state[0]) {
            const float shrink = expf(state[0] - score);
            for (size_t i = 1; i < dim + 2; i++) { state[i] *= shrink; }
            state[0] = score;
        }
        const float weight = expf(score - state[0]);
        state[1] += weight;
        const float factor = weight * scale_of_row(a, a->v, values, j);
        for (size_t i = 0; i < dim; i++) { state[2 + i] += factor * load_as_f32(a->v, a->kv_dtype, value + i); }
    }
}

void apus_baseline_attention(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, void *scratch
) {
    const size_t group = a->q_heads / a->kv_heads, dim = a->head_dim;
    float *state = scratch;
    for (size_t t = t0; t < t1; t++) {
        const visible_keys seen = keys_seen(a, b, t);
        for (size_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
            float *out = output_row(a, b, h, t);
            fold_keys(a, b, h, t, seen.first, seen.last, state);
            for (size_t i = 0; i < dim; i++) { out[i] = state[1] == 0 ? 0 : state[2 + i] / state[1]; }
        }
    }
}

void apus_baseline_attention_decode_partial(
    const apus_attention *a, size_t b, size_t kv_head, size_t key0, size_t key1, float *partial, void *scratch
) {
    (void)scratch;
    const size_t group = a->q_heads / a->kv_heads;
    const visible_keys seen = keys_seen(a, b, 0);
    for (size_t g = 0; g < group; g++) {
        fold_keys(
            a, b, kv_head * group + g, 0, larger(key0, seen.first), smaller(key1, seen.last),
            partial + g * (a->head_dim + 2));
    }
}

void apus_baseline_attention_decode_combine(
    const apus_attention *a, size_t b, size_t kv_head, const float *partials, size_t count
) {
    const size_t group = a->q_heads / a->kv_heads, dim = a->head_dim, stride = group * (dim + 2);
    for (size_t g = 0; g < group; g++) {
        float *out = output_row(a, b, kv_head * group + g, 0);
        const float *head = partials + g * (dim + 2);
        float top = -INFINITY, sum = 0;
        for (size_t s = 0; s < count; s++) { top = fmaxf(top, head[s * stride]); }
        memset(out, 0, dim * sizeof(float));
        for (size_t s = 0; s < count; s++) {
            const float *part = head + s * stride;
            if (part[1] == 0) { continue; }  // no visible key in this range
            const float weight = expf(part[0] - top);
            sum += weight * part[1];
            for (size_t i = 0; i < dim; i++) { out[i] += weight * part[2 + i]; }
        }
        for (size_t i = 0; i < dim && sum > 0; i++) { out[i] /= sum; }
    }
}
