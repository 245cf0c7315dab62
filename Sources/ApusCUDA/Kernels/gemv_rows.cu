// gemv_rows, gemv_rows_head: what gemv and gemv_head compute, for 2 to 8 rows of x and weights of half_t, by tensor cores.
//
// From four rows on, FP32 arithmetic on each weight takes longer than reading it. Here 16 features · 16 inputs of W are the
// left operand of mma.m16n8k16 just as they lie in memory: the order of inputs within a product is free, so a thread takes
// eight neighbouring inputs of two features in two loads of 16 bytes, and x is laid out to match. x keeps its precision: of
// each 128 inputs the largest is scaled to 2¹³...2¹⁴ by a power of two, and each input is the sum of two halves, 22 bits in
// all. Up to 4 rows, these are neighbouring columns of one product; from 5 on, two products are added. The sums of 32 inputs
// leave the tensor cores as FP32. Bound by reading W once.
//
// A block owns the tiles of 16 features [T·b/GRID, T·(b+1)/GRID) and walks them; SPLIT warps share a tile, every SPLIT-th
// 32 inputs each. A thread holds TILES · DEPTH steps in registers, the first of them requested before the kernel waits.
//
// Arguments are those of gemv.cu. K is a multiple of 32. Macros, beside those of gemv.cuh:
//   HEAD           1: the kernel is gemv_rows_head
//   SPLIT          warps that share a tile, a divisor of THREADS / 32
//   TILES          tiles of 16 features that a warp works on at once (GATED: of each half of W)
//   DEPTH          steps in flight: 2 · TILES · DEPTH · (GATED ? 2 : 1) requests of 16 bytes for each thread
//   X_BLOCKS       blocks of 32 inputs in shared memory at a time, a multiple of 4, or 0 for all (the passes must be few)
//   BLOCKS         blocks that must fit on a multiprocessor (register limit)
//
// Launch: THREADS threads, GRID blocks (1 to ceil(N / 16)); dynamic shared memory 4 · (32 · C · B + ROWS · B + NORM_SHARED +
//   32 · THREADS / 32 · TILES · ROWS · (GATED ? 2 : 1)) bytes: B = X_BLOCKS or K / 32 rounded up to 4, C = ROWS up to 4 rows, else 8;
//   NORM_SHARED = max(ROWS, 2) · THREADS / 32.
//
// How to choose: THREADS 256, GRID min(ceil(N / 16), two blocks a multiprocessor), BLOCKS 2, TILES 1, X_BLOCKS 32, DEPTH 4 (GATED: 2),
// SPLIT 8 / the power of two that a block's tiles need at least, 1 to 8: x is converted once for THREADS / 32 / SPLIT tiles.
// On an H200, 8 rows: 4096 to 2 · 14336 gated features 69 µs (gemv 86), 14336 to 4096 41 µs. Up to 4 rows gemv is as fast.
#include "gemv.cuh"
#include "mma.cuh"

#if !defined(HEAD) || !defined(SPLIT) || !defined(TILES) || !defined(DEPTH) || !defined(X_BLOCKS) || !defined(BLOCKS)
#error "HEAD, SPLIT, TILES, DEPTH, X_BLOCKS and BLOCKS must be defined"
#endif
static_assert(K % 32 == 0, "K is a multiple of 32");

constexpr bool PAIRED = ROWS <= 4;               // both halves of an input in one product
constexpr int COLUMNS = PAIRED ? 2 * ROWS : 16;  // of x in shared memory: row · 2 + part, or part · 8 + row
constexpr int PRODUCTS = PAIRED ? 1 : 2;
constexpr int ALL_BLOCKS = K / 32;
constexpr int PASS_BLOCKS = X_BLOCKS == 0 || X_BLOCKS >= ALL_BLOCKS ? divided_up(ALL_BLOCKS, 4) * 4 : X_BLOCKS;
constexpr bool ONE_PASS = PASS_BLOCKS >= ALL_BLOCKS;
constexpr int PASSES = divided_up(ALL_BLOCKS, PASS_BLOCKS);
constexpr int PASS_STEPS = divided_up(divided_up(smaller(PASS_BLOCKS, ALL_BLOCKS), SPLIT), DEPTH) * DEPTH;  // of a warp
constexpr int PASS_QUADS = PASS_BLOCKS * 8;
constexpr int ROUNDS = divided_up(PASS_QUADS, THREADS);
constexpr int KEPT = ONE_PASS && ROUNDS <= 2 ? ROUNDS : 0;
constexpr int FEATURE_TILES = divided_up(N, 16);
constexpr int TILE_WARPS = WARPS / SPLIT;
constexpr int BLOCK_TILES = TILE_WARPS * TILES;
constexpr int SUMS = PAIRED ? 2 : 4;        // of a thread and tile
constexpr int OUTPUTS = TILES * 16 * ROWS;  // of SPLIT warps
constexpr int THREAD_OUTPUTS = divided_up(OUTPUTS, SPLIT * 32);
static_assert(WARPS % SPLIT == 0, "SPLIT divides the warps");
static_assert(PASS_BLOCKS % 4 == 0, "X_BLOCKS is a multiple of 4");
static_assert(!(HEAD && (GATED || HAS_RESIDUAL)), "a head has no gate and no residual");

/// 32 inputs of 16 features: of features r = lane / 4 and r + 8, inputs 8 · (lane % 4) and on.
struct Held {
    uint4 w[TILES][PARTS][2];

    __device__ __forceinline__ void request(const half_t *matrix, int tile, int end, int block, bool isThere) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int t = 0; t < TILES; t++) {
            const int first = (tile + t * TILE_WARPS) * 16 + lane / 4;
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int n = first + 8 * half;
                    const bool isOurs = isThere && tile + t * TILE_WARPS < end && n < N;
                    w[t][p][half] = isOurs
                        ? load_streamed(matrix + ((long long)p * N + n) * K + block * 32 + lane % 4 * 8)
                        : make_uint4(0, 0, 0, 0);
                }
            }
        }
    }
};

/// Brings the inputs of a pass to shared memory as halves, 16-byte units [block][column][k / 8], with a factor for each block.
__device__ __forceinline__ void bring(
    uint4 *xs, float *marks, const float *x, Norm<KEPT> &norm, int pass, bool isFirstPass) {
    constexpr int batch = 4;  // loads in flight
#pragma unroll
    for (int from = 0; from < ROWS * ROUNDS; from += batch) {
        float4 v[batch], w[batch];
#pragma unroll
        for (int j = 0; j < batch; j++) {
            const int i = from + j, q = pass * PASS_QUADS + threadIdx.x + i % ROUNDS * THREADS;
            if (i >= ROWS * ROUNDS) continue;
            v[j] = quad(x + (long long)(i / ROUNDS) * K, q);
            w[j] = norm.weights(q, i % ROUNDS);
        }
#pragma unroll
        for (int j = 0; j < batch; j++) {
            const int i = from + j, m = i / ROUNDS, at = threadIdx.x + i % ROUNDS * THREADS;
            const int q = pass * PASS_QUADS + at;
            if (i >= ROWS * ROUNDS) continue;
            if (at < PASS_QUADS && q < QUADS) v[j] = norm.apply(v[j], w[j], m, q, isFirstPass);
            // A warp holds 128 inputs. A power of two brings the largest to 2^13 and more.
            const float a[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
            const float largest = fmaxf(fmaxf(fabsf(a[0]), fabsf(a[1])), fmaxf(fabsf(a[2]), fabsf(a[3])));
            const unsigned exponent = max(__reduce_max_sync(0xffffffffu, __float_as_uint(largest)) >> 23, 20u);
            const float factor = __uint_as_float((267 - exponent) << 23);
            if (at >= PASS_QUADS) continue;
            unsigned high[2], low[2];
#pragma unroll
            for (int e = 0; e < 2; e++) {
                high[e] = pack2<half_t>(a[2 * e] * factor, a[2 * e + 1] * factor);
                const float2 rounded = unpack2<half_t>(high[e]);
                // Products with a power of two are exact.
                low[e] = pack2<half_t>(
                    fmaf(a[2 * e], factor, -rounded.x), fmaf(a[2 * e + 1], factor, -rounded.y));
            }
            const int high_column = PAIRED ? 2 * m : m, low_column = PAIRED ? 2 * m + 1 : m + 8;
            uint2 *const block = (uint2 *)(xs + at / 8 * (COLUMNS * 4));
            block[high_column * 8 + at % 8] = make_uint2(high[0], high[1]);
            block[low_column * 8 + at % 8] = make_uint2(low[0], low[1]);
            if (at % 8 == 0) marks[at / 8 * ROWS + m] = __uint_as_float((exponent - 13) << 23);
        }
    }
}

__device__ __forceinline__ void run(
    float *y, const float *x, const half_t *w, const VECTOR *bias, const float *residual, const VECTOR *norm_weight,
    const VECTOR *norm_bias, float eps, float *best_values, int *best_indices) {
    extern __shared__ uint4 xs[];
    float *const marks = (float *)(xs + PASS_BLOCKS * COLUMNS * 4);
    float *const norm_shared = marks + PASS_BLOCKS * ROWS;
    float *const partials = norm_shared + NORM_SHARED;

    const int begin = (int)((unsigned)FEATURE_TILES * blockIdx.x / GRID);
    const int end = (int)((unsigned)FEATURE_TILES * (blockIdx.x + 1) / GRID);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int share = warp % SPLIT, tile_warp = warp / SPLIT;
    Held held[DEPTH];
    const auto request = [&](int d, int first, int pass, int step) {
        const int in_pass = (step + d) * SPLIT + share, block = pass * PASS_BLOCKS + in_pass;
        held[d].request(w, first + tile_warp, end, block, in_pass < PASS_BLOCKS && block < ALL_BLOCKS);
    };
#pragma unroll
    for (int d = 0; d < DEPTH; d++) request(d, begin, 0, 0);
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
                const bool endsPass = step + DEPTH == PASS_STEPS, endsTile = endsPass && pass + 1 == PASSES;
                const int next = endsTile ? first + BLOCK_TILES : first, next_step = endsPass ? 0 : step + DEPTH;
                const int next_pass = endsTile ? 0 : endsPass ? pass + 1 : pass;
#pragma unroll
                for (int d = 0; d < DEPTH; d++) {
                    // Weights that are not there are zero: any inputs will do.
                    const int in_pass = smaller((step + d) * SPLIT + share, smaller(PASS_BLOCKS, ALL_BLOCKS) - 1);
                    uint4 v[PRODUCTS];
                    float mark[SUMS / 2];
#pragma unroll
                    for (int part = 0; part < PRODUCTS; part++) {
                        const int column = PAIRED ? lane / 4 % COLUMNS : part * 8 + lane / 4;
                        v[part] = xs[(in_pass * COLUMNS + column) * 4 + lane % 4];
                    }
#pragma unroll
                    for (int e = 0; e < SUMS / 2; e++) {
                        const int m = PAIRED ? lane % 4 : lane % 4 * 2 + e;
                        mark[e] = marks[in_pass * ROWS + smaller(m, ROWS - 1)];
                    }
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
#pragma unroll
                        for (int p = 0; p < PARTS; p++) {
                            const uint4 a = held[d].w[t][p][0], b = held[d].w[t][p][1];
                            float c[4] = {};
#pragma unroll
                            for (int part = 0; part < PRODUCTS; part++) {
                                multiply<half_t>(c, {a.x, b.x, a.y, b.y}, v[part].x, v[part].y);
                                multiply<half_t>(c, {a.z, b.z, a.w, b.w}, v[part].z, v[part].w);
                            }
                            float(&s)[SUMS] = sum[t][p];
                            if constexpr (PAIRED) {
                                s[0] = fmaf(c[0] + c[1], mark[0], s[0]), s[1] = fmaf(c[2] + c[3], mark[0], s[1]);
                            } else {
#pragma unroll
                                for (int e = 0; e < SUMS; e++) s[e] = fmaf(c[e], mark[e % (SUMS / 2)], s[e]);
                            }
                        }
                    }
                    request(d, next, next_pass, next_step);
                }
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
    if constexpr (HEAD) publish_bests(best, member, SPLIT * 32, (Best *)xs, best_values, best_indices);
}

#if HEAD
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gemv_rows_head(
    float *logits, const float *x, const half_t *w, const VECTOR *bias, const VECTOR *norm_weight,
    const VECTOR *norm_bias, float eps, float *best_values, int *best_indices) {
    run(logits, x, w, bias, nullptr, norm_weight, norm_bias, eps, best_values, best_indices);
}
#else
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gemv_rows(
    float *y, const float *x, const half_t *w, const VECTOR *bias, const float *residual, const VECTOR *norm_weight,
    const VECTOR *norm_bias, float eps) {
    run(y, x, w, bias, residual, norm_weight, norm_bias, eps, nullptr, nullptr);
}
#endif
