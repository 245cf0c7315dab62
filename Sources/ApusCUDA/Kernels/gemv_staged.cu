// gemv_staged: y[n] = epilogue(Σ_k W[n, k] · norm(x)[k] + bias[n]), the product of gemv.cu for one row of inputs, for small
// matrices in a chain of dependent kernels.
//
//   y f32 [N] out    x f32 [K]    w WEIGHT [N, K] ([2N, K] if GATED), 16-byte aligned, K a multiple of 16 / sizeof WEIGHT
//   bias, norm_weight, norm_bias VECTOR, residual f32: see gemv.cuh; null where the macros do not ask for them
//
// A block owns the features [N·b/GRID, N·(b+1)/GRID). Their rows are copied to shared memory, tile by tile, by the copy
// engine: all of them if there are SLOTS for all, before the block waits for its inputs. So the weights of several kernels are
// on their way while one computes, they hold no registers, and no thread is stalled by asking for them, which is what
// slows down the kernel before. When the inputs are there, every thread takes those of its chunks to registers; ROW_THREADS
// threads share a row. Sums of tiles go to shared memory and are finished together after the last tile.
//
// Bound by the chain: a kernel starts about 0.5 to 0.9 µs after the end of the one before it, its inputs need as much to
// arrive, its products as long as shared memory is read: 128 bytes a cycle and multiprocessor.
//
// Macros, beside those of gemv.cuh (ROWS is 1):
//   WEIGHT         type of W: float, half_t, bfloat_t
//   ROW_THREADS    threads that share a row, a multiple of 32 that divides THREADS
//   TILE_ROWS      rows of a tile that such a group sums at once (GATED: of each half of W), a power of two up to 32
//   SLOTS          tiles in shared memory at a time
//   BLOCKS         blocks that must fit on a multiprocessor (register limit)
//
// Launch: THREADS threads, GRID blocks (1 to N, N · GRID below 2^32); dynamic shared memory
//   stage + 4 · (inputs + NORM_SHARED + sums) bytes, with features = ceil(N / GRID), P = GATED ? 2 : 1, V = 16 / sizeof WEIGHT,
//   tile = TILE_ROWS · THREADS / ROW_THREADS, stage = K · sizeof WEIGHT · P · (SLOTS >= ceil(features / tile) ? features : SLOTS · tile),
//   inputs = V · ROW_THREADS · ceil(K / V / ROW_THREADS), NORM_SHARED = 2 · THREADS / 32, sums = P · features · ROW_THREADS / 32
#include "barriers.cuh"
#include "gemv.cuh"

#if !defined(WEIGHT) || !defined(ROW_THREADS) || !defined(TILE_ROWS) || !defined(SLOTS) || !defined(BLOCKS)
#error "WEIGHT, ROW_THREADS, TILE_ROWS, SLOTS and BLOCKS must be defined"
#endif

#if __CUDA_ARCH__ >= 900
constexpr int V = per_vector<WEIGHT>;
constexpr int PLANES = V / 4;  // chunks of eight inputs lie in two planes of four, so that lanes meet all banks
constexpr int CHUNKS = K / V;
constexpr int STEPS = divided_up(CHUNKS, ROW_THREADS);
constexpr int PADDED_CHUNKS = STEPS * ROW_THREADS;
constexpr int GROUPS = THREADS / ROW_THREADS;
constexpr int SPLIT = ROW_THREADS / 32;                  // warps that share a row
constexpr int MOST_FEATURES = divided_up(N, GRID);       // of a block
constexpr int TILE = GROUPS * TILE_ROWS;                 // features of a tile
constexpr int ROW_BYTES = K * (int)sizeof(WEIGHT);
constexpr int SLOT_BYTES = PARTS * TILE * ROW_BYTES;
constexpr bool IS_WHOLE = SLOTS * TILE >= MOST_FEATURES;  // no slot is filled twice
constexpr int STAGE_BYTES = IS_WHOLE ? PARTS * MOST_FEATURES * ROW_BYTES : SLOTS * SLOT_BYTES;
constexpr int ROUNDS = divided_up(QUADS, THREADS);
constexpr int KEPT = ROUNDS <= 2 ? ROUNDS : 0;
static_assert(ROWS == 1 && K % V == 0, "one row of inputs, rows of W of whole chunks");
static_assert(ROW_THREADS % 32 == 0 && THREADS % ROW_THREADS == 0, "whole warps share a row");
static_assert((TILE_ROWS & (TILE_ROWS - 1)) == 0 && TILE_ROWS <= 32, "TILE_ROWS is a power of two up to 32");
static_assert(IS_WHOLE || SLOTS >= 2, "a slot is filled while another is read");

/// Sums COUNT values over a warp: lane l gets that of index l / (32 / COUNT).
template <int COUNT> __device__ __forceinline__ float sums_over_warp(float (&v)[COUNT]) {
    const int lane = threadIdx.x % 32;
    int offset = 16;
#pragma unroll
    for (int count = COUNT; count > 1; count /= 2, offset /= 2) {
        const bool is_upper = lane & offset;
#pragma unroll
        for (int i = 0; i < count / 2; i++) {
            const float sent = is_upper ? v[i] : v[i + count / 2], kept = is_upper ? v[i + count / 2] : v[i];
            v[i] = kept + __shfl_xor_sync(0xffffffffu, sent, offset);
        }
    }
    float sum = v[0];
#pragma unroll
    for (; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gemv_staged(
    float *y, const float *x, const WEIGHT *w, const VECTOR *bias, const float *residual,
    const VECTOR *norm_weight, const VECTOR *norm_bias, float eps) {
    extern __shared__ __align__(128) char stage[];
    float4 *const xs = (float4 *)(stage + STAGE_BYTES);             // [PLANES][PADDED_CHUNKS]
    float *const norm_shared = (float *)(xs + PLANES * PADDED_CHUNKS);
    float *const sums = norm_shared + NORM_SHARED;                  // [features][PARTS][SPLIT]
    __shared__ __align__(8) unsigned long long filled[SLOTS], emptied[SLOTS];

    const int lane = threadIdx.x % 32;
    const int begin = (int)((unsigned)N * blockIdx.x / GRID);
    const int features = (int)((unsigned)N * (blockIdx.x + 1) / GRID) - begin, tiles = divided_up(features, TILE);
    const auto rows_of = [&](int tile) { return smaller(TILE, features - tile * TILE); };
    const auto fill = [&](int tile) {
        const int slot = tile % SLOTS, bytes = rows_of(tile) * ROW_BYTES;
        const unsigned long long policy = read_once();
        arrive_for_bytes(filled + slot, PARTS * bytes);
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            const WEIGHT *rows = w + ((long long)p * N + begin + tile * TILE) * K;
            copy_bulk(stage + slot * SLOT_BYTES + p * bytes, rows, bytes, filled + slot, policy);
        }
    };
    if (threadIdx.x == 0) {
        for (int i = 0; i < SLOTS; i++) set_barrier(filled + i, 1), set_barrier(emptied + i, WARPS);
        show_barriers_to_copies();
#pragma unroll 1
        for (int tile = 0; tile < tiles && tile < SLOTS; tile++) fill(tile);
    }
    let_next_start();
    Norm<KEPT> norm;
    norm.prepare(norm_weight, norm_bias, eps);
    Addend addend;
    addend.load_constants(bias, threadIdx.x < features ? begin + threadIdx.x : 0);
    for (int i = CHUNKS + threadIdx.x; i < PADDED_CHUNKS; i += THREADS) {
#pragma unroll
        for (int p = 0; p < PLANES; p++) xs[p * PADDED_CHUNKS + i] = make_float4(0, 0, 0, 0);
    }
    wait_for_previous();

    norm.measure(x, norm_shared);
    if (threadIdx.x < features) addend.load_residual(residual, 0, begin + threadIdx.x);
#pragma unroll
    for (int i = 0; i < ROUNDS; i++) {
        const int q = threadIdx.x + i * THREADS;
        if (q < QUADS) xs[q % PLANES * PADDED_CHUNKS + q / PLANES] = norm.apply(quad(x, q), norm.weights(q, i), 0, q, true);
    }
    norm.share(norm_shared);
    __syncthreads();

    const int group = threadIdx.x / ROW_THREADS, mine = threadIdx.x % ROW_THREADS;
    float4 inputs[STEPS][PLANES];
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
#pragma unroll
        for (int p = 0; p < PLANES; p++) inputs[s][p] = xs[p * PADDED_CHUNKS + s * ROW_THREADS + mine];
    }
#pragma unroll 1
    for (int tile = 0; tile < tiles; tile++) {
        const int slot = tile % SLOTS, rows = rows_of(tile);
        const char *const at = stage + slot * SLOT_BYTES + 16 * mine;
        float sum[PARTS][TILE_ROWS] = {};
        wait_for(filled + slot, tile / SLOTS & 1);
#pragma unroll
        for (int r = 0; r < TILE_ROWS; r++) {
            const int row = r * GROUPS + group;
            if (row >= rows) break;
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
#pragma unroll
                for (int s = 0; s < STEPS; s++) {
                    // Past the end of a row lies another, or nothing yet.
                    if (CHUNKS % ROW_THREADS != 0 && s == STEPS - 1 && s * ROW_THREADS + mine >= CHUNKS) break;
                    float a[V];
                    unpack<WEIGHT>(*(const uint4 *)(at + (p * rows + row) * ROW_BYTES + s * (16 * ROW_THREADS)), a);
#pragma unroll
                    for (int q = 0; q < PLANES; q++) {
                        const float4 v = inputs[s][q];
                        float total = sum[p][r];
                        total = fmaf(a[4 * q], v.x, total), total = fmaf(a[4 * q + 1], v.y, total);
                        total = fmaf(a[4 * q + 2], v.z, total), total = fmaf(a[4 * q + 3], v.w, total);
                        sum[p][r] = total;
                    }
                }
            }
        }
        if constexpr (!IS_WHOLE) {
            __syncwarp();
            if (lane == 0) arrive(emptied + slot);
            // The slot of the tile before: other warps have left it by now, or soon will.
            const int next = tile - 1 + SLOTS;
            if (threadIdx.x == 0 && tile > 0 && next < tiles) {
                wait_for(emptied + next % SLOTS, (tile - 1) / SLOTS & 1);
                fill(next);
            }
        }
        const int row = lane / (32 / TILE_ROWS) * GROUPS + group;
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            const float total = sums_over_warp<TILE_ROWS>(sum[p]);
            if (lane % (32 / TILE_ROWS) == 0 && row < rows) {
                sums[((tile * TILE + row) * PARTS + p) * SPLIT + threadIdx.x / 32 % SPLIT] = total;
            }
        }
    }
    __syncthreads();

    const float scale = norm.scale(norm_shared, 0);
    for (int n = threadIdx.x; n < features; n += THREADS) {
        float total[PARTS] = {};
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
#pragma unroll
            for (int s = 0; s < SPLIT; s++) total[p] += sums[(n * PARTS + p) * SPLIT + s];
            total[p] *= scale;
        }
        if (n >= THREADS) addend.load(bias, residual, 0, begin + n);
        y[begin + n] = addend.finish(total);
    }
}
#endif
