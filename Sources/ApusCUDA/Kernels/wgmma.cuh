#pragma once
// Hopper's products of a group of four warps (wgmma). Only for sm_90a.

#include "barriers.cuh"

/// A matrix in shared memory of rows of 128 bytes whose 16-byte pieces are swizzled: piece p of row r lies at p ^ r % 8.
/// Eight rows are 1024 bytes, to which the matrix is aligned.
struct Matrix {
    unsigned low;  ///< Of its description; the high word is the same for all.

    /// - Parameter leading: Bytes to the next 64 columns, where N runs along rows.
    __device__ __forceinline__ Matrix(unsigned address, unsigned leading)
        : low((address & 0x3ffff) >> 4 | leading >> 4 << 16) {}

    /// What a product takes, from so many bytes on.
    __device__ __forceinline__ unsigned long long at(unsigned bytes) const {
        constexpr unsigned rows8 = 1024 >> 4, swizzled128 = 1u << 30;
        return (unsigned long long)(rows8 | swizzled128) << 32 | (low + (bytes >> 4));
    }
};

/// Registers and shared memory that this warp wrote are seen by products from here on.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}
/// Keeps the compiler from moving uses of registers over a wait.
template <int N> __device__ __forceinline__ void pin(float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(x[i])::"memory");
}
/// Makes what this thread wrote to shared memory visible to products and bulk copies.
__device__ __forceinline__ void publish_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

#define FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SIXTEEN(d, i) FOUR(d, i), FOUR(d, i + 4), FOUR(d, i + 8), FOUR(d, i + 12)
#define SUMS32                                                                                                \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "  \
    "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define SUMS64                                                                                                \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "  \
    "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "   \
    "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "   \
    "%62, %63}"

/// c[64, 128] = or += a[64, 16]·b[128, 16]^T: a in registers, as the pairs of c lie; b in shared memory with K along rows.
template <typename E>
__device__ __forceinline__ void multiply_rows(float (&c)[64], const unsigned (&a)[4], unsigned long long b, int adds);
/// c[64, N] += a[64, 16]·b[16, N]: a in registers, as the pairs of c lie; b in shared memory with N along rows.
template <typename E>
__device__ __forceinline__ void multiply_columns(float (&c)[64], const unsigned (&a)[4], unsigned long long b);
template <typename E>
__device__ __forceinline__ void multiply_columns(float (&c)[32], const unsigned (&a)[4], unsigned long long b);

#define PRODUCTS(E, NAME)                                                                                            \
    template <>                                                                                                      \
    __device__ __forceinline__ void multiply_rows<E>(                                                                \
        float (&c)[64], const unsigned (&a)[4], unsigned long long b, int adds) {                                    \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." NAME   \
                     "." NAME " " SUMS64 ", {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"                               \
                     : SIXTEEN(c, 0), SIXTEEN(c, 16), SIXTEEN(c, 32), SIXTEEN(c, 48)                                 \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));                               \
    }                                                                                                                \
    template <>                                                                                                      \
    __device__ __forceinline__ void multiply_columns<E>(                                                             \
        float (&c)[64], const unsigned (&a)[4], unsigned long long b) {                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " " SUMS64                         \
                     ", {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"                                                      \
                     : SIXTEEN(c, 0), SIXTEEN(c, 16), SIXTEEN(c, 32), SIXTEEN(c, 48)                                 \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                          \
    }                                                                                                                \
    template <>                                                                                                      \
    __device__ __forceinline__ void multiply_columns<E>(                                                             \
        float (&c)[32], const unsigned (&a)[4], unsigned long long b) {                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " " SUMS32                          \
                     ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"                                                      \
                     : SIXTEEN(c, 0), SIXTEEN(c, 16)                                                                 \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                          \
    }
PRODUCTS(half_t, "f16")
PRODUCTS(bfloat_t, "bf16")
