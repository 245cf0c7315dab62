#pragma once
// Vectors of integers in AVX-512: 16 lanes of 32 bits, or of four bytes each.

#define HAS_DOT HAS_VNNI  // `vi_dot` is there; else `vi_dot_pairs`

typedef __m512i vi;

enum {
    DOT_ROWS = HAS_VNNI ? 12 : 8,  ///< rows of a tile of integer sums
    DOT_VECS = 2,                  ///< vectors of features in a row of such a tile
    CODE_OFFSET = 0                ///< what `vi_bytes` subtracts from a code of 8 bits
};
#if HAS_VNNI
#define EACH_DOT_ROWS(F) F(1) F(2) F(3) F(4) F(6) F(8) F(12)
#else
#define EACH_DOT_ROWS(F) F(1) F(2) F(3) F(4) F(6) F(8)
#endif

INLINE vi vi_zero(void) { return _mm512_setzero_si512(); }
INLINE vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
/// The same four bytes in every lane.
INLINE vi vi_set_quad(const void *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}
INLINE vi vi_widen_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi vi_shift_left(vi a, unsigned n) { return _mm512_slli_epi32(a, n); }
INLINE vi vi_shift_right(vi a, unsigned n) { return _mm512_srli_epi32(a, n); }
/// The greater of two non-negative numbers.
INLINE vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
INLINE int32_t vi_greatest(vi a) { return _mm512_reduce_max_epi32(a); }
INLINE int32_t vi_sum(vi a) { return _mm512_reduce_add_epi32(a); }
INLINE vi vi_bits(vf a) { return _mm512_castps_si512(a); }
INLINE vf vi_float(vi a) { return _mm512_cvtepi32_ps(a); }
/// The nearest integers, ties to even.
INLINE vi vi_round(vf a) { return _mm512_cvtps_epi32(a); }
/// Stores each lane, a number of -128...127, as a byte.
INLINE void vi_store_i8(int8_t *p, vi a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }

INLINE vi vi_low_nibbles(vi a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
INLINE vi vi_high_nibbles(vi a) { return vi_low_nibbles(_mm512_srli_epi16(a, 4)); }
/// 8-bit codes in the form that `vi_dot` reads.
INLINE vi vi_bytes(vi a) { return a; }

#if HAS_DOT
/// sum + the four products of each lane's codes and signed bytes.
INLINE vi vi_dot(vi sum, vi codes, vi bytes) { return _mm512_dpbusd_epi32(sum, codes, bytes); }
#else
/// Adds pairs of products to 16-bit sums; eight with codes of at most 15 cannot overflow.
INLINE vi vi_dot_pairs(vi sum, vi codes, vi bytes) {
    return _mm512_add_epi16(sum, _mm512_maddubs_epi16(codes, bytes));
}
/// The sum of both 16-bit sums of each lane.
INLINE vi vi_join_pairs(vi sum) { return _mm512_madd_epi16(sum, _mm512_set1_epi16(1)); }
#endif

#define HAS_NIBBLE_TABLE 1
/// table[nibble], where the nibble is the lowest of each lane.
INLINE vf vi_nibble_table(vi a, vf table) { return _mm512_permutexvar_ps(a, table); }
