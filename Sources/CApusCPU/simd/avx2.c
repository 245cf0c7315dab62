// The kernels in AVX2: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#define KERNEL_TABLE apus_avx2_kernels
#define KERNEL_ISA APUS_ISA_AVX2
#define FEATURES ""
#define HAS_VNNI 0
#define HAS_BF16 0
#include "avx2.h"
#include "kernels.h"
#else
typedef int apus_no_avx2_here;  // an empty translation unit is not C
#endif
