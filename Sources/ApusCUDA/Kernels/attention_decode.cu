// attention_decode: attention of one new token a sequence, its keys split over the whole GPU.
//
// PLUGIN 1 is the attention plugin's decode in one launch: it norms and turns q and k of packed_qkv, writes k and v to
// the cache and attends; the new token's k and v go from shared memory, rounded as the cache keeps them. PLUGIN 0
// attends with a given q to given keys.
//
// A block has WARPS warps, each takes granules of 16 keys with all query heads of the KV head (at most 8; larger groups
// go in parts, a block row each). K and V go from device memory to registers, 16 bytes a load, in exactly the pieces
// that the tensor cores want; nothing passes through shared memory, and a warp's loads of the next granule are under way
// while it works on this one:
//   S^T[16 keys, 8 heads] = K·Q^T     columns of K in any order, if Q has the same: a lane's 16 bytes are four of them
//   O^T[D, 8 heads]      += V^T·P^T   rows of V^T in any order; keys pair up by byte permutes, P^T by movmatrix
// Q and P are split into a sum of two halves (of three for FP32 caches, as K and V are, all in bfloat16), so that products are as
// good as FP32 ones, 2^-22 relative to the largest (INT8 and bfloat16 caches: 2^-16). Softmax is online, in FP32.
//
// Granules of a tile of TILE = 16·WARPS keys go to the warps of a block, tiles round-robin to blocks. So the first granule
// of a block does not depend on the length, and in the plugin it is read before the kernels before this one end: rows
// of earlier tokens are old. Warps merge through shared memory, blocks of a cluster (CLUSTER > 1, sm_90) by writing
// slices into each other's shared memory, clusters through scratch; the last to arrive writes the output. A further
// cluster joins in only when the others have SPREAD tiles a block, so short sequences end without scratch.
// Bound by reads of the cache; for short sequences by the latency of a launch, one read and a cluster's barrier.
//
// Macros
//   PLUGIN                1 or 0
//   CACHE_T               float, half_t, bfloat_t; in the plugin also signed char: INT8 codes with scales (see rope_kv)
//   OUT_T                 float, half_t, bfloat_t
//   HEAD_DIM              D, a multiple of 8 up to 256
//   Q_HEADS, KV_HEADS     HQ, HKV
//   SOFTCAP               1: scores become softcap·tanh(s / softcap), else 0
//   WARPS                 4 or 8, with WARPS·min(group, 8)·D <= 8192; 8 is best where it fits
//   CLUSTER               1, 2, 4, 8 or 16 blocks; above 1 for sm_90 and up, 16 only where the function's attribute
//                         NON_PORTABLE_CLUSTER_SIZE_ALLOWED was set
//   ROTARY_DIM, QK_NORM   PLUGIN only: R; 1 if q_norm and k_norm are there
//
// Launch: grid (splits, HKV·PARTS, B) with PARTS = ceil(HQ / HKV / 8), block 32·WARPS, no dynamic shared memory. No
// cluster attribute is needed, the kernel has it. splits = CLUSTER·n: with
//   room = max(1, 2·SMs / (HKV·PARTS·B)),  CLUSTER = the largest power of two <= min(room, 16 or 8; sm_80…89: 1)
//   n    = clamp(room / CLUSTER, 1, ceil(C / (TILE·CLUSTER·SPREAD))),  SPREAD = CLUSTER > 1 ? 4 : 1
// The grid is fixed; lengths are read on the device, and blocks with nothing to do leave at once.
//
// Arguments
//   PLUGIN 1: packed_qkv f32[B, 1, (HQ + 2·HKV)·D], cache CACHE_T[B, 2, HKV, C, D] (INT8: [.., C, D + 4], C even),
//     rope f32[rope_batches, rope_rows, R], q_norm, k_norm f32[D] or null, capacity C, rope_rows, rope_batches, eps
//   PLUGIN 0: q f32, k and v CACHE_T with `strides` (rows multiples of 16 bytes; row strides of q and out unused; v
//     and k aligned to 16 bytes), capacity: bound of a length
//   both: lengths i32: lengths[b·length_stride] + length_offset keys, the new token's included (lengths null: only
//     length_offset); 0: the output is 0 and nothing is written; out OUT_T[B, HQ, D]; scratch f32, for each of the
//     gridDim.x·gridDim.y·B blocks 4·(ceil(H·D / 4 / CLUSTER) + ceil(H / 2)) floats, H = ceil(HQ / HKV / PARTS);
//     counters u32[CLUSTER·gridDim.y·B], 0 at first and left so; window: 0 or so many keys, the query's own included;
//     scale, softcap
// With PLUGIN 1 rows of earlier tokens are read before wait_for_previous(). So they must have been written by a launch
// with another launch of this kernel, or a graph's end, in between.

#include "attention.cuh"

#if !defined(PLUGIN) || !defined(CACHE_T) || !defined(OUT_T) || !defined(HEAD_DIM) || !defined(Q_HEADS)
#error "attention_decode needs PLUGIN, CACHE_T, OUT_T, HEAD_DIM, Q_HEADS"
#endif
#if !defined(KV_HEADS) || !defined(SOFTCAP) || !defined(WARPS) || !defined(CLUSTER)
#error "attention_decode needs KV_HEADS, SOFTCAP, WARPS, CLUSTER"
#endif
#if PLUGIN && (!defined(ROTARY_DIM) || !defined(QK_NORM))
#error "attention_decode with PLUGIN 1 needs ROTARY_DIM, QK_NORM"
#endif
#if CLUSTER > 1 && __CUDA_ARCH__ < 900
#error "attention_decode: clusters need sm_90"
#endif

#include "attention_granule.cuh"

constexpr int HQ = Q_HEADS, HKV = KV_HEADS, GROUP = HQ / HKV, PARTS = (GROUP + 7) / 8;
constexpr int HEADS = (GROUP + PARTS - 1) / PARTS;  ///< of a part
constexpr int TILE = GRANULE * WARPS, SPREAD = CLUSTER > 1 ? 4 : 1, THREADS = 32 * WARPS;
constexpr int VECTORS = HEADS * D / 4;                          ///< float4 of a block's output
constexpr int SLICE = (VECTORS + CLUSTER - 1) / CLUSTER;        ///< of these, what a block of a cluster ends up with
constexpr int PARTIAL = 4 * (SLICE + (HEADS + 1) / 2);          ///< floats that a block leaves in scratch
static_assert(D % 8 == 0 && D <= 256, "head sizes are multiples of 8 up to 256");
static_assert(HQ % HKV == 0, "query heads are a multiple of KV heads");
static_assert(WARPS * HEADS * D <= 8192, "too many warps for the shared memory of a block");

/// What the warps of a block leave for each other; Q is not needed any more then.
union Pool {
    uint2 q[Q_WORDS / 2];
    float4 results[WARPS][VECTORS];
};
__shared__ __align__(16) Pool pool;
__shared__ float largest_of[WARPS][HEADS], sum_of[WARPS][HEADS];
__shared__ __align__(16) float4 slices[CLUSTER][SLICE];
__shared__ float slice_largest[CLUSTER][HEADS], slice_sum[CLUSTER][HEADS];
__shared__ int is_last;

/// Puts columns d and d + 1 of a head's Q where the tensor cores' lanes find them.
__device__ __forceinline__ void store_query(int head, int d, float x, float y) {
    unsigned planes[Q_PLANES];
    split(x, y, planes);
    const int lane = 4 * head + d % 32 / 8, half = d % 8 / 4, word = d % 4 / 2;
#pragma unroll
    for (int i = 0; i < Q_PLANES; i++) {
        ((unsigned *)pool.q)[((d / 32 * 2 + half) * 32 + lane) * 2 * Q_PLANES + 2 * i + word] = planes[i];
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
    /// The first key of a warp's first granule.
    __device__ __forceinline__ int first(int warp) const {
        const int key = (tile + (int)blockIdx.x) * TILE + warp * GRANULE;
        return key + GRANULE <= from ? key + step() : key;
    }
    __device__ __forceinline__ int step() const { return blocks * TILE; }
    /// Whether the newest key falls to this block.
    __device__ __forceinline__ bool owns_newest() const {
        return ((keys - 1) / TILE - tile) % blocks == (int)blockIdx.x;
    }
};

__device__ __forceinline__ int length_of(const int *lengths, int stride, int offset, int capacity, int b) {
    const int length = (lengths == nullptr ? 0 : load_fresh(lengths + (long long)b * stride)) + offset;
    return min(max(length, 0), capacity);
}

__device__ __forceinline__ float weight_of(float largest, float overall) {
    return largest == minus_infinity() ? 0 : exp2f(largest - overall);
}

__device__ __forceinline__ void add_scaled(float4 &sum, const float4 &x, float w) {
    sum.x += w * x.x, sum.y += w * x.y, sum.z += w * x.z, sum.w += w * x.w;
}

#if CLUSTER > 1
__device__ __forceinline__ void arrive_at_cluster() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

/// Stores to the same place of another block of the cluster.
__device__ __forceinline__ void store_at(int rank, float *p, float x) {
    unsigned at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(shared_address(p)), "r"(rank));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(at), "f"(x) : "memory");
}
__device__ __forceinline__ void store_at(int rank, float4 *p, const float4 &x) {
    unsigned at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(shared_address(p)), "r"(rank));
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(at), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w)
                 : "memory");
}
#endif

__device__ __forceinline__ void store4(OUT_T *p, const float4 &x, float factor) {
    if constexpr (sizeof(OUT_T) == 4) {
        *(float4 *)p = make_float4(x.x * factor, x.y * factor, x.z * factor, x.w * factor);
    } else {
        p[0] = from_float<OUT_T>(x.x * factor), p[1] = from_float<OUT_T>(x.y * factor);
        p[2] = from_float<OUT_T>(x.z * factor), p[3] = from_float<OUT_T>(x.w * factor);
    }
}

/// Merges the warps of a block, then the blocks of a cluster, then the clusters; the last writes `out`.
__device__ __forceinline__ void merge(
    const float (&largest)[2], const float (&sum)[2], const float (&result)[V_CHUNKS][4][4], int blocks, OUT_T *out,
    int heads, float *scratch, unsigned *counters) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int rank = (int)blockIdx.x % CLUSTER, row = blockIdx.z * gridDim.y + blockIdx.y;
    __syncthreads();  // Q has been read
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int head = 2 * t + i;
        if (head >= HEADS) continue;
        if (g == 0) largest_of[warp][head] = largest[i], sum_of[warp][head] = sum[i];
#pragma unroll
        for (int c = 0; c < V_CHUNKS; c++) {
            const int d = 64 * c + 8 * g;
            if (d >= D) continue;
            float4 *to = pool.results[warp] + (head * D + d) / 4;
            to[0] = make_float4(result[c][0][i], result[c][0][i + 2], result[c][1][i], result[c][1][i + 2]);
            to[1] = make_float4(result[c][2][i], result[c][2][i + 2], result[c][3][i], result[c][3][i + 2]);
        }
    }
    __syncthreads();

#if CLUSTER > 1
    wait_for_cluster();  // all blocks have started
#endif
    for (int v = threadIdx.x; v < VECTORS; v += THREADS) {
        const int head = 4 * v / D;
        float overall = minus_infinity();
#pragma unroll
        for (int w = 0; w < WARPS; w++) overall = fmaxf(overall, largest_of[w][head]);
        float4 total = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int w = 0; w < WARPS; w++) add_scaled(total, pool.results[w][v], weight_of(largest_of[w][head], overall));
#if CLUSTER > 1
        store_at(v / SLICE, &slices[rank][v % SLICE], total);
#else
        slices[0][v] = total;
#endif
    }
    for (int i = threadIdx.x; i < HEADS * CLUSTER; i += THREADS) {
        const int head = i % HEADS;
        float overall = minus_infinity(), total = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) overall = fmaxf(overall, largest_of[w][head]);
#pragma unroll
        for (int w = 0; w < WARPS; w++) total += sum_of[w][head] * weight_of(largest_of[w][head], overall);
#if CLUSTER > 1
        store_at(i / HEADS, &slice_largest[rank][head], overall);
        store_at(i / HEADS, &slice_sum[rank][head], total);
#else
        slice_largest[0][head] = overall, slice_sum[0][head] = total;
#endif
    }
#if CLUSTER > 1
    arrive_at_cluster();
    wait_for_cluster();
#else
    __syncthreads();
#endif

    const int clusters = blocks / CLUSTER;
    // The partial results of this block's slice, one a cluster.
    float *partials = scratch + ((long long)row * gridDim.x + rank) * PARTIAL;
    for (int v = threadIdx.x; v < SLICE; v += THREADS) {
        const int at = rank * SLICE + v, head = 4 * at / D;
        if (at >= VECTORS) continue;
        float overall = minus_infinity(), total = 0;
#pragma unroll
        for (int r = 0; r < CLUSTER; r++) overall = fmaxf(overall, slice_largest[r][head]);
        float4 y = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int r = 0; r < CLUSTER; r++) {
            const float w = weight_of(slice_largest[r][head], overall);
            total += w * slice_sum[r][head];
            add_scaled(y, slices[r][v], w);
        }
        if (clusters == 1) {
            const float inverse = total > 0 ? 1 / total : total;
            if (head < heads) store4(out + 4 * at, y, inverse);
        } else {
            float *partial = partials + (long long)(blockIdx.x / CLUSTER) * CLUSTER * PARTIAL;
            __stcg((float4 *)partial + v, y);
            // The first vector of a head, or of this slice, speaks for the head.
            if (v == 0 || 4 * at % D == 0) {
                __stcg(partial + 4 * SLICE + head, overall);
                __stcg(partial + 4 * SLICE + HEADS + head, total);
            }
        }
    }
    if (clusters == 1) return;

    __syncthreads();
    unsigned *counter = counters + row * CLUSTER + rank;
    if (threadIdx.x == 0) {
        __threadfence();
        is_last = atomicAdd(counter, 1) == clusters - 1;
        __threadfence();
        if (is_last) *counter = 0;
    }
    __syncthreads();
    if (!is_last) return;
    for (int v = threadIdx.x; v < SLICE; v += THREADS) {
        const int at = rank * SLICE + v, head = 4 * at / D;
        if (at >= VECTORS) continue;
        float overall = minus_infinity(), total = 0;
        float4 y = make_float4(0, 0, 0, 0);
#pragma unroll 4
        for (int c = 0; c < clusters; c++) {
            overall = fmaxf(overall, __ldcg(partials + (long long)c * CLUSTER * PARTIAL + 4 * SLICE + head));
        }
#pragma unroll 4
        for (int c = 0; c < clusters; c++) {
            const float *partial = partials + (long long)c * CLUSTER * PARTIAL;
            const float w = weight_of(__ldcg(partial + 4 * SLICE + head), overall);
            total += w * __ldcg(partial + 4 * SLICE + HEADS + head);
            add_scaled(y, __ldcg((const float4 *)partial + v), w);
        }
        if (head < heads) store4(out + 4 * at, y, total > 0 ? 1 / total : total);
    }
}

#if PLUGIN
#include "attention_newest.cuh"
#endif

#if CLUSTER > 1
#define CLUSTERED __cluster_dims__(CLUSTER, 1, 1)
#else
#define CLUSTERED
#endif

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS, D * sizeof(CACHE_T) <= 256 ? 16 / WARPS : 1)
attention_decode(
#if PLUGIN
    const float *packed_qkv, CACHE_T *cache, const float *rope, const float *q_norm, const float *k_norm, int rope_rows,
    int rope_batches, float eps,
#else
    const float *q, const CACHE_T *k, const CACHE_T *v, AttentionStrides strides,
#endif
    int capacity, const int *lengths, int length_stride, int length_offset, OUT_T *out, float *scratch,
    unsigned *counters, int window, float scale, float softcap) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int b = blockIdx.z, kv_head = blockIdx.y / PARTS, part = blockIdx.y % PARTS;
    const int first_head = kv_head * GROUP + part * HEADS, heads = min(HEADS, GROUP - part * HEADS);
    const float q_factor = SOFTCAP ? scale : scale * log2_e;
#if CLUSTER > 1
    arrive_at_cluster();
#endif
    // Columns and heads that there are not.
    for (int i = threadIdx.x; i < Q_WORDS / 2; i += THREADS) pool.q[i] = make_uint2(0, 0);
    __syncthreads();

    Granule granule;
    Rows keys, values;
#if PLUGIN
    const long long head_size = (long long)capacity * (IS_QUANTIZED ? D + 4 : D);
    CACHE_T *const k_head = cache + ((long long)b * 2 * HKV + kv_head) * head_size, *const v_head = k_head + HKV * head_size;
    const auto rows_of = [&](const CACHE_T *head, const Deal &deal) {
        // The newest row comes from shared memory.
        return Rows{head, D, IS_QUANTIZED ? (const float *)(head + (long long)capacity * D) : nullptr, deal.from, deal.keys - 1};
    };
    const float *table = rope + (long long)(rope_batches == 1 ? 0 : b) * rope_rows * R;
    // The length may still be that of the step before; if so, all this is done again.
    Deal deal(length_of(lengths, length_stride, length_offset, capacity, b), window);
    int key = deal.first(warp);
    Turn turn(table, min(max(deal.keys - 1, 0), rope_rows - 1), lane);
    keys = rows_of(k_head, deal), values = rows_of(v_head, deal);
    load_keys(granule, keys, key, g, t);
    load_values(granule, values, key, g, t);
    wait_for_previous();
    let_next_start();
    const int length = length_of(lengths, length_stride, length_offset, capacity, b);
    if (length != deal.keys) {
        deal = Deal(length, window);
        key = deal.first(warp);
        turn = Turn(table, min(max(length - 1, 0), rope_rows - 1), lane);
        keys = rows_of(k_head, deal), values = rows_of(v_head, deal);
        load_keys(granule, keys, key, g, t);
        load_values(granule, values, key, g, t);
    }
    if ((int)blockIdx.x >= deal.blocks) return;
    take_newest(
        packed_qkv + (long long)b * (HQ + 2 * HKV) * D, first_head, kv_head, heads, deal.keys > 0 && deal.owns_newest(),
        part == 0, turn, q_norm, k_norm, eps, q_factor, k_head, v_head, deal.keys - 1, capacity);
#else
    wait_for_previous();
    let_next_start();
    const Deal deal(length_of(lengths, length_stride, length_offset, capacity, b), window);
    if ((int)blockIdx.x >= deal.blocks) return;
    int key = deal.first(warp);
    keys = {k + b * strides.k_batch + kv_head * strides.k_head, (int)strides.k_row, nullptr, deal.from, deal.keys};
    values = {v + b * strides.v_batch + kv_head * strides.v_head, (int)strides.v_row, nullptr, deal.from, deal.keys};
    load_keys(granule, keys, key, g, t);
    load_values(granule, values, key, g, t);
    const float *queries = q + b * strides.q_batch + first_head * strides.q_head;
    for (int i = threadIdx.x; i < heads * D / 2; i += THREADS) {
        const int head = 2 * i / D, d = 2 * i % D;
        store_query(head, d, queries[head * strides.q_head + d] * q_factor, queries[head * strides.q_head + d + 1] * q_factor);
    }
#endif
    __syncthreads();

    float largest[2] = {minus_infinity(), minus_infinity()}, sum[2] = {}, result[V_CHUNKS][4][4] = {};
    while (key < deal.keys) {
        const int next = key + deal.step();
#if PLUGIN
        if (key + GRANULE >= deal.keys) insert_newest(granule, deal.keys - 1 - key, g, t);
#endif
        float s[4];
        scores_of(granule, pool.q, lane, s);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if constexpr (IS_QUANTIZED) s[i] *= granule.k_scale[i / 2];
#if SOFTCAP
            s[i] = softcap * tanhf(s[i] / softcap) * log2_e;
#endif
            const int at = key + g + i / 2 * 8;
            if (at < deal.from || at >= deal.keys) s[i] = minus_infinity();
        }
        load_keys(granule, keys, next, g, t);

        float shrink[2], weights[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float overall = fmaxf(s[i], s[i + 2]);
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2) overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, offset));
            overall = fmaxf(overall, largest[i]);
            shrink[i] = exp2f(largest[i] - overall);
            largest[i] = overall;
            weights[i] = exp2f(s[i] - overall), weights[i + 2] = exp2f(s[i + 2] - overall);
            sum[i] = sum[i] * shrink[i] + (weights[i] + weights[i + 2]);
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
        if constexpr (IS_QUANTIZED) {
#pragma unroll
            for (int i = 0; i < 4; i++) weights[i] = weights[i] == 0 ? 0 : weights[i] * granule.v_scale[i / 2];
        }
        add_values(granule, weights, result);
        load_values(granule, values, next, g, t);
        key = next;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int offset = 4; offset < 32; offset *= 2) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], offset);
    }
    merge(largest, sum, result, deal.blocks, out + ((long long)b * HQ + first_head) * D, heads, scratch, counters);
}
