// Chooses the instruction set by CPUID, and by XGETBV: an operating system that does not save the wide
// registers makes them unusable. The answer is computed afresh on each call, so there is no state to guard.

#include "baseline/baseline.h"
#include "simd/tables.h"
#include <stdio.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct {
    unsigned eax, ebx, ecx, edx;
} cpuid_leaf;

static cpuid_leaf cpuid(unsigned leaf, unsigned subleaf) {
    cpuid_leaf l = {0, 0, 0, 0};
    __get_cpuid_count(leaf, subleaf, &l.eax, &l.ebx, &l.ecx, &l.edx);
    return l;
}

/// Which register files the operating system saves (XCR0), or 0.
static unsigned saved_state(void) {
    if (!(cpuid(1, 0).ecx & 1u << 27)) { return 0; }
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int saves_ymm(void) { return (saved_state() & 0x06u) == 0x06u; }
static int saves_zmm(void) { return (saved_state() & 0xe6u) == 0xe6u; }

static int has_avx2(void) {
    const unsigned fma_f16c = 1u << 12 | 1u << 29;
    return saves_ymm() && (cpuid(1, 0).ecx & fma_f16c) == fma_f16c && (cpuid(7, 0).ebx & 1u << 5);
}

static int has_avx512(void) {
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    return has_avx2() && saves_zmm() && (cpuid(7, 0).ebx & f_dq_bw_vl) == f_dq_bw_vl;
}

static int has_avxvnni(void) { return has_avx2() && (cpuid(7, 1).eax & 1u << 4); }
static int has_avx512vnni(void) { return has_avx512() && (cpuid(7, 0).ecx & 1u << 11); }
static int has_avx512bf16(void) { return has_avx512vnni() && (cpuid(7, 1).eax & 1u << 5); }
#endif

apus_isa apus_best_isa(void) {
    static const apus_isa best_first[] = {
        APUS_ISA_AVX512BF16, APUS_ISA_AVX512VNNI, APUS_ISA_AVX512, APUS_ISA_AVXVNNI, APUS_ISA_AVX2,
        APUS_ISA_NEON,
    };
    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++) {
        if (apus_kernels_for(best_first[i])) { return best_first[i]; }
    }
    return APUS_ISA_BASELINE;
}

const char *apus_isa_name(apus_isa isa) {
    switch (isa) {
    case APUS_ISA_BASELINE: return "baseline";
    case APUS_ISA_AVX2: return "avx2";
    case APUS_ISA_AVXVNNI: return "avxvnni";
    case APUS_ISA_AVX512: return "avx512";
    case APUS_ISA_AVX512VNNI: return "avx512vnni";
    case APUS_ISA_AVX512BF16: return "avx512bf16";
    case APUS_ISA_NEON: return "neon";
    }
    return "unknown";
}

const apus_kernels *apus_kernels_for(apus_isa isa) {
    switch (isa) {
    case APUS_ISA_BASELINE: return &apus_baseline_kernels;
#if defined(__x86_64__)
    case APUS_ISA_AVX2: return has_avx2() ? &apus_avx2_kernels : NULL;
    case APUS_ISA_AVXVNNI: return has_avxvnni() ? &apus_avxvnni_kernels : NULL;
    case APUS_ISA_AVX512: return has_avx512() ? &apus_avx512_kernels : NULL;
    case APUS_ISA_AVX512VNNI: return has_avx512vnni() ? &apus_avx512vnni_kernels : NULL;
    case APUS_ISA_AVX512BF16: return has_avx512bf16() ? &apus_avx512bf16_kernels : NULL;
#elif defined(__aarch64__)
    case APUS_ISA_NEON: return &apus_neon_kernels;
#endif
    default: return NULL;
    }
}

void apus_cpu_features(char *out, size_t n) {
    if (n == 0) { return; }
    out[0] = 0;
#if defined(__x86_64__)
    const cpuid_leaf one = cpuid(1, 0), seven = cpuid(7, 0), seven_one = cpuid(7, 1);
    const struct {
        const char *name;
        int present;
    } features[] = {
        {"avx2", saves_ymm() && (seven.ebx >> 5 & 1)},
        {"fma", saves_ymm() && (one.ecx >> 12 & 1)},
        {"f16c", saves_ymm() && (one.ecx >> 29 & 1)},
        {"avxvnni", saves_ymm() && (seven_one.eax >> 4 & 1)},
        {"avx512f", saves_zmm() && (seven.ebx >> 16 & 1)},
        {"avx512dq", saves_zmm() && (seven.ebx >> 17 & 1)},
        {"avx512bw", saves_zmm() && (seven.ebx >> 30 & 1)},
        {"avx512vl", saves_zmm() && (seven.ebx >> 31 & 1)},
        {"avx512vnni", saves_zmm() && (seven.ecx >> 11 & 1)},
        {"avx512bf16", saves_zmm() && (seven_one.eax >> 5 & 1)},
        {"avx512fp16", saves_zmm() && (seven.edx >> 23 & 1)},
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (!features[i].present || used >= n) { continue; }
        const int added = snprintf(out + used, n - used, used ? " %s" : "%s", features[i].name);
        used += added > 0 ? (size_t)added : 0;
    }
#elif defined(__aarch64__)
    snprintf(out, n, "neon");
#endif
}
