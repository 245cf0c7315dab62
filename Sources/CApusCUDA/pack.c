// Puts codes of quantised weights into the order in which the tensor cores of GPUs take them: see
// Sources/ApusCUDA/Kernels/quantized.cuh.

#include "apus_cuda.h"

static size_t padded_group(size_t group) { return group <= 16 ? 16 : group <= 32 ? 32 : (group + 63) / 64 * 64; }

static size_t padded_inputs(size_t k, size_t group) {
    return (k / group * padded_group(group) + 63) / 64 * 64;
}

size_t apus_cuda_code_bytes(size_t n, size_t k, size_t group, int bits) {
    return (n + 15) / 16 * 16 * padded_inputs(k, group) * (size_t)bits / 8;
}

int apus_cuda_pack_codes(const uint8_t *codes, size_t n, size_t k, size_t group, int bits, void *packed) {
    const size_t step_inputs = bits == 4 ? 64 : 32, padded = padded_group(group), groups = k / group;
    const size_t tiles = (n + 15) / 16, steps = padded_inputs(k, group) / step_inputs;
    const unsigned mask = (1u << bits) - 1, count = 32 / (unsigned)bits;
    uint32_t *word = packed;
    uint8_t seen = 0;
    for (size_t tile = 0; tile < tiles; tile++) {
        for (size_t step = 0; step < steps; step++) {
            for (unsigned lane = 0; lane < 32; lane++) {
                for (unsigned j = 0; j < 4; j++) {
                    uint32_t value = 0;
                    for (unsigned i = 0; i < count; i++) {
                        size_t row, kp;
                        if (bits == 4) {
                            row = 16 * tile + lane / 4 + 8 * (i / 2 % 2);
                            kp = 64 * step + 16 * j + 8 * (i % 2) + 2 * (lane % 4) + i / 4;
                        } else {
                            row = 16 * tile + lane / 4 + 8 * (i % 2);
                            kp = 32 * step + 16 * (j / 2) + 8 * (j % 2) + 2 * (lane % 4) + i / 2;
                        }
                        const size_t g = kp / padded, place = kp % padded;
                        if (row >= n || g >= groups || place >= group) continue;
                        const uint8_t code = codes[row * k + g * group + place];
                        seen |= code;
                        value |= (uint32_t)code << ((unsigned)bits * i);
                    }
                    *word++ = value;
                }
            }
        }
    }
    return (seen & ~mask) == 0;
}

size_t apus_cuda_group_bytes(size_t groups, size_t n, size_t element_bytes) {
    return (n + 15) / 16 * 16 * groups * element_bytes;
}

void apus_cuda_pack_groups(const void *values, size_t element_bytes, size_t groups, size_t n, void *packed) {
    const uint8_t *from = values;
    uint8_t *to = packed;
    for (size_t tile = 0; tile < (n + 15) / 16; tile++) {
        for (size_t g = 0; g < groups; g++) {
            for (size_t r = 0; r < 8; r++) {
                for (size_t h = 0; h < 2; h++) {
                    const size_t feature = 16 * tile + r + 8 * h;
                    for (size_t b = 0; b < element_bytes; b++) {
                        *to++ = feature < n ? from[(g * n + feature) * element_bytes + b] : 0;
                    }
                }
            }
        }
    }
}
