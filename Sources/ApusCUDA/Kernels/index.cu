// Elements that index tensors name
//
//   positions  long long[P]: where in x each index of the common shape leads, in elements
//
// A first kernel for each index tensor adds up positions and checks ranges; then elements move as bytes. Of two equal
// indices the later wins: `winners` marks those that others overwrite, so that no two threads write one element.
// Bound by memory.
//
// Macros: BYTES: 1, 2, 4 or 8, of elements; INDEX: int or long long, of indices.
// Launch: blocks of 256, one thread an element.
//   locate(indices, positions, nest of [position, index], size, stride, adds, fault, position of the step)
//     adds 0 writes, 1 adds to what is there; an index may count from the end
//   winners(positions, kept, count): kept[p] = positions[p], or -1 if a later index is the same
//   gather(x, positions, y, nest of [·, x] without the indexed dimensions, inner, positions count): y dense, seen as
//     [outer, positions, inner]
//   scatter(source, kept, y, nest of [y, source] without the indexed dimension, count, source_stride)

#include "strided.cuh"

#if !defined(BYTES) || !defined(INDEX)
#error "BYTES, INDEX"
#endif

using word_t = word_of<BYTES>::type;

extern "C" __global__ void __launch_bounds__(256) locate(
    const INDEX *indices, long long *positions, const __grid_constant__ nest_t nest, long long size, long long stride,
    int adds, int *fault, int position
) {
    let_next_start();
    wait_for_previous();
    bool fails = false;
    each_element<2>(nest, [&](const long long(&at)[2]) {
        long long index = indices[at[1]];
        if (index < 0) index += size;
        if (index < 0 || index >= size) {
            // Whatever follows stays inside of x; the pass fails in the end.
            fails = true;
            index = 0;
        }
        positions[at[0]] = (adds ? positions[at[0]] : 0) + index * stride;
    });
    if (fails) report(fault, position);
}

extern "C" __global__ void __launch_bounds__(256) winners(
    const long long *positions, long long *kept, long long count
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256;
    for (long long p = blockIdx.x * 256ll + threadIdx.x; p < count; p += step) {
        long long position = positions[p];
        for (long long q = p + 1; q < count; q++) {
            if (positions[q] == positions[p]) {
                position = -1;
                break;
            }
        }
        kept[p] = position;
    }
}

extern "C" __global__ void __launch_bounds__(256) gather(
    const word_t *x, const long long *positions, word_t *y, const __grid_constant__ nest_t nest, long long inner,
    long long count
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256, total = nest.count * count;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < total; i += step) {
        long long at[2];
        nest_at<2>(nest, i / inner / count * inner + i % inner, at);
        y[i] = x[positions[i / inner % count] + at[1]];
    }
}

extern "C" __global__ void __launch_bounds__(256) scatter(
    const word_t *source, const long long *kept, word_t *y, const __grid_constant__ nest_t nest, long long count,
    long long source_stride
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256, total = nest.count * count;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < total; i += step) {
        const long long p = i / nest.count, place = kept[p];
        if (place < 0) continue;
        long long at[2];
        nest_at<2>(nest, i % nest.count, at);
        y[place + at[0]] = source[at[1] + p * source_stride];
    }
}
