public import ApusGraph
public import ApusSupport

/// A step that turns a graph into another that computes the same.
///
/// Only the passes that say so change a graph's signature. Running a pass a second time changes nothing.
public protocol Pass: Sendable {
    /// Name of the pass, in kebab case.
    var name: String { get }

    /// Changes the graph, leaving in `notes` what a user should hear of it.
    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError)
}

/// What a pass is given beside the graph, and what it leaves beside it.
public struct PassNotes: Sendable {
    /// The ops that may be used.
    public let registry: OpRegistry
    /// The values of the graph's parameters, where they are at hand: masks and frequencies may be among them.
    public let weights: (any WeightSource)?
    /// What the mask of each attention was proven to be; later passes still see it.
    public var masks: [MaskReport] = []
    /// One line for each attention that the pass met.
    public var attention: [AttentionReport] = []
    /// One line for each static cache that the pass met.
    public var caches: [CacheReport] = []
    /// What a user should hear of beside that.
    public var remarks: [String] = []

    /// Makes empty notes.
    public init(registry: OpRegistry = .standard, weights: (any WeightSource)? = nil) {
        self.registry = registry
        self.weights = weights
    }
}

/// Which kernel an attention layer uses, what its mask is, and why.
public struct AttentionReport: Sendable, Hashable, CustomStringConvertible {
    /// Position among the attentions of the graph, from 0.
    public let layer: Int
    /// The op that computes it.
    public let kernel: String
    /// What its mask lets a query see.
    public let maskClass: MaskClass
    /// How that was proven; nil if the attention had no mask operand.
    public let maskReason: String?
    /// What kept it from being the plugin; nil if nothing did.
    public let reason: String?

    /// Makes a report.
    public init(
        layer: Int, kernel: String, maskClass: MaskClass, maskReason: String? = nil, reason: String? = nil
    ) {
        self.layer = layer
        self.kernel = kernel
        self.maskClass = maskClass
        self.maskReason = maskReason
        self.reason = reason
    }

    /// The report on one line.
    public var description: String {
        "attention \(layer): \(kernel), mask \(maskClass)" + (maskReason.map { ": " + $0 } ?? "")
            + (reason.map { " (\($0))" } ?? "")
    }
}
