#pragma once
// The vector vocabulary of simd/ in AVX2, FMA and F16C: 8 lanes, 16 registers.
// FEATURES names what the including file may use beyond these, as in "avxvnni,".

#include "../half.h"
#include <immintrin.h>

#define TARGET __attribute__((target(FEATURES "avx2,fma,f16c")))
#define INLINE static inline TARGET __attribute__((always_inline))

typedef __m256 vf;

enum {
    VW = 8,          ///< lanes
    TILE_ROWS = 6,   ///< rows of a register tile: 6 * 2 sums, 2 columns and a broadcast fill 15 registers
    TILE_VECS = 2,   ///< vectors in a row of a register tile
    STREAM_ROWS = 6,  ///< most rows of x that weights stream past
    WIDE_SUMS = 8,  ///< most sums of a tile of four panels of packed weights
    PAIR_SUMS = 8,  ///< most sums of a tile of two
    PROBE_SUMS = 12  ///< independent sums of `fma_probe`
};
#define EACH_TILE_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#define EACH_STREAM_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)

/// All ones in the first min(n, 8) lanes.
INLINE __m256i v_mask(size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < VW ? n : VW)), lane);
}
INLINE vf v_zero(void) { return _mm256_setzero_ps(); }
INLINE vf v_set(float x) { return _mm256_set1_ps(x); }
INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
INLINE vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf v_xor(vf a, vf b) { return _mm256_xor_ps(a, b); }
INLINE vf v_abs(vf a) { return _mm256_andnot_ps(v_set(-0.0f), a); }
/// The greater; `b` if either is NaN.
INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
/// The lesser; `b` if either is NaN.
INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
/// `yes` where a < b, else `no`.
INLINE vf v_if_less(vf a, vf b, vf yes, vf no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
/// Lane i of `yes` where bit i is set, else of `no`.
INLINE vf v_if_bits(uint32_t bits, vf yes, vf no) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)bits), lanes);
    return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lanes)));
}
/// `a` where a is NaN, else `b`.
INLINE vf v_nan_or(vf a, vf b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)); }
/// Bit i is set where a = b, or where both are NaN.
INLINE uint32_t v_same(vf a, vf b) {
    const vf nan = _mm256_and_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q), _mm256_cmp_ps(b, b, _CMP_UNORD_Q));
    return (uint32_t)_mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), nan));
}
INLINE vf v_copysign(vf magnitude, vf sign) {
    const vf bit = v_set(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
/// a * 2^n for integral n in -252...254: in two factors, so that the result is rounded once.
INLINE vf v_scale(vf a, vf n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    const vf first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const vf second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return v_mul(v_mul(a, first), second);
}
INLINE vf v_iota(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
INLINE float v_sum(vf a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE float v_greatest(vf a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

INLINE vf v_f32_of_bf16(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

INLINE __m128i v_bf16_of_f32(vf a) {
    const __m256i u = _mm256_castps_si256(a), one = _mm256_set1_epi32(1);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), one);
    const __m256i up = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i wide = _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}

INLINE vf v_f32_of_half(__m128i h, apus_dtype dtype) {
    return dtype == APUS_F16 ? _mm256_cvtph_ps(h) : v_f32_of_bf16(h);
}

INLINE vf v_f32_of_i8(__m128i codes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)); }

/// Elements [i, i + 8) of an array of any dtype.
INLINE vf v_load_as(const void *p, apus_dtype dtype, size_t i) {
    if (dtype == APUS_F32) { return _mm256_loadu_ps((const float *)p + i); }
    if (dtype == APUS_I8) {
        return v_f32_of_i8(_mm_loadl_epi64((const __m128i *)((const int8_t *)p + i)));
    }
    return v_f32_of_half(_mm_loadu_si128((const __m128i *)((const uint16_t *)p + i)), dtype);
}

/// Even and odd elements of 8 pairs of BF16, at words of 32 bits.
INLINE vf v_even_bf16(const uint32_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)p), 16));
}
INLINE vf v_odd_bf16(const uint32_t *p) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256((const __m256i *)p), upper));
}

/// Elements [i, i + min(n, 8)), zero in the other lanes; memory past them is not touched.
INLINE vf v_load_as_part(const void *p, apus_dtype dtype, size_t i, size_t n) {
    if (n >= VW) { return v_load_as(p, dtype, i); }
    if (dtype == APUS_F32) { return _mm256_maskload_ps((const float *)p + i, v_mask(n)); }
    if (dtype == APUS_I8) {
        int8_t codes[2 * VW] = {0};
        for (size_t lane = 0; lane < n; lane++) { codes[lane] = ((const int8_t *)p)[i + lane]; }
        return v_f32_of_i8(_mm_loadu_si128((const __m128i *)codes));
    }
    uint16_t part[VW] = {0};
    for (size_t lane = 0; lane < n; lane++) { part[lane] = ((const uint16_t *)p)[i + lane]; }
    return v_f32_of_half(_mm_loadu_si128((const __m128i *)part), dtype);
}

/// Stores the first min(n, 8) lanes as elements from i.
INLINE void v_store_as_part(void *p, apus_dtype dtype, size_t i, vf a, size_t n) {
    if (dtype == APUS_F32) {
        if (n >= VW) {
            _mm256_storeu_ps((float *)p + i, a);
        } else {
            _mm256_maskstore_ps((float *)p + i, v_mask(n), a);
        }
        return;
    }
    if (dtype == APUS_I8) {
        const __m256i whole = _mm256_cvtps_epi32(a);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        int8_t codes[2 * VW];
        _mm_storeu_si128((__m128i *)codes, _mm_packs_epi16(words, words));
        memcpy((int8_t *)p + i, codes, smaller(n, VW));
        return;
    }
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    const __m128i h = dtype == APUS_F16 ? _mm256_cvtps_ph(a, NEAREST) : v_bf16_of_f32(a);
    uint16_t *to = (uint16_t *)p + i;
    if (n >= VW) {
        _mm_storeu_si128((__m128i *)to, h);
        return;
    }
    uint16_t part[VW];
    _mm_storeu_si128((__m128i *)part, h);
    for (size_t lane = 0; lane < n; lane++) { to[lane] = part[lane]; }
}

/// Transposes 8 vectors of 8 lanes.
INLINE void v_transpose(vf r[VW]) {
    vf t[VW];
#pragma unroll
    for (int i = 0; i < VW; i += 4) {  // 4x4 blocks of 4 neighbouring rows
        const vf low0 = _mm256_unpacklo_ps(r[i], r[i + 1]), high0 = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const vf low1 = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        const vf high1 = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(low0, low1, 0x44);
        t[i + 1] = _mm256_shuffle_ps(low0, low1, 0xee);
        t[i + 2] = _mm256_shuffle_ps(high0, high1, 0x44);
        t[i + 3] = _mm256_shuffle_ps(high0, high1, 0xee);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {  // then the 2x2 grid of those blocks
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

INLINE vf v_join(vf a, vf b, const int greatest) { return greatest ? v_max(a, b) : v_add(a, b); }

/// Lane i is the sum of the lanes of vector i, or the greatest of them: halves of 2, 4 and 8 lanes are joined in turn.
INLINE vf v_across(const vf r[VW], const int greatest) {
    vf fours[4], twos[2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const vf straight = _mm256_blend_ps(r[i], r[i + 4], 0xf0);
        fours[i] = v_join(straight, _mm256_permute2f128_ps(r[i], r[i + 4], 0x21), greatest);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const vf straight = _mm256_blend_ps(fours[i], fours[i + 2], 0xcc);
        twos[i] = v_join(straight, _mm256_shuffle_ps(fours[i], fours[i + 2], 0x4e), greatest);
    }
    const vf even = _mm256_shuffle_ps(twos[0], twos[1], 0x88), odd = _mm256_shuffle_ps(twos[0], twos[1], 0xdd);
    return _mm256_permutevar8x32_ps(v_join(even, odd, greatest), _mm256_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7));
}

#include "avx2_integers.h"
