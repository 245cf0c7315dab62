#pragma once
// Counts heap allocations of the test process, to show that decoding makes none.

#include <stdint.h>

/// Allocations made so far by the calling thread; 0 for ever where they cannot be counted.
uint64_t apus_allocation_count(void);
/// 1 where allocations are counted (glibc), else 0.
int apus_allocations_are_counted(void);
