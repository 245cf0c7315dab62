// Codes and what belongs to their groups, from rows into panels and back. quantized.h shows the layout.

#include "quantized.h"

size_t apus_packed_codes_bytes(size_t n, size_t k, int32_t bits) {
    return (n + PANEL - 1) / PANEL * panel_bytes(k, bits);
}

int32_t apus_pack_codes(const uint8_t *codes, size_t n, size_t k, int32_t bits, void *panels) {
    const size_t step = word_inputs(bits), words = words_of(k, bits);
    uint8_t *to = panels;
    uint8_t seen = 0;
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t word = 0; word < words; word++) {
            for (size_t lane = 0; lane < PANEL; lane++, to += 4) {
                uint8_t of[8] = {0};
                if (first + lane < n) {
                    const size_t at = word * step, count = k - at < step ? k - at : step;
                    memcpy(of, codes + (first + lane) * k + at, count);
                }
                if (bits == 8) {
                    memcpy(to, of, 4);
                    continue;
                }
                for (size_t i = 0; i < 4; i++) {
                    seen |= of[i] | of[4 + i];
                    to[i] = (uint8_t)((of[i] & 15) | of[4 + i] << 4);
                }
            }
        }
    }
    return seen >> bits == 0;
}

void apus_unpack_codes(const void *panels, size_t n, size_t k, int32_t bits, uint8_t *codes) {
    const size_t step = word_inputs(bits), words = words_of(k, bits);
    const uint8_t *from = panels;
    for (size_t row = 0; row < n; row++) {
        for (size_t i = 0; i < k; i++) {
            const size_t word = (row / PANEL * words + i / step) * PANEL + row % PANEL;
            const uint8_t byte = from[word * 4 + i % 4];
            codes[row * k + i] = bits == 8 ? byte : i % 8 < 4 ? byte & 15 : byte >> 4;
        }
    }
}

void apus_pack_groups(const void *rows, size_t bytes, size_t groups, size_t n, void *panels) {
    char *to = panels;
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t group = 0; group < groups; group++, to += PANEL * bytes) {
            const size_t count = n - first < PANEL ? n - first : PANEL;
            memcpy(to, (const char *)rows + (group * n + first) * bytes, count * bytes);
            memset(to + count * bytes, 0, (PANEL - count) * bytes);
        }
    }
}

size_t apus_quantized_row_bytes(size_t k) { return row_bytes(k); }

size_t apus_quantized_pieces(size_t k, size_t group) { return k / group * pieces_of(group); }
