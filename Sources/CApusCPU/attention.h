#pragma once
// What a query may see: shared by the portable and the vector kernels.

#include "half.h"

/// Keys [first, last) that the rules of `apus_attention` show to query `t` of sequence `b`.
typedef struct {
    size_t first, last;
} visible_keys;

static inline visible_keys keys_seen(const apus_attention *a, size_t b, size_t t) {
    const ptrdiff_t position = (a->start ? a->start[b] : 0) + (ptrdiff_t)t;
    const size_t end = position < 0 ? 0 : (size_t)position + 1, length = (size_t)a->length[b];
    visible_keys seen = {0, a->causal ? smaller(end, length) : length};
    if (a->window > 0 && end > a->window) { seen.first = end - a->window; }
    if (seen.first > seen.last) { seen.first = seen.last; }
    return seen;
}

/// Where row 0 of a head of K lies, counted in elements.
static inline size_t key_offset(const apus_attention *a, size_t b, size_t kv_head) {
    return b * a->k_batch_stride + kv_head * a->k_head_stride;
}

/// Where row 0 of a head of V lies, counted in elements.
static inline size_t value_offset(const apus_attention *a, size_t b, size_t kv_head) {
    return b * a->v_batch_stride + kv_head * a->v_head_stride;
}

/// The row of query t of Q head h in Q.
static inline const float *query_row(const apus_attention *a, size_t b, size_t h, size_t t) {
    return a->q + b * a->q_batch_stride + t * a->q_token_stride + h * a->q_head_stride;
}

/// The row of query t of Q head h in the output.
static inline float *output_row(const apus_attention *a, size_t b, size_t h, size_t t) {
    return a->out + b * a->out_batch_stride + t * a->out_token_stride + h * a->out_head_stride;
}

/// The mask row of query t of Q head h, or NULL.
static inline const float *mask_row(const apus_attention *a, size_t b, size_t h, size_t t) {
    if (!a->mask) { return NULL; }
    return a->mask + b * a->mask_batch_stride + h * a->mask_head_stride + t * a->mask_row_stride;
}
