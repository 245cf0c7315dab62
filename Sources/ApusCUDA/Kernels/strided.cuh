#pragma once
// The loops over the elements of strided tensors, and elements of any type as numbers.
//
// A kernel that walks over elements takes a nest_t by value (LoopNest.argument) and is launched with blocks of 256
// threads, as many as there are elements, or fewer: threads step over the grid. Where the innermost loop lies side by
// side, or repeats, in all views, a thread takes `group` neighbours at once: the nest then counts groups, and bit v of
// `repeats` says that view v gives all of a group the same element.

#include "types.cuh"

/// Loops in each other, the innermost last; steps in elements of four views, the result first.
struct nest_t {
    long long count, rank, shape[8], stride[4][8];
};

/// Where element `index` lies in each view.
template <int views>
__device__ __forceinline__ void nest_at(const nest_t &nest, long long index, long long (&at)[views]) {
#pragma unroll
    for (int v = 0; v < views; v++) at[v] = 0;
    if (nest.count <= 0xffffffffll) {
        // Division of 32 bits is several times cheaper.
        unsigned rest = (unsigned)index;
        for (int d = (int)nest.rank - 1; d >= 0; d--) {
            const unsigned size = (unsigned)nest.shape[d];
            const unsigned next = d == 0 ? 0 : rest / size, i = rest - next * size;
            rest = next;
#pragma unroll
            for (int v = 0; v < views; v++) at[v] += i * nest.stride[v][d];
        }
    } else {
        for (int d = (int)nest.rank - 1; d >= 0; d--) {
            const long long next = index / nest.shape[d], i = index - next * nest.shape[d];
            index = next;
#pragma unroll
            for (int v = 0; v < views; v++) at[v] += i * nest.stride[v][d];
        }
    }
}

/// Gives `body` the places of each element of a nest, in all threads of the grid.
template <int views, typename Body>
__device__ __forceinline__ void each_element(const nest_t &nest, Body body) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < nest.count; i += step) {
        long long at[views];
        nest_at<views>(nest, i, at);
        body(at);
    }
}

/// What moves elements of some bytes, whatever they mean.
template <int bytes> struct word_of;
template <> struct word_of<1> {
    using type = unsigned char;
};
template <> struct word_of<2> {
    using type = unsigned short;
};
template <> struct word_of<4> {
    using type = unsigned;
};
template <> struct word_of<8> {
    using type = unsigned long long;
};
template <> struct word_of<16> {
    using type = uint4;
};

/// Neighbours that move together.
template <typename Element, int n> struct alignas(sizeof(Element) * n > 16 ? 16 : sizeof(Element) * n) run_t {
    Element element[n];
};

/// n neighbours, or one element n times.
template <int n, typename Element>
__device__ __forceinline__ run_t<Element, n> load_run(const Element *x, bool repeats) {
    if constexpr (n > 1) {
        if (repeats) {
            run_t<Element, n> run;
#pragma unroll
            for (int i = 0; i < n; i++) run.element[i] = *x;
            return run;
        }
    }
    return *(const run_t<Element, n> *)x;
}

template <int n, typename Element>
__device__ __forceinline__ void store_run(Element *y, const run_t<Element, n> &run) {
    *(run_t<Element, n> *)y = run;
}

/// Whether elements are floating-point, and the type that they are computed in.
template <typename Element> struct number_of {
    static constexpr bool is_float = false;
    using type = long long;
};
template <> struct number_of<float> {
    static constexpr bool is_float = true;
    using type = float;
};
template <> struct number_of<half_t> : number_of<float> {};
template <> struct number_of<bfloat_t> : number_of<float> {};

/// An element as a number: float, or a 64-bit integer.
template <typename Element> __device__ __forceinline__ typename number_of<Element>::type to_number(Element x) {
    if constexpr (number_of<Element>::is_float) {
        return to_float(x);
    } else {
        return x;
    }
}

/// A number as an element of its kind: floats round to nearest even, integers wrap, booleans are 0 or 1.
template <typename Element, bool is_boolean>
__device__ __forceinline__ Element from_number(typename number_of<Element>::type x) {
    if constexpr (number_of<Element>::is_float) {
        return from_float<Element>(x);
    } else {
        return is_boolean ? (Element)(x != 0) : (Element)x;
    }
}

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
