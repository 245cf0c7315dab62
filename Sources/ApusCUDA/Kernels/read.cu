// read_all: reads a buffer once and keeps nothing, to measure how fast memory can be read.
//
// Arguments: x (16-byte aligned), count of 16-byte words, sink (written only if a sum is what no sum is). Launch: any
// grid, 512 threads. Eight independent loads a thread and step.

#include "types.cuh"

extern "C" __global__ void __launch_bounds__(512) read_all(const uint4 *x, long long count, unsigned *sink) {
    unsigned sum = 0;
    const long long threads = 512LL * gridDim.x;
    for (long long i = 512LL * blockIdx.x + threadIdx.x; i < count; i += 8 * threads) {
        uint4 v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const long long at = i + j * threads;
            v[j] = at < count ? load_streamed(x + at) : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int j = 0; j < 8; j++) sum |= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    // The buffer holds zeros in these bits, so that this never happens; the compiler does not know.
    if (sum & 0x80000000u) *sink = sum;
}
