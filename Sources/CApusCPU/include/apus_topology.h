#pragma once
// Which processors the process may use, and where a thread runs; no-ops where the system has no such calls.

/// Writes the indices of at most `max` allowed processors into `out` and returns how many there are; 0 = unknown.
int apus_allowed_cores(int *out, int max);
/// Keeps the calling thread on `count` processors from now on; returns 0 on success.
int apus_keep_thread_on(const int *cores, int count);
/// Moves the calling thread to one of `count` processors now, unless it runs on one of them or may not; later it may
/// run wherever it might before.
void apus_move_thread_to(const int *cores, int count);
