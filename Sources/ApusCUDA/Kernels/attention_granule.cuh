#pragma once
// The inner step of attention_decode: SETS sets of 16 keys, a granule, times up to 8 query heads, by one warp.
//
// Of a set, lane l = 4g + t takes of K rows g and g + 8, of each 32 columns the 8 from 8t on; of V rows 2t, 2t + 1, 2t + 8 and
// 2t + 9, of each 64 columns the 8 from 8g on. Scores and weights of keys g and g + 8 and heads 2t and 2t + 1 are s[0…3]:
// (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). Outputs of these two heads and columns 64c + 8g + 2j + i are
// result[c][j][2i] and [2i + 1].

constexpr int D = HEAD_DIM, ROW_BYTES = D * (int)sizeof(CACHE_T), GRANULE = 16 * SETS;
constexpr int K_CHUNKS = (D + 31) / 32, V_CHUNKS = (D + 63) / 64;

/// What the tensor cores multiply. A cache in FP32 goes in as a sum of three bfloat16 planes, INT8 codes fit in one.
template <typename C> struct Multiplied {
    typedef bfloat_t type;
};
template <> struct Multiplied<half_t> {
    typedef half_t type;
};
typedef Multiplied<CACHE_T>::type element_t;
constexpr bool IS_WIDE = sizeof(CACHE_T) == 4, IS_QUANTIZED = sizeof(CACHE_T) == 1;
constexpr int PLANES = IS_WIDE ? 3 : 1;
constexpr int Q_PLANES = IS_WIDE ? 3 : 2;
/// 32-bit words of Q in shared memory: of each 16 columns and lane the planes' pairs of words.
constexpr int Q_WORDS = K_CHUNKS * 2 * 32 * Q_PLANES * 2;

/// Bytes of a copy; heads of the cache start at a multiple of these.
constexpr int PIECE = ROW_BYTES % 16 == 0 ? 16 : 8;
/// A granule of K or of V in shared memory; behind INT8 codes their scales.
constexpr int UNIT_BYTES = GRANULE * ROW_BYTES + (IS_QUANTIZED ? 4 * GRANULE : 0);

/// By how many pieces those of a row are moved, so that lanes that read together meet all banks.
template <bool IS_KEY> __device__ __forceinline__ constexpr int turn_of(int row) {
    if (ROW_BYTES % 128 != 0) return 0;
    if (IS_WIDE) return IS_KEY ? row & 1 : (row & 2) << 1 | (row & 4) >> 2;
    if (IS_QUANTIZED) return IS_KEY ? (row & 3) << 1 : row & 6;
    return IS_KEY ? (row & 1) << 2 : row & 6;
}

/// Where a byte of a row of a unit lies.
///
/// Row and byte are sums of a part that is known to the compiler and one of the lane, rows without common bits: so what
/// depends on the lane is the same for many places, and few registers hold it.
template <bool IS_KEY>
__device__ __forceinline__ int place_of(int known_row, int lane_row, int known_byte, int lane_byte) {
    const int turn = (turn_of<IS_KEY>(known_row) ^ turn_of<IS_KEY>(lane_row)) << 4;
    return known_row * ROW_BYTES + (known_byte & ~127) + (lane_row * ROW_BYTES + ((known_byte & 127) + lane_byte ^ turn));
}

/// Eight elements of a row, as they are stored.
struct Eight {
    unsigned w[2 * sizeof(CACHE_T)];
};

/// Columns d + 8·lane_eight on, of row known_row + lane_row.
template <bool IS_KEY>
__device__ __forceinline__ Eight eight_at(const char *unit, int known_row, int lane_row, int d, int lane_eight) {
    constexpr int BYTES = (int)sizeof(CACHE_T);
    Eight x;
    if (d + 8 * lane_eight < D) {
#pragma unroll
        for (int i = 0; i < (IS_WIDE ? 2 : 1); i++) {
            const char *p = unit + place_of<IS_KEY>(known_row, lane_row, d * BYTES + 16 * i, 8 * BYTES * lane_eight);
            if constexpr (IS_QUANTIZED) {
                const uint2 v = *(const uint2 *)p;
                x.w[0] = v.x, x.w[1] = v.y;
            } else {
                const uint4 v = *(const uint4 *)p;
                x.w[4 * i] = v.x, x.w[4 * i + 1] = v.y, x.w[4 * i + 2] = v.z, x.w[4 * i + 3] = v.w;
            }
        }
    } else {
#pragma unroll
        for (int i = 0; i < 2 * (int)sizeof(CACHE_T); i++) x.w[i] = 0;
    }
    return x;
}

__device__ __forceinline__ float scale_at(const char *unit, int row) {
    return ((const float *)(unit + GRANULE * ROW_BYTES))[row];
}

/// Rows of K or V of one head.
struct Rows {
    const CACHE_T *head;
#if NEWEST
    static constexpr int stride = D;
#else
    int stride;
#endif
    const float *scales;
    int from, end;  ///< Others are not read, they become zeros.

    /// Asks for the granule at `key`, one group of copies of the warp.
    template <bool IS_KEY> __device__ __forceinline__ void ask(char *unit, int key, int lane) const {
        constexpr int PIECES = ROW_BYTES / PIECE;
        const char *rows = (const char *)(head + (long long)key * stride);
        if (key <= end) {  // at the end stands the newest key, which is not read but inserted
#pragma unroll
            for (int i = 0; i < (GRANULE * PIECES + 31) / 32; i++) {
                // Whole rows at a time, or whole steps a row, where the number of pieces allows it.
                constexpr bool FITS = 32 % PIECES == 0 || PIECES % 32 == 0;
                const int at = 32 * i + lane;
                const int known_row = FITS ? 32 * i / PIECES : 0, lane_row = FITS ? lane / PIECES : at / PIECES;
                const int known_byte = FITS ? 32 * i % PIECES * PIECE : 0;
                const int lane_byte = (FITS ? lane : at) % PIECES * PIECE;
                const int row = known_row + lane_row, byte = known_byte + lane_byte;
                if (GRANULE * PIECES % 32 != 0 && at >= GRANULE * PIECES) break;
                const bool is_there = key + row >= from && key + row < end;
                const char *p = rows + row * stride * (int)sizeof(CACHE_T) + byte;
                const unsigned to = shared_address(unit + place_of<IS_KEY>(known_row, lane_row, known_byte, lane_byte));
                if constexpr (PIECE == 16) {
                    copy_async(to, p, is_there);
                } else {
                    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(p), "r"(is_there ? 8 : 0)
                                 : "memory");
                }
            }
            if constexpr (IS_QUANTIZED) {
                const bool is_there = key + lane >= from && key + lane < end;
                const unsigned to = shared_address(unit + GRANULE * ROW_BYTES + 4 * lane);
                if (lane < GRANULE) {
                    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to),
                                 "l"(scales + key + lane), "r"(is_there ? 4 : 0)
                                 : "memory");
                }
            }
        }
        commit_copies();
    }

    /// Asks the second cache for the granule at `key`; by one lane.
    __device__ __forceinline__ void ask_second_cache(int key) const {
#if __CUDA_ARCH__ >= 900
        if (ROW_BYTES % 16 != 0 || stride != D || key >= end) return;
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(head + (long long)key * D),
                     "r"(min(GRANULE, end - key) * ROW_BYTES)
                     : "memory");
#endif
    }
};

/// Two codes, in the low bytes of the halves of a word, as bfloat16: (128 + low 7 bits) - (128 or, if negative, 256).
__device__ __forceinline__ unsigned widen_codes(unsigned codes) {
    const unsigned low = codes & 0x007f007fu | 0x43004300u, sign = codes & 0x00800080u | 0x43004300u;
    unsigned x;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(x) : "r"(sign), "r"(0xbf80bf80u), "r"(low));
    return x;
}

/// Splits two numbers into a sum of planes, each rounded from what the planes before it left.
template <int N> __device__ __forceinline__ void split(float x, float y, unsigned (&planes)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        planes[i] = pack2<element_t>(x, y);
        const float2 done = unpack2<element_t>(planes[i]);
        x -= done.x, y -= done.y;
    }
}

/// Eight elements as pairs for the tensor cores.
__device__ __forceinline__ void planes_of(const Eight &x, unsigned (&planes)[4][PLANES]) {
    if constexpr (IS_QUANTIZED) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            planes[i][0] = widen_codes(__byte_perm(x.w[i / 2], 0, i % 2 == 0 ? 0x4140 : 0x4342));
        }
    } else if constexpr (IS_WIDE) {
#pragma unroll
        for (int i = 0; i < 4; i++) split(__uint_as_float(x.w[2 * i]), __uint_as_float(x.w[2 * i + 1]), planes[i]);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) planes[i][0] = x.w[i];
    }
}

/// s = K·Q^T of a granule; `q` is Q in shared memory.
__device__ __forceinline__ void scores_of(const char *unit, const uint2 *q, int lane, float (&s)[SETS][4]) {
    const int g = lane / 4, t = lane % 4;
    // Two chains of sums a set, since each product waits for the one before it; more of them cost more in registers.
    float sums[SETS][2][4] = {};
#pragma unroll
    for (int c = 0; c < K_CHUNKS; c++) {
        uint2 b[2][Q_PLANES];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if constexpr (Q_PLANES == 2) {
                const uint4 both = ((const uint4 *)q)[(2 * c + h) * 32 + lane];
                b[h][0] = make_uint2(both.x, both.y), b[h][1] = make_uint2(both.z, both.w);
            } else {
#pragma unroll
                for (int i = 0; i < Q_PLANES; i++) b[h][i] = q[((2 * c + h) * 32 + lane) * Q_PLANES + i];
            }
        }
#pragma unroll
        for (int set = 0; set < SETS; set++) {
            unsigned low[4][PLANES], high[4][PLANES];
            planes_of(eight_at<true>(unit, 16 * set, g, 32 * c, t), low);
            planes_of(eight_at<true>(unit, 16 * set + 8, g, 32 * c, t), high);
#pragma unroll
            for (int h = 0; h < 2; h++) {
#pragma unroll
                for (int p = 0; p < PLANES; p++) {
#pragma unroll
                    for (int i = 0; i < Q_PLANES - p; i++) {
                        multiply<element_t>(
                            sums[set][p + i > 0], low[2 * h][p], high[2 * h][p], low[2 * h + 1][p],
                            high[2 * h + 1][p], b[h][i].x, b[h][i].y);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int set = 0; set < SETS; set++) {
#pragma unroll
        for (int i = 0; i < 4; i++) s[set][i] = sums[set][0][i] + sums[set][1][i];
    }
}

/// The pairs of a matrix whose pairs run along rows, as pairs along columns.
__device__ __forceinline__ unsigned transposed(unsigned pairs) {
    unsigned x;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(x) : "r"(pairs));
    return x;
}

/// result += V^T·P^T of a set.
__device__ __forceinline__ void add_values(
    const char *unit, int first, int lane, const float (&weights)[4], float (&result)[V_CHUNKS][4][4]) {
    unsigned low[Q_PLANES], high[Q_PLANES];
    split(weights[0], weights[1], low);
    split(weights[2], weights[3], high);
#pragma unroll
    for (int i = 0; i < Q_PLANES; i++) low[i] = transposed(low[i]), high[i] = transposed(high[i]);
#pragma unroll
    for (int c = 0; c < V_CHUNKS; c++) {
        unsigned rows[4][4][PLANES];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            planes_of(eight_at<false>(unit, first + i % 2 + i / 2 * 8, lane % 4 * 2, 64 * c, lane / 4), rows[i]);
        }
#pragma unroll
        for (int p = 0; p < PLANES; p++) {
#pragma unroll
            for (int i = 0; i < Q_PLANES - p; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    multiply<element_t>(
                        result[c][j], __byte_perm(rows[0][j][p], rows[1][j][p], 0x5410),
                        __byte_perm(rows[0][j][p], rows[1][j][p], 0x7632),
                        __byte_perm(rows[2][j][p], rows[3][j][p], 0x5410),
                        __byte_perm(rows[2][j][p], rows[3][j][p], 0x7632), low[i], high[i]);
                }
            }
        }
    }
}
