#pragma once
// What a query may see: shared by the portable and the vector kernels.

#include "half.h"

/// Keys [first, last) that the rules of `apus_attention` show to query `t` of sequence `b`.
typedef struct {
    size_t first, last;
} visible_keys;

static inline visible_keys keys_seen(const apus_attention *a, size_t b, size_t t) {
    const size_t position = (a->start ? (size_t)a->start[b] : 0) + t, length = (size_t)a->length[b];
    visible_keys seen = {0, a->causal ? smaller(position + 1, length) : length};
    if (a->window > 0 && position + 1 > a->window) { seen.first = position + 1 - a->window; }
    if (seen.first > seen.last) { seen.first = seen.last; }
    return seen;
}

/// Where row 0 of a head of K or V lies, counted in elements.
static inline size_t cache_offset(const apus_attention *a, size_t b, size_t kv_head) {
    return b * a->kv_batch_stride + kv_head * a->kv_head_stride;
}

/// The mask row of query t of Q head h, or NULL.
static inline const float *mask_row(const apus_attention *a, size_t b, size_t h, size_t t) {
    if (!a->mask) { return NULL; }
    return a->mask + b * a->mask_batch_stride + h * a->mask_head_stride + t * a->mask_row_stride;
}
