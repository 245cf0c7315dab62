#pragma once
// What the attention kernels share: the spans of sequences, strides, scores and tensor-core products.
//
// Words: B sequences, S rows of new tokens, T keys of a sequence, D head size, C capacity of a cache. A query head h
// reads KV head h / GROUP.

#include "types.cuh"

/// Strides of attention's operands in elements; columns are contiguous.
struct AttentionStrides {
    long long q_batch, q_head, q_row;
    long long k_batch, k_head, k_row;
    long long v_batch, v_head, v_row;
    long long out_batch, out_head, out_row;
};

/// Strides of new tokens and of the caches that they go to, in elements; columns are contiguous, rows of a cache too.
struct NewestStrides {
    long long q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row;
    long long k_cache_batch, k_cache_head, v_cache_batch, v_cache_head;
    long long rope_batch, rope_row;
};

/// The queries of one sequence among its keys.
struct AttentionSpan {
    int first;  ///< Position of row 0; negative if there are more rows than keys.
    int count;  ///< Rows that are tokens; those behind are padding.
    int keys;   ///< T, counted from slot 0.
};

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

constexpr float log2_e = 1.4426950408889634f;

/// An integer that an earlier kernel writes; never from a stale line of the first cache.
__device__ __forceinline__ int load_fresh(const int *p) {
    int x;
    asm volatile("ld.relaxed.gpu.global.s32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    return x;
}

/// Tells the span of sequence `b` of a call with `rows` rows.
///
/// `lengths` null: all rows are tokens, the last of `keys` keys. Otherwise lengths[b * stride] counts with `totals` the
/// keys after the call (decode, tree, static caches), else the new tokens (prefill, chunk). `starts` null: new tokens
/// stand at the end of such a total, else at 0. Numbers that do not fit are cut to `keys` keys and `rows` rows.
__device__ __forceinline__ AttentionSpan span_of(
    int b, const int *lengths, int stride, const int *starts, int totals, int rows, int keys) {
    if (lengths == nullptr) return {keys - rows, rows, keys};
    const int length = min(lengths[(long long)b * stride], keys);
    if (length <= 0) return {0, 0, 0};
    if (totals) {
        const int first = starts == nullptr ? length - rows : starts[b];
        return {first, min(rows, length - first), length};
    }
    const int first = starts == nullptr ? 0 : min(max(starts[b], 0), keys);
    const int count = min(min(length, rows), keys - first);
    return {first, count, first + count};
}

/// c[16, 8] += a[16, 16]·b[16, 8] on the tensor cores, FP32 sums. Lane l = 4g + t holds of c (g, 2t), (g, 2t + 1),
/// (g + 8, 2t), (g + 8, 2t + 1); of a the pairs (g, 2t…), (g + 8, 2t…), (g, 2t + 8…), (g + 8, 2t + 8…); of b the
/// pairs (2t…, g), (2t + 8…, g).
template <typename E>
__device__ __forceinline__ void multiply(
    float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
template <>
__device__ __forceinline__ void multiply<half_t>(
    float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply<bfloat_t>(
    float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// 16 bytes to shared memory behind the thread's back; zeros instead, and nothing is read, if not `valid`.
__device__ __forceinline__ void copy_async(unsigned shared, const void *global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `PENDING` groups of copies of this thread are under way.
template <int PENDING> __device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

__device__ __forceinline__ unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

/// 2^x to 2 ulp; below 2^-126 it is 0.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// Two elements that lie side by side, stored at once.
template <typename E> __device__ __forceinline__ void store_pair(E *p, float x, float y) {
    if constexpr (sizeof(E) == 4) *(float2 *)p = make_float2(x, y);
    else *(unsigned *)p = pack2<E>(x, y);
}
