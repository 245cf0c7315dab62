import ApusCPU
public import ApusEngine
import ApusFrontend
import ApusGraph
public import ApusSupport
import ApusTokenizer

/// Writes a quantised copy of a checkpoint, one weight at a time.
///
///     let report = try Quantizer.quantize(
///         folder: "Models/demo", output: "demo-int4", recipe: QuantizationRecipe(format: .int4(groupSize: 32)))
///
/// The copy is in the layout `pack-quantized` of compressed-tensors, which transformers and vLLM read as well. With
/// calibration text the factors of ``ActivationScaling`` are folded in first, and errors are weighted by how strong the
/// inputs are.
public struct Quantizer {
    private let folder: QuantizedFolder
    private let recipe: QuantizationRecipe
    private let model: ImportedModel
    private let checkpoint: Checkpoint
    private let linears: LinearLayers
    /// For each layer, how it is stored; nil for one that stays as it is.
    private let formats: [WeightFormat?]
    private let backend: CPUBackend
    private let progress: (any ProgressReporter)?

    /// Quantises the checkpoint of a folder.
    /// - Parameters:
    ///   - folder: The checkpoint; all its other files are copied.
    ///   - output: A folder that is empty or not there.
    ///   - recipe: What is stored how.
    ///   - calibration: Text, UTF-8, like that which the model will read; nil rounds without looking at inputs.
    ///   - threads: Threads that compute; nil is one for each physical core.
    ///   - progress: Told how far each stage has come.
    /// - Throws: `.invalidInput` for weights that are not finite, groups that do not fit, an output folder that is not
    ///   empty, or calibration text without tokens; `.unsupported` for a model that is quantised already or stores its
    ///   weights in another layout; `.notFound` if calibration finds no tokenizer; `.io`.
    public static func quantize(
        folder: String, output: String, recipe: QuantizationRecipe = QuantizationRecipe(),
        calibration: [UInt8]? = nil, threads: Int? = nil, progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> QuantizationReport {
        try recipe.validate()
        let place = try QuantizedFolder(source: folder, output: output)
        let tokens = try calibration.map { text throws(ApusError) in
            let tokens = try Tokenizer(folder: folder).encode(
                utf8: text, addSpecialTokens: false, cuts: false)
            guard !tokens.isEmpty else {
                throw ApusError(
                    .invalidInput, "the calibration text is empty: expected some thousand tokens of text")
            }
            return tokens
        }
        return try Quantizer(place, recipe, threads, progress).run(tokens)
    }

    private init(
        _ folder: QuantizedFolder, _ recipe: QuantizationRecipe, _ threads: Int?,
        _ progress: (any ProgressReporter)?
    ) throws(ApusError) {
        self.folder = folder
        self.recipe = recipe
        self.progress = progress
        model = try Importer.importCheckpoint(folder: folder.source)
        checkpoint = try Checkpoint(folder: folder.source)
        linears = try LinearLayers(model)
        var formats: [WeightFormat?] = []
        for module in linears.modules {
            formats.append(try recipe.format(of: module.name, inputs: module.k, isHead: module.isHead))
        }
        self.formats = formats
        backend = try CPUBackend(threads: threads)
    }

    /// What calibration found.
    private struct Scaling {
        var choices: [Int: (layer: QuantizationReport.Layer, factors: [Float], meanSquare: [Float])] = [:]
        var tokenCount = 0
    }

    private func run(_ tokens: [Int32]?) throws(ApusError) -> QuantizationReport {
        var weights = ScaledWeights(checkpoint)
        let scaling = try tokens.map { tokens throws(ApusError) in try scale(&weights, tokens) } ?? Scaling()
        var report = QuantizationReport()
        report.calibrationTokens = scaling.tokenCount
        for name in checkpoint.names {
            guard let type = checkpoint.type(of: name) else { continue }
            report.sourceBytes += (type.constantShape ?? []).reduce(type.element.byteCount, *)
        }
        try folder.copyFiles()
        try write(weights, scaling, &report)
        try folder.writeConfig(Array(zip(linears.modules, formats)).map { (module: $0.0, format: $0.1) })
        return report
    }

    private func quantizer(_ layer: Int) -> WeightQuantizer? {
        let module = linears.modules[layer]
        guard let format = formats[layer], let type = checkpoint.type(of: module.weight) else { return nil }
        return WeightQuantizer(format: format, scaleType: type.element, k: module.k)
    }

    // MARK: Calibration

    private func scale(
        _ weights: inout ScaledWeights, _ tokens: [Int32]
    ) throws(ApusError) -> Scaling {
        // Eight bits round so finely that factors bring nothing.
        let sites = ScalingSite.find(linears).filter { site in
            site.layers.allSatisfy { formats[$0]?.bits == 4 }
        }
        guard !sites.isEmpty else {
            throw ApusError(
                .unsupported, "calibration is for formats of 4 bits; leave the calibration text out")
        }
        let statistics = try ActivationStatistics.collect(
            tokens, sites, linears, model, recipe, backend: backend, progress: progress)
        var scaling = Scaling()
        let context = min(recipe.calibrationContext, model.info.maxPositions, tokens.count)
        scaling.tokenCount = min(recipe.calibrationWindows, tokens.count / context) * context
        for (index, site) in sites.enumerated() {
            let search = ActivationScaling(
                linears: linears, site: site, statistics: statistics[index],
                quantizers: site.layers.compactMap(quantizer), threads: backend.threadCount)
            let choice = try search.choose(weights)
            search.fold(choice, into: &weights)
            for (position, layer) in site.layers.enumerated() {
                let entry = QuantizationReport.Layer(
                    name: linears.modules[layer].name, format: search.quantizers[position].format,
                    weightError: 0, plainOutputError: choice.plainErrors[position],
                    outputError: choice.errors[position], alpha: choice.alpha)
                scaling.choices[layer] = (entry, choice.factors, statistics[index].meanSquare)
            }
            progress?.progress("Searching scales", completed: index + 1, total: sites.count)
        }
        return scaling
    }

    // MARK: Writing

    /// What is written together: a weight as it is, or the tensors of a rounded one.
    private enum Item {
        case kept(name: String, type: TensorType)
        case packed(PackedWeight, layer: Int)

        var tensors: [(name: String, type: TensorType)] {
            switch self {
            case .kept(let name, let type): [(name, type)]
            case .packed(let weight, _): weight.tensors
            }
        }

        var byteCount: Int {
            switch self {
            case .kept(_, let type): (type.constantShape ?? []).reduce(type.element.byteCount, *)
            case .packed(let weight, _): weight.byteCount
            }
        }
    }

    private func items() throws(ApusError) -> [Item] {
        var rounded: [String: Int] = [:]
        for layer in linears.modules.indices where formats[layer] != nil && !linears.modules[layer].isTied {
            rounded[linears.modules[layer].weight] = layer
        }
        let tied = linears.modules.indices.filter { linears.modules[$0].isTied }
        // A tied checkpoint may hold its head a second time.
        let copies = Set(tied.map { linears.modules[$0].name + ".weight" })
        var items: [Item] = []
        for name in checkpoint.names where !copies.contains(name) {
            if let layer = rounded[name], let quantizer = quantizer(layer) {
                items.append(
                    .packed(
                        PackedWeight(module: linears.modules[layer], quantizer: quantizer), layer: layer))
            } else if let type = checkpoint.type(of: name) {
                items.append(.kept(name: name, type: type))
            } else {
                throw ApusError(
                    .unsupported,
                    "weight '\(name)': expected a type that weights have, got \(checkpoint.storedType(of: name) ?? "none")"
                )
            }
        }
        for layer in tied {
            guard let quantizer = quantizer(layer) else { continue }
            items.append(
                .packed(PackedWeight(module: linears.modules[layer], quantizer: quantizer), layer: layer))
        }
        return items
    }

    private func write(
        _ weights: ScaledWeights, _ scaling: Scaling, _ report: inout QuantizationReport
    ) throws(ApusError) {
        let items = try items()
        let total = items.reduce(0) { $0 + $1.byteCount }
        let shards = Shards.cut(items, limit: recipe.shardBytes) { $0.byteCount }
        var map: [(String, JSONValue)] = []
        var layers: [Int: QuantizationReport.Layer] = [:]
        for (number, shard) in shards.enumerated() {
            let file = Shards.name(number, of: shards.count)
            let tensors = shard.flatMap(\.tensors)
            map += tensors.map { ($0.name, .string(file)) }
            let writer = try SafetensorsWriter(path: "\(folder.output)/\(file)", tensors: tensors)
            for item in shard {
                switch item {
                case .kept(let name, _):
                    try keep(name, weights, writer)
                    checkpoint.release(name)
                case .packed(let weight, let layer):
                    layers[layer] = try pack(weight, layer, weights, scaling, writer)
                    checkpoint.release(weight.module.weight)
                }
                report.byteCount += item.byteCount
                progress?.progress("Quantising", completed: report.byteCount, total: total)
            }
            try writer.finish()
        }
        if shards.count > 1 {
            let index = JSONValue.object([
                ("metadata", .object([("total_size", .int(total))])), ("weight_map", .object(map)),
            ])
            try folder.write(index.text(pretty: true) + "\n", "model.safetensors.index.json")
        }
        report.fileCount = shards.count
        report.layers = linears.modules.indices.compactMap { layers[$0] }
    }

    private func keep(
        _ name: String, _ weights: ScaledWeights, _ writer: SafetensorsWriter
    ) throws(ApusError) {
        // Only norms and biases take factors; the table of a tied head stays as it is.
        guard weights.scalings[name] != nil, checkpoint.type(of: name)?.rank == 1 else {
            return try checkpoint.withBytes(of: name) { bytes throws(ApusError) in try writer.write(bytes) }
        }
        let bytes = try weights.bytes(of: name)
        try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
            try writer.write(UnsafeRawBufferPointer(buffer))
        }
    }

    private func pack(
        _ weight: PackedWeight, _ layer: Int, _ weights: ScaledWeights, _ scaling: Scaling,
        _ writer: SafetensorsWriter
    ) throws(ApusError) -> QuantizationReport.Layer {
        let known = scaling.choices[layer]
        let importance =
            known.map { OutputError.importance($0.meanSquare, $0.factors) }
            ?? [Float](repeating: 1, count: WeightQuantizer.padded(weight.module.k))
        let contents = try weight.contents(weights, importance: importance, threads: backend.threadCount)
        try contents.write { bytes throws(ApusError) in try writer.write(bytes) }
        var entry =
            known?.layer
            ?? QuantizationReport.Layer(
                name: weight.module.name, format: weight.quantizer.format, weightError: 0,
                plainOutputError: nil, outputError: nil, alpha: nil)
        entry.weightError = contents.error
        return entry
    }
}
