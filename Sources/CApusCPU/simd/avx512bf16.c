// The kernels in AVX-512 with VNNI and BF16: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#define KERNEL_TABLE apus_avx512bf16_kernels
#define KERNEL_ISA APUS_ISA_AVX512BF16
#define FEATURES "avx512vnni,avx512bf16,"
#define HAS_VNNI 1
#define HAS_BF16 1
#include "avx512.h"
#include "kernels.h"
#else
typedef int apus_no_avx512bf16_here;  // an empty translation unit is not C
#endif
