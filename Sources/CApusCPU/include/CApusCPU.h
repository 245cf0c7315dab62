#pragma once
// The CPU kernels of Apus behind one table of functions per instruction set.
//
// Rules that hold for every kernel:
// - No allocation, no threads, no locks, no state: a kernel touches only the memory its arguments name, so
// any
//   number of threads may run any kernels at once. Work arrives as ranges ([first, last) pairs); the caller
//   decides who computes which range; an element has the same bits whatever the ranges were.
// - Activations are FP32. Weights and caches are FP32, FP16 or BF16 (`apus_dtype`). Sums are kept in FP32 in
//   several partial sums.
// - Strides count elements, scratch counts bytes. Scratch must be aligned to 64 bytes and private to the
// call.
//   Other pointers need the alignment of their element only; 64 bytes and 2 MB pages are faster.
// - Arguments are trusted: shapes, ids and ranges are checked by the caller.
// - Outputs may not overlap inputs unless a kernel says so.

#include <stddef.h>
#include <stdint.h>

#include "apus_panels.h"
#include "apus_quantized.h"
#include "apus_spin.h"
#include "apus_strided.h"
#include "apus_topology.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Element type of weights and caches; FP16 is IEEE binary16, BF16 the upper half of an FP32.
typedef enum {
    APUS_F32 = 0,
    APUS_F16 = 1,
    APUS_BF16 = 2,
    APUS_I8 = 3  ///< integers of KV caches, codes that a scale elsewhere multiplies
} apus_dtype;

/// Instruction sets a kernel table exists for; each of x86-64 includes what stands above it.
typedef enum {
    APUS_ISA_BASELINE = 0,    ///< portable C; the definition of every kernel
    APUS_ISA_AVX2 = 1,        ///< x86-64 with AVX2, FMA and F16C
    APUS_ISA_AVXVNNI = 2,     ///< AVX2 and the 8-bit dot products of AVX-VNNI; not part of those below
    APUS_ISA_AVX512 = 3,      ///< AVX2 and AVX-512 F, BW, DQ and VL
    APUS_ISA_AVX512VNNI = 4,  ///< AVX-512 and its 8-bit dot products
    APUS_ISA_AVX512BF16 = 5,  ///< AVX-512 with VNNI and the dot products of BF16
    APUS_ISA_NEON = 6         ///< arm64
} apus_isa;

enum {
    APUS_ISA_COUNT = 7  ///< values of `apus_isa`
};

/// Functions of one argument.
typedef enum {
    APUS_SILU = 0,       ///< x / (1 + exp(-x))
    APUS_GELU_TANH = 1,  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    APUS_GELU_ERF = 2,   ///< x/2 (1 + erf(x / sqrt(2)))
    APUS_RELU = 3,       ///< max(x, 0); NaN stays NaN
    APUS_TANH = 4,
    APUS_SIGMOID = 5,
    APUS_EXP = 6,
    APUS_ERF = 7,
    APUS_NEG = 8,
    APUS_ABS = 9,
    APUS_SQUARE = 10,
    APUS_SQRT = 11,
    APUS_RSQRT = 12,       ///< 1 / sqrt(x), not the approximate instruction
    APUS_RECIPROCAL = 13,  ///< 1 / x
    APUS_LOG = 14,         ///< libm on every instruction set, as SIN and COS: not for hot paths
    APUS_SIN = 15,
    APUS_COS = 16
} apus_unary;

/// Functions of two arguments.
typedef enum {
    APUS_ADD = 0,
    APUS_SUB = 1,
    APUS_MUL = 2,
    APUS_DIV = 3,
    APUS_REVERSE_SUB = 4,  ///< b - a
    APUS_REVERSE_DIV = 5,  ///< b / a
    APUS_MAXIMUM = 6,      ///< the greater; NaN if either is NaN
    APUS_MINIMUM = 7       ///< the lesser; NaN if either is NaN
} apus_binary;

/// y[m, n] = sum over k of x[m, k] * w[n, k], plus bias[n].
typedef struct {
    const void *w;      ///< dtype [n, k] weights, elements of a row side by side
    size_t ldw;         ///< elements between rows of `w`
    apus_dtype dtype;   ///< element type of `w`
    size_t n;           ///< output features
    size_t k;           ///< input features
    const float *x;     ///< f32 [m, k] input
    size_t ldx;         ///< elements between rows of `x`
    size_t m;           ///< rows (tokens)
    const float *bias;  ///< f32 [n], or NULL
    float *y;           ///< f32 [m, n] output
    size_t ldy;         ///< elements between rows of `y`
} apus_linear;

/// y[m, n] = sum over k of x[m, k] * w[n, k], plus bias[n], of weights in panels.
typedef struct {
    const void *w;      ///< dtype [n, k] weights in panels, see apus_panels.h
    apus_dtype dtype;   ///< element type of `w`
    size_t n;           ///< output features
    size_t k;           ///< input features
    const float *x;     ///< f32 [m, k] input
    size_t ldx;         ///< elements between rows of `x`
    size_t m;           ///< rows (tokens)
    const float *bias;  ///< f32 [n], or NULL
    float *y;           ///< f32 [m, n] output
    size_t ldy;         ///< elements between rows of `y`
} apus_packed_linear;

/// y[m, n] = sum over k of x[m, k] * (code[n, k] - zero) * scale, plus bias[n].
///
/// Codes, scales and zero points lie in panels of 16 features, as `apus_pack_codes` and `apus_pack_groups` make
/// them. `group` inputs share a scale and a zero point: a divisor of k and a multiple of 8, or k itself.
typedef struct {
    const void *codes;       ///< packed codes of [n, k]
    int32_t bits;            ///< 4 or 8
    size_t n;                ///< output features
    size_t k;                ///< input features
    size_t group;            ///< inputs that share a scale
    const void *scales;      ///< scale_dtype, packed [k / group, n]
    apus_dtype scale_dtype;  ///< element type of `scales`
    const uint8_t *zeros;    ///< u8, packed [k / group, n]; NULL means 8 (4 bits) or 128 (8 bits)
    const float *bias;       ///< f32 [n], or NULL
    const float *x;          ///< f32 [m, k] input
    size_t ldx;              ///< elements between rows of `x`
    size_t m;                ///< rows (tokens)
    int8_t *x_codes;         ///< i8 [m, apus_quantized_row_bytes]: the rows rounded by `quantize_rows`
    float *x_scales;         ///< f32 [m, apus_quantized_pieces]: what their codes are multiplied by
    int32_t *x_starts;       ///< i32 [m, apus_quantized_pieces]: what sums of products begin with
    float *y;                ///< f32 [m, n] output
    size_t ldy;              ///< elements between rows of `y`
} apus_quantized_linear;

/// y[m, n] = sum over k of a[m, k] * b[k, n]: a product of activations. For b[n, k] see `apus_linear`.
typedef struct {
    const float *a;    ///< f32 [m, k], elements of a row side by side
    size_t lda;        ///< elements between rows of `a`
    const void *b;     ///< dtype [k, n], elements of a row side by side
    apus_dtype dtype;  ///< element type of `b`
    size_t ldb;        ///< elements between rows of `b`
    size_t m, n, k;    ///< sizes; k may be 0
    float *y;          ///< f32 [m, n] output
    size_t ldy;        ///< elements between rows of `y`
} apus_matmul;

/// Splits a packed QKV row, normalises and rotates Q and K, and writes K and V into the cache.
typedef struct {
    const float *qkv;           ///< f32 [tokens, (Hq + 2 Hkv) D]: all Q heads, then K, then V
    size_t ldqkv;               ///< elements between tokens of `qkv`
    float *q;                   ///< f32 [tokens, Hq D] output: Q after norm and RoPE, not scaled
    size_t ldq;                 ///< elements between tokens of `q`
    void *k_cache;              ///< kv_dtype [batch, kv_head, slot, head_dim], strided as below
    void *v_cache;              ///< as `k_cache`
    apus_dtype kv_dtype;        ///< element type of the caches
    size_t kv_batch_stride;     ///< elements between sequences
    size_t kv_head_stride;      ///< elements between KV heads of one sequence
    size_t kv_row_stride;       ///< elements between slots of one head
    size_t kv_scale_offset;     ///< APUS_I8: bytes from slot 0 of a head to its scales, f32 [slot]
    size_t q_heads;             ///< Hq
    size_t kv_heads;            ///< Hkv
    size_t head_dim;            ///< D
    size_t rotary_dim;          ///< R, even, 0...D: dims >= R pass through; pairs are (i, i + R/2)
    const float *rope;          ///< f32 [1 or B, positions, R]: R/2 cosines, then R/2 sines
    size_t rope_batch_stride;   ///< elements between sequences of `rope`; 0 when shared
    const float *q_norm;        ///< f32 [D] RMSNorm weight of each Q head, or NULL for none
    const float *k_norm;        ///< f32 [D] RMSNorm weight of each K head, or NULL for none
    float norm_eps;             ///< epsilon of both norms
    const int32_t *positions;   ///< [tokens] RoPE position; -1 is padding: Q becomes 0, no K and V
    const int32_t *slots;       ///< [tokens] cache slot; -1 leaves K and V unwritten
    const int32_t *batches;     ///< [tokens] sequence of each token; NULL means 0 for all
} apus_rope;

/// Scaled dot-product attention straight from a cache.
///
/// Query t of sequence b has position p = start[b] + t and sees key j if j < length[b], and j <= p when
/// `causal`, and j > p - window when `window` > 0. Its score is softcap(scale * q.k) + mask. Cache rows
/// from length[b] on are never read, so they may hold any bits. A query that sees no key yields zeros.
///
/// With `tree` the new keys, from start[b] on, are seen by its bits alone, and those before start[b] by the
/// window, counted from the query's position in `tree_positions`. A token of position -1 is padding: it sees
/// nothing, no bit may show it, and its rows of the cache may hold any bits.
typedef struct {
    const float *q;            ///< f32 [B, S, Hq, D]; the elements of a head side by side, as in all tensors here
    size_t q_batch_stride;     ///< elements between sequences of `q`
    size_t q_head_stride;      ///< elements between heads of `q`
    size_t q_token_stride;     ///< elements between tokens of `q`
    const void *k;             ///< kv_dtype [B, Hkv, T, D], strided as below
    const void *v;             ///< as `k`
    apus_dtype kv_dtype;       ///< element type of `k` and `v`
    size_t kv_scale_offset;    ///< APUS_I8: bytes from key 0 of a head to its scales, f32 [T], of `k` and `v`
    size_t k_batch_stride;     ///< elements between sequences of `k`
    size_t k_head_stride;      ///< elements between KV heads of one sequence of `k`
    size_t k_row_stride;       ///< elements between keys of one head of `k`
    size_t v_batch_stride;     ///< elements between sequences of `v`
    size_t v_head_stride;      ///< elements between KV heads of one sequence of `v`
    size_t v_row_stride;       ///< elements between keys of one head of `v`
    float *out;                ///< f32 [B, S, Hq, D] output; may be `q` itself with the same strides
    size_t out_batch_stride;   ///< elements between sequences of `out`
    size_t out_head_stride;    ///< elements between heads of `out`
    size_t out_token_stride;   ///< elements between tokens of `out`
    size_t q_heads;            ///< Hq, a multiple of `kv_heads`; Q head h reads KV head h / (Hq / Hkv)
    size_t kv_heads;           ///< Hkv
    size_t head_dim;           ///< D
    const int32_t *start;      ///< [B] position of query 0, may be negative; NULL means 0 for all
    const int32_t *length;     ///< [B] keys that are valid
    int32_t causal;            ///< 1: a query sees no key after its own position
    size_t window;             ///< keys a query sees, itself included; 0 = all
    float scale;               ///< usually 1 / sqrt(D)
    float softcap;             ///< c > 0: score = c * tanh(score / c); 0 = off
    const float *mask;         ///< f32 [B, Hq, S, T] added to the score (-inf hides), or NULL
    size_t mask_batch_stride;  ///< elements between sequences of `mask`; 0 when shared
    size_t mask_head_stride;   ///< elements between Q heads of `mask`; 0 when shared
    size_t mask_row_stride;    ///< elements between queries of `mask`; 0 when shared
    size_t mask_key_stride;    ///< elements between keys of `mask`: 1, or 0 when shared
    const uint32_t *tree;      ///< u32 [B, S, W]: bit i of word w of row t shows new key 32 w + i; or NULL
    const int32_t *tree_positions;  ///< [B, S] position of each new token of a tree
    size_t tree_tokens;             ///< S, at most 32 W
    size_t tree_words;              ///< W
} apus_attention;

/// All kernels of one instruction set.
typedef struct {
    apus_isa isa;  ///< which one

    /// Scratch bytes `linear` needs for a shape.
    size_t (*linear_scratch_bytes)(size_t m, size_t n, size_t k);
    /// Computes columns [n0, n1) of all rows. Up to 8 rows share one read of the weights and each row gets
    /// the same bits as alone; more rows run as a blocked matrix product.
    void (*linear)(const apus_linear *a, size_t n0, size_t n1, void *scratch);

    /// Scratch bytes `packed_linear` needs for so many rows; fewer rows need no more.
    size_t (*packed_linear_scratch_bytes)(size_t m, size_t k);
    /// Computes columns [n0, n1) of all rows; n0 is a multiple of APUS_PANEL, n1 too or n. The weights are read once for
    /// a few rows, once for each block of rows beyond. A row has the same bits among any number of rows.
    void (*packed_linear)(const apus_packed_linear *a, size_t n0, size_t n1, void *scratch);

    /// Rounds rows [m0, m1) of x to 8 bits: x_codes, x_scales and x_starts, for `quantized_linear` of the same set.
    /// Each piece of up to 128 inputs of a group has a scale of its own. An infinity or NaN makes its piece NaN.
    void (*quantize_rows)(const apus_quantized_linear *a, size_t m0, size_t m1);
    /// Computes columns [n0, n1) of all rows from rounded rows; n0 is a multiple of 16. Sums of a piece are
    /// exact integers. An element has the same bits whatever the ranges and rows.
    void (*quantized_linear)(const apus_quantized_linear *a, size_t n0, size_t n1);
    /// Scratch bytes `exact_linear` needs for a shape.
    size_t (*exact_linear_scratch_bytes)(size_t m, size_t n, size_t k);
    /// Computes columns [n0, n1) of all rows from x as it is; n0 is a multiple of 16. Up to 4 rows share one read
    /// of the codes and each gets the same bits as alone; more run as a blocked product with FP32 weights.
    void (*exact_linear)(const apus_quantized_linear *a, size_t n0, size_t n1, void *scratch);

    /// Scratch bytes `matmul` needs for a shape.
    size_t (*matmul_scratch_bytes)(size_t m, size_t n, size_t k);
    /// Computes columns [n0, n1) of all rows. An element has the same bits whatever the ranges and rows.
    void (*matmul)(const apus_matmul *a, size_t n0, size_t n1, void *scratch);

    /// y[r] = e^(x[r] - max) / sum; a row of -inf becomes 0. Rows are ldx and ldy apart; `y` may be `x`.
    void (*softmax)(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t cols);

    /// y[r] = x[r] / sqrt(mean(x[r]^2) + eps) * w. `w` NULL means ones. `y` may be `x`.
    void (*rms_norm)(const float *x, const float *w, float eps, float *y, size_t rows, size_t dim);
    /// sum = x + delta; y = rms_norm(sum). `sum` may be `x` or `delta`; `y` may be `delta` or `sum`.
    void (*add_rms_norm)(
        const float *x, const float *delta, const float *w, float eps, float *sum, float *y, size_t rows,
        size_t dim);
    /// y[r] = (x[r] - mean) / sqrt(variance + eps) * w + b, two passes. `w`, `b` may be NULL; `y` may be `x`.
    void (*layer_norm)(
        const float *x, const float *w, const float *b, float eps, float *y, size_t rows, size_t dim);
    /// sum = x + delta; y = layer_norm(sum). Aliasing as in `add_rms_norm`.
    void (*add_layer_norm)(
        const float *x, const float *delta, const float *w, const float *b, float eps, float *sum, float *y,
        size_t rows, size_t dim);

    /// y = act(gate) * up on [rows, cols] with a stride each. `y` may be `gate` or `up`.
    void (*gated)(
        apus_unary kind, const float *gate, size_t ldg, const float *up, size_t ldu, float *y, size_t ldy,
        size_t rows, size_t cols);
    /// y = f(x). `y` may be `x`.
    void (*unary)(apus_unary kind, const float *x, float *y, size_t n);
    /// y = f(a, b). `y` may be `a` or `b`.
    void (*binary)(apus_binary kind, const float *a, const float *b, float *y, size_t n);
    /// y[r, c] = f(a[r, c], b[c]). `y` may be `a`.
    void (*binary_rows)(apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols);
    /// y[r, c] = f(a[r, c], b[r]). `y` may be `a`.
    void (*binary_cols)(apus_binary kind, const float *a, const float *b, float *y, size_t rows, size_t cols);
    /// y = f(a, b) for one number b. `y` may be `a`.
    void (*binary_scalar)(apus_binary kind, const float *a, float b, float *y, size_t n);

    /// y[i] = table[ids[i]] as FP32; `table` is dtype [vocab, dim].
    void (*embedding)(
        const void *table, apus_dtype dtype, size_t dim, const int32_t *ids, float *y, size_t count);
    /// Converts n elements, rounding to nearest even; infinities, NaN and subnormals are kept.
    void (*convert)(const void *src, apus_dtype src_dtype, void *dst, apus_dtype dst_dtype, size_t n);

    /// Handles tokens [t0, t1).
    void (*rope_and_cache)(const apus_rope *a, size_t t0, size_t t1);

    /// Scratch bytes `attention` and `attention_decode_partial` need.
    size_t (*attention_scratch_bytes)(size_t q_heads, size_t kv_heads, size_t head_dim);
    /// Queries [t0, t1) of sequence b for every Q head of one KV head.
    void (*attention)(
        const apus_attention *a, size_t b, size_t kv_head, size_t t0, size_t t1, void *scratch);
    /// Floats that one partial holds: Hq / Hkv heads of (max, sum, D values).
    size_t (*attention_partial_floats)(size_t q_heads, size_t kv_heads, size_t head_dim);
    /// Query 0 of sequence b against keys [key0, key1) only, for every Q head of one KV head, as a partial.
    /// The caller picks key ranges that do not depend on the number of threads, so neither does the result.
    void (*attention_decode_partial)(
        const apus_attention *a, size_t b, size_t kv_head, size_t key0, size_t key1, float *partial,
        void *scratch);
    /// Joins `count` partials, stored one after another in the order of their keys, into out[b, 0, heads].
    void (*attention_decode_combine)(
        const apus_attention *a, size_t b, size_t kv_head, const float *partials, size_t count);

    /// Index of the first greatest value, as torch.argmax: a NaN counts as greatest. n > 0.
    size_t (*argmax)(const float *x, size_t n);
    /// The greatest value, as torch.max: NaN if there is one. n > 0.
    float (*max)(const float *x, size_t n);

    /// Reads `bytes` bytes as fast as one core can and returns a checksum (probe of memory bandwidth).
    uint64_t (*stream_read)(const void *p, size_t bytes);
    /// Runs independent multiply-adds in registers and returns how many FP operations that was (probe of
    /// peak).
    uint64_t (*fma_probe)(size_t iterations);
    /// The same with the 8-bit products of `quantized_linear`; returns how many integer operations that was.
    uint64_t (*dot_probe)(size_t iterations);
} apus_kernels;

/// y = f(x) over the elements of a nest. Views: y, x. See apus_strided.h.
void apus_unary_strided(
    const apus_kernels *kernels, apus_unary kind, const float *x, float *y, const apus_nest *nest,
    size_t first, size_t last);
/// y = f(a, b) over the elements of a nest. Views: y, a, b. See apus_strided.h.
void apus_binary_strided(
    const apus_kernels *kernels, apus_binary kind, const float *a, const float *b, float *y,
    const apus_nest *nest, size_t first, size_t last);

/// y = x in another type. Views: y, x. See apus_strided.h.
void apus_convert_strided(
    const apus_kernels *kernels, const void *x, apus_dtype from, void *y, apus_dtype to,
    const apus_nest *nest, size_t first, size_t last);
/// y = softmax of lines of `size` elements, `x_stride` and `y_stride` apart; `line` is scratch for one of them.
/// Views: y, x, over the other dimensions.
void apus_softmax_strided(
    const apus_kernels *kernels, const float *x, size_t size, size_t x_stride, float *y, size_t y_stride,
    const apus_nest *nest, size_t first, size_t last, float *line);

/// y[i] = table[ids[i]] as FP32; `table` is dtype [rows, dim], in panels if `packed`, ids are integers of `type`.
/// Views: y, in rows of `dim` elements side by side, and ids. Returns 0, or 1 at the first id outside the table.
int apus_embedding_strided(
    const apus_kernels *kernels, const void *table, apus_dtype dtype, int packed, size_t rows, size_t dim,
    apus_element type, const void *ids, float *y, const apus_nest *nest, size_t first, size_t last);

/// The best instruction set of this CPU that the operating system has enabled.
apus_isa apus_best_isa(void);
/// A short name such as "avx512".
const char *apus_isa_name(apus_isa isa);
/// Writes what this CPU offers, e.g. "avx2 fma f16c avx512f avx512bf16 avx512vnni", into `out` of `n` bytes.
void apus_cpu_features(char *out, size_t n);
/// The kernels for `isa`, or NULL if this CPU or build lacks it.
const apus_kernels *apus_kernels_for(apus_isa isa);

#ifdef __cplusplus
}
#endif
