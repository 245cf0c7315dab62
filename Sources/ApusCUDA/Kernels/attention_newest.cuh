#pragma once
// The newest token in attention_decode: its q for the tensor cores, its k and v for the cache and for this very step.

/// Strides of the new token's operands and of the caches, in elements; columns are contiguous, rows of a cache too.
struct NewestStrides {
    long long q_batch, q_head, k_batch, k_head, v_batch, v_head;
    long long k_cache_batch, k_cache_head, v_cache_batch, v_cache_head;
    long long rope_batch;
};

constexpr int R = ROTARY_DIM;
/// Pairs of columns (64j + 2·lane, + 1) of a lane.
constexpr int PAIRS = (D + 63) / 64;

__shared__ __align__(16) CACHE_T newest[2][D];
__shared__ float newest_scale[2];

/// Cosines and sines of a position, for the columns of a lane.
struct Turn {
    float cosine[PAIRS][2], sine[PAIRS][2];

    /// Rows of a table hold R/2 cosines and R/2 sines; those of a pass R of each, one for each column.
    __device__ __forceinline__ void load(const float *cosines, const float *sines, int row, int lane) {
        const float *cos = cosines + (long long)row * R, *sin = sines + (long long)row * R;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int d = 64 * j + 2 * lane + i, place = TABLE && d >= R / 2 ? d - R / 2 : d;
                cosine[j][i] = d < R ? cos[place] : 1;
                // The first half of a pair loses what the second gains.
                sine[j][i] = d < R ? (d < R / 2 ? -sin[place] : sin[place]) : 0;
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

/// The new heads that a warp prepares: of the block's q heads, k and v every WARPS-th.
struct NewestHeads {
    static constexpr int ROUNDS = (HEADS + 2 + WARPS - 1) / WARPS;
    float x[ROUNDS][PAIRS][2], other[ROUNDS][PAIRS][2];
#if QK_NORM
    float norm[ROUNDS][PAIRS][2], other_norm[ROUNDS][PAIRS][2];

    /// Norm weights are constant.
    __device__ __forceinline__ void load_norms(const float *q_norm, const float *k_norm, int warp, int lane) {
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            const float *row = warp + round * WARPS < HEADS ? q_norm : k_norm;
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int d = 64 * j + 2 * lane + i;
                    norm[round][j][i] = d < D ? row[d] : 0;
                    other_norm[round][j][i] = d < R ? row[partner_of(d)] : 0;
                }
            }
        }
    }
#endif

    /// Tasks are HEADS q heads, of which `heads` are there, then k, then v.
    __device__ __forceinline__ void load(
        const float *q, long long q_head, const float *k, const float *v, int heads, int warp, int lane) {
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            const int task = warp + round * WARPS;
            const float *row = task < HEADS ? q + task * q_head : task == HEADS ? k : v;
            const bool is_task = task < heads || (task >= HEADS && task < HEADS + 2);
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int d = 64 * j + 2 * lane;
                const float2 pair = is_task && d < D ? *(const float2 *)(row + d) : make_float2(0, 0);
                x[round][j][0] = pair.x, x[round][j][1] = pair.y;
#pragma unroll
                for (int i = 0; i < 2; i++) other[round][j][i] = is_task && d + i < R ? row[partner_of(d + i)] : 0;
            }
        }
    }

    /// Norms and turns q and, if the block owns the newest key, k; q goes to the tensor cores' places.
    __device__ __forceinline__ void finish(
        int heads, bool owns, bool writes, const Turn &turn, float eps, float q_factor, CACHE_T *k_head,
        CACHE_T *v_head, int slot, int capacity, int warp, int lane) {
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            const int task = warp + round * WARPS;
            if (task < HEADS ? task >= heads : !owns || task >= HEADS + 2) continue;
            if (task > HEADS) {
                keep_newest(1, x[round], v_head, writes, slot, capacity, lane);
                continue;
            }
#if QK_NORM
            float sum = 0;
#pragma unroll
            for (int j = 0; j < PAIRS; j++) sum += x[round][j][0] * x[round][j][0] + x[round][j][1] * x[round][j][1];
            const float inverse = 1 / sqrtf(warp_sum(sum) / D + eps);
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    x[round][j][i] *= inverse * norm[round][j][i];
                    other[round][j][i] *= inverse * other_norm[round][j][i];
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
            if (task == HEADS) {
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
};

/// Puts the newest token's row into row `row` of a unit in shared memory.
template <bool IS_KEY> __device__ __forceinline__ void insert_newest(char *unit, int row, int lane) {
    const char *from = (const char *)newest[IS_KEY ? 0 : 1];
    for (int byte = 4 * lane; byte < ROW_BYTES; byte += 128) {
        *(unsigned *)(unit + place_of<IS_KEY>(0, row, 0, byte)) = *(const unsigned *)(from + byte);
    }
    if (IS_QUANTIZED && lane == 0) ((float *)(unit + GRANULE * ROW_BYTES))[row] = newest_scale[IS_KEY ? 0 : 1];
    __syncwarp();
}
