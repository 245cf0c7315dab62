public import ApusGraph
public import ApusSupport

/// A file that an engine carries along, such as `tokenizer.json`.
public struct AttachedFile: Sendable, Hashable {
    /// Its name, without a folder.
    public let name: String
    /// Its contents.
    public let bytes: [UInt8]

    /// Makes a file.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}

extension EngineFile {
    /// Writes an engine to a file, which appears under its name only when it is complete.
    ///
    /// The weights go from the engine's memory straight to the file.
    /// - Parameters:
    ///   - engine: The compiled model.
    ///   - generation: How the checkpoint wants to be sampled.
    ///   - tokenizer: The tokenizer's files; none for a model that takes token ids only.
    ///   - key: What an engine cache knows the file by.
    ///   - path: The path of the file; one that is there is replaced.
    ///   - suffix: Follows the path while the file is written; writers that may meet need different ones.
    ///   - progress: Told how many bytes of weights are written.
    /// - Returns: The header of the file.
    /// - Throws: `.io` naming the path.
    @discardableResult
    public static func write(
        _ engine: Engine, generation: GenerationDefaults, tokenizer: [AttachedFile] = [], key: String? = nil,
        to path: String, suffix: String = ".partial", progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> EngineFileHeader {
        var sections: [(name: String, bytes: [UInt8])] = [
            (
                EngineSection.info,
                Array(EngineManifest(engine, generation: generation).json.text(pretty: true).utf8)
            ),
            (
                EngineSection.plan,
                Array(
                    try PlanCoding.json(engine.plan, engine.weights.regions, engine.plugins).text().utf8)
            ),
            (EngineSection.source, Array(engine.origin.sources.utf8)),
        ]
        sections += tokenizer.map { (EngineSection.tokenizerPrefix + $0.name, $0.bytes) }
        sections += engine.kernels.sections
        if let key { sections.append((EngineSection.key, Array(key.utf8))) }
        let buffer = try engine.weights.buffer()
        let weights = UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount)
        let header = try EngineFileHeader(
            device: engine.origin.device, weightLayout: engine.origin.weightLayout,
            sections: sections.map { ($0.name, $0.bytes.count, SectionHash.hash($0.bytes)) }
                + [(EngineSection.weights, weights.count, SectionHash.hash(weights))])
        let output = try OutputFile(path: path, suffix: suffix)
        try output.write(header.encoded)
        for (section, bytes) in zip(header.sections, sections.map(\.bytes)) {
            try output.fill(to: section.offset)
            try output.write(bytes)
        }
        try output.fill(to: header.fileByteCount - weights.count)
        var done = 0
        while done < weights.count {
            let end = min(done + writeBytes, weights.count)
            try output.write(UnsafeRawBufferPointer(rebasing: weights[done..<end]))
            done = end
            progress?.progress("Writing the engine", completed: done, total: weights.count)
        }
        withExtendedLifetime(buffer) {}
        try output.finish()
        return header
    }

    /// Bytes of weights that are handed to the system at a time.
    private static let writeBytes = 64 << 20
}

extension OutputFile {
    fileprivate func write(_ bytes: [UInt8]) throws(ApusError) {
        try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
            try write(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Appends zeros up to an offset.
    fileprivate func fill(to offset: Int) throws(ApusError) {
        try write([UInt8](repeating: 0, count: max(offset - count, 0)))
    }
}
