#pragma once
// Attention of decode_stack: the query heads of one KV head, its keys dealt to the blocks of a cluster unit by unit.
//
// Scores run on tensor cores, queries as columns in two parts (see stack_product.cuh). So do values of heads of 128, whose weights
// are columns in two parts; values of heads of 64 are weighted by ordinary multiply-adds, a lane for some columns of all heads.
// Softmax is online, in FP32.

#include "attention.cuh"
#include "stack_product.cuh"

constexpr int D = HEAD_DIM, GROUP = Q_HEADS / KV_HEADS;
constexpr int RUN = 2048 / D;                   ///< keys of a unit: rows of K, then rows of V
constexpr int KEY_BYTES = 2 * D;                ///< of a row
/// Rows of V lie 16 bytes further apart than they are long where tensor cores read them: eight rows then meet all banks.
constexpr bool IS_PADDED = D == 128;
constexpr int VALUE_PITCH = KEY_BYTES + (IS_PADDED ? 16 : 0), VALUES_AT = RUN * KEY_BYTES;
static_assert(VALUES_AT + RUN * VALUE_PITCH <= STAGE_BYTES, "a unit fits its stage");
constexpr int OUTPUTS = GROUP * D;              ///< of the heads of a cluster
/// Floats of a partial result: values, then of each head the largest score and the sum.
constexpr int PARTIAL = OUTPUTS + 2 * GROUP;
constexpr int OWN_COLUMNS = D / 32;             ///< of V, of a lane
constexpr int VALUE_TILES = D / 16;             ///< of V, of tensor cores
constexpr int QUERY_COLUMNS = 2 * GROUP, QUERY_TILES = (QUERY_COLUMNS + 7) / 8;
constexpr bool HAS_PARITY = 2 * QUERY_COLUMNS <= 8;
constexpr int AT_ONCE = 32;                     ///< keys that a warp takes at once: of one unit or of two
constexpr int UNITS = AT_ONCE / RUN;
constexpr int HEAD_LANES = 32 / GROUP;          ///< lanes that share a head's scores
constexpr int LANE_KEYS = AT_ONCE / HEAD_LANES;
static_assert(D == 64 || D == 128, "heads of 64 or 128");
static_assert(!IS_PADDED || GROUP <= 4, "the heads' weights are columns of one product");
static_assert(GROUP == 1 || GROUP == 2 || GROUP == 4 || GROUP == 8, "lanes share heads evenly");

/// Cosines and signed sines of the new token's position, [D] each.
struct Angles {
    const float *cosines, *sines;

    /// Turns a number whose partner is half a head away.
    __device__ __forceinline__ float turn(float x, float partner, int d) const {
        return __fadd_rn(__fmul_rn(x, cosines[d]), __fmul_rn(partner, sines[d]));
    }
};

/// A new head that a warp norms and turns: lane l has columns l, l + 32, …
struct NewHead {
    float x[D / 32];

    __device__ __forceinline__ NewHead(const float *from, const float *norm, float eps, const Angles &angles) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < D / 32; i++) x[i] = from[lane + 32 * i];
#if QK_NORM
        float sum = 0;
#pragma unroll
        for (int i = 0; i < D / 32; i++) sum += x[i] * x[i];
        const float inverse = rsqrtf(warp_sum(sum) * (1.0f / D) + eps);
#pragma unroll
        for (int i = 0; i < D / 32; i++) x[i] *= inverse * norm[lane + 32 * i];
#endif
#pragma unroll
        for (int i = 0; i < D / 64; i++) {
            const float low = x[i], high = x[i + D / 64];
            x[i] = angles.turn(low, high, lane + 32 * i), x[i + D / 64] = angles.turn(high, low, lane + 32 * i + D / 2);
        }
    }
};

/// The new queries of a KV head as columns of a product.
struct Queries {
    unsigned words[QUERY_TILES][D / 32][4];

    /// From parts [GROUP, D] in shared memory. Columns for odd rows meet the groups of columns of K the other way round.
    __device__ __forceinline__ void load(const unsigned *q) {
        const int g = threadIdx.x / 4 % 8, t = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < QUERY_TILES; tile++) {
            const int column = 8 * tile + g, head = column % QUERY_COLUMNS / 2, parity = HAS_PARITY ? column / QUERY_COLUMNS % 2 : 0;
#pragma unroll
            for (int i = 0; i < D / 32; i++) load_parts(q + head * D + 32 * (i ^ parity) + 8 * t, g % 2, words[tile][i]);
        }
    }
};

/// Puts the newest key and value into their places in a unit, and into the cache.
__device__ __forceinline__ void insert_newest(const WEIGHT (&newest)[2][D], char *unit, int row, WEIGHT *k_row, WEIGHT *v_row) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < D / 64; i++) {
        const int pair = lane + 32 * i;
        const unsigned k = ((const unsigned *)newest[0])[pair], v = ((const unsigned *)newest[1])[pair];
        ((unsigned *)(unit + row * KEY_BYTES))[pair] = k, ((unsigned *)k_row)[pair] = k;
        ((unsigned *)(unit + VALUES_AT + row * VALUE_PITCH))[pair] = v, ((unsigned *)v_row)[pair] = v;
    }
    // What lies behind may be anything, and no weight of 0 makes a number of a NaN.
    for (int behind = row + 1; behind < RUN; behind++) {
#pragma unroll
        for (int i = 0; i < D / 64; i++) ((unsigned *)(unit + VALUES_AT + behind * VALUE_PITCH))[lane + 32 * i] = 0;
    }
    __syncwarp();
}

/// What a warp has of the attention of GROUP heads.
struct Attended {
    float largest = minus_infinity(), sum = 0;  ///< of head lane / HEAD_LANES
    float values[IS_PADDED ? VALUE_TILES * 4 : GROUP * OWN_COLUMNS] = {};

    /// Takes UNITS units, the first with keys `key` and on, the second `second_key`; `keys` are there. If the second has none of them,
    /// any unit will do for it. `weights` is room of the warp for GROUP·AT_ONCE floats.
    __device__ __forceinline__ void meet(
        const char *unit, const char *second_unit, const Queries &queries, float *weights, int key, int second_key, int keys) {
        const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
        for (int set = 0; set < AT_ONCE / 16; set++) {
            float c[QUERY_TILES][2][4] = {};
            const int row = 16 * set % RUN + g;
            const char *const at = (16 * set < RUN ? unit : second_unit) + row * KEY_BYTES + 16 * t;
#pragma unroll
            for (int i = 0; i < D / 32; i++) {
                const int group = HAS_PARITY ? i ^ (g & 1) : i;
                const uint4 a = *(const uint4 *)(at + 64 * group), b = *(const uint4 *)(at + 64 * group + 8 * KEY_BYTES);
#pragma unroll
                for (int tile = 0; tile < QUERY_TILES; tile++) {
                    multiply_rows(c[tile], a, b, queries.words[tile][i]);
                }
            }
#pragma unroll
            for (int tile = 0; tile < QUERY_TILES; tile++) {
                float score[2];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    score[i] = c[tile][0][2 * i] + c[tile][1][2 * i] + (c[tile][0][2 * i + 1] + c[tile][1][2 * i + 1]) * LOW;
                }
                const int column = 8 * tile + 2 * t, head = column % QUERY_COLUMNS / 2;
                if (HAS_PARITY ? column / QUERY_COLUMNS == (g & 1) : column < QUERY_COLUMNS) {
                    weights[head * AT_ONCE + 16 * set + g] = score[0];
                    weights[head * AT_ONCE + 16 * set + g + 8] = score[1];
                }
            }
        }
        __syncwarp();
        const int head = lane / HEAD_LANES, first = lane % HEAD_LANES;
        float *const own = weights + head * AT_ONCE;
        float scores[LANE_KEYS], overall = largest;
#pragma unroll
        for (int i = 0; i < LANE_KEYS; i++) {
            const int k = first + i * HEAD_LANES;
            const int at = k < RUN ? key + k : second_key + k - RUN;
            scores[i] = at < keys ? own[k] : minus_infinity();
            overall = fmaxf(overall, scores[i]);
        }
#pragma unroll
        for (int offset = 1; offset < HEAD_LANES; offset *= 2) {
            overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, offset));
        }
        const float shrink = exp2f(largest - overall);
        largest = overall, sum *= shrink;
        __syncwarp();
#pragma unroll
        for (int i = 0; i < LANE_KEYS; i++) {
            scores[i] = exp2f(scores[i] - overall);
            sum += scores[i];
            own[first + i * HEAD_LANES] = scores[i];
        }
        __syncwarp();
        if constexpr (IS_PADDED) weigh_on_tensor_cores(unit + VALUES_AT, second_unit + VALUES_AT, weights, shrink);
        else weigh(unit + VALUES_AT, second_unit + VALUES_AT, weights, shrink);
        __syncwarp();
    }

    /// values[16·tile + g and + 8 further][columns 2t and 2t + 1] of V^T·P^T; columns are the parts of the heads' weights.
    __device__ __forceinline__ void weigh_on_tensor_cores(const char *rows, const char *second_rows, const float *weights, float shrink) {
        const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
        const float factor = __shfl_sync(0xffffffffu, shrink, t % GROUP * HEAD_LANES);
#pragma unroll
        for (int i = 0; i < VALUE_TILES * 4; i++) values[i] *= factor;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            unsigned p[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float2 pair = *(const float2 *)(weights + g / 2 % GROUP * AT_ONCE + half * RUN + 8 * i + 2 * t);
                p[i] = __byte_perm(parts_of(pair.x), parts_of(pair.y), g % 2 == 0 ? 0x5410 : 0x7632);
            }
            // Matrices of eight keys by eight columns: keys 0 to 7, then 8 to 15, of columns 0 to 7, then of 8 to 15.
            const unsigned at = shared_place(half == 0 ? rows : second_rows) + lane % 16 * VALUE_PITCH + lane / 16 * 16;
#pragma unroll
            for (int tile = 0; tile < VALUE_TILES; tile++) {
                unsigned a[4];
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                             : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                             : "r"(at + 32 * tile)
                             : "memory");
                float(&c)[4] = *(float(*)[4])(values + 4 * tile);
                multiply<WEIGHT>(c, {a[0], a[2], a[1], a[3]}, p[0], p[1]);
            }
        }
    }

    /// values[head][column]; a lane has OWN_COLUMNS of all heads.
    __device__ __forceinline__ void weigh(const char *rows, const char *second_rows, const float *weights, float shrink) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            const float factor = __shfl_sync(0xffffffffu, shrink, h * HEAD_LANES);
#pragma unroll
            for (int i = 0; i < OWN_COLUMNS; i++) values[h * OWN_COLUMNS + i] *= factor;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k += 4) {
            float v[4][OWN_COLUMNS];
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int i = 0; i < OWN_COLUMNS; i += 2) {
                    const char *const at = (k < RUN ? rows : second_rows) + (k + j) % RUN * VALUE_PITCH + 2 * (lane * OWN_COLUMNS + i);
                    const float2 pair = unpack2<WEIGHT>(*(const unsigned *)at);
                    v[j][i] = pair.x, v[j][i + 1] = pair.y;
                }
            }
#pragma unroll
            for (int h = 0; h < GROUP; h++) {
                const float4 w = *(const float4 *)(weights + h * AT_ONCE + k);
#pragma unroll
                for (int i = 0; i < OWN_COLUMNS; i++) {
                    values[h * OWN_COLUMNS + i] += w.x * v[0][i] + w.y * v[1][i] + w.z * v[2][i] + w.w * v[3][i];
                }
            }
        }
    }

    /// Writes the partial result of the warp.
    __device__ __forceinline__ void write(float *partial) {
        const int lane = threadIdx.x % 32, head = lane / HEAD_LANES;
#pragma unroll
        for (int offset = 1; offset < HEAD_LANES; offset *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if constexpr (IS_PADDED) {
            const int g = lane / 4, t = lane % 4;
#pragma unroll
            for (int i = 0; i < VALUE_TILES * 2; i++) {
                if (t < GROUP) partial[t * D + 8 * i + g] = values[2 * i] + values[2 * i + 1] * LOW;
            }
        } else {
#pragma unroll
            for (int i = 0; i < GROUP * OWN_COLUMNS; i++) {
                partial[i / OWN_COLUMNS * D + lane * OWN_COLUMNS + i % OWN_COLUMNS] = values[i];
            }
        }
        if (lane % HEAD_LANES == 0) {
            partial[OUTPUTS + 2 * head] = largest, partial[OUTPUTS + 2 * head + 1] = sum;
        }
    }
};

/// Output e of COUNT partial results, `stride` floats apart: what they have together, relative to `largest`, with its sum.
template <int COUNT> struct Joined {
    float largest = minus_infinity(), sum = 0, value = 0;

    __device__ __forceinline__ Joined(const float *partials, int stride, int e) {
        const int head = e / D;
#pragma unroll
        for (int i = 0; i < COUNT; i++) largest = fmaxf(largest, partials[i * stride + OUTPUTS + 2 * head]);
        if (largest == minus_infinity()) return;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const float weight = exp2f(partials[i * stride + OUTPUTS + 2 * head] - largest);
            sum += weight * partials[i * stride + OUTPUTS + 2 * head + 1];
            value += weight * partials[i * stride + e];
        }
    }
};
