// Norms of many rows, for prefill; decode does them inside gemv.
//
//   rms_norm         y = x · rsqrt(mean(x²) + eps) · weight
//   layer_norm       y = (x − mean) · rsqrt(variance + eps) · weight + bias, bias may be null
//   add_rms_norm, add_layer_norm   the same of sum = x + delta, which is written too; sum may be x itself
//
//   x, delta, sum f32 [rows], row r at r · stride elements (x_stride for x and sum, delta_stride for delta);
//   weight, bias VECTOR [H]; y OUT [rows, H]
//
// Macros: OUT, VECTOR float, half_t or bfloat_t; H elements of a row; THREADS (a multiple of 32), best about H / 8.
// Launch: grid rows, THREADS threads, no dynamic shared memory. A block keeps its row in registers (element by element from
// memory if H is above 32 · THREADS or no multiple of 4): x is read once. Bound by reading and writing the rows.
// With H a multiple of 4, strides are too, and all pointers are aligned to 16 bytes (y and vectors of halves: 8).
#include "types.cuh"

#if !defined(OUT) || !defined(VECTOR) || !defined(H) || !defined(THREADS)
#error "OUT, VECTOR, H and THREADS must be defined"
#endif

constexpr int QUADS = H / 4;
constexpr int ROUNDS = (QUADS + THREADS - 1) / THREADS;
constexpr bool IN_REGISTERS = H % 4 == 0 && ROUNDS <= 8;

template <typename Element> __device__ __forceinline__ float4 load_four(const Element *p) {
    if constexpr (sizeof(Element) == 4) {
        return *(const float4 *)p;
    } else {
        const uint2 words = *(const uint2 *)p;
        const float2 a = unpack2<Element>(words.x), b = unpack2<Element>(words.y);
        return make_float4(a.x, a.y, b.x, b.y);
    }
}
template <typename Element> __device__ __forceinline__ void store_four(Element *p, float4 v) {
    if constexpr (sizeof(Element) == 4) {
        *(float4 *)p = v;
    } else {
        *(uint2 *)p = make_uint2(pack2<Element>(v.x, v.y), pack2<Element>(v.z, v.w));
    }
}

template <bool adds, bool centres>
__device__ __forceinline__ void normalise(
    const float *x, long long x_stride, const float *delta, long long delta_stride, float *sum, const VECTOR *weight,
    const VECTOR *bias, OUT *y, float eps) {
    __shared__ float shared[2][THREADS / 32];
    let_next_start();
    wait_for_previous();
    x += blockIdx.x * x_stride, y += (long long)blockIdx.x * H;
    if (adds) delta += blockIdx.x * delta_stride, sum += blockIdx.x * x_stride;
    float mean = 0;
    if constexpr (IN_REGISTERS) {
        float4 v[ROUNDS];
        float total = 0, squares = 0;
#pragma unroll
        for (int i = 0; i < ROUNDS; i++) {
            const int q = threadIdx.x + i * THREADS;
            v[i] = q < QUADS ? load_four(x + 4 * q) : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int i = 0; i < ROUNDS; i++) {
            const int q = threadIdx.x + i * THREADS;
            if (adds && q < QUADS) {
                const float4 d = load_four(delta + 4 * q);
                v[i] = make_float4(v[i].x + d.x, v[i].y + d.y, v[i].z + d.z, v[i].w + d.w);
                store_four(sum + 4 * q, v[i]);
            }
            total += (v[i].x + v[i].y) + (v[i].z + v[i].w);
        }
        if (centres) mean = block_sum<THREADS>(total, shared[0]) / H;
#pragma unroll
        for (int i = 0; i < ROUNDS; i++) {
            const float4 c = make_float4(v[i].x - mean, v[i].y - mean, v[i].z - mean, v[i].w - mean);
            if ((int)threadIdx.x + i * THREADS < QUADS) squares += (c.x * c.x + c.y * c.y) + (c.z * c.z + c.w * c.w);
        }
        const float factor = rsqrtf(block_sum<THREADS>(squares, shared[1]) / H + eps);
#pragma unroll
        for (int i = 0; i < ROUNDS; i++) {
            const int q = threadIdx.x + i * THREADS;
            if (q >= QUADS) continue;
            const float4 w = load_four(weight + 4 * q);
            const float4 b = centres && bias ? load_four(bias + 4 * q) : make_float4(0, 0, 0, 0);
            store_four(
                y + 4 * q, make_float4(
                               (v[i].x - mean) * factor * w.x + b.x, (v[i].y - mean) * factor * w.y + b.y,
                               (v[i].z - mean) * factor * w.z + b.z, (v[i].w - mean) * factor * w.w + b.w));
        }
    } else {
        const float *values = x;
        float total = 0, squares = 0;
        for (int i = threadIdx.x; i < H; i += THREADS) {
            const float v = adds ? x[i] + delta[i] : x[i];
            if (adds) sum[i] = v;
            total += v;
        }
        if (adds) values = sum;
        if (centres) mean = block_sum<THREADS>(total, shared[0]) / H;
        for (int i = threadIdx.x; i < H; i += THREADS) squares += (values[i] - mean) * (values[i] - mean);
        const float factor = rsqrtf(block_sum<THREADS>(squares, shared[1]) / H + eps);
        for (int i = threadIdx.x; i < H; i += THREADS) {
            const float b = centres && bias ? to_float(bias[i]) : 0;
            y[i] = from_float<OUT>((values[i] - mean) * factor * to_float(weight[i]) + b);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
rms_norm(const float *x, long long x_stride, const VECTOR *weight, OUT *y, float eps) {
    normalise<false, false>(x, x_stride, nullptr, 0, nullptr, weight, nullptr, y, eps);
}

extern "C" __global__ void __launch_bounds__(THREADS) add_rms_norm(
    const float *x, long long x_stride, const float *delta, long long delta_stride, float *sum, const VECTOR *weight,
    OUT *y, float eps) {
    normalise<true, false>(x, x_stride, delta, delta_stride, sum, weight, nullptr, y, eps);
}

extern "C" __global__ void __launch_bounds__(THREADS)
layer_norm(const float *x, long long x_stride, const VECTOR *weight, const VECTOR *bias, OUT *y, float eps) {
    normalise<false, true>(x, x_stride, nullptr, 0, nullptr, weight, bias, y, eps);
}

extern "C" __global__ void __launch_bounds__(THREADS) add_layer_norm(
    const float *x, long long x_stride, const float *delta, long long delta_stride, float *sum, const VECTOR *weight,
    const VECTOR *bias, OUT *y, float eps) {
    normalise<true, true>(x, x_stride, delta, delta_stride, sum, weight, bias, y, eps);
}
