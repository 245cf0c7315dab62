import Apus

/// How far apart the reference backend's logits of two tokens are; loaded when it is first asked.
final class ReferenceMargins {
    private let model: ImportedModel
    private let threads: Int?
    private var reference: LanguageModel?

    init(_ model: ImportedModel, threads: Int?) {
        self.model = model
        self.threads = threads
    }

    /// The type of the checkpoint's weights; FP32 where it is none of the plain ones.
    var precision: Precision { Precision(model.info.precision) ?? .fp32 }

    /// How far the logits of two tokens are apart after `prefix`, over the spread of all logits: their largest less their
    /// smallest.
    /// - Throws: What loading and running the model throws.
    func margin(
        between expected: Int32, and got: Int32, after prefix: [Int32]
    ) throws(ApusError) -> Double {
        let loaded: LanguageModel
        if let reference {
            loaded = reference
        } else {
            let variant = Variant(backend: .reference, cache: .none)
            loaded = try LanguageModel(model, options: variant.options(precision: nil, threads: threads))
            reference = loaded
        }
        var margin = Double.infinity
        let options = GenerationOptions(maxNewTokens: 1, ignoreEnd: true, readsLogits: true)
        _ = try loaded.generate([prefix], options: options) { token throws(ApusError) in
            let logits = token.logits
            guard let most = logits.max(), let least = logits.min(), most > least,
                logits.indices.contains(Int(expected)), logits.indices.contains(Int(got))
            else { return }
            margin = Double(abs(logits[Int(expected)] - logits[Int(got)]) / (most - least))
        }
        return margin
    }
}

extension Precision {
    /// The share of the spread of logits that rounding may move them by: 1e-4 in FP32, in the half types four times the
    /// unit roundoff, 2^-11 and 2^-8.
    var tieLimit: Double {
        switch self {
        case .fp32: 1e-4
        case .fp16: 4 / 2048
        case .bf16: 4 / 256
        }
    }
}
