import ApusGraph
import ApusSupport

/// A checkpoint with quantised weights, as a source of what they are made of: for a module P `P.weight.codes`,
/// `P.weight.scales`, `P.weight.zero_points` and `P.weight.order`, whatever the file's format.
///
/// W[n, k] of the module is (codes[n, j] − zero) · scales[g, n], where k = order[j] and g = j / (K/G). A part is unpacked
/// each time it is asked for, so that one weight at a time is held.
struct QuantizedCheckpoint: WeightSource {
    private let checkpoint: Checkpoint
    private let weights: [String: QuantizedWeight]

    /// Makes a source of all weights of a checkpoint.
    init(_ checkpoint: Checkpoint, _ weights: [QuantizedWeight]) {
        self.checkpoint = checkpoint
        self.weights = Dictionary(uniqueKeysWithValues: weights.map { ($0.form.name, $0) })
    }

    /// The quantised weight that a parameter is part of.
    private func part(_ name: String) -> (weight: QuantizedWeight, part: QuantizedPart)? {
        for part in QuantizedPart.allCases {
            let ending = ".weight.\(part.rawValue)"
            guard name.hasSuffix(ending), let weight = weights[String(name.dropLast(ending.count))] else {
                continue
            }
            return (weight, part)
        }
        return nil
    }

    func type(of name: String) -> TensorType? {
        if let (weight, part) = part(name) { return weight.type(of: part) }
        return checkpoint.type(of: name)
    }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let (weight, part) = part(name) else { return try checkpoint.withBytes(of: name, body) }
        try weight.withBytes(of: part, in: checkpoint, body)
    }

    func release(_ name: String) {
        guard let (weight, part) = part(name) else { return checkpoint.release(name) }
        if let tensor = weight.tensor(of: part) { checkpoint.release(tensor) }
    }
}
