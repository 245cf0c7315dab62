// The kernels in AVX2: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#include "avx2.h"
#include "kernels.h"
#else
typedef int apus_no_avx2_here;  // an empty translation unit is not C
#endif
