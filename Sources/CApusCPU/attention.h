#pragma once
// What a query may see: shared by the portable and the vector kernels.

#include "half.h"

/// Keys [first, last) that the rules of `apus_attention` show to query `t` of sequence `b`.
typedef struct {
    size_t first, last;
} visible_keys;

static inline visible_keys keys_seen(const apus_attention *a, size_t b, size_t t) {
    const ptrdiff_t start = a->start ? a->start[b] : 0;
    const size_t length = (size_t)a->length[b];
    if (a->tree) {  // of the new keys, the bits tell more
        const int32_t at = a->tree_positions[b * a->tree_tokens + t];
        visible_keys seen = {0, at < 0 ? 0 : length};
        if (a->window > 0 && at >= 0 && (size_t)at + 1 > a->window) {
            seen.first = smaller((size_t)at + 1 - a->window, (size_t)start);
        }
        return seen;
    }
    const ptrdiff_t position = start + (ptrdiff_t)t;
    const size_t end = position < 0 ? 0 : (size_t)position + 1;
    visible_keys seen = {0, a->causal ? smaller(end, length) : length};
    if (a->window > 0 && end > a->window) { seen.first = end - a->window; }
    if (seen.first > seen.last) { seen.first = seen.last; }
    return seen;
}

/// Keys [first, last) that queries t0...t1 see between them.
static inline visible_keys keys_seen_by(const apus_attention *a, size_t b, size_t t0, size_t t1) {
    visible_keys seen = keys_seen(a, b, t0);
    if (!a->tree) {  // later queries see later keys
        seen.last = keys_seen(a, b, t1).last;
        return seen;
    }
    for (size_t t = t0 + 1; t <= t1; t++) {
        const visible_keys more = keys_seen(a, b, t);
        if (more.first == more.last) { continue; }
        seen.first = seen.first == seen.last ? more.first : smaller(seen.first, more.first);
        seen.last = larger(seen.last, more.last);
    }
    return seen;
}

/// Bit i is set unless the tree hides key + i from query t; all are without a tree.
static inline uint64_t keys_shown(const apus_attention *a, size_t b, size_t t, size_t key) {
    const size_t start = a->start ? (size_t)a->start[b] : 0;
    if (!a->tree || key + 64 <= start) { return ~UINT64_C(0); }
    const uint32_t *row = a->tree + (b * a->tree_tokens + t) * a->tree_words;
    // 96 bits of the row, from the word that the first new key of the tile is in.
    const size_t first = key > start ? key - start : 0, shift = first % 32;
    uint64_t words[3];
    for (size_t i = 0; i < 3; i++) { words[i] = first / 32 + i < a->tree_words ? row[first / 32 + i] : 0; }
    uint64_t shown = (words[0] | words[1] << 32) >> shift;
    if (shift > 0) { shown |= words[2] << (64 - shift); }
    if (key >= start) { return shown; }
    return shown << (start - key) | ((UINT64_C(1) << (start - key)) - 1);
}

/// Whether a key is that of a padding token of a tree, which was not written.
static inline int is_tree_padding(const apus_attention *a, size_t b, size_t key) {
    const size_t start = a->start ? (size_t)a->start[b] : 0;
    return a->tree && key >= start && a->tree_positions[b * a->tree_tokens + key - start] < 0;
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
