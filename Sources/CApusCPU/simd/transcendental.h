#pragma once
// exp, tanh and erf on vectors.
//
// The polynomials are least-maximum relative error fits (iteratively reweighted least squares on Chebyshev
// nodes). Measured over all magnitudes against double precision: exp <= 2 ulp, tanh and erf <= 3 ulp.
// NaN stays NaN; infinities give the limits.

/// e^x: x = n ln 2 + r, |r| <= ln(2)/2, e^x = 2^n (1 + r + r^2 P(r)).
INLINE vf v_exp(vf x) {
    const vf bounded = v_max(v_set(-104), v_min(v_set(89), x));  // NaN passes: the second operand wins
    const vf n = v_round(v_mul(bounded, v_set(1.44269504f)));
    vf r = v_fma(n, v_set(-0.693359375f), bounded);  // ln 2 in two parts, the first exact in 9 bits
    r = v_fma(n, v_set(2.12194440e-4f), r);
    vf p = v_set(1.9790219e-4f);
    p = v_fma(p, r, v_set(1.3944784e-3f));
    p = v_fma(p, r, v_set(8.3334977e-3f));
    p = v_fma(p, r, v_set(4.1666292e-2f));
    p = v_fma(p, r, v_set(1.6666666e-1f));
    p = v_fma(p, r, v_set(0.5f));
    return v_scale(v_add(v_fma(p, v_mul(r, r), r), v_set(1)), n);
}

/// e^x for x <= 0, exactly 1 at 0 and exactly 0 below -104: x log2(e) = n + f, |f| <= 1/2, e^x = 2^n 2^f. Cheaper than
/// `v_exp`; within 2 ulp and |x| / 4 ulp more.
INLINE vf v_exp_of_negative(vf x) {
    const vf bounded = v_max(v_set(-104), x), by = v_set(1.44269504f);  // NaN passes: the second operand wins
    const vf n = v_sub(v_fma(bounded, by, v_set(0x1.8p23f)), v_set(0x1.8p23f));  // sums of that size are integers
    const vf f = v_fma(bounded, by, v_sub(v_zero(), n));
    vf p = v_set(1.32647274e-3f);
    p = v_fma(p, f, v_set(9.67151277e-3f));
    p = v_fma(p, f, v_set(5.55073374e-2f));
    p = v_fma(p, f, v_set(2.40222421e-1f));
    p = v_fma(p, f, v_set(6.93146978e-1f));
    return v_scale(v_fma(p, f, v_set(1)), n);
}

/// tanh x: x + x^3 P(x^2) below 0.625, else 1 - 2 / (e^(2|x|) + 1) with the sign of x.
INLINE vf v_tanh(vf x) {
    const vf size = v_abs(x), z = v_mul(x, x);
    vf p = v_set(2.1262271e-3f);
    p = v_fma(p, z, v_set(-8.1595555e-3f));
    p = v_fma(p, z, v_set(2.1693680e-2f));
    p = v_fma(p, z, v_set(-5.3945519e-2f));
    p = v_fma(p, z, v_set(1.3333197e-1f));
    p = v_fma(p, z, v_set(-3.3333331e-1f));
    const vf near = v_fma(v_mul(p, z), x, x);
    const vf exponential = v_exp(v_add(size, size));
    const vf far = v_sub(v_set(1), v_div(v_set(2), v_add(exponential, v_set(1))));
    return v_if_less(size, v_set(0.625f), near, v_copysign(far, x));
}

/// erf x: x + x P(x^2) below 1, else 1 - e^(-|x| Q(|x|)) with the sign of x; it is 1 in FP32 from 4 on.
INLINE vf v_erf(vf x) {
    const vf size = v_abs(x), z = v_mul(x, x), t = v_min(v_set(4), size);
    vf p = v_set(7.8539073e-5f);
    p = v_fma(p, z, v_set(-8.0102088e-4f));
    p = v_fma(p, z, v_set(5.1883296e-3f));
    p = v_fma(p, z, v_set(-2.6853813e-2f));
    p = v_fma(p, z, v_set(1.1283585e-1f));
    p = v_fma(p, z, v_set(-3.7612626e-1f));
    p = v_fma(p, z, v_set(1.2837917e-1f));
    const vf near = v_fma(p, x, x);
    vf q = v_set(1.3962285e-5f);
    q = v_fma(q, t, v_set(-3.5059048e-4f));
    q = v_fma(q, t, v_set(3.7574705e-3f));
    q = v_fma(q, t, v_set(-2.4010055e-2f));
    q = v_fma(q, t, v_set(1.0653085e-1f));
    q = v_fma(q, t, v_set(6.3496953e-1f));
    q = v_fma(q, t, v_set(1.1286943f));
    const vf far = v_sub(v_set(1), v_exp(v_sub(v_zero(), v_mul(q, t))));
    return v_if_less(size, v_set(1), near, v_copysign(far, x));
}
