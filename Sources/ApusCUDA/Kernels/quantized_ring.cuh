#pragma once
// How codes of a block's tiles come to its warps, for quantized_gemv.cu, whose macros these are.
//
// The units of a tile are dealt out to the warps one by one, across the ends of tiles, so that all have the same work. Each warp
// has a ring of DEPTH units in shared memory, filled by copies behind its back: no barrier, and no registers for what is on its way.
#include "gemv.cuh"
#include "quantized.cuh"

#if !defined(UNIT) || !defined(DEPTH) || !defined(MEET) || !defined(X_UNITS)
#error "UNIT, DEPTH, MEET and X_UNITS must be defined"
#endif

constexpr int FLUSH = PADDED_G % 128 == 0 ? 128 : smaller(PADDED_G, 64);  // inputs whose sums are scaled at once
static_assert(UNIT % 64 == 0 && UNIT % FLUSH == 0 && PADDED_K % UNIT == 0, "units are of whole groups, or groups of whole units");
constexpr int UNITS = PADDED_K / UNIT;
constexpr int LOADS = UNIT / STEP_INPUTS;                                 // of 16 bytes of a thread, for a unit of a tile
constexpr int FLUSHES = UNIT / FLUSH;

constexpr int PASS_UNITS = X_UNITS == 0 || X_UNITS >= UNITS ? UNITS : X_UNITS;
constexpr int PASSES = divided_up(UNITS, PASS_UNITS);
constexpr bool EVEN = PASS_UNITS % WARPS == 0 && UNITS % PASS_UNITS == 0;  // every warp has units of every tile and pass
constexpr int LEAST_UNITS = UNITS - (PASSES - 1) * PASS_UNITS;              // of a pass
constexpr bool OWN_GROUPS = GROUP_COUNT == UNITS * FLUSHES;                 // no two units share a group

// A unit in a warp's ring, in 16-byte words: codes, scales, zeros. One group alone needs its scale only at the end.
constexpr bool SCALES_LAST = GROUP_COUNT == 1;
constexpr int CODE_WORDS = PARTS * LOADS * 32;
constexpr int SCALE_WORDS = SCALES_LAST ? 0 : FLUSHES * (int)sizeof(SCALE);  // of a tile
constexpr int ZERO_WORDS = HAS_ZEROS ? FLUSHES : 0;
constexpr int SLOT = CODE_WORDS + PARTS * (SCALE_WORDS + ZERO_WORDS);

/// Copies 16 bytes that are used once from global to shared memory, past the first cache.
__device__ __forceinline__ void copy_streamed(uint4 *shared, const uint4 *global, bool isWanted = true) {
    asm volatile("{\n.reg .pred wanted;\nsetp.ne.u32 wanted, %2, 0;\n"
                 "@wanted cp.async.cg.shared.global.L2::128B [%0], [%1], 16;\n}"
                 ::"r"((unsigned)__cvta_generic_to_shared(shared)), "l"(global), "r"((unsigned)isWanted)
                 : "memory");
}

/// Where a warp is among the units of its block: pass by pass of each meeting, there tile by tile.
struct Place {
    int end;         // of the block's tiles
    int tile, unit;  // the unit counts from the start of the pass
    // Where x comes in several passes:
    int base, stop, pass = 0, count, lap = 0;  // the meeting's tiles, the pass, its units; passes so far

    __device__ __forceinline__ Place(int begin, int end, int warp) : end(end), tile(begin), unit(warp), base(begin) {
        enter();
        settle();
    }

    __device__ __forceinline__ bool isThere() const { return tile < end; }
    __device__ __forceinline__ int unit_in_all() const { return PASSES == 1 ? unit : pass * PASS_UNITS + unit; }

    __device__ __forceinline__ void advance() {
        unit += WARPS;
        settle();
    }

private:
    __device__ __forceinline__ void enter() {
        count = smaller(PASS_UNITS, UNITS - pass * PASS_UNITS), stop = smaller(base + MEET, end);
    }

    /// Carries what is beyond a tile's units over to the next tile, pass or meeting.
    __device__ __forceinline__ void settle() {
        if constexpr (LEAST_UNITS >= WARPS) {
            carry();
        } else {
#pragma unroll 1
            while (carry()) {}
        }
    }

    __device__ __forceinline__ bool carry() {
        if (unit < (PASSES == 1 ? UNITS : count)) return false;
        unit -= PASSES == 1 ? UNITS : count, tile++;
        if (PASSES == 1 || tile < stop) return true;
        lap++;
        if (++pass == PASSES) pass = 0, base += MEET;
        tile = base;
        enter();
        return tile < end;
    }
};

/// The weights, and the ring that a warp's units come to.
struct Walk {
    const uint4 *w, *scales, *zeros;
    uint4 *ring;
    Place place;   // of the next request
    int slot = 0;  // of the next unit, which its successor takes over

    /// Requests the next unit into `to` and goes on.
    __device__ __forceinline__ void request(uint4 *to) {
        if (place.isThere()) {
            load(to);
            place.advance();
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    }

    __device__ __forceinline__ void load(uint4 *to) const {
        const int lane = threadIdx.x % 32, unit = place.unit_in_all();
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            const int row = p * FEATURE_TILES + place.tile, at = row * UNITS + unit;
            const uint4 *const from = w + (long long)at * (LOADS * 32) + lane;
#pragma unroll
            for (int l = 0; l < LOADS; l++) copy_streamed(to + (p * LOADS + l) * 32 + lane, from + l * 32);
            uint4 *const beside = to + CODE_WORDS + p * (SCALE_WORDS + ZERO_WORDS) + lane;
            const auto group_at = [&](int flush) {
                return OWN_GROUPS ? at * FLUSHES + flush : row * GROUP_COUNT + group_of(unit * UNIT + flush * FLUSH);
            };
            constexpr int words = sizeof(SCALE);  // of a group
            if constexpr (SCALE_WORDS > 0) {
                copy_streamed(beside, scales + group_at(lane / words) * words + lane % words, lane < SCALE_WORDS);
            }
            if constexpr (ZERO_WORDS > 0) {
                copy_streamed(beside + SCALE_WORDS, zeros + group_at(lane), lane < ZERO_WORDS);
            }
        }
    }

    /// Waits for the next unit. All lanes' copies can be seen then.
    __device__ __forceinline__ uint4 *next() {
        asm volatile("cp.async.wait_group %0;" ::"n"(DEPTH - 1) : "memory");
        __syncwarp();
        uint4 *const here = ring + slot * SLOT;
        slot = slot + 1 == DEPTH ? 0 : slot + 1;
        return here;
    }
};
