#pragma once
// Vectors of integers in AVX2: 8 lanes of 32 bits, or of four bytes each.

#define HAS_DOT HAS_VNNI  // `vi_dot` is there; else `vi_dot_pairs`

typedef __m256i vi;

enum {
    DOT_ROWS = HAS_VNNI ? 6 : 4,  ///< rows of a tile of integer sums
    DOT_VECS = 2,                 ///< vectors of features in a row of such a tile
    CODE_OFFSET = 0               ///< what `vi_bytes` subtracts from a code of 8 bits
};
#if HAS_VNNI
#define EACH_DOT_ROWS(F) F(1) F(2) F(3) F(4) F(6)
#else
#define EACH_DOT_ROWS(F) F(1) F(2) F(3) F(4)
#endif

INLINE vi vi_zero(void) { return _mm256_setzero_si256(); }
INLINE vi vi_set(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vi vi_load(const void *p) { return _mm256_loadu_si256(p); }
/// The same four bytes in every lane.
INLINE vi vi_set_quad(const void *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm256_set1_epi32(quad);
}
INLINE vi vi_widen_u8(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi vi_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi vi_shift_left(vi a, unsigned n) { return _mm256_slli_epi32(a, (int)n); }
INLINE vi vi_shift_right(vi a, unsigned n) { return _mm256_srli_epi32(a, (int)n); }
/// The greater of two non-negative numbers.
INLINE vi vi_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
INLINE int32_t vi_greatest(vi a) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
INLINE int32_t vi_sum(vi a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
INLINE vi vi_bits(vf a) { return _mm256_castps_si256(a); }
INLINE vf vi_float(vi a) { return _mm256_cvtepi32_ps(a); }
/// The nearest integers, ties to even.
INLINE vi vi_round(vf a) { return _mm256_cvtps_epi32(a); }
/// Stores each lane, a number of -128...127, as a byte.
INLINE void vi_store_i8(int8_t *p, vi a) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}

INLINE vi vi_low_nibbles(vi a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
INLINE vi vi_high_nibbles(vi a) { return vi_low_nibbles(_mm256_srli_epi16(a, 4)); }
/// 8-bit codes in the form that `vi_dot` reads.
INLINE vi vi_bytes(vi a) { return a; }

#if HAS_DOT
/// sum + the four products of each lane's codes and signed bytes.
INLINE vi vi_dot(vi sum, vi codes, vi bytes) { return _mm256_dpbusd_avx_epi32(sum, codes, bytes); }
#else
/// Adds pairs of products to 16-bit sums; eight with codes of at most 15 cannot overflow.
INLINE vi vi_dot_pairs(vi sum, vi codes, vi bytes) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, bytes));
}
/// The sum of both 16-bit sums of each lane.
INLINE vi vi_join_pairs(vi sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
#endif

#define HAS_NIBBLE_TABLE 0
