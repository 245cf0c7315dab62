import ApusCPU
import ApusCUDA
import ApusEngine
import ApusGraph
import ApusPasses
import ApusSupport
import ApusTokenizer

/// Everything that decides what an engine of a folder holds, as text with a line for each thing.
///
/// Two engines share a key only if compiling would give the same bytes. Small files count with all of their bytes;
/// a file of weights with its place, size, times and header, since reading all of it would take as long as compiling.
/// An option counts unless it is known not to matter, so that a new one cannot be forgotten.
struct EngineKey: Sendable, Hashable {
    /// The lines.
    let text: String

    /// Options that say how a model is run, not what its engine holds; the files that they name are in the key.
    private static let harmlessOptions: Set<String> = [
        "threads", "batchSize", "contextLength", "chunk", "tokenizerFolder", "requiresTokenizer",
        "engineCache",
        // The precision is in the key as the pipeline is given it.
        "precision",
        // Plugins are in the key by their names and versions; models with passes of a program's own are not kept.
        "plugins", "passes", "dumpDirectory", "check",
        // The device is in the key with its kernels.
        "device",
    ]

    /// The name of the file in a cache's folder: 128 bits of hash.
    var fileName: String {
        XXHash64.text(XXHash64.hash(text)) + XXHash64.text(XXHash64.hash(text, seed: 1)) + ".apus"
    }

    /// Looks at a folder.
    /// - Throws: `.notFound` without a `config.json`, `.io` for a file that cannot be read.
    init(folder: String, options: LoadOptions) throws(ApusError) {
        var lines = Self.program(options.device ?? .cpu)
        for child in Mirror(reflecting: options).children {
            guard let label = child.label, !Self.harmlessOptions.contains(label) else { continue }
            lines.append("option \(label) \(child.value)")
        }
        // What the checkpoint's own precision is follows from its config and headers.
        let precision = options.precision
        let pipeline = PipelineOptions(
            precision: precision ?? .f32, kvCache: options.kvCacheType ?? precision ?? .f32,
            lastTokenOnly: !options.allLogits,
            backend: options.backend,
            cache: try options.backend.cache(options.cache), aliasKVCache: options.aliasKVCache,
            exactActivations: options.exactActivations)
        lines.append("precision \(precision?.rawValue ?? "of the checkpoint")")
        lines.append("passes \(pipeline) \(Pipeline.standard(pipeline).map(\.name).joined(separator: ","))")
        lines.append("plugins \(options.plugins.all.map(\.id.description).joined(separator: ", "))")
        for name in ["config.json", "generation_config.json", "quantize_config.json", "quant_config.json"] {
            lines.append(try Self.content(of: "\(folder)/\(name)", as: name))
        }
        let tokenizer = options.tokenizerFolder ?? folder
        for name in Tokenizer.fileNames {
            lines.append(try Self.content(of: "\(tokenizer)/\(name)", as: "tokenizer \(name)"))
        }
        for name in Folder.names(in: folder) where name.contains(".safetensors") {
            lines.append(try Self.weights("\(folder)/\(name)"))
        }
        text = lines.joined(separator: "\n") + "\n"
    }

    /// Apus itself: versions, kernels, and which build of the program this is.
    private static func program(_ device: Device) -> [String] {
        let (kernels, layout) =
            device == .cpu
            ? (CPUBackend.kernelNames, CPUBackend.weightLayout)
            : (CUDABackend.kernelNames, CUDABackend.weightLayout)
        var lines = [
            "apus \(ApusVersion.current)", "format \(EngineFileHeader.formatVersion)",
            "device \(device) layout \(layout)", "kernels \(kernels.joined(separator: ","))",
            "build \(build)",
        ]
        // Kernels are compiled for one GPU, and products timed on it.
        if case .cuda(let ordinal) = device {
            lines.append("machine \(CUDABackend.buildMachine(device: ordinal))")
        }
        return lines
    }

    /// Size and time of the program's file: a pass that was changed since gives another engine.
    private static let build: String = {
        guard let file = try? InputFile(path: "/proc/self/exe") else { return "unknown" }
        return "\(file.count) \(file.modificationTime)"
    }()

    /// A small file by all of its bytes.
    private static func content(of path: String, as name: String) throws(ApusError) -> String {
        guard OutputFile.exists(path) else { return "\(name) absent" }
        let bytes = try InputFile(path: path).bytes()
        let hashes = [0, 1].map { XXHash64.text(XXHash64.hash(bytes, seed: $0)) }
        return "\(name) \(bytes.count) \(hashes.joined())"
    }

    /// A file of weights by what tells it from any other.
    private static func weights(_ path: String) throws(ApusError) -> String {
        let file = try InputFile(path: path)
        var header = 8
        if file.count >= header, !path.hasSuffix(".json") {
            let length = try file.bytes(0..<8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            header = Int(clamping: min(length, 100_000_000)) + 8
        } else {
            header = file.count
        }
        let bytes = try file.bytes(0..<min(header, file.count))
        let hashes = [0, 1].map { XXHash64.text(XXHash64.hash(bytes, seed: $0)) }
        let place = Folder.absolutePath(path)
        return "weights \(place) \(file.count) \(file.modificationTime) \(file.changeTime) \(hashes.joined())"
    }
}
