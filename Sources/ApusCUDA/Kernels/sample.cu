// sample: draws the next token of each row from its logits, with the same steps as the host's Sampler: penalties, bias,
// temperature, top-k, top-p, min-p, draw. The draw walks the kept tokens by ascending id.
//
//   logits f32 [B, V]      options f32 [B, 8]: temperature (0: the first largest logit), top_k (0: all), top_p (1: all),
//                          min_p (0: all), repetition, presence, frequency penalty (1, 0, 0: off), unused
//   uniforms f64 [B, uniform_stride]: the number in [0, 1) of step `*step` of row b is at b · uniform_stride + *step
//   history u32 [B, V] or null: times that a token was generated, plus 2³¹ if it occurs in the prompt; read if there are
//                          penalties, kept up to date by advance
//   bias_ids i32, bias_values f32 [B, bias_stride], bias_counts i32 [B]; bias_counts may be null
//   adjusted f32 [B, V] scratch, used where history or bias change logits
//   scratch u64 [B, SCRATCH_WORDS], SCRATCH_WORDS = 2 + 2 · SLICES + 6 · 2048, zero before the first launch, left zero
//   chosen i32 [B] out: the token, or −1 if the logits hold a NaN, +∞ or nothing finite
//
// A row is cut into SLICES, one block each, which meet at barriers in global memory: all SLICES · B blocks must be
// resident together (at most as many as multiprocessors). Thresholds are found by radix select: histograms of the upper,
// then the middle, then the lower bits of the candidates' order. Masses are fixed-point numbers (weight · 2⁴⁴, 64 bits), so
// that sums do not depend on their order: the same seed gives the same tokens.
//
// Macros: V vocabulary; SLICES, THREADS (a multiple of 32, 128 to 1024).  Launch: grid (SLICES, B), THREADS threads,
// no dynamic shared memory. Bound by barriers, about 1 µs each: 2 with temperature alone, 3 more for each of top-k, top-p.
#include "types.cuh"

#if !defined(V) || !defined(SLICES) || !defined(THREADS)
#error "V, SLICES and THREADS must be defined"
#endif

typedef unsigned long long u64;
constexpr int BINS = 2048;
constexpr int SCRATCH_WORDS = 2 + 2 * SLICES + 6 * BINS;
constexpr int WARPS = THREADS / 32;
constexpr int SLICE = (V + SLICES - 1) / SLICES;

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
    u64 *best;            // order of the largest logit and the complement of its index
    unsigned *arrivals;   // at barriers
    unsigned *departures;
    u64 *masses, *ties;   // of each slice
    u64 *histograms;
    unsigned met = 0;     // barriers so far

    __device__ __forceinline__ explicit Row(u64 *scratch) {
        best = scratch;
        arrivals = (unsigned *)(scratch + 1), departures = arrivals + 1;
        masses = scratch + 2, ties = masses + SLICES, histograms = ties + SLICES;
    }

    /// Waits for all slices; what they wrote before can be seen after.
    __device__ __forceinline__ void meet() {
        __syncthreads();
        met += SLICES;
        if (SLICES > 1 && threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrivals, 1);
            while (*(volatile unsigned *)arrivals < met) {}
            __threadfence();
        }
        __syncthreads();
    }

    /// Leaves the scratch as it was found: the last slice clears what is shared.
    __device__ __forceinline__ void leave() {
        __syncthreads();
        __shared__ bool isLast;
        if (threadIdx.x == 0) {
            __threadfence();
            isLast = atomicAdd(departures, 1) == SLICES - 1;
        }
        __syncthreads();
        if (!isLast) return;
        for (int i = threadIdx.x; i < 2 * SLICES; i += THREADS) masses[i] = 0;
        if (threadIdx.x == 0) *best = 0, *arrivals = 0, *departures = 0;
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
template <typename Predicate> __device__ __forceinline__ Place find(const u64 *histogram, u64 before, Predicate isReached) {
    __shared__ Place found;
    constexpr int own = (BINS + THREADS - 1) / THREADS;
    u64 mine[own], sum = 0, total;
#pragma unroll
    for (int i = 0; i < own; i++) {
        const int bin = BINS - 1 - ((int)threadIdx.x * own + i);
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
            found = {(unsigned)(BINS - 1 - ((int)threadIdx.x * own + i)), above, mine[i]};
        }
        above += mine[i];
    }
    __syncthreads();
    return found;
}

/// Weight of 1 as a mass.
constexpr double MASS = 17592186044416.0;

struct Candidates {
    const float *values;
    int begin, end;
    float largest, temperature, least_weight = 0;
    unsigned threshold = 0;    // order of the least logit that stays
    unsigned heavier = 0;      // bits of the weight above which all stay; of those equal to it, `ties_left`
    u64 ties_left = ~0ull;

    __device__ __forceinline__ float weight(float value) const {
        return exponential(__fdiv_rn(__fsub_rn(value, largest), temperature));
    }
    __device__ __forceinline__ static u64 mass(float weight) { return (u64)((double)weight * MASS); }
};

/// Adds `add` to a sum of 64 bits in two halves of shared memory.
__device__ __forceinline__ void accumulate(unsigned (*local)[2], unsigned bin, u64 add) {
    const unsigned low = (unsigned)add, old = atomicAdd(&local[bin][0], low);
    const unsigned high = (unsigned)(add >> 32) + (old + low < old);
    if (high) atomicAdd(&local[bin][1], high);
}

/// One round of a radix select: the histogram of `bits` bits from `shift` on, over candidates whose higher bits are `prefix`.
template <typename Key, typename Mass>
__device__ __forceinline__ void count(
    Row &row, const Candidates &c, int histogram, int shift, int bits, unsigned prefix, Key key, Mass mass) {
    __shared__ unsigned local[BINS][2];
    for (int i = threadIdx.x; i < BINS; i += THREADS) local[i][0] = 0, local[i][1] = 0;
    __syncthreads();
    for (int i = c.begin + threadIdx.x; i < c.end; i += THREADS) {
        const float value = c.values[i];
        if (order_of(value) < c.threshold) continue;
        const unsigned k = key(value);
        if (shift + bits < 32 && k >> (shift + bits) != prefix) continue;
        const u64 m = mass(value);
        if (m) accumulate(local, k >> shift & ((1u << bits) - 1), m);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS) {
        const u64 m = (u64)local[i][1] << 32 | local[i][0];
        if (m) atomicAdd(row.histograms + histogram * BINS + i, m);
    }
    row.meet();
}

extern "C" __global__ void __launch_bounds__(THREADS) sample(
    const float *logits, const float *options, const double *uniforms, int uniform_stride, const int *step,
    const unsigned *history, const int *bias_ids, const float *bias_values, const int *bias_counts, int bias_stride,
    float *adjusted, u64 *scratch, int *chosen) {
    let_next_start();
    wait_for_previous();
    const int b = blockIdx.y;
    const float *const option = options + 8 * b;
    const float top_k = option[1], top_p = option[2], repetition = option[4], presence = option[5];
    const float frequency = option[6];
    Row row(scratch + (long long)b * SCRATCH_WORDS);
    Candidates c;
    c.begin = (int)blockIdx.x * SLICE, c.end = min(c.begin + SLICE, V);
    c.temperature = option[0];
    c.values = logits + (long long)b * V;

    const bool hasPenalties = history && (repetition != 1 || presence != 0 || frequency != 0);
    const int biases = bias_counts ? bias_counts[b] : 0;
    if (hasPenalties || biases > 0) {
        float *const copy = adjusted + (long long)b * V;
        for (int i = c.begin + threadIdx.x; i < c.end; i += THREADS) {
            float value = c.values[i];
            const unsigned seen = hasPenalties ? history[(long long)b * V + i] : 0;
            if (seen) {
                value = value < 0 ? __fmul_rn(value, repetition) : __fdiv_rn(value, repetition);
                const unsigned times = seen & 0x7fffffffu;
                if (times) value = __fsub_rn(value, __fadd_rn(presence, __fmul_rn((float)times, frequency)));
            }
            copy[i] = value;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < biases; i += THREADS) {
            const int id = bias_ids[b * bias_stride + i];
            if (id >= c.begin && id < c.end) copy[id] = __fadd_rn(copy[id], bias_values[b * bias_stride + i]);
        }
        __syncthreads();
        c.values = copy;
    }

    u64 best = 0;
    for (int i = c.begin + threadIdx.x; i < c.end; i += THREADS) {
        const float value = c.values[i];
        const unsigned order = value == value ? order_of(value) : 0xffffffffu;
        const u64 packed = (u64)order << 32 | ~(unsigned)i;
        best = packed > best ? packed : best;
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        const u64 other = __shfl_xor_sync(0xffffffffu, best, offset);
        best = other > best ? other : best;
    }
    if (threadIdx.x % 32 == 0) atomicMax(row.best, best);
    row.meet();
    best = __ldcg(row.best);
    c.largest = number_of((unsigned)(best >> 32));
    const bool isFinite = fabsf(c.largest) < __int_as_float(0x7f800000);
    if (!isFinite || c.temperature == 0) {
        if (blockIdx.x == 0 && threadIdx.x == 0) chosen[b] = isFinite ? (int)~(unsigned)best : -1;
        row.leave();
        return;
    }

    if (top_k > 0 && top_k < V) {
        const u64 wanted = (u64)top_k;
        const auto key = [](float value) { return order_of(value); };
        const auto one = [](float) { return 1ull; };
        const auto isReached = [=](u64 count) { return count >= wanted; };
        unsigned prefix = 0;
        u64 before = 0;
#pragma unroll 1
        for (int round = 0; round < 3; round++) {
            const int shift = round == 0 ? 21 : round == 1 ? 10 : 0, bits = round == 2 ? 10 : 11;
            count(row, c, round, shift, bits, prefix, key, one);
            if (round > 0) row.clear(round - 1);
            const Place place = find(row.histograms + round * BINS, before, isReached);
            prefix = prefix << bits | place.bin, before = place.before;
        }
        c.threshold = prefix;
    }
    const bool hasTopK = c.threshold > 0;
    if (top_p < 1) {
        // Bits of weights from 0 to 1 have an order of 30 bits.
        const auto key = [&](float value) { return __float_as_uint(c.weight(value)); };
        const auto mass = [&](float value) { return Candidates::mass(c.weight(value)); };
        unsigned prefix = 0;
        u64 before = 0;
        double limit = 0;
        Place place;
#pragma unroll 1
        for (int round = 0; round < 3; round++) {
            count(row, c, 3 + round, 20 - 10 * round, 10, prefix, key, mass);
            if (round > 0) row.clear(2 + round);
            if (round == 0 && hasTopK) row.clear(2);
            if (round == 0) {
                u64 sum = 0, total;
                for (int i = threadIdx.x; i < BINS; i += THREADS) sum += __ldcg(row.histograms + 3 * BINS + i);
                sum_before(sum, total);
                limit = (double)top_p * (double)total;
                __syncthreads();
            }
            place = find(row.histograms + (3 + round) * BINS, before, [=](u64 m) { return m > 0 && (double)m >= limit; });
            prefix = prefix << 10 | place.bin, before = place.before;
        }
        c.heavier = prefix;
        const u64 each = Candidates::mass(__uint_as_float(prefix));
        const double missing = limit - (double)before;
        const u64 ties = missing > 0 ? (u64)ceil(missing / (double)each) : 1;
        c.ties_left = ties > 0 ? ties : 1;
    }
    c.least_weight = option[3];

    // Every thread has neighbouring tokens, so that sums follow the ids.
    const int own = (SLICE + THREADS - 1) / THREADS;
    const int first = min(c.begin + (int)threadIdx.x * own, c.end), last = min(first + own, c.end);
    u64 strict = 0, equal = 0;
    for (int i = first; i < last; i++) {
        const float value = c.values[i], weight = c.weight(value);
        if (order_of(value) < c.threshold || weight < c.least_weight) continue;
        if (__float_as_uint(weight) > c.heavier) strict += Candidates::mass(weight);
        if (c.heavier && __float_as_uint(weight) == c.heavier) equal++;
    }
    u64 slice_strict, slice_equal;
    sum_before(strict, slice_strict);
    const u64 equal_before = sum_before(equal, slice_equal);
    if (threadIdx.x == 0) row.masses[blockIdx.x] = slice_strict, row.ties[blockIdx.x] = slice_equal;
    row.meet();
    if (top_p < 1) row.clear(5);
    if (top_p >= 1 && hasTopK) row.clear(2);

    // Sums of the slices before this one, and of all.
    const u64 each = Candidates::mass(__uint_as_float(c.heavier));
    u64 before = 0, total = 0, ties_before = 0, ties = 0;
    for (int s = 0; s < SLICES; s++) {
        const u64 n = __ldcg(row.ties + s), left = c.ties_left > ties ? c.ties_left - ties : 0;
        const u64 m = __ldcg(row.masses + s) + (n < left ? n : left) * each;
        if (s < blockIdx.x) before += m, ties_before += n;
        total += m, ties += n;
    }
    u64 target = (u64)(uniforms[(long long)b * uniform_stride + *step] * (double)total);
    target = target < total ? target : total - 1;
    const auto stays = [&](float value, float weight, u64 rank) {
        if (order_of(value) < c.threshold || weight < c.least_weight) return false;
        return __float_as_uint(weight) > c.heavier || rank < c.ties_left;
    };
    u64 mine = 0, rank = ties_before + equal_before, unused;
    for (int i = first; i < last; i++) {
        const float value = c.values[i], weight = c.weight(value);
        const bool isTie = c.heavier && __float_as_uint(weight) == c.heavier;
        if (__float_as_uint(weight) < c.heavier || !stays(value, weight, isTie ? rank : 0)) continue;
        mine += Candidates::mass(weight), rank += isTie;
    }
    u64 sum = before + sum_before(mine, unused);
    if (sum <= target && target < sum + mine) {
        rank = ties_before + equal_before;
        for (int i = first; i < last; i++) {
            const float value = c.values[i], weight = c.weight(value);
            const bool isTie = c.heavier && __float_as_uint(weight) == c.heavier;
            if (__float_as_uint(weight) < c.heavier || !stays(value, weight, isTie ? rank : 0)) continue;
            sum += Candidates::mass(weight), rank += isTie;
            if (sum > target) {
                chosen[b] = i;
                break;
            }
        }
    }
    row.leave();
}
