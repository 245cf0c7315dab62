// quantized_gemv: y[m, n] = epilogue(Σ_k (codes[n, k] − zero) · scale[k / G, n] · norm(x)[m, k] + bias[n]) for 1 to 8 rows, and
// quantized_gemv_head, which also finds the largest logit of each block. The ops int4_groupwise_gemm and int8_linear.
//
//   y f32 [ROWS, N] out, x f32 [ROWS, K]; w, scales, zeros: packed as quantized.cuh tells, 16-byte aligned
//   bias, norm_weight, norm_bias VECTOR, residual f32: see gemv.cuh; null where the macros do not ask for them
//
// Bound by reading the codes; FP32 arithmetic on each of them would be slower than that, so tensor cores multiply. x loses
// nothing: an FP32 number is the sum of three numbers of bfloat16, its 24 bits taken eight at a time, and these are columns
// of the right operand: column = part · C + row, C = 2 for 1 and 2 rows, 4 for 3 and 4, else 8, so that 1, 2 or 3 products of 8
// columns do. A code in the low bits of a bfloat16 is q · 2⁻¹³³ (quantized.cuh tells the same of halves); x is multiplied by 2⁶⁴
// beforehand, so |x| may reach 2⁶³. The sums of a group begin with −zero · Σx, leave the tensor cores as FP32 and are
// multiplied by the group's scales.
//
// A block owns the tiles of 16 features [T·b/GRID, T·(b+1)/GRID). Their units of U inputs, see below,
// are dealt out to its warps one by one, across the ends of tiles. A warp has DEPTH of its units on their way to its own ring
// in shared memory, the first ones before the kernel waits, and leaves its sums of a tile in shared memory: no warp waits for
// another until MEET tiles are done. x is converted once for MEET tiles, X_UNITS at a time.
//
// Macros, beside those of gemv.cuh and quantized.cuh:
//   HEAD           1: the kernel is quantized_gemv_head
//   UNIT           inputs that a warp takes at once, of a tile of each half of W: 64 where GP is no multiple of 128, else 128, or
//                  256 where KP is a multiple of it
//   DEPTH          units in flight for each warp (GATED: of both halves of W)
//   MEET           tiles between two meetings
//   X_UNITS        units of x in shared memory at a time, or 0 for all
//   BLOCKS         blocks that must fit on a multiprocessor (register limit)
//
// Launch: THREADS threads, GRID blocks (1 to ceil(N / 16)); dynamic shared memory at least 48 · ROWS · (U · X / 8 + 4) + THREADS / 32 ·
//   (DEPTH · S + 64 · ROWS · P · MEET) + 4 · (8 · F · X + NORM_SHARED) bytes: P = GATED ? 2 : 1; U = UNIT; X = X_UNITS or KP / U;
//   F = U / min(GP, U, 128) groups of a unit; S = P · (2 · U · BITS + 16 · F · ((groups > 1 ? sizeof SCALE : 0) + (HAS_ZEROS ? 1 :
//   0))); NORM_SHARED = max(ROWS, 2) · THREADS / 32.
//
// How to choose, as measured in chains of kernels on an H200 (S multiprocessors; a block may ask for L of shared memory):
//   GRID min(ceil(N / 16), S), BLOCKS 1: a block has a multiprocessor to itself, which two of a kernel must not share (with
//   256 threads that takes more than L / 2 of shared memory, needed or not)
//   ROWS 1                                 THREADS 512, units in flight 32 KB of codes a block, from 24 MB of codes on 96 KB
//   ROWS > 1, or 512 threads' units need more than L / 2          THREADS 256, 48 KB
//   UNIT 256 where BITS is 4, GATED 0 and KP a multiple of it, for ROWS 2 and from 24 MB of codes on for ROWS 1
//   DEPTH what that makes for each warp, at most what L / 2 holds, at least 1
//   MEET all tiles of a block, as far as their sums need no more than L / 7 (ROWS > 1: 2 L / 7)
//   X_UNITS 0 where x needs at most 120 KB (ROWS > 1: 100 KB) and fits; of the M units that do, the largest multiple of
//   THREADS / 32 that divides KP / U, if it is no less than M / 3; else as few passes as can be, of equal size
// The four products of a layer, 4 bits in groups of 128 with FP32 scales, one row: Llama-3.1-8B 35.3 µs, each in a chain of its
// own (72 % of reading at 4540 GB/s), Qwen2.5-7B 40.4, Llama-3.2-1B 16.2; 8 rows of Llama-3.1-8B 88. A head of 8 bits reads at
// 97 %. More bytes in flight than that gain nothing: inputs come the later, the more codes were asked for before them, even where
// these come through the copy engine. Of the 4.9 µs of 4096 to 4096 features with DEPTH 2, the launch takes 1.3, reading 1.1, bringing x 1.0 and the products
// 1.3: they are bound by reading the parts of x from shared memory, not by arithmetic.
#include "mma.cuh"
#include "quantized_inputs.cuh"

#if !defined(HEAD) || !defined(BLOCKS)
#error "HEAD and BLOCKS must be defined"
#endif

static_assert(!(HEAD && (GATED || HAS_RESIDUAL)), "a head has no gate and no residual");

constexpr int MEMBERS = 16 * ROWS;  // outputs of a tile
constexpr int THREAD_OUTPUTS = divided_up(MEET * MEMBERS, THREADS);

/// Two neighbouring scales.
template <typename T> __device__ __forceinline__ float2 two(const T *p) {
    if constexpr (sizeof(T) == 4) {
        return *(const float2 *)p;
    } else {
        return unpack2<T>(*(const unsigned *)p);
    }
}

/// The i-th 16 inputs of a unit, as q · 2⁻¹³³.
__device__ __forceinline__ void factors(unsigned (&a)[4], const uint4 (&codes)[LOADS], int i) {
    if constexpr (BITS == 4) {
        const uint4 c = codes[i / 4];
        const unsigned low = i % 4 == 0 ? c.x : i % 4 == 1 ? c.y : i % 4 == 2 ? c.z : c.w, high = low >> 8;
        a[0] = low & 0x000f000f, a[1] = high & 0x000f000f, a[2] = low & 0x00f000f0, a[3] = high & 0x00f000f0;
    } else {
        const uint4 c = codes[i / 2];
        const unsigned first = i % 2 ? c.z : c.x, second = i % 2 ? c.w : c.y;
        a[0] = first & 0x00ff00ff, a[1] = __byte_perm(first, 0, 0x4341);
        a[2] = second & 0x00ff00ff, a[3] = __byte_perm(second, 0, 0x4341);
    }
}

/// The sums of a warp's tiles: of features r and r + 8, r = lane / 4, and columns 2 (lane % 4) + 0, 1.
struct Sums {
    float of[PARTS][4] = {};

    /// Adds the next unit. `x` are the lane's places of each product in the unit, `marks` the lane's columns of its first group.
    __device__ __forceinline__ void add(Walk &walk, const uint4 *const (&x)[PRODUCTS], const float2 *marks) {
        const int lane = threadIdx.x % 32;
        uint4 *const here = walk.next();
        uint4 codes[PARTS][LOADS];
        float2 scale[PARTS][FLUSHES];
        float zero[PARTS][FLUSHES][2];
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
#pragma unroll
            for (int l = 0; l < LOADS; l++) codes[p][l] = here[(p * LOADS + l) * 32 + lane];
            const uint4 *const beside = here + CODE_WORDS + p * (SCALE_WORDS + ZERO_WORDS);
#pragma unroll
            for (int f = 0; f < FLUSHES; f++) {
                if constexpr (!SCALES_LAST) {
                    scale[p][f] = two((const SCALE *)beside + f * 16 + lane / 4 * 2);
                }
                if constexpr (HAS_ZEROS) {
                    const unsigned short both =
                        *(const unsigned short *)((const unsigned char *)(beside + SCALE_WORDS) + f * 16 + lane / 4 * 2);
                    zero[p][f][0] = (float)(both & 0xff), zero[p][f][1] = (float)(both >> 8);
                }
            }
        }
        __syncwarp();
        walk.request(here);

        float c[PARTS][FLUSHES][4];
#pragma unroll
        for (int f = 0; f < FLUSHES; f++) {
            const float2 mark = marks[f * 4];
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    c[p][f][e] = (e % 2 ? mark.y : mark.x) * (HAS_ZEROS ? zero[p][f][e / 2] : 1);
                }
            }
        }
        // The sums of several groups are independent: none waits for its last product.
        uint4 v[UNIT / 32][PRODUCTS];
#pragma unroll
        for (int j = 0; j < FLUSH / 16; j++) {
#pragma unroll
            for (int f = 0; f < FLUSHES; f++) {
                const int i = f * (FLUSH / 16) + j;
#pragma unroll
                for (int u = 0; u < PRODUCTS; u++) {
                    // The last of two products of 3 and 4 rows has four columns, those of the third part.
                    const bool isThere = COLUMNS != 4 || u == 0 || lane < 16;
                    if (i % 2 == 0) v[i / 2][u] = isThere ? x[u][i * 2] : make_uint4(0, 0, 0, 0);
                }
#pragma unroll
                for (int p = 0; p < PARTS; p++) {
                    unsigned a[4];
                    factors(a, codes[p], i);
#pragma unroll
                    for (int u = 0; u < PRODUCTS; u++) {
                        const uint4 b = v[i / 2][u];
                        multiply<bfloat_t>(c[p][f], a, i % 2 ? b.z : b.x, i % 2 ? b.w : b.y);
                    }
                }
            }
        }
#pragma unroll
        for (int f = 0; f < FLUSHES; f++) {
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int e = 0; e < 4; e += ROWS == 1 ? 2 : 1) {
                    of[p][e] = SCALES_LAST ? of[p][e] + c[p][f][e]
                                           : fmaf(e < 2 ? scale[p][f].x : scale[p][f].y, c[p][f][e], of[p][e]);
                }
            }
        }
    }

    /// Adds up the three parts of x and leaves a tile's sums in shared memory, [16 features][ROWS].
    __device__ __forceinline__ void leave(float *to, int p, bool isFirst) {
        const int lane = threadIdx.x % 32, column = lane % 4;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float v = of[p][e];
            if constexpr (COLUMNS == 2) v = warp_sum<4>(column == 3 ? 0 : v);
            if constexpr (COLUMNS == 4) v += __shfl_xor_sync(0xffffffffu, v, 2);
            const int m = column * 2 + e % 2;
            float *const at = to + (lane / 4 + e / 2 * 8) * ROWS + m;
            if (m < ROWS) *at = isFirst ? v : *at + v;
        }
    }
};

__device__ __forceinline__ void run(
    float *y, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros, const VECTOR *bias,
    const float *residual, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps, float *best_values,
    int *best_indices) {
    extern __shared__ uint4 dynamic[];
    uint4 *const rings = dynamic + PARTS_OF_X * ROWS * PLANE;
    float *const marks = (float *)(rings + WARPS * DEPTH * SLOT);
    float *const norm_shared = marks + PASS_FLUSHES * 8;
    float *const partials = norm_shared + NORM_SHARED;  // [MEET][PARTS][WARPS][16 features][ROWS]

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int begin = (int)((unsigned)FEATURE_TILES * blockIdx.x / GRID);
    const int end = (int)((unsigned)FEATURE_TILES * (blockIdx.x + 1) / GRID);
    Place here(begin, end, warp);
    Walk walk = {w, (const uint4 *)scales, (const uint4 *)zeros, rings + warp * (DEPTH * SLOT), here};
#pragma unroll 1
    for (int d = 0; d < DEPTH; d++) walk.request(walk.ring + d * SLOT);
    let_next_start();
    const Inputs inputs(dynamic, marks);
    Norm<KEPT> norm;
    norm.prepare(norm_weight, norm_bias, eps);
    __syncthreads();
    wait_for_previous();
    norm.measure(x, norm_shared);

    const uint4 *x_places[PRODUCTS];
#pragma unroll
    for (int u = 0; u < PRODUCTS; u++) {
        const int column = u * 8 + lane / 4;
        const int part = smaller(column / COLUMNS, PARTS_OF_X - 1), m = smaller(column % COLUMNS, ROWS - 1);
        x_places[u] = dynamic + (part * ROWS + m) * PLANE + lane % 4;
    }
    Best best[THREAD_OUTPUTS];
    int lap = 0;
#pragma unroll 1
    for (int base = begin; base < end; base += MEET) {
        const int stop = smaller(base + MEET, end);
        const auto feature_of = [&](int o) { return (base + o / MEMBERS) * 16 + o / ROWS % 16; };
        const auto isMine = [&](int o) {
            return o < MEET * MEMBERS && base + o / MEMBERS < stop && feature_of(o) < N;
        };
        Addend addend[THREAD_OUTPUTS];
        // The sums of the last meeting have been read, and its inputs.
        if (base != begin) __syncthreads();
        float *const mine = partials + warp * MEMBERS;
        if constexpr (!EVEN) {
            for (int t = 0; t < MEET * PARTS; t++) {
                for (int o = lane; o < MEMBERS; o += 32) mine[t * (WARPS * MEMBERS) + o] = 0;
            }
            __syncwarp();
        }
#pragma unroll 1
        for (int pass = 0; pass < PASSES; pass++, lap++) {
            if (PASSES > 1 || base == begin) {
                const bool isFirst = base == begin;
                if (pass > 0) __syncthreads();
                inputs.bring(x, norm, pass, isFirst);
                if (isFirst && pass + 1 == PASSES) norm.share(norm_shared);
                __syncthreads();
            }
            if (pass == 0) {
                // Not before x, which all wait for.
#pragma unroll
                for (int i = 0; i < THREAD_OUTPUTS; i++) {
                    const int o = threadIdx.x + i * THREADS;
                    if (isMine(o)) addend[i].load(bias, residual, o % ROWS, feature_of(o));
                }
            }
            const auto isOfPass = [&] { return PASSES == 1 ? here.tile < stop : here.lap == lap; };
            while (isOfPass()) {
                const int tile = here.tile;
                Sums sums;
#pragma unroll 1
                do {
                    const uint4 *places[PRODUCTS];
#pragma unroll
                    for (int u = 0; u < PRODUCTS; u++) places[u] = x_places[u] + here.unit * (UNIT / 8);
                    sums.add(walk, places, (const float2 *)marks + here.unit * (FLUSHES * 4) + lane % 4);
                    here.advance();
                } while (here.tile == tile && (PASSES == 1 || here.lap == lap));
#pragma unroll
                for (int p = 0; p < PARTS; p++) {
                    sums.leave(mine + ((tile - base) * PARTS + p) * (WARPS * MEMBERS), p, EVEN && pass == 0);
                }
            }
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < THREAD_OUTPUTS; i++) {
            const int o = threadIdx.x + i * THREADS;
            if (!isMine(o)) continue;
            const float factor = norm.scale(norm_shared, o % ROWS) * (1.0f / PRODUCT_UNIT);
            float total[PARTS] = {};
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
                const float *const from = partials + (o / MEMBERS * PARTS + p) * (WARPS * MEMBERS) + o % MEMBERS;
#pragma unroll
                for (int s = 0; s < WARPS; s++) total[p] += from[s * MEMBERS];
                total[p] *= factor;
                if constexpr (SCALES_LAST) {
                    const long long n = (p * FEATURE_TILES + base + o / MEMBERS) * 16;
                    const int r = o / ROWS % 16;
                    total[p] *= to_float(scales[n + r % 8 * 2 + r / 8]);
                }
            }
            const float value = addend[i].finish(total);
            y[(long long)(o % ROWS) * N + feature_of(o)] = value;
            if constexpr (HEAD) best[i].meet(value, feature_of(o));
        }
    }
    if constexpr (HEAD) publish_bests(best, threadIdx.x, THREADS, (Best *)dynamic, best_values, best_indices);
}

#if HEAD
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) quantized_gemv_head(
    float *logits, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros,
    const VECTOR *bias, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps, float *best_values,
    int *best_indices) {
    run(logits, x, w, scales, zeros, bias, nullptr, norm_weight, norm_bias, eps, best_values, best_indices);
}
#else
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) quantized_gemv(
    float *y, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros, const VECTOR *bias,
    const float *residual, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps) {
    run(y, x, w, scales, zeros, bias, residual, norm_weight, norm_bias, eps, nullptr, nullptr);
}
#endif
