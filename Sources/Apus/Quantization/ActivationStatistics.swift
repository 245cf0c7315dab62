import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusPasses
import ApusSupport

/// What calibration text showed of the inputs of one site.
struct ActivationStatistics: Sendable {
    /// Inputs.
    let width: Int
    /// Mean magnitude of each channel over all tokens.
    private(set) var meanMagnitude: [Float]
    /// Mean square of each channel over all tokens.
    private(set) var meanSquare: [Float]
    /// [rows, width] inputs of some tokens, spread evenly over the text.
    private(set) var rows: [Float] = []
    /// Number of those.
    var rowCount: Int { rows.count / max(width, 1) }
    private var tokenCount = 0

    /// Rows that are kept of each site.
    static let keptRows = 256

    init(width: Int) {
        self.width = width
        meanMagnitude = Array(repeating: 0, count: width)
        meanSquare = meanMagnitude
    }

    /// Takes the inputs [count, width] of the tokens from `first` on, of `total` in all.
    mutating func add(_ inputs: UnsafeBufferPointer<Float>, first: Int, total: Int) {
        let count = inputs.count / width
        for token in 0..<count {
            let row = UnsafeBufferPointer(rebasing: inputs[token * width..<(token + 1) * width])
            for channel in 0..<width {
                let value = row[channel]
                meanMagnitude[channel] += value.magnitude
                meanSquare[channel] += value * value
            }
            // One token of each of the equal parts that the text is cut into.
            let part = (first + token) * Self.keptRows / total
            if token + first == 0 || part != (first + token - 1) * Self.keptRows / total { rows += row }
        }
        tokenCount += count
    }

    /// Turns sums into means.
    mutating func finish() {
        let scale = 1 / Float(max(tokenCount, 1))
        for channel in 0..<width {
            meanMagnitude[channel] *= scale
            meanSquare[channel] *= scale
        }
    }

    /// Runs a model over calibration text and looks at the inputs of each site.
    /// - Parameters:
    ///   - tokens: The text.
    ///   - sites: Where to look.
    ///   - linears: The model's layers, and the graph that the sites are of.
    ///   - recipe: How many windows of how many tokens.
    /// - Throws: `.invalidInput` for a text of less than a window, or inputs that are not finite.
    static func collect(
        _ tokens: [Int32], _ sites: [ScalingSite], _ linears: LinearLayers, _ model: ImportedModel,
        _ recipe: QuantizationRecipe, backend: CPUBackend, progress: (any ProgressReporter)?
    ) throws(ApusError) -> [ActivationStatistics] {
        guard !tokens.isEmpty else {
            throw ApusError(.invalidInput, "the calibration text is empty: expected some thousand tokens")
        }
        let context = min(recipe.calibrationContext, model.info.maxPositions)
        guard tokens.count >= context else {
            throw ApusError(
                .invalidInput,
                "the calibration text has \(tokens.count) tokens: expected at least one window of \(context), better "
                    + "some thousand tokens; give a longer text, or leave calibration out")
        }
        var graph = linears.graph
        graph.outputs = sites.map(\.input)
        let engine = try Compiler.compile(
            graph, weights: model.weights, info: model.info,
            options: CompileOptions(backend: .iattention, cache: CacheKind.none, allLogits: true),
            backend: backend, progress: progress)
        let computer = try OutputComputer(
            engine, on: backend, limits: SessionLimits(batch: 1, chunk: context, capacity: context))
        // Whole windows, spread evenly over the text.
        let available = tokens.count / context
        let count = min(recipe.calibrationWindows, available)
        var statistics = sites.map { ActivationStatistics(width: linears.modules[$0.layers[0]].k) }
        for window in 0..<count {
            let start = window * available / count * context
            try computer.compute(Array(tokens[start..<start + context]))
            for index in statistics.indices {
                statistics[index].add(
                    try computer.output(index), first: window * context, total: count * context)
            }
            progress?.progress("Calibrating", completed: window + 1, total: count)
        }
        for index in statistics.indices {
            statistics[index].finish()
            guard statistics[index].meanSquare.allSatisfy(\.isFinite) else {
                let name = linears.modules[sites[index].layers[0]].name
                throw ApusError(
                    .invalidInput,
                    "'\(name)': its inputs on the calibration text are not finite; the weights are damaged")
            }
        }
        return statistics
    }
}
