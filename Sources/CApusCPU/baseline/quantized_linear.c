// y[m, n] = sum over k of x[m, k] * (codes[n, k] - zero) * scale, plus bias[n]
//
//   codes, scales, zeros   panels of 16 features, see quantized.h   x  f32[M, K]  rows ldx apart
//   bias  f32[N] or NULL                                            y  f32[M, N]  rows ldy apart
//
// Any M, N; K a multiple of the group, and the group of 8 (4-bit codes) or 4, unless it is K itself.
// `quantized_linear`: inputs rounded to 8 bits by `quantize_rows`; the sum of a piece is an integer and the
// same in every instruction set; y sums pieces in FP32 in order. `exact_linear`: FP32 inputs and sums.
// Called for every projection of a quantised model. Error of rounding the inputs: docs/quantisation.md.

#include "../quantized.h"
#include "baseline.h"

#include <math.h>

void apus_baseline_quantize_rows(const apus_quantized_linear *a, size_t m0, size_t m1) {
    const size_t pieces = pieces_of(a->group), stride = row_bytes(a->k);
    for (size_t m = m0; m < m1; m++) {
        const float *x = a->x + m * a->ldx;
        int8_t *codes = a->x_codes + m * stride;
        memset(codes + a->k, 0, stride - a->k);
        for (size_t group = 0, p = m * (a->k / a->group) * pieces; group < a->k; group += a->group) {
            for (size_t at = group; at < group + a->group; at += PIECE, p++) {
                const size_t end = smaller(at + PIECE, group + a->group);
                uint32_t largest = 0;
                for (size_t k = at; k < end; k++) {
                    const uint32_t magnitude = bits_of_f32(x[k]) & 0x7fffffffu;
                    largest = magnitude > largest ? magnitude : largest;
                }
                float factor;
                a->x_scales[p] = piece_scale(largest, &factor);
                int32_t sum = 0;
                for (size_t k = at; k < end; k++) {
                    // Rounded to an FP32 before it is rounded to an integer: no fused operation.
                    const volatile float scaled = x[k] * factor;
                    codes[k] = factor == 0 ? 0 : (int8_t)rintf(scaled);
                    sum += codes[k];
                }
                a->x_starts[p] = a->zeros ? -sum : -sum * middle_code(a->bits);
            }
        }
    }
}

/// The code of feature n and input k.
static int code_of(const apus_quantized_linear *a, size_t n, size_t k) {
    const size_t step = word_inputs(a->bits);
    const uint8_t *panel = (const uint8_t *)a->codes + n / PANEL * panel_bytes(a->k, a->bits);
    const uint8_t byte = panel[(k / step * PANEL + n % PANEL) * 4 + k % 4];
    return a->bits == 8 ? byte : k % 8 < 4 ? byte & 15 : byte >> 4;
}

/// Where scale and zero point of feature n and group g lie.
static size_t place_of(const apus_quantized_linear *a, size_t n, size_t g) {
    return (n / PANEL * (a->k / a->group) + g) * PANEL + n % PANEL;
}

void apus_baseline_quantized_linear(const apus_quantized_linear *a, size_t n0, size_t n1) {
    const size_t groups = a->k / a->group, pieces = pieces_of(a->group);
    for (size_t n = n0; n < n1; n++) {
        for (size_t m = 0; m < a->m; m++) {
            const int8_t *x = a->x_codes + m * row_bytes(a->k);
            size_t p = m * groups * pieces;
            float total = 0;
            for (size_t g = 0; g < groups; g++) {
                const float scale = load_as_f32(a->scales, a->scale_dtype, place_of(a, n, g));
                for (size_t at = g * a->group; at < (g + 1) * a->group; at += PIECE, p++) {
                    const size_t end = smaller(at + PIECE, (g + 1) * a->group);
                    int32_t sum = a->x_starts[p] * (a->zeros ? a->zeros[place_of(a, n, g)] : 1);
                    for (size_t k = at; k < end; k++) { sum += code_of(a, n, k) * x[k]; }
                    total += (float)sum * (scale * a->x_scales[p]);
                }
            }
            a->y[m * a->ldy + n] = total + (a->bias ? a->bias[n] : 0);
        }
    }
}

size_t apus_baseline_exact_linear_scratch_bytes(size_t m, size_t n, size_t k) {
    (void)m, (void)n;
    return rounded_up(k * sizeof(float), 64);
}

void apus_baseline_exact_linear(const apus_quantized_linear *a, size_t n0, size_t n1, void *scratch) {
    float *row = scratch;
    for (size_t n = n0; n < n1; n++) {
        for (size_t k = 0; k < a->k; k++) {
            const size_t place = place_of(a, n, k / a->group);
            const int zero = a->zeros ? a->zeros[place] : middle_code(a->bits);
            row[k] = (float)(code_of(a, n, k) - zero) * load_as_f32(a->scales, a->scale_dtype, place);
        }
        for (size_t m = 0; m < a->m; m++) {
            const float *x = a->x + m * a->ldx;
            float sums[BASELINE_LANES] = {0}, total = 0;
            for (size_t k = 0; k < a->k; k++) { sums[k % BASELINE_LANES] += x[k] * row[k]; }
            for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += sums[lane]; }
            a->y[m * a->ldy + n] = total + (a->bias ? a->bias[n] : 0);
        }
    }
}

uint64_t apus_baseline_dot_probe(size_t iterations) {
    volatile int32_t keep = 0;
    for (size_t i = 0; i < iterations; i++) { keep = keep + (int32_t)i * 3; }
    return (uint64_t)iterations * 2;
}
