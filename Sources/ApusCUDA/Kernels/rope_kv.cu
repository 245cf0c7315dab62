// rope_kv: first half of attention with a cache for more than one new token a sequence, of the plugin and of static caches.
//
// Of each new token it norms (QK_NORM) and turns Q and K, writes K and V to the cache and the turned Q to scratch:
//   x      = q, k or v[b, head, s]
//   x      = x / sqrt(mean(x^2) + eps) * norm            Q and K
//   y[i]   = x[i]·cos[i] - x[i + R/2]·sin[i]             Q and K, i < R/2; dims from R on stay
//   y[i+R/2] = x[i + R/2]·cos[i] + x[i]·sin[i]
// Token s of sequence b goes to slot first(b) + s and turns by that position, in a tree by positions[b, s]. Rows of
// padding (s >= count(b), or position -1) leave the cache alone and get a Q of zeros, so that no garbage goes on.
// A warp handles AT_ONCE heads of a token at a time: their loads are under way together, and sums stay inside it. Bound by
// memory: each number is read once and written once.
//
// Macros
//   CACHE_T             T, type of the cache: float, half_t, bfloat_t, or signed char for INT8
//   Q_T                 type of q_out: float, half_t, bfloat_t
//   HEAD_DIM            D
//   ROTARY_DIM          R, even, 0…D
//   Q_HEADS, KV_HEADS   HQ, HKV
//   QK_NORM             1: q_norm and k_norm are there, else 0
//   TABLE               1: angles are rows of a table by position, R/2 of them; 0: a row for each new token, R of them
// With signed char a head of the cache is C·D codes and behind them C scales, one f32 a token (D + 4 bytes a token):
// scale = max|x| / 127, code = x·(1 / scale) rounded to nearest even; a row with a NaN gets a NaN as scale.
//
// Launch: grid (S, Y, B), block 128, no dynamic shared memory. Y: 1 where S·B fills the GPU, else up to
// ceil((HQ + 2·HKV) / 4), among which the heads are dealt out.
//
// Arguments
//   q f32[B, HQ, S, D], k and v f32[B, HKV, S, D], k_cache and v_cache T[B, HKV, C, D] and cosines and sines f32 with
//   `strides` (NewestStrides, elements; those of q, k and v are multiples of RUN); rope_rows (TABLE 1); q_norm, k_norm f32[D]
//   or null; eps of the norms; factor f32[1] or null, by which Q is multiplied; lengths i32[B] or null, starts i32[B] or null,
//   totals, keys (C where there are lengths): see span_of; positions i32[B, S] of a tree, else null; q_out Q_T[B, S, HQ, D];
//   capacity C.

#include "attention.cuh"

#if !defined(CACHE_T) || !defined(Q_T) || !defined(HEAD_DIM) || !defined(ROTARY_DIM)
#error "rope_kv needs CACHE_T, Q_T, HEAD_DIM, ROTARY_DIM"
#endif
#if !defined(Q_HEADS) || !defined(KV_HEADS) || !defined(QK_NORM) || !defined(TABLE)
#error "rope_kv needs Q_HEADS, KV_HEADS, QK_NORM, TABLE"
#endif

constexpr int D = HEAD_DIM, R = ROTARY_DIM, HQ = Q_HEADS, HKV = KV_HEADS, WARPS = 4;
/// Elements that a lane holds side by side: no such run may straddle the halves of a pair.
constexpr int RUN = D % 128 == 0 && R / 2 % 4 == 0 ? 4 : D % 2 == 0 && R / 2 % 2 == 0 ? 2 : 1;
constexpr int RUNS = (D + 32 * RUN - 1) / (32 * RUN);
/// Heads of a token that a warp reads before it works on them.
constexpr int AT_ONCE = RUNS == 1 ? 4 : 2, HEADS = HQ + 2 * HKV;
constexpr bool IS_QUANTIZED = sizeof(CACHE_T) == 1;

template <typename E> __device__ __forceinline__ void store_run(E *p, const float (&x)[RUN]) {
    if constexpr (RUN == 1) {
        p[0] = from_float<E>(x[0]);
    } else if constexpr (sizeof(E) == 4) {
        if constexpr (RUN == 4) *(float4 *)p = make_float4(x[0], x[1], x[2], x[3]);
        else *(float2 *)p = make_float2(x[0], x[1]);
    } else {
        if constexpr (RUN == 4) *(uint2 *)p = make_uint2(pack2<E>(x[0], x[1]), pack2<E>(x[2], x[3]));
        else *(unsigned *)p = pack2<E>(x[0], x[1]);
    }
}

__device__ __forceinline__ void load_run(const float *p, float (&x)[RUN]) {
    if constexpr (RUN == 4) {
        const float4 v = *(const float4 *)p;
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else if constexpr (RUN == 2) {
        const float2 v = *(const float2 *)p;
        x[0] = v.x, x[1] = v.y;
    } else {
        x[0] = p[0];
    }
}

/// Writes a row to slot `slot` of a head of the cache.
__device__ __forceinline__ void write_row(
    CACHE_T *head, int slot, int capacity, const float (&x)[RUNS][RUN], int lane) {
    if constexpr (!IS_QUANTIZED) {
#pragma unroll
        for (int j = 0; j < RUNS; j++) {
            const int d = (32 * j + lane) * RUN;
            if (d < D) store_run(head + (long long)slot * D + d, x[j]);
        }
    } else {
        float largest = 0;
        bool is_nan = false;
#pragma unroll
        for (int j = 0; j < RUNS; j++) {
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                largest = fmaxf(largest, fabsf(x[j][i]));
                is_nan |= x[j][i] != x[j][i];
            }
        }
        largest = warp_max(largest);
        const float scale = __any_sync(0xffffffffu, is_nan) ? __int_as_float(0x7fc00000) : __fdiv_rn(largest, 127.0f);
        const float inverse = scale == 0 ? 0 : __fdiv_rn(1.0f, scale);
#pragma unroll
        for (int j = 0; j < RUNS; j++) {
            const int d = (32 * j + lane) * RUN;
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                const float code = rintf(__fmul_rn(x[j][i], inverse));
                if (d < D) ((signed char *)head)[(long long)slot * D + d + i] = (signed char)(fabsf(code) <= 128 ? (int)code : -128);
            }
        }
        if (lane == 0) ((float *)(head + (long long)capacity * D))[slot] = scale;
    }
}

/// What the halves of pairs are multiplied by, of the numbers that a lane holds: 1 and 0 where nothing turns.
struct Turn {
    float cosine[RUNS][RUN], sine[RUNS][RUN];

    /// x[i] becomes x[i]·cos − x[i + R/2]·sin and its partner x[i + R/2]·cos + x[i]·sin.
    __device__ __forceinline__ void apply(float (&x)[RUNS][RUN], int lane) const {
        float partner[RUNS][RUN];
#pragma unroll
        for (int j = 0; j < RUNS; j++) {
            const int d = (32 * j + lane) * RUN, other = d < R / 2 ? d + R / 2 : d - R / 2;
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                // Run d is run d / RUN / 32 of lane d / RUN % 32.
                partner[j][i] = 0;
#pragma unroll
                for (int from = 0; from < RUNS; from++) {
                    const float y = __shfl_sync(0xffffffffu, x[from][i], other / RUN % 32);
                    if (other / RUN / 32 == from && d < R) partner[j][i] = y;
                }
            }
        }
#pragma unroll
        for (int j = 0; j < RUNS; j++) {
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                // Rounded after each product, as on processors, so that codes of INT8 caches agree.
                const float turned = __fmul_rn(partner[j][i], sine[j][i]);
                x[j][i] = __fadd_rn(__fmul_rn(x[j][i], cosine[j][i]), turned);
            }
        }
    }
};

extern "C" __global__ void __launch_bounds__(WARPS * 32) rope_kv(
    const float *q, const float *k, const float *v, CACHE_T *k_cache, CACHE_T *v_cache, const float *cosines,
    const float *sines, NewestStrides strides, int rope_rows, const float *q_norm, const float *k_norm, float eps,
    const float *factor, const int *lengths, const int *starts, int totals, int keys, const int *positions, Q_T *q_out,
    int capacity) {
    wait_for_previous();
    let_next_start();
    const int s = blockIdx.x, b = blockIdx.z, rows = gridDim.x;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, step = gridDim.y * WARPS;
    const long long token = (long long)b * rows + s;
    float x[AT_ONCE][RUNS][RUN];
    const auto load = [&](int first) {
#pragma unroll
        for (int h = 0; h < AT_ONCE; h++) {
            const int head = first + h * step;
            const float *row = head < HQ         ? q + b * strides.q_batch + head * strides.q_head + s * strides.q_row
                             : head < HQ + HKV ? k + b * strides.k_batch + (head - HQ) * strides.k_head + s * strides.k_row
                                               : v + b * strides.v_batch + (head - HQ - HKV) * strides.v_head + s * strides.v_row;
#pragma unroll
            for (int j = 0; j < RUNS; j++) {
                const int d = (32 * j + lane) * RUN;
#pragma unroll
                for (int i = 0; i < RUN; i++) x[h][j][i] = 0;
                if (d < D && head < HEADS) load_run(row + d, x[h][j]);
            }
        }
    };
    // The first heads come while it is found out where they stand.
    load(blockIdx.y * WARPS + warp);
    const AttentionSpan span = span_of(b, lengths, 1, starts, totals, rows, keys);
    const int slot = span.first + s;
    int position = s < span.count && slot >= 0 ? slot : -1;
    if (positions != nullptr && position >= 0) position = positions[token];
    const bool is_token = position >= 0;

    // Turns are the same for all heads of a token.
    Turn turn;
    const int angle = TABLE ? min(max(position, 0), rope_rows - 1) : s;
    const float *cos = cosines + b * strides.rope_batch + angle * strides.rope_row;
    const float *sin = sines + b * strides.rope_batch + angle * strides.rope_row;
#pragma unroll
    for (int j = 0; j < RUNS; j++) {
        const int d = (32 * j + lane) * RUN;
#pragma unroll
        for (int i = 0; i < RUN; i++) {
            const bool turns = is_token && d + i < R;
            const int place = TABLE && d + i >= R / 2 ? d + i - R / 2 : d + i;
            turn.cosine[j][i] = turns ? cos[place] : 1;
            // The first half of a pair loses what the second gains.
            turn.sine[j][i] = turns ? (d + i < R / 2 ? -sin[place] : sin[place]) : 0;
        }
    }

    for (int first = blockIdx.y * WARPS + warp; first < HEADS;) {
#pragma unroll
        for (int h = 0; h < AT_ONCE; h++) {
            const int head = first + h * step;
            const bool is_query = head < HQ, is_value = head >= HQ + HKV;
            if (head >= HEADS || (!is_token && !is_query)) continue;
            if (!is_token) {
#pragma unroll
                for (int j = 0; j < RUNS; j++) {
#pragma unroll
                    for (int i = 0; i < RUN; i++) x[h][j][i] = 0;
                }
            } else if (!is_value) {
#if QK_NORM
                const float *norm = is_query ? q_norm : k_norm;
                float sum = 0;
#pragma unroll
                for (int j = 0; j < RUNS; j++) {
#pragma unroll
                    for (int i = 0; i < RUN; i++) sum += x[h][j][i] * x[h][j][i];
                }
                const float inverse = 1 / sqrtf(warp_sum(sum) / D + eps);
#pragma unroll
                for (int j = 0; j < RUNS; j++) {
                    const int d = (32 * j + lane) * RUN;
#pragma unroll
                    for (int i = 0; i < RUN; i++) {
                        if (d < D) x[h][j][i] *= inverse * norm[d + i];
                    }
                }
#endif
                turn.apply(x[h], lane);
            }
            if (is_query) {
                Q_T *y = q_out + (token * HQ + head) * D;
                if (factor != nullptr) {
#pragma unroll
                    for (int j = 0; j < RUNS; j++) {
#pragma unroll
                        for (int i = 0; i < RUN; i++) x[h][j][i] *= *factor;
                    }
                }
#pragma unroll
                for (int j = 0; j < RUNS; j++) {
                    const int d = (32 * j + lane) * RUN;
                    if (d < D) store_run(y + d, x[h][j]);
                }
            } else {
                const int kv_head = is_value ? head - HQ - HKV : head - HQ;
                CACHE_T *to = is_value ? v_cache + b * strides.v_cache_batch + kv_head * strides.v_cache_head
                                       : k_cache + b * strides.k_cache_batch + kv_head * strides.k_cache_head;
                write_row(to, slot, capacity, x[h], lane);
            }
        }
        first += AT_ONCE * step;
        if (first < HEADS) load(first);
    }
}
