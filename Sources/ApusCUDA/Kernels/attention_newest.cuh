#pragma once
// The newest token in attention_decode: its q for the tensor cores, its k and v for the cache and for this very step.

constexpr int R = ROTARY_DIM;
/// Pairs of columns (64j + 2·lane, + 1) of a lane.
constexpr int PAIRS = (D + 63) / 64;

__shared__ __align__(16) CACHE_T newest[2][D];
__shared__ float newest_scale[2];

/// Cosines and sines of a position, for the columns of a lane.
struct Turn {
    float cosine[PAIRS][2], sine[PAIRS][2];

    __device__ __forceinline__ Turn(const float *table, int position, int lane) {
        const float *row = table + (long long)position * R;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int d = 64 * j + 2 * lane + i, pair = d < R / 2 ? d : d - R / 2;
                cosine[j][i] = d < R ? row[pair] : 1;
                // The first half of a pair loses what the second gains.
                sine[j][i] = d < R ? (d < R / 2 ? -row[pair + R / 2] : row[pair + R / 2]) : 0;
            }
        }
    }
};

/// The column that column d < R turns with.
__device__ __forceinline__ int partner_of(int d) { return d < R / 2 ? d + R / 2 : d - R / 2; }

/// A number as the cache keeps it; `inverse` is one over the scale of its row (INT8).
template <typename C> __device__ __forceinline__ C kept(float x, float inverse) {
    if constexpr (sizeof(C) == 1) {
        const float code = rintf(__fmul_rn(x, inverse));
        return (C)(fabsf(code) <= 128 ? (int)code : -128);
    } else {
        return from_float<C>(x);
    }
}

/// Keeps a row of K or V in shared memory as the cache does, and writes it there.
__device__ __forceinline__ void keep_newest(
    int plane, const float (&x)[PAIRS][2], CACHE_T *head, bool writes, int slot, int capacity, int lane) {
    CACHE_T *row = head + (long long)slot * D;
    float inverse = 0;
    if constexpr (IS_QUANTIZED) {
        float largest = 0;
        bool is_nan = false;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) largest = fmaxf(largest, fabsf(x[j][i])), is_nan |= x[j][i] != x[j][i];
        }
        largest = warp_max(largest);
        const float scale = __any_sync(0xffffffffu, is_nan) ? __int_as_float(0x7fc00000) : __fdiv_rn(largest, 127.0f);
        inverse = scale == 0 ? 0 : __fdiv_rn(1.0f, scale);
        if (lane == 0) {
            newest_scale[plane] = scale;
            if (writes) ((float *)(head + (long long)capacity * D))[slot] = scale;
        }
    }
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int d = 64 * j + 2 * lane;
        if (d >= D) continue;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            newest[plane][d + i] = kept<CACHE_T>(x[j][i], inverse);
            if (writes) row[d + i] = newest[plane][d + i];
        }
    }
}

/// Norms and turns q of the block's heads and, if the block owns the newest key, k; each warp takes every WARPS-th.
__device__ __forceinline__ void take_newest(
    const float *packed_qkv, int first_head, int kv_head, int heads, bool owns, bool writes, const Turn &turn,
    const float *q_norm, const float *k_norm, float eps, float q_factor, CACHE_T *k_head, CACHE_T *v_head, int slot,
    int capacity) {
    constexpr int ROUNDS = (HEADS + 2 + WARPS - 1) / WARPS;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, tasks = heads + (owns ? 2 : 0);
    float x[ROUNDS][PAIRS][2], other[ROUNDS][PAIRS][2];
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        const int task = warp + round * WARPS;
        const int head = task < heads ? first_head + task : task == heads ? HQ + kv_head : HQ + HKV + kv_head;
        const float *row = packed_qkv + head * D;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int d = 64 * j + 2 * lane;
            const bool is_there = task < tasks && d < D;
            const float2 pair = is_there ? *(const float2 *)(row + d) : make_float2(0, 0);
            x[round][j][0] = pair.x, x[round][j][1] = pair.y;
#pragma unroll
            for (int i = 0; i < 2; i++) other[round][j][i] = is_there && d + i < R ? row[partner_of(d + i)] : 0;
        }
    }
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        const int task = warp + round * WARPS;
        if (task >= tasks) break;
        if (task > heads) {
            keep_newest(1, x[round], v_head, writes, slot, capacity, lane);
            continue;
        }
#if QK_NORM
        const float *norm = task < heads ? q_norm : k_norm;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) sum += x[round][j][0] * x[round][j][0] + x[round][j][1] * x[round][j][1];
        const float inverse = 1 / sqrtf(warp_sum(sum) / D + eps);
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int d = 64 * j + 2 * lane + i;
                if (d < D) x[round][j][i] *= inverse * norm[d];
                if (d < R) other[round][j][i] *= inverse * norm[partner_of(d)];
            }
        }
#endif
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float turned = __fmul_rn(other[round][j][i], turn.sine[j][i]);
                x[round][j][i] = __fadd_rn(__fmul_rn(x[round][j][i], turn.cosine[j][i]), turned);
            }
        }
        if (task == heads) {
            keep_newest(0, x[round], k_head, writes, slot, capacity, lane);
        } else {
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int d = 64 * j + 2 * lane;
                if (d < D) store_query(task, d, x[round][j][0] * q_factor, x[round][j][1] * q_factor);
            }
        }
    }
}

__device__ __forceinline__ Eight newest_at(int plane, int d) {
    Eight x;
#pragma unroll
    for (int i = 0; i < 2 * (int)sizeof(CACHE_T); i++) x.w[i] = d < D ? ((const unsigned *)(newest[plane] + d))[i] : 0;
    return x;
}

/// Puts the newest token into row `row` of a granule.
__device__ __forceinline__ void insert_newest(Granule &granule, int row, int g, int t) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (row != g + 8 * r) continue;
#pragma unroll
        for (int c = 0; c < K_CHUNKS; c++) granule.k[c][r] = newest_at(0, 32 * c + 8 * t);
        granule.k_scale[r] = newest_scale[0], granule.v_scale[r] = newest_scale[1];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (row != value_row(i, t)) continue;
#pragma unroll
        for (int c = 0; c < V_CHUNKS; c++) granule.v[c][i] = newest_at(1, 64 * c + 8 * g);
    }
}
