// The allocator of glibc under its public names, counted. A definition in the executable takes the place of the
// library's for every caller, the Swift runtime included.
#include "CAllocationCounter.h"

#if defined(__GLIBC__) || defined(__linux__)
#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

// A count for each thread: other tests allocate at the same time.
static _Thread_local uint64_t allocations;

static void count(void) { allocations++; }

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
    count();
    return __libc_calloc(items, size);
}

void *realloc(void *pointer, size_t size) {
    count();
    return __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    count();
    void *pointer = __libc_memalign(alignment, size);
    if (!pointer) return ENOMEM;
    *out = pointer;
    return 0;
}

uint64_t apus_allocation_count(void) { return allocations; }
int apus_allocations_are_counted(void) { return 1; }
#else
uint64_t apus_allocation_count(void) { return 0; }
int apus_allocations_are_counted(void) { return 0; }
#endif
