#pragma once
// Products of decode_stack on tensor cores: 16 rows of W by one vector x, exact to about 2^-22 of the largest part,
// with bfloat16 2^-17.
//
// x enters as a sum of two numbers of W's type in columns of their own: the first is x rounded, the second what that leaves, for
// halves 2^11 times as large, so that it does not vanish. In shared memory they lie together in a word. Columns of W may come in any
// order if those of x have the same: a lane's 16 bytes are eight neighbours. Even and odd rows take two groups of 32 columns in
// opposite order, so that the lanes of a read meet all banks of shared memory, and have columns of x of their own for that.

#include "mma.cuh"
#include "stack_ring.cuh"

template <typename T> constexpr bool is_half = false;
template <> constexpr bool is_half<half_t> = true;
constexpr bool IS_HALF = is_half<WEIGHT>;
constexpr float LOW = IS_HALF ? 1.0f / 2048 : 1.0f;  ///< what the second part counts

/// Both parts of a number, the first in the low half.
__device__ __forceinline__ unsigned parts_of(float x) {
    return pack2<WEIGHT>(x, (x - to_float(from_float<WEIGHT>(x))) * (1 / LOW));
}

/// Part `split` of eight neighbours, as tensor cores take them.
__device__ __forceinline__ void load_parts(const unsigned *x, int split, unsigned (&words)[4]) {
    const uint4 a = ((const uint4 *)x)[0], b = ((const uint4 *)x)[1];
    const unsigned halves = split == 0 ? 0x5410 : 0x7632;
    words[0] = __byte_perm(a.x, a.y, halves), words[1] = __byte_perm(a.z, a.w, halves);
    words[2] = __byte_perm(b.x, b.y, halves), words[3] = __byte_perm(b.z, b.w, halves);
}

/// Adds the products of 32 columns to two sums, since each multiplication waits for the one before it: of `low` and `high`, 16
/// bytes of a lane's row and of that eight rows further, with parts of x.
__device__ __forceinline__ void multiply_rows(float (&c)[2][4], const uint4 &low, const uint4 &high, const unsigned (&x)[4]) {
    multiply<WEIGHT>(c[0], {low.x, high.x, low.y, high.y}, x[0], x[1]);
    multiply<WEIGHT>(c[1], {low.z, high.z, low.w, high.w}, x[2], x[3]);
}

/// The inputs of a product, those of the chunks that a warp meets, in registers. Lane 4g + t has part g % 2 of columns 8t to 8t + 7 of
/// each group of 32; g / 2 tells for which rows, and lanes with g > 3 have columns that nobody looks at.
template <typename C> struct Inputs {
    static constexpr int GROUPS = C::COLUMNS / 32;
    unsigned words[C::OWN][GROUPS][4];

    /// From parts in shared memory.
    __device__ __forceinline__ void load(const unsigned *x, int warp) {
        const int g = threadIdx.x / 4 % 8, t = threadIdx.x % 4, parity = g / 2 % 2;
#pragma unroll
        for (int own = 0; own < C::OWN; own++) {
            const unsigned *const from = x + (warp + own * WARPS) % C::CHUNKS * C::COLUMNS + 8 * t;
#pragma unroll
            for (int i = 0; i < GROUPS; i++) {
                load_parts(from + 32 * (i == GROUPS - 1 && GROUPS % 2 == 1 ? i : i ^ parity), g % 2, words[own][i]);
            }
        }
    }
};

/// Takes the units of a product from the ring; sums[row][chunk] get what the chunks add up to, for all to see after meet_workers().
template <typename C> __device__ __forceinline__ void take_product(Taker &taker, const Inputs<C> &inputs, float *sums) {
    const int g = threadIdx.x / 4 % 8, t = threadIdx.x % 4;
    constexpr int GROUPS = Inputs<C>::GROUPS;
#pragma unroll 1
    for (int round = 0; round < C::ROUNDS; round++) {
        const int unit = round * WARPS + taker.warp;
        const char *const at = taker.take() + g * C::ROW_BYTES + 16 * t;
        if (unit < C::UNITS) {
            float c[2][4] = {};
#pragma unroll
            for (int own = 0; own < C::OWN; own++) {
                if (C::OWN > 1 && own != round % C::OWN) continue;
#pragma unroll
                for (int i = 0; i < GROUPS; i++) {
                    const int group = i == GROUPS - 1 && GROUPS % 2 == 1 ? i : i ^ (g & 1);
                    const uint4 a = *(const uint4 *)(at + 64 * group);
                    const uint4 b = *(const uint4 *)(at + 64 * group + 8 * C::ROW_BYTES);
                    multiply_rows(c, a, b, inputs.words[own][i]);
                }
            }
            float sum[2];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float first = c[0][2 * h] + c[1][2 * h];
                const float second = c[0][2 * h + 1] + c[1][2 * h + 1];
                sum[h] = first + second * LOW;  // columns 2t and 2t + 1 are the parts of one number
            }
            if (t == (g & 1)) {
                float *const to = sums + (unit / C::CHUNKS * TILE + g) * C::CHUNKS + unit % C::CHUNKS;
                to[0] = sum[0], to[8 * C::CHUNKS] = sum[1];
            }
        }
        taker.give_back();
    }
}

/// The sum of all chunks of a row.
template <typename C> __device__ __forceinline__ float total_of(const float *sums, int row) {
    float total = 0;
#pragma unroll
    for (int i = 0; i < C::CHUNKS; i++) total += sums[row * C::CHUNKS + i];
    return total;
}

/// Calls f(i) for i from 0 to COUNT - 1, shared out among the computing threads.
template <int COUNT, typename F> __device__ __forceinline__ void share_out(F f) {
#pragma unroll
    for (int i = 0; i < COUNT; i += WORKERS) {
        const int own = i + (int)threadIdx.x;
        if (i + WORKERS <= COUNT || own < COUNT) f(own);
    }
}
