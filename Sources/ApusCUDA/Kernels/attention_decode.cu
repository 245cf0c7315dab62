// attention_decode: attention of one new token a sequence, its keys split over the whole GPU.
//
// NEWEST 1 is all that lies between the product of q, k and v and the projection after attention: it norms and turns q and
// k of the new token, writes k and v to the cache and attends; the new token's k and v go from shared memory, rounded as the
// cache keeps them. It serves the attention plugin (one packed operand, one cache, angles from a table) and static caches
// (K and V apart, angles that the pass computes) alike: they differ in strides and in TABLE. NEWEST 0 attends with a given q
// to given keys.
//
// A block has WARPS warps. Each takes granules of 16·SETS keys with all query heads of the
// KV head at once, at most 8; larger groups go in parts, a block row each. Granules of K and V come through a ring of
// UNITS units of shared memory that belongs to the warp (cp.async), so nothing but the warp itself waits for them, and
// keys that are not there become zeros unread. Products run on tensor cores:
//   S^T[16 keys, 8 heads] = K·Q^T     columns of K in any order, if Q has the same: a lane's 16 bytes are four of them
//   O^T[D, 8 heads]      += V^T·P^T   rows of V^T in any order; keys pair up by byte permutes, P^T by movmatrix
// Q and P are split into a sum of two halves (FP32 caches: of three bfloat16, as K and V are), so that products are as
// good as FP32 ones: 2^-22 relative to the largest, INT8 and bfloat16 caches 2^-16. Softmax is online, in FP32.
//
// Tiles of TILE = WARPS granules go round-robin to blocks. So the first granules of a block do not depend on the length,
// and with NEWEST 1 they are read before the kernels before this one end: rows of earlier tokens are old. Warps merge
// through shared memory, blocks of a cluster (CLUSTER > 1, sm_90) by writing slices into each other's shared memory,
// clusters through scratch, where the last to arrive writes the output. A further cluster takes part only when the others
// have SPREAD tiles a block, so short sequences end without scratch. The order of sums depends on the launch and the length only.
//
// Bound by reads of the cache where these are long; else by the latency of the chain wait, q, scores, softmax, outputs,
// cluster, about 2 us. Measured on an H200, FP16, one sequence, us a launch between kernels that stream weights: 2.1 (14/2
// heads of 64, 2048 keys), 2.7 (32/8, 64), 4.3 (16/8, 128), 4.5 (32/8, 128); 32768 keys, 32/8 heads of 128, back to back: 33.3,
// 89 % of the read bandwidth. Registers that spill cost about 1 us a launch, so none may.
//
// Macros
//   NEWEST                1 or 0
//   CACHE_T               float, half_t, bfloat_t; with NEWEST 1 also signed char: INT8 codes with scales (see rope_kv)
//   OUT_T                 float, half_t, bfloat_t
//   HEAD_DIM              D, a multiple of 8 up to 256
//   Q_HEADS, KV_HEADS     HQ, HKV
//   SOFTCAP               1: scores become softcap·tanh(s / softcap), else 0
//   WARPS                 8; 4, 2 or 1 where shared memory is short; 4 with BLOCKS 3 and twice the units where blocks of the
//                         kernels around leave too few registers for eight, as those of packed codes do: only so do blocks
//                         start beside theirs (Llama-3.1-8B with 4 bits: 2 µs a layer)
//   SETS                  16-key sets of a granule, 1 or 2: two share the latency of a softmax, single ones spread few keys evenly.
//                         Best 2 where rows take up to 128 bytes, or up to 256 and C is above 8192
//   UNITS                 2…8 units of the ring; best max(2, 12500 / unit bytes), with one set 16700, for C above 8192 25000
//   CLUSTER               1, 2, 4, 8 or 16 blocks; above 1 for sm_90 and up, 16 only where the function's attribute
//                         NON_PORTABLE_CLUSTER_SIZE_ALLOWED was set
//   BLOCKS                blocks that must fit on a multiprocessor (register limit); if not defined, 2 where D·SETS is up to 128 and
//                         the cache is not FP32, else 1
//   ROTARY_DIM, QK_NORM   NEWEST only: R, even; 1 if q_norm and k_norm are there
//   TABLE                 NEWEST only: 1: angles are constant, a row a position, R/2 of them; 0: those of the new token, R
//
// Launch: grid (splits, HKV·PARTS, B) with PARTS = ceil(HQ / HKV / 8), block 32·WARPS, dynamic shared memory
// WARPS·UNITS·unit with unit = SETS·(16·D·sizeof(CACHE_T) + 64 if INT8) bytes; static shared memory comes on top, at most 20 KB. No cluster attribute is needed at the launch, the kernel has it.
// splits = CLUSTER·n, fixed for all lengths up to C; lengths are read on the device, blocks with nothing to do leave at once. Best:
//   rows    = HKV·PARTS·B; room(c) = SMs for c <= 2, 7/8·SMs for larger c (clusters do not fill all parts of the chip)
//   CLUSTER = largest c of 8, 4, 2 with c·rows <= room(c), C above 8192 only of 2; if none, or before sm_90: 1
//   n       = clamp(room(CLUSTER) / (CLUSTER·rows), 1, ceil(C / (16·SETS·WARPS·CLUSTER·SPREAD))), SPREAD = CLUSTER > 2 ? CLUSTER / SETS : 1
//
// Arguments
//   NEWEST 1: q f32[B, HQ, D], k and v f32[B, HKV, D], k_cache and v_cache CACHE_T[B, HKV, C, D] (INT8: head by head, C·D
//     codes, then C scales, C a multiple of 4) and cosines and sines f32 with `strides` (NewestStrides, elements; all even,
//     those of rows are not used, heads of a cache start at multiples of 8 bytes, 16 where D·sizeof(CACHE_T) is such), rope_rows (TABLE 1), q_norm, k_norm
//     f32[D] or null, eps, factor f32[1] or null, which multiplies scale, fault i32[1] or null and step: a length that is
//     not in 1…C is reported there (see report), its output is 0
//   NEWEST 0: q f32, k and v CACHE_T with `strides` (AttentionStrides, elements; rows of k and v start at multiples of 16
//     bytes, row strides of q and all of out are not used)
//   both: capacity C, the bound of a length; lengths i32: lengths[b·length_stride] + length_offset keys, the new token's
//     included (lengths null: only length_offset); 0: the output is 0 and nothing is written; out OUT_T[B, HQ, D];
//     scratch f32, for each of the gridDim.x·gridDim.y·B blocks 4·(ceil(H·D / 4 / CLUSTER) + ceil(H / 2)) floats with H =
//     ceil(HQ / HKV / PARTS); counters u32[CLUSTER·gridDim.y·B], 0 at first and left so; window: 0 or so many keys, the
//     query's own included; scale; softcap
//
// With NEWEST 1 q_norm, k_norm, factor, with TABLE 1 cosines and sines, and the rows of earlier tokens are read before
// wait_for_previous(): the former must be constant over the graph, and between two launches on the same cache there must be
// another launch of this kernel, the end of a graph, or a kernel launched without programmatic dependence.

#include "attention.cuh"

#if !defined(NEWEST) || !defined(CACHE_T) || !defined(OUT_T) || !defined(HEAD_DIM) || !defined(Q_HEADS)
#error "attention_decode needs NEWEST, CACHE_T, OUT_T, HEAD_DIM, Q_HEADS"
#endif
#if !defined(KV_HEADS) || !defined(SOFTCAP) || !defined(WARPS) || !defined(UNITS) || !defined(CLUSTER) || !defined(SETS)
#error "attention_decode needs KV_HEADS, SOFTCAP, WARPS, UNITS, CLUSTER, SETS"
#endif
#if NEWEST && (!defined(ROTARY_DIM) || !defined(QK_NORM) || !defined(TABLE))
#error "attention_decode with NEWEST 1 needs ROTARY_DIM, QK_NORM, TABLE"
#endif
#if CLUSTER > 1 && __CUDA_ARCH__ < 900
#error "attention_decode: clusters need sm_90"
#endif

#include "attention_granule.cuh"

#ifndef BLOCKS
#define BLOCKS (D * SETS <= 128 && !IS_WIDE ? 2 : 1)
#endif

constexpr int HQ = Q_HEADS, HKV = KV_HEADS, GROUP = HQ / HKV, PARTS = (GROUP + 7) / 8;
constexpr int HEADS = (GROUP + PARTS - 1) / PARTS;  ///< of a part
constexpr int TILE = GRANULE * WARPS, THREADS = 32 * WARPS, SPREAD = CLUSTER > 2 ? CLUSTER / SETS : 1;
static_assert(D % 8 == 0 && D <= 256, "head sizes are multiples of 8 up to 256");
static_assert(HQ % HKV == 0, "query heads are a multiple of KV heads");

/// Rings of units, one a warp; afterwards the results of the warps.
extern __shared__ __align__(128) char rings[];
constexpr int RING_BYTES = UNITS * UNIT_BYTES;
__shared__ __align__(16) uint2 queries[Q_WORDS / 2];

/// Puts columns d and d + 1 of a head's Q where the tensor cores' lanes find them.
__device__ __forceinline__ void store_query(int head, int d, float x, float y) {
    unsigned planes[Q_PLANES];
    split(x, y, planes);
    const int lane = 4 * head + d % 32 / 8, half = d % 8 / 4, word = d % 4 / 2;
#pragma unroll
    for (int i = 0; i < Q_PLANES; i++) {
        ((unsigned *)queries)[((d / 32 * 2 + half) * 32 + lane) * 2 * Q_PLANES + 2 * i + word] = planes[i];
    }
}

/// How the keys of a sequence are dealt out.
struct Deal {
    int keys;    ///< T
    int from;    ///< first key that the window shows
    int tile;    ///< first tile
    int blocks;  ///< that take part

    __device__ __forceinline__ Deal(int length, int window) {
        keys = length;
        from = window > 0 ? max(0, length - window) : 0;
        tile = from / TILE;
        const int tiles = (length + TILE - 1) / TILE - tile, each = CLUSTER * SPREAD;
        blocks = CLUSTER * min(max((tiles + each - 1) / each, 1), (int)gridDim.x / CLUSTER);
    }
    /// The first key of a warp's first granule; of a block that takes no part, a key that there is not.
    __device__ __forceinline__ int first(int warp) const {
        if ((int)blockIdx.x >= blocks) return keys;
        const int key = (tile + (int)blockIdx.x) * TILE + warp * GRANULE;
        return key + GRANULE <= from ? key + step() : key;
    }
    __device__ __forceinline__ int step() const { return blocks * TILE; }
    /// Whether the newest key falls to this block.
    __device__ __forceinline__ bool owns_newest() const {
        return ((keys - 1) / TILE - tile) % blocks == (int)blockIdx.x;
    }
};

/// The length that is stated for sequence `b`, be it possible or not.
__device__ __forceinline__ int length_of(const int *lengths, int stride, int offset, int b) {
    return (lengths == nullptr ? 0 : load_fresh(lengths + (long long)b * stride)) + offset;
}

__device__ __forceinline__ int within(int length, int capacity) { return min(max(length, 0), capacity); }

#include "attention_merge.cuh"

#if NEWEST
#include "attention_newest.cuh"
#endif

#if CLUSTER > 1
#define CLUSTERED __cluster_dims__(CLUSTER, 1, 1)
#else
#define CLUSTERED
#endif

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS, BLOCKS) attention_decode(
#if NEWEST
    const float *q, const float *k, const float *v, CACHE_T *k_cache, CACHE_T *v_cache, const float *cosines,
    const float *sines, NewestStrides strides, int rope_rows, const float *q_norm, const float *k_norm, float eps,
    const float *factor, int *fault, int step,
#else
    const float *q, const CACHE_T *k, const CACHE_T *v, AttentionStrides strides,
#endif
    int capacity, const int *lengths, int length_stride, int length_offset, OUT_T *out, float *scratch,
    unsigned *counters, int window, float scale, float softcap) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4;
    const int b = blockIdx.z, kv_head = blockIdx.y / PARTS, part = blockIdx.y % PARTS;
    const int first_head = kv_head * GROUP + part * HEADS, heads = min(HEADS, GROUP - part * HEADS);
    float q_factor = SOFTCAP ? scale : scale * log2_e;
#if CLUSTER > 1
    arrive_at_cluster();
#endif
    // Columns and heads that there are not.
    for (int i = threadIdx.x; i < Q_WORDS / 2; i += THREADS) queries[i] = make_uint2(0, 0);

    char *const ring = rings + warp * RING_BYTES;
    Rows keys, values;
    int key;
    const auto fill_ring = [&](const Deal &deal) {
        key = deal.first(warp);
#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            const int at = key + u / 2 * deal.step();
            if (u % 2 == 0) keys.ask<true>(ring + u * UNIT_BYTES, at, lane);
            else values.ask<false>(ring + u * UNIT_BYTES, at, lane);
        }
    };
#if NEWEST
    if (factor != nullptr) q_factor *= *factor;
    CACHE_T *const k_head = k_cache + b * strides.k_cache_batch + kv_head * strides.k_cache_head;
    CACHE_T *const v_head = v_cache + b * strides.v_cache_batch + kv_head * strides.v_cache_head;
    const auto rows_of = [&](const CACHE_T *head, const Deal &deal) {
        // The newest row comes from shared memory.
        const float *scales = IS_QUANTIZED ? (const float *)(head + (long long)capacity * D) : nullptr;
        return Rows{head, scales, deal.from, deal.keys - 1};
    };
    cosines += b * strides.rope_batch, sines += b * strides.rope_batch;
    // The length may still be that of the step before; if so, all this is done again.
    Deal deal(within(length_of(lengths, length_stride, length_offset, b), capacity), window);
    keys = rows_of(k_head, deal), values = rows_of(v_head, deal);
    fill_ring(deal);
    // A granule more than the ring holds would be asked for late: it comes as near as it can.
    if (lane < 2) (lane == 0 ? keys : values).ask_second_cache(key + UNITS / 2 * deal.step());
    Turn turn;
    if (TABLE) turn.load(cosines, sines, within(deal.keys - 1, rope_rows - 1), lane);
    NewestHeads fresh;
#if QK_NORM
    fresh.load_norms(q_norm, k_norm, warp, lane);
#endif
    __syncthreads();
    wait_for_previous();
    let_next_start();
    const int stated = length_of(lengths, length_stride, length_offset, b);
    fresh.load(
        q + b * strides.q_batch + first_head * strides.q_head, strides.q_head,
        k + b * strides.k_batch + kv_head * strides.k_head, v + b * strides.v_batch + kv_head * strides.v_head, heads,
        warp, lane);
    if (!TABLE) turn.load(cosines, sines, 0, lane);
    int length = within(stated, capacity);
    if (fault != nullptr && (stated < 1 || stated > capacity)) {
        if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) report(fault, step);
        length = 0;
    }
    if (length != deal.keys) {
        deal = Deal(length, window);
        keys = rows_of(k_head, deal), values = rows_of(v_head, deal);
        wait_for_copies<0>();
        __syncwarp();
        fill_ring(deal);
        if (TABLE) turn.load(cosines, sines, within(length - 1, rope_rows - 1), lane);
    }
    if ((int)blockIdx.x >= deal.blocks) return;
    fresh.finish(
        heads, deal.keys > 0 && deal.owns_newest(), part == 0, turn, eps, q_factor, k_head, v_head, deal.keys - 1,
        capacity, warp, lane);
#else
    __syncthreads();
    wait_for_previous();
    let_next_start();
    const Deal deal(within(length_of(lengths, length_stride, length_offset, b), capacity), window);
    if ((int)blockIdx.x >= deal.blocks) return;
    keys = {k + b * strides.k_batch + kv_head * strides.k_head, (int)strides.k_row, nullptr, deal.from, deal.keys};
    values = {v + b * strides.v_batch + kv_head * strides.v_head, (int)strides.v_row, nullptr, deal.from, deal.keys};
    fill_ring(deal);
    const float *q_head = q + b * strides.q_batch + first_head * strides.q_head;
    for (int i = threadIdx.x; i < heads * D / 2; i += THREADS) {
        const int head = 2 * i / D, d = 2 * i % D;
        const float *x = q_head + head * strides.q_head + d;
        store_query(head, d, x[0] * q_factor, x[1] * q_factor);
    }
#endif
    __syncthreads();

    float largest[2] = {minus_infinity(), minus_infinity()}, sum[2] = {}, result[V_CHUNKS][4][4] = {};
    int slot = 0, asked = key + UNITS / 2 * deal.step();  // ring position; granule of the next unit to ask for
    bool asks_key = UNITS % 2 == 0;
    const auto ask_next = [&](char *unit) {
        if (asks_key) keys.ask<true>(unit, asked, lane);
        else values.ask<false>(unit, asked, lane), asked += deal.step();
        asks_key = !asks_key;
        slot = slot + 1 == UNITS ? 0 : slot + 1;
    };
    for (; key < deal.keys; key += deal.step()) {
        char *unit = ring + slot * UNIT_BYTES;
        wait_for_copies<UNITS - 1>();
        __syncwarp();
#if NEWEST
        const int newest_row = deal.keys - 1 - key;
        if (newest_row < GRANULE) insert_newest<true>(unit, newest_row, lane);
#endif
        float s[SETS][4];
        scores_of(unit, queries, lane, s);
#pragma unroll
        for (int h = 0; h < SETS; h++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = 16 * h + g + i / 2 * 8;
                if constexpr (IS_QUANTIZED) s[h][i] *= scale_at(unit, row);
#if SOFTCAP
                s[h][i] = softcap * tanhf(s[h][i] / softcap) * log2_e;
#endif
                if (key + row < deal.from || key + row >= deal.keys) s[h][i] = minus_infinity();
            }
        }
        __syncwarp();
        ask_next(unit);

        float shrink[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float overall = fmaxf(s[0][i], s[0][i + 2]);
#pragma unroll
            for (int h = 1; h < SETS; h++) overall = fmaxf(overall, fmaxf(s[h][i], s[h][i + 2]));
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2) {
                overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, offset));
            }
            overall = fmaxf(overall, largest[i]);
            shrink[i] = exp2f(largest[i] - overall);
            largest[i] = overall;
            sum[i] *= shrink[i];
#pragma unroll
            for (int h = 0; h < SETS; h++) {
                s[h][i] = exp2f(s[h][i] - overall), s[h][i + 2] = exp2f(s[h][i + 2] - overall);
                sum[i] += s[h][i] + s[h][i + 2];
            }
        }
        if (__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1)) {
#pragma unroll
            for (int c = 0; c < V_CHUNKS; c++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) result[c][j][i] *= shrink[i % 2];
                }
            }
        }
        unit = ring + slot * UNIT_BYTES;
        wait_for_copies<UNITS - 1>();
        __syncwarp();
#if NEWEST
        if (newest_row < GRANULE) insert_newest<false>(unit, newest_row, lane);
#endif
#pragma unroll
        for (int h = 0; h < SETS; h++) {
            if constexpr (IS_QUANTIZED) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    s[h][i] = s[h][i] == 0 ? 0 : s[h][i] * scale_at(unit, 16 * h + g + i / 2 * 8);
                }
            }
            add_values(unit, 16 * h, lane, s[h], result);
        }
        __syncwarp();
        ask_next(unit);
    }
    wait_for_copies<0>();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int offset = 4; offset < 32; offset *= 2) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], offset);
    }
    merge(largest, sum, result, deal.blocks, out + ((long long)b * HQ + first_head) * D, heads, scratch, counters);
}
