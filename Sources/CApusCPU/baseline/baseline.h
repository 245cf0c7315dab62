#pragma once
// The portable kernels: what each op means, in C a reader can check against the formula. One file per op
// here, its vector form in simd/ under the same name. `CApusCPU.h` documents the arguments.

#include "../half.h"

/// Partial sums a baseline dot product keeps: enough for any compiler to vectorise, and for accuracy.
enum { BASELINE_LANES = 16 };

size_t apus_baseline_linear_scratch_bytes(size_t m, size_t n, size_t k);
void apus_baseline_linear(const apus_linear *a, size_t n0, size_t n1, void *scratch);
size_t apus_baseline_packed_linear_scratch_bytes(size_t m, size_t k);
void apus_baseline_packed_linear(const apus_packed_linear *a, size_t n0, size_t n1, void *scratch);
void apus_baseline_quantize_rows(const apus_quantized_linear *a, size_t m0, size_t m1);
void apus_baseline_quantized_linear(const apus_quantized_linear *a, size_t n0, size_t n1);
size_t apus_baseline_exact_linear_scratch_bytes(size_t m, size_t n, size_t k);
void apus_baseline_exact_linear(const apus_quantized_linear *a, size_t n0, size_t n1, void *scratch);
size_t apus_baseline_matmul_scratch_bytes(size_t m, size_t n, size_t k);
void apus_baseline_matmul(const apus_matmul *a, size_t n0, size_t n1, void *scratch);
void apus_baseline_softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t cols);
void apus_baseline_rms_norm(const float *x, const float *w, float eps, float *y, size_t rows, size_t dim);
void apus_baseline_add_rms_norm(
    const float *x, const float *delta, const float *w, float eps, float *sum, float *y, size_t rows,
    size_t dim);
void apus_baseline_layer_norm(
    const float *x, const float *w, const float *b, float eps, float *y, size_t rows, size_t dim);
void apus_baseline_add_layer_norm(
    const float *x, const float *delta, const float *w, const float *b, float eps, float *sum, float *y,
    size_t rows, size_t dim);
float apus_baseline_unary_of(apus_unary kind, float x);
void apus_baseline_unary(apus_unary kind, const float *x, float *y, size_t n);
void apus_baseline_gated(
    apus_unary kind, const float *gate, size_t ldg, const float *up, size_t ldu, float *y, size_t ldy,
    size_t rows, size_t cols);
void apus_baseline_binary(apus_binary kind, const float *a, const float *b, float *y, size_t n);
void apus_baseline_binary_rows(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols);
void apus_baseline_binary_cols(
    apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols);
void apus_baseline_binary_scalar(apus_binary kind, const float *a, float b, float *y, size_t n);
void apus_baseline_embedding(
    const void *table, apus_dtype dtype, size_t dim, const int32_t *ids, float *y, size_t count);
void apus_baseline_convert(const void *src, apus_dtype src_dtype, void *dst, apus_dtype dst_dtype, size_t n);
void apus_baseline_rope_and_cache(const apus_rope *a, size_t t0, size_t t1);
size_t apus_baseline_attention_scratch_bytes(size_t q_heads, size_t kv_heads, size_t head_dim);
void apus_baseline_attention(
    const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, void *scratch);
size_t apus_baseline_attention_partial_floats(size_t q_heads, size_t kv_heads, size_t head_dim);
void apus_baseline_attention_decode_partial(
    const apus_attention *a, size_t b, size_t kv_head, size_t key0, size_t key1, float *partial,
    void *scratch);
void apus_baseline_attention_decode_combine(
    const apus_attention *a, size_t b, size_t kv_head, const float *partials, size_t count);
size_t apus_baseline_argmax(const float *x, size_t n);
float apus_baseline_max(const float *x, size_t n);
uint64_t apus_baseline_stream_read(const void *p, size_t bytes);
uint64_t apus_baseline_fma_probe(size_t iterations);
uint64_t apus_baseline_dot_probe(size_t iterations);

/// The table of the functions above.
extern const apus_kernels apus_baseline_kernels;
