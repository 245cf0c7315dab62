public import ApusGraph

/// What one node asks of a kernel.
public struct KernelQuery: Sendable {
    /// Name of the op.
    public let op: String
    /// Operand types; nil where an optional operand is absent.
    public let operands: [TensorType?]
    /// Result types.
    public let results: [TensorType]
    /// The op's attributes, with defaults filled in.
    public let attributes: [String: Attribute]

    /// Makes a query.
    public init(
        op: String, operands: [TensorType?], results: [TensorType], attributes: [String: Attribute]
    ) {
        self.op = op
        self.operands = operands
        self.results = results
        self.attributes = attributes
    }
}

/// One kernel of a backend: the op it computes and the queries it accepts.
public struct KernelEntry: Sendable {
    /// The op that the kernel computes.
    public let op: String
    /// The kernel's name, as plans and profiles show it.
    public let kernel: String
    /// Nil if the kernel can serve the query, else the reason why not.
    public let refusal: @Sendable (KernelQuery) -> String?

    /// Declares a kernel.
    public init(
        op: String, kernel: String, refusal: @escaping @Sendable (KernelQuery) -> String? = { _ in nil }
    ) {
        self.op = op
        self.kernel = kernel
        self.refusal = refusal
    }
}

/// The kernels a backend has; for each op the first that accepts is chosen.
public struct KernelCatalog: Sendable {
    /// All kernels, in order of preference.
    public let entries: [KernelEntry]

    /// Makes a catalog.
    public init(_ entries: [KernelEntry]) { self.entries = entries }

    /// What a search for a kernel ends with.
    public enum Choice: Sendable, Equatable {
        /// The name of the kernel to use.
        case kernel(String)
        /// No kernel serves the query, and why.
        case none(reason: String)
    }

    /// Chooses the kernel for a query.
    public func choose(_ query: KernelQuery) -> Choice {
        var reasons: [String] = []
        for entry in entries where entry.op == query.op {
            guard let reason = entry.refusal(query) else { return .kernel(entry.kernel) }
            reasons.append("\(entry.kernel): \(reason)")
        }
        return .none(reason: reasons.isEmpty ? "no kernel for this op" : reasons.joined(separator: "; "))
    }
}
