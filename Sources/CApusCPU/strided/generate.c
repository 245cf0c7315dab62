// Numbers that come from sizes alone: ranges and causal masks.

#include "elements.h"
#include <math.h>

void apus_arange(apus_element type, int64_t start, void *y, size_t first, size_t last) {
    int64_t span[SPAN];
    float floats[SPAN];
    for (size_t i = first; i < last; i += SPAN) {
        const size_t n = smaller(SPAN, last - i);
        for (size_t j = 0; j < n; j++) {
            span[j] = start + (int64_t)(i + j);
            floats[j] = (float)span[j];
        }
        if (is_float(type)) {
            store_floats(type, y, i, 1, n, floats);
        } else {
            store_integers(type, y, i, 1, n, span);
        }
    }
}

void apus_causal_mask(float *y, size_t keys, ptrdiff_t offset, size_t window, size_t first, size_t last) {
    for (size_t s = first; s < last; s++) {
        const ptrdiff_t position = offset + (ptrdiff_t)s, oldest = position + 1 - (ptrdiff_t)window;
        const size_t end = position < 0 ? 0 : smaller((size_t)position + 1, keys);
        const size_t start = window == 0 || oldest < 0 ? 0 : smaller((size_t)oldest, end);
        float *row = y + s * keys;
        for (size_t t = 0; t < keys; t++) { row[t] = t >= start && t < end ? 0 : -INFINITY; }
    }
}
