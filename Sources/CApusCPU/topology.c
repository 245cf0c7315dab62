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

static cpu_set_t set_of(const int *cores, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (cores[i] >= 0 && cores[i] < CPU_SETSIZE) CPU_SET(cores[i], &set);
    }
    return set;
}

int apus_keep_thread_on(const int *cores, int count) {
    const cpu_set_t set = set_of(cores, count);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void apus_move_thread_to(const int *cores, int count) {
    const int here = sched_getcpu();
    for (int i = 0; i < count; i++) {
        if (cores[i] == here) return;
    }
    cpu_set_t allowed, target = set_of(cores, count);
    CPU_ZERO(&allowed);
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0) return;
    CPU_AND(&target, &target, &allowed);
    if (CPU_COUNT(&target) == 0) return;
    // The move happens within the first call; the second lifts the bounds again.
    if (pthread_setaffinity_np(pthread_self(), sizeof target, &target) != 0) return;
    pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
}
#else
int apus_allowed_cores(int *out, int max) {
    (void)out;
    (void)max;
    return 0;
}

int apus_keep_thread_on(const int *cores, int count) {
    (void)cores, (void)count;
    return 0;
}

void apus_move_thread_to(const int *cores, int count) { (void)cores, (void)count; }
#endif
