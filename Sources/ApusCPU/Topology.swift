import CApusCPU

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The processor cores that this process may use.
public enum Topology {
    /// The processors of each physical core that the process is allowed on; empty where the system does not tell.
    ///
    /// The hardware threads of a core are listed together: they share its load units and caches.
    static func physicalCores() -> [[Int32]] {
        var processors = [Int32](repeating: 0, count: 1024)
        let count = apus_allowed_cores(&processors, Int32(processors.count))
        var cores: [[Int32]] = []
        var places: [String: Int] = [:]
        for processor in processors.prefix(Int(count)) {
            let siblings = "/sys/devices/system/cpu/cpu\(processor)/topology/thread_siblings_list"
            let name = lines(of: siblings).first ?? "\(processor)"
            if let place = places[name] {
                cores[place].append(processor)
            } else {
                places[name] = cores.count
                cores.append([processor])
            }
        }
        return cores
    }

    /// Number of physical cores among the allowed processors; at least 1.
    public static func physicalCoreCount() -> Int { count(of: physicalCores()) }

    /// Number of such cores; that of processors where the system does not tell.
    static func count(of cores: [[Int32]]) -> Int {
        cores.isEmpty ? max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1) : cores.count
    }

    /// Threads that compute unless a user says otherwise: one for each physical core, as a second hardware thread of a
    /// core gains nothing here, and no more than a container's share of processor time keeps running.
    public static func defaultThreadCount() -> Int {
        min(physicalCoreCount(), processorShare() ?? .max)
    }

    /// Whole processors that the control groups of the process grant it, at least 1; nil where nothing limits it.
    private static func processorShare() -> Int? {
        guard let group = lines(of: "/proc/self/cgroup").first(where: { $0.hasPrefix("0::/") }) else {
            return nil
        }
        // Every group above limits too.
        var path = group.dropFirst("0::".count)
        var least: Int?
        while true {
            if let limit = lines(of: "/sys/fs/cgroup\(path)/cpu.max").first.flatMap(processorShare) {
                least = min(least ?? limit, limit)
            }
            guard let end = path.lastIndex(of: "/") else { return least }
            path = path[..<end]
        }
    }

    /// What a `cpu.max` grants: microseconds of processor time, or `max`, and the period it is granted for.
    static func processorShare(_ limit: String) -> Int? {
        let numbers = limit.split(separator: " ").map { Int($0) }
        guard numbers.count == 2, let time = numbers[0], let period = numbers[1], period > 0 else {
            return nil
        }
        // A thread too many would be stopped in every period, and all others would wait for it.
        return max(time / period, 1)
    }

    /// The first lines of a small text file; none if it cannot be read.
    private static func lines(of path: String) -> [String] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = fread(&buffer, 1, buffer.count, file)
        return buffer.prefix(count).split(separator: 10).map { String(decoding: $0, as: UTF8.self) }
    }
}
