#pragma once
// Vector form of baseline/unary.c: y = f(x), y = f(gate) * up. Same formulae, v_exp, v_tanh and v_erf inside.

INLINE vf v_sigmoid(vf x) { return v_div(v_set(1), v_add(v_set(1), v_exp(v_sub(v_zero(), x)))); }

INLINE vf v_unary(apus_unary kind, vf x) {
    switch (kind) {
    case APUS_SILU: return v_div(x, v_add(v_set(1), v_exp(v_sub(v_zero(), x))));
    case APUS_GELU_TANH: {
        const vf cube = v_mul(v_mul(v_mul(v_set(0.044715f), x), x), x);
        const vf inner = v_mul(v_set(0.7978845608f), v_add(x, cube));
        return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1), v_tanh(inner)));
    }
    case APUS_GELU_ERF:
        return v_mul(
            v_mul(v_set(0.5f), x), v_add(v_set(1), v_erf(v_mul(x, v_set(0.7071067812f)))));
    case APUS_RELU: return v_max(v_zero(), x);
    case APUS_TANH: return v_tanh(x);
    case APUS_SIGMOID: return v_sigmoid(x);
    case APUS_EXP: return v_exp(x);
    case APUS_ERF: return v_erf(x);
    case APUS_NEG: return v_xor(x, v_set(-0.0f));
    case APUS_ABS: return v_abs(x);
    case APUS_SQUARE: return v_mul(x, x);
    case APUS_SQRT: return v_sqrt(x);
    case APUS_RSQRT: return v_div(v_set(1), v_sqrt(x));
    case APUS_RECIPROCAL: return v_div(v_set(1), x);
    default: return x;
    }
}

INLINE void unary_row(apus_unary kind, const float *x, const float *up, float *y, size_t n) {
    for (size_t i = 0; i < n; i += VW) {
        vf value = v_unary(kind, v_load_part(x + i, n - i));
        if (up) { value = v_mul(value, v_load_part(up + i, n - i)); }
        v_store_part(y + i, value, n - i);
    }
}

#define UNARY_CASE(K)                                                                                        \
    case K: unary_row(K, x, up, y, n); break;

/// y = f(x), times `up` unless it is NULL. The kind becomes a constant before the loop starts.
static TARGET void unary_n(apus_unary kind, const float *x, const float *up, float *y, size_t n) {
    switch (kind) {
        UNARY_CASE(APUS_SILU)
        UNARY_CASE(APUS_GELU_TANH)
        UNARY_CASE(APUS_GELU_ERF)
        UNARY_CASE(APUS_RELU)
        UNARY_CASE(APUS_TANH)
        UNARY_CASE(APUS_SIGMOID)
        UNARY_CASE(APUS_EXP)
        UNARY_CASE(APUS_ERF)
        UNARY_CASE(APUS_NEG)
        UNARY_CASE(APUS_ABS)
        UNARY_CASE(APUS_SQUARE)
        UNARY_CASE(APUS_SQRT)
        UNARY_CASE(APUS_RSQRT)
        UNARY_CASE(APUS_RECIPROCAL)
    case APUS_LOG:
    case APUS_SIN:
    case APUS_COS:
        for (size_t i = 0; i < n; i++) { y[i] = apus_baseline_unary_of(kind, x[i]) * (up ? up[i] : 1); }
        break;
    }
}
#undef UNARY_CASE

static TARGET void unary(apus_unary kind, const float *x, float *y, size_t n) {
    unary_n(kind, x, NULL, y, n);
}

static TARGET void gated(
    apus_unary kind, const float *gate, size_t ldg, const float *up, size_t ldu, float *y, size_t ldy,
    size_t rows, size_t cols
) {
    for (size_t r = 0; r < rows; r++) { unary_n(kind, gate + r * ldg, up + r * ldu, y + r * ldy, cols); }
}
