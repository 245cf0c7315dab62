#pragma once
// Vector form of `quantize_rows` in baseline/quantized_linear.c, to the same bits.

/// `count` is a constant for whole pieces.
INLINE void quantize_piece(const float *x, const size_t count, int8_t *codes, float *scale, int32_t *sum) {
    vi largest = vi_zero(), total = vi_zero();
    const vi magnitude = vi_set(0x7fffffff);
    for (size_t i = 0; i < count; i += VW) {
        largest = vi_max(largest, vi_and(vi_bits(v_load_part(x + i, count - i)), magnitude));
    }
    float factor;
    *scale = piece_scale((uint32_t)vi_greatest(largest), &factor);
    if (factor == 0) {
        memset(codes, 0, rounded_up(count, VW));
        *sum = 0;
        return;
    }
    const vf by = v_set(factor);
    for (size_t i = 0; i < count; i += VW) {
        const vi rounded = vi_round(v_mul(v_load_part(x + i, count - i), by));
        total = vi_add(total, rounded);
        vi_store_i8(codes + i, rounded);
    }
    *sum = vi_sum(total);
}

static TARGET void quantize_rows(const apus_quantized_linear *a, size_t m0, size_t m1) {
    const size_t group = a->group, pieces = pieces_of(group), stride = row_bytes(a->k);
    const int zero = a->zeros ? 1 : middle_code(a->bits) - (a->bits == 8 ? CODE_OFFSET : 0);
    for (size_t m = m0; m < m1; m++) {
        const float *x = a->x + m * a->ldx;
        int8_t *codes = a->x_codes + m * stride;
        size_t p = m * (a->k / group) * pieces;
        // Whole vectors are stored: what goes past a piece is overwritten by the next one.
        memset(codes + a->k, 0, stride - a->k);
        for (size_t first = 0; first < a->k; first += group) {
            for (size_t at = first; at < first + group; at += PIECE, p++) {
                const size_t count = first + group - at;
                int32_t sum;
                if (count >= PIECE) {
                    quantize_piece(x + at, PIECE, codes + at, a->x_scales + p, &sum);
                } else {
                    quantize_piece(x + at, count, codes + at, a->x_scales + p, &sum);
                }
                a->x_starts[p] = -sum * zero;
            }
        }
    }
}
