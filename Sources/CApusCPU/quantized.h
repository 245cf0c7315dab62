#pragma once
// What kernels of quantised weights share: how codes, scales and rounded inputs lie in memory.
//
//   codes   [n/16][ceil(k/8)][16] words of 4 bytes   4 bits: low nibbles of a word's bytes are k = 8w + 0...3,
//                                                    high nibbles 8w + 4...7
//           [n/16][ceil(k/4)][16] words of 4 bytes   8 bits: the bytes are k = 4w + 0...3
//   scales, zeros  [n/16][k/group][16]               n is padded to a multiple of 16, with zeros
//
//   x_codes  [m][row_bytes]    8-bit codes of the inputs, zero past k
//   x_scales, x_starts  [m][pieces]
//
// A group of the weights is cut into pieces of 128 inputs, the last of a group may be shorter; the inputs have
// one scale for each row and piece.

#include "half.h"

enum {
    PANEL = 16,  ///< features of a panel
    PIECE = 128  ///< most inputs that share a scale
};

static inline size_t word_inputs(int bits) { return bits == 4 ? 8 : 4; }
static inline size_t words_of(size_t k, int bits) { return (k + word_inputs(bits) - 1) / word_inputs(bits); }
static inline size_t panel_bytes(size_t k, int bits) { return words_of(k, bits) * PANEL * 4; }
/// An odd number of cache lines, so that rows do not meet in the same sets of a cache.
static inline size_t row_bytes(size_t k) { return rounded_up(k, 128) + 64; }
static inline size_t pieces_of(size_t group) { return (group + PIECE - 1) / PIECE; }
static inline int middle_code(int bits) { return 1 << (bits - 1); }

/// A row's scale for one piece, whose largest magnitude has these bits, and the factor that makes codes of it.
///
/// The bit patterns of magnitudes are in the order of the numbers, NaN above infinity. With one of these the
/// scale is NaN and so is what is computed with it; numbers too small for a finite factor become zeros.
static inline float piece_scale(uint32_t largest, float *factor) {
    *factor = 0;
    if (largest >= 0x7f800000u) { return f32_of_bits(0x7fc00000u); }
    const float by = 127 / f32_of_bits(largest);
    if (bits_of_f32(by) >= 0x7f800000u) { return 0; }
    *factor = by;
    return f32_of_bits(largest) / 127;
}
