#pragma once
// How attention_decode's results meet: warps of a block, blocks of a cluster, clusters.
//
// Each partial result is the largest exponent m, the sum l of 2^(s - m), and the sum y of 2^(s - m)·V, all relative to m.

constexpr int VECTORS = HEADS * D / 4;                          ///< float4 of a block's output
constexpr int SLICE = (VECTORS + CLUSTER - 1) / CLUSTER;        ///< of these, what a block of a cluster ends up with
constexpr int PARTIAL = 4 * (SLICE + (HEADS + 1) / 2);          ///< floats that a block leaves in scratch
static_assert(RING_BYTES >= 6 * HEADS * D, "the results of a warp must fit its ring");

__shared__ float largest_of[WARPS][HEADS], sum_of[WARPS][HEADS];
__shared__ __align__(16) float4 slices[CLUSTER][SLICE];
__shared__ float slice_largest[CLUSTER][HEADS], slice_sum[CLUSTER][HEADS];
__shared__ int is_last;

__device__ __forceinline__ float weight_of(float largest, float overall) {
    return largest == minus_infinity() ? 0 : exp2f(largest - overall);
}

__device__ __forceinline__ void add_scaled(float4 &sum, const float4 &x, float w) {
    sum.x += w * x.x, sum.y += w * x.y, sum.z += w * x.z, sum.w += w * x.w;
}

/// Joins a partial result (largest exponent, sum, weighted values) to another.
__device__ __forceinline__ void join(float &largest, float &sum, float4 &y, float m, float l, const float4 &x) {
    const float overall = fmaxf(largest, m), mine = weight_of(largest, overall), theirs = weight_of(m, overall);
    y.x *= mine, y.y *= mine, y.z *= mine, y.w *= mine;
    add_scaled(y, x, theirs);
    sum = sum * mine + l * theirs;
    largest = overall;
}

#if CLUSTER > 1
__device__ __forceinline__ void arrive_at_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ __forceinline__ void wait_for_cluster() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

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
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int head = 2 * t + i;
        if (head >= HEADS) continue;
        if (g == 0) largest_of[warp][head] = largest[i], sum_of[warp][head] = sum[i];
#pragma unroll
        for (int c = 0; c < V_CHUNKS; c++) {
            const int d = 64 * c + 8 * g;
            if (d >= D) continue;
            float4 *to = ((float4 *)(rings + warp * RING_BYTES)) + (head * D + d) / 4;
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
        for (int w = 0; w < WARPS; w++) {
            add_scaled(total, ((const float4 *)(rings + w * RING_BYTES))[v], weight_of(largest_of[w][head], overall));
        }
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
    // Each warp takes every WARPS-th cluster.
    constexpr int PER_LANE = (SLICE + 31) / 32;
    float4 y[PER_LANE];
    float overall[PER_LANE], total[PER_LANE];
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) y[i] = make_float4(0, 0, 0, 0), overall[i] = minus_infinity(), total[i] = 0;
#pragma unroll 2
    for (int c = warp; c < clusters; c += WARPS) {
        const float *partial = partials + (long long)c * CLUSTER * PARTIAL;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const int v = min(32 * i + lane, SLICE - 1), head = min(4 * (rank * SLICE + v) / D, HEADS - 1);
            const float m = __ldcg(partial + 4 * SLICE + head), l = __ldcg(partial + 4 * SLICE + HEADS + head);
            join(overall[i], total[i], y[i], m, l, __ldcg((const float4 *)partial + v));
        }
    }
    float4 *warp_results = (float4 *)rings;
    float2 *warp_sums = (float2 *)(warp_results + WARPS * SLICE);
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int v = 32 * i + lane;
        if (v >= SLICE) continue;
        warp_results[warp * SLICE + v] = y[i];
        warp_sums[warp * SLICE + v] = make_float2(overall[i], total[i]);
    }
    __syncthreads();
    for (int v = threadIdx.x; v < SLICE; v += THREADS) {
        const int at = rank * SLICE + v, head = 4 * at / D;
        if (at >= VECTORS || head >= heads) continue;
        float4 x = warp_results[v];
        float m = warp_sums[v].x, l = warp_sums[v].y;
#pragma unroll
        for (int w = 1; w < WARPS; w++) {
            const float2 other = warp_sums[w * SLICE + v];
            join(m, l, x, other.x, other.y, warp_results[w * SLICE + v]);
        }
        store4(out + 4 * at, x, l > 0 ? 1 / l : l);
    }
}
