public import ApusGraph
public import ApusSupport

/// The weights of a Hugging Face folder: one safetensors file, or shards with an index.
public struct Checkpoint: WeightSource {
    /// The folder.
    public let folder: String
    private let files: [SafetensorsFile]
    /// For each weight, the file that holds it.
    private let places: [String: Int]

    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    /// - Parameters:
    ///   - folder: The folder.
    ///   - fallback: Name of the file that is opened where neither is there.
    /// - Throws: `.notFound` if the folder or a file is missing, `.invalidInput` for a file that is not what it
    ///   should be.
    public init(folder: String, fallback: String? = nil) throws(ApusError) {
        self.folder = folder
        guard OutputFile.isFolder(folder) else {
            throw ApusError(.notFound, "\(folder): no such folder; check the path")
        }
        let single = "\(folder)/model.safetensors"
        let index = "\(folder)/model.safetensors.index.json"
        if OutputFile.exists(single) {
            let file = try SafetensorsFile(path: single)
            files = [file]
            places = file.entries.mapValues { _ in 0 }
        } else if OutputFile.exists(index) {
            (files, places) = try Self.shards(folder, index)
        } else if let fallback, OutputFile.exists("\(folder)/\(fallback)") {
            let file = try SafetensorsFile(path: "\(folder)/\(fallback)")
            files = [file]
            places = file.entries.mapValues { _ in 0 }
        } else if OutputFile.exists("\(folder)/pytorch_model.bin") {
            throw ApusError(
                .unsupported,
                "\(folder): expected model.safetensors, got pytorch_model.bin; save it with transformers' "
                    + "save_pretrained(safe_serialization=True)")
        } else {
            throw ApusError(
                .notFound, "\(folder): has neither model.safetensors nor model.safetensors.index.json")
        }
    }

    private static func shards(
        _ folder: String, _ indexPath: String
    ) throws(ApusError) -> ([SafetensorsFile], [String: Int]) {
        let index = try JSON.parse(contentsOfFile: indexPath)
        guard let map = index["weight_map"], map.kind == .object else {
            throw ApusError(.invalidInput, "\(indexPath): expected an object for 'weight_map'")
        }
        var files: [SafetensorsFile] = []
        var numbers: [String: Int] = [:]
        var places: [String: Int] = [:]
        var absent: [String] = []
        for (name, value) in map.members {
            guard let file = value.string, !file.isEmpty, !file.contains("/"), file != ".." else {
                throw ApusError(
                    .invalidInput, "\(indexPath): weight '\(name)': expected the name of a file in the folder"
                )
            }
            if numbers[file] == nil {
                let shard = try ApusError.within(indexPath) { () throws(ApusError) in
                    try SafetensorsFile(path: "\(folder)/\(file)")
                }
                numbers[file] = files.count
                files.append(shard)
            }
            guard let number = numbers[file] else { continue }
            if files[number].entries[name] == nil { absent.append("'\(name)' in \(file)") }
            places[name] = number
        }
        guard absent.isEmpty else {
            throw ApusError(
                .notFound, "\(indexPath): names weights that are missing: \(absent.joined(separator: ", "))")
        }
        for (number, file) in files.enumerated() {
            // What the index forgets is still there to be found unexpected.
            for name in file.entries.keys where places[name] == nil { places[name] = number }
        }
        return (files, places)
    }

    /// The names of all weights, sorted.
    public var names: [String] { places.keys.sorted() }

    private func place(_ name: String) -> (file: SafetensorsFile, entry: SafetensorsFile.Entry)? {
        guard let number = places[name], let entry = files[number].entries[name] else { return nil }
        return (files[number], entry)
    }

    /// The type as the file spells it, such as `BF16[4096, 4096]`.
    public func storedType(of name: String) -> String? {
        place(name).map { "\($0.entry.dtype)\($0.entry.shape)" }
    }

    /// Element type and shape of a weight; nil if there is none of that name or no graph can hold its type.
    public func type(of name: String) -> TensorType? {
        guard let entry = place(name)?.entry, let element = entry.element else { return nil }
        return TensorType(element, entry.shape)
    }

    /// Calls `body` with a weight's elements as the file holds them.
    public func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let (file, entry) = place(name) else {
            throw ApusError(.notFound, "\(folder): has no weight '\(name)'")
        }
        try file.withBytes(of: entry, body)
    }

    /// Gives back the memory of a weight's pages.
    public func release(_ name: String) {
        guard let (file, entry) = place(name) else { return }
        file.release(entry)
    }
}
