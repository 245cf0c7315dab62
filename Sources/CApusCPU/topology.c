// Calls that glibc shows only with _GNU_SOURCE, which Swift does not define.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "apus_topology.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>

int apus_allowed_cores(int *out, int max) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    int count = 0;
    for (int core = 0; core < CPU_SETSIZE && count < max; core++) {
        if (CPU_ISSET(core, &set)) out[count++] = core;
    }
    return count;
}

int apus_pin_current_thread(int core) {
    if (core < 0 || core >= CPU_SETSIZE) return -1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
#else
int apus_allowed_cores(int *out, int max) {
    (void)out;
    (void)max;
    return 0;
}

int apus_pin_current_thread(int core) {
    (void)core;
    return 0;
}
#endif
