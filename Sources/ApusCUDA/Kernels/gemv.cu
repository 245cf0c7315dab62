// gemv: y[m, n] = epilogue(Σ_k W[n, k] · norm(x)[m, k] + bias[n]), and gemv_head: the same for logits, with their maxima.
//
//   y f32 [ROWS, N] out    x f32 [ROWS, K]    w WEIGHT [N, K] ([2N, K] if GATED), 16-byte aligned
//   bias, norm_weight, norm_bias VECTOR, residual f32: see gemv.cuh; null where the macros do not ask for them
//
// Bound by reading W once. A block owns the features [N·b/GRID, N·(b+1)/GRID) and walks them in tiles; ROW_THREADS threads
// share a row, a thread holds TILE_ROWS rows · DEPTH steps of 16 bytes in registers, all of them requested before they are
// used, and the first ones before the kernel waits for the one before it: a small matrix is on its way before its inputs
// exist. A used register is requested anew at once, across the ends of tiles, so that memory never idles. x lies in shared
// memory as FP32 with its norm weights; the RMS factor of a row is applied to finished sums and so costs no barrier.
//
// Macros, beside those of gemv.cuh:
//   WEIGHT         type of W: float, half_t, bfloat_t
//   HEAD           1: the kernel is gemv_head (0: gemv)
//   ROW_THREADS    threads that share a row: 4, 8, 16, 32, or a multiple of 32 that divides THREADS
//   TILE_ROWS      rows that a thread works on at once (GATED: of each half of W)
//   DEPTH          steps in flight: TILE_ROWS · DEPTH · (GATED ? 2 : 1) requests of 16 bytes for each thread
//   X_STEPS        steps of ROW_THREADS · (16 / sizeof WEIGHT) inputs in shared memory at a time, a multiple of DEPTH, or 0
//                  for all. The passes must be few (x is read anew for each tile), all inputs are best if they fit
//   BLOCKS         blocks that must fit on a multiprocessor (register limit)
//
// Launch: THREADS threads, GRID blocks (1 to N, N · GRID below 2^32); dynamic shared memory
//   4 · (ROWS · chunks · V + NORM_SHARED + partials) bytes, V = 16 / sizeof WEIGHT, steps = ceil(ceil(K / V) / ROW_THREADS)
//   rounded up to DEPTH, chunks = (X_STEPS or steps) · ROW_THREADS, NORM_SHARED = max(ROWS, 2) · THREADS / 32,
//   partials = ROW_THREADS > 32 ? 2 · THREADS / 32 · TILE_ROWS · ROWS · (GATED ? 2 : 1) : 0
// gemv_head writes, for each block b, the largest logit of row m and its index to best_values, best_indices [m · GRID + b].
// Any K is right; K · sizeof WEIGHT that is no multiple of 16 is read element by element.
//
// How to choose, as measured in chains of kernels on an H200 (S multiprocessors, B bytes of W, P = GATED ? 2 : 1):
//   THREADS, GRID, BLOCKS, requests in flight F  by the first line that fits:
//     ROWS > 1                              256, 2S, 2, 8    (ROWS > 4 and half_t: gemv_rows is faster)
//     HEAD                                  256, 4S, 4, 6
//     B >= 40 MB, or K >= 8192              512, 2S, 2, 6
//     GATED, B >= 15 MB                     256, 4S, 4, 8
//     GATED                                 256, 2S, 4, 8
//     B >= 6 MB                             256, 2S, 3, 10
//     else                                  256,  S, 4, 8
//   GRID is at most N. ROW_THREADS 8, 16 ... 256, TILE_ROWS 1, 2, 4 and DEPTH 1 ... 12: the least cost of those with
//     TILE_ROWS · DEPTH · P <= F + 2 and >= min(F − 2, s · TILE_ROWS · P), s = ceil(ceil(K / V) / ROW_THREADS);
//     ROWS > 1: TILE_ROWS · P · ROWS <= 32 too, and TILE_ROWS >= 2 where that leaves a choice
//     for a pair of the first two, DEPTH is the largest of those for which s rounded up to DEPTH, s', is least
//     cost = tiles · (s' · TILE_ROWS · P + 3 + (ROW_THREADS > 32 ? 3 : 0) + 0.4 · TILE_ROWS · P · log2(min(ROW_THREADS, 32))),
//     tiles = ceil(ceil(N / GRID) · ROW_THREADS / (THREADS · TILE_ROWS))
//   X_STEPS 0 where x takes up to 96 KB, else the multiple of DEPTH that takes about 48 KB.
// Of the time that its bytes need at 4540 GB/s, a layer's four products then take (FP16, one row): Llama-3.1-8B 91 %,
// Qwen2.5-7B 91, Llama-3.2-1B 83, Qwen3-0.6B 59, Qwen2.5-0.5B 54; heads 95 to 99 %. Small ones are bound by the chain: 1.3 to
// 1.8 µs a kernel, of which about 1 µs is the launch.
#include "gemv.cuh"

#if !defined(WEIGHT) || !defined(HEAD) || !defined(ROW_THREADS) || !defined(TILE_ROWS) || !defined(DEPTH)
#error "WEIGHT, HEAD, ROW_THREADS, TILE_ROWS and DEPTH must be defined"
#endif
#if !defined(X_STEPS) || !defined(BLOCKS)
#error "X_STEPS and BLOCKS must be defined"
#endif

constexpr int V = per_vector<WEIGHT>;
constexpr int PLANES = V / 4;  // chunks of eight inputs lie in two planes of four, so that lanes meet all banks
constexpr int CHUNKS = divided_up(K, V);
constexpr int STEPS = divided_up(divided_up(CHUNKS, ROW_THREADS), DEPTH) * DEPTH;
constexpr int PASS_STEPS = X_STEPS == 0 || X_STEPS >= STEPS ? STEPS : X_STEPS;
constexpr int PASS_CHUNKS = PASS_STEPS * ROW_THREADS;
constexpr bool ONE_PASS = PASS_STEPS == STEPS;
constexpr int GROUPS = THREADS / ROW_THREADS;
constexpr int BLOCK_ROWS = GROUPS * TILE_ROWS;
constexpr int LANES = smaller(ROW_THREADS, 32);
constexpr int SPLIT = ROW_THREADS / LANES;  // warps that share a row
constexpr int OUTPUTS = TILE_ROWS * ROWS;   // of a group and tile
constexpr int LANE_OUTPUTS = divided_up(OUTPUTS, LANES);
static_assert(THREADS % ROW_THREADS == 0 && (LANES & (LANES - 1)) == 0, "ROW_THREADS divides THREADS");
static_assert(PASS_STEPS % DEPTH == 0, "X_STEPS is a multiple of DEPTH");
static_assert(!(HEAD && (GATED || HAS_RESIDUAL)), "a head has no gate and no residual");

/// Chunk `chunk` of a row of W, zero past its end.
__device__ __forceinline__ uint4 load_chunk(const WEIGHT *row, int chunk) {
    if constexpr (K % V == 0) {
        return load_streamed(row + (long long)chunk * V);
    } else {
        float elements[V];
#pragma unroll
        for (int i = 0; i < V; i++) elements[i] = chunk * V + i < K ? to_float(row[chunk * V + i]) : 0;
        return pack<WEIGHT>(elements);
    }
}

struct Tiles {
    uint4 held[DEPTH][TILE_ROWS][PARTS];
    const WEIGHT *w;
    int end, lane, group;

    /// Requests DEPTH steps from `step` on of the tile whose first feature is `first`.
    __device__ __forceinline__ void request(int d, int first, int step) {
        const int chunk = (step + d) * ROW_THREADS + lane;
#pragma unroll
        for (int r = 0; r < TILE_ROWS; r++) {
            const int n = first + r * GROUPS + group;
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
                held[d][r][p] = n < end && chunk < CHUNKS ? load_chunk(w + ((long long)p * N + n) * K, chunk)
                                                          : make_uint4(0, 0, 0, 0);
            }
        }
    }
};

constexpr int PASS_QUADS = PASS_CHUNKS * PLANES;
constexpr int ROUNDS = divided_up(PASS_QUADS, THREADS);
constexpr int KEPT = ONE_PASS && ROUNDS <= 2 ? ROUNDS : 0;

/// Brings the inputs of a pass to shared memory, [ROWS][PLANES][PASS_CHUNKS] groups of four.
__device__ __forceinline__ void bring(float4 *xs, const float *x, Norm<KEPT> &norm, int pass, bool isFirstPass) {
    const auto target = [&](int m, int at) { return xs + (m * PLANES + at % PLANES) * PASS_CHUNKS + at / PLANES; };
    if constexpr (NORM == 0 && K % 4 == 0 && ROUNDS > 2) {
        // Past the end lies the last group again; its weights are zero.
#pragma unroll
        for (int i = 0; i < ROWS * ROUNDS; i++) {
            const int m = i / ROUNDS, at = threadIdx.x + i % ROUNDS * THREADS, q = pass * PASS_QUADS + at;
            if (at < PASS_QUADS) copy_quad(target(m, at), x + (long long)m * K + 4 * smaller(q, QUADS - 1));
        }
        wait_for_copies();
    } else {
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
                if (i < ROWS * ROUNDS && at < PASS_QUADS) {
                    if (q < QUADS) v[j] = norm.apply(v[j], w[j], m, q, isFirstPass);
                    *target(m, at) = v[j];
                }
            }
        }
    }
}

__device__ __forceinline__ void run(
    float *y, const float *x, const WEIGHT *w, const VECTOR *bias, const float *residual,
    const VECTOR *norm_weight, const VECTOR *norm_bias, float eps, float *best_values, int *best_indices) {
    extern __shared__ float4 xs[];
    float *const norm_shared = (float *)(xs + ROWS * PLANES * PASS_CHUNKS);
    float *const partials = norm_shared + NORM_SHARED;

    const int begin = (int)((unsigned)N * blockIdx.x / GRID);
    const int warp_lane = threadIdx.x % LANES;
    const int part_of_row = threadIdx.x % ROW_THREADS / LANES;
    Tiles tiles;
    tiles.w = w;
    tiles.end = (int)((unsigned)N * (blockIdx.x + 1) / GRID);
    tiles.lane = threadIdx.x % ROW_THREADS;
    tiles.group = threadIdx.x / ROW_THREADS;
#pragma unroll
    for (int d = 0; d < DEPTH; d++) tiles.request(d, begin, 0);
    Norm<KEPT> norm;
    norm.prepare(norm_weight, norm_bias, eps);
    let_next_start();
    wait_for_previous();

    norm.measure(x, norm_shared);
    if constexpr (ONE_PASS) {
        bring(xs, x, norm, 0, true);
        norm.share(norm_shared);
    }
    float scale[LANE_OUTPUTS];
    Best best[LANE_OUTPUTS];
    int parity = 0;
#pragma unroll 1
    for (int first = begin; first < tiles.end; first += BLOCK_ROWS) {
        const bool writes = part_of_row == 0;
        Addend addend[LANE_OUTPUTS];
#pragma unroll
        for (int i = 0; i < LANE_OUTPUTS; i++) {
            const int o = warp_lane + i * LANES, n = first + o / ROWS * GROUPS + tiles.group;
            if (writes && o < OUTPUTS && n < tiles.end) addend[i].load(bias, residual, o % ROWS, n);
        }
        if (ONE_PASS && first == begin) {
            __syncthreads();
#pragma unroll
            for (int i = 0; i < LANE_OUTPUTS; i++) scale[i] = norm.scale(norm_shared, (warp_lane + i * LANES) % ROWS);
        }

        float sum[TILE_ROWS][ROWS][PARTS] = {};
#pragma unroll 1
        for (int step = 0; step < STEPS; step += DEPTH) {
            if (!ONE_PASS && step % PASS_STEPS == 0) {
                __syncthreads();
                bring(xs, x, norm, step / PASS_STEPS, first == begin);
                if (first == begin && step + PASS_STEPS >= STEPS) norm.share(norm_shared);
                __syncthreads();
            }
            const bool isLast = step + DEPTH == STEPS;
            const int next = isLast ? first + BLOCK_ROWS : first, next_step = isLast ? 0 : step + DEPTH;
#pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                const int chunk = (step % PASS_STEPS + d) * ROW_THREADS + tiles.lane;
#pragma unroll
                for (int m = 0; m < ROWS; m++) {
                    float4 v[PLANES];
#pragma unroll
                    for (int p = 0; p < PLANES; p++) v[p] = xs[(m * PLANES + p) * PASS_CHUNKS + chunk];
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; r++) {
#pragma unroll
                        for (int part = 0; part < PARTS; part++) {
                            float a[V];
                            unpack<WEIGHT>(tiles.held[d][r][part], a);
                            float s = sum[r][m][part];
#pragma unroll
                            for (int p = 0; p < PLANES; p++) {
                                s = fmaf(a[4 * p], v[p].x, s), s = fmaf(a[4 * p + 1], v[p].y, s);
                                s = fmaf(a[4 * p + 2], v[p].z, s), s = fmaf(a[4 * p + 3], v[p].w, s);
                            }
                            sum[r][m][part] = s;
                        }
                    }
                }
                tiles.request(d, next, next_step);
            }
        }

        float mine[LANE_OUTPUTS][PARTS] = {};
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                const float total = warp_sum<LANES>(sum[o / ROWS][o % ROWS][part]);
                if (warp_lane == o % LANES) mine[o / LANES][part] = total;
            }
        }
        if constexpr (SPLIT > 1) {
            // Two buffers in turn: a warp may reach the next tile's sums while others still read these.
            float *const buffer = partials + parity * (WARPS * OUTPUTS * PARTS);
            float *const row = buffer + tiles.group * (SPLIT * OUTPUTS * PARTS);
            parity ^= 1;
#pragma unroll
            for (int i = 0; i < LANE_OUTPUTS; i++) {
                const int o = warp_lane + i * LANES;
#pragma unroll
                for (int part = 0; part < PARTS; part++) {
                    if (o < OUTPUTS) row[(part_of_row * PARTS + part) * OUTPUTS + o] = mine[i][part];
                }
            }
            __syncthreads();
#pragma unroll
            for (int i = 0; i < LANE_OUTPUTS; i++) {
                const int o = warp_lane + i * LANES;
#pragma unroll
                for (int part = 0; part < PARTS; part++) {
                    float total = 0;
#pragma unroll
                    for (int s = 0; s < SPLIT; s++) {
                        if (writes && o < OUTPUTS) total += row[(s * PARTS + part) * OUTPUTS + o];
                    }
                    mine[i][part] = total;
                }
            }
        }
#pragma unroll
        for (int i = 0; i < LANE_OUTPUTS; i++) {
            const int o = warp_lane + i * LANES, m = o % ROWS, n = first + o / ROWS * GROUPS + tiles.group;
            if (!writes || o >= OUTPUTS || n >= tiles.end) continue;
            if (!ONE_PASS && first == begin) scale[i] = norm.scale(norm_shared, m);
#pragma unroll
            for (int part = 0; part < PARTS; part++) mine[i][part] *= scale[i];
            const float value = addend[i].finish(mine[i]);
            y[(long long)m * N + n] = value;
            if constexpr (HEAD) best[i].meet(value, n);
        }
    }

    if constexpr (HEAD) {
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            Best found;
#pragma unroll
            for (int i = 0; i < LANE_OUTPUTS; i++) {
                const bool isOfRow = (warp_lane + i * LANES) % ROWS == m;
                if (isOfRow) found.meet(best[i].value, best[i].index);
            }
            publish_best(found, m, (Best *)xs, best_values, best_indices);
        }
    }
}

#if HEAD
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gemv_head(
    float *logits, const float *x, const WEIGHT *w, const VECTOR *bias, const VECTOR *norm_weight,
    const VECTOR *norm_bias, float eps, float *best_values, int *best_indices) {
    run(logits, x, w, bias, nullptr, norm_weight, norm_bias, eps, best_values, best_indices);
}
#else
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gemv(
    float *y, const float *x, const WEIGHT *w, const VECTOR *bias, const float *residual,
    const VECTOR *norm_weight, const VECTOR *norm_bias, float eps) {
    run(y, x, w, bias, residual, norm_weight, norm_bias, eps, nullptr, nullptr);
}
#endif
