// Packing into panels and reading a row back: moves of elements, done once, in plain C.

#include "panels.h"

enum {
    PACKED_K = 64  ///< inputs whose rows are turned at a time, so that both sides stay in the first cache
};

size_t apus_panel_bytes(int dtype, size_t n, size_t k) {
    return rounded_up(n, APUS_PANEL) / APUS_PANEL * panel_elements((apus_dtype)dtype, k)
        * dtype_bytes((apus_dtype)dtype);
}

#define PACK(type, index)                                                                                    \
    static void pack_##type##_##index(                                                                       \
        const type *restrict w, size_t ldw, size_t rows, size_t k, type *restrict panel                      \
    ) {                                                                                                      \
        for (size_t at = 0; at < k; at += PACKED_K) {                                                        \
            const size_t end = smaller(at + PACKED_K, k);                                                    \
            for (size_t lane = 0; lane < APUS_PANEL; lane++) {                                               \
                for (size_t i = at; i < end; i++) {                                                          \
                    panel[index(lane, i)] = lane < rows ? w[lane * ldw + i] : 0;                             \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }
#define single(lane, i) ((i) * APUS_PANEL + (lane))
#define paired(lane, i) (((i) / 2 * APUS_PANEL + (lane)) * 2 + (i) % 2)

// Bits only: an FP32 is moved as an integer, so that no NaN changes.
PACK(uint32_t, single)
PACK(uint16_t, single)
PACK(uint16_t, paired)

void apus_pack_panels(
    int dtype, const void *w, size_t ldw, size_t n, size_t k, size_t n0, size_t n1, void *panels
) {
    const apus_dtype type = (apus_dtype)dtype;
    for (size_t first = n0; first < n1; first += APUS_PANEL) {
        const size_t rows = smaller(APUS_PANEL, n - first);
        const void *from = element(w, type, first * ldw);
        void *to = (void *)panel_of(panels, type, first, k);
        if (type == APUS_F32) {
            pack_uint32_t_single(from, ldw, rows, k, to);
        } else if (type == APUS_F16) {
            pack_uint16_t_single(from, ldw, rows, k, to);
        } else {
            pack_uint16_t_paired(from, ldw, rows, k, to);
            for (size_t lane = 0; lane < APUS_PANEL && k % 2; lane++) {
                ((uint16_t *)to)[panel_at(type, lane, k)] = 0;
            }
        }
    }
}

void apus_panel_row(int dtype, const void *panels, size_t n, size_t k, void *row) {
    const apus_dtype type = (apus_dtype)dtype;
    const void *panel = panel_of(panels, type, n, k);
    const size_t lane = n % APUS_PANEL;
    if (type == APUS_F32) {
        for (size_t i = 0; i < k; i++) {
            ((uint32_t *)row)[i] = ((const uint32_t *)panel)[panel_at(type, lane, i)];
        }
    } else {
        for (size_t i = 0; i < k; i++) {
            ((uint16_t *)row)[i] = ((const uint16_t *)panel)[panel_at(type, lane, i)];
        }
    }
}
