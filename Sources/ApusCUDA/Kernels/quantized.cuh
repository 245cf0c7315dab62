#pragma once
// Weights of four or eight bits as tensor cores want them, and how they become factors of a product.
//
// Codes q of W[n, k] = (q − zero) · scale[k / G, n] are packed for the 16 × 16 left operand of mma.m16n8k16: a thread of a
// warp finds what it needs of 16 features and 64 (BITS 8: 32) inputs in 16 bytes, a warp in 512 bytes that lie together.
//
//   Inputs    A group of G inputs is padded to GP: the least of 16, 32 and the multiples of 64 that holds G. Input k is at
//             kp = k / G · GP + k % G; KP = groups · GP rounded up to a multiple of 64.
//   Features  padded to multiples of 16; GATED: each half of W by itself. tiles T = n / 16, of a gated W first all of the
//             gates, then all of the values.
//   Codes     32-bit words [T][KP / S][lane 0...31][word 0...3], S = 64 (BITS 4) or 32 (BITS 8). The code in bits
//             BITS·i ... BITS·i + BITS − 1 of word j of lane l in step s of tile T belongs to
//               BITS 4:  n = 16T + l / 4 + 8 · (i / 2 % 2),  kp = 64s + 16j + 8 · (i % 2) + 2 · (l % 4) + i / 4
//               BITS 8:  n = 16T + l / 4 + 8 · (i % 2),      kp = 32s + 16 · (j / 2) + 8 · (j % 2) + 2 · (l % 4) + i / 2
//   Scales    [T][groups][r 0...7][h 0...1] of feature 16T + r + 8h: type as stored. Zero points u8 likewise.
//   What is padded may hold any code, and any scale that is finite.
//
// A code in the low bits of a half is a subnormal number, q · 2⁻²⁴: masks make factors of codes, two at a time, and the
// product's FP32 sums are multiplied by 2²⁴ with the scale. All codes are exact. Sums are more so with
// codes in bfloat16, q · 2⁻¹³³: of 4096 inputs they differ from FP64 by 5e-7 instead of 2e-5, presumably because tensor cores
// align products to the exponents of their factors, and such codes have fewer leading zeros.
//
// Macros: BITS 4 or 8; G group_size, K inputs; SCALE float, half_t or bfloat_t; HAS_ZEROS 1: zero points are read, else the
// zero is 2^(BITS−1).
#include "types.cuh"

#if !defined(BITS) || !defined(G) || !defined(SCALE) || !defined(HAS_ZEROS) || !defined(N) || !defined(K)
#error "BITS, G, SCALE, HAS_ZEROS, N and K must be defined"
#endif
static_assert(BITS == 4 || BITS == 8, "BITS is 4 or 8");
static_assert(K % G == 0 && (G % 8 == 0 || G == K), "G divides K and is a multiple of 8, or is K");

constexpr int GROUP_COUNT = K / G;
constexpr int PADDED_G = G <= 16 ? 16 : G <= 32 ? 32 : (G + 63) / 64 * 64;
constexpr int PADDED_K = (GROUP_COUNT * PADDED_G + 63) / 64 * 64;
constexpr int STEP_INPUTS = BITS == 4 ? 64 : 32;
constexpr int STEPS_IN_ALL = PADDED_K / STEP_INPUTS;
constexpr int FEATURE_TILES = (N + 15) / 16;

/// The group of a padded input. Past the last one, inputs are zero.
__device__ __forceinline__ int group_of(int kp) {
    const int group = kp / PADDED_G;
    return group < GROUP_COUNT ? group : GROUP_COUNT - 1;
}

/// The input of four inputs at a padded place, a multiple of 4; K or more where there is none.
__device__ __forceinline__ int input_of(int kp) {
    if constexpr (PADDED_G == G || GROUP_COUNT == 1) return kp;
    const int group = kp / PADDED_G, i = kp % PADDED_G;
    return group < GROUP_COUNT && i < G ? group * G + i : K + 3;
}

/// Scales of features r and r + 8 of a tile, as they lie in memory. Volatile loads stay before the wait.
template <typename Element> struct Pair {
    unsigned bits = 0;
    __device__ __forceinline__ void load(const Element *scales, long long pair) {
        asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(bits) : "l"(scales + 2 * pair));
    }
    __device__ __forceinline__ float2 value() const { return unpack2<Element>(bits); }
};
template <> struct Pair<float> {
    float2 scale = {0, 0};
    __device__ __forceinline__ void load(const float *scales, long long pair) {
        asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(scale.x), "=f"(scale.y) : "l"(scales + 2 * pair));
    }
    __device__ __forceinline__ float2 value() const { return scale; }
};

/// Zero points of features r and r + 8, in the low bytes of a word.
__device__ __forceinline__ unsigned load_zeros(const unsigned char *zeros, long long pair) {
    unsigned short both;
    asm volatile("ld.global.nc.u16 %0, [%1];" : "=h"(both) : "l"(zeros + 2 * pair));
    return both;
}
