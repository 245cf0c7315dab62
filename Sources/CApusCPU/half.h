#pragma once
// FP16 and BF16 to FP32 and back in integer arithmetic: round to nearest even; infinities, signed zeros and
// subnormals are exact; a NaN stays a NaN and becomes quiet. The same bits as the F16C instructions.

#include "CApusCPU.h"
#include <string.h>

static inline uint32_t bits_of_f32(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float f32_of_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float f32_of_bf16(uint16_t h) { return f32_of_bits((uint32_t)h << 16); }

static inline uint16_t bf16_of_f32(float x) {
    uint32_t u = bits_of_f32(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) { return (uint16_t)(u >> 16 | 0x40u); }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float f32_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, mantissa = h & 0x3ffu;
    if (exponent == 0x1fu) {
        return f32_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    }
    if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24 is exact in FP32
        return f32_of_bits(bits_of_f32((float)mantissa * 0x1p-24f) | sign);
    }
    return f32_of_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
}

static inline uint16_t f16_of_f32(float x) {
    uint32_t u = bits_of_f32(x), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) { return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu)); }
    if (magnitude >= 0x477ff000u) { return (uint16_t)(sign | 0x7c00u); }  // rounds to 65520 or more
    if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 leaves the rounded fraction in the low bits
        return (uint16_t)(sign | (bits_of_f32(f32_of_bits(magnitude) + 0.5f) - 0x3f000000u));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

static inline size_t dtype_bytes(apus_dtype dtype) {
    switch (dtype) {
    case APUS_F32: return 4;
    case APUS_F16:
    case APUS_BF16: return 2;
    case APUS_I8: return 1;
    }
    return 0;
}

/// The integer nearest to x, even in the middle, within -128...127.
static inline int8_t i8_of_f32(float x) {
    const float magic = 0x1.8p23f;  // from here on FP32 has no fraction: the addition rounds
    const float bounded = x > 127 ? 127 : x > -128 ? x : -128;  // NaN as the instructions have it
    return (int8_t)(bounded + magic - magic);
}

/// Element i of an array of any dtype as FP32.
static inline float load_as_f32(const void *p, apus_dtype dtype, size_t i) {
    switch (dtype) {
    case APUS_F32: return ((const float *)p)[i];
    case APUS_F16: return f32_of_f16(((const uint16_t *)p)[i]);
    case APUS_BF16: return f32_of_bf16(((const uint16_t *)p)[i]);
    case APUS_I8: return ((const int8_t *)p)[i];
    }
    return 0;
}

/// Stores x as element i of an array of any dtype.
static inline void store_f32(void *p, apus_dtype dtype, size_t i, float x) {
    switch (dtype) {
    case APUS_F32: ((float *)p)[i] = x; break;
    case APUS_F16: ((uint16_t *)p)[i] = f16_of_f32(x); break;
    case APUS_BF16: ((uint16_t *)p)[i] = bf16_of_f32(x); break;
    case APUS_I8: ((int8_t *)p)[i] = i8_of_f32(x); break;
    }
}

/// The address of element i.
static inline const void *element(const void *p, apus_dtype dtype, size_t i) {
    return (const char *)p + i * dtype_bytes(dtype);
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t larger(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }
