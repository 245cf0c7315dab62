#pragma once
// Vectors of integers in NEON: 4 lanes of 32 bits, or of four bytes each.

#define HAS_DOT 1  // `vi_dot` is there; else `vi_dot_pairs`

typedef int32x4_t vi;

enum {
    DOT_ROWS = 4,      ///< rows of a tile of integer sums
    DOT_VECS = 4,      ///< vectors of features in a row of such a tile
    CODE_OFFSET = 128  ///< what `vi_bytes` subtracts from a code of 8 bits
};
#define EACH_DOT_ROWS(F) F(1) F(2) F(3) F(4)

INLINE vi vi_zero(void) { return vdupq_n_s32(0); }
INLINE vi vi_set(int32_t x) { return vdupq_n_s32(x); }
INLINE vi vi_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
/// The same four bytes in every lane.
INLINE vi vi_set_quad(const void *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return vdupq_n_s32(quad);
}
INLINE vi vi_widen_u8(const uint8_t *p) {
    const int32_t lanes[4] = {p[0], p[1], p[2], p[3]};
    return vld1q_s32(lanes);
}
INLINE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
INLINE vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
INLINE vi vi_shift_left(vi a, unsigned n) { return vshlq_s32(a, vdupq_n_s32((int32_t)n)); }
INLINE vi vi_shift_right(vi a, unsigned n) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-(int32_t)n)));
}
/// The greater of two non-negative numbers.
INLINE vi vi_max(vi a, vi b) { return vmaxq_s32(a, b); }
INLINE int32_t vi_greatest(vi a) { return vmaxvq_s32(a); }
INLINE int32_t vi_sum(vi a) { return vaddvq_s32(a); }
INLINE vi vi_bits(vf a) { return vreinterpretq_s32_f32(a); }
INLINE vf vi_float(vi a) { return vcvtq_f32_s32(a); }
/// The nearest integers, ties to even.
INLINE vi vi_round(vf a) { return vcvtnq_s32_f32(a); }
/// Stores each lane, a number of -128...127, as a byte.
INLINE void vi_store_i8(int8_t *p, vi a) {
    const int16x4_t words = vmovn_s32(a);
    int8_t bytes[8];
    vst1_s8(bytes, vmovn_s16(vcombine_s16(words, words)));
    memcpy(p, bytes, 4);
}

INLINE vi vi_low_nibbles(vi a) { return vandq_s32(a, vdupq_n_s32(0x0f0f0f0f)); }
INLINE vi vi_high_nibbles(vi a) {
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(a), 4));
}
/// 8-bit codes in the form that `vi_dot` reads: signed, 128 less.
INLINE vi vi_bytes(vi a) { return veorq_s32(a, vdupq_n_s32((int32_t)0x80808080u)); }

/// sum + the four products of each lane's codes and signed bytes.
INLINE vi vi_dot(vi sum, vi codes, vi bytes) {
    const int8x16_t a = vreinterpretq_s8_s32(codes), b = vreinterpretq_s8_s32(bytes);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, a, b);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(a), vget_high_s8(b)));
    return vaddq_s32(sum, vpaddq_s32(low, high));
#endif
}

#define HAS_NIBBLE_TABLE 0
