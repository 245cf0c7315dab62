#pragma once
// What matrix-vector kernels share: inputs in shared memory with their norm, and what is done with a finished sum.
//
// Macros, beside those of the file that includes this:
//   N, K           output features, inputs
//   ROWS           rows of x, 1 to 8: each weight is read once for all
//   VECTOR         type of bias, norm_weight and norm_bias: float, half_t or bfloat_t
//   NORM           0 none; 1 x · rsqrt(mean(x²) + eps) · norm_weight;
//                  2 (x − mean) · rsqrt(variance + eps) · norm_weight + norm_bias, norm_bias may be null
//   HAS_BIAS       1: bias [N] (GATED: [2N], gates first) is added
//   HAS_RESIDUAL   1: residual f32 [ROWS, N] is added; it may be y itself
//   GATED          1: W has 2N rows, N of gates and then N of values: y = silu(gate) · value
//   THREADS, GRID  threads of a block, blocks of the grid
#include "types.cuh"

#if !defined(N) || !defined(K) || !defined(ROWS) || !defined(VECTOR) || !defined(THREADS) || !defined(GRID)
#error "N, K, ROWS, VECTOR, THREADS and GRID must be defined"
#endif
#if !defined(NORM) || !defined(HAS_BIAS) || !defined(HAS_RESIDUAL) || !defined(GATED)
#error "NORM, HAS_BIAS, HAS_RESIDUAL and GATED must be defined"
#endif

constexpr int WARPS = THREADS / 32;
constexpr int PARTS = GATED ? 2 : 1;
static_assert(ROWS >= 1 && ROWS <= 8, "ROWS is 1 to 8");
static_assert(THREADS % 32 == 0, "THREADS is a multiple of 32");

constexpr int divided_up(int a, int b) { return (a + b - 1) / b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

/// Groups of four inputs of a row.
constexpr int QUADS = divided_up(K, 4);

/// Inputs 4q to 4q + 3 of a row of x or of a vector, zero past K.
template <typename T> __device__ __forceinline__ float4 quad(const T *p, int q) {
    if constexpr (K % 4 == 0) {
        if (q >= QUADS) return make_float4(0, 0, 0, 0);
        if constexpr (sizeof(T) == 4) {
            return ((const float4 *)p)[q];
        } else {
            const uint2 words = ((const uint2 *)p)[q];
            const float2 a = unpack2<T>(words.x), b = unpack2<T>(words.y);
            return make_float4(a.x, a.y, b.x, b.y);
        }
    } else {
        const int k = 4 * q;
        return make_float4(
            k < K ? to_float(p[k]) : 0, k + 1 < K ? to_float(p[k + 1]) : 0,
            k + 2 < K ? to_float(p[k + 2]) : 0, k + 3 < K ? to_float(p[k + 3]) : 0);
    }
}

__device__ __forceinline__ float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

/// The norm of the inputs: a factor for each row that is applied to finished sums (NORM 1), or to the inputs (NORM 2).
///
/// `keeps` is the number of quads of a row that a thread brings to shared memory, THREADS apart, if their norm weights
/// shall be loaded into registers ahead of time, else 0.
template <int keeps> struct Norm {
    const VECTOR *weight, *bias;
    float eps;
    float4 kept[keeps > 0 ? keeps : 1];
    float squares[ROWS];
    float mean[NORM == 2 ? ROWS : 1] = {}, factor[NORM == 2 ? ROWS : 1] = {};

    /// Loads constants; to be called before the wait.
    __device__ __forceinline__ void prepare(const VECTOR *norm_weight, const VECTOR *norm_bias, float epsilon) {
        weight = norm_weight, bias = norm_bias, eps = epsilon;
#pragma unroll
        for (int m = 0; m < ROWS; m++) squares[m] = 0;
        if constexpr (NORM != 0) {
#pragma unroll
            for (int i = 0; i < keeps; i++) kept[i] = quad(weight, threadIdx.x + i * THREADS);
        }
    }

    /// Mean and variance of all rows for NORM 2, in two passes over x so that nothing cancels.
    __device__ __forceinline__ void measure(const float *x, float *shared) {
        if constexpr (NORM == 2) {
#pragma unroll 1
            for (int m = 0; m < ROWS; m++) {
                float sum = 0;
                for (int q = threadIdx.x; q < QUADS; q += THREADS) {
                    const float4 v = quad(x + (long long)m * K, q);
                    sum += (v.x + v.y) + (v.z + v.w);
                }
                const float average = block_sum<THREADS>(sum, shared) / K;
                sum = 0;
                for (int q = threadIdx.x; q < QUADS; q += THREADS) {
                    const float4 v = quad(x + (long long)m * K, q);
                    const float d[4] = {v.x - average, v.y - average, v.z - average, v.w - average};
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        if (K % 4 == 0 || 4 * q + i < K) sum += d[i] * d[i];
                    }
                }
                const float variance = block_sum<THREADS>(sum, shared + WARPS) / K;
                __syncthreads();
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    if (i == m) mean[i] = average, factor[i] = rsqrtf(variance + eps);
                }
            }
        }
    }

    /// The norm weights of quad q, the thread's i-th of a row.
    __device__ __forceinline__ float4 weights(int q, int i) const {
        if constexpr (NORM == 0) return make_float4(0, 0, 0, 0);
        return i < keeps ? kept[i < keeps ? i : 0] : quad(weight, q);
    }

    /// What quad q of row m enters the sums with.
    __device__ __forceinline__ float4 apply(float4 v, float4 w, int m, int q, bool isFirstPass) {
        if constexpr (NORM == 0) return v;
        if constexpr (NORM == 1) {
            if (isFirstPass) squares[m] += dot(v, v);
            return make_float4(v.x * w.x, v.y * w.y, v.z * w.z, v.w * w.w);
        } else {
            const float4 b = bias ? quad(bias, q) : make_float4(0, 0, 0, 0);
            const float c = mean[m], f = factor[m];
            return make_float4(
                (v.x - c) * f * w.x + b.x, (v.y - c) * f * w.y + b.y, (v.z - c) * f * w.z + b.z,
                (v.w - c) * f * w.w + b.w);
        }
    }

    /// Hands this thread's part of the squares to the block, before a barrier. `shared` holds [ROWS][WARPS].
    __device__ __forceinline__ void share(float *shared) {
        if constexpr (NORM == 1) {
#pragma unroll
            for (int m = 0; m < ROWS; m++) {
                const float sum = warp_sum(squares[m]);
                if (threadIdx.x % 32 == 0) shared[m * WARPS + threadIdx.x / 32] = sum;
            }
        }
    }

    /// The factor of row m's sums, after that barrier.
    __device__ __forceinline__ float scale(const float *shared, int m) const {
        if constexpr (NORM != 1) return 1;
        float sum = 0;
#pragma unroll
        for (int i = 0; i < WARPS; i++) sum += shared[m * WARPS + i];
        return rsqrtf(sum * (1.0f / K) + eps);
    }
};

/// Floats of shared memory that Norm wants.
constexpr int NORM_SHARED = (ROWS > 2 ? ROWS : 2) * WARPS;

/// What is added to feature n of row m, to be loaded long before it is needed.
struct Addend {
    float bias[PARTS], residual;

    __device__ __forceinline__ void load(const VECTOR *biases, const float *residuals, int m, int n) {
        load_constants(biases, n);
        load_residual(residuals, m, n);
    }
    /// What may be loaded before the kernels before this one have ended.
    __device__ __forceinline__ void load_constants(const VECTOR *biases, int n) {
        residual = 0;
#pragma unroll
        for (int p = 0; p < PARTS; p++) bias[p] = HAS_BIAS ? to_float(biases[p * N + n]) : 0;
    }
    __device__ __forceinline__ void load_residual(const float *residuals, int m, int n) {
        if constexpr (HAS_RESIDUAL) residual = residuals[(long long)m * N + n];
    }

    __device__ __forceinline__ float finish(const float (&sum)[PARTS]) const {
        float y = sum[0] + bias[0];
        if constexpr (GATED) y = y / (1 + __expf(-y)) * (sum[1] + bias[1]);
        return y + residual;
    }
};

/// The largest of values met so far, the first of equal ones. A NaN counts as infinite: whoever reads the result rejects both.
struct Best {
    float value = __int_as_float(0xff800000);
    int index = 0x7fffffff;

    __device__ __forceinline__ void meet(float v, int i) {
        v = v == v ? v : __int_as_float(0x7f800000);
        if (v > value || (v == value && i < index)) value = v, index = i;
    }

    /// The best of a warp, in every lane.
    __device__ __forceinline__ void reduce() {
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) {
            const float v = __shfl_xor_sync(0xffffffffu, value, offset);
            meet(v, __shfl_xor_sync(0xffffffffu, index, offset));
        }
    }
};

/// Writes the best of a block for row m of x; `mine` is what the thread met. All threads take part.
__device__ __forceinline__ void publish_best(Best mine, int m, Best *shared, float *values, int *indices) {
    mine.reduce();
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 1; i < WARPS; i++) mine.meet(shared[i].value, shared[i].index);
        values[m * GRID + blockIdx.x] = mine.value;
        indices[m * GRID + blockIdx.x] = mine.index;
    }
}

/// Writes the bests of a block for all rows of x: what the thread met of its output `first + i · step`, of row
/// (first + i · step) % ROWS, is best[i]. All threads take part.
template <int COUNT>
__device__ __forceinline__ void publish_bests(
    const Best (&best)[COUNT], int first, int step, Best *shared, float *values, int *indices) {
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        Best found;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            if ((first + i * step) % ROWS == m) found.meet(best[i].value, best[i].index);
        }
        publish_best(found, m, shared, values, indices);
    }
}
