#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What this process takes of the machine's memory.
enum ProcessMemory {
    /// The largest resident size in bytes since the start, or since ``resetPeak()``.
    static func peakBytes() -> Int? {
        if let status = SystemText.contents(of: "/proc/self/status"),
            let bytes = SystemText.bytes(of: "VmHWM", in: status)
        {
            return bytes
        }
        var usage = rusage()
        #if canImport(Glibc)
            guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
            return usage.ru_maxrss * 1024
        #else
            guard getrusage(RUSAGE_SELF, &usage) == 0 else { return nil }
            return usage.ru_maxrss
        #endif
    }

    /// Starts the peak anew from the present size, where the system can do that.
    static func resetPeak() {
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    /// Bytes of this process on huge pages.
    static func hugePageBytes() -> Int? {
        SystemText.contents(of: "/proc/self/smaps_rollup").flatMap {
            SystemText.bytes(of: "AnonHugePages", in: $0)
        }
    }
}
