#pragma once
// Walks a range of a nest in runs along its innermost loop.

#include "CApusCPU.h"

/// A run: `count` elements of the innermost loop, and where each view starts.
typedef struct {
    const apus_nest *nest;
    size_t count;                      ///< elements of this run, 0 at the end
    size_t at[APUS_MOST_VIEWS];        ///< position of the run's first element in each view
    size_t left;                       ///< elements of the range from this run on
    size_t index[APUS_MOST_DIMENSIONS];  ///< of the run's row in each outer loop
    size_t row[APUS_MOST_VIEWS];       ///< position of the row's first element
} nest_run;

static inline size_t run_length(size_t left, size_t of_row) { return left < of_row ? left : of_row; }

static inline nest_run first_run(const apus_nest *nest, size_t first, size_t last) {
    nest_run run = {.nest = nest};
    if (first >= last) { return run; }
    const size_t inner = nest->shape[nest->rank - 1], column = first % inner;
    size_t rest = first / inner;
    for (size_t d = nest->rank - 1; d-- > 0;) {
        run.index[d] = rest % nest->shape[d];
        rest /= nest->shape[d];
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { run.row[v] += run.index[d] * nest->strides[v][d]; }
    }
    for (size_t v = 0; v < APUS_MOST_VIEWS; v++) {
        run.at[v] = run.row[v] + column * nest->strides[v][nest->rank - 1];
    }
    run.left = last - first;
    run.count = run_length(run.left, inner - column);
    return run;
}

static inline void next_run(nest_run *run) {
    const apus_nest *nest = run->nest;
    run->left -= run->count;
    if (run->left == 0) {
        run->count = 0;
        return;
    }
    for (size_t d = nest->rank - 1; d-- > 0;) {
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { run->row[v] += nest->strides[v][d]; }
        if (++run->index[d] < nest->shape[d]) { break; }
        for (size_t v = 0; v < APUS_MOST_VIEWS; v++) {
            run->row[v] -= nest->shape[d] * nest->strides[v][d];
        }
        run->index[d] = 0;
    }
    for (size_t v = 0; v < APUS_MOST_VIEWS; v++) { run->at[v] = run->row[v]; }
    run->count = run_length(run->left, nest->shape[nest->rank - 1]);
}

/// The step of a view along the innermost loop.
static inline size_t inner_stride(const apus_nest *nest, size_t view) {
    return nest->strides[view][nest->rank - 1];
}

#define EACH_RUN(run, nest, first, last)                                                                     \
    for (nest_run run = first_run(nest, first, last); run.count > 0; next_run(&run))
