// y[i][j] = table[ids[i]][j]
//
//   table  TABLE [rows, width], strided    ids  INDEX, strided    y  float [..., width], row-major
//
// For ids that the pass computes, of any type and layout. An id outside of the table is reported. Bound by memory.
//
// Macros: TABLE: float, half_t or bfloat_t; INDEX: int or long long.
// Launch: blocks of 256, one thread an element of y, or fewer.
//   embedding_rows(table, ids, y, nest of ids [y, ids], rows, width, table_row, table_column: steps, fault, position)

#include "strided.cuh"

#if !defined(TABLE) || !defined(INDEX)
#error "TABLE, INDEX"
#endif

extern "C" __global__ void __launch_bounds__(256) embedding_rows(
    const TABLE *table, const INDEX *ids, float *y, const __grid_constant__ nest_t nest, long long rows,
    long long width, long long table_row, long long table_column, int *fault, int position
) {
    let_next_start();
    wait_for_previous();
    const long long step = (long long)gridDim.x * 256, total = nest.count * width;
    bool fails = false;
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < total; i += step) {
        const long long row = i / width, column = i - row * width;
        long long at[2];
        nest_at<2>(nest, row, at);
        const long long id = ids[at[1]];
        const bool is_there = id >= 0 && id < rows;
        fails |= !is_there;
        y[at[0] + column] = is_there ? to_float(table[id * table_row + column * table_column]) : 0.0f;
    }
    if (fails) report(fault, position);
}
