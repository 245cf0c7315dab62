// The end of a step of the token loop: every row's token becomes the next input, and the counters move on.
//
//   advance_greedy   takes the token from the partial maxima of gemv_head or argmax_parts, best_values and best_indices
//                    [B, parts]
//   advance          takes the token from `chosen` (sample), i32 [B], −1 where logits cannot be compared
//
// State in device memory, all i32:
//   tokens [B]             next input                 positions [B]   position of that input
//   lengths [B]            KV length after its step   starts [B]      KV entries before it
//   step [1]               steps done                 limits [B]      steps after which a row stops
//   stop [B]               0 runs; 1 took a token of end_tokens [end_count]; 2 reached its limit; 3 its logits hold a NaN,
//                          +∞ or nothing finite
//   out [B, out_stride]    tokens by step, −1 where the row had stopped before, −2 where it stopped with 3
//   history u32 [B, vocabulary] or null: one more for the token (see sample.cu)
//   host_words u64 [B, out_stride] or null, in pinned host memory: word of step s is (s + 1) << 32 | out. One store of
//                          8 bytes each: a host that finds the tag has the token, and no fence holds up the device
//   host_state u64 or null, in pinned host memory: (steps done) << 32 | rows that still run, released at system scope after
//                          all else; costs a round trip to the host
// A row that has stopped stays put: its token, position, length and start do not change.
// positions, lengths and starts may each be null.
//
// Launch: one block of THREADS threads, a multiple of 32. advance_greedy: a warp walks the parts of a row.
#include "types.cuh"

#if !defined(THREADS)
#error "THREADS must be defined"
#endif
typedef unsigned long long u64;

/// Index of the largest of a row's partial maxima, the least of equal ones, in every lane; −1 if it is not finite.
__device__ __forceinline__ int largest_of(const float *values, const int *indices, int parts) {
    float best = __int_as_float(0xff800000);
    int index = 0x7fffffff;
    const auto meet = [&](float v, int i) {
        if (v > best || (v == best && i < index)) best = v, index = i;
    };
    for (int i = threadIdx.x % 32; i < parts; i += 32) meet(values[i], indices[i]);
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        const float v = __shfl_xor_sync(0xffffffffu, best, offset);
        meet(v, __shfl_xor_sync(0xffffffffu, index, offset));
    }
    return fabsf(best) < __int_as_float(0x7f800000) ? index : -1;
}

struct State {
    int *tokens, *positions, *lengths, *starts, *step, *stop, *out;
    const int *limits, *end_tokens;
    int end_count, out_stride;
    unsigned *history;
    int vocabulary;
    u64 *host_words, *host_state;

    /// Row b goes on with `token`; by one thread. Tells whether it still runs.
    __device__ __forceinline__ bool accept(int b, int token, int done) const {
        int written = -1;
        bool runs = stop[b] == 0;
        if (runs) {
            int reason = token < 0 ? 3 : done + 1 >= limits[b] ? 2 : 0;
            for (int i = 0; i < end_count; i++) {
                if (token >= 0 && token == end_tokens[i]) reason = 1;
            }
            written = token < 0 ? -2 : token;
            runs = reason == 0;
            if (token >= 0 && history) history[(long long)b * vocabulary + token]++;
            if (runs) {
                tokens[b] = token;
                if (positions) positions[b]++;
                if (lengths) lengths[b]++;
                if (starts) starts[b]++;
            } else {
                stop[b] = reason;
            }
        }
        const long long at = (long long)b * out_stride + done;
        if (done < out_stride) {
            out[at] = written;
            if (host_words) {
                const u64 word = (u64)(unsigned)(done + 1) << 32 | (unsigned)written;
                asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(host_words + at), "l"(word) : "memory");
            }
        }
        return runs;
    }

    /// Ends the step, after a barrier; by one thread.
    __device__ __forceinline__ void finish(int done, int running) const {
        *step = done + 1;
        if (host_state) {
            const u64 word = (u64)(unsigned)(done + 1) << 32 | (unsigned)running;
            __threadfence_system();
            asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(host_state), "l"(word) : "memory");
        }
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) advance(
    const int *chosen, int rows, int *tokens, int *positions, int *lengths, int *starts, int *step, int *stop,
    const int *limits, const int *end_tokens, int end_count, int *out, int out_stride, unsigned *history,
    int vocabulary, u64 *host_words, u64 *host_state) {
    let_next_start();
    wait_for_previous();
    const State state{tokens, positions, lengths, starts, step, stop, out, limits, end_tokens,
                      end_count, out_stride, history, vocabulary, host_words, host_state};
    const int done = *step;
    int running = 0;
    for (int from = 0; from < rows; from += THREADS) {
        const int b = from + threadIdx.x;
        const bool runs = b < rows && state.accept(b, chosen[b], done);
        running += __syncthreads_count(runs);
    }
    if (threadIdx.x == 0) state.finish(done, running);
}

extern "C" __global__ void __launch_bounds__(THREADS) advance_greedy(
    const float *best_values, const int *best_indices, int parts, int rows, int *tokens, int *positions,
    int *lengths, int *starts, int *step, int *stop, const int *limits, const int *end_tokens, int end_count,
    int *out, int out_stride, unsigned *history, int vocabulary, u64 *host_words, u64 *host_state) {
    let_next_start();
    wait_for_previous();
    const State state{tokens, positions, lengths, starts, step, stop, out, limits, end_tokens,
                      end_count, out_stride, history, vocabulary, host_words, host_state};
    const int done = *step;
    int running = 0;
    for (int from = 0; from < rows; from += THREADS / 32) {
        const int b = from + threadIdx.x / 32;
        bool runs = false;
        if (b < rows) {
            const int token =
                largest_of(best_values + (long long)b * parts, best_indices + (long long)b * parts, parts);
            if (threadIdx.x % 32 == 0) runs = state.accept(b, token, done);
        }
        running += __syncthreads_count(runs);
    }
    if (threadIdx.x == 0) state.finish(done, running);
}
