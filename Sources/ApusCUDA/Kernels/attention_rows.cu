// attention_rows: attention of any shape, type and mask; the kernel for what the fast ones do not cover.
//
//   out[b, h, s] = softmax over visible t of cap(q[b, h, s]·k[b, h / GROUP, t]·scale) + mask[b, h, s, t], times v
//
// A block takes ROWS rows (query, head of a group) of one KV head and walks tiles of 32 keys through shared memory in
// FP32, so that a group and neighbouring queries share each load. A warp owns ROWS_PER_WARP rows: for scores a lane is
// a key, for outputs a lane is a column. Sums and the online softmax are FP32. A key that a row does not see is never
// multiplied, so that its NaN does not count; a row that sees nothing, and a row of padding, becomes 0.
// Bound by shared-memory loads: about 1.3 for each FMA.
//
// Macros
//   Q_T, CACHE_T, OUT_T   float, half_t, bfloat_t; CACHE_T signed char for INT8 with scales
//   HEAD_DIM              D, any
//   GROUP                 query heads of a KV head
//   SOFTCAP               1: cap(x) = softcap·tanh(x / softcap), else 0
//   MASK                  0 none; 1 f32, added; 2 bytes, 0 hides
//
// Launch: grid (ceil(S·GROUP / 16), HKV, B), block 128, dynamic shared memory 4·(32·(D + 1) + 16·D) bytes.
//
// Arguments
//   q Q_T, k and v CACHE_T, out OUT_T with `strides` (AttentionStrides, elements; of INT8 caches bytes: head C·(D + 4),
//   row D); scale_offset: bytes from a head's codes to its scales, C·D (INT8 only);
//   lengths, length_stride, starts, totals, rows S, keys: see span_of; `keys` is T or, with lengths, C;
//   causal: 1, a row sees the keys up to its own position; window: 0 or so many positions, its own included (causal and
//   tree); scale, softcap;
//   mask with strides of B, H, S, T in elements, 0 where it broadcasts, or null (MASK 0);
//   tree_bits i32[B, S, ceil(S / 32)], tree_positions i32[B, S] or both null: rows see all keys before first(b) and
//   of the new ones those of their bits; position -1 is padding.

#include "attention.cuh"

#if !defined(Q_T) || !defined(CACHE_T) || !defined(OUT_T) || !defined(HEAD_DIM) || !defined(GROUP)
#error "attention_rows needs Q_T, CACHE_T, OUT_T, HEAD_DIM, GROUP"
#endif
#if !defined(SOFTCAP) || !defined(MASK)
#error "attention_rows needs SOFTCAP, MASK"
#endif

constexpr int D = HEAD_DIM, KEYS = 32, WARPS = 4, ROWS_PER_WARP = 4, ROWS = WARPS * ROWS_PER_WARP;
constexpr int COLUMNS = (D + 31) / 32, PITCH = D + 1;
constexpr bool IS_QUANTIZED = sizeof(CACHE_T) == 1;

#if MASK == 2
typedef unsigned char mask_t;
#else
typedef float mask_t;
#endif

extern __shared__ float shared[];

/// One row of a block.
struct Row {
    int s, head;
    int position;  ///< -1: padding
};

__device__ __forceinline__ float widen(const CACHE_T *head, long long at, const float *scales, int key) {
    if constexpr (IS_QUANTIZED) return (float)*((const signed char *)head + at) * scales[key];
    else return to_float(head[at]);
}

/// Brings keys [key, key + 32) of K or V into shared memory; those from `end` on become 0.
__device__ __forceinline__ void load_tile(
    float *tile, const CACHE_T *head, long long row_stride, long long scale_offset, int key, int end) {
    const float *scales = IS_QUANTIZED ? (const float *)((const char *)head + scale_offset) : nullptr;
    for (int i = threadIdx.x; i < KEYS * D; i += WARPS * 32) {
        const int r = i / D, d = i % D;
        tile[r * PITCH + d] = key + r < end ? widen(head, (key + r) * row_stride + d, scales, key + r) : 0;
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32) attention_rows(
    const Q_T *q, const CACHE_T *k, const CACHE_T *v, OUT_T *out, AttentionStrides strides, long long scale_offset,
    const int *lengths, int length_stride, const int *starts, int totals, int rows, int keys, int causal, int window,
    float scale, float softcap, const mask_t *mask, long long mask_batch, long long mask_head, long long mask_row,
    long long mask_key, const int *tree_bits, const int *tree_positions) {
    wait_for_previous();
    let_next_start();
    const int b = blockIdx.z, kv_head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const AttentionSpan span = span_of(b, lengths, length_stride, starts, totals, rows, keys);
    float *tile = shared, *queries = shared + KEYS * PITCH;
    const bool is_tree = tree_bits != nullptr;
    const int words = (rows + 31) / 32;

    const int block_row = blockIdx.x * ROWS;
    const int last_row = min(block_row + ROWS, rows * GROUP) - 1;
    for (int i = threadIdx.x; i < ROWS * D; i += WARPS * 32) {
        const int row = block_row + i / D, s = row / GROUP;
        const bool is_there = row <= last_row && s < span.count;
        const long long at = b * strides.q_batch + (kv_head * GROUP + row % GROUP) * strides.q_head + s * strides.q_row;
        queries[i] = is_there ? to_float(q[at + i % D]) : 0;
    }

    Row mine[ROWS_PER_WARP];
    float largest[ROWS_PER_WARP], sum[ROWS_PER_WARP], result[ROWS_PER_WARP][COLUMNS];
#pragma unroll
    for (int r = 0; r < ROWS_PER_WARP; r++) {
        const int row = block_row + warp * ROWS_PER_WARP + r;
        mine[r] = {row / GROUP, kv_head * GROUP + row % GROUP, -1};
        const bool is_there = row <= last_row && mine[r].s < span.count;
        if (is_there) {
            // A row before the first key has a negative position in plain attention, and sees nothing if causal.
            const int position = span.first + mine[r].s;
            mine[r].position = is_tree ? tree_positions[(long long)b * rows + mine[r].s] : max(position, causal ? -1 : 0);
        }
        largest[r] = minus_infinity();
        sum[r] = 0;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) result[r][j] = 0;
    }

    // The keys that some row of the block may see.
    const int last_s = min(last_row / GROUP, span.count - 1);
    int begin = 0, end = span.keys;
    if (causal && !is_tree) {
        end = min(end, span.first + last_s + 1);
        if (window > 0) begin = max(0, span.first + block_row / GROUP - window + 1);
    }
    if (block_row / GROUP >= span.count) end = 0;

    const CACHE_T *k_head = k + b * strides.k_batch + kv_head * strides.k_head;
    const CACHE_T *v_head = v + b * strides.v_batch + kv_head * strides.v_head;
    for (int first = begin / KEYS * KEYS; first < end; first += KEYS) {
        __syncthreads();
        load_tile(tile, k_head, strides.k_row, scale_offset, first, end);
        __syncthreads();
        float weight[ROWS_PER_WARP];
#pragma unroll
        for (int r = 0; r < ROWS_PER_WARP; r++) weight[r] = 0;
        const float *q_rows = queries + warp * ROWS_PER_WARP * D;
#pragma unroll 8
        for (int d = 0; d < D; d++) {
            const float x = tile[lane * PITCH + d];
#pragma unroll
            for (int r = 0; r < ROWS_PER_WARP; r++) weight[r] += x * q_rows[r * D + d];
        }
        const int key = first + lane;
        // A key of a tree stands at its own position, which the window goes by.
        const int fresh = key - span.first;
        const bool is_fresh = is_tree && fresh >= 0 && key < end;
        const int key_position = is_fresh ? tree_positions[(long long)b * rows + fresh] : key;
#pragma unroll
        for (int r = 0; r < ROWS_PER_WARP; r++) {
            const int position = mine[r].position;
            bool sees = position >= 0 && key < end && key_position >= 0;
            if (is_tree || causal) sees = sees && (window == 0 || key_position > position - window);
            if (is_fresh && sees) {
                sees = tree_bits[((long long)b * rows + mine[r].s) * words + fresh / 32] >> (fresh % 32) & 1;
            } else if (causal && !is_tree) {
                sees = sees && key <= position;
            }
            float score = weight[r] * scale;
#if SOFTCAP
            score = softcap * tanhf(score / softcap);
#endif
#if MASK
            if (sees) {
                const mask_t bias =
                    mask[b * mask_batch + mine[r].head * mask_head + mine[r].s * mask_row + key * mask_key];
#if MASK == 1
                score += bias;
                sees = bias != minus_infinity();
#else
                sees = bias != 0;
#endif
            }
#endif
            score = sees ? score : minus_infinity();
            const float next = fmaxf(largest[r], warp_max(score));
            const float shrink = next == minus_infinity() ? 1 : expf(largest[r] - next);
            weight[r] = sees ? expf(score - next) : 0;
            sum[r] = sum[r] * shrink + warp_sum(weight[r]);
            largest[r] = next;
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) result[r][j] *= shrink;
        }
        __syncthreads();
        load_tile(tile, v_head, strides.v_row, scale_offset, first, end);
        __syncthreads();
        for (int i = 0; i < KEYS; i++) {
            float value[COLUMNS];
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) value[j] = 32 * j + lane < D ? tile[i * PITCH + 32 * j + lane] : 0;
#pragma unroll
            for (int r = 0; r < ROWS_PER_WARP; r++) {
                const float p = __shfl_sync(0xffffffffu, weight[r], i);
                if (p != 0) {
#pragma unroll
                    for (int j = 0; j < COLUMNS; j++) result[r][j] += p * value[j];
                }
            }
        }
    }

#pragma unroll
    for (int r = 0; r < ROWS_PER_WARP; r++) {
        if (block_row + warp * ROWS_PER_WARP + r > last_row) continue;
        OUT_T *row = out + b * strides.out_batch + mine[r].head * strides.out_head + mine[r].s * strides.out_row;
        const float inverse = sum[r] != 0 ? 1 / sum[r] : 0;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            const float y = inverse == 0 ? 0 : result[r][j] * inverse;
            if (32 * j + lane < D) row[32 * j + lane] = from_float<OUT_T>(y);
        }
    }
}
