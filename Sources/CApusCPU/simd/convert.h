#pragma once
// Vector form of baseline/convert.c: conversions go through FP32 registers, with the same bits as half.h.

INLINE void convert_n(const void *src, apus_dtype from, void *dst, apus_dtype to, size_t n) {
    for (size_t i = 0; i < n; i += VW) {
        v_store_as_part(dst, to, i, v_load_as_part(src, from, i, n - i), n - i);
    }
}

static TARGET void convert(const void *src, apus_dtype src_dtype, void *dst, apus_dtype dst_dtype, size_t n) {
    if (src_dtype == dst_dtype) {
        memcpy(dst, src, n * dtype_bytes(src_dtype));
    } else if (src_dtype == APUS_F32) {
        if (dst_dtype == APUS_F16) {
            convert_n(src, APUS_F32, dst, APUS_F16, n);
        } else {
            convert_n(src, APUS_F32, dst, APUS_BF16, n);
        }
    } else if (src_dtype == APUS_F16) {
        if (dst_dtype == APUS_F32) {
            convert_n(src, APUS_F16, dst, APUS_F32, n);
        } else {
            convert_n(src, APUS_F16, dst, APUS_BF16, n);
        }
    } else if (dst_dtype == APUS_F32) {
        convert_n(src, APUS_BF16, dst, APUS_F32, n);
    } else {
        convert_n(src, APUS_BF16, dst, APUS_F16, n);
    }
}

static TARGET void embedding(
    const void *table, apus_dtype dtype, size_t dim, const int32_t *ids, float *y, size_t count
) {
    for (size_t i = 0; i < count; i++) {
        convert(element(table, dtype, (size_t)ids[i] * dim), dtype, y + i * dim, APUS_F32, dim);
    }
}
