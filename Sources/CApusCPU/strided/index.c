// Where the elements that an index names lie.

#include "elements.h"

int apus_index_positions(
    apus_element type, const void *indices, size_t size, size_t stride, int adds, size_t *positions,
    const apus_nest *nest, size_t first, size_t last
) {
    int fault = 0;
    int64_t span[SPAN];
    const size_t from = inner_stride(nest, 1), to = inner_stride(nest, 0);
    EACH_RUN(run, nest, first, last) {
        for (size_t i = 0; i < run.count; i += SPAN) {
            const size_t n = smaller(SPAN, run.count - i);
            load_integers(type, indices, run.at[1] + i * from, from, n, span);
            for (size_t j = 0; j < n; j++) {
                int64_t index = span[j] < 0 ? span[j] + (int64_t)size : span[j];
                if (index < 0 || index >= (int64_t)size) {
                    fault = 1;
                    index = 0;
                }
                size_t *position = positions + run.at[0] + (i + j) * to;
                *position = (adds ? *position : 0) + (size_t)index * stride;
            }
        }
    }
    return fault;
}
