#pragma once
// Quantised weights as kernels read them: panels of 16 output features, padded with zeros.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes of the packed codes [n, k].
size_t apus_packed_codes_bytes(size_t n, size_t k, int32_t bits);
/// Packs codes u8 [n, k] of 4 or 8 bits; returns 0 if a code needs more bits.
int32_t apus_pack_codes(const uint8_t *codes, size_t n, size_t k, int32_t bits, void *panels);
/// The codes u8 [n, k] that were packed.
void apus_unpack_codes(const void *panels, size_t n, size_t k, int32_t bits, uint8_t *codes);
/// Packs scales or zero points [groups, n] of elements of so many bytes: [n / 16 rounded up, groups, 16].
void apus_pack_groups(const void *rows, size_t bytes, size_t groups, size_t n, void *panels);

/// Bytes of one row of k inputs rounded to 8 bits.
size_t apus_quantized_row_bytes(size_t k);
/// Scales of one row of k inputs, where `group` inputs share a scale of the weights.
size_t apus_quantized_pieces(size_t k, size_t group);

#ifdef __cplusplus
}
#endif
