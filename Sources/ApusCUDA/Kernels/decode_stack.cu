// decode_stack: all layers of a decode step of one sequence in one launch.
//
//   x f32 [HIDDEN] → y f32 [HIDDEN]; a layer is
//     x += Wo·attention(turn(norm(Wqkv·rms_norm(x) + b)), caches)
//     x += Wdown·(silu(Wgate·n) · (Wup·n)) with n = rms_norm(x)
//
// A cluster of CLUSTER blocks serves a KV head with its query heads. Its blocks share out the rows of Wqkv that belong to them,
// the keys, the rows of Wo (of the columns of the cluster's heads), a CLUSTERS-th of the rows of Wgate and Wup, and the rows of
// Wdown (of the columns that these meet). So q, k, v, the attention and the gated values never leave the cluster: blocks store
// them into each other's shared memory. Only the sums over all clusters travel through global memory, twice a layer, and each
// block needs those of its own rows only, which it hands to its cluster. A ring of shared memory is filled with weights and keys
// in the order of use by warps of its own, which never wait for results, so memory is busy while results travel.
//
// The order of sums does not depend on who comes first, so results are the same from run to run.
//
// Bound by the chain of phases within a block, then by what CLUSTERS·CLUSTER multiprocessors can read. Measured on an H200, FP16, at
// depth 2048, us a layer: Qwen3-0.6B 14.2, Llama-3.2-1B 33.5; see docs/performance.md.
//
// Macros
//   WEIGHT              half_t or bfloat_t: type of weights and caches
//   LAYERS, HIDDEN, FFN, Q_HEADS, KV_HEADS, HEAD_DIM (64 or 128, turned as a whole)
//   QKV_BIAS, QK_NORM   1 or 0
//   TABLE               1: angles are rows of a constant table, half of HEAD_DIM of each; 0: those of the new token, HEAD_DIM
//   CLUSTERS, CLUSTER   KV_HEADS, and the blocks of each: up to 8
//   DEPTH               stages of the ring for each warp
//   LAUNCH_BYTES        dynamic shared memory of the launch, which must be SHARED_BYTES
//
// Launch: CLUSTERS·CLUSTER blocks of THREADS threads, all of them resident at once; dynamic shared memory SHARED_BYTES.
//
// Arguments: layers, see Layer; x and y; cosines, sines, rope_stride (elements between rows) and rope_rows of a table; capacity,
// key_stride and value_stride of the caches between heads, in elements; *lengths + length_offset keys, the new one included: if
// that is not in 1…capacity, no attention, and a report of `step` if `fault` is not null; norm_eps of the layers' norms, head_eps
// of those of q and k; scale of scores; exchange, u64 [2, CLUSTER, CLUSTERS, HIDDEN / CLUSTER], and epochs, u32
// [CLUSTERS·CLUSTER], both zero before the first launch and left to this kernel. y may lie where x or the angles do.
#include "types.cuh"

#if !defined(WEIGHT) || !defined(LAYERS) || !defined(HIDDEN) || !defined(FFN) || !defined(Q_HEADS) || !defined(KV_HEADS)
#error "decode_stack needs WEIGHT, LAYERS, HIDDEN, FFN, Q_HEADS, KV_HEADS"
#endif
#if !defined(HEAD_DIM) || !defined(QKV_BIAS) || !defined(QK_NORM) || !defined(TABLE)
#error "decode_stack needs HEAD_DIM, QKV_BIAS, QK_NORM, TABLE"
#endif
#if !defined(CLUSTERS) || !defined(CLUSTER) || !defined(DEPTH) || !defined(LAUNCH_BYTES)
#error "decode_stack needs CLUSTERS, CLUSTER, DEPTH, LAUNCH_BYTES"
#endif

#if __CUDA_ARCH__ >= 900
#include "stack_attention.cuh"
#include "stack_exchange.cuh"

constexpr int ROWS = HIDDEN / CLUSTER;       ///< of the sums over clusters, of a block
constexpr int GATES = FFN / CLUSTERS;        ///< of a cluster
constexpr int OWN_GATES = GATES / CLUSTER;   ///< of a block
using QKV = Cut<(GROUP + 2) * D / CLUSTER, HIDDEN>;
using Projection = Cut<ROWS, OUTPUTS>;
using Up = Cut<2 * OWN_GATES, HIDDEN>;
using Down = Cut<ROWS, GATES>;
static_assert(Q_HEADS % KV_HEADS == 0 && CLUSTERS == KV_HEADS, "a cluster for a KV head");
static_assert(HIDDEN % (32 * CLUSTER) == 0 && OWN_GATES % TILE == 0 && D % TILE == 0, "whole tiles for each block");

constexpr int larger_of(int a, int b) { return a > b ? a : b; }
/// Floats of a warp's attention: what it ends with, and before that its weights.
constexpr int PARTIAL_ROOM = (larger_of(PARTIAL, GROUP *AT_ONCE) + 3) / 4 * 4;
constexpr int SUMS = larger_of(
    larger_of(QKV::ROWS * QKV::CHUNKS, Projection::ROWS *Projection::CHUNKS),
    larger_of(larger_of(Up::ROWS * Up::CHUNKS, Down::ROWS *Down::CHUNKS), WARPS *PARTIAL_ROOM));

/// Shared memory of a block, behind the ring.
struct Shared {
    alignas(16) float x[HIDDEN];             ///< the inputs of a layer's products, times the norm's weights; then their parts
    alignas(16) float squares[HIDDEN / 32];  ///< sums of squares of 32 inputs each
    alignas(16) float qkv[(GROUP + 2) * D];
    alignas(16) float partials[CLUSTER][PARTIAL];
    alignas(16) unsigned heads[OUTPUTS];     ///< parts of the queries, then of what they attend to
    alignas(16) unsigned gated[GATES];       ///< parts
    alignas(16) WEIGHT newest[2][D];         ///< k and v of the new token
    alignas(16) float bias[QKV::ROWS];
    alignas(16) float norms[2][D];           ///< of q and of k
    alignas(16) float sums[SUMS];            ///< what warps add up, phase by phase
    alignas(16) float cosines[D], sines[D];
    StageBarriers stages;
    unsigned long long x_barrier, qkv_barrier, partials_barrier, gated_barrier;
};
/// Bytes that arrive at the barriers.
constexpr int X_BYTES = 4 * (HIDDEN + HIDDEN / 32), QKV_BYTES = 4 * (GROUP + 2) * D;
constexpr int PARTIALS_BYTES = 4 * CLUSTER * PARTIAL, GATED_BYTES = 4 * GATES;
constexpr int RING_BYTES = DEPTH * WARPS * STAGE_BYTES;
constexpr int SHARED_BYTES = RING_BYTES + (int)sizeof(Shared);
static_assert(SHARED_BYTES == LAUNCH_BYTES, "see DecodeStackShape");

/// What differs from layer to layer; weights are row-major, caches [KV_HEADS, capacity, D] with a stride between heads.
struct Layer {
    const float *norm;             ///< [HIDDEN]
    const WEIGHT *qkv;             ///< [(Q_HEADS + 2·KV_HEADS)·D, HIDDEN]
    const float *qkv_bias;         ///< [(Q_HEADS + 2·KV_HEADS)·D]
    const float *q_norm, *k_norm;  ///< [D]
    WEIGHT *keys, *values;
    const WEIGHT *projection;      ///< [HIDDEN, Q_HEADS·D]
    const float *second_norm;      ///< [HIDDEN]
    const WEIGHT *up;              ///< [2·FFN, HIDDEN], gates first
    const WEIGHT *down;            ///< [HIDDEN, FFN]
};
struct Layers {
    Layer at[LAYERS];
};

/// Row of Wqkv that is row `i` of a cluster's.
__device__ __forceinline__ int qkv_row(int cluster, int i) {
    if (i < OUTPUTS) return cluster * OUTPUTS + i;
    return i < OUTPUTS + D ? Q_HEADS * D + cluster * D + i - OUTPUTS : (Q_HEADS + KV_HEADS) * D + cluster * D + i - OUTPUTS - D;
}

/// Rounds in which warps of a block get keys.
__device__ __forceinline__ int key_rounds(int keys, int rank) {
    constexpr int STEP = WARPS * CLUSTER * RUN;
    return (keys - rank * RUN + STEP - 1) / STEP;
}

/// The place of a block.
struct Place {
    int cluster, rank;
};

__device__ __forceinline__ void fill(
    const Layers &layers, Shared &shared, char *ring, Place at, const int *lengths, int length_offset, int capacity,
    long long key_stride, long long value_stride) {
    Filler filler{shared.stages, ring, (int)threadIdx.x / 32 - WARPS, read_once(), RingPlace()};
    int rounds = 0;
    int keys = 0;
#pragma unroll 1
    for (int l = 0; l < LAYERS; l++) {
        const Layer &layer = layers.at[l];
        filler.fill_product<QKV>([&](int i) {
            return layer.qkv + (long long)qkv_row(at.cluster, at.rank * QKV::ROWS + i) * HIDDEN;
        });
        if (l == 0) {
            // Only now is the length that of this step, and the row before it in the cache.
            wait_for_previous();
            keys = load_fresh(lengths) + length_offset;
            if (keys > capacity) keys = 0;
            rounds = key_rounds(keys, at.rank);
        }
        filler.fill_keys<RUN, KEY_BYTES, VALUE_PITCH>(
            layer.keys + at.cluster * key_stride, layer.values + at.cluster * value_stride,
            (filler.warp * CLUSTER + at.rank) * RUN, WARPS * CLUSTER * RUN, keys, capacity, rounds);
        filler.fill_product<Projection>([&](int i) {
            return layer.projection + (long long)(at.rank * ROWS + i) * (Q_HEADS * D) + at.cluster * OUTPUTS;
        });
        filler.fill_product<Up>([&](int i) {
            const int row = at.cluster * GATES + at.rank * OWN_GATES + (i < OWN_GATES ? i : FFN + i - OWN_GATES);
            return layer.up + (long long)row * HIDDEN;
        });
        filler.fill_product<Down>([&](int i) {
            return layer.down + (long long)(at.rank * ROWS + i) * FFN + at.cluster * GATES;
        });
    }
}

/// The rows of x that a block adds up, and how they come and go: row i, i + WORKERS, … belong to thread i.
struct Residual {
    static constexpr int OWN = (ROWS + WORKERS - 1) / WORKERS;
    float x[OWN];

    __device__ __forceinline__ static int row(int i) { return threadIdx.x + i * WORKERS; }

    /// Adds what all clusters have for the block's rows; this one's are in `sums`.
    template <typename C>
    __device__ __forceinline__ void exchange(const float *sums, float factor, unsigned long long *words, Place at, unsigned epoch) {
        unsigned long long *const own = words + (long long)((epoch & 1) * CLUSTER + at.rank) * CLUSTERS * ROWS;
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            if (row(i) < ROWS) publish(own + at.cluster * ROWS + row(i), total_of<C>(sums, row(i)) * factor, epoch);
        }
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            if (row(i) < ROWS) x[i] += collect<CLUSTERS>(own + row(i), ROWS, epoch);
        }
    }

    /// Hands the rows, times the weights of the next norm, to all blocks of the cluster.
    __device__ __forceinline__ void hand_out(const float (&weights)[OWN], Shared &shared, int rank) const {
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            if (row(i) >= ROWS) continue;
            const int at = rank * ROWS + row(i);
            send_to_all(x[i] * weights[i], shared.x + at, &shared.x_barrier);
            const float square = warp_sum(x[i] * x[i]);
            const int peer = threadIdx.x % 32;
            if (peer < CLUSTER) send(square, shared.squares + at / 32, &shared.x_barrier, peer);
        }
    }

    __device__ __forceinline__ static void load_weights(const float *norm, int rank, float (&weights)[OWN]) {
#pragma unroll
        for (int i = 0; i < OWN; i++) weights[i] = row(i) < ROWS ? norm[rank * ROWS + row(i)] : 0;
    }
};

/// The factor of the norm of the inputs that a block was handed.
__device__ __forceinline__ float norm_factor(const float *squares, float eps) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < HIDDEN / 32; i += 32) sum += i + threadIdx.x % 32 < HIDDEN / 32 ? squares[i + threadIdx.x % 32] : 0;
    return rsqrtf(warp_sum(sum) * (1.0f / HIDDEN) + eps);
}

// Numbers of W's type are kept clear of its largest: parts of x count so much of x.
constexpr float NORMED = IS_HALF ? 1.0f / 16 : 1, GATED = IS_HALF ? 1.0f / 256 : 1;

/// Makes parts of the inputs that a block was handed, times `factor`.
__device__ __forceinline__ void split_inputs(Shared &shared, float factor) {
    share_out<HIDDEN / 4>([&](int i) {
        const float4 v = ((const float4 *)shared.x)[i];
        ((uint4 *)shared.x)[i] = make_uint4(
            parts_of(v.x * factor), parts_of(v.y * factor), parts_of(v.z * factor), parts_of(v.w * factor));
    });
}

/// Constants of a layer's heads, loaded long before they are needed.
struct HeadConstants {
    float bias = 0, norm = 0;

    __device__ __forceinline__ HeadConstants(const Layer &layer, Place at) {
        const int i = threadIdx.x;
        if (QKV_BIAS && i < QKV::ROWS) bias = layer.qkv_bias[qkv_row(at.cluster, at.rank * QKV::ROWS + i)];
        if (QK_NORM && i < 2 * D) norm = i < D ? layer.q_norm[i] : layer.k_norm[i - D];
    }
    __device__ __forceinline__ void store(Shared &shared) const {
        const int i = threadIdx.x;
        if (QKV_BIAS && i < QKV::ROWS) shared.bias[i] = bias;
        if (QK_NORM && i < 2 * D) shared.norms[0][i] = norm;
    }
};
static_assert(QKV::ROWS <= WORKERS && 2 * D <= WORKERS, "a thread for each constant");

/// Norms and turns the new q and k, a warp for each head: parts of q, times `factor`, and k and v as the cache keeps them.
__device__ __forceinline__ void prepare_heads(Shared &shared, float eps, float factor) {
    const Angles angles{shared.cosines, shared.sines};
    const int lane = threadIdx.x % 32;
    for (int head = threadIdx.x / 32; head < GROUP + 2; head += WARPS) {
        if (head == GROUP + 1) {
            for (int d = lane; d < D; d += 32) shared.newest[1][d] = from_float<WEIGHT>(shared.qkv[head * D + d]);
            continue;
        }
        const NewHead fresh(shared.qkv + head * D, shared.norms[head / GROUP], eps, angles);
#pragma unroll
        for (int i = 0; i < D / 32; i++) {
            const int d = lane + 32 * i;
            if (head < GROUP) shared.heads[head * D + d] = parts_of(fresh.x[i] * factor);
            else shared.newest[0][d] = from_float<WEIGHT>(fresh.x[i]);
        }
    }
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(THREADS, 1) decode_stack(
    const __grid_constant__ Layers layers, const float *x, float *y, const float *cosines, const float *sines, int rope_stride,
    int rope_rows, int capacity, long long key_stride, long long value_stride, const int *lengths, int length_offset,
    int *fault, int step, float norm_eps, float head_eps, float scale, unsigned long long *exchange, unsigned *epochs) {
    extern __shared__ __align__(128) char ring[];
    Shared &shared = *(Shared *)(ring + RING_BYTES);
    const Place at = {(int)blockIdx.x / CLUSTER, rank_in_cluster()};
    if (threadIdx.x == 0) {
        shared.stages.prepare();
        set_barrier(&shared.x_barrier, 1), set_barrier(&shared.qkv_barrier, 1);
        set_barrier(&shared.partials_barrier, 1), set_barrier(&shared.gated_barrier, 1);
        show_barriers_to_copies();
        arrive_for_bytes(&shared.x_barrier, X_BYTES);
        arrive_for_bytes(&shared.qkv_barrier, QKV_BYTES);
        arrive_for_bytes(&shared.partials_barrier, PARTIALS_BYTES);
        arrive_for_bytes(&shared.gated_barrier, GATED_BYTES);
    }
    __syncthreads();
    let_next_start();
    if (threadIdx.x >= WORKERS) {
        meet_cluster();
        fill(layers, shared, ring, at, lengths, length_offset, capacity, key_stride, value_stride);
        return;
    }
    meet_cluster();
    Taker taker{shared.stages, ring, (int)threadIdx.x / 32, RingPlace()};
    Inbox x_inbox{&shared.x_barrier, 0}, qkv_inbox{&shared.qkv_barrier, 0};
    Inbox partials_inbox{&shared.partials_barrier, 0}, gated_inbox{&shared.gated_barrier, 0};
    float *const partial = shared.sums + taker.warp * PARTIAL_ROOM;
    Residual residual;
    float weights[Residual::OWN];
    Residual::load_weights(layers.at[0].norm, at.rank, weights);

    wait_for_previous();
    unsigned epoch = epochs[blockIdx.x];
#pragma unroll
    for (int i = 0; i < Residual::OWN; i++) {
        residual.x[i] = Residual::row(i) < ROWS ? x[at.rank * ROWS + Residual::row(i)] : 0;
    }
    residual.hand_out(weights, shared, at.rank);
    int keys = load_fresh(lengths) + length_offset;
    if (keys < 1 || keys > capacity) {
        if (fault != nullptr && blockIdx.x == 0 && threadIdx.x == 0) report(fault, step);
        keys = 0;
    }
    const int rounds = key_rounds(keys, at.rank);
    if (threadIdx.x < D) {
        const int d = threadIdx.x, place = TABLE && d >= D / 2 ? d - D / 2 : d;
        const int row = TABLE ? max(min(keys, rope_rows) - 1, 0) : 0;
        shared.cosines[d] = cosines[(long long)row * rope_stride + place];
        const float sine = sines[(long long)row * rope_stride + place];
        shared.sines[d] = d < D / 2 ? -sine : sine;
    }
    meet_workers();

#pragma unroll 1
    for (int l = 0; l < LAYERS; l++) {
        const Layer &layer = layers.at[l];
        {
            Inputs<QKV> inputs;
            const HeadConstants constants(layer, at);
            x_inbox.wait(X_BYTES);
            split_inputs(shared, NORMED * norm_factor(shared.squares, norm_eps));
            meet_workers();
            inputs.load((const unsigned *)shared.x, taker.warp);
            take_product(taker, inputs, shared.sums);
            constants.store(shared);
        }
        meet_workers();
        share_out<QKV::ROWS>([&](int row) {
            float total = total_of<QKV>(shared.sums, row) * (1 / NORMED);
            if (QKV_BIAS) total += shared.bias[row];
            send_to_all(total, shared.qkv + at.rank * QKV::ROWS + row, &shared.qkv_barrier);
        });
        {
            Queries queries;
            qkv_inbox.wait(QKV_BYTES);
            prepare_heads(shared, head_eps, scale * log2_e);
            meet_workers();
            queries.load(shared.heads);
            Attended attended;
            constexpr int STEP = WARPS * CLUSTER * RUN;
            int key = (taker.warp * CLUSTER + at.rank) * RUN;
#pragma unroll 1
            for (int round = 0; round < rounds; round += UNITS, key += UNITS * STEP) {
                const bool has_second = UNITS == 2 && round + 1 < rounds;
                char *const unit = taker.take(), *const second = has_second ? taker.take_second() : unit;
                if (key < keys) {
                    const bool is_last = UNITS == 1 || key + STEP >= keys;
                    const int last = is_last ? key : key + STEP;
                    const bool has_newest = last + RUN >= keys;
                    if (has_newest) {
                        const long long row = (long long)(keys - 1) * D;
                        insert_newest(
                            shared.newest, is_last ? unit : second, keys - 1 - last,
                            layer.keys + at.cluster * key_stride + row, layer.values + at.cluster * value_stride + row);
                    }
                    attended.meet(unit, is_last ? unit : second, queries, partial, key, key + STEP, keys);
                    // A copy may follow what threads have stored here.
                    if (has_newest) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
                }
                taker.give_back();
                if (has_second) taker.give_back();
            }
            attended.write(partial);
        }
        meet_workers();
        share_out<OUTPUTS>([&](int e) {
            const Joined<WARPS> joined(shared.sums, PARTIAL_ROOM, e);
            float *const mine = shared.partials[at.rank];
            send_to_all(joined.value, mine + e, &shared.partials_barrier);
            if (e % D < CLUSTER) {
                send(joined.largest, mine + OUTPUTS + 2 * (e / D), &shared.partials_barrier, e % D);
                send(joined.sum, mine + OUTPUTS + 2 * (e / D) + 1, &shared.partials_barrier, e % D);
            }
        });
        partials_inbox.wait(PARTIALS_BYTES);
        share_out<OUTPUTS>([&](int e) {
            const Joined<CLUSTER> joined(shared.partials[0], PARTIAL, e);
            shared.heads[e] = parts_of(joined.sum > 0 ? __fdividef(joined.value, joined.sum) : 0);
        });
        Residual::load_weights(layer.second_norm, at.rank, weights);
        meet_workers();
        {
            Inputs<Projection> inputs;
            inputs.load(shared.heads, taker.warp);
            take_product(taker, inputs, shared.sums);
        }
        meet_workers();
        residual.exchange<Projection>(shared.sums, 1, exchange, at, ++epoch);
        residual.hand_out(weights, shared, at.rank);
        {
            Inputs<Up> inputs;
            x_inbox.wait(X_BYTES);
            split_inputs(shared, NORMED * norm_factor(shared.squares, norm_eps));
            meet_workers();
            inputs.load((const unsigned *)shared.x, taker.warp);
            take_product(taker, inputs, shared.sums);
        }
        meet_workers();
        share_out<OWN_GATES>([&](int row) {
            const float gate = total_of<Up>(shared.sums, row) * (1 / NORMED);
            const float up = total_of<Up>(shared.sums, OWN_GATES + row) * (1 / NORMED);
            const float gated = __fdividef(gate, 1 + __expf(-gate)) * up;
            const unsigned *const to = shared.gated + at.rank * OWN_GATES + row;
            send_to_all(__uint_as_float(parts_of(gated * GATED)), (const float *)to, &shared.gated_barrier);
        });
        if (l + 1 < LAYERS) Residual::load_weights(layers.at[l + 1].norm, at.rank, weights);
        {
            Inputs<Down> inputs;
            gated_inbox.wait(GATED_BYTES);
            inputs.load(shared.gated, taker.warp);
            take_product(taker, inputs, shared.sums);
        }
        meet_workers();
        residual.exchange<Down>(shared.sums, 1 / GATED, exchange, at, ++epoch);
        if (l + 1 < LAYERS) residual.hand_out(weights, shared, at.rank);
    }
    if (at.cluster == 0) {
#pragma unroll
        for (int i = 0; i < Residual::OWN; i++) {
            if (Residual::row(i) < ROWS) y[at.rank * ROWS + Residual::row(i)] = residual.x[i];
        }
    }
    if (threadIdx.x == 0) epochs[blockIdx.x] = epoch;
}
#endif
