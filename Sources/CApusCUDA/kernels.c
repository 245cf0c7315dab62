// The sources of the kernels, as text: NVRTC compiles them when an engine is built.
// Written by scripts/embed-kernels.sh from the files of Sources/ApusCUDA/Kernels.

#include "apus_cuda.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char types_cuh[] = {
#embed "../ApusCUDA/Kernels/types.cuh"
    , 0};

static const apus_kernel_source sources[] = {
    {"types.cuh", types_cuh},
};

apus_kernel_source apus_kernel_source_at(int index) {
    int count = sizeof sources / sizeof sources[0];
    apus_kernel_source none = {0, 0};
    return index >= 0 && index < count ? sources[index] : none;
}
