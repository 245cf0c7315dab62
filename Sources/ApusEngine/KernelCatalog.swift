public import ApusGraph

/// What one node asks of a kernel.
public struct KernelQuery: Sendable, AttributeReader {
    /// Name of the op.
    public let op: String
    /// Operand types; nil where an optional operand is absent.
    public let operands: [TensorType?]
    /// Result types.
    public let results: [TensorType]
    /// The op's attributes, with defaults filled in.
    public let attributes: [String: Attribute]

    /// An attribute of the op.
    public func attribute(_ name: String) -> Attribute? { attributes[name] }

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

/// One kernel of a backend: the op it computes, the queries it accepts, and how it reads and writes tensors.
public struct KernelEntry: Sendable {
    /// The op that the kernel computes.
    public let op: String
    /// The kernel's name, as plans and profiles show it.
    public let kernel: String
    /// The forms of the operands in order; the last one is that of all that follow.
    public let forms: [OperandForm]
    /// The order in which the first result's dimensions lie in memory, outermost first; nil for row-major.
    public let resultOrder: [Int]?
    /// Results that are an operand's memory, changed in place: position of the result to position of the operand.
    public let inPlace: [Int: Int]
    /// Nil if the kernel can serve the query, else the reason why not.
    public let refusal: @Sendable (KernelQuery) -> String?
    /// The packing of an operand, of kernels whose packings follow from the query; nil for row-major.
    let packing: (@Sendable (Int, KernelQuery) -> (any WeightPacking)?)?

    /// The kernel as it serves a query: with the packings that follow from it.
    public func specialised(for query: KernelQuery) -> KernelEntry {
        guard let packing else { return self }
        return KernelEntry(
            op: op, kernel: kernel,
            forms: query.operands.indices.map { index in
                packing(index, query).map { OperandForm(packing: $0) } ?? form(index)
            }, resultOrder: resultOrder, inPlace: inPlace, refusal: refusal)
    }

    /// Declares a kernel.
    public init(
        op: String, kernel: String, forms: [OperandForm] = [.dense], resultOrder: [Int]? = nil,
        inPlace: [Int: Int] = [:],
        refusal: @escaping @Sendable (KernelQuery) -> String? = { _ in nil },
        packing: (@Sendable (Int, KernelQuery) -> (any WeightPacking)?)? = nil
    ) {
        self.op = op
        self.kernel = kernel
        self.forms = forms
        self.resultOrder = resultOrder
        self.inPlace = inPlace
        self.packing = packing
        self.refusal = refusal
    }

    /// The form of the operand at a position.
    public func form(_ operand: Int) -> OperandForm {
        forms.isEmpty ? .dense : forms[min(operand, forms.count - 1)]
    }
}

/// The kernels a backend has; for each op the first that accepts is chosen.
public struct KernelCatalog: Sendable {
    /// All kernels, in order of preference.
    public let entries: [KernelEntry]

    /// Makes a catalog.
    public init(_ entries: [KernelEntry]) { self.entries = entries }

    /// What a search for a kernel ends with.
    public enum Choice: Sendable {
        /// The kernel to use, and the operand types that it reads.
        case kernel(KernelEntry, operands: [TensorType?])
        /// No kernel serves the query, and why.
        case none(reason: String)
    }

    /// Chooses the kernel for a query.
    /// - Parameters:
    ///   - query: What the node asks for, with the element types of the graph.
    ///   - stored: The element type in which each operand is at hand; where it is narrower than the query's, a kernel
    ///     that reads it as it is goes before one that needs it converted.
    public func choose(_ query: KernelQuery, stored: [ElementType?]) -> Choice {
        var reasons: [String] = []
        for entry in entries where entry.op == query.op {
            var narrow = query.operands
            for (index, element) in stored.enumerated() where entry.form(index).allowsNarrow {
                if let element { narrow[index]?.element = element }
            }
            for operands in narrow == query.operands ? [narrow] : [narrow, query.operands] {
                let candidate = KernelQuery(
                    op: query.op, operands: operands, results: query.results, attributes: query.attributes)
                guard let reason = entry.refusal(candidate) else {
                    return .kernel(entry.specialised(for: candidate), operands: operands)
                }
                if operands == query.operands { reasons.append("\(entry.kernel): \(reason)") }
            }
        }
        return .none(reason: reasons.isEmpty ? "no kernel for this op" : reasons.joined(separator: "; "))
    }
}
