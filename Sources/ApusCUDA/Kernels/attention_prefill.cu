// attention_prefill: causal or full attention of many rows on tensor cores (mma.sync), sm_80 on, for FP16, BF16 and INT8 keys.
//
// Flash attention: a block takes 64 rows (query, head of a group) of one KV head and walks tiles of KEYS keys straight
// from the cache, double-buffered in shared memory by cp.async; scores, the online softmax and outputs stay in registers:
//   for each tile that some row sees:  S = Q·K^T;  P = 2^(S·scale·log2 e - largest);  O = O·shrink + P·V
// Rows of a group are neighbours, so short chunks share tiles as well. Tiles beyond the causal edge or the window are
// skipped, only tiles on an edge are masked, and keys from T on are zeros that were never read. Rows of padding become 0.
// INT8 codes become FP16 numbers on their way to shared memory. FP32 sums; P is rounded to the type of V. Rows of shared memory are 16 bytes longer than D, so that eight of them meet
// all banks. Bound by tensor cores and the reads of K and V from shared memory, about one to one: 245 TFLOP/s on an H200 (8192
// tokens, 32/8 heads of 128, FP16); INT8 caches three quarters of that.
//
// Macros
//   Q_T         float (rounded here), or CACHE_T (half_t for INT8)
//   CACHE_T     half_t, bfloat_t, signed char for INT8 codes with scales (see rope_kv)
//   OUT_T       float, half_t, bfloat_t
//   HEAD_DIM    D, a multiple of 16 up to 256
//   GROUP       query heads of a KV head
//   SOFTCAP     1: scores become softcap·tanh(s / softcap), else 0
//
// Launch: grid (HKV, ceil(S·GROUP / 64), B), block 128, dynamic shared memory 8·KEYS·(D + 8) bytes with KEYS = 64 up to
// D = 128, else 32 (D = 64: 36864, 128: 69632, 256: 67584; above 48 KB the function's attribute must allow it).
//
// Arguments
//   q Q_T, k and v CACHE_T, out OUT_T with `strides` (AttentionStrides, elements): rows of k and v start at multiples of
//   16 bytes, those of q and out at multiples of two elements; lengths, length_stride, starts, totals, rows S, keys: see
//   span_of; `keys` is T or, with lengths, C; causal: 1, a row sees the keys up to its own position; window: 0 or so many
//   positions, its own included (causal only); scale, softcap;
//   INT8: strides of k and v are bytes, k_head is C·(D + 4), which tells where scales begin; C is a multiple of 4.

#include "attention.cuh"

#if !defined(Q_T) || !defined(CACHE_T) || !defined(OUT_T) || !defined(HEAD_DIM) || !defined(GROUP) || !defined(SOFTCAP)
#error "attention_prefill needs Q_T, CACHE_T, OUT_T, HEAD_DIM, GROUP, SOFTCAP"
#endif

constexpr int D = HEAD_DIM, WARPS = 4, ROWS = 16 * WARPS, KEYS = D <= 128 ? 64 : 32, PITCH = D + 8;
static_assert(D % 16 == 0 && D <= 256, "head sizes are multiples of 16 up to 256");

/// What the tensor cores multiply.
template <typename C> struct Multiplied {
    typedef C type;
};
template <> struct Multiplied<signed char> {
    typedef half_t type;
};
typedef Multiplied<CACHE_T>::type element_t;

extern __shared__ __align__(16) element_t tiles[];  // K and V of tile 0, then of tile 1: [2][2][KEYS][PITCH]

/// Two codes of a word of four, that were made positive by adding 128, times their scale.
__device__ __forceinline__ unsigned widen_codes(unsigned codes, int first, float scale) {
    // A byte below the bits of 2^23 adds to it.
    const float x = __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7440 + first)) - 8388736.0f;
    const float y = __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7441 + first)) - 8388736.0f;
    return pack2<half_t>(x * scale, y * scale);
}

/// Brings INT8 keys [key, key + KEYS) of K or V; those from `end` on become zeros.
__device__ __forceinline__ void ask_for_tile(
    half_t *tile, const signed char *head, long long row_stride, int key, int end, long long scale_offset) {
    constexpr int PIECES = D / 16;
#pragma unroll 4
    for (int i = threadIdx.x; i < KEYS * PIECES; i += WARPS * 32) {
        const int r = i / PIECES, d = i % PIECES * 16;
        uint4 codes = make_uint4(0, 0, 0, 0);
        float scale = 0;
        if (key + r < end) {
            codes = *(const uint4 *)(head + (key + r) * row_stride + d);
            scale = ((const float *)(head + scale_offset))[key + r];
        }
        const unsigned words[4] = {
            codes.x ^ 0x80808080u, codes.y ^ 0x80808080u, codes.z ^ 0x80808080u, codes.w ^ 0x80808080u};
        unsigned x[8];
#pragma unroll
        for (int j = 0; j < 8; j++) x[j] = widen_codes(words[j / 2], j % 2 * 2, scale);
        uint4 *to = (uint4 *)(tile + r * PITCH + d);
        to[0] = make_uint4(x[0], x[1], x[2], x[3]), to[1] = make_uint4(x[4], x[5], x[6], x[7]);
    }
}

/// Asks for keys [key, key + KEYS) of K or V; those from `end` on become zeros.
template <typename C>
__device__ __forceinline__ void ask_for_tile(
    C *tile, const C *head, long long row_stride, int key, int end, long long) {
    constexpr int PIECES = D / 8;
#pragma unroll
    for (int i = threadIdx.x; i < KEYS * PIECES; i += WARPS * 32) {
        const int r = i / PIECES, d = i % PIECES * 8;
        const bool is_there = key + r < end;
        copy_async(shared_address(tile + r * PITCH + d), head + (is_there ? key + r : 0) * row_stride + d, is_there);
    }
}

/// Four 8·8 matrices; lane l gives the row l % 8 of matrix l / 8.
template <bool TRANSPOSED> __device__ __forceinline__ void load_matrices(unsigned (&x)[4], unsigned row) {
    if constexpr (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                     : "r"(row)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                     : "r"(row)
                     : "memory");
    }
}

__device__ __forceinline__ unsigned query_pair(const Q_T *p) {
    if constexpr (sizeof(Q_T) == 4) {
        const float2 pair = *(const float2 *)p;
        return pack2<element_t>(pair.x, pair.y);
    } else {
        return *(const unsigned *)p;
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 2) attention_prefill(
    const Q_T *q, const CACHE_T *k, const CACHE_T *v, OUT_T *out, AttentionStrides strides, const int *lengths,
    int length_stride, const int *starts, int totals, int rows, int keys, int causal, int window, float scale,
    float softcap) {
    wait_for_previous();
    let_next_start();
    const int b = blockIdx.z, kv_head = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4;
    const AttentionSpan span = span_of(b, lengths, length_stride, starts, totals, rows, keys);
    // The longest rows of a causal call start first.
    const int block_row = ((int)gridDim.y - 1 - (int)blockIdx.y) * ROWS;

    // Rows g and g + 8 of the warp.
    int position[2];
    const Q_T *q_row[2];
    OUT_T *out_row[2];
    bool is_row[2], is_token[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = block_row + 16 * warp + g + 8 * i, s = row / GROUP, head = kv_head * GROUP + row % GROUP;
        is_row[i] = s < rows;
        is_token[i] = s < span.count;
        position[i] = span.first + s;
        q_row[i] = q + b * strides.q_batch + head * strides.q_head + s * strides.q_row + 2 * t;
        out_row[i] = out + b * strides.out_batch + head * strides.out_head + s * strides.out_row + 2 * t;
    }

    const int first_s = block_row / GROUP, last_s = min((block_row + ROWS - 1) / GROUP, span.count - 1);
    int begin = 0, end = first_s < span.count ? span.keys : 0;
    if (causal && end > 0) {
        end = min(end, span.first + last_s + 1);
        if (window > 0) begin = max(0, span.first + first_s - window + 1) / KEYS * KEYS;
    }

    const CACHE_T *k_head = k + b * strides.k_batch + kv_head * strides.k_head;
    const CACHE_T *v_head = v + b * strides.v_batch + kv_head * strides.v_head;
    const long long scale_offset = strides.k_head / (D + 4) * D;
    if (begin < end) {
        ask_for_tile(tiles, k_head, strides.k_row, begin, end, scale_offset);
        ask_for_tile(tiles + KEYS * PITCH, v_head, strides.v_row, begin, end, scale_offset);
    }
    commit_copies();

    unsigned queries[D / 16][4];
#pragma unroll
    for (int c = 0; c < D / 16; c++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            queries[c][i] = is_token[i % 2] ? query_pair(q_row[i % 2] + 16 * c + i / 2 * 8) : 0;
        }
    }
    float largest[2] = {minus_infinity(), minus_infinity()}, sum[2] = {}, result[D / 8][4] = {};
    const float factor = SOFTCAP ? scale : scale * log2_e;
    // Where a lane's rows of the four matrices lie: K goes by keys, two blocks of columns each; V by columns.
    const int k_place = (lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2 * 8;
    const int v_place = (lane / 8 % 2 * 8 + lane % 8) * PITCH + lane / 16 * 8;

    for (int first = begin, stage = 0; first < end; first += KEYS, stage ^= 1) {
        const element_t *k_tile = tiles + stage * 2 * KEYS * PITCH, *v_tile = k_tile + KEYS * PITCH;
        wait_for_copies<0>();
        __syncthreads();
        if (first + KEYS < end) {
            element_t *next = tiles + (stage ^ 1) * 2 * KEYS * PITCH;
            ask_for_tile(next, k_head, strides.k_row, first + KEYS, end, scale_offset);
            ask_for_tile(next + KEYS * PITCH, v_head, strides.v_row, first + KEYS, end, scale_offset);
        }
        commit_copies();

        float s[KEYS / 8][4] = {};
        const unsigned k_at = shared_address(k_tile + k_place);
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
                unsigned x[4];
                load_matrices<false>(x, k_at + 2 * (n * 8 * PITCH + 16 * c));
                multiply<element_t>(s[n], queries[c][0], queries[c][1], queries[c][2], queries[c][3], x[0], x[1]);
                multiply<element_t>(s[n + 1], queries[c][0], queries[c][1], queries[c][2], queries[c][3], x[2], x[3]);
            }
        }

        // Tiles on an edge: of the keys, of what the block's first row sees, of its last row's window.
        const bool is_edge = first + KEYS > end || (causal && first + KEYS > span.first + first_s + 1) ||
                             (causal && window > 0 && first <= span.first + last_s - window);
        if (SOFTCAP || is_edge) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (SOFTCAP) s[n][i] = softcap * tanhf(s[n][i] * scale / softcap) * log2_e;
                    const int key = first + 8 * n + 2 * t + i % 2, row = position[i / 2];
                    const bool sees = key < end && (!causal || (key <= row && (window == 0 || key > row - window)));
                    if (!sees) s[n][i] = minus_infinity();
                }
            }
        }
        const float exponent = SOFTCAP ? 1 : factor;
        float shrink[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float overall = largest[i];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) overall = fmaxf(overall, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
            overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, 1));
            overall = fmaxf(overall, __shfl_xor_sync(0xffffffffu, overall, 2));
            // A row that sees nothing so far keeps zeros.
            const float base = overall == minus_infinity() ? 0 : overall * exponent;
            shrink[i] = power_of_two(largest[i] * exponent - base);
            largest[i] = overall;
            sum[i] *= shrink[i];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
                s[n][2 * i] = power_of_two(s[n][2 * i] * exponent - base);
                s[n][2 * i + 1] = power_of_two(s[n][2 * i + 1] * exponent - base);
                sum[i] += s[n][2 * i] + s[n][2 * i + 1];
            }
        }
        if (__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1)) {
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) result[n][i] *= shrink[i / 2];
            }
        }
        const unsigned v_at = shared_address(v_tile + v_place);
#pragma unroll
        for (int c = 0; c < KEYS / 16; c++) {
            const unsigned a0 = pack2<element_t>(s[2 * c][0], s[2 * c][1]), a1 = pack2<element_t>(s[2 * c][2], s[2 * c][3]);
            const unsigned a2 = pack2<element_t>(s[2 * c + 1][0], s[2 * c + 1][1]);
            const unsigned a3 = pack2<element_t>(s[2 * c + 1][2], s[2 * c + 1][3]);
#pragma unroll
            for (int n = 0; n < D / 8; n += 2) {
                unsigned x[4];
                load_matrices<true>(x, v_at + 2 * (16 * c * PITCH + 8 * n));
                multiply<element_t>(result[n], a0, a1, a2, a3, x[0], x[1]);
                multiply<element_t>(result[n + 1], a0, a1, a2, a3, x[2], x[3]);
            }
        }
    }

#pragma unroll
    for (int i = 0; i < 2; i++) {
        sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 1);
        sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 2);
        const float inverse = is_token[i] && sum[i] != 0 ? 1 / sum[i] : 0;
        if (!is_row[i]) continue;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const float x = inverse == 0 ? 0 : result[n][2 * i] * inverse;
            const float y = inverse == 0 ? 0 : result[n][2 * i + 1] * inverse;
            store_pair(out_row[i] + 8 * n, x, y);
        }
    }
}
