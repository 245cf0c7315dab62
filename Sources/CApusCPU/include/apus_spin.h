#pragma once
// Tells the processor that a thread spins, so that it leaves its resources to the other hardware thread.
static inline void apus_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    // `yield` takes a single cycle on most cores, so a loop of it would hammer the line that it watches.
    __asm__ volatile("isb");
#endif
}
