// attention_prefill_sm90: attention_prefill on Hopper's wgmma, for heads of 64 and 128; sm_90a only.
//
// The same arguments, rows, tiles and results as attention_prefill. A block takes 128 rows (query, head of a group) of
// one KV head: a producer group of four warps copies tiles of 128 keys straight from the cache into stages of shared memory
// (cp.async, so that keys from T on become zeros and strides are free); two consumer groups own 64 rows each:
//   S(n+1) = Q·K(n+1)^T and O += P(n)·V(n) are issued together, by the two groups in turn, so that one group's softmax
//   runs beside the other's products. (The assembler has it wait for both of its own; with the former only, it took longer.)
// Copies arrive at barriers by themselves, so that all stages can be on their way. Q stays in registers, P goes from the
// registers of S to those of the next product; V is read along its rows (transposed by wgmma).
// Rows in shared memory are 128 bytes, swizzled; a head of 128 is two such matrices side by side.
// Bound by tensor cores; the exponentials (16 a cycle and SM) take about half of that time beside them for heads of 128, all of
// it for 64. Read from the clock inside, 2048 tokens of 16/8 heads of 128: a tile takes a group 2980 cycles, of which products
// 2050; about a third of a block's time goes before its first and after its last tile.
//
// Macros: as attention_prefill; HEAD_DIM is 64 or 128.
//
// Launch: grid (HKV, ceil(S·GROUP / 128), B), block 384, dynamic shared memory 1024 + 512·D·STAGES bytes
// (D = 64: 132096, 128: 197632; the function's attribute must allow it).
//
// Arguments: as attention_prefill.

#if __CUDA_ARCH__ == 900 && defined(__CUDA_ARCH_FEAT_SM90_ALL)

#include "attention.cuh"
#include "wgmma.cuh"

#if !defined(Q_T) || !defined(CACHE_T) || !defined(OUT_T) || !defined(HEAD_DIM) || !defined(GROUP) || !defined(SOFTCAP)
#error "attention_prefill_sm90 needs Q_T, CACHE_T, OUT_T, HEAD_DIM, GROUP, SOFTCAP"
#endif

constexpr int D = HEAD_DIM, ROWS = 128, KEYS = 128, STAGES = D == 64 ? 4 : 3, GROUP_THREADS = 128;
constexpr int BLOCKS = D / 64;  ///< matrices of 64 columns side by side
/// Bytes of such a matrix of K or V, and of a tile.
constexpr int KV_BLOCK = KEYS * 128, KV_BYTES = BLOCKS * KV_BLOCK;
static_assert(D == 64 || D == 128, "heads of 64 and 128 only");

extern __shared__ char unaligned[];
__shared__ unsigned long long has_keys[STAGES], has_values[STAGES], needs_keys[STAGES], needs_values[STAGES];

/// Where a 16-byte piece of a row lies in a tile.
__device__ __forceinline__ int swizzled(int row, int piece) {
    return piece / 8 * KV_BLOCK + row * 128 + ((piece ^ row) & 7) * 16;
}

/// Copies a tile of K or V, by a group of threads, as soon as there is room; the copies themselves arrive at `has`.
__device__ __forceinline__ void bring(
    unsigned tile, const CACHE_T *head, long long row_stride, int key, int end, unsigned long long *needs,
    unsigned long long *has, int parity) {
    constexpr int PIECES = D / 8, STEP = GROUP_THREADS / PIECES;
    const int piece = threadIdx.x % PIECES, row = threadIdx.x / PIECES;
    const CACHE_T *from = head + (long long)(key + row) * row_stride + 8 * piece;
    // Rows a step apart are a multiple of eight apart, so a thread keeps its place in the swizzle.
    static_assert(STEP % 8 == 0, "");
    const unsigned to = tile + swizzled(row, piece);
    wait_for(needs, parity);
#pragma unroll
    for (int i = 0; i < KEYS / STEP; i++) {
        const bool is_there = key + row + i * STEP < end;
        copy_async(to + i * STEP * 128, is_there ? from + i * STEP * row_stride : head, is_there);
    }
    arrive_after_copies(has);
}

/// Two numbers that lie side by side, rounded to T.
template <typename T> __device__ __forceinline__ unsigned load_pair(const float *p) {
    const float2 x = *(const float2 *)p;
    return pack2<T>(x.x, x.y);
}
template <typename T> __device__ __forceinline__ unsigned load_pair(const T *p) { return *(const unsigned *)p; }

/// Waits until a tile is there, and lets products see what copies of threads have written.
__device__ __forceinline__ void wait_for_tile(unsigned long long *has, int parity) {
    wait_for(has, parity);
    publish_to_products();
}

__device__ __forceinline__ void sync_group(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void arrive_at_group(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// The online softmax of two rows of a thread, g and g + 8 of its warp.
struct Softmax {
    float largest[2] = {minus_infinity(), minus_infinity()}, sum[2] = {};

    /// Turns scores into weights and returns what earlier weights shrink by.
    __device__ __forceinline__ void add(float (&s)[KEYS / 2], float exponent, float (&shrink)[2]) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            // Two maxima side by side: each waits for its last operation.
            float most[2] = {largest[i], s[2 * i + 1]};
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int j = 0; j < 2; j++) most[j] = fmaxf(most[j], s[4 * n + 2 * i + j]);
            }
            float overall = fmaxf(most[0], most[1]);
            overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, 1));
            overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, 2));
            // A row that sees nothing so far keeps zeros.
            const float base = overall == minus_infinity() ? 0 : overall * exponent;
            shrink[i] = power_of_two(largest[i] * exponent - base);
            largest[i] = overall;
            float total[2] = {};
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    float &x = s[4 * n + 2 * i + j];
                    x = power_of_two(x * exponent - base);
                    total[j] += x;
                }
            }
            sum[i] = sum[i] * shrink[i] + (total[0] + total[1]);
        }
    }
};

extern "C" __global__ void __launch_bounds__(3 * GROUP_THREADS, 1) attention_prefill_sm90(
    const Q_T *q, const CACHE_T *k, const CACHE_T *v, OUT_T *out, AttentionStrides strides, const int *lengths,
    int length_stride, const int *starts, int totals, int rows, int keys, int causal, int window, float scale,
    float softcap) {
    const int thread = threadIdx.x % GROUP_THREADS, group = threadIdx.x / GROUP_THREADS;
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < STAGES; i++) {
            set_barrier(&has_keys[i], GROUP_THREADS), set_barrier(&has_values[i], GROUP_THREADS);
            set_barrier(&needs_keys[i], 8), set_barrier(&needs_values[i], 8);  // the warps of the consumers
        }
        publish_to_products();
    }
    __syncthreads();
    wait_for_previous();
    let_next_start();

    const int b = blockIdx.z, kv_head = blockIdx.x;
    const AttentionSpan span = span_of(b, lengths, length_stride, starts, totals, rows, keys);
    // The longest rows of a causal call start first.
    const int block_row = ((int)gridDim.y - 1 - (int)blockIdx.y) * ROWS;
    const int first_s = block_row / GROUP, last_s = min((block_row + ROWS - 1) / GROUP, span.count - 1);
    int begin = 0, end = first_s < span.count ? span.keys : 0;
    if (causal && end > 0) {
        end = min(end, span.first + last_s + 1);
        if (window > 0) begin = max(0, span.first + first_s - window + 1) / KEYS * KEYS;
    }
    const int tiles = end > begin ? (end - begin + KEYS - 1) / KEYS : 0;
    const unsigned shared = (shared_address(unaligned) + 1023) / 1024 * 1024;
    const unsigned k_tiles = shared, v_tiles = k_tiles + STAGES * KV_BYTES;

    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        const CACHE_T *k_head = k + b * strides.k_batch + kv_head * strides.k_head;
        const CACHE_T *v_head = v + b * strides.v_batch + kv_head * strides.v_head;
        for (int n = 0; n < tiles; n++) {
            const int stage = n % STAGES, parity = n / STAGES % 2 ^ 1, key = begin + n * KEYS;
            bring(k_tiles + stage * KV_BYTES, k_head, strides.k_row, key, end, &needs_keys[stage], &has_keys[stage], parity);
            bring(
                v_tiles + stage * KV_BYTES, v_head, strides.v_row, key, end, &needs_values[stage], &has_values[stage], parity);
        }
        wait_for_copies<0>();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int consumer = group - 1, lane = thread % 32, g = lane / 4, t = lane % 4;
        // Rows g and g + 8 of the warp's sixteen, as the left operand of a product lies.
        unsigned queries[D / 16][4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = block_row + 64 * consumer + 16 * (thread / 32) + g + 8 * i, s = row / GROUP;
            const bool is_there = s < span.count;
            const Q_T *from = q + b * strides.q_batch + (kv_head * GROUP + row % GROUP) * strides.q_head +
                              (is_there ? s : 0) * strides.q_row + 2 * t;
#pragma unroll
            for (int c = 0; c < D / 16; c++) {
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const unsigned x = load_pair<CACHE_T>(from + 16 * c + 8 * j);
                    queries[c][2 * j + i] = is_there ? x : 0;
                }
            }
        }

        int position[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            position[i] = span.first + (block_row + 64 * consumer + 16 * (thread / 32) + g + 8 * i) / GROUP;
        }
        const float exponent = SOFTCAP ? 1 : scale * log2_e;
        const auto start_scores = [&](float(&s)[KEYS / 2], int n) {
            const Matrix tile(k_tiles + n % STAGES * KV_BYTES, 16);
#pragma unroll
            for (int c = 0; c < D / 16; c++) {
                multiply_rows<CACHE_T>(s, queries[c], tile.at(c / 4 * KV_BLOCK + c % 4 * 32), c > 0);
            }
            commit_products();
        };
        const auto start_values = [&](float(&result)[D / 2], const unsigned(&p)[KEYS / 16][4], int n) {
            const Matrix tile(v_tiles + n % STAGES * KV_BYTES, KV_BLOCK);
#pragma unroll
            for (int c = 0; c < KEYS / 16; c++) multiply_columns<CACHE_T>(result, p[c], tile.at(c * 16 * 128));
            commit_products();
        };
        const auto limit = [&](float(&s)[KEYS / 2], int n) {
            const int first = begin + n * KEYS;
            const bool is_edge = first + KEYS > end || (causal && first + KEYS > span.first + first_s + 1) ||
                                 (causal && window > 0 && first <= span.first + last_s - window);
            if (!SOFTCAP && !is_edge) return;
#pragma unroll
            for (int i = 0; i < KEYS / 2; i++) {
                if (SOFTCAP) s[i] = softcap * tanhf(s[i] * scale / softcap) * log2_e;
                const int key = first + i / 4 * 8 + 2 * t + i % 2, row = position[i / 2 % 2];
                const bool sees = key < end && (!causal || (key <= row && (window == 0 || key > row - window)));
                if (!sees) s[i] = minus_infinity();
            }
        };

        float s[KEYS / 2], result[D / 2] = {}, shrink[2];
        unsigned p[KEYS / 16][4];
        const auto keep_weights = [&]() {
#pragma unroll
            for (int c = 0; c < KEYS / 16; c++) {
#pragma unroll
                for (int i = 0; i < 4; i++) p[c][i] = pack2<CACHE_T>(s[8 * c + 2 * i], s[8 * c + 2 * i + 1]);
            }
        };
        Softmax softmax;
        const int mine = 3 + consumer, other = 4 - consumer;  // barriers by which the consumers take turns
        if (tiles > 0) {
            if (consumer == 1) arrive_at_group(other, 2 * GROUP_THREADS);
            wait_for_tile(&has_keys[0], 0);
            begin_products();
            start_scores(s, 0);
            wait_for_products<0>();
            pin(s);
            if (lane == 0) arrive(&needs_keys[0]);
            limit(s, 0);
            softmax.add(s, exponent, shrink);
            keep_weights();
            for (int n = 1; n < tiles; n++) {
                const int stage = n % STAGES, before = (n - 1) % STAGES;
                wait_for_tile(&has_keys[stage], n / STAGES % 2);
                sync_group(mine, 2 * GROUP_THREADS);
                pin(s);
                pin(result);
                begin_products();
                start_scores(s, n);
                wait_for_tile(&has_values[before], (n - 1) / STAGES % 2);
                start_values(result, p, n - 1);
                arrive_at_group(other, 2 * GROUP_THREADS);
                wait_for_products<1>();
                pin(s);
                if (lane == 0) arrive(&needs_keys[stage]);
                limit(s, n);
                softmax.add(s, exponent, shrink);
                wait_for_products<0>();
                pin(result);
                if (lane == 0) arrive(&needs_values[before]);
#pragma unroll
                for (int i = 0; i < D / 2; i++) result[i] *= shrink[i / 2 % 2];
                keep_weights();
            }
            wait_for_tile(&has_values[(tiles - 1) % STAGES], (tiles - 1) / STAGES % 2);
            pin(result);
            begin_products();
            start_values(result, p, tiles - 1);
            wait_for_products<0>();
            pin(result);
        }

#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = block_row + 64 * consumer + 16 * (thread / 32) + g + 8 * i, token = row / GROUP;
            float sum = softmax.sum[i];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const float inverse = token < span.count && sum != 0 ? 1 / sum : 0;
            if (token >= rows) continue;
            OUT_T *to = out + b * strides.out_batch + (kv_head * GROUP + row % GROUP) * strides.out_head +
                        token * strides.out_row + 2 * t;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                const float x = inverse == 0 ? 0 : result[4 * n + 2 * i] * inverse;
                const float y = inverse == 0 ? 0 : result[4 * n + 2 * i + 1] * inverse;
                store_pair(to + 8 * n, x, y);
            }
        }
    }
}

#endif
