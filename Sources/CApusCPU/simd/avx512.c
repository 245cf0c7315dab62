// The kernels in AVX512: the vocabulary, then every op written in it.

#if defined(__x86_64__)
#include "avx512.h"
#include "kernels.h"
#else
typedef int apus_no_avx512_here;  // an empty translation unit is not C
#endif
