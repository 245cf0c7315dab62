// The kernels in AVX2 with AVX-VNNI: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#define KERNEL_TABLE apus_avxvnni_kernels
#define KERNEL_ISA APUS_ISA_AVXVNNI
#define FEATURES "avxvnni,"
#define HAS_VNNI 1
#define HAS_BF16 0
#include "avx2.h"
#include "kernels.h"
#else
typedef int apus_no_avxvnni_here;  // an empty translation unit is not C
#endif
