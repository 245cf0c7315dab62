// embedding: rows of a table, widened to f32.
//
// Arguments: table TABLE_TYPE[vocabulary, width], ids ID_TYPE[tokens] dense, y f32[tokens, width], vocabulary, width,
// fault, place of the step in the list. An id outside the table is reported and its row left alone.
// Macros: TABLE_TYPE float, half_t or bfloat_t; ID_TYPE int or long long. Launch: a block a token, 256 threads.

#include "strided.cuh"

#if !defined(TABLE_TYPE) || !defined(ID_TYPE)
#error "embedding needs TABLE_TYPE, ID_TYPE"
#endif

extern "C" __global__ void __launch_bounds__(256) embedding(
    const TABLE_TYPE *table, const ID_TYPE *ids, float *y, int vocabulary, int width, int *fault, int step) {
    wait_for_previous();
    let_next_start();
    const long long id = ids[blockIdx.x];
    if (id < 0 || id >= vocabulary) {
        if (threadIdx.x == 0) report(fault, step);
        return;
    }
    const TABLE_TYPE *row = table + id * width;
    float *out = y + (long long)blockIdx.x * width;
    if (width % 8 == 0) {
        for (int c = 8 * threadIdx.x; c < width; c += 8 * 256) {
            float v[8];
            load8(row + c, v);
            store8(out + c, v);
        }
    } else {
        for (int c = threadIdx.x; c < width; c += 256) out[c] = to_float(row[c]);
    }
}
