#pragma once
// The kernel tables that this build holds, one per vector instruction set.

#include "CApusCPU.h"

#if defined(__x86_64__)
extern const apus_kernels apus_avx2_kernels;
extern const apus_kernels apus_avxvnni_kernels;
extern const apus_kernels apus_avx512_kernels;
extern const apus_kernels apus_avx512vnni_kernels;
extern const apus_kernels apus_avx512bf16_kernels;
#elif defined(__aarch64__)
extern const apus_kernels apus_neon_kernels;
#endif
