import ApusGraph
import ApusSupport

/// Chooses factors for the columns of weights from what flows through them: activation-aware weight quantisation.
///
/// A channel with large inputs makes large errors. Its column is multiplied by s > 1 before rounding, so that it is
/// rounded more finely beside the others of its group, and what gives the input is divided by s. The factors tried are
/// s = mean|x|^α and mean|x|^α / mean|w|^(1−α), for 20 values of α each; those with the least error of the layers'
/// outputs on calibration text are taken.
///
/// Source: Lin et al., AWQ: Activation-aware Weight Quantization, 2023, section 3.2.
struct ActivationScaling {
    /// What was chosen for one site.
    struct Choice: Sendable {
        /// [k] factors on the columns of the site's layers.
        var factors: [Float]
        /// The exponent; nil where no factors are better.
        var alpha: Double?
        /// Whether the weights' means had a part in it.
        var usesWeights = false
        /// For each layer, its squared output error over that of its outputs, rounded without factors.
        var plainErrors: [Double]
        /// The same with them.
        var errors: [Double]
    }

    private static let steps = 20

    let linears: LinearLayers
    let site: ScalingSite
    let statistics: ActivationStatistics
    let quantizers: [WeightQuantizer]
    let threads: Int

    /// Finds the factors of the site.
    func choose(_ weights: ScaledWeights) throws(ApusError) -> Choice {
        let measure = OutputError(weights: weights, statistics: statistics, threads: threads)
        let ones = [Float](repeating: 1, count: statistics.width)
        let signals = try site.layers.enumerated().map { position, layer throws(ApusError) in
            try measure.measure(
                linears.modules[layer], quantizers[position], factors: ones, withSignal: true)
        }
        func relative(_ errors: [Double]) -> [Double] {
            zip(errors, signals).map { $1.signal > 0 ? $0 / $1.signal : 0 }
        }
        let plain = signals.map(\.error)
        var best = Choice(
            factors: ones, alpha: nil, plainErrors: relative(plain), errors: relative(plain))
        guard let absorber = site.absorber else { return best }
        var bestTotal = plain.reduce(0, +)
        let means = try weightMeans(weights)
        for usesWeights in [false, true] {
            // Without the weights an exponent of 0 is the plain rounding that was measured.
            for step in (usesWeights ? 0 : 1)..<Self.steps {
                let alpha = Double(step) / Double(Self.steps)
                let raw = candidates(alpha, usesWeights ? means : nil)
                let factors = try absorbable(raw, absorber, weights)
                var trial: [Double] = []
                for (position, layer) in site.layers.enumerated() {
                    trial.append(
                        try measure.measure(
                            linears.modules[layer], quantizers[position], factors: factors
                        ).error)
                }
                let total = trial.reduce(0, +)
                if total < bestTotal {
                    bestTotal = total
                    best = Choice(
                        factors: factors, alpha: alpha, usesWeights: usesWeights,
                        plainErrors: relative(plain),
                        errors: relative(trial))
                }
            }
        }
        return best
    }

    /// Factors for an exponent, the same for all channels that share one of the absorber's; centred on 1.
    private func candidates(_ alpha: Double, _ weightMeans: [Float]?) -> [Float] {
        let shared = Self.shared(statistics.meanMagnitude, site.channels)
        let sharedWeights = weightMeans.map { Self.shared($0, site.channels) }
        var logarithms = [Double](repeating: 0, count: shared.count)
        for channel in shared.indices {
            logarithms[channel] = alpha * Statistics.logarithm(max(Double(shared[channel]), 1e-4))
            if let sharedWeights {
                logarithms[channel] -=
                    (1 - alpha) * Statistics.logarithm(max(Double(sharedWeights[channel]), 1e-4))
            }
        }
        let centre = ((logarithms.max() ?? 0) + (logarithms.min() ?? 0)) / 2
        let factors = logarithms.map { Float(Statistics.exponential($0 - centre)) }
        return site.channels.map { factors[$0] }
    }

    /// The mean of what several channels give to one.
    private static func shared(_ values: [Float], _ channels: [Int]) -> [Float] {
        let count = (channels.max() ?? -1) + 1
        var (sums, counts) = ([Float](repeating: 0, count: count), [Float](repeating: 0, count: count))
        for (index, channel) in channels.enumerated() {
            sums[channel] += values[index]
            counts[channel] += 1
        }
        return zip(sums, counts).map { $1 > 0 ? $0 / $1 : 0 }
    }

    /// The mean magnitude of each column, each row's groups scaled to a largest magnitude of 1.
    private func weightMeans(_ weights: ScaledWeights) throws(ApusError) -> [Float] {
        let k = statistics.width
        var sums = [Double](repeating: 0, count: k)
        var rows = 0
        for (position, layer) in site.layers.enumerated() {
            let module = linears.modules[layer]
            let size = quantizers[position].format.groupSize ?? k
            rows += module.n
            try weights.withRows(of: module.weight) { read throws(ApusError) in
                var row = [Float](repeating: 0, count: k)
                for index in 0..<module.n {
                    row.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { read(index, base) } }
                    for start in stride(from: 0, to: k, by: size) {
                        let group = start..<min(start + size, k)
                        let largest = group.reduce(Float(1e-6)) { max($0, row[$1].magnitude) }
                        for column in group { sums[column] += Double(row[column].magnitude / largest) }
                    }
                }
            }
        }
        return sums.map { Float($0 / Double(max(rows, 1))) }
    }

    /// The factors whose inverse the absorber can take exactly.
    ///
    /// A norm's weight is stored rounded; the factor of a channel is what the rounded weight leaves of it, so that
    /// their product is the original weight.
    private func absorbable(
        _ factors: [Float], _ absorber: ScalingSite.Absorber, _ weights: ScaledWeights
    ) throws(ApusError) -> [Float] {
        guard case .norm(let name, _) = absorber, let type = weights.source.type(of: name) else {
            return factors
        }
        var norm = [Float](repeating: 0, count: factors.count)
        try weights.withRows(of: name) { read throws(ApusError) in
            norm.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { read(0, base) } }
        }
        return zip(norm, factors).map { weight, factor in
            let stored = ScaledWeights.rounded(weight / factor, type.element)
            let exact = weight / stored
            return stored != 0 && exact.isFinite && exact > 0 ? exact : 1
        }
    }

    /// Folds factors into the layers and their inverse into the absorber.
    func fold(_ choice: Choice, into weights: inout ScaledWeights) {
        guard choice.alpha != nil, let absorber = site.absorber else { return }
        func multiply(_ values: [Float]?, _ factors: [Float]) -> [Float] {
            values.map { zip($0, factors).map { $0 * $1 } } ?? factors
        }
        for layer in site.layers {
            let name = linears.modules[layer].weight
            weights.scalings[name, default: WeightScaling()].columns = multiply(
                weights.scalings[name]?.columns, choice.factors)
        }
        var inverse = [Float](repeating: 1, count: (site.channels.max() ?? -1) + 1)
        for (index, channel) in site.channels.enumerated() { inverse[channel] = 1 / choice.factors[index] }
        let names: [String?] =
            switch absorber {
            case .norm(let weight, let bias): [weight, bias]
            case .features(let layer): [linears.modules[layer].weight, linears.modules[layer].bias]
            }
        for name in names.compactMap({ $0 }) {
            weights.scalings[name, default: WeightScaling()].rows = multiply(
                weights.scalings[name]?.rows, inverse)
        }
    }
}
