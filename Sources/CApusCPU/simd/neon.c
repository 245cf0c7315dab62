// The kernels in NEON: the vocabulary, then every op written in it.

#if defined(__aarch64__)
#define KERNEL_TABLE apus_neon_kernels
#define KERNEL_ISA APUS_ISA_NEON
#define HAS_VNNI 0
#define HAS_BF16 0
#include "neon.h"
#include "kernels.h"
#else
typedef int apus_no_neon_here;  // an empty translation unit is not C
#endif
