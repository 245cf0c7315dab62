// y[i] = f(x[i]) and y = f(gate) * up
//
//   x, y      f32[n]           y may be x
//   gate, up  f32[rows, cols]  each with its own row stride; y may be either
//
// exp, tanh, erf and their combinations are libm's here (<= 1 ulp) and within 2 to 4 ulp in simd/.
// Called for activations; `gated` is the SwiGLU or GeGLU of an MLP.

#include "baseline.h"
#include <math.h>

float apus_baseline_unary_of(apus_unary kind, float x) {
    switch (kind) {
    case APUS_SILU: return x / (1 + expf(-x));
    case APUS_GELU_TANH: return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case APUS_GELU_ERF: return 0.5f * x * (1 + erff(x * 0.7071067812f));
    case APUS_RELU: return x < 0 ? 0 : x;
    case APUS_TANH: return tanhf(x);
    case APUS_SIGMOID: return 1 / (1 + expf(-x));
    case APUS_EXP: return expf(x);
    case APUS_ERF: return erff(x);
    case APUS_NEG: return -x;
    case APUS_ABS: return fabsf(x);
    case APUS_SQUARE: return x * x;
    case APUS_SQRT: return sqrtf(x);
    case APUS_RSQRT: return 1 / sqrtf(x);
    case APUS_RECIPROCAL: return 1 / x;
    case APUS_LOG: return logf(x);
    case APUS_SIN: return sinf(x);
    case APUS_COS: return cosf(x);
    }
    return x;
}

void apus_baseline_unary(apus_unary kind, const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) { y[i] = apus_baseline_unary_of(kind, x[i]); }
}

void apus_baseline_gated(
    apus_unary kind, const float *gate, size_t ldg, const float *up, size_t ldu, float *y, size_t ldy,
    size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            y[r * ldy + c] = apus_baseline_unary_of(kind, gate[r * ldg + c]) * up[r * ldu + c];
        }
    }
}
