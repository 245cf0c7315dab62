import ApusGraph
public import ApusSupport

/// A compiled model on disk: header and description are checked when it is opened, each section when it is read.
///
/// `docs/engine-file.md` describes the format. Safe to use from many threads at once.
public final class EngineFile: Sendable {
    /// What the file is for, and where its sections lie.
    public let header: EngineFileHeader
    /// What the file tells of itself.
    public let manifest: EngineManifest
    let file: InputFile

    /// The path the file was opened by.
    public var path: String { file.path }

    /// Whether a file begins as an engine does; false if it cannot be read.
    public static func isEngine(path: String) -> Bool {
        guard let file = try? InputFile(path: path),
            let start = try? file.bytes(0..<min(EngineFileHeader.magic.count, file.count))
        else { return false }
        return EngineFileHeader.isEngine(start)
    }

    /// Opens a file and checks its header, the space between its sections, and its description.
    /// - Throws: `.notFound`, `.io`; `.invalidInput` for a file that is no engine, cut short or damaged;
    ///   `.unsupported` for another version of the format. Each names the file, the section, and what to do.
    public init(path: String) throws(ApusError) {
        let file = try InputFile(path: path)
        let header = try EngineFileHeader(file)
        self.file = file
        self.header = header
        try ApusError.within(path) { () throws(ApusError) in try Self.checkGaps(file, header) }
        let bytes = try Self.bytes(of: EngineSection.info, file, header)
        manifest = try EngineManifest(
            JSON.parse(bytes, source: "\(path): \(EngineSection.info)"), header: header)
    }

    /// Nothing but zeros lies between sections, so that every byte of a file is accounted for.
    private static func checkGaps(_ file: InputFile, _ header: EngineFileHeader) throws(ApusError) {
        var end = header.byteCount
        for section in header.sections {
            // At most a huge page.
            let gap = try file.bytes(end..<section.offset)
            guard gap.allZero else {
                throw EngineFileHeader.damaged(
                    "the space before section '\(section.name)'", "zeros", "something else")
            }
            end = section.offset + section.byteCount
        }
    }

    /// The bytes of a section.
    /// - Throws: `.notFound` if the file has none of that name, `.invalidInput` if it is damaged.
    public func bytes(of section: String) throws(ApusError) -> [UInt8] {
        try Self.bytes(of: section, file, header)
    }

    private static func bytes(
        of name: String, _ file: InputFile, _ header: EngineFileHeader
    ) throws(ApusError) -> [UInt8] {
        let section = try Self.section(name, file, header)
        let bytes = try file.bytes(section.offset..<section.offset + section.byteCount)
        try check(SectionHash.hash(bytes), section, file)
        return bytes
    }

    static func section(
        _ name: String, _ file: InputFile, _ header: EngineFileHeader
    ) throws(ApusError) -> EngineFileHeader.Section {
        guard let section = header.section(name) else {
            throw ApusError(
                .notFound, "\(file.path): has no section '\(name)'; compile the model anew")
        }
        return section
    }

    static func check(
        _ hash: UInt64, _ section: EngineFileHeader.Section, _ file: InputFile
    ) throws(ApusError) {
        guard hash == section.hash else {
            throw EngineFileHeader.damaged(
                "\(file.path): section '\(section.name)'", "hash \(XXHash64.text(section.hash))",
                XXHash64.text(hash))
        }
    }

    /// The tokenizer's files, by name.
    public var tokenizerFiles: [String] {
        header.sections.map(\.name).filter { $0.hasPrefix(EngineSection.tokenizerPrefix) }
            .map { String($0.dropFirst(EngineSection.tokenizerPrefix.count)) }
    }

    /// A file of the tokenizer, nil if the engine carries none of that name.
    /// - Throws: `.invalidInput` if it is damaged.
    public func tokenizerFile(_ name: String) throws(ApusError) -> [UInt8]? {
        let section = EngineSection.tokenizerPrefix + name
        return header.section(section) == nil ? nil : try bytes(of: section)
    }

    /// All files of the tokenizer.
    /// - Throws: `.invalidInput` if one is damaged.
    public func attachedTokenizer() throws(ApusError) -> [AttachedFile] {
        var files: [AttachedFile] = []
        for name in tokenizerFiles {
            if let bytes = try tokenizerFile(name) { files.append(AttachedFile(name: name, bytes: bytes)) }
        }
        return files
    }

    /// Reads and checks every section; the weights with a buffer's worth of memory at a time.
    /// - Throws: `.invalidInput` with the first one that is damaged, `.io`.
    public func verify() throws(ApusError) {
        for section in header.sections { try SectionReader(file: file, section: section).verify() }
    }

    /// The plan and the places of the weights, as the file has them: not yet checked for a backend.
    /// - Throws: `.invalidInput` for a damaged plan, `.notFound` for a plugin that is not registered.
    public func plan(_ plugins: PluginRegistry) throws(ApusError) -> (
        plan: Plan, regions: [WeightStore.Region]
    ) {
        let source = "\(path): \(EngineSection.plan)"
        return try PlanCoding.read(JSON.parse(try bytes(of: EngineSection.plan), source: source), plugins)
    }

    /// The compiled kernels and the algorithms of products that the file carries.
    /// - Throws: `.invalidInput` for a damaged section.
    public func kernels() throws(ApusError) -> KernelStore {
        var store = KernelStore()
        for section in header.sections.map(\.name) {
            try store.read(
                section: section, { () throws(ApusError) in try bytes(of: section) }, source: path)
        }
        return store
    }

    /// All but the weights' bytes, checked for a backend.
    /// - Throws: `.mismatch` for another device or layout of the weights, `.invalidInput` for a plan that does not
    ///   fit together, `.unsupported` for kernels that the backend does not have.
    public func blueprint(
        for backend: any Backend, plugins: PluginRegistry
    ) throws(ApusError) -> EngineBlueprint {
        guard header.device == backend.name else {
            throw ApusError(
                .mismatch,
                "\(path): header: expected an engine for device '\(backend.name)', got one for '\(header.device)'; "
                    + "compile the model for this device")
        }
        guard header.weightLayout == backend.weightLayout else {
            throw ApusError(
                .mismatch,
                "\(path): header: expected weights in layout \(backend.weightLayout) of '\(backend.name)', got layout "
                    + "\(header.weightLayout); compile the model anew with this version of Apus")
        }
        let (plan, regions) = try plan(plugins)
        var origin = manifest.origin
        origin.sources = String(decoding: try bytes(of: EngineSection.source), as: UTF8.self)
        let blueprint = EngineBlueprint(
            info: manifest.info, plan: plan, regions: regions, precision: manifest.precision, origin: origin,
            kernels: try kernels())
        let weights = try Self.section(EngineSection.weights, file, header)
        try ApusError.within(path) { () throws(ApusError) in
            try EngineCheck(
                blueprint, weightBytes: weights.byteCount, backend: backend, plugins: plugins
            )
            .run()
        }
        return blueprint
    }

    /// Loads the engine: weights are read by several threads, into memory on huge pages or on their way to the device, and
    /// hashed meanwhile.
    /// - Throws: As ``blueprint(for:plugins:)``, `.outOfMemory`, and `.invalidInput` if the weights are damaged.
    public func load(
        for backend: any Backend, plugins: PluginRegistry,
        progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        let blueprint = try PhaseTimes.measure("plan and its check") { () throws(ApusError) in
            try self.blueprint(for: backend, plugins: plugins)
        }
        let section = try Self.section(EngineSection.weights, file, header)
        let reader = SectionReader(file: file, section: section)
        let store: WeightStore
        if let receiver = try backend.receiveWeights(of: blueprint, byteCount: section.byteCount) {
            let weights = try PhaseTimes.measure("weights") { () throws(ApusError) in
                try reader.read(into: receiver, progress: progress)
            }
            store = WeightStore(regions: blueprint.regions, on: weights)
        } else {
            store = try WeightStore(regions: blueprint.regions, byteCount: section.byteCount)
            let buffer = try store.buffer()
            try PhaseTimes.measure("weights") { () throws(ApusError) in
                try reader.read(into: buffer, progress: progress)
            }
        }
        return Engine(blueprint, weights: store, plugins: plugins)
    }
}

extension [UInt8] {
    fileprivate var allZero: Bool {
        withUnsafeBytes { bytes in
            var at = 0
            while at + 8 <= bytes.count {
                if bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) != 0 { return false }
                at += 8
            }
            return bytes[at...].allSatisfy { $0 == 0 }
        }
    }
}
