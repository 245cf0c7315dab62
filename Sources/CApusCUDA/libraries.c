// Looks up the functions that Apus calls of NVIDIA's libraries.

#include "apus_cuda.h"

#include <dlfcn.h>

#define LOOK_UP(field, symbol, parameters)           \
    *(void **)(&table->field) = dlsym(library, #symbol); \
    if (!table->field) return #symbol;

const char *apus_cu_driver_load(void *library, apus_cu_driver *table) {
    APUS_CU_FUNCTIONS(LOOK_UP)
    return 0;
}

const char *apus_nvrtc_load(void *library, apus_nvrtc *table) {
    APUS_NVRTC_FUNCTIONS(LOOK_UP)
    LOOK_UP(error_text, nvrtcGetErrorString, )
    return 0;
}

const char *apus_blaslt_load(void *library, apus_blaslt *table) {
    APUS_BLASLT_FUNCTIONS(LOOK_UP)
    LOOK_UP(version, cublasLtGetVersion, )
    LOOK_UP(error_text, cublasLtGetStatusString, )
    return 0;
}
