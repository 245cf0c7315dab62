// quantized_gemm: y[m, n] = Σ_k (codes[n, k] − zero) · scale[k / G, n] · x[m, k] + bias[n] + residual[m, n] for 9 to about 128
// rows, batches and short prompts; more are taken in tiles of M_TILE. The ops int4_groupwise_gemm and int8_linear. Layout of
// codes: quantized.cuh.
//
// A block of 8 warps multiplies M_TILE rows of x with 128 features over its part of the inputs, 64 at a time. Codes go from
// memory into registers, DEPTH blocks of 64 ahead, and become exact halves (q − zero) · 2⁻²⁴ there. Halves of x are copied
// to shared memory STAGES − 1 blocks ahead; floats are rounded to half (magnitudes up to 65504) on their way, one block ahead,
// which costs more time than a kernel of its own that rounds them. Tensor cores sum the inputs of a group in FP32, and these
// sums are multiplied by the group's scale and 2²⁴ before they are added up.
// Where features are too few to fill the machine, SPLITS blocks share the inputs: each writes its sums to scratch, and the
// last to arrive adds them in their order, so results do not depend on who that is.
// Bound by reading the codes up to about 64 rows, then by the tensor cores.
//
//   y OUT [rows, N]    x INPUT [rows, K], rows 16-byte aligned if K is a multiple of 4
//   bias VECTOR [N], residual f32 [rows, N] or null as the macros say; residual may be y if both are f32
//   scratch f32 [SPLITS, rows, N], counters u32 [gridDim.x · gridDim.y], zero before the first launch and left zero;
//   both may be null if SPLITS is 1
//
// Macros, beside those of quantized.cuh:
//   M_TILE         rows of a block: 16, 32, 64 or 128; the least that holds all rows is best
//   SPLITS         parts of the inputs, 1 to KP / 64
//   INPUT          float or half_t;  OUT, VECTOR  float, half_t or bfloat_t
//   HAS_BIAS, HAS_RESIDUAL   1: added to the sums
//   DEPTH          blocks of 64 inputs in flight: 4, for M_TILE 128 2
//   BLOCKS         blocks that must fit on a multiprocessor: 2, for M_TILE 128 1
//
//   STAGES         tiles of x in shared memory: half_t 6 for M_TILE 16, 4 for 32 and 64, else 2
//
// How to choose: with b blocks of grid x · y and S multiprocessors, SPLITS = max(1, r · S / b rounded down), r = 4 for M_TILE 16,
// 2 for 32 and 64, 1 for 128. On an H200, 4096 to 28672 features of 4 bits and inputs of half_t: 16 rows 36 µs, 32 rows 45, 64
// rows 72, 128 rows 135 (222 TFLOP/s); above, dequantised weights and a library's product are faster.
//
// Launch: grid (ceil(N / 128), ceil(rows / M_TILE), SPLITS), 256 threads, dynamic shared memory STAGES · M_TILE · 128 bytes.
#include "mma.cuh"
#include "quantized.cuh"

#if !defined(M_TILE) || !defined(SPLITS) || !defined(INPUT) || !defined(OUT) || !defined(VECTOR)
#error "M_TILE, SPLITS, INPUT, OUT and VECTOR must be defined"
#endif
#if !defined(HAS_BIAS) || !defined(HAS_RESIDUAL) || !defined(DEPTH) || !defined(BLOCKS) || !defined(STAGES)
#error "HAS_BIAS, HAS_RESIDUAL, DEPTH, BLOCKS and STAGES must be defined"
#endif

constexpr int THREADS_OF_BLOCK = 256;
constexpr int ROW_WARPS = M_TILE == 128 ? 2 : 1, FEATURE_WARPS = 8 / ROW_WARPS;
constexpr int WARP_TILES = 8 / FEATURE_WARPS;      // of 16 features
constexpr int ROW_TILES = M_TILE / ROW_WARPS / 8;  // of 8 rows, of a warp
constexpr int ALL_BLOCKS = PADDED_K / 64;
constexpr int LOADS = 64 / STEP_INPUTS;            // of 16 bytes for a tile and 64 inputs
constexpr int FLUSH = PADDED_G < 64 ? PADDED_G : 64;
constexpr int FLUSHES = 64 / FLUSH;
// Halves are copied as they are where 16 bytes of a row stay together. Large tiles are faster by way of registers.
constexpr bool COPIES =
    sizeof(INPUT) == 2 && M_TILE < 128 && K % 8 == 0 && (PADDED_G == G || GROUP_COUNT == 1);
static_assert(STAGES >= 2, "STAGES is at least 2");
constexpr int QUADS_OF_THREAD = M_TILE * 16 / THREADS_OF_BLOCK;
static_assert(M_TILE == 16 || M_TILE == 32 || M_TILE == 64 || M_TILE == 128, "M_TILE is 16, 32, 64 or 128");

/// What a warp holds of 64 inputs of its features.
struct Ahead {
    uint4 codes[WARP_TILES][LOADS];
    Pair<SCALE> scales[WARP_TILES][FLUSHES];
    unsigned zeros[WARP_TILES][HAS_ZEROS ? FLUSHES : 1];

    __device__ __forceinline__ void request(
        const uint4 *w, const SCALE *scale, const unsigned char *zero, int first_tile, int block, int end) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int t = 0; t < WARP_TILES; t++) {
            const long long tile = first_tile + t;
            if (block >= end || tile >= FEATURE_TILES) continue;
#pragma unroll
            for (int i = 0; i < LOADS; i++) {
                codes[t][i] = load_streamed(w + (tile * STEPS_IN_ALL + block * LOADS + i) * 32 + lane);
            }
#pragma unroll
            for (int f = 0; f < FLUSHES; f++) {
                const long long pair = (tile * GROUP_COUNT + group_of(block * 64 + f * FLUSH)) * 8 + lane / 4;
                scales[t][f].load(scale, pair);
                if constexpr (HAS_ZEROS) zeros[t][f] = load_zeros(zero, pair);
            }
        }
    }
};

__device__ __forceinline__ unsigned less(unsigned a, unsigned b) {
    asm("sub.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
}

/// The factors of 16 inputs, the i-th of 64: (q − zero) · 2⁻²⁴. `zero` holds that of feature r twice, and of r + 8 twice.
__device__ __forceinline__ void factors(unsigned (&a)[4], const uint4 (&codes)[LOADS], int i, const unsigned (&zero)[2]) {
    if constexpr (BITS == 4) {
        const uint4 c = codes[0];
        const unsigned word = i == 0 ? c.x : i == 1 ? c.y : i == 2 ? c.z : c.w;
        a[0] = word & 0x000f000f, a[1] = word >> 8 & 0x000f000f;
        a[2] = word >> 4 & 0x000f000f, a[3] = word >> 12 & 0x000f000f;
    } else {
        const uint4 c = codes[i / 2 < LOADS ? i / 2 : 0];
        const unsigned first = i % 2 ? c.z : c.x, second = i % 2 ? c.w : c.y;
        a[0] = first & 0x00ff00ff, a[1] = first >> 8 & 0x00ff00ff;
        a[2] = second & 0x00ff00ff, a[3] = second >> 8 & 0x00ff00ff;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) a[j] = less(a[j], zero[j % 2]);
}

/// Four inputs of a row at a padded place as halves; zeros past the end.
__device__ __forceinline__ uint2 load_inputs(const INPUT *row, int kp, bool isThere) {
    const int k = input_of(kp);
    if (!isThere || k >= K) return make_uint2(0, 0);
    if constexpr (K % 4 == 0) {
        if constexpr (sizeof(INPUT) == 2) return *(const uint2 *)(row + k);
        if constexpr (sizeof(INPUT) == 4) {
            const float4 v = *(const float4 *)(row + k);
            return make_uint2(pack2<half_t>(v.x, v.y), pack2<half_t>(v.z, v.w));
        }
    } else {
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] = k + i < K ? to_float(row[k + i]) : 0;
        return make_uint2(pack2<half_t>(v[0], v[1]), pack2<half_t>(v[2], v[3]));
    }
}

/// Copies 16 bytes to shared memory behind the thread's back, or zeros.
__device__ __forceinline__ void copy_or_clear(void *shared, const void *global, bool isThere) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
                 "l"(global), "r"(isThere ? 16 : 0)
                 : "memory");
}

/// Adds 64 inputs to the sums of a warp; `tile` is the shared address of its rows of x.
__device__ __forceinline__ void consume(
    float (&sum)[WARP_TILES][ROW_TILES][4], const Ahead &held, unsigned tile) {
    const int lane = threadIdx.x % 32;
    constexpr int flush_products = 4 / FLUSHES;
    unsigned a[WARP_TILES][4][4];
    float2 scale[WARP_TILES][FLUSHES];
#pragma unroll
    for (int t = 0; t < WARP_TILES; t++) {
#pragma unroll
        for (int f = 0; f < FLUSHES; f++) {
            unsigned zero[2] = {1u << (BITS - 1), 1u << (BITS - 1)};
            if constexpr (HAS_ZEROS) zero[0] = held.zeros[t][f] & 0xff, zero[1] = held.zeros[t][f] >> 8;
            zero[0] |= zero[0] << 16, zero[1] |= zero[1] << 16;
            scale[t][f] = held.scales[t][f].value();
            scale[t][f].x *= 16777216.0f, scale[t][f].y *= 16777216.0f;
#pragma unroll
            for (int i = f * flush_products; i < (f + 1) * flush_products; i++) {
                factors(a[t][i], held.codes[t], i, zero);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROW_TILES; r++) {
        unsigned x[8];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned row = r * 8 + lane % 8, chunk = half * 4 + lane / 8;
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(x[4 * half]), "=r"(x[4 * half + 1]), "=r"(x[4 * half + 2]), "=r"(x[4 * half + 3])
                         : "r"(tile + row * 128 + (chunk ^ row % 8) * 16)
                         : "memory");
        }
#pragma unroll
        for (int t = 0; t < WARP_TILES; t++) {
#pragma unroll
            for (int f = 0; f < FLUSHES; f++) {
                float c[4] = {};
#pragma unroll
                for (int i = f * flush_products; i < (f + 1) * flush_products; i++) {
                    multiply<half_t>(c, a[t][i], x[2 * i], x[2 * i + 1]);
                }
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    sum[t][r][e] = fmaf(e < 2 ? scale[t][f].x : scale[t][f].y, c[e], sum[t][r][e]);
                }
            }
        }
    }
}

__device__ __forceinline__ void run(
    OUT *y, const INPUT *x, int rows, const uint4 *w, const SCALE *scales, const unsigned char *zeros,
    const VECTOR *bias, const float *residual, float *scratch, unsigned *counters) {
    extern __shared__ __align__(128) unsigned char tiles[];  // [STAGES][M_TILE][64] halves
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int feature_warp = warp % FEATURE_WARPS, row_warp = warp / FEATURE_WARPS;
    const int first_tile = blockIdx.x * 8 + feature_warp * WARP_TILES;
    const int first_row = blockIdx.y * M_TILE;
    const int begin = ALL_BLOCKS * (int)blockIdx.z / SPLITS, end = ALL_BLOCKS * ((int)blockIdx.z + 1) / SPLITS;

    Ahead ahead[DEPTH];
#pragma unroll
    for (int d = 0; d < DEPTH; d++) ahead[d].request(w, scales, zeros, first_tile, begin + d, end);
    let_next_start();
    wait_for_previous();

    uint2 next[COPIES ? 1 : QUADS_OF_THREAD];
    // Chunks of 16 bytes are swapped by row, so that eight rows of a matrix meet all banks.
    const auto place = [&](int block, int row, int chunk) {
        return tiles + (block - begin) % STAGES * (M_TILE * 128) + row * 128 + (chunk ^ row % 8) * 16;
    };
    const auto load = [&](int block) {
        if constexpr (COPIES) {
#pragma unroll
            for (int i = 0; i < M_TILE * 8 / THREADS_OF_BLOCK + (M_TILE < 32); i++) {
                const int row = threadIdx.x / 8 + i * 32, k = block * 64 + threadIdx.x % 8 * 8;
                const bool isThere = first_row + row < rows && k < K;
                const INPUT *const from = x + (isThere ? (long long)(first_row + row) * K + k : 0);
                if (row < M_TILE && block < end) copy_or_clear(place(block, row, threadIdx.x % 8), from, isThere);
            }
            asm volatile("cp.async.commit_group;" ::: "memory");
        } else {
#pragma unroll
            for (int i = 0; i < QUADS_OF_THREAD; i++) {
                const int row = first_row + threadIdx.x / 16 + i * 16;
                next[i] = load_inputs(
                    x + (long long)row * K, block * 64 + threadIdx.x % 16 * 4, row < rows && block < end);
            }
        }
    };
#pragma unroll
    for (int i = 0; i < (COPIES ? STAGES - 1 : 1); i++) load(begin + i);
    float sum[WARP_TILES][ROW_TILES][4] = {};
#pragma unroll 1
    for (int from = begin; from < end; from += DEPTH) {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const int block = from + d;
            if (block >= end) break;
            if constexpr (COPIES) {
                asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
            } else {
#pragma unroll
                for (int i = 0; i < QUADS_OF_THREAD; i++) {
                    *(uint2 *)(place(block, threadIdx.x / 16 + i * 16, threadIdx.x % 16 / 2) + threadIdx.x % 2 * 8) = next[i];
                }
            }
            __syncthreads();
            load(block + (COPIES ? STAGES - 1 : 1));
            const unsigned tile = (unsigned)__cvta_generic_to_shared(place(block, 0, 0));
            consume(sum, ahead[d], tile + row_warp * (ROW_TILES * 8 * 128));
            ahead[d].request(w, scales, zeros, first_tile, block + DEPTH, end);
        }
    }

    const auto each = [&](auto visit) {
#pragma unroll
        for (int t = 0; t < WARP_TILES; t++) {
#pragma unroll
            for (int r = 0; r < ROW_TILES; r++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int n = (first_tile + t) * 16 + lane / 4 + e / 2 * 8;
                    const int m = first_row + (row_warp * ROW_TILES + r) * 8 + lane % 4 * 2 + e % 2;
                    if (n < N && m < rows) visit(sum[t][r][e], m, n);
                }
            }
        }
    };
    if constexpr (SPLITS > 1) {
        const long long size = (long long)rows * N;
        each([&](float &value, int m, int n) { scratch[blockIdx.z * size + (long long)m * N + n] = value; });
        __shared__ bool isLast;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned *const counter = counters + blockIdx.y * gridDim.x + blockIdx.x;
            isLast = atomicAdd(counter, 1) == SPLITS - 1;
            if (isLast) *counter = 0;
        }
        __syncthreads();
        if (!isLast) return;
        __threadfence();
        each([&](float &value, int m, int n) {
            value = 0;
#pragma unroll 4
            for (int s = 0; s < SPLITS; s++) value += __ldcg(scratch + s * size + (long long)m * N + n);
        });
    }
    each([&](float &value, int m, int n) {
        if constexpr (HAS_BIAS) value += to_float(bias[n]);
        if constexpr (HAS_RESIDUAL) value += residual[(long long)m * N + n];
        y[(long long)m * N + n] = from_float<OUT>(value);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS_OF_BLOCK, BLOCKS) quantized_gemm(
    OUT *y, const INPUT *x, int rows, const uint4 *w, const SCALE *scales, const unsigned char *zeros,
    const VECTOR *bias, const float *residual, float *scratch, unsigned *counters) {
    run(y, x, rows, w, scales, zeros, bias, residual, scratch, counters);
}
