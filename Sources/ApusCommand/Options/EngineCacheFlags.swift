import Apus
import ArgumentParser

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Flags that say whether and where compiled folders are kept.
struct EngineCacheFlags: ParsableArguments {
    /// Names the folder where no flag does.
    static let variable = "APUS_ENGINE_CACHE"

    @Option(
        name: [.customLong("engine-cache"), .customLong("engine_cache")],
        help: ArgumentHelp(
            "Keep the engines of folders there and load them from there (default: $\(variable), else none).",
            valueName: "folder"))
    var folder: String?

    @Option(
        name: [.customLong("engine-cache-size"), .customLong("engine_cache_size")],
        help: ArgumentHelp(
            "GiB that the engine cache may take; the least recently used engines go first.", valueName: "n"))
    var gibibytes = EngineCache.defaultByteLimit >> 30

    mutating func validate() throws {
        try Counts.check(gibibytes, "--engine-cache-size")
        guard gibibytes <= 1 << 20 else {
            throw ValidationError("--engine-cache-size: expected at most \(1 << 20) GiB, got \(gibibytes).")
        }
        if folder == "" { throw ValidationError("--engine-cache: expected a folder, got an empty name.") }
    }

    /// The cache that the flags or the environment name; nil for none.
    var cache: EngineCache? {
        let variable = getenv(Self.variable).map { String(cString: $0) }
        guard let folder = folder ?? variable, !folder.isEmpty else { return nil }
        return EngineCache(folder: folder, byteLimit: gibibytes << 30)
    }
}
