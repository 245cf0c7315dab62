#pragma once
// The ring of decode_stack: weights, keys and values of a block on their way through shared memory, in the order of use.
//
// The ring has DEPTH stages for each of the WARPS that compute. A round brings one unit of at most STAGE_BYTES to each warp; a
// warp that has none in a round gets an empty one, so that both sides count alike. As many warps again ask for the units with
// bulk copies as soon as their stages are free, whatever the others are waiting for. There are so many of them because a warp
// needs about 57 cycles to ask for a copy, and rows of a unit are as short as 512 bytes: one such warp brings 1.0 TB/s to 64
// multiprocessors of an H200, four 3.5, eight 4.2.

#include "barriers.cuh"

constexpr int WARPS = 8, WORKERS = 32 * WARPS, THREADS = 2 * WORKERS;
constexpr int STAGE_BYTES = HEAD_DIM == 128 ? 8448 : 8192;
constexpr int UNIT_BYTES = 8192;  ///< of a product's units
constexpr int TILE = 16;  ///< rows of W of a unit: those of a product of tensor cores

/// Barriers of the stages of all warps.
struct StageBarriers {
    unsigned long long filled[DEPTH][WARPS], emptied[DEPTH][WARPS];

    __device__ __forceinline__ void prepare() {
        for (int i = 0; i < DEPTH * WARPS; i++) set_barrier(filled[0] + i, 1), set_barrier(emptied[0] + i, 1);
    }
};

/// A place in the ring that goes round.
struct RingPlace {
    int slot = 0, parity = 0;

    __device__ __forceinline__ void advance() {
        slot++;
        if (slot == DEPTH) slot = 0, parity ^= 1;
    }
    __device__ __forceinline__ char *stage(char *ring, int warp) const {
        return ring + (slot * WARPS + warp) * STAGE_BYTES;
    }
};

/// A product of a phase as units: ROWS rows of W of a block, K columns, cut into tiles of 16 rows and CHUNKS of COLUMNS.
template <int ROWS_, int K_> struct Cut {
    static constexpr int chunks_of(int chunks) {
        return K_ % (32 * chunks) == 0 && K_ / chunks * 2 * TILE <= UNIT_BYTES ? chunks : chunks_of(2 * chunks);
    }
    static constexpr int ROWS = ROWS_, K = K_, CHUNKS = chunks_of(1), COLUMNS = K / CHUNKS, TILES = ROWS / TILE;
    static constexpr int UNITS = TILES * CHUNKS, ROUNDS = (UNITS + WARPS - 1) / WARPS;
    static constexpr int ROW_BYTES = 2 * COLUMNS;
    /// Chunks that a warp meets.
    static constexpr int OWN = CHUNKS > WARPS ? CHUNKS / WARPS : 1;
    static_assert(ROWS % TILE == 0 && CHUNKS <= 2 * WARPS, "see DecodeStackShape");
};

/// The warp that fills the stages of a computing warp.
struct Filler {
    StageBarriers &barriers;
    char *ring;
    int warp;
    unsigned long long policy;
    RingPlace place;

    /// The next stage, when it is free.
    __device__ __forceinline__ char *stage() {
        wait_for(&barriers.emptied[place.slot][warp], place.parity ^ 1);
        return place.stage(ring, warp);
    }
    __device__ __forceinline__ unsigned long long *filled() { return &barriers.filled[place.slot][warp]; }

    /// Asks for the units of a product; `row_at(i)` is the address of row i of the block.
    template <typename C, typename RowAt> __device__ __forceinline__ void fill_product(RowAt row_at) {
        const int row = threadIdx.x % 32;
#pragma unroll 1
        for (int unit = warp; unit < C::ROUNDS * WARPS; unit += WARPS) {
            char *const to = stage() + row * C::ROW_BYTES;
            const int tile = unit / C::CHUNKS, chunk = unit % C::CHUNKS;
            if (row == 0) {
                if (unit < C::UNITS) arrive_for_bytes(filled(), TILE * C::ROW_BYTES);
                else arrive(filled());
            }
            if (row < TILE && unit < C::UNITS) {
                copy_bulk(to, row_at(tile * TILE + row) + chunk * C::COLUMNS, C::ROW_BYTES, filled(), policy);
            }
            __syncwarp();
            place.advance();
        }
    }

    /// Asks for the units of keys: runs of `RUN` rows of `k` and `v`, of ROW_BYTES each, from row `first` on, every `step`, of `keys`
    /// that are there, while there is room for `capacity`. Rows of V go PITCH apart.
    template <int RUN, int ROW_BYTES, int PITCH, typename T>
    __device__ __forceinline__ void fill_keys(const T *k, const T *v, int first, int step, int keys, int capacity, int rounds) {
        const int lane = threadIdx.x % 32;
        // The copy of K, then those of V: one, or one a row.
        constexpr int COPIES = PITCH == ROW_BYTES ? 2 : 1 + RUN;
        static_assert(COPIES <= 32, "a lane for each copy");
#pragma unroll 1
        for (int round = 0, at = first; round < rounds; round++, at += step) {
            char *const unit = stage();
            const int rows = capacity - at < RUN ? capacity - at : RUN;
            if (lane == 0) {
                if (at < keys) arrive_for_bytes(filled(), 2 * rows * ROW_BYTES);
                else arrive(filled());
            }
            const int row = lane - 1;  // of V, if one is copied at a time
            if (at < keys && lane < COPIES && (COPIES == 2 || row < rows)) {
                const bool is_row = COPIES != 2 && lane > 0;
                const char *const from = (const char *)(lane == 0 ? k : v) + (long long)(at + (is_row ? row : 0)) * ROW_BYTES;
                char *const to = unit + (lane == 0 ? 0 : RUN * ROW_BYTES + (is_row ? row * PITCH : 0));
                copy_bulk(to, from, is_row ? ROW_BYTES : rows * ROW_BYTES, filled(), policy);
            }
            __syncwarp();
            place.advance();
        }
    }
};

/// What a computing warp takes from the ring.
struct Taker {
    StageBarriers &barriers;
    char *ring;
    int warp;
    RingPlace place;

    /// The next unit, when it is there.
    __device__ __forceinline__ char *take() {
        wait_for(&barriers.filled[place.slot][warp], place.parity);
        return place.stage(ring, warp);
    }
    /// The unit after that, when it is there.
    __device__ __forceinline__ char *take_second() const {
        RingPlace next = place;
        next.advance();
        wait_for(&barriers.filled[next.slot][warp], next.parity);
        return next.stage(ring, warp);
    }
    /// Gives the stage of the next unit back.
    __device__ __forceinline__ void give_back() {
        __syncwarp();
        if (threadIdx.x % 32 == 0) arrive(&barriers.emptied[place.slot][warp]);
        place.advance();
    }
};

/// Waits for all computing warps.
__device__ __forceinline__ void meet_workers() { asm volatile("bar.sync 1, %0;" ::"n"(WORKERS) : "memory"); }
