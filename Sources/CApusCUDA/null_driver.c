// A driver without a device: for tests of everything that leads to a launch.

#include "apus_cuda.h"

#include <stdlib.h>
#include <string.h>

static int handle;

static apus_cu_result init(unsigned flags) { return APUS_CU_SUCCESS; }
static apus_cu_result driver_version(int *version) { return *version = 13000, APUS_CU_SUCCESS; }
static apus_cu_result device_count(int *count) { return *count = 1, APUS_CU_SUCCESS; }
static apus_cu_result device_get(apus_cu_device *device, int ordinal) {
    if (ordinal != 0) return APUS_CU_NO_DEVICE;
    return *device = 0, APUS_CU_SUCCESS;
}
static apus_cu_result device_name(char *name, int length, apus_cu_device device) {
    strncpy(name, "null device", (size_t)length);
    return APUS_CU_SUCCESS;
}
static apus_cu_result device_attribute(int *value, int attribute, apus_cu_device device) {
    switch (attribute) {
    case APUS_CU_SHARED_BYTES_PER_BLOCK_OPTIN: *value = 232448; break;
    case APUS_CU_PROCESSOR_COUNT: *value = 132; break;
    case APUS_CU_MAJOR: *value = 9; break;
    case APUS_CU_MINOR: *value = 0; break;
    default: return 1;
    }
    return APUS_CU_SUCCESS;
}
static apus_cu_result device_bytes(size_t *bytes, apus_cu_device device) {
    return *bytes = (size_t)1 << 37, APUS_CU_SUCCESS;
}
static apus_cu_result context_retain(apus_cu_context *context, apus_cu_device device) {
    return *context = (apus_cu_context)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result context_release(apus_cu_device device) { return APUS_CU_SUCCESS; }
static apus_cu_result context_set(apus_cu_context context) { return APUS_CU_SUCCESS; }
static apus_cu_result memory_info(size_t *free_bytes, size_t *bytes) {
    return *free_bytes = *bytes = (size_t)1 << 37, APUS_CU_SUCCESS;
}
static apus_cu_result allocate(apus_cu_address *address, size_t bytes) {
    void *pointer = calloc(1, bytes ? bytes : 1);
    *address = (apus_cu_address)pointer;
    return pointer ? APUS_CU_SUCCESS : APUS_CU_OUT_OF_MEMORY;
}
static apus_cu_result deallocate(apus_cu_address address) { return free((void *)address), APUS_CU_SUCCESS; }
static apus_cu_result host_allocate(void **pointer, size_t bytes, unsigned flags) {
    *pointer = calloc(1, bytes ? bytes : 1);
    return *pointer ? APUS_CU_SUCCESS : APUS_CU_OUT_OF_MEMORY;
}
static apus_cu_result host_deallocate(void *pointer) { return free(pointer), APUS_CU_SUCCESS; }
static apus_cu_result host_address(apus_cu_address *address, void *pointer, unsigned flags) {
    return *address = (apus_cu_address)pointer, APUS_CU_SUCCESS;
}
static apus_cu_result copy_in(apus_cu_address to, const void *from, size_t bytes, apus_cu_stream stream) {
    return memcpy((void *)to, from, bytes), APUS_CU_SUCCESS;
}
static apus_cu_result copy_out(void *to, apus_cu_address from, size_t bytes, apus_cu_stream stream) {
    return memcpy(to, (const void *)from, bytes), APUS_CU_SUCCESS;
}
static apus_cu_result fill(apus_cu_address to, unsigned char value, size_t bytes, apus_cu_stream stream) {
    return memset((void *)to, value, bytes), APUS_CU_SUCCESS;
}
static apus_cu_result stream_create(apus_cu_stream *stream, unsigned flags) {
    return *stream = (apus_cu_stream)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result stream_destroy(apus_cu_stream stream) { return APUS_CU_SUCCESS; }
static apus_cu_result stream_synchronize(apus_cu_stream stream) { return APUS_CU_SUCCESS; }
static apus_cu_result stream_query(apus_cu_stream stream) { return APUS_CU_SUCCESS; }
static apus_cu_result capture_begin(apus_cu_stream stream, int mode) { return APUS_CU_SUCCESS; }
static apus_cu_result capture_end(apus_cu_stream stream, apus_cu_graph *graph) {
    return *graph = (apus_cu_graph)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result graph_instantiate(apus_cu_graph_exec *exec, apus_cu_graph graph, unsigned long long flags) {
    return *exec = (apus_cu_graph_exec)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result graph_launch(apus_cu_graph_exec exec, apus_cu_stream stream) { return APUS_CU_SUCCESS; }
static apus_cu_result graph_exec_destroy(apus_cu_graph_exec exec) { return APUS_CU_SUCCESS; }
static apus_cu_result graph_destroy(apus_cu_graph graph) { return APUS_CU_SUCCESS; }
static apus_cu_result module_load(apus_cu_module *module, const void *image) {
    return *module = (apus_cu_module)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result module_unload(apus_cu_module module) { return APUS_CU_SUCCESS; }
static apus_cu_result module_function(apus_cu_function *function, apus_cu_module module, const char *name) {
    return *function = (apus_cu_function)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result function_set(apus_cu_function function, int attribute, int value) { return APUS_CU_SUCCESS; }
static apus_cu_result launch(
    const apus_cu_launch_config *config, apus_cu_function function, void **arguments, void **extra) {
    return APUS_CU_SUCCESS;
}
static apus_cu_result occupancy_clusters(
    int *count, apus_cu_function function, const apus_cu_launch_config *config) {
    return *count = 1 << 16, APUS_CU_SUCCESS;
}
static apus_cu_result event_create(apus_cu_event *event, unsigned flags) {
    return *event = (apus_cu_event)&handle, APUS_CU_SUCCESS;
}
static apus_cu_result event_record(apus_cu_event event, apus_cu_stream stream) { return APUS_CU_SUCCESS; }
static apus_cu_result event_synchronize(apus_cu_event event) { return APUS_CU_SUCCESS; }
static apus_cu_result event_elapsed(float *milliseconds, apus_cu_event start, apus_cu_event end) {
    return *milliseconds = 0, APUS_CU_SUCCESS;
}
static apus_cu_result event_destroy(apus_cu_event event) { return APUS_CU_SUCCESS; }
static apus_cu_result error_name(apus_cu_result error, const char **text) {
    return *text = "error of the null device", APUS_CU_SUCCESS;
}
static apus_cu_result error_text(apus_cu_result error, const char **text) { return error_name(error, text); }

#define FIELD(field, symbol, parameters) .field = field,
static const apus_cu_driver driver = {APUS_CU_FUNCTIONS(FIELD)};

const apus_cu_driver *apus_cu_null_driver(void) { return &driver; }
