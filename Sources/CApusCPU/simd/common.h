#pragma once
// Vector helpers that follow from the vocabulary of the instruction set, which is included first.

INLINE vf v_load_part(const float *p, size_t n) { return v_load_as_part(p, APUS_F32, 0, n); }
INLINE void v_store_part(float *p, vf a, size_t n) { v_store_as_part(p, APUS_F32, 0, a, n); }

INLINE vf v_sums(const vf r[VW]) { return v_across(r, 0); }
/// Lane i is the greatest lane of vector i.
INLINE vf v_tops(const vf r[VW]) { return v_across(r, 1); }

enum {
    TILE_COLS = TILE_VECS * VW  ///< columns of a register tile
};
