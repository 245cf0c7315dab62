#pragma once
// x for the tensor cores of quantized_gemv.cu: FP32 in three parts of bfloat16, and the sums of its groups.
#include "quantized_ring.cuh"

// x in shared memory: a plane for each part of each row, of 16-byte places of eight inputs. Places are [64 inputs][half of
// them][lane % 4]: word 2·j + h of one holds inputs 16·j + 8·h + 2·(lane % 4) and the next, as a product of 16 wants them.
constexpr int PARTS_OF_X = 3;
constexpr int COLUMNS = ROWS <= 2 ? 2 : ROWS <= 4 ? 4 : 8;     // of a part
constexpr int PRODUCTS = divided_up(PARTS_OF_X * COLUMNS, 8);  // of 8 columns
constexpr int PLANE = PASS_UNITS * (UNIT / 8) + 4;             // lanes of neighbouring columns meet other banks
constexpr int PASS_FLUSHES = PASS_UNITS * FLUSHES;
constexpr int PASS_QUADS = PASS_UNITS * (UNIT / 4);
constexpr int ROUNDS = divided_up(PASS_QUADS, THREADS);
// No thread has a quad without inputs.
constexpr bool WHOLE = PADDED_K == K && PASS_QUADS % THREADS == 0 && UNITS % PASS_UNITS == 0;
constexpr int KEPT = PASSES == 1 && ROUNDS <= 4 && WHOLE ? ROUNDS : 0;

/// The power of two that x is multiplied by, and the code of 1 times that.
constexpr float X_SCALE = 18446744073709551616.0f;
constexpr float PRODUCT_UNIT = 1.0f / 590295810358705651712.0f;

/// Brings the inputs of a pass to shared memory in three parts, and −Σx of each FLUSH inputs as `marks` [flush][8 columns].
struct Inputs {
    unsigned *words[2];  // of the thread's first quad, for two pairs of inputs; other rounds are a constant away
    float *marks;
    float scale;

    __device__ __forceinline__ Inputs(uint4 *planes, float *marks) : marks(marks) {
        const unsigned at = threadIdx.x, swapped = at / 16 % 2;
        unsigned *const word =
            (unsigned *)planes + (at / 16 * 8 + at / 8 % 2 * 4 + at % 2 * 2) * 4 + at / 4 % 2 * 2 + at / 2 % 2;
        // Every other 64 inputs in the other order, so that no two lanes meet in a bank.
        words[0] = word + 4 * swapped, words[1] = word + 4 - 4 * swapped;
        // The upper codes of a byte count 16-fold.
        scale = BITS == 4 && at / 2 % 2 == 1 ? X_SCALE / 16 : X_SCALE;
        for (unsigned i = threadIdx.x; i < PASS_FLUSHES * 8; i += THREADS) marks[i] = 0;
    }

    __device__ __forceinline__ void bring(const float *x, Norm<KEPT> &norm, int pass, bool isFirst) const {
        constexpr int batch = 4;  // loads in flight
        const auto quad_of = [&](int i) {
            const int q = pass * PASS_QUADS + (int)threadIdx.x + i % ROUNDS * THREADS;
            return WHOLE ? q : input_of(4 * q) / 4;
        };
        const auto isThere = [&](int i) { return WHOLE || (int)threadIdx.x + i % ROUNDS * THREADS < PASS_QUADS; };
#pragma unroll
        for (int from = 0; from < ROWS * ROUNDS; from += batch) {
            float4 v[batch], w[batch];
#pragma unroll
            for (int j = 0; j < batch; j++) {
                const int i = from + j;
                if (i >= ROWS * ROUNDS) continue;
                const float *const row = x + (long long)(i / ROUNDS) * K;
                v[j] = WHOLE ? ((const float4 *)row)[quad_of(i)] : quad(row, quad_of(i));
                w[j] = norm.weights(quad_of(i), i % ROUNDS);
            }
#pragma unroll
            for (int j = 0; j < batch; j++) {
                const int i = from + j, q = quad_of(i);
                if (i >= ROWS * ROUNDS) continue;
                if (isThere(i) && (WHOLE || q < QUADS)) v[j] = norm.apply(v[j], w[j], i / ROUNDS, q, isFirst);
                mark(v[j], i, isThere(i));
                if (isThere(i)) split(v[j], i);
            }
        }
    }

private:
    __device__ __forceinline__ void mark(float4 v, int i, bool isThere) const {
        constexpr float factor = -(HAS_ZEROS ? 1 : 1 << (BITS - 1)) * PRODUCT_UNIT;
        constexpr int lanes = FLUSH / 4;
        const float sum = warp_sum<lanes>((v.x + v.y) + (v.z + v.w));
        const unsigned at = threadIdx.x + i % ROUNDS * THREADS;
        if (threadIdx.x % lanes == 0 && isThere) marks[at / lanes * 8 + i / ROUNDS] = sum * factor;
    }

    __device__ __forceinline__ void split(float4 v, int i) const {
        const bool isSwapped = threadIdx.x / 16 % 2 == 1;
        float a[4] = {
            isSwapped ? v.z : v.x, isSwapped ? v.w : v.y, isSwapped ? v.x : v.z, isSwapped ? v.y : v.w};
#pragma unroll
        for (int e = 0; e < 4; e++) a[e] *= scale;
        const int away = i % ROUNDS * (THREADS * 2) + i / ROUNDS * (PLANE * 4);
#pragma unroll
        for (int part = 0; part < PARTS_OF_X; part++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                words[e][away + part * (ROWS * PLANE * 4)] =
                    __byte_perm(__float_as_uint(a[2 * e]), __float_as_uint(a[2 * e + 1]), 0x7632);
            }
            // Eight bits less: exact, and what is left at last fits.
#pragma unroll
            for (int e = 0; e < 4; e++) a[e] -= __uint_as_float(__float_as_uint(a[e]) & 0xffff0000u);
        }
    }
};
