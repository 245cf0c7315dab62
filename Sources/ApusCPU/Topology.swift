import CApusCPU

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The processor cores that this process may use.
public enum Topology {
    /// Indices of the logical processors that the process is allowed on, in order.
    static func allowedCores() -> [Int] {
        var cores = [Int32](repeating: 0, count: 1024)
        let count = apus_allowed_cores(&cores, Int32(cores.count))
        return cores.prefix(Int(count)).map(Int.init)
    }

    /// Number of physical cores among the allowed processors; at least 1.
    ///
    /// Two hardware threads of a core share its load units and caches, so a second one gains nothing here.
    public static func physicalCoreCount() -> Int {
        #if os(Linux)
            let allowed = allowedCores()
            var cores: Set<String> = []
            for processor in allowed {
                let path = "/sys/devices/system/cpu/cpu\(processor)/topology/thread_siblings_list"
                cores.insert(firstLine(of: path) ?? "\(processor)")
            }
            return max(cores.count, 1)
        #else
            return max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1)
        #endif
    }

    private static func firstLine(of path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 256)
        guard fgets(&buffer, Int32(buffer.count), file) != nil else { return nil }
        let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Keeps the calling thread on one processor.
    static func pinCurrentThread(to core: Int) { _ = apus_pin_current_thread(Int32(core)) }
}
