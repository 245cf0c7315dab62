#pragma once
// Barriers in shared memory that count threads and bytes, and copies that arrive at them: from sm_90 up.

#include "types.cuh"

/// What is read once: the second cache gives such lines up first.
__device__ __forceinline__ unsigned long long read_once() {
    unsigned long long policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ unsigned shared_place(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

/// A barrier whose phase ends with so many arrivals; by one thread, which shows it to others by a barrier of the block.
__device__ __forceinline__ void set_barrier(unsigned long long *barrier, int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_place(barrier)), "r"(arrivals) : "memory");
}
/// Lets copies see the barriers that this thread has set.
__device__ __forceinline__ void show_barriers_to_copies() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void arrive(unsigned long long *barrier) {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_place(barrier)) : "memory");
}
/// Arrives and lets the phase wait for so many bytes of copies, too.
__device__ __forceinline__ void arrive_for_bytes(unsigned long long *barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_place(barrier)), "r"(bytes) : "memory");
}
/// Has this thread's copies so far (cp.async) arrive when they are done: one of the arrivals that the barrier counts.
__device__ __forceinline__ void arrive_after_copies(unsigned long long *barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_place(barrier)) : "memory");
}
/// Whether the phase of a parity is over; waits for a while.
__device__ __forceinline__ bool has_passed(unsigned long long *barrier, int parity) {
    int done;
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_place(barrier)), "r"(parity)
                 : "memory");
    return done;
}
__device__ __forceinline__ void wait_for(unsigned long long *barrier, int parity) {
    while (!has_passed(barrier, parity)) {}
}

/// Copies bytes to shared memory behind the threads' backs, to arrive at a barrier; addresses and bytes are multiples of 16.
__device__ __forceinline__ void copy_bulk(
    void *to, const void *from, int bytes, unsigned long long *barrier, unsigned long long policy) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;"
                 ::"r"(shared_place(to)), "l"(from), "r"(bytes), "r"(shared_place(barrier)), "l"(policy)
                 : "memory");
}
#endif
