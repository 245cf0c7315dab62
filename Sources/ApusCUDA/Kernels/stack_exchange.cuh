#pragma once
// How the blocks of decode_stack tell each other results.
//
// Within a cluster a block stores into the others' shared memory and the stores arrive at a barrier there, which counts bytes. Between
// clusters a number travels through global memory together with the number of its exchange, in one word of 64 bits: whoever
// waits for it looks at the word itself, and nobody waits for a fence.

#include "barriers.cuh"

__device__ __forceinline__ int rank_in_cluster() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return (int)rank;
}
__device__ __forceinline__ void meet_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/// The place of shared memory in another block of the cluster that `p` is in this one.
__device__ __forceinline__ unsigned place_at(const void *p, int rank) {
    unsigned at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(shared_place(p)), "r"(rank));
    return at;
}
/// Stores to another block of the cluster, to arrive at a barrier there.
__device__ __forceinline__ void send(float x, const float *to, const unsigned long long *barrier, int rank) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];"
                 ::"r"(place_at(to, rank)), "f"(x), "r"(place_at(barrier, rank))
                 : "memory");
}

/// Stores to all blocks of the cluster, the own one included.
///
/// A thread that reads shared memory to be written anew sends what it made of it to its own block, too: then the memory is free when
/// everything has arrived.
__device__ __forceinline__ void send_to_all(float x, const float *to, const unsigned long long *barrier) {
#pragma unroll
    for (int rank = 0; rank < CLUSTER; rank++) send(x, to, barrier, rank);
}

/// A barrier at which stores of the cluster's blocks arrive, over and over, so many bytes a time.
struct Inbox {
    unsigned long long *barrier;
    int parity;

    /// Waits for all bytes; one thread of the block lets the next round begin.
    __device__ __forceinline__ void wait(int bytes) {
        int done;
        do {
            asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
                         : "=r"(done)
                         : "r"(shared_place(barrier)), "r"(parity)
                         : "memory");
        } while (!done);
        parity ^= 1;
        if (threadIdx.x == 0) arrive_for_bytes(barrier, bytes);
    }
};

/// A number and the exchange that it belongs to.
__device__ __forceinline__ void publish(unsigned long long *word, float x, unsigned epoch) {
    const unsigned long long value = (unsigned long long)epoch << 32 | __float_as_uint(x);
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}
__device__ __forceinline__ unsigned long long look_at(const unsigned long long *word) {
    unsigned long long value;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
    return value;
}
/// The sum of the numbers of one exchange, COUNT words `stride` apart, in their order.
template <int COUNT> __device__ __forceinline__ float collect(const unsigned long long *words, int stride, unsigned epoch) {
    unsigned long long values[COUNT];
    bool is_complete;
    do {
        is_complete = true;
#pragma unroll
        for (int i = 0; i < COUNT; i++) values[i] = look_at(words + i * stride);
#pragma unroll
        for (int i = 0; i < COUNT; i++) is_complete = is_complete && (unsigned)(values[i] >> 32) == epoch;
    } while (!is_complete);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < COUNT; i++) sum += __uint_as_float((unsigned)values[i]);
    return sum;
}
