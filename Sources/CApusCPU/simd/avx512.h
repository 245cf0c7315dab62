#pragma once
// The vector vocabulary of simd/ in AVX-512 (F, BW, DQ, VL): 16 lanes, 32 registers, masked loads and stores.
// FEATURES names what the including file may use beyond these, as in "avx512vnni,".

#include "../half.h"
#include <immintrin.h>

#define TARGET __attribute__((target(FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define INLINE static inline TARGET __attribute__((always_inline))

typedef __m512 vf;

enum {
    VW = 16,         ///< lanes
    TILE_ROWS = 12,  ///< rows of a register tile: 12 * 2 sums, 2 columns and a broadcast fill 27 registers
    TILE_VECS = 2,   ///< vectors in a row of a register tile
    STREAM_ROWS = 8,  ///< most rows of x that weights stream past
    WIDE_SUMS = 16,  ///< most sums of a tile of four panels of packed weights
    PAIR_SUMS = 24,  ///< most sums of a tile of two
    PROBE_SUMS = 24  ///< independent sums of `fma_probe`
};
#define EACH_TILE_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12)
#define EACH_STREAM_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8)

INLINE __mmask16 v_mask(size_t n) { return n >= VW ? 0xffff : (__mmask16)((1u << n) - 1); }
INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
INLINE vf v_set(float x) { return _mm512_set1_ps(x); }
INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
INLINE vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf v_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
INLINE vf v_abs(vf a) { return _mm512_abs_ps(a); }
/// The greater; `b` if either is NaN.
INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
/// The lesser; `b` if either is NaN.
INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
/// `yes` where a < b, else `no`.
INLINE vf v_if_less(vf a, vf b, vf yes, vf no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
/// Lane i of `yes` where bit i is set, else of `no`.
INLINE vf v_if_bits(uint32_t bits, vf yes, vf no) { return _mm512_mask_blend_ps((__mmask16)bits, no, yes); }
/// `a` where a is NaN, else `b`.
INLINE vf v_nan_or(vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), b, a);
}
/// Bit i is set where a = b, or where both are NaN.
INLINE uint32_t v_same(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
        | (_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) & _mm512_cmp_ps_mask(b, b, _CMP_UNORD_Q));
}
INLINE vf v_copysign(vf magnitude, vf sign) {
    const vf bit = v_set(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
/// a * 2^n for integral n, rounded once.
INLINE vf v_scale(vf a, vf n) { return _mm512_scalef_ps(a, n); }
INLINE vf v_iota(void) {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
INLINE float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
INLINE float v_greatest(vf a) { return _mm512_reduce_max_ps(a); }

INLINE vf v_f32_of_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

INLINE __m256i v_bf16_of_f32(vf a) {
    const __m512i u = _mm512_castps_si512(a), one = _mm512_set1_epi32(1);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    const __m512i up = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, up, quiet), 16));
}

INLINE vf v_f32_of_i8(__m128i codes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)); }

/// Elements [i, i + 16) of an array of any dtype.
INLINE vf v_load_as(const void *p, apus_dtype dtype, size_t i) {
    if (dtype == APUS_F32) { return _mm512_loadu_ps((const float *)p + i); }
    if (dtype == APUS_I8) {
        return v_f32_of_i8(_mm_loadu_si128((const __m128i *)((const int8_t *)p + i)));
    }
    const __m256i h = _mm256_loadu_si256((const __m256i *)((const uint16_t *)p + i));
    return dtype == APUS_F16 ? _mm512_cvtph_ps(h) : v_f32_of_bf16(h);
}

/// Even and odd elements of 16 pairs of BF16, at words of 32 bits.
INLINE vf v_even_bf16(const uint32_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
INLINE vf v_odd_bf16(const uint32_t *p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000u)));
}

/// Elements [i, i + min(n, 16)), zero in the other lanes; memory past them is not touched.
INLINE vf v_load_as_part(const void *p, apus_dtype dtype, size_t i, size_t n) {
    const __mmask16 mask = v_mask(n);
    if (dtype == APUS_F32) { return _mm512_maskz_loadu_ps(mask, (const float *)p + i); }
    if (dtype == APUS_I8) { return v_f32_of_i8(_mm_maskz_loadu_epi8(mask, (const int8_t *)p + i)); }
    const __m256i h = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)p + i);
    return dtype == APUS_F16 ? _mm512_cvtph_ps(h) : v_f32_of_bf16(h);
}

/// Stores the first min(n, 16) lanes as elements from i.
INLINE void v_store_as_part(void *p, apus_dtype dtype, size_t i, vf a, size_t n) {
    const __mmask16 mask = v_mask(n);
    if (dtype == APUS_F32) {
        _mm512_mask_storeu_ps((float *)p + i, mask, a);
        return;
    }
    if (dtype == APUS_I8) {
        _mm_mask_storeu_epi8((int8_t *)p + i, mask, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
        return;
    }
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    const __m256i h = dtype == APUS_F16 ? _mm512_cvtps_ph(a, NEAREST) : v_bf16_of_f32(a);
    _mm256_mask_storeu_epi16((uint16_t *)p + i, mask, h);
}

/// Transposes 16 vectors of 16 lanes.
INLINE void v_transpose(vf r[VW]) {
    vf t[VW];
#pragma unroll
    for (int i = 0; i < VW; i += 4) {  // 4x4 blocks of 4 neighbouring rows
        const vf low0 = _mm512_unpacklo_ps(r[i], r[i + 1]), high0 = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const vf low1 = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        const vf high1 = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(low0, low1, 0x44);
        t[i + 1] = _mm512_shuffle_ps(low0, low1, 0xee);
        t[i + 2] = _mm512_shuffle_ps(high0, high1, 0x44);
        t[i + 3] = _mm512_shuffle_ps(high0, high1, 0xee);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {  // then the 4x4 grid of those blocks
        const vf a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        const vf b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const vf c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        const vf d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

/// Lanes of `a` where bits are set, of `b` elsewhere, with `crossed` added, or the greater of both. The compiler may not know
/// the bits: it would turn the choice into a second shuffle, for which there is one port where additions have two.
INLINE vf v_join(__mmask16 bits, vf a, vf b, vf crossed, const int greatest) {
    __asm__("" : "+Yk"(bits));
    const vf straight = _mm512_mask_blend_ps(bits, b, a);
    return greatest ? _mm512_max_ps(straight, crossed) : _mm512_add_ps(straight, crossed);
}

/// Lane i is the sum of the lanes of vector i, or the greatest of them: halves, quarters, ... of two vectors change
/// places and are joined.
INLINE vf v_across(const vf r[VW], const int greatest) {
    vf eights[8], fours[4], twos[2];
    const __m512i by4 = _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
    const __m512i by1 = _mm512_setr_epi32(1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const vf crossed = _mm512_shuffle_f32x4(r[i], r[i + 8], 0x4e);
        eights[i] = v_join(0x00ff, r[i], r[i + 8], crossed, greatest);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const vf crossed = _mm512_permutex2var_ps(eights[i], by4, eights[i + 4]);
        fours[i] = v_join(0x0f0f, eights[i], eights[i + 4], crossed, greatest);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const vf crossed = _mm512_shuffle_ps(fours[i], fours[i + 2], 0x4e);
        twos[i] = v_join(0x3333, fours[i], fours[i + 2], crossed, greatest);
    }
    return v_join(0x5555, twos[0], twos[1], _mm512_permutex2var_ps(twos[0], by1, twos[1]), greatest);
}

#include "avx512_integers.h"
