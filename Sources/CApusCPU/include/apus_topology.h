#pragma once
// Which processors the process may use, and keeping a thread on one; no-ops where the system has no such calls.

/// Writes the indices of at most `max` allowed processors into `out` and returns how many there are; 0 = unknown.
int apus_allowed_cores(int *out, int max);
/// Keeps the calling thread on one processor; returns 0 on success.
int apus_pin_current_thread(int core);
