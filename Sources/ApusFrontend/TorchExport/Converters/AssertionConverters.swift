import ApusGraph
import ApusSupport

/// What the exporter asserts of types and sizes.
extension ConverterRegistry {
    static let assertions: [String: Converter] = [
        "aten._assert_tensor_metadata.default": { call throws(ApusError) in
            guard case .tensor(let value) = try call.operand("a") else {
                throw call.unsupported("an assertion about a number")
            }
            guard let element = try call.elementType("dtype") else { return [] }
            let result = try call.add("assert_element", [value], ["element": .element(element)])
            context(call).copyLevels(from: value, to: result)
            return []
        },
        "aten._assert_scalar.default": { call throws(ApusError) in
            try context(call).checkAssertion(call)
            return []
        },
        // Bounds of a size that the ranges of its symbols repeat.
        "aten.sym_constrain_range.default": { _ throws(ApusError) in [] },
        "aten.sym_constrain_range_for_size.default": { _ throws(ApusError) in [] },
    ]

    private static func context(_ call: OperatorCall) -> ImportContext { call.context }
}

extension ImportContext {
    /// Tries to prove an assertion about sizes from the ranges of the symbols.
    ///
    /// One that cannot be proven stays a note
    /// of the import; one that is proven wrong is an error.
    fileprivate func checkAssertion(_ call: OperatorCall) throws(ApusError) {
        switch call.node.inputs.first?.value {
        case .bool(true)?: return
        case .bool(false)?: throw ApusError(.invalidInput, "the program asserts what is false")
        case .symBool(let name)?:
            guard let condition = try SizeCondition(frame.producers[name], self) else {
                notes.append("assertion '\(call.name)' on '\(name)' was not checked")
                return
            }
            switch symbols.isProven(condition.relation, condition.left, condition.right) {
            case true?: return
            case false?:
                throw ApusError(.invalidInput, "the program asserts \(condition), which never holds")
            case nil: notes.append("assertion \(condition) was not proven")
            }
        default: throw call.unsupported("an assertion about a tensor")
        }
    }
}

/// A comparison of two sizes that a node computes.
struct SizeCondition: CustomStringConvertible {
    private(set) var relation: SizeRelation
    let left: Dimension
    let right: Dimension

    var description: String { "\(left) \(relation.sign) \(right)" }

    /// The condition of a node such as `_operator.eq(a, b)`; nil if it is another kind of node.
    init?(_ node: ExportedNode?, _ context: ImportContext) throws(ApusError) {
        if let node, node.target == "torch.sym_not", case .symBool(let name)? = node.inputs.first?.value,
            let inner = context.frame.producers[name], inner.target != node.target
        {
            guard var condition = try SizeCondition(inner, context) else { return nil }
            condition.relation = condition.relation.negated
            self = condition
            return
        }
        guard let node, node.target.hasPrefix("_operator."), node.inputs.count == 2,
            let relation = SizeRelation(rawValue: String(node.target.dropFirst("_operator.".count)))
        else { return nil }
        var operands: [Dimension] = []
        for input in node.inputs {
            switch input.value {
            case .int(let value): operands.append(Dimension(value))
            case .symInt(let reference): operands.append(try context.dimension(reference))
            default: return nil
            }
        }
        self.relation = relation
        left = operands[0]
        right = operands[1]
    }
}
