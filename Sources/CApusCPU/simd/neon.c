// The kernels in NEON: the vocabulary, then every op written in it.

#if defined(__aarch64__)
#include "neon.h"
#include "kernels.h"
#else
typedef int apus_no_neon_here;  // an empty translation unit is not C
#endif
