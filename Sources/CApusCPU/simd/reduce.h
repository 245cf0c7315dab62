#pragma once
// Vector form of baseline/reduce.c.

#include <math.h>

static TARGET float max(const float *x, size_t n) {
    const vf lowest = v_set(-INFINITY);
    vf tops[4] = {lowest, lowest, lowest, lowest};
    size_t i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW) {
#pragma unroll
        for (int u = 0; u < 4; u++) { tops[u] = v_binary(APUS_MAXIMUM, tops[u], v_load(x + i + u * VW)); }
    }
    float lanes[4 * VW], top = -INFINITY;
    for (int u = 0; u < 4; u++) { v_store(lanes + u * VW, tops[u]); }
    for (size_t lane = 0; lane < 4 * VW; lane++) {
        top = isnan(top) || top > lanes[lane] ? top : lanes[lane];
    }
    for (; i < n; i++) { top = isnan(top) || top > x[i] ? top : x[i]; }
    return top;
}

static TARGET size_t argmax(const float *x, size_t n) {
    const float top = max(x, n);
    const vf wanted = v_set(top);
    size_t i = 0;
    for (; i + VW <= n; i += VW) {
        const uint32_t same = v_same(v_load(x + i), wanted);
        if (same) { return i + (size_t)__builtin_ctz(same); }
    }
    while (i + 1 < n && x[i] != top && !(isnan(top) && isnan(x[i]))) { i++; }
    return i;
}

/// Four streams side by side: one alone does not keep enough lines in flight.
static TARGET uint64_t stream_read(const void *p, size_t bytes) {
    enum { STREAMS = 4, STEP = 4 };  // STEP vectors of each stream a turn
    const size_t floats = bytes / (STREAMS * STEP * VW * sizeof(float)) * STEP * VW;  // of one stream
    vf sums[STREAMS];
    for (int s = 0; s < STREAMS; s++) { sums[s] = v_zero(); }
    const float *from = p;
    for (size_t i = 0; i < floats; i += STEP * VW) {
#pragma unroll
        for (int s = 0; s < STREAMS; s++) {
            const float *at = from + s * floats + i;
#pragma unroll
            for (int u = 0; u < STEP; u++) { sums[s] = v_xor(sums[s], v_load(at + u * VW)); }
        }
    }
    float lanes[16] = {0};  // the probe of baseline/ folds whole groups of 64 bytes by words
    v_store(lanes, v_xor(v_xor(sums[0], sums[1]), v_xor(sums[2], sums[3])));
    const size_t done = STREAMS * floats * sizeof(float);
    return apus_baseline_stream_read(lanes, sizeof lanes)
        ^ apus_baseline_stream_read((const char *)p + done, bytes - done);
}

static TARGET uint64_t fma_probe(size_t iterations) {
    vf sums[PROBE_SUMS];
    const vf by = v_set(0.5f), plus = v_set(1);
#pragma unroll
    for (int i = 0; i < PROBE_SUMS; i++) { sums[i] = v_set((float)i); }
    for (size_t n = 0; n < iterations; n++) {
#pragma unroll
        for (int i = 0; i < PROBE_SUMS; i++) { sums[i] = v_fma(sums[i], by, plus); }
    }
    volatile float keep = 0;
    for (int i = 0; i < PROBE_SUMS; i++) { keep = keep + v_sum(sums[i]); }
    return (uint64_t)iterations * PROBE_SUMS * VW * 2;
}
