// dst[i] = src[i] in another dtype, and y[i] = table[ids[i]] as FP32
//
//   src    dtype[n]           dst  dtype[n]            must not overlap
//   table  dtype[vocab, dim]  ids  i32[count] valid    y  f32[count, dim]
//
// Round to nearest even; FP16 and BF16 go through FP32, which is exact. See half.h.

#include "baseline.h"

void apus_baseline_convert(const void *src, apus_dtype src_dtype, void *dst, apus_dtype dst_dtype, size_t n) {
    if (src_dtype == dst_dtype) {
        memcpy(dst, src, n * dtype_bytes(src_dtype));
        return;
    }
    for (size_t i = 0; i < n; i++) { store_f32(dst, dst_dtype, i, load_as_f32(src, src_dtype, i)); }
}

void apus_baseline_embedding(
    const void *table, apus_dtype dtype, size_t dim, const int32_t *ids, float *y, size_t count
) {
    for (size_t i = 0; i < count; i++) {
        apus_baseline_convert(element(table, dtype, (size_t)ids[i] * dim), dtype, y + i * dim, APUS_F32, dim);
    }
}
