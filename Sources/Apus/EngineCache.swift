import ApusEngine
import ApusSupport
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A folder of engines that were compiled before, shared by all processes that name it.
///
/// An entry is an engine file that also holds its whole key, which is compared on every hit. The folder itself is the
/// account: sizes and times of last use are those of the files, so that no process can have it wrong. An entry appears
/// complete or not at all; two processes that compile the same model write the same entry, and the later one stays.
public struct EngineCache: Sendable, Hashable {
    /// The folder; made when the first engine is stored.
    public var folder: String
    /// Bytes that all entries together may take; the least recently used go first.
    public var byteLimit: Int

    /// 32 GiB.
    public static let defaultByteLimit = 32 << 30

    /// Names a cache.
    public init(folder: String, byteLimit: Int = EngineCache.defaultByteLimit) {
        self.folder = folder
        self.byteLimit = byteLimit
    }

    /// The place of one model in a cache, and what lies there.
    struct Slot: Sendable {
        let cache: EngineCache
        let key: EngineKey
        /// The entry, if there is a good one; its weights are checked when they are loaded.
        let file: EngineFile?
        let warnings: [String]

        var path: String { "\(cache.folder)/\(key.fileName)" }
    }

    /// Looks up an engine, and marks it as used.
    func slot(for key: EngineKey) -> Slot {
        let path = "\(folder)/\(key.fileName)"
        guard OutputFile.exists(path) else { return Slot(cache: self, key: key, file: nil, warnings: []) }
        do throws(ApusError) {
            let file = try EngineFile(path: path)
            guard try file.bytes(of: EngineSection.key) == Array(key.text.utf8) else {
                throw ApusError(.mismatch, "\(path): holds the engine of another key")
            }
            // The time of the last use is the file's own: whoever looks sees it.
            utimensat(AT_FDCWD, path, nil, 0)
            return Slot(cache: self, key: key, file: file, warnings: [])
        } catch {
            // An entry that another process has just removed is no entry.
            let warnings = error.code == .notFound && !OutputFile.exists(path) ? [] : [Self.warning(error)]
            return Slot(cache: self, key: key, file: nil, warnings: warnings)
        }
    }

    /// What a user is told about an entry that is of no use.
    static func warning(_ error: ApusError) -> String {
        "engine cache: \(error); the model is compiled anew"
    }
}

extension EngineCache.Slot {
    /// Stores an engine under the slot's key and makes room for it.
    /// - Returns: What kept it from being stored; nil if it was. A model runs without a cache as well.
    func store(_ engine: Engine, _ source: ModelSource, _ progress: (any ProgressReporter)?) -> String? {
        let size = engine.weights.byteCount
        guard size <= cache.byteLimit else {
            return
                "engine cache: the engine of \(size) bytes is larger than the cache's limit of \(cache.byteLimit) "
                + "bytes and was not stored"
        }
        do throws(ApusError) {
            try OutputFile.makeFolder(cache.folder)
            try EngineFile.write(
                engine, generation: source.generation, tokenizer: try source.tokenizerFiles(), key: key.text,
                to: path, suffix: Eviction.partialSuffix, progress: progress)
            try Eviction(cache: cache, keeping: key.fileName).run()
            return nil
        } catch {
            return "engine cache: the engine was not stored: \(error)"
        }
    }
}

/// Makes room in a cache.
private struct Eviction {
    let cache: EngineCache
    /// The entry that was just written.
    let keeping: String

    private static let partialMark = ".partial-"
    private static let partialCount = Atomic<Int>(0)

    /// What no other writer adds to the name of a file.
    static var partialSuffix: String {
        "\(partialMark)\(getpid())-\(partialCount.add(1, ordering: .relaxed).newValue)"
    }

    /// A file that nobody has written to for so long was left behind by a process that ended.
    private static let staleSeconds = 3600

    private struct Entry {
        let path: String
        let name: String
        let byteCount: Int
        let lastUse: Int
    }

    /// Removes the least recently used entries until all fit; one process at a time does so.
    func run() throws(ApusError) {
        let lock = open("\(cache.folder)/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else {
            throw ApusError(.io, "\(cache.folder)/.lock: cannot open: \(String(cString: strerror(errno)))")
        }
        defer { close(lock) }
        // Where locks are not to be had, as on some network drives, at worst two processes remove a few more.
        _ = flock(lock, LOCK_EX)
        let now = time(nil)
        var entries: [Entry] = []
        for name in Folder.names(in: cache.folder) {
            guard let file = try? InputFile(path: "\(cache.folder)/\(name)") else { continue }
            if name.contains(Self.partialMark) {
                if file.modificationTime / 1_000_000_000 < now - Self.staleSeconds {
                    try OutputFile.remove(file.path)
                }
            } else if name.hasSuffix(".apus") {
                entries.append(
                    Entry(path: file.path, name: name, byteCount: file.count, lastUse: file.modificationTime))
            }
        }
        var total = entries.reduce(0) { $0 + $1.byteCount }
        for entry in entries.sorted(by: { ($0.lastUse, $0.name) < ($1.lastUse, $1.name) }) {
            guard total > cache.byteLimit else { return }
            guard entry.name != keeping else { continue }
            try OutputFile.remove(entry.path)
            total -= entry.byteCount
        }
    }
}
