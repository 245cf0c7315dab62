// y[r, c] = e^(x[r, c] - max of row r) / sum over the row
//
//   x, y  f32[rows, cols]  rows ldx and ldy apart; y may be x
//
// A row that is -inf everywhere becomes 0: a query that sees no key. NaN in a row makes it NaN.

#include "baseline.h"
#include <math.h>

void apus_baseline_softmax(const float *x, size_t ldx, float *y, size_t ldy, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const float top = cols > 0 ? apus_baseline_max(x, cols) : 0;
        float sums[BASELINE_LANES] = {0}, total = 0;
        for (size_t c = 0; c < cols; c++) {
            y[c] = top == -INFINITY ? 0 : expf(x[c] - top);
            sums[c % BASELINE_LANES] += y[c];
        }
        for (size_t lane = 0; lane < BASELINE_LANES; lane++) { total += sums[lane]; }
        for (size_t c = 0; c < cols && total != 0; c++) { y[c] /= total; }
    }
}
