// The kernels in AVX-512: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#define KERNEL_TABLE apus_avx512_kernels
#define KERNEL_ISA APUS_ISA_AVX512
#define FEATURES ""
#define HAS_VNNI 0
#define HAS_BF16 0
#include "avx512.h"
#include "kernels.h"
#else
typedef int apus_no_avx512_here;  // an empty translation unit is not C
#endif
