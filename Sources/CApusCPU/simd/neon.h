#pragma once
// The vector vocabulary of simd/ in NEON, which every arm64 CPU has: 4 lanes, 32 registers.

#include "../half.h"
#include <arm_neon.h>

#define TARGET
#define INLINE static inline __attribute__((always_inline))

typedef float32x4_t vf;

enum {
    VW = 4,          ///< lanes
    TILE_ROWS = 6,   ///< rows of a register tile: 6 * 4 sums, 4 columns and a broadcast fill 29 registers
    TILE_VECS = 4,   ///< vectors in a row of a register tile
    STREAM_ROWS = 6,  ///< most rows of x that weights stream past
    WIDE_SUMS = 16,  ///< most sums of a tile of four panels of packed weights
    PAIR_SUMS = 16,  ///< most sums of a tile of two
    PROBE_SUMS = 24  ///< independent sums of `fma_probe`
};
#define EACH_TILE_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#define EACH_STREAM_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)

INLINE vf v_zero(void) { return vdupq_n_f32(0); }
INLINE vf v_set(float x) { return vdupq_n_f32(x); }
INLINE vf v_load(const float *p) { return vld1q_f32(p); }
INLINE void v_store(float *p, vf x) { vst1q_f32(p, x); }
INLINE vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
INLINE vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
INLINE vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
INLINE vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
INLINE vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
INLINE vf v_sqrt(vf a) { return vsqrtq_f32(a); }
INLINE vf v_round(vf a) { return vrndnq_f32(a); }
INLINE vf v_xor(vf a, vf b) {
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
INLINE vf v_abs(vf a) { return vabsq_f32(a); }
/// The greater; `b` if either is NaN.
INLINE vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
/// The lesser; `b` if either is NaN.
INLINE vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
/// `yes` where a < b, else `no`.
INLINE vf v_if_less(vf a, vf b, vf yes, vf no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
/// Lane i of `yes` where bit i is set, else of `no`.
INLINE vf v_if_bits(uint32_t bits, vf yes, vf no) {
    static const uint32_t lanes[4] = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), vld1q_u32(lanes)), yes, no);
}
/// `a` where a is NaN, else `b`.
INLINE vf v_nan_or(vf a, vf b) { return vbslq_f32(vceqq_f32(a, a), b, a); }
/// Bit i is set where a = b, or where both are NaN.
INLINE uint32_t v_same(vf a, vf b) {
    const uint32x4_t nan = vmvnq_u32(vorrq_u32(vceqq_f32(a, a), vceqq_f32(b, b)));
    static const uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vorrq_u32(vceqq_f32(a, b), nan), vld1q_u32(bits)));
}
INLINE vf v_copysign(vf magnitude, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
/// a * 2^n for integral n in -252...254: in two factors, so that the result is rounded once.
INLINE vf v_scale(vf a, vf n) {
    const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
    const int32x4_t rest = vsubq_s32(whole, half);
    const vf first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const vf second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return v_mul(v_mul(a, first), second);
}
INLINE vf v_iota(void) {
    static const float lanes[4] = {0, 1, 2, 3};
    return vld1q_f32(lanes);
}
INLINE float v_sum(vf a) { return vaddvq_f32(a); }
INLINE float v_greatest(vf a) { return vmaxvq_f32(a); }

INLINE vf v_f32_of_half(uint16x4_t h, apus_dtype dtype) {
    if (dtype == APUS_F16) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

INLINE uint16x4_t v_half_of_f32(vf a, apus_dtype dtype) {
    if (dtype == APUS_F16) { return vreinterpret_u16_f16(vcvt_f16_f32(a)); }
    const uint32x4_t u = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), up, quiet), 16);
}

INLINE vf v_f32_of_i8(const int8_t *codes) {
    int8_t part[8] = {0};
    memcpy(part, codes, VW);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(part)))));
}

/// Elements [i, i + 4) of an array of any dtype.
INLINE vf v_load_as(const void *p, apus_dtype dtype, size_t i) {
    if (dtype == APUS_F32) { return vld1q_f32((const float *)p + i); }
    if (dtype == APUS_I8) { return v_f32_of_i8((const int8_t *)p + i); }
    return v_f32_of_half(vld1_u16((const uint16_t *)p + i), dtype);
}

/// Even and odd elements of 4 pairs of BF16, at words of 32 bits.
INLINE vf v_even_bf16(const uint32_t *p) { return vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(p), 16)); }
INLINE vf v_odd_bf16(const uint32_t *p) {
    return vreinterpretq_f32_u32(vandq_u32(vld1q_u32(p), vdupq_n_u32(0xffff0000u)));
}

/// Elements [i, i + min(n, 4)), zero in the other lanes; memory past them is not touched.
INLINE vf v_load_as_part(const void *p, apus_dtype dtype, size_t i, size_t n) {
    if (n >= VW) { return v_load_as(p, dtype, i); }
    float part[VW] = {0};
    for (size_t lane = 0; lane < n; lane++) { part[lane] = load_as_f32(p, dtype, i + lane); }
    return vld1q_f32(part);
}

/// Stores the first min(n, 4) lanes as elements from i.
INLINE void v_store_as_part(void *p, apus_dtype dtype, size_t i, vf a, size_t n) {
    if (n < VW) {
        float part[VW];
        vst1q_f32(part, a);
        for (size_t lane = 0; lane < n; lane++) { store_f32(p, dtype, i + lane, part[lane]); }
    } else if (dtype == APUS_F32) {
        vst1q_f32((float *)p + i, a);
    } else if (dtype == APUS_I8) {
        const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(a));
        int8_t codes[8];
        vst1_s8(codes, vqmovn_s16(vcombine_s16(words, words)));
        memcpy((int8_t *)p + i, codes, VW);
    } else {
        vst1_u16((uint16_t *)p + i, v_half_of_f32(a, dtype));
    }
}

/// Transposes 4 vectors of 4 lanes.
INLINE void v_transpose(vf r[VW]) {
    const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

/// Lane i is the sum of the lanes of vector i, or the greatest of them.
INLINE vf v_across(const vf r[VW], const int greatest) {
    if (greatest) { return vpmaxq_f32(vpmaxq_f32(r[0], r[1]), vpmaxq_f32(r[2], r[3])); }
    return vpaddq_f32(vpaddq_f32(r[0], r[1]), vpaddq_f32(r[2], r[3]));
}

#include "neon_integers.h"
