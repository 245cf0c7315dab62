#pragma once
// Matrix-vector products with packed codes: 1 to 8 rows of x, the weights read once. Layout of codes: quantized.cuh.
//
// Bound by reading the codes; FP32 arithmetic on each of them would be slower than that, so tensor cores multiply. x keeps
// its precision: of each 64 inputs the largest is scaled to 2¹³...2¹⁴ by a power of two, and each input is the sum of two
// halves, 22 bits in all. Up to 4 rows, these are neighbouring columns of one product; from 5 on, two products are added.
// Every step's sums leave the tensor cores as FP32 and are multiplied by the group's scales. zero · Σx is taken off them.
//
// A block owns the tiles of 16 features [T·b/GRID, T·(b+1)/GRID) and walks them; SPLIT warps share a tile, every SPLIT-th
// step each. A thread holds TILES · DEPTH steps in registers, the first of them requested before the kernel waits.
//
// Macros, beside those of gemv.cuh and quantized.cuh:
//   HEAD           1: the kernel is *_gemv_head
//   SPLIT          warps that share a tile, a divisor of THREADS / 32
//   TILES          tiles of 16 features that a warp works on at once (GATED: of each half of W)
//   DEPTH          steps in flight: TILES · DEPTH · (GATED ? 2 : 1) requests of 16 bytes for each thread
//   X_BLOCKS       blocks of 64 inputs in shared memory at a time, or 0 for all (the passes must be few)
//   BLOCKS         blocks that must fit on a multiprocessor (register limit)
//
// Launch: THREADS threads, GRID blocks (1 to ceil(N / 16)); dynamic shared memory 4 · (64 · C · B + 2 · ROWS · F +
//   NORM_SHARED + 32 · THREADS / 32 · TILES · ROWS · (GATED ? 2 : 1)) bytes: B = X_BLOCKS or KP / 64, C = ROWS up to 4
//   rows, else 8; F = 64 · B / min(GP, S); NORM_SHARED = max(ROWS, 2) · THREADS / 32.
//
// How to choose, as measured on an H200 (S multiprocessors, P = GATED ? 2 : 1): THREADS 256, GRID min(ceil(N / 16), 2S), BLOCKS 2,
//   SPLIT 8, TILES 1; DEPTH the largest divisor, up to 8 / P, of a warp's steps (KP / 64 / SPLIT rounded up; for BITS 8 KP / 32 /
//   SPLIT), or min(8 / P, 4) where that is 1 and the steps are more; X_BLOCKS 0 where x takes up to 96 KB, else
//   64 / ROWS · 2. Shapes whose steps SPLIT · DEPTH divides are faster. A head of 8 bits: THREADS 512, GRID S, SPLIT 16, DEPTH 4.
// From 5 rows on, *_gemm of M_TILE 16 takes less time than this (and no norm): conversion of x for every block adds up.
// A layer's products of Llama-3.1-8B, 4 bits in groups of 128, take 37.5 µs, 66 % of reading at 4540 GB/s (gate and up together
// 72 %); the head of 8 bits 130 µs, 89 %.
#include "gemv.cuh"
#include "quantized.cuh"

#if !defined(HEAD) || !defined(SPLIT) || !defined(TILES) || !defined(DEPTH) || !defined(X_BLOCKS) || !defined(BLOCKS)
#error "HEAD, SPLIT, TILES, DEPTH, X_BLOCKS and BLOCKS must be defined"
#endif

constexpr bool PAIRED = ROWS <= 4;                // both halves of an input in one product
constexpr int COLUMNS = PAIRED ? 2 * ROWS : 16;   // of x in shared memory: row · 2 + part, or part · 8 + row
constexpr int ALL_BLOCKS = PADDED_K / 64;
constexpr int PASS_BLOCKS = X_BLOCKS == 0 || X_BLOCKS >= ALL_BLOCKS ? ALL_BLOCKS : X_BLOCKS;
constexpr bool ONE_PASS = PASS_BLOCKS == ALL_BLOCKS;
constexpr int BLOCK_STEPS = 64 / STEP_INPUTS;
constexpr int PASS_STEPS = divided_up(divided_up(PASS_BLOCKS * BLOCK_STEPS, SPLIT), DEPTH) * DEPTH;  // of a warp
constexpr int PASSES = divided_up(ALL_BLOCKS, PASS_BLOCKS);
constexpr int FLUSH = smaller(PADDED_G, STEP_INPUTS);  // inputs whose sums are scaled at once
constexpr int FLUSHES = STEP_INPUTS / FLUSH;           // of a step
constexpr int PASS_FLUSHES = PASS_BLOCKS * (64 / FLUSH);
constexpr int PASS_QUADS = PASS_BLOCKS * 16;
constexpr int ROUNDS = divided_up(PASS_QUADS, THREADS);
constexpr bool IS_WHOLE = PADDED_K == K && PASS_QUADS % THREADS == 0 && ALL_BLOCKS % PASS_BLOCKS == 0;  // no place empty
constexpr int KEPT = ONE_PASS && ROUNDS <= 4 && IS_WHOLE ? ROUNDS : 0;
constexpr int TILE_WARPS = WARPS / SPLIT;
constexpr int BLOCK_TILES = TILE_WARPS * TILES;
constexpr int SUMS = PAIRED ? 2 : 4;                // of a thread and tile
constexpr int OUTPUTS = TILES * 16 * ROWS;          // of SPLIT warps
constexpr int THREAD_OUTPUTS = divided_up(OUTPUTS, SPLIT * 32);
static_assert(WARPS % SPLIT == 0, "SPLIT divides the warps");
static_assert(!(HEAD && (GATED || HAS_RESIDUAL)), "a head has no gate and no residual");

// What saves the arithmetic of addresses where shapes are even, as most are:
// every step of every pass is there;
constexpr bool EVEN = PASS_BLOCKS * BLOCK_STEPS % (SPLIT * DEPTH) == 0 && ALL_BLOCKS % PASS_BLOCKS == 0;
// a warp's steps are a fixed number of groups apart;
constexpr bool EXACT_GROUPS = GROUP_COUNT * PADDED_G == PADDED_K;
constexpr bool EVEN_GROUPS = GROUP_COUNT == 1 || (EXACT_GROUPS && SPLIT * STEP_INPUTS % PADDED_G == 0);
constexpr int GROUPS_APART = GROUP_COUNT == 1 ? 0 : SPLIT * STEP_INPUTS / PADDED_G;
// and its blocks of x are all even or all odd.
constexpr bool EVEN_X = EVEN && SPLIT % (2 * BLOCK_STEPS) == 0;

struct Held {
    uint4 codes[TILES][PARTS];
    Pair<SCALE> scales[TILES][PARTS][FLUSHES];
    unsigned zeros[TILES][PARTS][HAS_ZEROS ? FLUSHES : 1];
};

/// The warp's way through the weights: what it requests next.
struct Walk {
    const uint4 *w;
    const SCALE *scales;
    const unsigned char *zeros;
    int end, share;                // end of the block's tiles, the warp's place among SPLIT
    int tile, pass = 0, step = 0;  // of the next request
    long long code = 0, pair = 0;  // where that lies if shapes are even

    static constexpr bool WALKS = EVEN && EVEN_GROUPS;

    __device__ __forceinline__ Walk(
        const uint4 *w, const SCALE *scales, const unsigned char *zeros, int first, int end, int share)
        : w(w), scales(scales), zeros(zeros), end(end), share(share), tile(first) {
        const int lane = threadIdx.x % 32;
        code = ((long long)tile * STEPS_IN_ALL + share) * 32 + lane;
        pair = ((long long)tile * GROUP_COUNT + (GROUP_COUNT == 1 ? 0 : share * STEP_INPUTS / PADDED_G)) * 8 + lane / 4;
    }

    /// Requests the d-th of the next DEPTH steps, of TILES tiles TILE_WARPS apart.
    __device__ __forceinline__ void request(Held &held, int d) const {
        const int lane = threadIdx.x % 32, in_pass = (step + d) * SPLIT + share;
        const int all = pass * (PASS_BLOCKS * BLOCK_STEPS) + in_pass;
        const bool isThere = EVEN || (in_pass < PASS_BLOCKS * BLOCK_STEPS && all < STEPS_IN_ALL);
#pragma unroll
        for (int t = 0; t < TILES; t++) {
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
                const int away = p * FEATURE_TILES + t * TILE_WARPS;
                if (!EVEN) {
#pragma unroll
                    for (int f = 0; f < FLUSHES; f++) held.scales[t][p][f] = {};
                }
                if (!isThere || tile + t * TILE_WARPS >= end) continue;
                const long long at = WALKS
                    ? code + ((long long)away * STEPS_IN_ALL + d * SPLIT) * 32
                    : ((long long)(tile + away) * STEPS_IN_ALL + all) * 32 + lane;
                held.codes[t][p] = load_streamed(w + at);
#pragma unroll
                for (int f = 0; f < FLUSHES; f++) {
                    const int group = GROUP_COUNT == 1 ? 0 : d * GROUPS_APART + f * FLUSH / PADDED_G;
                    const long long pairs = WALKS
                        ? pair + ((long long)away * GROUP_COUNT + group) * 8
                        : ((long long)(tile + away) * GROUP_COUNT + group_of(all * STEP_INPUTS + f * FLUSH)) * 8
                            + lane / 4;
                    held.scales[t][p][f].load(scales, pairs);
                    if constexpr (HAS_ZEROS) held.zeros[t][p][f] = load_zeros(zeros, pairs);
                }
            }
        }
    }

    /// Goes on by DEPTH steps.
    __device__ __forceinline__ void advance() {
        step += DEPTH, code += DEPTH * SPLIT * 32, pair += DEPTH * GROUPS_APART * 8;
        if (step < PASS_STEPS) return;
        step = 0, pass++;
        if (pass < PASSES) return;
        pass = 0, tile += BLOCK_TILES;
        code += (long long)(BLOCK_TILES - 1) * STEPS_IN_ALL * 32;
        pair += ((long long)BLOCK_TILES * GROUP_COUNT - PASSES * PASS_STEPS * GROUPS_APART) * 8;
    }
};

/// Where words of x for tensor cores lie: 16-byte units [block][plane][column][k pair], swapped so that neither
/// writing nor reading meets a bank twice.
__device__ __forceinline__ int unit_of(int block, int plane, int column, int pair) {
    return (block * 2 + plane) * (COLUMNS * 4) + ((column * 4 + pair) ^ (plane + 4 * (block & 1)));
}

/// Brings the inputs of a pass to shared memory as halves, with a factor and a sum for each FLUSH inputs of a row.
__device__ __forceinline__ void bring(
    unsigned *xs, float2 *marks, const float *x, Norm<KEPT> &norm, int pass, bool isFirstPass) {
    constexpr int batch = 4;  // loads in flight
    const int in_block = threadIdx.x % 16, first_block = threadIdx.x / 16;
    const int plane = in_block / 8, word = in_block / 4 % 2 * 2 + in_block / 2 % 2, pair = in_block % 2 * 2;
    const bool isUpper = in_block / 2 % 2 == 1;
    // Of even and of odd columns, for both words of this thread; the other columns and rounds are a constant away.
    unsigned *to[2][2];
#pragma unroll
    for (int e = 0; e < 2; e++) {
        to[0][e] = xs + unit_of(first_block, plane, 0, pair + e) * 4 + word;
        to[1][e] = xs + unit_of(first_block, plane, 1, pair + e) * 4 + word;
    }
    const auto place_of = [&](int i) { return (int)threadIdx.x + i % ROUNDS * THREADS; };
    const auto quad_of = [&](int i) {
        const int q = pass * PASS_QUADS + place_of(i);
        return IS_WHOLE ? q : input_of(4 * q) / 4;
    };
#pragma unroll
    for (int from = 0; from < ROWS * ROUNDS; from += batch) {
        float4 v[batch], w[batch];
#pragma unroll
        for (int j = 0; j < batch; j++) {
            const int i = from + j;
            if (i >= ROWS * ROUNDS) continue;
            v[j] = quad(x + (long long)(i / ROUNDS) * K, quad_of(i));
            w[j] = norm.weights(quad_of(i), i % ROUNDS);
        }
        // A warp holds 128 inputs. A power of two brings the largest to 2^13 and more.
        float whole[batch], inverse[batch], sum[batch];
#pragma unroll
        for (int j = 0; j < batch; j++) {
            const int i = from + j, q = quad_of(i);
            if (i >= ROWS * ROUNDS) continue;
            if (IS_WHOLE || (place_of(i) < PASS_QUADS && q < QUADS)) {
                v[j] = norm.apply(v[j], w[j], i / ROUNDS, q, isFirstPass);
            }
            const float largest =
                fmaxf(fmaxf(fabsf(v[j].x), fabsf(v[j].y)), fmaxf(fabsf(v[j].z), fabsf(v[j].w)));
            const unsigned exponent = max(__reduce_max_sync(0xffffffffu, __float_as_uint(largest)) >> 23, 20u);
            whole[j] = __uint_as_float((267 - exponent) << 23), inverse[j] = __uint_as_float((exponent - 13) << 23);
            sum[j] = (v[j].x + v[j].y) + (v[j].z + v[j].w);
        }
#pragma unroll
        for (int j = 0; j < batch; j++) {
            if (from + j >= ROWS * ROUNDS) continue;
            if constexpr (FLUSH == 64) {
                // As an integer of 22 bits, which a warp adds at once: both halves' sums, and their difference.
                const int fixed = __float2int_rn(sum[j] * (whole[j] * 64));
                const int both = __reduce_add_sync(0xffffffffu, fixed);
                const int less = __reduce_add_sync(0xffffffffu, threadIdx.x & 16 ? -fixed : fixed);
                sum[j] = (float)(threadIdx.x & 16 ? both - less : both + less) * (inverse[j] * 0.0078125f);
            } else {
                sum[j] = warp_sum<FLUSH / 4>(sum[j]);
            }
        }
#pragma unroll
        for (int j = 0; j < batch; j++) {
            const int i = from + j, m = i / ROUNDS, at = place_of(i);
            if (i >= ROWS * ROUNDS || !(IS_WHOLE || at < PASS_QUADS)) continue;
            // The upper codes of a byte count 16-fold.
            const float factor = BITS == 4 && isUpper ? whole[j] * 0.0625f : whole[j];
            const float a[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
            const int away = i % ROUNDS * (THREADS / 16 * COLUMNS * 32);
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const unsigned high = pack2<half_t>(a[2 * e] * factor, a[2 * e + 1] * factor);
                const float2 rounded = unpack2<half_t>(high);
                // Products with a power of two are exact.
                const unsigned low = pack2<half_t>(
                    fmaf(a[2 * e], factor, -rounded.x), fmaf(a[2 * e + 1], factor, -rounded.y));
                const int high_column = PAIRED ? 2 * m : m, low_column = PAIRED ? 2 * m + 1 : m + 8;
                to[high_column % 2][e][away + high_column / 2 * 32] = high;
                to[low_column % 2][e][away + low_column / 2 * 32] = low;
            }
            if (at % (FLUSH / 4) == 0) {
                marks[at / (FLUSH / 4) * ROWS + m] =
                    make_float2(inverse[j] * 16777216.0f, HAS_ZEROS ? sum[j] : sum[j] * (1 << (BITS - 1)));
            }
        }
    }
}

/// Adds a step to the sums of a tile: of features r and r + 8, r = lane / 4; of row lane % 4, or rows 2 (lane % 4) + 0, 1.
__device__ __forceinline__ void consume(
    float (&sum)[SUMS], uint4 codes, const Pair<SCALE> (&scales)[FLUSHES], const unsigned *zeros,
    const unsigned (&x)[PAIRED ? 1 : 2][BITS == 4 ? 8 : 4], const float2 *marks) {
    const unsigned words[4] = {codes.x, codes.y, codes.z, codes.w};
    constexpr int products = STEP_INPUTS / 16, flush_products = products / FLUSHES;
#pragma unroll
    for (int f = 0; f < FLUSHES; f++) {
        float c[4] = {};
#pragma unroll
        for (int i = f * flush_products; i < (f + 1) * flush_products; i++) {
            unsigned a[4];
            if constexpr (BITS == 4) {
                const unsigned low = words[i], high = words[i] >> 8;
                a[0] = low & 0x000f000f, a[1] = high & 0x000f000f, a[2] = low & 0x00f000f0, a[3] = high & 0x00f000f0;
            } else {
                const unsigned first = words[2 * i], second = words[2 * i + 1];
                a[0] = first & 0x00ff00ff, a[1] = first >> 8 & 0x00ff00ff;
                a[2] = second & 0x00ff00ff, a[3] = second >> 8 & 0x00ff00ff;
            }
#pragma unroll
            for (int part = 0; part < (PAIRED ? 1 : 2); part++) multiply(c, a, x[part][2 * i], x[part][2 * i + 1]);
        }
        const float2 scale = scales[f].value();
        const int pair = threadIdx.x % 4;
        float zero[2] = {1, 1};
        if constexpr (HAS_ZEROS) zero[0] = (float)(zeros[f] & 0xff), zero[1] = (float)(zeros[f] >> 8);
        if constexpr (PAIRED) {
            const float2 mark = marks[f * ROWS + smaller(pair, ROWS - 1)];
            sum[0] += scale.x * fmaf(c[0] + c[1], mark.x, -zero[0] * mark.y);
            sum[1] += scale.y * fmaf(c[2] + c[3], mark.x, -zero[1] * mark.y);
        } else {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const float2 mark = marks[f * ROWS + smaller(2 * pair + e, ROWS - 1)];
                sum[e] += scale.x * fmaf(c[e], mark.x, -zero[0] * mark.y);
                sum[2 + e] += scale.y * fmaf(c[2 + e], mark.x, -zero[1] * mark.y);
            }
        }
    }
}

__device__ __forceinline__ void run(
    float *y, const float *x, const uint4 *w, const SCALE *scales, const unsigned char *zeros, const VECTOR *bias,
    const float *residual, const VECTOR *norm_weight, const VECTOR *norm_bias, float eps, float *best_values,
    int *best_indices) {
    extern __shared__ uint4 dynamic[];
    unsigned *const xs = (unsigned *)dynamic;
    float2 *const marks = (float2 *)(xs + PASS_BLOCKS * COLUMNS * 32);
    float *const norm_shared = (float *)(marks + PASS_FLUSHES * ROWS);
    float *const partials = norm_shared + NORM_SHARED;

    const int begin = (int)((unsigned)FEATURE_TILES * blockIdx.x / GRID);
    const int end = (int)((unsigned)FEATURE_TILES * (blockIdx.x + 1) / GRID);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int share = warp % SPLIT, tile_warp = warp / SPLIT;
    Walk walk(w, scales, zeros, begin + tile_warp, end, share);
    Held held[DEPTH];
#pragma unroll
    for (int d = 0; d < DEPTH; d++) walk.request(held[d], d);
    walk.advance();
    Norm<KEPT> norm;
    norm.prepare(norm_weight, norm_bias, eps);
    let_next_start();
    wait_for_previous();

    norm.measure(x, norm_shared);
    if constexpr (ONE_PASS) {
        bring(xs, marks, x, norm, 0, true);
        norm.share(norm_shared);
        __syncthreads();
    }
    const int member = share * 32 + lane;  // of the SPLIT warps
    const uint4 *x_units[PAIRED ? 1 : 2][BITS == 4 ? 2 : 1];  // of the warp's first step
#pragma unroll
    for (int part = 0; part < (PAIRED ? 1 : 2); part++) {
#pragma unroll
        for (int plane = 0; plane < (BITS == 4 ? 2 : 1); plane++) {
            const int column = PAIRED ? lane / 4 % COLUMNS : part * 8 + lane / 4;
            x_units[part][plane] =
                dynamic + unit_of(share / BLOCK_STEPS, BITS == 4 ? plane : share % 2, column, lane % 4);
        }
    }
    Best best[THREAD_OUTPUTS];
    int parity = 0;
#pragma unroll 1
    for (int first = begin; first < end; first += BLOCK_TILES) {
        const auto feature_of = [&](int o) {
            return (first + tile_warp + o / (16 * ROWS) * TILE_WARPS) * 16 + o / ROWS % 16;
        };
        const auto isMine = [&](int o) {
            return o < OUTPUTS && first + tile_warp + o / (16 * ROWS) * TILE_WARPS < end && feature_of(o) < N;
        };
        Addend addend[THREAD_OUTPUTS];
#pragma unroll
        for (int i = 0; i < THREAD_OUTPUTS; i++) {
            const int o = member + i * SPLIT * 32;
            if (isMine(o)) addend[i].load(bias, residual, o % ROWS, feature_of(o));
        }
        float sum[TILES][PARTS][SUMS] = {};
#pragma unroll 1
        for (int pass = 0; pass < PASSES; pass++) {
            if constexpr (!ONE_PASS) {
                __syncthreads();
                bring(xs, marks, x, norm, pass, first == begin);
                if (first == begin && pass + 1 == PASSES) norm.share(norm_shared);
                __syncthreads();
            }
#pragma unroll 1
            for (int step = 0; step < PASS_STEPS; step += DEPTH) {
#pragma unroll
                for (int d = 0; d < DEPTH; d++) {
                    // A step that is not there has scales of zero: any inputs will do.
                    const int in_pass = EVEN ? (step + d) * SPLIT + share
                                             : smaller((step + d) * SPLIT + share, PASS_BLOCKS * BLOCK_STEPS - 1);
                    unsigned v[PAIRED ? 1 : 2][BITS == 4 ? 8 : 4];
#pragma unroll
                    for (int part = 0; part < (PAIRED ? 1 : 2); part++) {
#pragma unroll
                        for (int plane = 0; plane < (BITS == 4 ? 2 : 1); plane++) {
                            const int column = PAIRED ? lane / 4 % COLUMNS : part * 8 + lane / 4;
                            const int which = BITS == 4 ? plane : in_pass % 2;
                            const uint4 u = EVEN_X
                                ? x_units[part][plane][(step + d) * (SPLIT / BLOCK_STEPS * COLUMNS * 8)]
                                : dynamic[unit_of(in_pass / BLOCK_STEPS, which, column, lane % 4)];
                            v[part][4 * plane] = u.x, v[part][4 * plane + 1] = u.y;
                            v[part][4 * plane + 2] = u.z, v[part][4 * plane + 3] = u.w;
                        }
                    }
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
#pragma unroll
                        for (int p = 0; p < PARTS; p++) {
                            consume(
                                sum[t][p], held[d].codes[t][p], held[d].scales[t][p], held[d].zeros[t][p], v,
                                marks + in_pass * FLUSHES * ROWS);
                        }
                    }
                    walk.request(held[d], d);
                }
                walk.advance();
            }
        }

        // [warp][part][output]; two buffers in turn, so that one barrier for a tile is enough.
        float *const buffer = partials + parity * (WARPS * PARTS * OUTPUTS);
        parity ^= 1;
#pragma unroll
        for (int t = 0; t < TILES; t++) {
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int s = 0; s < SUMS; s++) {
                    const int r = lane / 4 + 8 * (PAIRED ? s : s / 2), m = PAIRED ? lane % 4 : lane % 4 * 2 + s % 2;
                    if (m < ROWS) buffer[(warp * PARTS + p) * OUTPUTS + (t * 16 + r) * ROWS + m] = sum[t][p][s];
                }
            }
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < THREAD_OUTPUTS; i++) {
            const int o = member + i * SPLIT * 32;
            if (!isMine(o)) continue;
            const float scale = norm.scale(norm_shared, o % ROWS);
            float total[PARTS] = {};
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int s = 0; s < SPLIT; s++) total[p] += buffer[((tile_warp * SPLIT + s) * PARTS + p) * OUTPUTS + o];
                total[p] *= scale;
            }
            const float value = addend[i].finish(total);
            y[(long long)(o % ROWS) * N + feature_of(o)] = value;
            if constexpr (HEAD) best[i].meet(value, feature_of(o));
        }
    }
    if constexpr (HEAD) {
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            Best found;
#pragma unroll
            for (int i = 0; i < THREAD_OUTPUTS; i++) {
                const bool isOfRow = (member + i * SPLIT * 32) % ROWS == m;
                if (isOfRow) found.meet(best[i].value, best[i].index);
            }
            publish_best(found, m, (Best *)dynamic, best_values, best_indices);
        }
    }
}
