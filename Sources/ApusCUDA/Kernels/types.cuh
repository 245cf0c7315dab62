#pragma once
// What all kernels share: half types, 128-bit loads, reductions, and the links of a chain of dependent kernels.
//
// Sources are compiled at run time without any include path, so the half types are our own: plain bits and conversions.
// Values are computed in float; half_t and bfloat_t exist in memory only. Needs sm_80. Names in capitals are left to the
// macros of the sources that include this.

struct half_t {
    unsigned short bits;
};
struct bfloat_t {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(half_t x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
__device__ __forceinline__ float to_float(bfloat_t x) { return __uint_as_float((unsigned)x.bits << 16); }

/// Rounds to nearest, ties to even.
template <typename Element> __device__ __forceinline__ Element from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ half_t from_float<half_t>(float x) {
    half_t y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> __device__ __forceinline__ bfloat_t from_float<bfloat_t>(float x) {
    bfloat_t y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

/// Two halves in a word, `low` in the low bits.
template <typename Element> __device__ __forceinline__ unsigned pack2(float low, float high);
template <> __device__ __forceinline__ unsigned pack2<half_t>(float low, float high) {
    unsigned y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
template <> __device__ __forceinline__ unsigned pack2<bfloat_t>(float low, float high) {
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

template <typename Element> __device__ __forceinline__ float2 unpack2(unsigned word);
template <> __device__ __forceinline__ float2 unpack2<half_t>(unsigned word) {
    return make_float2(
        to_float(half_t{(unsigned short)word}), to_float(half_t{(unsigned short)(word >> 16)}));
}
template <> __device__ __forceinline__ float2 unpack2<bfloat_t>(unsigned word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

/// Elements of 16 bytes, the widest load of a thread.
template <typename Element> constexpr int per_vector = 16 / (int)sizeof(Element);

/// The per_vector<Element> elements of 16 bytes as floats.
template <typename Element> __device__ __forceinline__ void unpack(const uint4 &v, float (&x)[per_vector<Element>]) {
    if constexpr (sizeof(Element) == 4) {
        x[0] = __uint_as_float(v.x), x[1] = __uint_as_float(v.y);
        x[2] = __uint_as_float(v.z), x[3] = __uint_as_float(v.w);
    } else {
        const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 pair = unpack2<Element>(words[i]);
            x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
        }
    }
}

/// The inverse of unpack.
template <typename Element>
__device__ __forceinline__ uint4 pack(const float (&x)[per_vector<Element>]) {
    if constexpr (sizeof(Element) == 4) {
        return make_uint4(
            __float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
    } else {
        return make_uint4(
            pack2<Element>(x[0], x[1]), pack2<Element>(x[2], x[3]), pack2<Element>(x[4], x[5]),
            pack2<Element>(x[6], x[7]));
    }
}

/// Eight elements from an address that is a multiple of 16 bytes.
template <typename Element> __device__ __forceinline__ void load8(const Element *p, float (&x)[8]) {
    if constexpr (sizeof(Element) == 4) {
        const float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
        x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
        x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
    } else {
        unpack<Element>(*(const uint4 *)p, x);
    }
}

/// Eight elements to an address that is a multiple of 16 bytes.
template <typename Element> __device__ __forceinline__ void store8(Element *p, const float (&x)[8]) {
    if constexpr (sizeof(Element) == 4) {
        ((float4 *)p)[0] = make_float4(x[0], x[1], x[2], x[3]);
        ((float4 *)p)[1] = make_float4(x[4], x[5], x[6], x[7]);
    } else {
        *(uint4 *)p = pack<Element>(x);
    }
}

/// 16 bytes that nobody writes while the kernel runs and that are used once: they bypass the first cache.
///
/// Volatile: such a load stays before a wait_for_previous() that follows it.
__device__ __forceinline__ uint4 load_streamed(const void *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/// Copies 16 bytes from global to shared memory behind the thread's back.
///
/// Through the first cache: where all multiprocessors read the same lines at once, going past it is several times slower.
__device__ __forceinline__ void copy_quad(void *shared, const void *global) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
                 "l"(global)
                 : "memory");
}

/// Waits for this thread's copies; others see them after a barrier.
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

template <int width = 32> __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int offset = width / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

template <int width = 32> __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int offset = width / 2; offset > 0; offset /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
    }
    return x;
}

/// The sum over a block, in every thread; `shared` holds a float for each warp, free again after the next barrier.
template <int threads> __device__ __forceinline__ float block_sum(float x, float *shared) {
    constexpr int warps = threads / 32;
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int i = 0; i < warps; i++) sum += shared[i];
    return sum;
}

/// Waits until all that earlier kernels of the stream wrote can be seen. Constants may be read before it.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of the stream start where there is room; it sees this one's results after its own wait only.
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Tells that the data of a step have no result; of several steps the first to say so is named.
__device__ __forceinline__ void report(int *fault, int step) { atomicCAS(fault, 0, step + 1); }
