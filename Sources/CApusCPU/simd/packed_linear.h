#pragma once
// Vector form of baseline/packed_linear.c on packed weights. Weights stream past up to STREAM_ROWS rows of x (this
// file); more run as a blocked product (packed_blocked.h).
//
// An output is the sum over blocks of BLOCK_K inputs of one chain of FMAs each, in order: the same bits whatever range of
// n it is computed in and however many rows there are.

/// Panels [n0, n1) past all rows, block by block over k.
INLINE void stream_panels(const apus_packed_linear *a, apus_dtype dtype, size_t n0, size_t n1) {
    const size_t panel_bytes = panel_elements(dtype, a->k) * dtype_bytes(dtype);
    const size_t most = (size_t)widest((int)a->m);
    for (size_t n = n0; n < n1;) {
        const size_t left = (n1 - n + APUS_PANEL - 1) / APUS_PANEL;
        const size_t panels = left >= most ? most : left >= 2 && most >= 2 ? 2 : 1;
        const char *w = panel_of(a->w, dtype, n, a->k);
        packed_tile t = {
            .x = a->x, .ldx = a->ldx, .panel_bytes = panel_bytes, .y = a->y + n, .ldy = a->ldy,
            .cols = smaller(panels * APUS_PANEL, n1 - n), .bias = a->bias ? a->bias + n : NULL,
            .turn = panel_bytes > STREAM_AHEAD ? w + (panel_bytes - STREAM_AHEAD) : w,
            .jump = (panels - 1) * panel_bytes,
        };
        size_t k = 0;
        do {  // once for k = 0 too, which leaves the bias
            t.w = w + k * APUS_PANEL * dtype_bytes(dtype);
            t.depth = smaller(BLOCK_K, a->k - k);
            t.x = a->x + k;
            t.adds = k > 0;
            run_stream(&t, dtype, a->m, panels);
            k += BLOCK_K;
        } while (k < a->k);
        n += panels * APUS_PANEL;
    }
}

static TARGET size_t packed_linear_scratch_bytes(size_t m, size_t k) {
    (void)k;
    return m > STREAM_ROWS ? rounded_up(blocked_scratch_bytes(m), 64) : 64;
}

INLINE void packed_linear_of(
    const apus_packed_linear *a, apus_dtype dtype, size_t n0, size_t n1, void *scratch
) {
    if (a->m <= STREAM_ROWS) {
        stream_panels(a, dtype, n0, n1);
    } else {
        blocked_of(a, dtype, n0, n1, scratch);
    }
}

static TARGET void packed_linear(const apus_packed_linear *a, size_t n0, size_t n1, void *scratch) {
    if (a->m == 0) { return; }
    if (a->dtype == APUS_F32) {
        packed_linear_of(a, APUS_F32, n0, n1, scratch);
    } else if (a->dtype == APUS_F16) {
        packed_linear_of(a, APUS_F16, n0, n1, scratch);
    } else {
        packed_linear_of(a, APUS_BF16, n0, n1, scratch);
    }
}
