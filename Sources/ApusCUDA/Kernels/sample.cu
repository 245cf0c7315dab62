// sample: draws the next token of each row from its logits, with the same steps as the host's Sampler: penalties, bias,
// temperature, top-k, top-p, min-p, draw. The draw walks the kept tokens by ascending id.
//
//   logits f32 [B, V]      options f32 [B, 8]: temperature (0: the first largest logit), top_k (0: all), top_p (1: all),
//                          min_p (0: all), repetition, presence, frequency penalty (1, 0, 0: off), unused
//   uniforms f64 [B, uniform_stride]: the number in [0, 1) of step `*step` of row b is at b · uniform_stride + *step
//   history u32 [B, V] or null: times that a token was generated, plus 2³¹ if it occurs in the prompt; read if there are
//                          penalties, kept up to date by advance
//   adjusted f32 [B, V] scratch: what a block does not hold in shared memory; may be null if ceil(V / SLICES) is at most 9600
//   bias_ids i32, bias_values f32 [B, bias_stride], bias_counts i32 [B]; bias_counts may be null
//   scratch u64 [B, SCRATCH_WORDS], SCRATCH_WORDS = 2 + 2 · SLICES + 6 · 2048, zero before the first launch and not
//                          touched between launches
//   chosen i32 [B] out: the token, or −1 if the logits hold a NaN, +∞ or nothing finite
//
// A row is cut into SLICES, one block each, which keep their part in shared memory and meet at barriers in global memory: all
// SLICES · B blocks must be resident together (at most as many as multiprocessors; more rows take several launches).
// Thresholds are found by radix select: histograms of the upper, then the middle, then the lower bits of the candidates' order.
// Masses are fixed-point numbers (weight · 2⁴⁴, 64 bits), so that sums do not depend on their order: the same seed gives
// the same tokens.
//
// Macros: V vocabulary; SLICES, THREADS (a multiple of 32, 128 to 1024).
// Launch: grid (SLICES, B), THREADS threads, no dynamic shared memory.
// Bound by barriers, 1 to 2 µs each: 2 with temperature alone, 2 or 3 more for top-k, 3 more for top-p. Best with SLICES 32,
// THREADS 512: on an H200, one row of 151936 takes 3 µs for the largest, 13 with temperature, 17 with top-k 50, 24 with top-p,
// 28 with both, 31 with everything.
#include "types.cuh"

#if !defined(V) || !defined(SLICES) || !defined(THREADS)
#error "V, SLICES and THREADS must be defined"
#endif

typedef unsigned long long u64;
constexpr int BINS = 2048;  // of counts; of masses half as many
constexpr int SCRATCH_WORDS = 2 + 2 * SLICES + 6 * BINS;
constexpr int WARPS = THREADS / 32;
constexpr int SLICE = (V + SLICES - 1) / SLICES;
constexpr bool IS_HELD = SLICE <= 9600;  // in shared memory

/// Bits in the order of the numbers.
__device__ __forceinline__ unsigned order_of(float x) {
    const unsigned bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float number_of(unsigned order) {
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

/// e^x for x of at most 0, with the host's own operations and roundings.
__device__ __forceinline__ float exponential(float x) {
    const float magic = 12582912.0f, clamped = x < -87 ? -87 : x;
    const float shifted = __fadd_rn(__fmul_rn(clamped, 1.44269504f), magic);
    const float power = __fsub_rn(shifted, magic);
    const float r =
        __fsub_rn(__fsub_rn(clamped, __fmul_rn(power, 0.693359375f)), __fmul_rn(power, -2.1219444e-4f));
    float s = 1.9875691e-4f;
    s = __fadd_rn(__fmul_rn(s, r), 1.3981999e-3f);
    s = __fadd_rn(__fmul_rn(s, r), 8.333452e-3f);
    s = __fadd_rn(__fmul_rn(s, r), 4.1665796e-2f);
    s = __fadd_rn(__fmul_rn(s, r), 1.6666665e-1f);
    s = __fadd_rn(__fmul_rn(s, r), 0.5f);
    s = __fadd_rn(__fadd_rn(__fmul_rn(s, __fmul_rn(r, r)), r), 1);
    const unsigned scale = (((__float_as_uint(shifted) & 0x1ff) + 127) & 0xff) << 23;
    return x < -87 ? 0 : __fmul_rn(s, __uint_as_float(scale));
}

/// What the blocks of a row share, in scratch.
struct Row {
    u64 *best;           // order of the largest logit and the complement of its index
    unsigned *arrivals;  // at barriers, since the first launch; counts of launches wrap around together
    unsigned *base;      // arrivals before this launch
    u64 *masses, *ties;  // of each slice
    u64 *histograms;
    unsigned met;        // arrivals at the barriers so far

    __device__ __forceinline__ explicit Row(u64 *scratch) {
        best = scratch;
        arrivals = (unsigned *)(scratch + 1), base = arrivals + 1;
        masses = scratch + 2, ties = masses + SLICES, histograms = ties + SLICES;
        met = *base;
    }

    /// Tells the other slices that this one's writes can be seen.
    __device__ __forceinline__ void arrive() {
        __syncthreads();
        met += SLICES;
        if (threadIdx.x == 0) asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrivals) : "memory");
    }

    /// Waits for all slices; what they wrote before can be seen after.
    __device__ __forceinline__ void wait() const {
        if (threadIdx.x == 0) {
            unsigned arrived;
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(arrivals) : "memory");
            } while ((int)(arrived - met) < 0);
        }
        __syncthreads();
    }

    __device__ __forceinline__ void meet() {
        arrive();
        wait();
    }

    /// Leaves the scratch as the next launch wants it: after a barrier behind which nobody reads `best`; by one slice.
    __device__ __forceinline__ void leave() const {
        if (threadIdx.x == 0) *best = 0, *base = met;
    }

    /// Clears this slice's part of a histogram that nobody reads any more.
    __device__ __forceinline__ void clear(int histogram) {
        for (int i = blockIdx.x * THREADS + threadIdx.x; i < BINS; i += SLICES * THREADS) {
            histograms[histogram * BINS + i] = 0;
        }
    }
};

/// Sum of what the threads before this one hold; `total` is that of all. Any thread may call it again after a barrier.
__device__ __forceinline__ u64 sum_before(u64 mine, u64 &total) {
    __shared__ u64 of_warps[WARPS];
    const int lane = threadIdx.x % 32;
    u64 sum = mine;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
        const u64 other = __shfl_up_sync(0xffffffffu, sum, offset);
        if (lane >= offset) sum += other;
    }
    __syncthreads();
    if (lane == 31) of_warps[threadIdx.x / 32] = sum;
    __syncthreads();
    u64 before = 0;
    total = 0;
    for (int i = 0; i < WARPS; i++) {
        if (i < threadIdx.x / 32) before += of_warps[i];
        total += of_warps[i];
    }
    return before + sum - mine;
}

/// The bin, from the largest order down, at which the mass reaches what is wanted.
struct Place {
    unsigned bin;
    u64 before, mass;  // of the bins above it, and of itself
};

/// Finds it in a histogram of all slices; `isReached(mass)` tells if a sum is enough. The last bin with mass if none is.
template <int bits, typename Predicate>
__device__ __forceinline__ Place find(const u64 *histogram, u64 before, Predicate isReached) {
    __shared__ Place found;
    constexpr int bins = 1 << bits, own = (bins + THREADS - 1) / THREADS;
    u64 mine[own], sum = 0, total;
#pragma unroll
    for (int i = 0; i < own; i++) {
        const int bin = bins - 1 - ((int)threadIdx.x * own + i);
        mine[i] = bin >= 0 ? __ldcg(histogram + bin) : 0;
        sum += mine[i];
    }
    u64 above = before + sum_before(sum, total);
    total += before;
#pragma unroll
    for (int i = 0; i < own; i++) {
        // Exactly one bin turns the answer; where rounding lets no sum reach, the last one that holds anything.
        const bool wasReached = isReached(above) || above == total;
        if (mine[i] > 0 && !wasReached && (isReached(above + mine[i]) || above + mine[i] == total)) {
            found = {(unsigned)(bins - 1 - ((int)threadIdx.x * own + i)), above, mine[i]};
        }
        above += mine[i];
    }
    __syncthreads();
    return found;
}

/// weight · 2⁴⁴ of a weight from 0 to 1, rounded down.
__device__ __forceinline__ u64 mass_of(float weight) {
    const unsigned bits = __float_as_uint(weight);
    const int shift = (int)(bits >> 23) - 106;
    const u64 mantissa = (bits & 0x7fffffu) | 0x800000u;
    return shift >= 0 ? mantissa << shift : shift > -24 ? mantissa >> -shift : 0;
}

/// Adds to a histogram in shared memory, a mass in two halves.
__device__ __forceinline__ void accumulate(unsigned *local, unsigned bin, unsigned count) { atomicAdd(local + bin, count); }
__device__ __forceinline__ void accumulate(unsigned *local, unsigned bin, u64 mass) {
    const unsigned low = (unsigned)mass, old = atomicAdd(local + bin, low);
    const unsigned high = (unsigned)(mass >> 32) + (old + low < old);
    if (high) atomicAdd(local + BINS / 2 + bin, high);
}

/// One round of a radix select: the histogram of `bits` bits from `shift` on of the slice's keys with the higher bits `prefix`.
template <int bits, typename Key, typename Mass>
__device__ __forceinline__ void count(
    Row &row, unsigned *local, int size, int histogram, int shift, unsigned prefix, Key key, Mass mass) {
    constexpr int bins = 1 << bits;
    for (int i = threadIdx.x; i < BINS; i += THREADS) local[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < size; i += THREADS) {
        const unsigned k = key(i);
        const auto m = mass(i);
        if (m > 0 && (shift + bits == 32 || k >> (shift + bits) == prefix)) {
            accumulate(local, k >> shift & (bins - 1), m);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < bins; i += THREADS) {
        const bool isMass = sizeof(mass(0)) == 8;
        const u64 m = isMass ? (u64)local[BINS / 2 + i % (BINS / 2)] << 32 | local[i] : local[i];
        if (m) atomicAdd(row.histograms + histogram * BINS + i, m);
    }
    row.meet();
}

extern "C" __global__ void __launch_bounds__(THREADS) sample(
    const float *logits, const float *options, const double *uniforms, int uniform_stride, const int *step,
    const unsigned *history, const int *bias_ids, const float *bias_values, const int *bias_counts, int bias_stride,
    float *adjusted, u64 *scratch, int *chosen) {
    __shared__ unsigned local[BINS];
    __shared__ float held[IS_HELD ? SLICE : 1];
    let_next_start();
    wait_for_previous();
    const int b = blockIdx.y, begin = (int)blockIdx.x * SLICE, size = max(min(SLICE, V - begin), 0);
    const float *const option = options + 8 * b;
    const float temperature = option[0], top_k = option[1], top_p = option[2], min_p = option[3];
    const float repetition = option[4], presence = option[5], frequency = option[6];
    Row row(scratch + (long long)b * SCRATCH_WORDS);
    // Of the slice: logits, then weights, −1 for what top-k leaves out.
    float *const values = IS_HELD ? held : adjusted + (long long)b * V + begin;

    const bool hasPenalties = history && (repetition != 1 || presence != 0 || frequency != 0);
    logits += (long long)b * V + begin, history += (long long)b * V + begin;
#pragma unroll 8
    for (int i = threadIdx.x; i < size; i += THREADS) values[i] = logits[i];
    if (hasPenalties) {
        for (int i = threadIdx.x; i < size; i += THREADS) {
            const unsigned seen = history[i], times = seen & 0x7fffffffu;
            float value = values[i];
            if (seen) value = value < 0 ? __fmul_rn(value, repetition) : __fdiv_rn(value, repetition);
            if (times) value = __fsub_rn(value, __fadd_rn(presence, __fmul_rn((float)times, frequency)));
            values[i] = value;
        }
    }
    __syncthreads();
    const int biases = bias_counts ? bias_counts[b] : 0;
    for (int i = threadIdx.x; i < biases; i += THREADS) {
        const int id = bias_ids[b * bias_stride + i] - begin;
        if (id >= 0 && id < size) values[id] = __fadd_rn(values[id], bias_values[b * bias_stride + i]);
    }
    __syncthreads();

    u64 best = 0;
    for (int i = threadIdx.x; i < size; i += THREADS) {
        const float value = values[i];
        const unsigned order = value == value ? order_of(value) : 0xffffffffu;
        const u64 packed = (u64)order << 32 | ~(unsigned)(begin + i);
        best = packed > best ? packed : best;
    }
    __shared__ u64 of_warps[WARPS];
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        const u64 other = __shfl_xor_sync(0xffffffffu, best, offset);
        best = other > best ? other : best;
    }
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < WARPS; i++) best = of_warps[i] > best ? of_warps[i] : best;
        atomicMax(row.best, best);
    }
    row.arrive();
    const double uniform = uniforms[(long long)b * uniform_stride + *step];
    if (temperature == 0 && blockIdx.x > 0) return;
    row.wait();
    best = __ldcg(row.best);
    const float largest = number_of((unsigned)(best >> 32));
    const bool isFinite = fabsf(largest) < __int_as_float(0x7f800000);
    if (!isFinite || temperature == 0) {
        if (temperature != 0) row.meet();  // all have read it
        if (blockIdx.x == 0 && threadIdx.x == 0) chosen[b] = isFinite ? (int)~(unsigned)best : -1;
        if (blockIdx.x == 0) row.leave();
        return;
    }

    unsigned threshold = 0;  // order of the least logit that stays
    int dirty = -1;          // histogram that others may still read
    if (top_k > 0 && top_k < V) {
        const u64 wanted = (u64)top_k;
        const auto key = [&](int i) { return order_of(values[i]); };
        const auto one = [](int) { return 1u; };
        const auto isReached = [=](u64 count) { return count >= wanted; };
        count<11>(row, local, size, 0, 21, 0, key, one);
        Place place = find<11>(row.histograms, 0, isReached);
        threshold = place.bin << 21, dirty = 0;
        // A bin that belongs to the largest as a whole needs no finer look.
        if (place.before + place.mass != wanted) {
            count<11>(row, local, size, 1, 10, threshold >> 21, key, one);
            row.clear(0);
            place = find<11>(row.histograms + BINS, place.before, isReached);
            threshold |= place.bin << 10, dirty = 1;
        }
        if (place.before + place.mass != wanted) {
            count<10>(row, local, size, 2, 0, threshold >> 10, key, one);
            row.clear(1);
            place = find<10>(row.histograms + 2 * BINS, place.before, isReached);
            threshold |= place.bin, dirty = 2;
        }
    }
    for (int i = threadIdx.x; i < size; i += THREADS) {
        const float value = values[i];
        values[i] = order_of(value) < threshold
            ? -1 : exponential(__fdiv_rn(__fsub_rn(value, largest), temperature));
    }
    __syncthreads();

    float heavier = -1;  // all weights above this stay; of those equal to it, the first `ties_left`
    u64 ties_left = 0;
    if (top_p < 1) {
        // Weights from 0 to 1 have an order of 30 bits.
        const auto key = [&](int i) { return __float_as_uint(values[i]); };
        const auto mass = [&](int i) { return values[i] < 0 ? 0ull : mass_of(values[i]); };
        unsigned prefix = 0;
        u64 before = 0;
        double limit = 0;
#pragma unroll 1
        for (int round = 0; round < 3; round++) {
            const u64 *const histogram = row.histograms + (3 + round) * BINS;
            count<10>(row, local, size, 3 + round, 20 - 10 * round, prefix, key, mass);
            if (dirty >= 0) row.clear(dirty);
            dirty = 3 + round;
            if (round == 0) {
                u64 sum = 0, total;
                for (int i = threadIdx.x; i < 1024; i += THREADS) sum += __ldcg(histogram + i);
                sum_before(sum, total);
                limit = (double)top_p * (double)total;
            }
            const Place place = find<10>(histogram, before, [=](u64 m) { return m > 0 && (double)m >= limit; });
            prefix = prefix << 10 | place.bin, before = place.before;
        }
        heavier = __uint_as_float(prefix);
        const double missing = limit - (double)before;
        ties_left = missing > 0 ? (u64)ceil(missing / (double)mass_of(heavier)) : 1;
        ties_left = ties_left > 0 ? ties_left : 1;
    }

    // Every thread has neighbouring tokens, so that sums follow the ids; an odd number, so that threads meet all banks.
    constexpr int own = (SLICE + THREADS - 1) / THREADS | 1;
    const int first = min((int)threadIdx.x * own, size), last = min(first + own, size);
    u64 strict = 0, equal = 0;
    for (int i = first; i < last; i++) {
        const float weight = values[i];
        if (weight < 0 || weight < min_p) continue;
        if (weight > heavier) strict += mass_of(weight);
        equal += weight == heavier;
    }
    u64 slice_strict, slice_equal = 0, equal_before = 0;
    sum_before(strict, slice_strict);
    if (top_p < 1) equal_before = sum_before(equal, slice_equal);
    if (threadIdx.x == 0) row.masses[blockIdx.x] = slice_strict, row.ties[blockIdx.x] = slice_equal;
    row.meet();
    if (dirty >= 0) row.clear(dirty);
    if (blockIdx.x == 0) row.leave();
    __shared__ u64 of_slices[2][SLICES];
    for (int i = threadIdx.x; i < 2 * SLICES; i += THREADS) (&of_slices[0][0])[i] = __ldcg(row.masses + i);
    __syncthreads();

    // Sums of the slices before this one, and of all.
    const u64 each = top_p < 1 ? mass_of(heavier) : 0;
    u64 before = 0, total = 0, ties_before = 0, ties = 0;
    for (int s = 0; s < SLICES; s++) {
        const u64 n = of_slices[1][s], left = ties_left > ties ? ties_left - ties : 0;
        const u64 m = of_slices[0][s] + (n < left ? n : left) * each;
        if (s < blockIdx.x) before += m, ties_before += n;
        total += m, ties += n;
    }
    u64 target = (u64)(uniform * (double)total);
    target = target < total ? target : total - 1;
    // What a token adds to the sums; a tie only if few enough come before it.
    u64 rank = ties_before + equal_before, unused;
    const auto added = [&](int i) -> u64 {
        const float weight = values[i];
        if (weight < 0 || weight < min_p || weight < heavier) return 0;
        return weight == heavier && rank++ >= ties_left ? 0 : mass_of(weight);
    };
    u64 mine = 0;
    for (int i = first; i < last; i++) mine += added(i);
    u64 sum = before + sum_before(mine, unused);
    if (sum <= target && target < sum + mine) {
        rank = ties_before + equal_before;
        int token = first;
        for (int i = first; i < last && sum <= target; i++) sum += added(i), token = i;
        chosen[b] = begin + token;
    }
}
