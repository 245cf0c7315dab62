// What Apus calls of NVIDIA's libraries: types, and tables of functions that are looked up when a program runs.
//
// Nothing of CUDA is needed to build this. Names and numbers are those of the CUDA driver API 12 and 13, of NVRTC and
// of cuBLASLt, whose binary interfaces they must agree with.

#ifndef APUS_CUDA_H
#define APUS_CUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Driver

typedef int apus_cu_result;
typedef int apus_cu_device;
typedef uint64_t apus_cu_address;
typedef struct apus_cu_context_s *apus_cu_context;
typedef struct apus_cu_module_s *apus_cu_module;
typedef struct apus_cu_function_s *apus_cu_function;
typedef struct apus_cu_stream_s *apus_cu_stream;
typedef struct apus_cu_event_s *apus_cu_event;
typedef struct apus_cu_graph_s *apus_cu_graph;
typedef struct apus_cu_graph_exec_s *apus_cu_graph_exec;

enum {
    APUS_CU_SUCCESS = 0,
    APUS_CU_OUT_OF_MEMORY = 2,
    APUS_CU_NO_DEVICE = 100,
    APUS_CU_NOT_READY = 600,
};

/// Attributes of a device.
enum {
    APUS_CU_SHARED_BYTES_PER_BLOCK_OPTIN = 97,
    APUS_CU_PROCESSOR_COUNT = 16,
    APUS_CU_MAJOR = 75,
    APUS_CU_MINOR = 76,
};

/// Attribute of a function: bytes of dynamic shared memory that a launch may ask for.
enum { APUS_CU_FUNCTION_DYNAMIC_SHARED_BYTES = 8, APUS_CU_FUNCTION_SHARED_CARVEOUT = 9 };

/// Identifiers of launch attributes: all blocks of a kernel run at once or none does; a kernel may start before the one
/// before it has ended.
enum { APUS_CU_LAUNCH_COOPERATIVE = 2, APUS_CU_LAUNCH_PROGRAMMATIC = 6 };

/// One attribute of a launch: an identifier, and a value of up to 64 bytes.
typedef struct {
    int id;
    char padding[4];
    union {
        char bytes[64];
        int flag;
    } value;
} apus_cu_launch_attribute;

/// How a kernel is launched.
typedef struct {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    apus_cu_stream stream;
    apus_cu_launch_attribute *attributes;
    unsigned attribute_count;
} apus_cu_launch_config;

/// The functions of the driver: name of the field, symbol of the library, parameters.
#define APUS_CU_FUNCTIONS(F)                                                                                      \
    F(init, cuInit, (unsigned flags))                                                                             \
    F(driver_version, cuDriverGetVersion, (int *version))                                                         \
    F(device_count, cuDeviceGetCount, (int *count))                                                               \
    F(device_get, cuDeviceGet, (apus_cu_device * device, int ordinal))                                            \
    F(device_name, cuDeviceGetName, (char *name, int length, apus_cu_device device))                              \
    F(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, apus_cu_device device))                 \
    F(device_bytes, cuDeviceTotalMem_v2, (size_t * bytes, apus_cu_device device))                                 \
    F(context_retain, cuDevicePrimaryCtxRetain, (apus_cu_context * context, apus_cu_device device))               \
    F(context_release, cuDevicePrimaryCtxRelease_v2, (apus_cu_device device))                                     \
    F(context_set, cuCtxSetCurrent, (apus_cu_context context))                                                    \
    F(memory_info, cuMemGetInfo_v2, (size_t * free_bytes, size_t *bytes))                                         \
    F(allocate, cuMemAlloc_v2, (apus_cu_address * address, size_t bytes))                                         \
    F(deallocate, cuMemFree_v2, (apus_cu_address address))                                                        \
    F(host_allocate, cuMemHostAlloc, (void **pointer, size_t bytes, unsigned flags))                              \
    F(host_deallocate, cuMemFreeHost, (void *pointer))                                                            \
    F(host_address, cuMemHostGetDevicePointer_v2, (apus_cu_address * address, void *pointer, unsigned flags))     \
    F(copy_in, cuMemcpyHtoDAsync_v2,                                                                              \
      (apus_cu_address to, const void *from, size_t bytes, apus_cu_stream stream))                                \
    F(copy_out, cuMemcpyDtoHAsync_v2, (void *to, apus_cu_address from, size_t bytes, apus_cu_stream stream))      \
    F(fill, cuMemsetD8Async, (apus_cu_address to, unsigned char value, size_t bytes, apus_cu_stream stream))      \
    F(stream_create, cuStreamCreate, (apus_cu_stream * stream, unsigned flags))                                   \
    F(stream_destroy, cuStreamDestroy_v2, (apus_cu_stream stream))                                                \
    F(stream_synchronize, cuStreamSynchronize, (apus_cu_stream stream))                                           \
    F(stream_query, cuStreamQuery, (apus_cu_stream stream))                                                       \
    F(capture_begin, cuStreamBeginCapture_v2, (apus_cu_stream stream, int mode))                                  \
    F(capture_end, cuStreamEndCapture, (apus_cu_stream stream, apus_cu_graph *graph))                             \
    F(graph_instantiate, cuGraphInstantiateWithFlags,                                                             \
      (apus_cu_graph_exec * exec, apus_cu_graph graph, unsigned long long flags))                                 \
    F(graph_launch, cuGraphLaunch, (apus_cu_graph_exec exec, apus_cu_stream stream))                              \
    F(graph_exec_destroy, cuGraphExecDestroy, (apus_cu_graph_exec exec))                                          \
    F(graph_destroy, cuGraphDestroy, (apus_cu_graph graph))                                                       \
    F(module_load, cuModuleLoadData, (apus_cu_module * module, const void *image))                                \
    F(module_unload, cuModuleUnload, (apus_cu_module module))                                                     \
    F(module_function, cuModuleGetFunction,                                                                       \
      (apus_cu_function * function, apus_cu_module module, const char *name))                                     \
    F(function_set, cuFuncSetAttribute, (apus_cu_function function, int attribute, int value))                    \
    F(launch, cuLaunchKernelEx,                                                                                   \
      (const apus_cu_launch_config *config, apus_cu_function function, void **arguments, void **extra))           \
    F(occupancy_clusters, cuOccupancyMaxActiveClusters,                                                           \
      (int *count, apus_cu_function function, const apus_cu_launch_config *config))                               \
    F(event_create, cuEventCreate, (apus_cu_event * event, unsigned flags))                                       \
    F(event_record, cuEventRecord, (apus_cu_event event, apus_cu_stream stream))                                  \
    F(event_synchronize, cuEventSynchronize, (apus_cu_event event))                                               \
    F(event_elapsed, cuEventElapsedTime, (float *milliseconds, apus_cu_event start, apus_cu_event end))           \
    F(event_destroy, cuEventDestroy_v2, (apus_cu_event event))                                                    \
    F(error_name, cuGetErrorName, (apus_cu_result error, const char **text))                                      \
    F(error_text, cuGetErrorString, (apus_cu_result error, const char **text))

#define APUS_CU_FIELD(field, symbol, parameters) apus_cu_result(*field) parameters;
/// The driver's functions.
typedef struct {
    APUS_CU_FUNCTIONS(APUS_CU_FIELD)
} apus_cu_driver;

/// Looks up all functions in a library that dlopen gave; the symbol that is missing, or null.
const char *apus_cu_driver_load(void *library, apus_cu_driver *driver);

/// A driver without a device behind it: memory is the processor's, copies are made, and kernels do nothing.
///
/// It has one device with the properties of an H200, so that all that leads to a launch can be tested anywhere.
const apus_cu_driver *apus_cu_null_driver(void);

/// A word that a device writes while the processor reads: all that was written before it is seen with it.
static inline uint64_t apus_load_acquire(const void *word) {
    return __atomic_load_n((const uint64_t *)word, __ATOMIC_ACQUIRE);
}

// MARK: NVRTC

typedef struct apus_nvrtc_program_s *apus_nvrtc_program;

#define APUS_NVRTC_FUNCTIONS(F)                                                                                   \
    F(version, nvrtcVersion, (int *major, int *minor))                                                            \
    F(create, nvrtcCreateProgram,                                                                                 \
      (apus_nvrtc_program * program, const char *source, const char *name, int header_count,                      \
       const char *const *headers, const char *const *header_names))                                              \
    F(destroy, nvrtcDestroyProgram, (apus_nvrtc_program * program))                                               \
    F(compile, nvrtcCompileProgram, (apus_nvrtc_program program, int option_count, const char *const *options))   \
    F(log_bytes, nvrtcGetProgramLogSize, (apus_nvrtc_program program, size_t *bytes))                             \
    F(log, nvrtcGetProgramLog, (apus_nvrtc_program program, char *log))                                           \
    F(cubin_bytes, nvrtcGetCUBINSize, (apus_nvrtc_program program, size_t *bytes))                                \
    F(cubin, nvrtcGetCUBIN, (apus_nvrtc_program program, char *cubin))

#define APUS_NVRTC_FIELD(field, symbol, parameters) int(*field) parameters;
/// NVRTC's functions.
typedef struct {
    APUS_NVRTC_FUNCTIONS(APUS_NVRTC_FIELD)
    const char *(*error_text)(int error);
} apus_nvrtc;

/// Looks up all functions in a library that dlopen gave; the symbol that is missing, or null.
const char *apus_nvrtc_load(void *library, apus_nvrtc *nvrtc);

// MARK: cuBLASLt

typedef struct apus_blaslt_s *apus_blaslt_handle;
typedef struct apus_blaslt_desc_s *apus_blaslt_desc;
typedef struct apus_blaslt_layout_s *apus_blaslt_layout;
typedef struct apus_blaslt_preference_s *apus_blaslt_preference;

/// How a product is computed, as cuBLASLt encodes it.
typedef struct {
    uint64_t words[8];
} apus_blaslt_algorithm;

/// One proposal of the heuristics.
typedef struct {
    apus_blaslt_algorithm algorithm;
    size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
} apus_blaslt_proposal;

enum { APUS_BLASLT_F32 = 0, APUS_BLASLT_F16 = 2, APUS_BLASLT_BF16 = 14 };
enum { APUS_BLASLT_COMPUTE_F32 = 68 };
enum { APUS_BLASLT_DESC_TRANSA = 3, APUS_BLASLT_DESC_EPILOGUE = 7, APUS_BLASLT_DESC_BIAS = 8,
       APUS_BLASLT_DESC_BIAS_TYPE = 26 };
enum { APUS_BLASLT_EPILOGUE_BIAS = 4 };
enum { APUS_BLASLT_PREFERENCE_WORKSPACE = 1 };

#define APUS_BLASLT_FUNCTIONS(F)                                                                                  \
    F(create, cublasLtCreate, (apus_blaslt_handle * handle))                                                      \
    F(destroy, cublasLtDestroy, (apus_blaslt_handle handle))                                                      \
    F(desc_create, cublasLtMatmulDescCreate, (apus_blaslt_desc * desc, int compute, int scale_type))              \
    F(desc_destroy, cublasLtMatmulDescDestroy, (apus_blaslt_desc desc))                                           \
    F(desc_set, cublasLtMatmulDescSetAttribute,                                                                   \
      (apus_blaslt_desc desc, int attribute, const void *value, size_t bytes))                                    \
    F(layout_create, cublasLtMatrixLayoutCreate,                                                                  \
      (apus_blaslt_layout * layout, int type, uint64_t rows, uint64_t columns, int64_t leading))                  \
    F(layout_destroy, cublasLtMatrixLayoutDestroy, (apus_blaslt_layout layout))                                   \
    F(preference_create, cublasLtMatmulPreferenceCreate, (apus_blaslt_preference * preference))                   \
    F(preference_destroy, cublasLtMatmulPreferenceDestroy, (apus_blaslt_preference preference))                   \
    F(preference_set, cublasLtMatmulPreferenceSetAttribute,                                                       \
      (apus_blaslt_preference preference, int attribute, const void *value, size_t bytes))                        \
    F(propose, cublasLtMatmulAlgoGetHeuristic,                                                                    \
      (apus_blaslt_handle handle, apus_blaslt_desc desc, apus_blaslt_layout a, apus_blaslt_layout b,              \
       apus_blaslt_layout c, apus_blaslt_layout d, apus_blaslt_preference preference, int wanted,                 \
       apus_blaslt_proposal *proposals, int *count))                                                              \
    F(check, cublasLtMatmulAlgoCheck,                                                                             \
      (apus_blaslt_handle handle, apus_blaslt_desc desc, apus_blaslt_layout a, apus_blaslt_layout b,              \
       apus_blaslt_layout c, apus_blaslt_layout d, const apus_blaslt_algorithm *algorithm,                        \
       apus_blaslt_proposal *result))                                                                             \
    F(multiply, cublasLtMatmul,                                                                                   \
      (apus_blaslt_handle handle, apus_blaslt_desc desc, const void *alpha, const void *a,                        \
       apus_blaslt_layout a_layout, const void *b, apus_blaslt_layout b_layout, const void *beta,                 \
       const void *c, apus_blaslt_layout c_layout, void *d, apus_blaslt_layout d_layout,                          \
       const apus_blaslt_algorithm *algorithm, void *workspace, size_t workspace_bytes, apus_cu_stream stream))

#define APUS_BLASLT_FIELD(field, symbol, parameters) int(*field) parameters;
/// cuBLASLt's functions.
typedef struct {
    APUS_BLASLT_FUNCTIONS(APUS_BLASLT_FIELD)
    size_t (*version)(void);
    const char *(*error_text)(int status);
} apus_blaslt;

/// Looks up all functions in a library that dlopen gave; the symbol that is missing, or null.
const char *apus_blaslt_load(void *library, apus_blaslt *blaslt);

// MARK: Kernels

/// A source file of the kernels, as text that ends with a zero.
typedef struct {
    const char *name;
    const char *text;
} apus_kernel_source;

/// The sources and the headers that they include, by index; past the last, both fields are null.
apus_kernel_source apus_kernel_source_at(int index);

// MARK: Packing

/// Bytes of packed codes of 4 or 8 bits for a weight [n, k] with groups of `group` inputs, which divide k.
size_t apus_cuda_code_bytes(size_t n, size_t k, size_t group, int bits);
/// Packs codes u8[n, k]; 0 if one has more bits.
int apus_cuda_pack_codes(const uint8_t *codes, size_t n, size_t k, size_t group, int bits, void *packed);
/// Bytes of packed scales or zero points [groups, n].
size_t apus_cuda_group_bytes(size_t groups, size_t n, size_t element_bytes);
/// Packs scales or zero points [groups, n] of elements of so many bytes.
void apus_cuda_pack_groups(const void *values, size_t element_bytes, size_t groups, size_t n, void *packed);

#ifdef __cplusplus
}
#endif

#endif
