// The sources of the kernels, as text: NVRTC compiles them when an engine is built.
// Written by scripts/embed-kernels.sh from the files of Sources/ApusCUDA/Kernels.

#include "apus_cuda.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char embedding_cu[] = {
#embed "../ApusCUDA/Kernels/embedding.cu"
    , 0};

static const char norm_cu[] = {
#embed "../ApusCUDA/Kernels/norm.cu"
    , 0};

static const char read_cu[] = {
#embed "../ApusCUDA/Kernels/read.cu"
    , 0};

static const char round_cu[] = {
#embed "../ApusCUDA/Kernels/round.cu"
    , 0};

static const char swiglu_cu[] = {
#embed "../ApusCUDA/Kernels/swiglu.cu"
    , 0};

static const char strided_cuh[] = {
#embed "../ApusCUDA/Kernels/strided.cuh"
    , 0};

static const char types_cuh[] = {
#embed "../ApusCUDA/Kernels/types.cuh"
    , 0};

static const apus_kernel_source sources[] = {
    {"embedding.cu", embedding_cu},
    {"norm.cu", norm_cu},
    {"read.cu", read_cu},
    {"round.cu", round_cu},
    {"swiglu.cu", swiglu_cu},
    {"strided.cuh", strided_cuh},
    {"types.cuh", types_cuh},
};

apus_kernel_source apus_kernel_source_at(int index) {
    int count = sizeof sources / sizeof sources[0];
    apus_kernel_source none = {0, 0};
    return index >= 0 && index < count ? sources[index] : none;
}
