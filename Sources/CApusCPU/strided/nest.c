// The loops over the elements of a strided result; nest.h walks them.

#include "nest.h"
#include <string.h>

void apus_nest_begin(apus_nest *nest) { memset(nest, 0, sizeof *nest); }

void apus_nest_add(apus_nest *nest, size_t size, size_t s0, size_t s1, size_t s2, size_t s3) {
    if (nest->rank >= APUS_MOST_DIMENSIONS) { return; }
    nest->shape[nest->rank] = size;
    nest->strides[0][nest->rank] = s0;
    nest->strides[1][nest->rank] = s1;
    nest->strides[2][nest->rank] = s2;
    nest->strides[3][nest->rank] = s3;
    nest->rank++;
}

/// Whether loop b, directly inside loop a, continues it in every view.
static int are_joined(const apus_nest *nest, size_t a, size_t b) {
    for (size_t v = 0; v < APUS_MOST_VIEWS; v++) {
        if (nest->strides[v][a] != nest->strides[v][b] * nest->shape[b]) { return 0; }
    }
    return 1;
}

void apus_nest_end(apus_nest *nest) {
    size_t kept = 0;
    nest->count = 1;
    for (size_t d = 0; d < nest->rank; d++) {
        nest->count *= nest->shape[d];
        if (nest->shape[d] == 1) { continue; }
        const int joins = kept > 0 && are_joined(nest, kept - 1, d);
        const size_t to = joins ? kept - 1 : kept++;
        nest->shape[to] = joins ? nest->shape[to] * nest->shape[d] : nest->shape[d];
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { nest->strides[v][to] = nest->strides[v][d]; }
    }
    nest->rank = kept > 0 ? kept : 1;
    if (kept == 0) {
        nest->shape[0] = 1;
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { nest->strides[v][0] = 0; }
    }
}

void apus_nest_at(const apus_nest *nest, size_t index, size_t *positions) {
    for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { positions[v] = 0; }
    for (size_t d = nest->rank; d-- > 0;) {
        const size_t at = index % nest->shape[d];
        index /= nest->shape[d];
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { positions[v] += at * nest->strides[v][d]; }
    }
}
