#pragma once
// Short runs of strided elements of any type as int64 or float, and back.

#include "../half.h"
#include "nest.h"

enum { SPAN = 256 };  ///< elements that are widened at a time

static inline int is_float(apus_element type) { return type <= APUS_ELEMENT_BF16; }

static inline size_t element_bytes(apus_element type) {
    switch (type) {
    case APUS_ELEMENT_I64: return 8;
    case APUS_ELEMENT_F32:
    case APUS_ELEMENT_I32: return 4;
    case APUS_ELEMENT_F16:
    case APUS_ELEMENT_BF16: return 2;
    case APUS_ELEMENT_I8:
    case APUS_ELEMENT_U8:
    case APUS_ELEMENT_BOOL: return 1;
    }
    return 1;
}

#define LOAD_CASE(E, T)                                                                                      \
    case E:                                                                                                  \
        for (size_t i = 0; i < n; i++) { to[i] = ((const T *)x)[at + i * stride]; }                          \
        break;
#define STORE_CASE(E, T)                                                                                     \
    case E:                                                                                                  \
        for (size_t i = 0; i < n; i++) { ((T *)y)[at + i * stride] = (T)from[i]; }                           \
        break;

/// n integers or booleans, `stride` apart from position `at` on.
static inline void load_integers(
    apus_element type, const void *x, size_t at, size_t stride, size_t n, int64_t *to
) {
    switch (type) {
        LOAD_CASE(APUS_ELEMENT_I64, int64_t)
        LOAD_CASE(APUS_ELEMENT_I32, int32_t)
        LOAD_CASE(APUS_ELEMENT_I8, int8_t)
        LOAD_CASE(APUS_ELEMENT_U8, uint8_t)
        LOAD_CASE(APUS_ELEMENT_BOOL, uint8_t)
    default: break;
    }
}

static inline void store_integers(
    apus_element type, void *y, size_t at, size_t stride, size_t n, const int64_t *from
) {
    switch (type) {
        STORE_CASE(APUS_ELEMENT_I64, int64_t)
        STORE_CASE(APUS_ELEMENT_I32, int32_t)
        STORE_CASE(APUS_ELEMENT_I8, int8_t)
        STORE_CASE(APUS_ELEMENT_U8, uint8_t)
    case APUS_ELEMENT_BOOL:
        for (size_t i = 0; i < n; i++) { ((uint8_t *)y)[at + i * stride] = from[i] != 0; }
        break;
    default: break;
    }
}
#undef LOAD_CASE
#undef STORE_CASE

/// n floating-point numbers as FP32.
static inline void load_floats(
    apus_element type, const void *x, size_t at, size_t stride, size_t n, float *to
) {
    if (type == APUS_ELEMENT_F32) {
        for (size_t i = 0; i < n; i++) { to[i] = ((const float *)x)[at + i * stride]; }
    } else {
        for (size_t i = 0; i < n; i++) { to[i] = load_as_f32(x, (apus_dtype)type, at + i * stride); }
    }
}

static inline void store_floats(
    apus_element type, void *y, size_t at, size_t stride, size_t n, const float *from
) {
    if (type == APUS_ELEMENT_F32) {
        for (size_t i = 0; i < n; i++) { ((float *)y)[at + i * stride] = from[i]; }
    } else {
        for (size_t i = 0; i < n; i++) { store_f32(y, (apus_dtype)type, at + i * stride, from[i]); }
    }
}
