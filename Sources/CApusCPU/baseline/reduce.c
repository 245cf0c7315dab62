// argmax, max, and the two probes that `apus doctor` measures a machine with
//
//   x  f32[n], n > 0
//
// NaN counts as greatest, as in torch: argmax gives the first NaN, max gives NaN. The probes return what they
// computed, so that no compiler drops the work.

#include "baseline.h"
#include <math.h>

size_t apus_baseline_argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n && !isnan(x[best]); i++) {
        if (isnan(x[i]) || x[i] > x[best]) { best = i; }
    }
    return best;
}

float apus_baseline_max(const float *x, size_t n) { return x[apus_baseline_argmax(x, n)]; }

uint64_t apus_baseline_stream_read(const void *p, size_t bytes) {
    const unsigned char *at = p;
    uint64_t sums[8] = {0}, words[8];
    for (; bytes >= sizeof words; at += sizeof words, bytes -= sizeof words) {
        memcpy(words, at, sizeof words);
        for (size_t i = 0; i < 8; i++) { sums[i] ^= words[i]; }
    }
    for (; bytes > 0; at++, bytes--) { sums[0] ^= *at; }
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
}

uint64_t apus_baseline_fma_probe(size_t iterations) {
    enum { LANES = 32 };
    float sums[LANES];
    for (size_t i = 0; i < LANES; i++) { sums[i] = (float)i; }
    for (size_t n = 0; n < iterations; n++) {
        for (size_t i = 0; i < LANES; i++) { sums[i] = sums[i] * 0.5f + 1.0f; }
    }
    volatile float keep = 0;
    for (size_t i = 0; i < LANES; i++) { keep = keep + sums[i]; }
    return iterations * LANES * 2;
}
